//! Answering peers.
//!
//! What must stay true: nothing is written for a peer whose session is not confirmed, a copy is
//! acknowledged only once the store has committed it, and what makes no sense is refused with its
//! reason and counted.

mod digest;
mod find;
mod store;

pub(crate) use store::settled;

use bytes::Bytes;
use qadom_routing::{Contact, Families, Key, NodeId};
use qadom_wire::{Answer, K, Pong, Reason, Request};

use crate::core::Core;
use crate::effect::{Effect, Inbound};
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
            let found = find::find(core, now, &find, inbound);
            answer(core, inbound, &found);
        }
        Request::Store(store) => store::store(core, now, inbound, store),
        Request::DialBack(dial) => core.serve_dial_back(now, inbound, dial),
        Request::Digest(digest) => {
            let digested = digest::digest(core, now, &digest, inbound);
            answer(core, inbound, &digested);
        }
        Request::Watch(watch) => {
            let watched = core.serve_watch(now, inbound, watch);
            answer(core, inbound, &watched);
        }
        Request::Unwatch(unwatch) => {
            let unwatched = core.serve_unwatch(inbound, unwatch);
            answer(core, inbound, &unwatched);
        }
        Request::Notify(batch) => {
            let notified = core.serve_notify(inbound, &batch);
            answer(core, inbound, &notified);
        }
        Request::Stream(_) | Request::Offer(_) | Request::Holds(_) => {
            pass_on(core, inbound, request);
        }
    }
}

/// Hands up what the driver answers, once it is known who asks.
fn pass_on(core: &mut Core, inbound: &Inbound, request: Request) {
    let refuse = |core: &mut Core, reason| {
        core.drops.count(reason);
        answer(core, inbound, &Answer::Refused(reason));
    };
    if !inbound.confirmed {
        return refuse(core, Reason::NotConfirmed);
    }
    let (inbound_id, key) = (inbound.id, inbound.key);
    let effect = match request {
        Request::Offer(offer) if core.is_key_blocked(&Key::from_bytes(offer.file)) => {
            return refuse(core, Reason::Blocked);
        }
        Request::Offer(_) if !core.is_storing() => return refuse(core, Reason::ClientMode),
        Request::Offer(offer) => Effect::Offer {
            inbound: inbound_id,
            key,
            address: inbound.address,
            offer,
        },
        Request::Holds(holds) => Effect::Holds {
            inbound: inbound_id,
            holds,
        },
        Request::Stream(stream) => Effect::Stream {
            inbound: inbound_id,
            key,
            address: inbound.address,
            fingerprint: stream.fingerprint,
        },
        _ => return refuse(core, Reason::UnknownKind),
    };
    core.emit(effect);
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

/// Says what this node is, and where a peer's packets come from, unless that was told over this
/// session already: with the address the answer takes a datagram of twice the size.
fn pong(core: &mut Core, inbound: &Inbound) -> Answer {
    let id = inbound.key.id();
    let is_told = inbound.confirmed
        && core.table.contact(&id).is_some()
        && core.told.insert(id, inbound.address) == Some(inbound.address);
    Answer::Pong(Pong {
        lowest_version: VERSION,
        highest_version: VERSION,
        features: 0,
        storing: core.is_storing(),
        observed: Some(inbound.address).filter(|_| !is_told),
    })
}

/// The contacts nearest to a target that the asker can reach, itself left out.
fn near(core: &mut Core, target: &Key, want: Families, inbound: &Inbound) -> Vec<Contact> {
    let asker: NodeId = inbound.key.id();
    let accept = |contact: &Contact| *contact.id() != asker && contact.address(want).is_some();
    core.table.reply(target, K, accept)
}
