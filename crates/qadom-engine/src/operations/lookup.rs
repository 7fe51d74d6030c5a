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
    is_walked: bool,
    /// What the nodes that were found are to hold.
    replica: Option<Held>,
    /// Replicas under way. They are waited for, so that the limit of background operations bounds
    /// what replication has in flight.
    waiting_for: usize,
}

impl LookupOperation {
    pub(crate) fn new(core: &Core, target: Key, now: Time) -> Self {
        Self {
            walk: Walk::new(core, target, Query::Node, now),
            is_walked: false,
            replica: None,
            waiting_for: 0,
        }
    }

    pub(crate) fn replicate(core: &Core, held: Held, now: Time) -> Self {
        let lookup = Self::new(core, *held.value.key(), now);
        let replica = Some(held);
        Self { replica, ..lookup }
    }

    /// Passes on what is left of the value's life. A copy that gets lost is brought again by the
    /// next round.
    fn send_replicas(&mut self, context: &mut Context<'_>) {
        let item = self.replica.take();
        let Some(item) = item.and_then(|held| held.to_replica(context.now)) else {
            return;
        };
        let request = Request::Store(Store { items: vec![item] });
        for holder in self.walk.closest() {
            let operation = Some(context.operation);
            let sent = context
                .core
                .send(operation, Purpose::Store, &holder, &request);
            self.waiting_for += usize::from(sent.is_some());
        }
    }
}

impl Operation for LookupOperation {
    fn walk(&mut self) -> Option<&mut Walk> {
        (!self.is_walked).then_some(&mut self.walk)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if !self.is_walked && self.walk.go_on(context) {
            self.is_walked = true;
            self.send_replicas(context);
        }
        if self.is_walked && self.waiting_for == 0 {
            Progress::done(Outcome::Looked(self.walk.report(context.now)))
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
        if purpose == Purpose::Store {
            self.waiting_for = self.waiting_for.saturating_sub(1);
        } else if let Some(walk) = self.walk() {
            walk.on_answer(context, from, answer);
        }
        self.go_on(context)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        _failure: &RequestFailure,
    ) -> Progress {
        if purpose == Purpose::Store {
            self.waiting_for = self.waiting_for.saturating_sub(1);
        } else if let Some(walk) = self.walk() {
            walk.on_failed(from, context.now);
        }
        self.go_on(context)
    }
}
