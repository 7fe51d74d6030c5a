//! Writing: finding the holders, and for most signed records what they have; signing; a copy to
//! each of the k closest and a promise in the journal; and when a holder has a later version, what
//! that is.
//!
//! What must stay true: nothing is acknowledged before the journal and the own store have it; a
//! write that others were ahead of fails with what is there. Nothing signed is sent to anybody before
//! the journal has its seq: after a crash the same seq with another payload would be a conflict, and
//! of a compare-and-swap a second winner. A value has no seq, and is journalled while its copies are
//! under way.

pub(crate) mod change;
mod early;
pub(crate) mod spread;

use std::time::Duration;

use qadom_routing::Contact;
use qadom_wire::{Answer, K, Kind, MAX_TTL, Reason, VALUE_TTL_MAX, Value};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::network::Effort;
use crate::operation::{Failure, Outcome, Receipt, WriteOptions, Written};
use crate::operations::gather::{Gather, Until};
use crate::operations::{Operation, Progress, reason_of};
use crate::publications::promise::{Promise, Promised, PublicationId};
use crate::time::Time;
use crate::walk::{Context, Query, Walk};
use change::Change;
use spread::{Item, Spread};

/// What a user wants written.
#[derive(Debug)]
enum Task {
    Value(Value),
    Signed(Box<Change>),
}

/// Where a write stands. `Finding` or `Reading` → `Noting`, of what is signed → `Storing` →
/// `Looking`, or the end after any.
#[derive(Debug)]
enum Stage {
    /// Holders are looked for.
    Finding(Box<Walk>),
    /// Holders are looked for, and what they have.
    Reading(Box<Gather>),
    /// Whether others have the item that this writer does not have is looked for.
    Asking(Box<Gather>),
    /// The journal is told that it was signed; these are to get copies then.
    Noting(Vec<Contact>),
    /// Copies are under way.
    Storing,
    /// Somebody is ahead; what is there is looked for.
    Looking(Box<Gather>),
}

/// Writes one record.
#[derive(Debug)]
pub(crate) struct WriteOperation {
    task: Task,
    options: WriteOptions,
    stage: Stage,
    /// What is written, once it is known.
    item: Option<Item>,
    spread: Spread,
    /// Journal entries that are waited for.
    journal: u32,
    is_promised: bool,
    /// Whether the user has the receipt already.
    is_told: bool,
    journal_failed: Option<Reason>,
}

impl WriteOperation {
    pub(crate) fn value(core: &Core, value: Value, options: WriteOptions, now: Time) -> Self {
        // The receipt does not wait for the slowest holders, so that all of them can be.
        let effort = Effort {
            is_patient: core.table.len() >= K,
            ..core.thorough()
        };
        let walk = Walk::new(core, *value.key(), Query::Node, effort, now);
        Self::new(
            Task::Value(value),
            options,
            Stage::Finding(Box::new(walk)),
            now,
        )
    }

    pub(crate) fn signed(
        core: &mut Core,
        change: Change,
        options: WriteOptions,
        now: Time,
    ) -> Self {
        let stage = if let Some((place, until)) = change.reads() {
            Stage::Reading(Box::new(Gather::new(core, place, until, now)))
        } else {
            let effort = core.thorough();
            let walk = Walk::new(core, change.slot, Query::Node, effort, now);
            Stage::Finding(Box::new(walk))
        };
        Self::new(Task::Signed(Box::new(change)), options, stage, now)
    }

    const fn new(task: Task, options: WriteOptions, stage: Stage, now: Time) -> Self {
        Self {
            task,
            options,
            stage,
            item: None,
            spread: Spread::new(now),
            journal: 0,
            is_promised: false,
            is_told: false,
            journal_failed: None,
        }
    }

    const fn is_exclusive(&self) -> bool {
        matches!(&self.task, Task::Signed(change) if change.is_exclusive())
    }

    // What is done before anything is sent.

    /// Makes the record, keeps the own copy and promises. Ends the operation when that fails.
    fn prepare(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let item = match (&self.task, &self.stage) {
            (Task::Value(value), _) => {
                let ttl = self.options.ttl.unwrap_or(VALUE_TTL_MAX).min(VALUE_TTL_MAX);
                Item::Value(value.clone(), seconds(ttl))
            }
            (Task::Signed(change), Stage::Reading(gather)) => {
                if change.is_exclusive() {
                    gather.check_quorum()?;
                }
                let known = Some(gather.union());
                let (record, _) = change.sign(context, known, self.options)?;
                Item::Signed(record)
            }
            (Task::Signed(change), _) => {
                let (record, is_awaited) = change.sign(context, None, self.options)?;
                self.journal += u32::from(is_awaited);
                Item::Signed(record)
            }
        };
        let is_exclusive = self.is_exclusive();
        let kept = self.spread.keep_own(context, &item, is_exclusive);
        kept.map_err(|reason| Failure::Store { reason })?;
        let promised = if is_exclusive {
            self.journal += note(context, &item);
            Ok(())
        } else {
            self.promise(context, &item)
        };
        self.item = Some(item);
        let receipt = None;
        promised.map_err(|reason| Failure::Journal { reason, receipt })
    }

    /// Writes into the journal what is promised, or that something was signed.
    fn promise(&mut self, context: &mut Context<'_>, item: &Item) -> Result<(), Reason> {
        self.is_promised = true;
        let (operation, now) = (Some(context.operation), context.now);
        let promised = match item {
            Item::Value(..) if self.options.once => return Ok(()),
            Item::Signed(record) if record.kind() == Kind::Event => return Ok(()),
            Item::Signed(record) if self.options.once || record.is_tombstone() => {
                let id = PublicationId::of(record);
                if context.core.promises.book.get(&id).is_some() {
                    context.core.unpublish(None, &id, now);
                }
                let (seq, expiry) = (record.seq(), record.expiry());
                context.core.note_signed(operation, &id, seq, expiry);
                self.journal += 1;
                return Ok(());
            }
            Item::Value(value, _) => Promised::Value(value.clone()),
            Item::Signed(record) => Promised::Signed(record.clone().into_inner()),
        };
        let ttl = self.options.ttl.unwrap_or(VALUE_TTL_MAX).min(MAX_TTL);
        let promise = Promise::new(promised, ttl, now);
        context.core.promise(operation, promise, now)?;
        self.journal += 1;
        Ok(())
    }

    // The way through the stages.

    fn store(&mut self, context: &mut Context<'_>, holders: Vec<Contact>) {
        self.stage = Stage::Storing;
        let is_exclusive = self.is_exclusive();
        if let Some(item) = &self.item {
            self.spread.send(context, holders, item, is_exclusive);
        }
    }

    /// The walk is over: the holders are known.
    fn found(&mut self, context: &mut Context<'_>) -> Progress {
        let Stage::Finding(walk) = &self.stage else {
            return Progress::Going;
        };
        let holders = walk.closest();
        self.spread.messages += walk.lookup().queries() + walk.asked_again();
        self.spread.hops = walk.lookup().hops();
        context.core.note_density(walk.lookup().target(), &holders);
        if let Task::Signed(change) = &self.task
            && change.kind == Kind::Event
        {
            let (slot, moment) = (change.slot, context.now.moment);
            context.core.topics.note(&slot, holders.clone(), moment);
        }
        self.note(context, holders)
    }

    /// What is there is known, and the holders with it.
    fn has_read(&mut self, context: &mut Context<'_>) -> Progress {
        let Stage::Reading(gather) = &self.stage else {
            return Progress::Going;
        };
        self.spread.messages = gather.messages();
        self.spread.hops = gather.hops();
        let holders = gather.closest();
        match self.prepare(context) {
            Ok(()) => self.note(context, holders),
            Err(Failure::NotFound { .. }) => self.ask(context),
            Err(failure) => Progress::failed(failure),
        }
    }

    /// Sends copies, of what is signed once the journal has its seq.
    fn note(&mut self, context: &mut Context<'_>, holders: Vec<Contact>) -> Progress {
        let is_signed = matches!(self.task, Task::Signed(_));
        self.stage = Stage::Noting(holders);
        if is_signed && self.journal > 0 {
            return Progress::Going;
        }
        self.has_noted(context)
    }

    /// The journal has what was signed, or failed.
    fn has_noted(&mut self, context: &mut Context<'_>) -> Progress {
        let Stage::Noting(holders) = &mut self.stage else {
            return Progress::Going;
        };
        let holders = std::mem::take(holders);
        match self.journal_failed {
            Some(reason) if !self.spread.has_begun() => {
                let receipt = None;
                return Progress::failed(Failure::Journal { reason, receipt });
            }
            // The copies under way are told of, and no more are sent.
            Some(_) => {
                self.stage = Stage::Storing;
                self.spread.stop();
            }
            None => self.store(context, holders),
        }
        self.finish(context)
    }

    /// The own item is not there: looks whether it is somebody else's.
    fn ask(&mut self, context: &mut Context<'_>) -> Progress {
        let Task::Signed(change) = &self.task else {
            return Progress::Going;
        };
        let gather = Gather::new(
            context.core,
            change.place(None),
            Until::Complete,
            context.now,
        );
        self.stage = Stage::Asking(Box::new(gather));
        self.go_on(context)
    }

    fn has_asked(&self) -> Progress {
        let (Task::Signed(change), Stage::Asking(gather)) = (&self.task, &self.stage) else {
            return Progress::Going;
        };
        let mut records = gather.union().iter().map(|(_, shown)| &shown.record);
        let key = change.slot;
        if records.any(|record| !record.is_tombstone() && record.label() == &change.label) {
            return Progress::failed(Failure::NotYours { key });
        }
        let (answered, unanswered) = gather.answered();
        Progress::failed(Failure::NotFound {
            key,
            answered,
            unanswered,
        })
    }

    /// Ends the operation, when nothing is under way any more.
    fn finish(&mut self, context: &mut Context<'_>) -> Progress {
        if !matches!(self.stage, Stage::Storing) || !self.spread.is_over() {
            return Progress::Going;
        }
        if let Task::Signed(change) = &self.task
            && self.spread.is_stale
        {
            let place = change.own_place();
            let gather = Gather::new(context.core, place, Until::Complete, context.now);
            self.stage = Stage::Looking(Box::new(gather));
            return self.go_on(context);
        }
        self.conclude(context)
    }

    /// Fails with what is there when it is later than what was written.
    fn has_looked(&mut self, context: &mut Context<'_>) -> Progress {
        let (Stage::Looking(gather), Some(Item::Signed(record))) = (&self.stage, &self.item) else {
            return Progress::Going;
        };
        let there = gather.union().get(record.id()).map(|shown| &shown.record);
        let later = there.filter(|there| there.order(record).is_gt());
        self.spread.messages += gather.messages();
        if later.is_some() || self.is_exclusive() {
            let held = there.cloned().map(Box::new);
            let seq = record.seq();
            if self.is_promised && later.is_some() {
                context
                    .core
                    .unpublish(None, &PublicationId::of(record), context.now);
            }
            return Progress::failed(Failure::StaleSeq { seq, held });
        }
        self.spread.is_stale = false;
        self.stage = Stage::Storing;
        self.conclude(context)
    }

    fn conclude(&mut self, context: &mut Context<'_>) -> Progress {
        let Some(item) = self.item.clone() else {
            return Progress::Going;
        };
        let needed = self.needed();
        if !self.is_promised
            && self.spread.copies() >= needed
            && let Err(reason) = self.promise(context, &item)
        {
            self.journal_failed = Some(reason);
        }
        if self.journal > 0 {
            return Progress::Going;
        }
        let receipt = self.spread.receipt(&item, context.now);
        if let Some(reason) = self.journal_failed {
            let receipt = Some(receipt);
            return Progress::failed(Failure::Journal { reason, receipt });
        }
        if !self.is_told {
            note_outcome(context, &item, &receipt);
        }
        if receipt.stored < needed {
            return Progress::failed(Failure::TooFewCopies { receipt, needed });
        }
        match item {
            Item::Value(..) => Progress::done(Outcome::Stored(receipt)),
            Item::Signed(record) => {
                let network = context.core.config.network;
                let content_signature = match &self.task {
                    Task::Signed(change) if change.kind == Kind::NamespaceEntry => {
                        Some(change.identity.sign_content(&network, &record))
                    }
                    _ => None,
                };
                Progress::done(Outcome::Written(Written {
                    receipt,
                    record,
                    content_signature,
                }))
            }
        }
    }

    /// The copies without which the write has failed.
    fn needed(&self) -> u32 {
        let found = self.spread.found();
        let half = found.div_ceil(2);
        let asked = self.options.min_copies.unwrap_or(half).max(1);
        if self.is_exclusive() {
            asked.max(found / 2 + 1)
        } else {
            asked
        }
    }
}

/// Tells the rest of the engine what became of a record.
fn note_outcome(context: &mut Context<'_>, item: &Item, receipt: &Receipt) {
    let (id, seq) = match item {
        Item::Value(value, _) => (Promised::Value(value.clone()).id(), 0),
        Item::Signed(record) => (PublicationId::of(record), record.seq()),
    };
    context.core.note_copies(&id, seq, receipt.stored);
    let Item::Signed(record) = item else {
        return;
    };
    match record.kind() {
        Kind::Event => {
            for refusal in &receipt.refused {
                context.core.topics.on_failed(&id.slot, &refusal.node);
            }
            if receipt.stored == 0 {
                // Nobody will ever see it: the next one begins a stream without a hole.
                let signatures = &mut context.core.promises.signatures;
                signatures.close(record.writer(), id.slot);
            }
        }
        Kind::NamespaceEntry if receipt.stored > 0 => {
            context.core.note_seen(&id.slot, record.seq());
        }
        _ => {}
    }
}

/// Writes into the journal that something was signed, before it is known whether it stays, and gives
/// the entries that are waited for.
fn note(context: &mut Context<'_>, item: &Item) -> u32 {
    let Item::Signed(record) = item else {
        return 0;
    };
    let (operation, id) = (Some(context.operation), PublicationId::of(record));
    let (seq, expiry) = (record.seq(), record.expiry());
    context.core.note_signed(operation, &id, seq, expiry);
    1
}

impl Operation for WriteOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        if matches!(self.stage, Stage::Finding(_))
            && let Err(failure) = self.prepare(context)
        {
            return Progress::failed(failure);
        }
        if let Task::Signed(change) = &self.task
            && change.kind == Kind::Event
        {
            let (slot, moment) = (change.slot, context.now.moment);
            if let Some(holders) = context.core.topics.holders(&slot, moment) {
                return self.note(context, holders);
            }
        }
        self.go_on(context)
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        match &mut self.stage {
            Stage::Finding(walk) => Some(walk),
            Stage::Reading(gather) | Stage::Asking(gather) | Stage::Looking(gather) => {
                gather.walk_mut()
            }
            Stage::Noting(_) | Stage::Storing => None,
        }
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        let is_over = match &mut self.stage {
            Stage::Finding(walk) => walk.go_on(context),
            Stage::Reading(gather) | Stage::Asking(gather) | Stage::Looking(gather) => {
                gather.go_on(context)
            }
            Stage::Noting(_) => self.journal == 0,
            Stage::Storing => true,
        };
        let progress = match self.stage {
            _ if !is_over => Progress::Going,
            Stage::Finding(_) => self.found(context),
            Stage::Reading(_) => self.has_read(context),
            Stage::Asking(_) => self.has_asked(),
            Stage::Noting(_) => self.has_noted(context),
            Stage::Storing => self.finish(context),
            Stage::Looking(_) => self.has_looked(context),
        };
        match progress {
            Progress::Going => self.tell_early(context),
            ended => ended,
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        match &mut self.stage {
            _ if purpose == Purpose::Store => self.spread.on_answer(from, answer),
            Stage::Finding(walk) => {
                walk.on_answer(context, from, answer);
                let settled = walk.settled();
                self.send_early(context, &settled);
            }
            Stage::Reading(gather) | Stage::Asking(gather) | Stage::Looking(gather) => {
                gather.on_answer(context, from, purpose, answer);
            }
            Stage::Noting(_) | Stage::Storing => {}
        }
        self.go_on(context)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        match &mut self.stage {
            _ if purpose == Purpose::Store => self.spread.on_failed(from, reason_of(failure)),
            Stage::Finding(walk) => walk.on_failed(context, from, failure),
            Stage::Reading(gather) | Stage::Asking(gather) | Stage::Looking(gather) => {
                gather.on_failed(context, from, purpose, failure);
            }
            Stage::Noting(_) | Stage::Storing => {}
        }
        self.go_on(context)
    }

    fn on_own(&mut self, context: &mut Context<'_>, result: Result<(), Reason>) -> Progress {
        let own = context.core.own;
        self.spread.on_own(&own, result);
        self.go_on(context)
    }

    fn on_journalled(&mut self, context: &mut Context<'_>, result: Result<(), Reason>) -> Progress {
        self.journal = self.journal.saturating_sub(1);
        if let Err(reason) = result {
            self.journal_failed.get_or_insert(reason);
        }
        self.go_on(context)
    }
}

/// Whether a value is to live longer than any holder keeps it, or any owner renews it.
pub(crate) fn is_value_ttl_too_long(options: WriteOptions) -> bool {
    let most = if options.once { VALUE_TTL_MAX } else { MAX_TTL };
    options.ttl.is_some_and(|ttl| ttl > most)
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
