//! A lookup for its own sake, to refresh a bucket (the paper, section 2.3), or to estimate how many
//! nodes there are.

use qadom_routing::{Contact, Key};
use qadom_wire::Answer;

use crate::core::{Core, Purpose};
use crate::effect::Effect;
use crate::ledger::Cause;
use crate::network::Effort;
use crate::operation::Outcome;
use crate::operations::{Operation, Progress};
use crate::time::Time;
use crate::walk::{Context, Query, Walk};

/// Finds the closest nodes to a target.
#[derive(Debug)]
pub(crate) struct LookupOperation {
    walk: Walk,
    cause: Cause,
    /// How many nodes near a random target it looks for, when that tells of the size of the network.
    sample: Option<usize>,
    /// The steps that were told as they happened; none when nobody follows them.
    told: Option<usize>,
}

impl LookupOperation {
    /// What a user asks for.
    pub(crate) fn new(core: &Core, target: Key, now: Time) -> Self {
        Self::with(core, target, Effort::QUICK, Cause::Users, now)
    }

    /// What fills a bucket; the result is nobody's to wait for.
    pub(crate) fn with(core: &Core, target: Key, effort: Effort, cause: Cause, now: Time) -> Self {
        let walk = Walk::new(core, target, Query::Node, effort, now);
        Self {
            walk,
            cause,
            sample: None,
            told: None,
        }
    }

    /// Has the size of the network told from what it finds.
    pub(crate) const fn sampling(mut self, k: usize) -> Self {
        self.sample = Some(k);
        self
    }

    /// Tells every step when it happens, too.
    pub(crate) fn followed(mut self) -> Self {
        self.told = Some(0);
        self
    }

    /// Tells the steps that happened since the last time.
    fn tell(&mut self, context: &mut Context<'_>) {
        let trace = self.walk.lookup().trace();
        if let Some(told) = &mut self.told
            && let Some(steps @ [_, ..]) = trace.get(*told..)
        {
            context.core.emit(Effect::Steps {
                operation: context.operation,
                began: self.walk.began().moment,
                steps: steps.to_vec(),
            });
            *told = trace.len();
        }
    }

    fn end(&self, context: &mut Context<'_>) -> Progress {
        let (target, moment) = (*self.walk.lookup().target(), context.now.moment);
        let closest = self.walk.closest();
        if let Some(k) = self.sample {
            context.core.note_sample(&target, &closest, k, moment);
        }
        if self.cause == Cause::Users {
            context.core.note_density(&target, &closest);
        }
        Progress::done(Outcome::Looked(self.walk.report(context.now)))
    }
}

impl Operation for LookupOperation {
    fn cause(&self) -> Cause {
        self.cause
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        Some(&mut self.walk)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        let is_over = self.walk.go_on(context);
        self.tell(context);
        if is_over {
            self.end(context)
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
        self.walk.on_answer(context, from, answer);
        self.go_on(context)
    }
}
