//! Who stands in the routing table: coming in, being heard from, falling silent, leaving.
//!
//! What must stay true: only nodes that a session has confirmed, that store and that solved the
//! puzzle stand in the table; each that comes has its session pinned, and each that leaves unpinned.

use qadom_routing::{Contact, NodeId, Observation, Removal};
use qadom_wire::Reason;

use crate::core::Core;
use crate::effect::{Effect, RequestId};
use crate::time::Time;

/// Newcomers that wait to be handed what they are to hold. Others get it by replication.
const NEWCOMERS: usize = 64;

impl Core {
    /// Takes a confirmed node into the table, if it belongs there.
    pub(crate) fn admit(&mut self, contact: Contact, now: Time) {
        if !contact.is_storing() || self.is_contact_blocked(&contact) {
            self.forget(contact.id());
            return;
        }
        let is_known = self.table.contact(contact.id()).is_some();
        if !is_known && self.config.id_bits > 0 && contact.key().puzzle_bits() < self.config.id_bits
        {
            self.drops.count(Reason::WeakKey);
            return;
        }
        let (key, id) = (*contact.key(), *contact.id());
        self.lost.take(&id);
        match self.table.observe(contact, now.moment) {
            Observation::Inserted => self.on_newcomer(id),
            Observation::Displaced { gone } => {
                self.forget_way(gone.id());
                self.emit(Effect::Unpin(*gone.key()));
                self.on_newcomer(id);
            }
            _ => return,
        }
        if let Some(since) = self.known_since.remove(&id) {
            self.table.known_since(&id, since);
        }
        self.emit(Effect::Pin(key));
    }

    fn on_newcomer(&mut self, id: NodeId) {
        if self.newcomers.len() < NEWCOMERS && !self.newcomers.contains(&id) {
            self.newcomers.push_back(id);
        }
    }

    /// Notes that a request to a node failed; two different ones cost it its place.
    pub(crate) fn on_silence(&mut self, contact: &Contact, request: RequestId, now: Time) {
        // An address that somebody else told says nothing about the one that we know.
        let address = |contact: &Contact| contact.address(self.config.families);
        let known = self.table.contact(contact.id());
        if known.is_some_and(|known| address(known) != address(contact)) {
            return;
        }
        let removal = self
            .table
            .on_failure(contact.id(), request.as_u64(), now.moment);
        if matches!(removal, Removal::Replaced { .. } | Removal::Removed) {
            self.churn.on_departure(now.moment);
            self.lost.note(contact.clone(), now.moment);
            self.forget_way(contact.id());
            self.emit(Effect::Unpin(*contact.key()));
        }
        if let Removal::Replaced { by } = removal {
            self.on_newcomer(*by.id());
            self.emit(Effect::Pin(*by.key()));
        }
    }

    /// Notes a sign of life of a node that stands in the table, or stood there until it was lost: a
    /// session may have outlived its place.
    pub(crate) fn on_heard(&mut self, id: &NodeId, now: Time) {
        if let Some(contact) = self.lost.take(id) {
            self.admit(contact, now);
        } else if let Some(contact) = self.table.contact(id).cloned() {
            self.table.observe(contact, now.moment);
        }
    }

    /// Forgets what is known of the way to a node that has left the table.
    fn forget_way(&mut self, id: &NodeId) {
        self.round_trips.remove(id);
        self.told.remove(id);
        self.seen_at.remove(id);
    }

    /// Takes a node out of the table that turned out to be a client.
    pub(crate) fn forget(&mut self, id: &NodeId) {
        let key = self.table.contact(id).map(|contact| *contact.key());
        // Also when it only waits for a place.
        self.table.remove(id);
        self.lost.take(id);
        self.forget_way(id);
        if let Some(key) = key {
            self.emit(Effect::Unpin(key));
        }
    }
}
