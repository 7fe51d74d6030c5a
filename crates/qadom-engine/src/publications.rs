//! What this node has promised to keep alive: the records with their payloads, which are the
//! writer's own copies, and when each is due to be renewed.
//!
//! What must stay true: nothing is promised that the journal did not take; no seq is signed twice
//! and no expiry goes back, whether the record is published or not. Operations promise here, and
//! wait for the ticket; the renewal itself is `operations/renewal.rs`.

pub(crate) mod book;
pub(crate) mod burial;
pub(crate) mod journalling;
pub(crate) mod promise;
pub(crate) mod region;
pub(crate) mod schedule;
pub(crate) mod signatures;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use qadom_routing::{Key, Moment};
use qadom_wire::{Identity, K, Reason, Writer};

use crate::core::Core;
use crate::effect::Effect;
use crate::journal::JournalEntry;
use crate::operation::OperationId;
use crate::operations::distribution::item::Item;
use crate::publications::book::Publications;
use crate::publications::journalling::{Journalling, Waiter};
use crate::publications::promise::{
    Promise, Promised, PublicationId, PublicationState, latest_useful_expiry,
};
use crate::publications::schedule::Pace;
use crate::publications::signatures::{NextEvent, Signatures};
use crate::status::RenewalCost;
use crate::time::Time;

/// k as a number that floats.
pub(crate) const K_NEAREST: u8 = 20;

/// What a core knows of promises and signatures.
#[derive(Debug)]
pub(crate) struct Promises {
    pub(crate) book: Publications,
    pub(crate) signatures: Signatures,
    pub(crate) journalling: Journalling,
    /// The secrets of this node's writers.
    pub(crate) identities: BTreeMap<Writer, Arc<Identity>>,
    /// How fast records are brought to their holders.
    pub(crate) pace: Pace,
    /// Rounds of renewal under way.
    pub(crate) renewing: BTreeSet<OperationId>,
    /// What the rounds that ended cost.
    pub(crate) cost: RenewalCost,
    /// Operations that wait for a moment.
    wakes: BTreeMap<OperationId, Moment>,
}

impl Promises {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            book: Publications::default(),
            signatures: Signatures::default(),
            journalling: Journalling::default(),
            identities: BTreeMap::new(),
            pace: Pace::new(bytes_per_second),
            renewing: BTreeSet::new(),
            cost: RenewalCost::default(),
            wakes: BTreeMap::new(),
        }
    }

    /// When the first operation that waits for a moment goes on.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        self.wakes.values().min().copied()
    }

    /// The operations whose moment has come.
    pub(crate) fn take_wakes(&mut self, now: Moment) -> Vec<OperationId> {
        let due = self.wakes.extract_if(.., |_, at| *at <= now);
        due.map(|(operation, _)| operation).collect()
    }
}

impl Core {
    /// The secret of a writer of this node.
    pub(crate) fn identity(&self, writer: &Writer) -> Option<Arc<Identity>> {
        self.promises.identities.get(writer).cloned()
    }

    /// The next seq of an identity, of which `seen` is known from elsewhere (0 when nothing is).
    /// It is not given out again, so that an operation that fails leaves a hole.
    pub(crate) fn next_seq(&mut self, id: &PublicationId, seen: u64, now: Time) -> u64 {
        let published = self.promises.book.get(id);
        let published = published.map_or(0, |promise| promise.promised.seq());
        let seen = seen.max(published);
        self.promises.signatures.next_seq(id, seen, now)
    }

    /// The latest expiry that this node may have signed for an identity, in seconds of UTC; 0 for
    /// none. The next record of it must not expire before.
    pub(crate) fn latest_expiry(&self, id: &PublicationId, now: Time) -> u64 {
        let signed = self.promises.signatures.expiry(id);
        let published = self.promises.book.get(id);
        let signed = signed.min(latest_useful_expiry(now));
        signed.max(published.map_or(0, |promise| promise.latest_expiry(now)))
    }

    /// Promises to keep a record alive, in the place of what was promised for its identity. The
    /// operation learns by [`on_journalled`](crate::operations::Operation::on_journalled) when the
    /// promise is durable, or that there is none.
    ///
    /// # Errors
    ///
    /// `quota` when as much is promised as the limits allow; nothing changed.
    pub(crate) fn promise(
        &mut self,
        operation: Option<OperationId>,
        promise: Promise,
        now: Time,
    ) -> Result<(), Reason> {
        let id = promise.id();
        let book = &self.promises.book;
        let limits = &self.config.limits;
        let is_new = book.get(&id).is_none();
        let replaced = book.get(&id).map_or(0, |old| old.promised.charge());
        let charge = book.charge() + promise.promised.charge() - replaced;
        if (is_new && book.len() >= limits.publications) || charge > limits.publication_bytes {
            return Err(Reason::Quota);
        }
        let due = schedule::next(promise.ttl(), now.moment, &mut self.rng);
        let entry = JournalEntry::Published(promise.clone());
        let before = self.promises.book.insert(promise, Some(due));
        // What the book knows needs not be known twice.
        self.promises.signatures.forget(&id);
        self.journal(entry, Waiter::replacing(operation, id, before));
        Ok(())
    }

    /// Notes how many copies of a record that was just promised were acknowledged. Nobody waits
    /// for the journal.
    pub(crate) fn note_copies(&mut self, id: &PublicationId, seq: u64, stored: u32) {
        let promise = self.promises.book.get_mut(id);
        let Some(promise) = promise.filter(|promise| promise.promised.seq() == seq) else {
            return;
        };
        promise.stored = stored;
        let entry = JournalEntry::Renewed(promise.standing());
        self.journal(entry, Waiter::default());
    }

    /// Ends the promise for an identity, if there is one: it is kept alive no longer, and its seq
    /// and its expiry still bind.
    pub(crate) fn unpublish(
        &mut self,
        operation: Option<OperationId>,
        id: &PublicationId,
        now: Time,
    ) {
        let before = self.promises.book.remove(id);
        if let Some(promise) = &before {
            let (seq, expiry) = (promise.promised.seq(), promise.latest_expiry(now));
            if seq > 0 {
                self.note_signed(None, id, seq, expiry);
            }
        }
        let waiter = Waiter::replacing(operation, *id, before);
        self.journal(JournalEntry::Withdrawn(*id), waiter);
    }

    /// Notes what was signed and is not published: a tombstone, or what is written once. The
    /// operation waits as for a promise.
    pub(crate) fn note_signed(
        &mut self,
        operation: Option<OperationId>,
        id: &PublicationId,
        seq: u64,
        expiry: u64,
    ) {
        // The entry replaces the one before, which may know more.
        let (seq, expiry) = self.promises.signatures.note(id, seq, expiry);
        let id = *id;
        let waiter = Waiter {
            operation,
            ..Waiter::default()
        };
        self.journal(JournalEntry::Signed { id, seq, expiry }, waiter);
    }

    /// The place of a writer's next event in a topic. When it opens a stream, the operation waits
    /// for the journal: the second part says so.
    pub(crate) fn next_event(
        &mut self,
        operation: Option<OperationId>,
        writer: Writer,
        topic: Key,
        now: Time,
    ) -> (NextEvent, bool) {
        let (next, is_opened) = self.promises.signatures.next_event(&writer, topic, now);
        if is_opened {
            let stream = next.stream;
            let waiter = Waiter {
                operation,
                opened: Some((writer, topic)),
                ..Waiter::default()
            };
            self.journal(JournalEntry::Stream { writer, stream }, waiter);
        }
        (next, is_opened)
    }

    /// Whether a record of this version is still to be kept alive.
    pub(crate) fn is_published(&self, id: &PublicationId, seq: u64) -> bool {
        let promise = self.promises.book.get(id);
        promise.is_some_and(|promise| {
            promise.promised.seq() == seq && promise.state == PublicationState::Active
        })
    }

    /// Takes in what a round of renewal did for a record. What fewer than half of its holders took is
    /// not renewed, and tried again soon; what was sent again as it had been signed is not renewed
    /// either. What was withdrawn or written anew meanwhile is left as it
    /// is.
    pub(crate) fn on_renewed(&mut self, item: &Item, is_alone: bool, now: Time) {
        let id = item.id;
        if item.is_tombstone() {
            return self.on_buried(item, is_alone, now);
        }
        if !self.is_published(&id, item.seq) {
            return;
        }
        let has_secret = self.has_secret(&id);
        let Some(promise) = self.promises.book.get_mut(&id) else {
            return;
        };
        let ttl = promise.ttl();
        let is_taken = item.is_taken();
        promise.refusals.clone_from(&item.refusals);
        let mut due = Some(schedule::next(ttl, now.moment, &mut self.rng));
        if item.is_superseded {
            promise.state = PublicationState::Superseded;
            due = None;
        } else if !is_taken || is_alone {
            due = Some(schedule::retry(ttl, now.moment, &mut self.rng));
        }
        if item.copies > 0 {
            if is_taken && has_secret {
                promise.renewed_at = now.utc_seconds();
            }
            promise.expires_at = match item.signed() {
                // What was signed before with the secret may outlive what is sent without it.
                Some(signed) if !has_secret => promise.expires_at.max(signed.expiry()),
                Some(signed) => signed.expiry(),
                None => now.utc_seconds() + u64::from(promise.ttl_seconds),
            };
            promise.stored = item.copies;
            if let Some(signed) = item.signed() {
                promise.promised = Promised::Signed(signed.clone());
            }
        }
        let entry = JournalEntry::Renewed(promise.standing());
        self.promises.book.schedule(&id, due);
        if item.copies > 0 || item.is_superseded {
            self.journal(entry, Waiter::default());
        }
    }

    /// Whether this node can sign anew what it published; values need no secret.
    pub(crate) fn has_secret(&self, id: &PublicationId) -> bool {
        let writer = self.promises.book.get(id);
        let writer = writer.and_then(|promise| promise.promised.identity());
        writer.is_none_or(|writer| self.promises.identities.contains_key(writer))
    }

    /// Passes over what no holder would take: a record that is over, while the secret to sign it
    /// anew is not here. It is listed as expired, counted once, and goes on when the secret is back.
    pub(crate) fn pass_over(&mut self, id: &PublicationId, now: Time) -> bool {
        let has_secret = self.has_secret(id);
        let Some(promise) = self.promises.book.get_mut(id) else {
            return false;
        };
        let Promised::Signed(record) = &promise.promised else {
            return false;
        };
        if promise.state == PublicationState::Withdrawn {
            return self.pass_over_burial(id, now);
        }
        if record.expiry() > now.utc_seconds() || has_secret {
            return false;
        }
        promise.state = PublicationState::Expired;
        let entry = JournalEntry::Renewed(promise.standing());
        self.drops.count(Reason::Expired);
        self.journal(entry, Waiter::default());
        true
    }

    /// The secret of a writer is here: what was signed with it and is over goes on.
    pub(crate) fn on_identity(&mut self, writer: &Writer) {
        let over = self.promises.book.iter().filter(|promise| {
            let is_over = promise.state == PublicationState::Expired;
            is_over && promise.promised.identity() == Some(writer)
        });
        for id in over.map(Promise::id).collect::<Vec<_>>() {
            let Some(promise) = self.promises.book.get_mut(&id) else {
                continue;
            };
            promise.state = PublicationState::Active;
            let entry = JournalEntry::Renewed(promise.standing());
            self.promises.book.schedule(&id, Some(self.moment));
            self.journal(entry, Waiter::default());
        }
    }

    /// Has an operation go on at a moment.
    pub(crate) fn wake(&mut self, operation: OperationId, at: Moment) {
        self.promises.wakes.insert(operation, at);
    }

    /// About how many nodes the network has, by those nearest to this one.
    pub(crate) fn nodes_nearby(&self) -> f64 {
        let nearest = self.table.closest(self.own.key(), K);
        let farthest = nearest.get(K - 1);
        let radius = farthest.map(|node| node.id().key().distance(self.own.key()).to_fraction());
        match radius {
            // Between this node and the k-th nearest lie k - 1 others.
            Some(radius) if radius > 0.0 => f64::from(K_NEAREST - 1) / radius,
            _ => f64::from(K_NEAREST),
        }
    }

    /// Has an entry written into the journal, and gives its ticket.
    pub(crate) fn journal(&mut self, entry: JournalEntry, waiter: Waiter) -> u64 {
        let ticket = self.promises.journalling.begin(waiter);
        self.emit(Effect::Journal { ticket, entry });
        ticket
    }

    /// Takes back what was promised by journal entries that are lost, and gives who waits for
    /// them.
    pub(crate) fn on_journal_lost(&mut self, now: Time, ticket: u64) -> Vec<OperationId> {
        let lost = self.promises.journalling.fail(ticket);
        for (writer, topic) in lost.opened {
            // Its next event opens another stream.
            self.promises.signatures.close(&writer, topic);
        }
        for (id, before) in lost.standing {
            if let Some(promise) = self.promises.book.remove(&id) {
                // The record may lie with holders all the same.
                let (seq, expiry) = (promise.promised.seq(), promise.latest_expiry(now));
                self.promises.signatures.note(&id, seq, expiry);
            }
            if let Some(promise) = before {
                let due = schedule::retry(promise.ttl(), now.moment, &mut self.rng);
                let is_due = promise.state.is_under_way();
                self.promises.book.insert(promise, is_due.then_some(due));
            }
        }
        lost.operations
    }
}

#[cfg(test)]
mod tests;
