//! Looking up who holds a topic, while events go out to those known already.

use qadom_routing::{Contact, Key};
use qadom_wire::Answer;

use crate::core::{Core, Purpose};
use crate::ledger::Cause;
use crate::operation::Outcome;
use crate::operations::{Operation, Progress};
use crate::time::Time;
use crate::walk::{Context, Query, Walk};

/// Finds the holders of a topic and notes them.
#[derive(Debug)]
pub(crate) struct HoldersOperation {
    slot: Key,
    walk: Walk,
}

impl HoldersOperation {
    pub(crate) fn new(core: &Core, slot: Key, now: Time) -> Self {
        let walk = Walk::new(core, slot, Query::Node, core.thorough(), now);
        Self { slot, walk }
    }
}

impl Operation for HoldersOperation {
    fn cause(&self) -> Cause {
        Cause::Watch
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        Some(&mut self.walk)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if !self.walk.go_on(context) {
            return Progress::Going;
        }
        let (holders, now) = (self.walk.closest(), context.now);
        context.core.topics.note(&self.slot, holders, now.moment);
        Progress::done(Outcome::Looked(self.walk.report(now)))
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        self.walk.on_answer(context, from, answer);
        self.go_on(context)
    }
}
