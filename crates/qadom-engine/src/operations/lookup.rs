//! A lookup for its own sake, or to refresh a bucket (the paper, section 2.3).

use qadom_routing::{Contact, Key};
use qadom_wire::Answer;

use crate::core::{Core, Purpose};
use crate::operation::Outcome;
use crate::operations::{Operation, Progress};
use crate::time::Time;
use crate::walk::{Context, Query, Walk};

/// Finds the k closest nodes to a target.
#[derive(Debug)]
pub(crate) struct LookupOperation(Walk);

impl LookupOperation {
    pub(crate) fn new(core: &Core, target: Key, now: Time) -> Self {
        Self(Walk::new(core, target, Query::Node, now))
    }
}

impl Operation for LookupOperation {
    fn walk(&mut self) -> Option<&mut Walk> {
        Some(&mut self.0)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if self.0.go_on(context) {
            Progress::done(Outcome::Looked(self.0.report(context.now)))
        } else {
            Progress::Going
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        self.0.on_answer(context, from, answer);
        self.go_on(context)
    }
}
