//! What one holder is asked, one thing after the other: in what it differs, then what is missing
//! here.
//!
//! What must stay true: ranges are only asked for again in smaller parts, who leads on without
//! giving anything is given up, and what comes is verified. A value that is fetched lives no longer
//! than until its holders have renewed it: how long it may live, only they know.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use qadom_routing::{Contact, Families, Key};
use qadom_wire::{
    Answer, Digest, DigestRange, Find, Found, IdRange, K, Kind, Position, RangeDigest, Reason,
    Record, Request, StoreClass, Value,
};

use crate::blocks::is_lie;
use crate::core::Core;
use crate::keep::{Kept, Origin};
use crate::listing::{Listed, fingerprint_of, is_in_one_slot, next, within};
use crate::operations::replication::arrival::{Wanted, keep_found};
use crate::publications::region::Survey;
use crate::records::{Held, container, counted_for};
use crate::time::Time;

/// From a position to before another one, or to the end of all keys.
pub(super) type Span = (Position, Option<Position>);

/// Requests to one holder: for each of the records that a node keeps at the most, and to find out
/// about them.
const REQUESTS: u32 = 500_000;
/// Requests in a row that bring nothing, after which a holder is given up: enough to find out that
/// nothing is missing from a full one.
const FRUITLESS: u32 = 4096;
/// Own entries that are looked at for one comparison across slots.
const ENTRIES: usize = 16_384;

#[derive(Clone, Debug)]
enum Step {
    /// Find out what the holder has. The fingerprints are taken when it is asked.
    Compare(Digest),
    Value(Key),
    Signed(Wanted),
}

/// What is fetched from one holder.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) contact: Contact,
    steps: VecDeque<Step>,
    asked: Option<Step>,
    requests: u32,
    fruitless: u32,
    is_answered: bool,
}

impl Pull {
    pub(super) fn new(contact: Contact, spans: &[Span]) -> Self {
        let digests = Kind::ALL.iter().flat_map(|kind| {
            let ranges = spans.iter().map(|(start, end)| DigestRange {
                start: *start,
                end: *end,
                fingerprint: [0; 32],
            });
            Digest::batches(*kind, ranges)
        });
        Self {
            contact,
            steps: digests.map(Step::Compare).collect(),
            asked: None,
            requests: 0,
            fruitless: 0,
            is_answered: false,
        }
    }

    /// Whether the holder waits for nothing and there is something left to do.
    pub(super) fn is_ready(&self) -> bool {
        self.asked.is_none() && !self.steps.is_empty()
    }

    /// Whether the holder told something.
    pub(super) const fn is_answered(&self) -> bool {
        self.is_answered
    }

    pub(super) fn give_up(&mut self) {
        self.asked = None;
        self.steps.clear();
    }

    /// The next request; none when what was left needs none.
    pub(super) fn next(&mut self, core: &mut Core, now: Time) -> Option<Request> {
        while let Some(step) = self.steps.pop_front() {
            if self.requests >= REQUESTS || self.fruitless >= FRUITLESS {
                self.give_up();
                return None;
            }
            let (step, request) = match step {
                Step::Compare(mut digest) => {
                    fingerprint(core, &mut digest, now);
                    (Step::Compare(digest.clone()), Request::Digest(digest))
                }
                Step::Value(key) => {
                    if core.held_value(&key, now).is_ok_and(|held| held.is_some()) {
                        continue;
                    }
                    (step, find(key, Kind::Value, None))
                }
                Step::Signed(Wanted { slot, kind, range }) => (step, find(slot, kind, Some(range))),
            };
            self.requests += 1;
            self.fruitless += 1;
            self.asked = Some(step);
            return Some(request);
        }
        None
    }

    pub(super) fn on_answer(
        &mut self,
        core: &mut Core,
        survey: &Survey,
        now: Time,
        answer: Answer,
    ) {
        match (self.asked.take(), answer) {
            (Some(Step::Compare(digest)), Answer::Digested(answers))
                if answers.len() == digest.ranges.len() =>
            {
                self.is_answered = true;
                self.on_compared(core, survey, now, &digest, answers);
            }
            (Some(Step::Compare(digest)), Answer::Refused(Reason::TooLarge)) => {
                self.on_too_wide(digest);
            }
            (Some(Step::Value(key)), Answer::Found(found)) => self.on_value(core, key, found, now),
            (Some(Step::Signed(wanted)), Answer::Found(found)) => {
                let arrival = keep_found(core, &self.contact, wanted, found, now);
                if arrival.is_gain {
                    self.on_gain(core);
                }
                if arrival.is_lie {
                    self.give_up();
                } else if let Some(range) = arrival.rest {
                    self.steps
                        .push_front(Step::Signed(Wanted { range, ..wanted }));
                }
            }
            // It tells nothing, or what makes no sense.
            _ => self.give_up(),
        }
    }

    fn on_gain(&mut self, core: &mut Core) {
        self.fruitless = 0;
        core.refilling.on_fetched();
    }

    fn on_compared(
        &mut self,
        core: &mut Core,
        survey: &Survey,
        now: Time,
        digest: &Digest,
        answers: Vec<RangeDigest>,
    ) {
        let kind = digest.kind;
        let is_told = answers.iter().any(|answer| *answer != RangeDigest::Differs);
        let is_fitting = |(range, answer): (&DigestRange, &RangeDigest)| answer.is_answer_to(range);
        // Something is always told in full, or this would not get on.
        if !is_told || !digest.ranges.iter().zip(&answers).all(is_fitting) {
            core.refuse_answer(&self.contact, Reason::Malformed);
            return self.give_up();
        }
        let mut again = Vec::new();
        for (asked, answer) in digest.ranges.iter().zip(answers) {
            match answer {
                RangeDigest::Same => {}
                RangeDigest::Differs => again.push(*asked),
                RangeDigest::Split(parts) if parts.len() > 1 => {
                    let mut most = ENTRIES;
                    again.extend(parts.into_iter().filter(|part| {
                        fingerprint_here(core, kind, part, &mut most, now) != part.fingerprint
                    }));
                }
                RangeDigest::Split(_) => return self.give_up(),
                RangeDigest::Records(theirs) => {
                    for slot in theirs.chunk_by(|(one, _), (other, _)| one.slot == other.slot) {
                        self.plan(core, survey, kind, slot, now);
                    }
                }
            }
        }
        let batches = Digest::batches(kind, again).into_iter();
        self.steps.extend(batches.map(Step::Compare));
    }

    /// Plans to fetch what is missing of one slot, when this node is one of the nearest to it.
    fn plan(&mut self, core: &mut Core, survey: &Survey, kind: Kind, theirs: &[Listed], now: Time) {
        let Some((Position { slot, .. }, _)) = theirs.first().copied() else {
            return;
        };
        if !is_held_here(core, survey, &slot) {
            return;
        }
        if kind == Kind::Value {
            return self.steps.push_front(Step::Value(slot));
        }
        let ours = core.listing(&slot, kind, now).unwrap_or_default();
        let is_missing = |line: &Listed| ours.binary_search(line).is_err();
        let runs = theirs.chunk_by(|one, other| is_missing(one) == is_missing(other));
        for run in runs.filter(|run| run.first().is_some_and(is_missing)) {
            let ids = run.first().zip(run.last());
            let ids = ids.map(|((first, _), (last, _))| first.id..=last.id);
            let range = ids
                .and_then(|ids: RangeInclusive<Key>| IdRange::new(*ids.start(), next(ids.end())));
            let wanted = range.map(|range| Wanted { slot, kind, range });
            self.steps.extend(wanted.map(Step::Signed));
        }
    }

    /// Asks for the first range again by halves, and for the others as they were.
    fn on_too_wide(&mut self, mut digest: Digest) {
        if digest.ranges.is_empty() {
            return self.give_up();
        }
        let first = digest.ranges.remove(0);
        let kind = digest.kind;
        let last = first.end.map_or(Key::MAX, |end| end.slot);
        let middle = middle(&first.start.slot, &last);
        if middle <= first.start.slot {
            return self.give_up();
        }
        let middle = Position::first_of(middle);
        if !digest.ranges.is_empty() {
            self.steps.push_front(Step::Compare(digest));
        }
        let halves = [
            DigestRange {
                start: middle,
                ..first
            },
            DigestRange {
                end: Some(middle),
                ..first
            },
        ];
        for half in halves {
            let ranges = vec![half];
            self.steps
                .push_front(Step::Compare(Digest { kind, ranges }));
        }
    }

    fn on_value(&mut self, core: &mut Core, key: Key, found: Found, now: Time) {
        let value = match found.records.into_iter().next() {
            Some(Record::Value(value)) if *value.key() == key => value,
            Some(_) => {
                core.refuse_answer(&self.contact, Reason::BadHash);
                return self.give_up();
            }
            // It is gone by now.
            None => return,
        };
        match keep_value(core, &self.contact, value, now) {
            Ok(Kept::Stored { .. }) => self.on_gain(core),
            Ok(Kept::Renewed) => {}
            Err(reason) => {
                core.refuse_answer(&self.contact, reason);
                if is_lie(reason) {
                    self.give_up();
                }
            }
        }
        core.commit_unwatched();
    }
}

/// Keeps a value until the others, who replicate each hour, have told how long it lives.
fn keep_value(core: &mut Core, from: &Contact, value: Value, now: Time) -> Result<Kept, Reason> {
    let address = from.address(core.config.families);
    let origin = Origin::holder(address.map(|address| address.ip()));
    let size = u64::try_from(value.bytes().len()).unwrap_or(u64::MAX);
    let place = container(value.key(), Kind::Value);
    let group = core.group_of(origin, &place, size);
    let life = core.replicate_every().mul_f64(2.2).as_secs();
    let mut held = Held::new(value, StoreClass::Replica, life, now);
    held.group = counted_for(group);
    core.keep(held, now)
}

/// Whether this node is one of the k nearest to a slot.
fn is_held_here(core: &Core, survey: &Survey, slot: &Key) -> bool {
    let nearest = survey.nearest(slot, K);
    let farthest = nearest.get(K - 1);
    let own = core.own.key().distance(slot);
    farthest.is_none_or(|farthest| own < farthest.id().key().distance(slot))
}

fn find(slot: Key, kind: Kind, range: Option<IdRange>) -> Request {
    Request::Find(Find {
        slot,
        kind,
        range,
        have: None,
        want: Families {
            v4: false,
            v6: false,
        },
    })
}

/// Tells in each range what is here.
fn fingerprint(core: &mut Core, digest: &mut Digest, now: Time) {
    let mut most = ENTRIES;
    for range in &mut digest.ranges {
        range.fingerprint = fingerprint_here(core, digest.kind, range, &mut most, now);
    }
}

/// The fingerprint of what is here in a range; one that nothing has when there is too much to look
/// at, or the store fails.
fn fingerprint_here(
    core: &mut Core,
    kind: Kind,
    range: &DigestRange,
    most: &mut usize,
    now: Time,
) -> [u8; 32] {
    let fingerprint = if is_in_one_slot(range) {
        let listing = core.listing(&range.start.slot, kind, now);
        listing
            .ok()
            .map(|listing| fingerprint_of(within(&listing, range)))
    } else {
        let listing = core.listing_across(kind, range, most, now);
        listing
            .ok()
            .flatten()
            .map(|listing| fingerprint_of(&listing))
    };
    fingerprint.unwrap_or_default()
}

/// The key halfway between two.
fn middle(one: &Key, other: &Key) -> Key {
    let mut bytes = [0; 32];
    let mut carry = 0_u16;
    // The sum of both has 257 bits: its top bit is the carry that is left.
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    for (byte, (one, other)) in bytes.iter_mut().zip(pairs).rev() {
        let sum = u16::from(*one) + u16::from(*other) + carry;
        carry = sum >> 8;
        *byte = sum.to_be_bytes()[1];
    }
    let mut above = u8::try_from(carry).unwrap_or(1);
    for byte in &mut bytes {
        let lowest = *byte & 1;
        *byte = (*byte >> 1) | (above << 7);
        above = lowest;
    }
    Key::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between() {
        assert_eq!(middle(&Key::ZERO, &Key::ZERO), Key::ZERO);
        assert_eq!(middle(&Key::MAX, &Key::MAX), Key::MAX);
        let mut half = [0xff; 32];
        half[0] = 0x7f;
        assert_eq!(middle(&Key::ZERO, &Key::MAX), Key::from_bytes(half));
        let (mut one, mut two) = ([0; 32], [0; 32]);
        (one[30], two[31]) = (1, 2);
        let expected = [[0_u8; 31].as_slice(), &[0x81]].concat();
        let between = middle(&Key::from_bytes(one), &Key::from_bytes(two));
        assert_eq!(between.as_bytes()[..], expected);
        let (low, high) = (Key::from_bytes([7; 32]), Key::from_bytes([8; 32]));
        assert!(low < middle(&low, &high) && middle(&low, &high) < high);
    }
}
