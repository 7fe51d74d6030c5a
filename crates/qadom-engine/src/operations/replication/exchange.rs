//! What one holder is asked and brought, one thing after the other.
//!
//! What must stay true: ranges that differ are only asked for again in smaller parts, and after a
//! fixed number of requests nothing more is; what a holder gives is verified and kept as anything
//! else is.

use std::collections::{BTreeSet, VecDeque};

use qadom_routing::{Contact, Families, Key};
use qadom_store::Container;
use qadom_wire::{
    Answer, BODY_MAX, Digest, DigestRange, Find, Found, ITEMS_MAX, IdRange, Kind, RangeDigest,
    Reason, Record, Renewal, Request, SourceGroup, Store, StoreClass, StoreItem, StoreResult,
};

use super::arrival::{Wanted, keep_found};
use crate::core::Core;
use crate::listing::{Listed, fingerprint_of, next, whole, within};
use crate::records::container;
use crate::time::Time;

/// Requests in one exchange: enough to bring a full bag, and to find out about it.
const REQUESTS: u32 = 4096;
/// What an item takes up in a message beside its record, at the most, in bytes.
const ITEM_OVERHEAD: usize = 24;

/// A record that is to be brought.
#[derive(Clone, Copy, Debug)]
struct Load {
    slot: Key,
    kind: Kind,
    id: Key,
    /// With its payload; else as a renewal of what the holder may have.
    is_whole: bool,
}

#[derive(Debug)]
enum Step {
    /// Find out in what the holder differs. The fingerprints are taken when it is asked.
    Compare(Digest),
    /// Bring these.
    Bring(VecDeque<Load>),
    /// Fetch a range of ids.
    Fetch {
        slot: Key,
        kind: Kind,
        range: IdRange,
    },
}

/// What is under way.
#[derive(Debug)]
enum Asked {
    Compare(Digest),
    Bring(Vec<Load>),
    Fetch {
        slot: Key,
        kind: Kind,
        range: IdRange,
    },
}

/// The exchange with one holder.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) contact: Contact,
    places: BTreeSet<Container>,
    steps: VecDeque<Step>,
    asked: Option<Asked>,
    requests: u32,
    has_answered: bool,
    is_given_up: bool,
}

impl Exchange {
    pub(super) const fn new(contact: Contact) -> Self {
        Self {
            contact,
            places: BTreeSet::new(),
            steps: VecDeque::new(),
            asked: None,
            requests: 0,
            has_answered: false,
            is_given_up: false,
        }
    }

    /// Compares what is in these places; values are renewed, since all that can be told of them is
    /// how long they live.
    pub(super) fn plan(&mut self, places: &[Container]) {
        self.places.extend(places);
        let values = places
            .iter()
            .filter(|place| place.first == Kind::Value.number());
        let loads: VecDeque<Load> = values
            .map(|place| Load {
                slot: place.slot,
                kind: Kind::Value,
                id: Key::ZERO,
                is_whole: false,
            })
            .collect();
        if !loads.is_empty() {
            self.steps.push_back(Step::Bring(loads));
        }
        for kind in Kind::ALL.iter().filter(|kind| kind.is_signed()) {
            let of_kind = places.iter().filter(|place| place.first == kind.number());
            let ranges = of_kind.map(|place| {
                let (start, end) = whole(place.slot);
                DigestRange {
                    start,
                    end,
                    fingerprint: [0; 32],
                }
            });
            let batches = Digest::batches(*kind, ranges).into_iter();
            self.steps.extend(batches.map(Step::Compare));
        }
    }

    /// Compares again, if the holder still answers.
    pub(super) fn plan_again(&mut self, places: &[Container]) {
        if !self.is_given_up {
            self.plan(places);
        }
    }

    /// Whether the holder answered all that it was asked about a place.
    pub(super) fn is_done_with(&self, place: &Container) -> bool {
        !self.is_given_up && self.is_about(place)
    }

    pub(super) fn is_about(&self, place: &Container) -> bool {
        self.places.contains(place)
    }

    /// Whether the holder answered anything at all.
    pub(super) const fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether the holder waits for nothing and there is something left to do.
    pub(super) fn is_ready(&self) -> bool {
        self.asked.is_none() && !self.steps.is_empty()
    }

    pub(super) fn give_up(&mut self) {
        self.asked = None;
        self.steps.clear();
        self.is_given_up = true;
    }

    /// The next request; none when what was left needs none.
    pub(super) fn next(&mut self, core: &mut Core, now: Time) -> Option<Request> {
        while let Some(step) = self.steps.pop_front() {
            if self.requests >= REQUESTS {
                self.give_up();
                return None;
            }
            let (asked, request) = match step {
                Step::Compare(digest) => {
                    let digest = fingerprinted(digest, core, now)?;
                    (Asked::Compare(digest.clone()), Request::Digest(digest))
                }
                Step::Bring(mut loads) => {
                    let (sent, store) = batch(&mut loads, core, now);
                    if !loads.is_empty() {
                        self.steps.push_front(Step::Bring(loads));
                    }
                    if sent.is_empty() {
                        continue;
                    }
                    (Asked::Bring(sent), Request::Store(store))
                }
                Step::Fetch { slot, kind, range } => {
                    let find = Find {
                        slot,
                        kind,
                        range: Some(range),
                        have: None,
                        want: Families {
                            v4: false,
                            v6: false,
                        },
                    };
                    (Asked::Fetch { slot, kind, range }, Request::Find(find))
                }
            };
            self.requests += 1;
            self.asked = Some(asked);
            return Some(request);
        }
        None
    }

    /// Takes an answer; gives the places in which something new was found.
    pub(super) fn on_answer(
        &mut self,
        core: &mut Core,
        now: Time,
        answer: Answer,
    ) -> Option<Container> {
        self.has_answered = true;
        match (self.asked.take()?, answer) {
            (Asked::Compare(digest), Answer::Digested(answers))
                if answers.len() == digest.ranges.len() =>
            {
                self.on_compared(core, now, &digest, answers);
            }
            (Asked::Bring(sent), Answer::Stored(results)) if results.len() == sent.len() => {
                self.on_brought(sent, &results);
            }
            (Asked::Fetch { slot, kind, range }, Answer::Found(found)) => {
                return self.on_fetched(core, now, (slot, kind, range), found);
            }
            // It takes nothing, or says what makes no sense.
            _ => self.give_up(),
        }
        None
    }

    fn on_compared(
        &mut self,
        core: &mut Core,
        now: Time,
        digest: &Digest,
        answers: Vec<RangeDigest>,
    ) {
        let kind = digest.kind;
        let mut again = Vec::new();
        // Something is always told in full, or the exchange would not get on.
        if answers.iter().all(|answer| *answer == RangeDigest::Differs) {
            core.refuse_answer(&self.contact, Reason::Malformed);
            return self.give_up();
        }
        for (asked, answer) in digest.ranges.iter().zip(answers) {
            if !answer.is_answer_to(asked) {
                core.refuse_answer(&self.contact, Reason::Malformed);
                return self.give_up();
            }
            match answer {
                RangeDigest::Same => {}
                RangeDigest::Differs => again.push(*asked),
                RangeDigest::Split(parts) if parts.len() > 1 => {
                    let listing = core.listing(&asked.start.slot, kind, now);
                    let listing = listing.unwrap_or_default();
                    again.extend(
                        parts.into_iter().filter(|part| {
                            fingerprint_of(within(&listing, part)) != part.fingerprint
                        }),
                    );
                }
                RangeDigest::Split(_) => return self.give_up(),
                RangeDigest::Records(theirs) => {
                    let listing = core.listing(&asked.start.slot, kind, now);
                    let listing = listing.unwrap_or_default();
                    self.settle(kind, within(&listing, asked), &theirs);
                }
            }
        }
        let batches = Digest::batches(kind, again).into_iter();
        self.steps.extend(batches.map(Step::Compare));
    }

    /// Plans what has to travel, in which direction. What both have in different versions is
    /// fetched first, and then brought to whoever turns out to be behind.
    fn settle(&mut self, kind: Kind, ours: &[Listed], theirs: &[Listed]) {
        let mut run: Option<IdRange> = None;
        for (position, hash) in theirs {
            let is_here = ours.binary_search(&(*position, *hash)).is_ok();
            let end = next(&position.id);
            run = match run.take() {
                Some(run) if !is_here => IdRange::new(*run.start(), end),
                None if !is_here => IdRange::new(position.id, end),
                run => {
                    self.fetch(position.slot, kind, run);
                    None
                }
            };
        }
        if let Some((position, _)) = theirs.last() {
            self.fetch(position.slot, kind, run);
        }
        let differing = ours.iter().filter(|line| !theirs.contains(line));
        let loads: VecDeque<Load> = differing
            .map(|(position, _)| Load {
                slot: position.slot,
                kind,
                id: position.id,
                is_whole: !theirs.iter().any(|(other, _)| other == position),
            })
            .collect();
        if !loads.is_empty() {
            self.steps.push_back(Step::Bring(loads));
        }
    }

    fn fetch(&mut self, slot: Key, kind: Kind, range: Option<IdRange>) {
        let fetch = range.map(|range| Step::Fetch { slot, kind, range });
        self.steps.extend(fetch);
    }

    fn on_brought(&mut self, sent: Vec<Load>, results: &[StoreResult]) {
        let lacking = sent.into_iter().zip(results).filter(|(load, result)| {
            !load.is_whole && matches!(result, StoreResult::Refused(Reason::NotFound))
        });
        let whole: VecDeque<Load> = lacking
            .map(|(load, _)| Load {
                is_whole: true,
                ..load
            })
            .collect();
        if !whole.is_empty() {
            self.steps.push_back(Step::Bring(whole));
        }
    }

    fn on_fetched(
        &mut self,
        core: &mut Core,
        now: Time,
        (slot, kind, range): (Key, Kind, IdRange),
        found: Found,
    ) -> Option<Container> {
        let wanted = Wanted { slot, kind, range };
        let arrival = keep_found(core, &self.contact, wanted, found, now);
        if arrival.is_lie {
            self.give_up();
        } else if let Some(range) = arrival.rest {
            self.steps.push_front(Step::Fetch { slot, kind, range });
        }
        arrival.is_gain.then(|| container(&slot, kind))
    }
}

/// The ranges with what is here in each.
fn fingerprinted(mut digest: Digest, core: &mut Core, now: Time) -> Option<Digest> {
    for range in &mut digest.ranges {
        let listing = core.listing(&range.start.slot, digest.kind, now).ok()?;
        range.fingerprint = fingerprint_of(within(&listing, range));
    }
    Some(digest)
}

/// Takes off as many as fit into one message. What is no longer held is left out.
fn batch(loads: &mut VecDeque<Load>, core: &Core, now: Time) -> (Vec<Load>, Store) {
    let (mut sent, mut store, mut length) = (Vec::new(), Store::default(), 0);
    while sent.len() < ITEMS_MAX
        && let Some(load) = loads.front().copied()
    {
        if let Some(item) = item_of(load, core, now) {
            let item_length = item.record.encoded_length() + ITEM_OVERHEAD;
            if length + item_length > BODY_MAX && !sent.is_empty() {
                break;
            }
            length += item_length;
            store.items.push(item);
            sent.push(load);
        }
        loads.pop_front();
    }
    (sent, store)
}

/// A record as it travels to another holder; none when it is not to be given out any more.
fn item_of(load: Load, core: &Core, now: Time) -> Option<StoreItem> {
    if load.kind == Kind::Value {
        let item = core.held_value(&load.slot, now).ok()??.to_replica(now)?;
        let renewal = Record::Renewal(Renewal::Value(load.slot));
        let record = if load.is_whole { item.record } else { renewal };
        return Some(StoreItem { record, ..item });
    }
    let held = core.held_record(&load.slot, load.kind, &load.id).ok()??;
    let is_over = core
        .trusted_time(now)
        .is_some_and(|now| !held.is_alive(now));
    if is_over || core.is_record_blocked(&held.record) {
        return None;
    }
    let record = if load.is_whole {
        Record::Signed(held.record.into_inner())
    } else {
        Record::Renewal(Renewal::of(&held.record))
    };
    Some(StoreItem {
        record,
        class: StoreClass::Replica,
        ttl_seconds: 0,
        group: SourceGroup::from_bytes(held.group),
        exclusive: false,
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use qadom_routing::NodeKey;

    use super::*;

    #[test]
    fn a_holder_that_did_not_answer_is_done_with_nothing() {
        let key = NodeKey::new([9; 32]).unwrap();
        let address = SocketAddr::from(([60, 0, 0, 1], 7236));
        let mut exchange = Exchange::new(Contact::at(key, address, true));
        let places = [1, 2].map(|slot| container(&Key::from_bytes([slot; 32]), Kind::BagItem));
        exchange.plan(&places[..1]);
        assert_eq!(
            places.map(|place| exchange.is_done_with(&place)),
            [true, false]
        );
        exchange.give_up();
        assert_eq!(
            places.map(|place| exchange.is_done_with(&place)),
            [false, false]
        );
    }
}
