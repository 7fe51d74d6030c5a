//! Withdrawing everything that this node publishes in one slot: values are no longer renewed,
//! signed records are buried.
//!
//! What must stay true: no tombstone is sent before the journal knows that it was signed and for
//! what, and what was superseded by somebody's later record is not buried. What too few holders took
//! is sent again with the next renewals (`publications/burial.rs`).

use std::time::Duration;

use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, Reason};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::operation::{Failure, OperationId, Outcome, Withdrawn};
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
        // What is over needs no tombstone, and so no secret.
        let is_foreign = |promise: &Promise| {
            let is_over = promise.state == PublicationState::Expired;
            !is_over && !core.has_secret(&promise.id())
        };
        if promises.iter().any(is_foreign) {
            let reason = Reason::NotYours;
            return Err(Failure::Refused { reason });
        }
        let mut tombstones = Vec::new();
        for promise in promises {
            self.withdrawn += 1;
            let (operation, id) = (context.operation, promise.id());
            let is_signed = matches!(promise.promised, Promised::Signed(_));
            if is_signed && promise.state.is_under_way() {
                tombstones.extend(core.bury(operation, &id, context.now));
                self.journalling += 2;
            } else {
                core.unpublish(Some(operation), &id, context.now);
                self.journalling += 1;
            }
        }
        Ok(tombstones)
    }

    fn finish(&self, core: &mut Core, now: Time) -> Progress {
        let sent = self.distribution.as_ref();
        let is_alone = sent.is_some_and(|sent| !sent.has_holders());
        for item in sent.iter().flat_map(|sent| &sent.items) {
            core.on_buried(item, is_alone, now);
        }
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
            self.finish(context.core, context.now)
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

    /// What is withdrawn stays so: its tombstones are sent with the next renewals.
    fn on_cancel(&mut self, core: &mut Core, _operation: OperationId) {
        for item in self.distribution.iter().flat_map(|sent| &sent.items) {
            core.bury_again(&item.id, core.moment);
        }
    }
}
