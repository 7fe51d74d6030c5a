//! Finding everybody within a distance of a key, when the k closest do not reach so far: nodes near a
//! key name the nearest that they know, so that behind k others nobody is named. Further lookups for
//! keys beside the target find those.
//!
//! What must stay true: there are few such lookups, each ends with the first nodes that answer, and
//! whoever they name within the distance is asked by the walk itself as anybody else is.

use qadom_routing::{Contact, Distance, Key, Lookup, LookupConfig, Moment, Next, Noted};
use qadom_wire::{Answer, FindNode, K, Request};

use super::{Context, Walk};
use crate::core::{Core, Purpose};

/// Lookups beside the target at most. Each next one covers half as much of the distance.
const RINGS_MAX: usize = 4;
/// Answers that end one. A single one names all there are, as far as its sender knows.
const ANSWERS: usize = 4;

/// The lookups beside a target.
#[derive(Debug, Default)]
pub(super) struct Rings {
    is_planned: bool,
    is_over: bool,
    /// What is looked up next, from the last to the first.
    targets: Vec<Key>,
    under_way: Option<Box<Lookup>>,
    named: Vec<Contact>,
    queries: u32,
}

impl Rings {
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Requests of those that have ended.
    pub(super) const fn queries(&self) -> u32 {
        self.queries
    }

    /// Nothing more is wanted.
    pub(super) fn end(&mut self) {
        self.is_over = true;
        self.under_way = None;
    }

    pub(super) fn on_slow(&mut self, from: &Contact, now: Moment) {
        if let Some(lookup) = &mut self.under_way {
            lookup.on_slow(from.id(), now);
        }
    }

    /// Learns that a request failed; false when it was none beside the target.
    pub(super) fn on_failed(&mut self, from: &Contact, now: Moment) -> bool {
        let lookup = self.under_way.as_mut();
        lookup.is_some_and(|lookup| lookup.on_failure(from.id(), now) != Noted::Unknown)
    }
}

impl Walk {
    /// Begins the next lookup beside the target; false when there is none to do.
    pub(super) fn begin_ring(&mut self, context: &Context<'_>) -> bool {
        if self.rings.is_over {
            return false;
        }
        if !self.rings.is_planned {
            self.rings.is_planned = true;
            self.rings.targets = plan(&self.lookup);
        }
        let Some(target) = self.rings.targets.pop() else {
            return false;
        };
        let core: &Core = context.core;
        let config = LookupConfig {
            k: ANSWERS,
            alpha: core.config.alpha,
            families: core.config.families,
            is_local: core.config.local,
            ..LookupConfig::default()
        };
        let mut seeds: Vec<Contact> = self.lookup.answered().cloned().collect();
        seeds.extend(core.seeds(&target));
        let lookup = Lookup::new(core.own, target, config, seeds, context.now.moment);
        self.rings.under_way = Some(Box::new(lookup));
        true
    }

    /// Goes on with the lookup beside the target; true when it has ended.
    pub(super) fn go_on_around(&mut self, context: &mut Context<'_>) -> bool {
        let Some(mut lookup) = self.rings.under_way.take() else {
            return true;
        };
        let moment = context.now.moment;
        loop {
            match lookup.next(moment) {
                Next::Ask(contact) => {
                    let request = Request::FindNode(FindNode {
                        target: *lookup.target(),
                        want: context.core.config.families,
                    });
                    let operation = Some(context.operation);
                    let (core, purpose) = (&mut *context.core, Purpose::Find);
                    if core.send(operation, purpose, &contact, &request).is_none() {
                        lookup.on_failure(contact.id(), moment);
                    }
                }
                Next::Waiting => {
                    self.rings.under_way = Some(lookup);
                    return false;
                }
                Next::Done => break,
            }
        }
        self.rings.queries += lookup.queries();
        let (target, reach) = (*self.lookup.target(), self.lookup.reach());
        let mut named = std::mem::take(&mut self.rings.named);
        named.extend(lookup.answered().cloned());
        named.retain(|node| node.id().key().distance(&target) <= reach);
        self.lookup.widen(named);
        true
    }

    /// Takes the answer of a node that was asked beside the target; false when it is another one.
    pub(super) fn on_ring_answer(&mut self, from: &Contact, answer: &Answer, now: Moment) -> bool {
        let Some(lookup) = &mut self.rings.under_way else {
            return false;
        };
        match answer {
            Answer::Contacts(contacts) => {
                let noted = lookup.on_answer(from.id(), contacts.iter().cloned(), now);
                if noted == Noted::Unknown {
                    return false;
                }
                self.rings.named.extend(contacts.iter().cloned());
                true
            }
            Answer::Found(_) => false,
            _ => lookup.on_failure(from.id(), now) != Noted::Unknown,
        }
    }
}

/// The keys to look up beside a target, from the last to the first: one in each part of the reach
/// that the k closest leave open, the largest part first.
fn plan(lookup: &Lookup) -> Vec<Key> {
    let target = lookup.target();
    let farthest = lookup.answered().nth(K - 1);
    let known = farthest.map(|node| node.id().key().distance(target));
    let (Some(known), reach) = (known, lookup.reach()) else {
        // Nobody else is left.
        return Vec::new();
    };
    if known >= reach {
        return Vec::new();
    }
    let parts = reach.shared_bits()..=known.shared_bits();
    let mut targets: Vec<Key> = parts
        .take(RINGS_MAX)
        .map(|shared| beside(target, shared))
        .collect();
    targets.reverse();
    targets
}

/// The key that differs from another one in one bit.
fn beside(key: &Key, bit: u32) -> Key {
    let mut bytes = *key.as_bytes();
    let byte = usize::try_from(bit / 8).ok();
    if let Some(byte) = byte.and_then(|index| bytes.get_mut(index)) {
        *byte ^= 0x80 >> (bit % 8);
    }
    debug_assert!(key.distance(&Key::from_bytes(bytes)) > Distance::ZERO || bit > 255);
    Key::from_bytes(bytes)
}
