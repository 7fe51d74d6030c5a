//! Whether a signed record is taken in: by the time, and by what is held of its identity.
//!
//! What must stay true: nothing here looks at more than the two records and the clock. Whoever
//! stores a record has verified it; a node's limits are kept elsewhere.

use qadom_wire::{Kind, MAX_TTL, Reason, Relation, SignedRecord, relation};

use crate::records::signed::CLOCK_TOLERANCE;
use crate::time::Time;

/// What becomes of a record that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be stored; the flag tells that the same version was there with another payload.
    Take {
        /// Whether it wins over another payload of the same version.
        conflict: bool,
    },
    /// It is there already, at least for as long.
    Have,
}

/// Refuses a record that is over, that would live too long, or that comes from the future. Without
/// the time, when that is not known, nothing is refused.
pub(crate) fn check_time(record: &SignedRecord, now: Option<Time>) -> Result<(), Reason> {
    let Some(now) = now else {
        return Ok(());
    };
    let seconds = now.utc_seconds();
    if seconds >= record.expiry().saturating_add(CLOCK_TOLERANCE) {
        return Err(Reason::Expired);
    }
    let longest = MAX_TTL.as_secs() + CLOCK_TOLERANCE;
    if record.expiry() > seconds.saturating_add(longest) {
        return Err(Reason::LifetimeTooLong);
    }
    // The versions of these are readings of a clock.
    let is_timed = matches!(record.kind(), Kind::BagItem | Kind::DictCell);
    let latest = now.utc_micros.saturating_add(CLOCK_TOLERANCE * 1_000_000);
    if is_timed && record.seq() > latest {
        return Err(Reason::SeqFromFuture);
    }
    Ok(())
}

/// Compares a record with the held one of its identity. An exclusive one is only taken where
/// nothing of its version or a later one is, and so stays true when it is sent twice.
pub(crate) fn check_version(
    record: &SignedRecord,
    held: Option<&SignedRecord>,
    is_exclusive: bool,
) -> Result<Verdict, Reason> {
    let Some(held) = held else {
        return Ok(Verdict::Take { conflict: false });
    };
    match relation(held, record) {
        Relation::Same => Ok(Verdict::Have),
        Relation::Newer | Relation::Renewal => Ok(Verdict::Take { conflict: false }),
        Relation::Conflict { wins: true } if !is_exclusive => Ok(Verdict::Take { conflict: true }),
        Relation::Conflict { .. } => Err(Reason::Conflict),
        // An earlier expiry of what is held: it is kept for longer than was asked for.
        Relation::Stale if is_same_version(held, record) => Ok(Verdict::Have),
        Relation::Stale => Err(Reason::StaleSeq),
    }
}

fn is_same_version(one: &SignedRecord, other: &SignedRecord) -> bool {
    (one.stream(), one.seq()) == (other.stream(), other.seq())
}

#[cfg(test)]
mod tests;
