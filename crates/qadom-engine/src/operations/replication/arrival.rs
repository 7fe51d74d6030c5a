//! Taking in what another holder gives of a slot.
//!
//! What must stay true: what comes is verified and kept as anything else is, and who gives what
//! was not asked for gives nothing more.

use qadom_routing::{Contact, Key};
use qadom_wire::{Found, IdRange, Kind, Reason, Record};

use crate::blocks::is_lie;
use crate::core::Core;
use crate::keep::{Kept, Origin};
use crate::time::Time;

/// Signed records of one kind in a slot.
#[derive(Clone, Copy, Debug)]
pub(in crate::operations) struct Wanted {
    pub(in crate::operations) slot: Key,
    pub(in crate::operations) kind: Kind,
    pub(in crate::operations) range: IdRange,
}

/// What became of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::operations) struct Arrival {
    /// Whether something is here now that was not.
    pub(in crate::operations) is_gain: bool,
    /// Whether what came is a lie, or not what was asked for.
    pub(in crate::operations) is_lie: bool,
    /// What is still to be asked for.
    pub(in crate::operations) rest: Option<IdRange>,
}

/// Keeps what a holder gave.
pub(in crate::operations) fn keep_found(
    core: &mut Core,
    from: &Contact,
    wanted: Wanted,
    found: Found,
    now: Time,
) -> Arrival {
    let Wanted { slot, kind, range } = wanted;
    let address = from.address(core.config.families);
    let origin = Origin::holder(address.map(|address| address.ip()));
    let mut arrival = Arrival {
        is_gain: false,
        is_lie: false,
        rest: None,
    };
    for record in found.records {
        let is_inside = |id: &Key| range.start() <= id && range.end().is_none_or(|end| id < end);
        let record = match record {
            Record::Signed(record)
                if (record.slot(), record.kind()) == (&slot, kind) && is_inside(record.id()) =>
            {
                record
            }
            _ => {
                core.refuse_answer(from, Reason::Malformed);
                arrival.is_lie = true;
                break;
            }
        };
        match core.keep_offered(record, origin, now) {
            Ok(Kept::Stored { .. }) => arrival.is_gain = true,
            Ok(Kept::Renewed) => {}
            Err(reason) => {
                core.refuse_answer(from, reason);
                if is_lie(reason) {
                    arrival.is_lie = true;
                    break;
                }
            }
        }
    }
    core.commit_unwatched();
    if !arrival.is_lie {
        let rest = found.cursor.filter(|cursor| range.start() < cursor);
        arrival.rest = rest.and_then(|cursor| IdRange::new(cursor, range.end().copied()));
    }
    arrival
}
