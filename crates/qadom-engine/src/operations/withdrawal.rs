//! Withdrawing everything that this node publishes in one slot: values are no longer renewed,
//! signed records are buried.
//!
//! What must stay true: no tombstone is sent before the journal knows that it was signed, and what
//! was superseded by somebody's later record is not buried.

use std::time::Duration;

use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, MAX_TTL, Reason};

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::operation::{Failure, Outcome, Withdrawn};
use crate::operations::distribution::Distribution;
use crate::operations::distribution::item::Item;
use crate::operations::{Operation, Progress};
use crate::publications::promise::{Promise, Promised, PublicationState};
use crate::time::Time;
use crate::walk::{Context, Walk};

/// Ends the publications of a slot.
#[derive(Debug)]
pub(crate) struct WithdrawalOperation {
    slot: Key,
    began: Time,
    withdrawn: u32,
    /// Journal entries that are not durable yet.
    journalling: usize,
    distribution: Option<Distribution>,
}

impl WithdrawalOperation {
    pub(crate) const fn new(slot: Key, now: Time) -> Self {
        Self {
            slot,
            began: now,
            withdrawn: 0,
            journalling: 0,
            distribution: None,
        }
    }

    /// Ends the promises, and signs what buries their records.
    fn withdraw(&mut self, context: &mut Context<'_>) -> Result<Vec<Item>, Failure> {
        let core = &mut *context.core;
        let promises: Vec<Promise> = core.promises.book.of_slot(self.slot).cloned().collect();
        if promises.is_empty() {
            let (key, answered, unanswered) = (self.slot, 0, 0);
            return Err(Failure::NotFound {
                key,
                answered,
                unanswered,
            });
        }
        let is_foreign = |promise: &Promise| {
            let writer = promise.promised.identity();
            writer.is_some_and(|writer| core.identity(writer).is_none())
        };
        if promises.iter().any(is_foreign) {
            let reason = Reason::NotYours;
            return Err(Failure::Refused { reason });
        }
        let mut tombstones = Vec::new();
        for promise in promises {
            self.withdrawn += 1;
            let (operation, id) = (Some(context.operation), promise.id());
            let expiry = (context.now.utc_seconds() + MAX_TTL.as_secs())
                .max(core.latest_expiry(&id, context.now));
            core.unpublish(operation, &id, context.now);
            self.journalling += 1;
            if let Promised::Signed(record) = promise.promised
                && promise.state == PublicationState::Active
            {
                let seq = core.next_seq(&id, 0, context.now);
                core.note_signed(operation, &id, seq, expiry);
                self.journalling += 1;
                tombstones.push(Item::tombstone(record, seq, expiry));
            }
        }
        Ok(tombstones)
    }

    fn finish(&self, now: Time) -> Progress {
        let items = self.distribution.iter().flat_map(|sent| &sent.items);
        let (buried, fewest) = items.fold((0, None), |(count, fewest), item| {
            let fewest = fewest.map_or(item.copies, |fewest: u32| fewest.min(item.copies));
            (count + 1, Some(fewest))
        });
        let took: Duration = now.moment.since(self.began.moment);
        Progress::done(Outcome::Withdrawn(Withdrawn {
            key: self.slot,
            withdrawn: self.withdrawn,
            buried,
            smallest_copies: fewest.unwrap_or(0),
            took,
        }))
    }
}

impl Operation for WithdrawalOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        match self.withdraw(context) {
            Ok(tombstones) => {
                let has_tombstones = !tombstones.is_empty();
                let sent = has_tombstones.then(|| Distribution::new(tombstones, 256));
                self.distribution = sent;
                Progress::Going
            }
            Err(failure) => Progress::failed(failure),
        }
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        self.distribution.as_mut()?.walk()
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if self.journalling > 0 {
            return Progress::Going;
        }
        let is_over = match &mut self.distribution {
            Some(distribution) => distribution.go_on(context),
            None => true,
        };
        if is_over {
            self.finish(context.now)
        } else {
            Progress::Going
        }
    }

    fn on_journalled(&mut self, context: &mut Context<'_>, result: Result<(), Reason>) -> Progress {
        self.journalling = self.journalling.saturating_sub(1);
        match result {
            Ok(()) => self.go_on(context),
            Err(reason) => Progress::failed(Failure::Journal {
                reason,
                receipt: None,
            }),
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        if let Some(distribution) = &mut self.distribution {
            distribution.on_answer(context, from, purpose, answer);
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
        if let Some(distribution) = &mut self.distribution {
            distribution.on_failed(context, from, purpose, failure);
        }
        self.go_on(context)
    }

    fn on_own(&mut self, context: &mut Context<'_>, result: Result<(), Reason>) -> Progress {
        if let Some(distribution) = &mut self.distribution {
            distribution.on_own(result);
        }
        self.go_on(context)
    }
}
