//! Answering peers.
//!
//! What must stay true: nothing is written for a peer whose session is not confirmed, a copy is
//! acknowledged only once the store has committed it, and what makes no sense is refused with its
//! reason and counted.

use bytes::Bytes;
use qadom_routing::{Contact, Families, Key, NodeId};
use qadom_wire::{
    Answer, FIRST_RECORD_MAX, Find, Found, K, Kind, Oversize, Pong, Reason, Record, Request,
    SourceGroup, Store, StoreClass, StoreItem, StoreResult,
};

use crate::core::{Core, Kept, Waiting};
use crate::effect::{Effect, Inbound};
use crate::records::Held;
use crate::time::Time;

/// The one revision of the protocol that this crate speaks.
const VERSION: u32 = 1;

/// Answers one request, at once or when the store has committed.
pub(crate) fn serve(core: &mut Core, now: Time, inbound: &Inbound) {
    let address = inbound.address.ip();
    if core.is_blocked(&inbound.key.id(), address) {
        core.drops.count(Reason::Blocked);
        return answer(core, inbound, &Answer::Refused(Reason::Blocked));
    }
    let request = match Request::decode(inbound.body.clone()) {
        Ok(request) => request,
        Err(error) => {
            core.refuse(&inbound.key, address, error.reason());
            return answer(core, inbound, &Answer::Refused(error.reason()));
        }
    };
    if inbound.confirmed {
        core.on_heard(&inbound.key.id(), now);
    }
    match request {
        Request::Ping(ping) => {
            // Who is not confirmed may be a replay of what once was true.
            if let Some(hello) = ping.hello.filter(|_| inbound.confirmed) {
                core.on_hello(now, inbound.key, inbound.address, &hello);
            }
            let answered = pong(core, inbound);
            answer(core, inbound, &answered);
        }
        Request::FindNode(find) => {
            let contacts = near(core, &find.target, find.want, inbound);
            answer(core, inbound, &Answer::Contacts(contacts));
        }
        Request::Find(find) => {
            let found = find_record(core, now, &find, inbound);
            answer(core, inbound, &found);
        }
        Request::Store(store) => serve_store(core, now, inbound, store),
        Request::DialBack(dial) => core.serve_dial_back(now, inbound, dial),
        Request::Digest(_) | Request::Watch(_) | Request::Notify(_) | Request::Unwatch(_) => {
            core.drops.count(Reason::UnknownKind);
            answer(core, inbound, &Answer::Refused(Reason::UnknownKind));
        }
        Request::Stream(stream) if inbound.confirmed => core.emit(Effect::Stream {
            inbound: inbound.id,
            key: inbound.key,
            address: inbound.address,
            fingerprint: stream.fingerprint,
        }),
        Request::Stream(_) => {
            core.drops.count(Reason::NotConfirmed);
            answer(core, inbound, &Answer::Refused(Reason::NotConfirmed));
        }
    }
}

fn answer(core: &mut Core, inbound: &Inbound, answer: &Answer) {
    let body = encode(answer, inbound.answer_max);
    core.emit(Effect::Answer {
        inbound: inbound.id,
        body,
    });
}

/// Encodes an answer with as many contacts as fit. What does not fit at all is refused, which
/// always fits.
pub(crate) fn encode(answer: &Answer, answer_max: usize) -> Bytes {
    let refusal = || Answer::Refused(Reason::TooLarge).encode();
    answer
        .encode_within(answer_max)
        .unwrap_or_else(|_| refusal())
}

fn pong(core: &Core, inbound: &Inbound) -> Answer {
    Answer::Pong(Pong {
        lowest_version: VERSION,
        highest_version: VERSION,
        features: 0,
        storing: core.is_storing(),
        observed: Some(inbound.address),
    })
}

/// The contacts nearest to a target that the asker can reach, itself left out.
fn near(core: &Core, target: &Key, want: Families, inbound: &Inbound) -> Vec<Contact> {
    let asker: NodeId = inbound.key.id();
    let accept = |contact: &Contact| *contact.id() != asker && contact.address(want).is_some();
    core.table
        .closest_where(target, K, accept)
        .into_iter()
        .cloned()
        .collect()
}

fn find_record(core: &mut Core, now: Time, find: &Find, inbound: &Inbound) -> Answer {
    if core.is_key_blocked(&find.slot) {
        core.drops.count(Reason::Blocked);
        return Answer::Refused(Reason::Blocked);
    }
    let contacts = near(core, &find.slot, find.want, inbound);
    let held = match find.kind {
        Kind::Value => core.held_value(&find.slot, now),
        _ => Ok(None),
    };
    let held = held.unwrap_or_else(|error| {
        core.drops.count(crate::core::reason_of_store(&error));
        None
    });
    let mut found = Found {
        contacts,
        ..Found::default()
    };
    if let Some(held) = held {
        let record = Record::Value(held.value);
        let size = record.encoded_length();
        if !inbound.confirmed && size > FIRST_RECORD_MAX {
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            found.oversize = Some(Oversize {
                size,
                hash: *find.slot.as_bytes(),
            });
        } else {
            found.records.push(record);
        }
    }
    Answer::Found(found)
}

fn serve_store(core: &mut Core, now: Time, inbound: &Inbound, store: Store) {
    let refusal = if !inbound.confirmed {
        Some(Reason::NotConfirmed)
    } else if !core.is_storing() {
        Some(Reason::ClientMode)
    } else if core.held_answers() >= core.config.limits.held_answers {
        Some(Reason::Busy)
    } else {
        None
    };
    if let Some(reason) = refusal {
        core.drops.count(reason);
        return answer(core, inbound, &Answer::Refused(reason));
    }
    let results: Vec<StoreResult> = store
        .items
        .into_iter()
        .map(|item| store_item(core, now, inbound, item))
        .collect();
    if results
        .iter()
        .all(|result| matches!(result, StoreResult::Refused(_)))
    {
        return answer(core, inbound, &Answer::Stored(results));
    }
    let (inbound, answer_max) = (inbound.id, inbound.answer_max);
    core.commit(Waiting::Stored {
        inbound,
        answer_max,
        results,
    });
}

/// What becomes of results that promised durability, now that the commit came or failed.
pub(crate) fn settled(results: Vec<StoreResult>, commit: Result<(), Reason>) -> Answer {
    let settle = |result| match (result, commit) {
        (StoreResult::Refused(_), _) | (_, Ok(())) => result,
        (_, Err(reason)) => StoreResult::Refused(reason),
    };
    Answer::Stored(results.into_iter().map(settle).collect())
}

fn store_item(core: &mut Core, now: Time, inbound: &Inbound, item: StoreItem) -> StoreResult {
    let Record::Value(value) = item.record else {
        core.drops.count(Reason::UnknownKind);
        return StoreResult::Refused(Reason::UnknownKind);
    };
    if item.ttl_seconds == 0 {
        core.drops.count(Reason::Expired);
        return StoreResult::Refused(Reason::Expired);
    }
    let mut held = Held::new(value, item.class, u64::from(item.ttl_seconds), now);
    let group = item.group.filter(|_| item.class == StoreClass::Replica);
    held.group = group.or_else(|| Some(SourceGroup::of(inbound.address.ip())));
    // The answer goes out when the store has committed, so a copy that it names is durable.
    match core.keep(held, now) {
        Ok(Kept::Stored) => StoreResult::Stored {
            committed: true,
            conflict: false,
        },
        Ok(Kept::Renewed) => StoreResult::Renewed {
            committed: true,
            conflict: false,
        },
        Err(reason) => {
            core.drops.count(reason);
            StoreResult::Refused(reason)
        }
    }
}
