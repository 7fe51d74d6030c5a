//! Burying what was withdrawn: tombstones that are sent until enough holders have them.
//!
//! What must stay true: from the moment at which the journal has the withdrawal, a crash loses
//! nothing of it: the publication stands there as withdrawn until half of the holders have its
//! tombstone, or until nothing is left that could be buried.

use std::time::Duration;

use qadom_routing::Moment;
use qadom_wire::MAX_TTL;

use crate::core::Core;
use crate::journal::JournalEntry;
use crate::operation::OperationId;
use crate::operations::distribution::item::Item;
use crate::publications::journalling::Waiter;
use crate::publications::promise::{Promised, PublicationId, PublicationState};
use crate::time::{Time, jittered};

/// When a tombstone is sent again that too few holders took, or that a crash cut short.
const AGAIN_AFTER: Duration = Duration::from_mins(1);

impl Core {
    /// Withdraws a signed record: gives the tombstone that buries it, once the journal has the two
    /// entries that the operation waits for. None when it is not one that this node can bury.
    pub(crate) fn bury(
        &mut self,
        operation: OperationId,
        id: &PublicationId,
        now: Time,
    ) -> Option<Item> {
        let before = self.promises.book.get(id)?.clone();
        if before.state == PublicationState::Withdrawn {
            // It is on its way already. The operation waits for as many entries all the same.
            let (seq, expiry) = self.signed_last(id);
            self.note_signed(Some(operation), id, seq, expiry);
        } else {
            let longest = now.utc_seconds() + MAX_TTL.as_secs();
            let expiry = longest.max(self.latest_expiry(id, now));
            let seq = self.next_seq(id, 0, now);
            self.note_signed(Some(operation), id, seq, expiry);
        }
        let promise = self.promises.book.get_mut(id)?;
        promise.state = PublicationState::Withdrawn;
        let entry = JournalEntry::Renewed(promise.standing());
        self.promises.book.schedule(id, None);
        let waiter = Waiter::replacing(Some(operation), *id, Some(before));
        self.journal(entry, waiter);
        self.tombstone_of(id)
    }

    /// The tombstone of a publication that was withdrawn.
    pub(crate) fn tombstone_of(&self, id: &PublicationId) -> Option<Item> {
        let promise = self.promises.book.get(id)?;
        let Promised::Signed(record) = &promise.promised else {
            return None;
        };
        let (seq, expiry) = self.signed_last(id);
        let is_withdrawn = promise.state == PublicationState::Withdrawn;
        is_withdrawn.then(|| Item::tombstone(record.clone(), seq, expiry))
    }

    /// Takes in what became of a tombstone: enough holders have it, or it is sent again.
    pub(crate) fn on_buried(&mut self, item: &Item, is_alone: bool, now: Time) {
        let promise = self.promises.book.get_mut(&item.id);
        let Some(promise) = promise.filter(|promise| promise.state == PublicationState::Withdrawn)
        else {
            return;
        };
        promise.refusals.clone_from(&item.refusals);
        // Who sees nobody else now may have given copies away before.
        let is_cut_off = is_alone && promise.stored > 1;
        if item.is_superseded || (item.is_taken() && !is_cut_off) {
            return self.unpublish(None, &item.id, now);
        }
        self.bury_again(&item.id, now.moment);
    }

    /// Has a tombstone sent again soon.
    pub(crate) fn bury_again(&mut self, id: &PublicationId, now: Moment) {
        let promise = self.promises.book.get(id);
        if promise.is_some_and(|promise| promise.state == PublicationState::Withdrawn) {
            let due = now + jittered(AGAIN_AFTER, &mut self.rng);
            self.promises.book.schedule(id, Some(due));
        }
    }

    /// Ends a withdrawal whose tombstone is over with all that it buries, and puts off one for
    /// which the secret is not here. False when the tombstone is to be sent.
    pub(crate) fn pass_over_burial(&mut self, id: &PublicationId, now: Time) -> bool {
        let (_, expiry) = self.signed_last(id);
        if expiry <= now.utc_seconds() {
            self.unpublish(None, id, now);
            return true;
        }
        let is_put_off = !self.has_secret(id);
        if is_put_off {
            self.bury_again(id, now.moment);
        }
        is_put_off
    }

    fn signed_last(&self, id: &PublicationId) -> (u64, u64) {
        let signatures = &self.promises.signatures;
        (signatures.seq(id), signatures.expiry(id))
    }
}
