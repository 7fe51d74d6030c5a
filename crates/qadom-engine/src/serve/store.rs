//! Keeping records for peers.
//!
//! What must stay true: each record is answered by itself and in order, and one that is said to be
//! kept is durable when that is said.

use qadom_wire::{Answer, Reason, Record, Renewal, Store, StoreClass, StoreItem, StoreResult};

use crate::core::{Core, Waiting, reason_of_store};
use crate::effect::Inbound;
use crate::keep::{Kept, Origin};
use crate::records::{Held, container, counted_for};
use crate::serve::answer;
use crate::time::Time;

/// Keeps what may be kept, and answers when the store has committed.
pub(super) fn store(core: &mut Core, now: Time, inbound: &Inbound, store: Store) {
    let refusal = if !inbound.confirmed {
        Some(Reason::NotConfirmed)
    } else if !core.is_storing() {
        Some(Reason::ClientMode)
    } else if core.leaving.is_some() {
        Some(Reason::ShuttingDown)
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
    if !results.iter().any(StoreResult::is_kept) {
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
    let address = inbound.address.ip();
    // What follows a lie is not looked at.
    let kept = if core.is_blocked(&inbound.key.id(), address) {
        Err(Reason::Blocked)
    } else {
        keep(core, now, inbound, item)
    };
    match kept {
        // The answer goes out when the store has committed, so a copy that it names is durable.
        Ok(Kept::Stored { conflict }) => StoreResult::Stored {
            committed: true,
            conflict,
        },
        Ok(Kept::Renewed) => StoreResult::Renewed {
            committed: true,
            conflict: false,
        },
        Err(reason) => {
            core.refuse(&inbound.key, address, reason);
            StoreResult::Refused(reason)
        }
    }
}

fn keep(core: &mut Core, now: Time, inbound: &Inbound, item: StoreItem) -> Result<Kept, Reason> {
    let origin = Origin {
        address: Some(inbound.address.ip()),
        is_replica: item.class != StoreClass::FirstHand,
        hint: item.group.filter(|_| item.class == StoreClass::Replica),
        is_exclusive: item.exclusive,
    };
    let value = match item.record {
        Record::Signed(record) => return core.keep_offered(record, origin, now),
        Record::Renewal(Renewal::Value(key)) => {
            let held = core.held_value(&key, now);
            let held = held.map_err(|error| reason_of_store(&error))?;
            held.ok_or(Reason::NotFound)?.value
        }
        Record::Renewal(renewal) => return core.keep_renewal(&renewal, origin, now),
        Record::Value(value) => value,
        Record::Unknown => return Err(Reason::UnknownKind),
    };
    if item.ttl_seconds == 0 {
        return Err(Reason::Expired);
    }
    let size = u64::try_from(value.bytes().len()).unwrap_or(u64::MAX);
    let place = container(value.key(), qadom_wire::Kind::Value);
    let mut held = Held::new(value, item.class, u64::from(item.ttl_seconds), now);
    let old = core.held_value(held.value.key(), now);
    let old = old.map_err(|error| reason_of_store(&error))?;
    // What is here already stays in its group, whoever brings it again.
    let is_here = old.as_ref().is_some_and(|old| !old.cached);
    if !is_here {
        held.group = counted_for(core.group_of(origin, &place, size));
    }
    if !core.is_near_holder(&inbound.key.id(), held.value.key()) {
        // Who is no holder itself cannot tell that the other holders were brought the same.
        held.stored_at = old.map_or(held.stored_at, |old| old.stored_at);
    }
    core.keep(held, now)
}
