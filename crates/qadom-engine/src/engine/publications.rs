//! The inputs of an engine that concern its journal and what it has promised.

use std::sync::Arc;
use std::time::Duration;

use qadom_routing::{Key, Moment};
use qadom_wire::{Identity, Reason};

use super::Engine;
use crate::blocks::Blocked;
use crate::journal::{JournalEntry, Standing};
use crate::operation::OperationId;
use crate::operations::renewal::RenewalOperation;
use crate::operations::withdrawal::WithdrawalOperation;
use crate::publications::promise::{Promise, PublicationState};
use crate::publications::schedule;
use crate::time::Time;

impl Engine {
    /// Gives the engine the secret of a writer, which it signs with and renews by.
    pub fn add_identity(&mut self, identity: Arc<Identity>) {
        let (writer, identities) = (identity.writer(), &mut self.core.promises.identities);
        identities.insert(writer, identity);
        self.core.on_identity(&writer);
    }

    /// Takes back an entry of the journal, as [`Effect::Journal`](crate::Effect::Journal) gave it
    /// out. All of them are given in their order before the first other input.
    pub fn restore(&mut self, entry: JournalEntry) {
        let promises = &mut self.core.promises;
        match entry {
            JournalEntry::Published(promise) => {
                promises.signatures.forget(&promise.id());
                self.restore_promise(promise);
            }
            JournalEntry::Renewed(standing) => self.restore_standing(standing),
            JournalEntry::Withdrawn(id) => {
                promises.book.remove(&id);
            }
            JournalEntry::Signed { id, seq, expiry } => {
                promises.signatures.note(&id, seq, expiry);
            }
            JournalEntry::Stream { writer, stream } => {
                promises.signatures.restore_stream(writer, stream);
            }
            JournalEntry::Seen { slot, seq } => {
                self.core.seen.note(&slot, seq);
            }
            JournalEntry::Blocked { what, until } => self.restore_block(what, until),
            JournalEntry::Unblocked(what) => {
                let now = self.core.started.moment;
                self.core.blocks.unblock(&what, now);
            }
        }
    }

    /// The entries of a journal that says what the present one says, and nothing that is out of
    /// date: what a driver writes in its place.
    pub fn journal(&self) -> impl Iterator<Item = JournalEntry> {
        let promises = &self.core.promises;
        let published = promises.book.iter().cloned().map(JournalEntry::Published);
        let seen = self.core.seen.iter();
        let seen = seen.map(|(&slot, seq)| JournalEntry::Seen { slot, seq });
        let blocks = self.core.blocks.by_hand();
        let blocks = blocks.map(|(what, until)| JournalEntry::Blocked { what, until });
        published
            .chain(promises.signatures.entries())
            .chain(seen)
            .chain(blocks)
    }

    /// What this node has promised to keep alive, by slot.
    pub fn publications(&self) -> impl Iterator<Item = &Promise> {
        self.core.promises.book.iter()
    }

    /// The journal's entries up to a ticket are durable.
    pub fn on_journalled(&mut self, now: Time, ticket: u64) {
        let now = self.core.corrected(now);
        let operations = self.core.promises.journalling.end(ticket);
        self.tell_journalled(now, operations, Ok(()));
    }

    /// The journal's entries up to a ticket may be lost: what waited for them is refused, and
    /// nothing is promised by them.
    pub fn on_journal_failed(&mut self, now: Time, ticket: u64, reason: Reason) {
        let now = self.core.corrected(now);
        let operations = self.core.on_journal_lost(now, ticket);
        self.tell_journalled(now, operations, Err(reason));
    }

    /// Ends everything that this node publishes in a slot: values are renewed no longer, signed
    /// records get a tombstone that outlives them.
    pub fn withdraw(&mut self, now: Time, slot: Key) -> OperationId {
        let now = self.core.corrected(now);
        self.start(now, Box::new(WithdrawalOperation::new(slot, now)))
    }

    /// Goes on with what waited for a moment, and begins to renew what is due.
    pub(crate) fn renew(&mut self, now: Time) {
        for operation in self.core.promises.take_wakes(now.moment) {
            self.step(now, operation, |machine, context| machine.go_on(context));
        }
        while self.may_renew() && self.core.is_time_known(now) {
            let bits = schedule::region_bits(self.core.nodes_nearby());
            let most = self.core.config.limits.renewed_at_once;
            let mut due = self.core.promises.book.take_due(now.moment, bits, most);
            if due.is_empty() {
                break;
            }
            due.retain(|id| !self.core.pass_over(id, now));
            if due.is_empty() {
                continue;
            }
            let operation = RenewalOperation::new(&self.core, due, bits);
            self.start_background(now, Box::new(operation));
        }
    }

    /// When [`renew`](Self::renew) has something to do.
    pub(crate) fn renewal_deadline(&self) -> Option<Moment> {
        let core = &self.core;
        let due = core.promises.book.next_due().filter(|_| self.may_renew());
        let trusted_at = core.started.moment + core.config.expiry_grace;
        let due = due.map(|due| {
            if core.clock.is_known() {
                due
            } else {
                due.max(trusted_at)
            }
        });
        let wake = core.promises.next_wake();
        due.into_iter().chain(wake).min()
    }

    fn may_renew(&self) -> bool {
        let limits = &self.core.config.limits;
        self.core.promises.renewing.len() < limits.renewals && self.background() < limits.background
    }

    fn tell_journalled(
        &mut self,
        now: Time,
        operations: Vec<OperationId>,
        result: Result<(), Reason>,
    ) {
        for operation in operations {
            self.step(now, operation, |machine, context| {
                machine.on_journalled(context, result)
            });
        }
    }

    fn restore_promise(&mut self, mut promise: Promise) {
        let now = self.core.started;
        let writer = promise.promised.identity();
        let has_secret = writer.is_some_and(|writer| self.core.identity(writer).is_some());
        if promise.state == PublicationState::Expired && has_secret {
            promise.state = PublicationState::Active;
        }
        let due = schedule::after_restart(&promise, now, &mut self.core.rng);
        let due = promise.state.is_under_way().then_some(due);
        let id = promise.id();
        self.core.promises.book.insert(promise, due);
        self.core.bury_again(&id, now.moment);
    }

    fn restore_block(&mut self, what: Blocked, until: Option<u64>) {
        let now = self.core.started;
        let left = until.map(|until| until.saturating_sub(now.utc_seconds()));
        if left == Some(0) {
            return;
        }
        let ends = left.map(|left| now.moment + Duration::from_secs(left));
        // There is room: no more were ever made, and nothing else is blocked yet.
        let _ = self.core.blocks.block(what, (ends, until), now.moment);
    }

    fn restore_standing(&mut self, standing: Standing) {
        if let Some(promise) = self.core.promises.book.remove(&standing.id) {
            self.restore_promise(Promise {
                renewed_at: standing.renewed_at,
                expires_at: standing.expires_at,
                stored: standing.stored,
                state: standing.state,
                ..promise
            });
        }
    }
}
