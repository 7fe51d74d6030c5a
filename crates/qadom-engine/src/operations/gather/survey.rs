//! Comparing what one holder has with the union, range by range.
//!
//! What must stay true: a range is asked for again only in smaller parts, so that whatever a
//! holder answers the survey ends; what it learnt holds for one version of the union.

use std::collections::BTreeSet;

use qadom_routing::Key;
use qadom_wire::{
    BODY_MAX, DIGEST_RANGES_MAX, DigestRange, IdRange, Position, RangeDigest, Reason,
};

use super::ranges;
use super::union::Union;

/// Ranges in one question: with two whole positions each so many fit into a body.
const RANGES_MAX: usize = 48;
const _: () = assert!(RANGES_MAX <= DIGEST_RANGES_MAX && RANGES_MAX * 176 <= BODY_MAX);
/// Questions that one survey may take: 65 536 records in leaves of 32, of which two fit into an
/// answer.
const QUESTIONS_MAX: u32 = 1024;

/// What is known of the difference between a holder and the union.
#[derive(Debug)]
pub(crate) struct Survey {
    version: u64,
    todo: Vec<IdRange>,
    /// What the union has and the holder has not, or has in a lower version.
    lacks: BTreeSet<Key>,
    /// What the holder has and the union has not.
    wants: Vec<IdRange>,
    /// Whether the holder has, or says so, what the union has not.
    is_ahead: bool,
    /// Whether something that the holder has is left to a later survey.
    is_put_off: bool,
    questions: u32,
}

impl Survey {
    pub(crate) fn new(union: &Union) -> Self {
        Self {
            version: union.version(),
            todo: vec![union.place().ids()],
            lacks: BTreeSet::new(),
            wants: Vec::new(),
            is_ahead: false,
            is_put_off: false,
            questions: 0,
        }
    }

    /// The next ranges to ask the holder about; none when everything was asked or too much.
    pub(crate) fn next(&mut self) -> Option<Vec<IdRange>> {
        if self.todo.is_empty() || self.questions >= QUESTIONS_MAX {
            return None;
        }
        self.questions += 1;
        let at = self.todo.len().saturating_sub(RANGES_MAX);
        Some(self.todo.split_off(at))
    }

    /// Takes the answer about the ranges that were asked.
    ///
    /// # Errors
    ///
    /// [`Reason::Malformed`] when it does not answer the question.
    pub(crate) fn on_answer(
        &mut self,
        asked: &[IdRange],
        answer: Vec<RangeDigest>,
        union: &Union,
    ) -> Result<(), Reason> {
        if answer.len() != asked.len() {
            return Err(Reason::Malformed);
        }
        // The first difference is always answered in full, or the survey would not get on.
        let first = answer.iter().find(|digest| **digest != RangeDigest::Same);
        if first == Some(&RangeDigest::Differs) {
            return Err(Reason::Malformed);
        }
        for (range, digest) in asked.iter().zip(answer) {
            match digest {
                RangeDigest::Same => {}
                RangeDigest::Differs => self.todo.push(*range),
                RangeDigest::Split(parts) => self.split(range, &parts, union)?,
                RangeDigest::Records(records) => self.compare(range, &records, union)?,
            }
        }
        Ok(())
    }

    /// Whether the holder was asked more than any honest one has to be.
    pub(crate) fn is_endless(&self) -> bool {
        !self.todo.is_empty() && self.questions >= QUESTIONS_MAX
    }

    /// Ranges to fetch from the holder, each once.
    pub(crate) fn take_wants(&mut self) -> Vec<IdRange> {
        std::mem::take(&mut self.wants)
    }

    /// Whether what it learnt is all there is to learn about this version of the union.
    pub(crate) fn is_whole(&self, union: &Union) -> bool {
        self.todo.is_empty()
            && self.wants.is_empty()
            && !self.is_put_off
            && self.version == union.version()
    }

    /// Whether the holder has exactly this union.
    pub(crate) fn agrees(&self, union: &Union) -> bool {
        self.is_whole(union) && self.lacks.is_empty() && !self.is_ahead
    }

    /// Leaves something that the holder has to a later survey.
    pub(crate) const fn put_off(&mut self) {
        self.is_put_off = true;
    }

    pub(crate) const fn lacks(&self) -> &BTreeSet<Key> {
        &self.lacks
    }

    fn split(
        &mut self,
        range: &IdRange,
        parts: &[DigestRange],
        union: &Union,
    ) -> Result<(), Reason> {
        let slot = union.place().slot;
        let mut next = Some(*range.start());
        let mut differing = Vec::new();
        for part in parts {
            let ids = ranges::ids(&slot, &part.start, part.end.as_ref());
            let ids = ids.filter(|ids| Some(ids.start()) == next.as_ref());
            let ids = ids.ok_or(Reason::Malformed)?;
            next = ids.end().copied();
            if union.fingerprint(&ids) != part.fingerprint {
                differing.push(ids);
            }
        }
        if parts.len() < 2 || next.as_ref() != range.end() {
            return Err(Reason::Malformed);
        }
        self.todo.extend(differing);
        Ok(())
    }

    fn compare(
        &mut self,
        range: &IdRange,
        records: &[(Position, [u8; 32])],
        union: &Union,
    ) -> Result<(), Reason> {
        let slot = union.place().slot;
        let mut theirs: Vec<(Key, [u8; 32])> = Vec::with_capacity(records.len());
        for (position, hash) in records {
            let is_next = theirs.last().is_none_or(|(id, _)| *id < position.id);
            if position.slot != slot || !ranges::contains(range, &position.id) || !is_next {
                return Err(Reason::Malformed);
            }
            theirs.push((position.id, *hash));
        }
        let ours: Vec<(Key, [u8; 32])> = union.hashes(range).collect();
        let lacks = ours.iter().filter(|entry| is_absent(&theirs, entry));
        self.lacks.extend(lacks.map(|(id, _)| *id));
        // Neighbours among the holder's records are fetched together.
        let mut run: Option<(Key, Key)> = None;
        for entry in &theirs {
            run = match (is_absent(&ours, entry), run) {
                (true, Some((first, _))) => Some((first, entry.0)),
                (true, None) => Some((entry.0, entry.0)),
                (false, run) => {
                    self.want(run);
                    None
                }
            };
        }
        self.want(run);
        Ok(())
    }

    fn want(&mut self, run: Option<(Key, Key)>) {
        let Some((first, last)) = run else {
            return;
        };
        self.is_ahead = true;
        self.wants
            .extend(IdRange::new(first, ranges::successor(&last)));
    }
}

/// Whether a list that ascends by id does not have exactly this entry.
fn is_absent(list: &[(Key, [u8; 32])], entry: &(Key, [u8; 32])) -> bool {
    let found = list.binary_search_by_key(&entry.0, |(id, _)| *id);
    found.ok().and_then(|at| list.get(at)) != Some(entry)
}

#[cfg(test)]
mod tests {
    use qadom_wire::{Digest, Kind, Network, NetworkId, Request};

    use super::*;
    use crate::operations::gather::union::Place;

    #[test]
    fn the_longest_question_fits_into_a_body() {
        let place = Place {
            slot: Key::from_bytes([1; 32]),
            kind: Kind::BagItem,
            range: None,
        };
        let network: NetworkId = Network::new(b"n", b"").expect("a name").id();
        let union = Union::new(place, network);
        let mut survey = Survey::new(&union);
        survey.todo = ranges::parts(&ranges::everything(), 500);
        let before = survey.todo.len();
        let asked = survey.next().expect("a question");
        let digest_range = |range: &IdRange| {
            let (start, end) = ranges::positions(&place.slot, range);
            let fingerprint = [7; 32];
            DigestRange {
                start,
                end,
                fingerprint,
            }
        };
        let question = Request::Digest(Digest {
            kind: place.kind,
            ranges: asked.iter().map(digest_range).collect(),
        });
        assert_eq!(asked.len(), RANGES_MAX);
        assert!(question.encode().len() <= BODY_MAX);
        assert_eq!(survey.todo.len(), before - RANGES_MAX);
    }
}
