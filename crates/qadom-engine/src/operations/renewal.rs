//! Renewing the publications of one region, before their holders forget them; and burying those of
//! it that were withdrawn, whose tombstones did not reach enough holders.

use qadom_routing::Contact;
use qadom_wire::{Answer, Reason};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::ledger::Cause;
use crate::operations::distribution::Distribution;
use crate::operations::distribution::item::Item;
use crate::operations::{Operation, Progress};
use crate::publications::promise::{PublicationId, PublicationState};
use crate::walk::{Context, Walk};

/// A round of renewal in one region.
#[derive(Debug)]
pub(crate) struct RenewalOperation(Distribution);

impl RenewalOperation {
    /// Renews these publications, whose slots share their first `bits` bits.
    pub(crate) fn new(core: &Core, ids: Vec<PublicationId>, bits: u32) -> Self {
        let book = &core.promises.book;
        let items = ids.into_iter().filter_map(|id| {
            let promise = book.get(&id)?;
            match promise.state {
                PublicationState::Withdrawn => core.tombstone_of(&id),
                _ => Some(Item::renewal(id, promise.promised.seq())),
            }
        });
        Self(Distribution::new(items.collect(), bits))
    }

    fn finish(&self, context: &mut Context<'_>) -> Progress {
        let is_alone = !self.0.has_holders();
        for item in &self.0.items {
            context.core.on_renewed(item, is_alone, context.now);
        }
        context.core.promises.cost += self.0.cost;
        context.core.promises.renewing.remove(&context.operation);
        Progress::Quiet
    }
}

impl Operation for RenewalOperation {
    fn cause(&self) -> Cause {
        Cause::Renewal
    }

    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        context.core.promises.renewing.insert(context.operation);
        self.go_on(context)
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        self.0.walk()
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if self.0.go_on(context) {
            self.finish(context)
        } else {
            Progress::Going
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        self.0.on_answer(context, from, purpose, answer);
        self.go_on(context)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        self.0.on_failed(context, from, purpose, failure);
        self.go_on(context)
    }

    fn on_own(&mut self, context: &mut Context<'_>, result: Result<(), Reason>) -> Progress {
        self.0.on_own(result);
        self.go_on(context)
    }
}
