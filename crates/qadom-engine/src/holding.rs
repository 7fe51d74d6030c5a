//! What operations need to know of the own store, and of the own place among holders.

use std::net::IpAddr;

use qadom_routing::{Contact, Key, NodeId};
use qadom_wire::{IdRange, K, Kind, Reason, Verified};

use crate::core::{Core, reason_of_store};
use crate::journal::JournalEntry;
use crate::keep::Origin;
use crate::operations::gather::ranges;
use crate::publications::journalling::Waiter;
use crate::time::Time;

impl Core {
    /// The signed records of one kind in a slot that may be given out, ascending by id.
    ///
    /// # Errors
    ///
    /// `storage-failed` or `disk-full` when the store fails.
    pub(crate) fn held_records(
        &mut self,
        slot: &Key,
        kind: Kind,
        range: Option<IdRange>,
        now: Time,
    ) -> Result<Vec<Verified>, Reason> {
        let listing = self.listing(slot, kind, now);
        let listing = listing.map_err(|error| reason_of_store(&error))?;
        let range = range.unwrap_or_else(ranges::everything);
        let ids = listing.iter().map(|(position, _)| position.id);
        let mut records = Vec::new();
        for id in ids.filter(|id| ranges::contains(&range, id)) {
            let held = self.held_record(slot, kind, &id);
            let held = held.map_err(|error| reason_of_store(&error))?;
            records.extend(held.map(|held| held.record));
        }
        Ok(records)
    }

    /// Whether this node is one of the k closest to a slot, beside these others.
    pub(crate) fn is_near(&self, slot: &Key, closest: &[Contact]) -> bool {
        let own = self.own.key().distance(slot);
        let farthest = closest.get(K - 1);
        let farthest = farthest.map(|node| node.id().key().distance(slot));
        self.is_storing() && farthest.is_none_or(|farthest| own < farthest)
    }

    /// Whether a node is confirmed, storing and one of the k closest to a slot that are known here:
    /// what it has or brings counts as replicated.
    pub(crate) fn is_near_holder(&self, node: &NodeId, slot: &Key) -> bool {
        let closest = self.table.closest(slot, K);
        closest.iter().any(|contact| contact.id() == node)
    }

    /// Keeps a record that a reader found at other holders.
    pub(crate) fn keep_replica(
        &mut self,
        record: &Verified,
        from: Option<IpAddr>,
        now: Time,
    ) -> Result<(), Reason> {
        self.keep_signed(record.clone(), Origin::holder(from), now)?;
        Ok(())
    }

    /// Notes the seq of a namespace's entry that this node has seen, also in the journal. Nobody
    /// waits for that.
    pub(crate) fn note_seen(&mut self, slot: &Key, seq: u64) {
        if self.seen.note(slot, seq) {
            let slot = *slot;
            self.journal(JournalEntry::Seen { slot, seq }, Waiter::default());
        }
    }
}
