//! Everything that a node has promised, by slot and by when it is due.
//!
//! What must stay true: a publication is due once, is being renewed, or is superseded.

use std::collections::{BTreeMap, BTreeSet};

use qadom_routing::{Key, Moment};
use qadom_wire::Kind;

use crate::publications::promise::{Promise, PublicationId};
use crate::publications::schedule;

/// A publication with its place in the order of what is due.
#[derive(Debug)]
struct Kept {
    promise: Promise,
    /// None while it is being renewed, and for good once it is superseded.
    due: Option<Moment>,
}

/// Everything that a node has promised.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// By slot, so that those of a region lie side by side.
    kept: BTreeMap<PublicationId, Kept>,
    order: BTreeSet<(Moment, PublicationId)>,
    charge: usize,
}

impl Publications {
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The payloads and what goes with them, in bytes.
    pub(crate) const fn charge(&self) -> usize {
        self.charge
    }

    pub(crate) fn get(&self, id: &PublicationId) -> Option<&Promise> {
        self.kept.get(id).map(|kept| &kept.promise)
    }

    pub(crate) fn get_mut(&mut self, id: &PublicationId) -> Option<&mut Promise> {
        self.kept.get_mut(id).map(|kept| &mut kept.promise)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Promise> {
        self.kept.values().map(|kept| &kept.promise)
    }

    pub(crate) fn of_slot(&self, slot: Key) -> impl Iterator<Item = &Promise> {
        self.between(slot, slot).map(|(_, kept)| &kept.promise)
    }

    /// Takes a promise in and gives the one in whose place it comes.
    pub(crate) fn insert(&mut self, promise: Promise, due: Option<Moment>) -> Option<Promise> {
        let id = promise.id();
        let old = self.remove(&id);
        self.charge += promise.promised.charge();
        self.kept.insert(id, Kept { promise, due: None });
        self.schedule(&id, due);
        old
    }

    pub(crate) fn remove(&mut self, id: &PublicationId) -> Option<Promise> {
        self.schedule(id, None);
        let kept = self.kept.remove(id)?;
        self.charge = self.charge.saturating_sub(kept.promise.promised.charge());
        Some(kept.promise)
    }

    /// Makes a publication due at a moment, or never.
    pub(crate) fn schedule(&mut self, id: &PublicationId, due: Option<Moment>) {
        if let Some(kept) = self.kept.get_mut(id) {
            if let Some(old) = std::mem::replace(&mut kept.due, due) {
                self.order.remove(&(old, *id));
            }
            self.order.extend(due.map(|due| (due, *id)));
        }
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes the one that is due first, if it is due, and with it up to `most` of the same region
    /// that are due soon: all slots that share the first `bits` bits with its own. They are due no
    /// more until they are scheduled again.
    pub(crate) fn take_due(&mut self, now: Moment, bits: u32, most: usize) -> Vec<PublicationId> {
        let first = self.order.first().filter(|(due, _)| *due <= now);
        let Some((_, first)) = first.copied() else {
            return Vec::new();
        };
        let (start, end) = schedule::region(&first.slot, bits);
        let is_soon = |kept: &Kept| {
            let soon = now + schedule::window(kept.promise.ttl());
            kept.due.is_some_and(|due| due <= soon)
        };
        let others = self.between(start, end);
        let soon = others.filter(|(id, kept)| **id != first && is_soon(kept));
        let mut taken = vec![first];
        taken.extend(soon.map(|(id, _)| *id).take(most.saturating_sub(1)));
        for id in &taken {
            self.schedule(id, None);
        }
        taken
    }

    fn between(&self, start: Key, end: Key) -> impl Iterator<Item = (&PublicationId, &Kept)> {
        let first = PublicationId {
            slot: start,
            kind: Kind::Value,
            item: Key::ZERO,
        };
        let last = PublicationId {
            slot: end,
            kind: Kind::Event,
            item: Key::MAX,
        };
        self.kept.range(first..=last)
    }
}

#[cfg(test)]
mod tests;
