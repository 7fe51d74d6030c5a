//! Looking for what is missing between the events of a writer.
//!
//! What must stay true: one question is under way with each holder, and at most three for a hole;
//! holders are asked before others that are near the slot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qadom_routing::{Contact, Families, Key, Moment, NodeKey};
use qadom_wire::{Answer, Find, IdRange, Kind, Record, Request, SignedRecord};

use super::arrivals::Arrivals;
use crate::core::Purpose;
use crate::ordering::{Hole, Place, Tag};
use crate::walk::Context;

/// Nodes that are asked at once for a hole, and whose word that there is nothing is enough.
const ASKED: usize = 3;
/// How long what is certainly missing may be on its way before anybody is asked.
const FIRST_AFTER: Duration = Duration::from_millis(200);
/// The pause between two rounds of questions.
const AGAIN_AFTER: Duration = Duration::from_millis(800);

/// The pause while everybody is being asked for something else.
const BUSY_FOR: Duration = Duration::from_millis(100);

/// A question under way.
#[derive(Debug)]
struct Question {
    hole: Hole,
    is_repeated: bool,
}

/// The search for one hole.
#[derive(Debug)]
struct Search {
    hole: Hole,
    asked: BTreeSet<NodeKey>,
    /// Nodes that answered.
    answers: usize,
    next_at: Moment,
}

/// All that is being looked for.
#[derive(Debug, Default)]
pub(super) struct Searches {
    searches: BTreeMap<Tag, Search>,
    questions: BTreeMap<NodeKey, Question>,
}

impl Searches {
    /// Asks what is to be asked now, and clears holes in which nothing is.
    pub(super) fn tend(
        &mut self,
        context: &mut Context<'_>,
        slot: Key,
        arrivals: &mut Arrivals,
        others: &[Contact],
    ) {
        let holes = arrivals.holes();
        let is_there = |search: &Search| {
            let mut same = holes.iter().filter(|hole| hole.tag == search.hole.tag);
            same.any(|hole| hole.before == search.hole.before)
        };
        self.searches.retain(|_, search| is_there(search));
        for hole in holes {
            self.tend_one(context, slot, hole, arrivals, others);
        }
    }

    fn tend_one(
        &mut self,
        context: &mut Context<'_>,
        slot: Key,
        hole: Hole,
        arrivals: &mut Arrivals,
        others: &[Contact],
    ) {
        let now = context.now.moment;
        let pause = if hole.is_certain {
            FIRST_AFTER
        } else {
            Duration::ZERO
        };
        let search = self.searches.entry(hole.tag).or_insert_with(|| Search {
            hole,
            asked: BTreeSet::new(),
            answers: 0,
            next_at: hole.noticed + pause,
        });
        search.hole = hole;
        if now < search.next_at {
            return;
        }
        let unasked = others
            .iter()
            .filter(|other| !search.asked.contains(other.key()));
        let unasked: Vec<&Contact> = unasked.collect();
        if !hole.is_certain && (search.answers >= ASKED || unasked.is_empty()) {
            self.searches.remove(&hole.tag);
            return arrivals.clear(&hole);
        }
        if unasked.is_empty() {
            search.asked.clear();
        }
        let is_free = |other: &&&Contact| !self.questions.contains_key(other.key());
        let free: Vec<Contact> = unasked
            .iter()
            .filter(is_free)
            .take(ASKED)
            .map(|other| (*other).clone())
            .collect();
        search.next_at = now
            + if free.is_empty() {
                BUSY_FOR
            } else {
                AGAIN_AFTER
            };
        for other in free {
            search.asked.insert(*other.key());
            let Some(range) = range_of(&hole, None) else {
                continue;
            };
            if ask(context, slot, &other, range) {
                let is_repeated = false;
                self.questions
                    .insert(*other.key(), Question { hole, is_repeated });
            }
        }
    }

    /// Takes an answer; gives the records that it brought.
    pub(super) fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        slot: Key,
        from: &Contact,
        answer: Answer,
    ) -> Vec<SignedRecord> {
        let Some(question) = self.questions.remove(from.key()) else {
            return Vec::new();
        };
        let Answer::Found(found) = answer else {
            return Vec::new();
        };
        let hole = question.hole;
        // A long record comes once the session is confirmed, a further page behind the first.
        let again = if found.oversize.is_some() && !question.is_repeated {
            range_of(&hole, None)
        } else {
            found.cursor.and_then(|next| range_of(&hole, Some(next)))
        };
        if let Some(range) = again
            && ask(context, slot, from, range)
        {
            let is_repeated = true;
            self.questions
                .insert(*from.key(), Question { hole, is_repeated });
        } else {
            self.on_end(&hole, true, context.now.moment);
        }
        let records = found.records.into_iter().filter_map(|record| match record {
            Record::Signed(record) => Some(record),
            _ => None,
        });
        let is_asked = |record: &SignedRecord| {
            let is_of_slot = *record.slot() == slot && record.kind() == Kind::Event;
            is_of_slot && record.writer().tag() == hole.tag
        };
        records.filter(is_asked).collect()
    }

    pub(super) fn on_failed(&mut self, from: &NodeKey, now: Moment) {
        if let Some(question) = self.questions.remove(from) {
            self.on_end(&question.hole, false, now);
        }
    }

    /// A question has ended. Where perhaps nothing is missing, no time is given for it to arrive
    /// once all that were asked have answered.
    fn on_end(&mut self, hole: &Hole, is_answer: bool, now: Moment) {
        let is_same = |other: &Hole| (other.tag, other.before) == (hole.tag, hole.before);
        let mut open = self.questions.values();
        let is_open = open.any(|question| is_same(&question.hole));
        let search = self.searches.get_mut(&hole.tag);
        if let Some(search) = search.filter(|search| is_same(&search.hole)) {
            search.answers += usize::from(is_answer);
            if !is_open && !search.hole.is_certain {
                search.next_at = now;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.searches.values().map(|search| search.next_at).min()
    }
}

fn ask(context: &mut Context<'_>, slot: Key, other: &Contact, range: IdRange) -> bool {
    let request = Request::Find(Find {
        slot,
        kind: Kind::Event,
        range: Some(range),
        have: None,
        want: Families {
            v4: false,
            v6: false,
        },
    });
    let operation = Some(context.operation);
    let sent = context.core.send(operation, Purpose::Fill, other, &request);
    sent.is_some()
}

/// The ids in a hole and those nearby, or those of them from `next` on.
fn range_of(hole: &Hole, next: Option<Key>) -> Option<IdRange> {
    let none = Place { stream: 0, seq: 0 };
    let after = hole.after.map_or(none, |after| Place {
        seq: after.seq.saturating_add(1),
        ..after
    });
    let first = id(hole.tag, after);
    let start = next.map_or(first, |next| next.max(first));
    IdRange::new(start, Some(id(hole.tag, hole.until)))
}

fn id(tag: Tag, place: Place) -> Key {
    let numbers = (u128::from(place.stream) << 64) | u128::from(place.seq);
    let mut id = [0; 32];
    if let ([front, back], _) = id.as_chunks_mut::<16>() {
        *front = tag;
        *back = numbers.to_be_bytes();
    }
    Key::from_bytes(id)
}
