//! Finding all holders of a region with a few lookups: pure, told what each lookup found.
//!
//! What must stay true: when the survey is over, the k nodes nearest to each slot that it was made
//! for are known, as far as the lookups found the true ones.

use std::collections::BTreeMap;

use qadom_routing::{Contact, Distance, Key, NodeId, REACH_MAX};
use qadom_wire::K;
use rand_core::Rng;

use crate::publications::schedule::region;

/// Slots for which each is looked up by itself: about as many lookups as a region takes.
const SINGLE_MAX: usize = 4;

/// All keys that share their first bits with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    key: Key,
    bits: u32,
}

/// The survey of a region.
#[derive(Debug)]
pub(crate) struct Survey {
    prefix: Prefix,
    /// Parts of the region in which nodes may be unknown.
    open: Vec<Prefix>,
    /// Slots that are looked up themselves.
    slots: Vec<Key>,
    target: Option<(Key, Prefix)>,
    nodes: BTreeMap<NodeId, Contact>,
}

impl Survey {
    /// A survey for these slots, which share their first `bits` bits.
    pub(crate) fn new(slots: &[Key], bits: u32) -> Self {
        let mut distinct = slots.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let is_single = distinct.len() <= SINGLE_MAX;
        let prefix = Prefix {
            key: distinct.first().copied().unwrap_or(Key::ZERO),
            bits,
        };
        Self {
            prefix,
            open: if is_single { Vec::new() } else { vec![prefix] },
            slots: if is_single { distinct } else { Vec::new() },
            target: None,
            nodes: BTreeMap::new(),
        }
    }

    /// A survey of the nodes whose ids share their first `bits` bits with a key.
    pub(crate) fn around(key: &Key, bits: u32) -> Self {
        let prefix = Prefix { key: *key, bits };
        Self {
            prefix,
            open: vec![prefix],
            slots: Vec::new(),
            target: None,
            nodes: BTreeMap::new(),
        }
    }

    /// The ids of all nodes that were found.
    pub(crate) fn found(&self) -> impl Iterator<Item = &NodeId> {
        self.nodes.keys()
    }

    /// What to look up next; none when the survey is over.
    pub(crate) fn next_target(&mut self, rng: &mut impl Rng) -> Option<Key> {
        if let Some(slot) = self.slots.pop() {
            self.target = None;
            return Some(slot);
        }
        let part = self.open.pop()?;
        let target = part.random(rng);
        self.target = Some((target, part));
        Some(target)
    }

    /// Takes in the k nodes nearest to the last target, nearest first; fewer when there are no
    /// more.
    pub(crate) fn on_found(&mut self, closest: Vec<Contact>) {
        let is_all = closest.len() < K;
        let farthest = closest.last().map(|node| *node.id());
        let found = closest.into_iter().map(|node| (*node.id(), node));
        self.nodes.extend(found);
        let Some((target, part)) = self.target.take() else {
            return;
        };
        match farthest.filter(|_| !is_all) {
            Some(farthest) => {
                // All that share more bits with the target than the farthest does are known.
                let known = farthest.key().distance(&target).shared_bits() + 1;
                let unknown = (part.bits + 1..=known).map(|bits| beside(&target, bits));
                self.open.extend(unknown);
                self.widen();
            }
            None => self.open.clear(),
        }
    }

    /// The k nodes nearest to a slot and all others within the reach, up to 60, nearest first.
    pub(crate) fn holders(&self, slot: &Key, reach: Distance) -> Vec<&Contact> {
        let is_within = |id: &&NodeId| id.key().distance(slot) <= reach;
        let within = self.nodes.keys().filter(is_within).count();
        self.nearest(slot, within.clamp(K, REACH_MAX))
    }

    /// Up to `n` nodes nearest to a slot, nearest first.
    pub(crate) fn nearest(&self, slot: &Key, n: usize) -> Vec<&Contact> {
        let mut ranked: Vec<(Distance, &Contact)> = self
            .nodes
            .iter()
            .map(|(id, node)| (id.key().distance(slot), node))
            .collect();
        let kth = n.min(ranked.len());
        if kth < ranked.len() {
            ranked.select_nth_unstable_by_key(kth, |(distance, _)| *distance);
            ranked.truncate(kth);
        }
        ranked.sort_unstable_by_key(|(distance, _)| *distance);
        ranked.into_iter().map(|(_, node)| node).collect()
    }

    /// Goes on with the region beside, when this one is known and has too few nodes.
    fn widen(&mut self) {
        while self.open.is_empty() && self.prefix.bits > 0 {
            let (start, end) = region(&self.prefix.key, self.prefix.bits);
            let is_inside = |id: &&NodeId| start <= *id.key() && *id.key() <= end;
            if self.nodes.keys().filter(is_inside).count() >= K {
                return;
            }
            self.open.push(beside(&self.prefix.key, self.prefix.bits));
            self.prefix.bits -= 1;
        }
    }
}

impl Prefix {
    fn random(&self, rng: &mut impl Rng) -> Key {
        let (start, end) = region(&self.key, self.bits);
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let bounds = start.as_bytes().iter().zip(end.as_bytes());
        for (byte, (start, end)) in bytes.iter_mut().zip(bounds) {
            *byte = (*byte & (start ^ end)) | start;
        }
        Key::from_bytes(bytes)
    }
}

/// A key that shares all but the last of a key's first `bits` bits, at least 1.
pub(crate) fn sibling(key: &Key, bits: u32) -> Key {
    beside(key, bits).key
}

/// All keys that do so.
fn beside(key: &Key, bits: u32) -> Prefix {
    let mut bytes = *key.as_bytes();
    let last = bits.saturating_sub(1);
    let byte = usize::try_from(last / 8).ok();
    if let Some(byte) = byte.and_then(|index| bytes.get_mut(index)) {
        *byte ^= 0x80 >> (last % 8);
    }
    Prefix {
        key: Key::from_bytes(bytes),
        bits: bits.min(256),
    }
}

#[cfg(test)]
mod tests;
