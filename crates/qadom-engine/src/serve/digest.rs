//! Telling another holder in which records this node differs from it.
//!
//! What must stay true: the work for one request is bounded by what one slot may hold, or a fixed
//! number of entries across slots, every range is answered, and only a holder that should have the
//! same can spare this node its own round of replication.

use std::sync::Arc;

use qadom_routing::Key;
use qadom_wire::{
    Answer, DIGEST_RECORDS_MAX, DIGEST_SPLIT, Digest, DigestRange, Kind, RangeDigest, Reason,
};

use crate::core::{Core, reason_of_store};
use crate::effect::Inbound;
use crate::listing::{Listed, fingerprint_of, is_in_one_slot, whole, within};
use crate::records::container;
use crate::time::Time;

/// Entries that are looked at for ranges across slots in one request.
const ENTRIES: usize = 16_384;

/// Entries that ranges of one slot may overlap by in one request, however few the slot has.
const OVERLAP: usize = 256;

/// What may still be looked at for one request.
struct Work {
    /// Entries of further slots.
    most: usize,
    /// The slot that was looked at last. It is not looked at again for the next range in it.
    slot: Option<Key>,
    /// Entries of that slot that may still be compared: ranges that overlap make hardly more work
    /// than those that do not.
    left: usize,
}

/// Answers each range with what is different here.
pub(super) fn digest(core: &mut Core, now: Time, digest: &Digest, inbound: &Inbound) -> Answer {
    let refused = |core: &mut Core, reason| {
        core.drops.count(reason);
        Answer::Refused(reason)
    };
    if !inbound.confirmed {
        return refused(core, Reason::NotConfirmed);
    }
    let mut work = Work {
        most: ENTRIES,
        slot: None,
        left: 0,
    };
    let mut answers = Vec::with_capacity(digest.ranges.len());
    for range in &digest.ranges {
        let is_new = work.slot != Some(range.start.slot);
        if is_new && work.most == 0 {
            answers.push(RangeDigest::Differs);
            continue;
        }
        match compare(core, now, digest.kind, range, &mut work) {
            Ok(answer) => {
                let is_whole = (range.start, range.end) == whole(range.start.slot);
                let slot = range.start.slot;
                // What nobody has takes up no room among what is remembered.
                let has_any = range.fingerprint != fingerprint_of(&[]);
                let same = is_whole && has_any && answer == RangeDigest::Same;
                if same && core.is_near_holder(&inbound.key.id(), &slot) {
                    let place = container(&slot, digest.kind);
                    core.replicated.note(place, now.moment);
                }
                answers.push(answer);
            }
            Err(Reason::TooLarge) if !answers.is_empty() => answers.push(RangeDigest::Differs),
            Err(reason) => return refused(core, reason),
        }
    }
    Answer::Digested(answers)
}

fn compare(
    core: &mut Core,
    now: Time,
    kind: Kind,
    range: &DigestRange,
    work: &mut Work,
) -> Result<RangeDigest, Reason> {
    let slot = range.start.slot;
    let listing: Arc<Vec<Listed>>;
    let across;
    let listed: &[Listed] = if is_in_one_slot(range) {
        listing = core
            .listing(&slot, kind, now)
            .map_err(|error| reason_of_store(&error))?;
        if work.slot.replace(slot) != Some(slot) {
            work.most = work.most.saturating_sub(listing.len());
            work.left = listing.len().max(OVERLAP);
        }
        let part = within(&listing, range);
        let Some(left) = work.left.checked_sub(part.len()) else {
            return Ok(RangeDigest::Differs);
        };
        work.left = left;
        part
    } else {
        across = core
            .listing_across(kind, range, &mut work.most, now)
            .map_err(|error| reason_of_store(&error))?
            .ok_or(Reason::TooLarge)?;
        &across
    };
    let is_visible = |slot: &Key| !core.is_key_blocked(slot);
    let visible: Vec<Listed>;
    let listed = if listed
        .iter()
        .all(|(position, _)| is_visible(&position.slot))
    {
        listed
    } else {
        visible = listed
            .iter()
            .filter(|(position, _)| is_visible(&position.slot))
            .copied()
            .collect();
        &visible
    };
    Ok(difference(listed, range))
}

/// What is here, as far as it has to be told to somebody whose fingerprint is another one.
fn difference(listed: &[Listed], range: &DigestRange) -> RangeDigest {
    if fingerprint_of(listed) == range.fingerprint {
        return RangeDigest::Same;
    }
    if listed.len() <= DIGEST_RECORDS_MAX {
        return RangeDigest::Records(listed.to_vec());
    }
    let parts: Vec<&[Listed]> = listed.chunks(listed.len().div_ceil(DIGEST_SPLIT)).collect();
    // A part reaches to the first record of the next one, the outer ones to the ends of the range.
    let starts = parts
        .iter()
        .map(|part| part.first().map(|(first, _)| *first));
    let starts: Vec<_> = starts.collect();
    let split = parts.iter().enumerate().map(|(index, part)| DigestRange {
        start: starts
            .get(index)
            .copied()
            .flatten()
            .filter(|_| index > 0)
            .unwrap_or(range.start),
        end: starts.get(index + 1).copied().flatten().or(range.end),
        fingerprint: fingerprint_of(part),
    });
    RangeDigest::Split(split.collect())
}

#[cfg(test)]
mod tests;
