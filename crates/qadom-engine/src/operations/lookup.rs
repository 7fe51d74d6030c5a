//! A lookup for its own sake, to refresh a bucket, or to bring a held value to the k nodes that
//! are closest now (the paper, sections 2.3 and 2.5).

use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, Request, Store};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::operation::Outcome;
use crate::operations::{Operation, Progress};
use crate::records::Held;
use crate::time::Time;
use crate::walk::{Context, Query, Walk};

/// Finds the k closest nodes to a target.
#[derive(Debug)]
pub(crate) struct LookupOperation {
    walk: Walk,
    /// What the nodes that were found are to hold.
    replica: Option<Held>,
}

impl LookupOperation {
    pub(crate) fn new(core: &Core, target: Key, now: Time) -> Self {
        Self {
            walk: Walk::new(core, target, Query::Node, now),
            replica: None,
        }
    }

    pub(crate) fn replicate(core: &Core, held: Held, now: Time) -> Self {
        let walk = Walk::new(core, *held.value.key(), Query::Node, now);
        Self {
            walk,
            replica: Some(held),
        }
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if !self.walk.go_on(context) {
            return Progress::Going;
        }
        if let Some(held) = &self.replica {
            self.send_replicas(context, held);
        }
        Progress::done(Outcome::Looked(self.walk.report(context.now)))
    }

    /// Passes on what is left of the value's life. Nobody waits for the answers: a copy that gets
    /// lost here is brought again by the next round.
    fn send_replicas(&self, context: &mut Context<'_>, held: &Held) {
        let Some(item) = held.to_replica(context.now) else {
            return;
        };
        let request = Request::Store(Store { items: vec![item] });
        for holder in self.walk.closest() {
            context
                .core
                .send(None, Purpose::Background, &holder, &request);
        }
    }
}

impl Operation for LookupOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        self.go_on(context)
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

    fn on_slow(&mut self, context: &mut Context<'_>, from: &Contact) -> Progress {
        self.walk.on_slow(from, context.now);
        self.go_on(context)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        _failure: &RequestFailure,
    ) -> Progress {
        self.walk.on_failed(from, context.now);
        self.go_on(context)
    }
}
