//! Putting a value: a lookup for the k closest nodes, then a copy to each of them, the own one
//! among them when this node is that near.
//!
//! What must stay true: the receipt counts a copy only when its holder said that it is durable.

use qadom_routing::{Contact, NodeId};
use qadom_wire::{
    Answer, K, MAX_TTL, Reason, Record, Request, Store, StoreClass, StoreItem, StoreResult,
    VALUE_TTL_MAX, Value,
};

use crate::core::{Core, Purpose, Waiting};
use crate::effect::RequestFailure;
use crate::operation::{Failure, Outcome, Receipt, Refusal, WriteOptions};
use crate::operations::{Operation, Progress, reason_of};
use crate::records::Held;
use crate::time::Time;
use crate::walk::{Context, Query, Walk};

/// What became of the own copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// A client keeps none, or the store failed to commit it: the receipt says which.
    None,
    /// The store has not committed yet.
    Waiting,
    /// It is durable.
    Durable,
}

/// Stores a value with the nodes nearest to its key.
#[derive(Debug)]
pub(crate) struct PutOperation {
    value: Value,
    options: WriteOptions,
    began: Time,
    walk: Walk,
    is_walking: bool,
    own: Own,
    own_is_near: bool,
    /// Until when the own copy lives, in seconds of UTC.
    own_deadline: u64,
    reachable: usize,
    waiting_for: usize,
    stored: usize,
    refused: Vec<Refusal>,
    messages: u32,
}

impl PutOperation {
    pub(crate) fn new(core: &Core, value: Value, options: WriteOptions, now: Time) -> Self {
        let walk = Walk::new(core, *value.key(), Query::Node, now);
        Self {
            value,
            options,
            began: now,
            walk,
            is_walking: true,
            own: Own::None,
            own_is_near: false,
            own_deadline: 0,
            reachable: 0,
            waiting_for: 0,
            stored: 0,
            refused: Vec::new(),
            messages: 0,
        }
    }

    fn ttl_seconds(&self) -> u64 {
        self.options
            .ttl
            .unwrap_or(VALUE_TTL_MAX)
            .min(VALUE_TTL_MAX)
            .as_secs()
    }

    /// Keeps the writer's own copy, which stays also when this node is far from the key.
    fn keep_own(&mut self, context: &mut Context<'_>) -> Result<(), Reason> {
        if !context.core.is_storing() {
            return Ok(());
        }
        let (class, ttl) = (StoreClass::FirstHand, self.ttl_seconds());
        let held = Held::new(self.value.clone(), class, ttl, context.now);
        context.core.keep(held, context.now)?;
        let kept = context.core.held_value(self.value.key(), context.now);
        self.own_deadline = kept.ok().flatten().map_or(0, |held| held.deadline);
        context.core.commit(Waiting::Own(context.operation));
        self.own = Own::Waiting;
        Ok(())
    }

    /// Sends a copy to each of the k closest, this node counted when it is one of them.
    fn store(&mut self, context: &mut Context<'_>) {
        let key = *self.value.key();
        let mut holders = self.walk.closest();
        if context.core.is_storing() {
            let own = context.core.own.key().distance(&key);
            let farthest = holders
                .get(K - 1)
                .map(|node| node.id().key().distance(&key));
            self.own_is_near = farthest.is_none_or(|farthest| own < farthest);
            if self.own_is_near {
                holders.truncate(K - 1);
            }
        }
        self.reachable = holders.len() + usize::from(self.own_is_near);
        let ttl_seconds = u32::try_from(self.ttl_seconds()).unwrap_or(u32::MAX);
        let record = Record::Value(self.value.clone());
        let item = StoreItem {
            record,
            class: StoreClass::FirstHand,
            ttl_seconds,
            group: None,
            exclusive: false,
        };
        let request = Request::Store(Store { items: vec![item] });
        for holder in &holders {
            let operation = Some(context.operation);
            if context
                .core
                .send(operation, Purpose::Store, holder, &request)
                .is_some()
            {
                self.messages += 1;
                self.waiting_for += 1;
            } else {
                self.refuse(holder.id(), Reason::Unreachable);
            }
        }
    }

    fn refuse(&mut self, node: &NodeId, reason: Reason) {
        self.refused.push(Refusal {
            node: *node,
            reason,
        });
    }

    fn finish(&mut self, now: Time) -> Progress {
        if self.is_walking || self.waiting_for > 0 || self.own == Own::Waiting {
            return Progress::Going;
        }
        let own_copies = usize::from(self.own == Own::Durable && self.own_is_near);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let stored = count(self.stored + own_copies);
        let receipt = Receipt {
            key: *self.value.key(),
            wanted: count(K),
            reachable: count(self.reachable),
            stored,
            alone: stored == 1 && self.reachable == 1 && own_copies == 1,
            refused: std::mem::take(&mut self.refused),
            hops: self.walk.lookup().hops(),
            messages: self.messages,
            took: now.moment.since(self.began.moment),
            expires_at: (self.began.utc_seconds() + self.ttl_seconds()).max(self.own_deadline),
        };
        let half = count(self.reachable.min(K).div_ceil(2));
        let needed = self.options.min_copies.unwrap_or(half).max(1);
        if stored >= needed {
            Progress::done(Outcome::Stored(receipt))
        } else {
            Progress::failed(Failure::TooFewCopies { receipt, needed })
        }
    }
}

impl Operation for PutOperation {
    fn walk(&mut self) -> Option<&mut Walk> {
        self.is_walking.then_some(&mut self.walk)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if self.is_walking && self.walk.go_on(context) {
            self.is_walking = false;
            self.messages = self.walk.lookup().queries();
            self.store(context);
        }
        self.finish(context.now)
    }

    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        match self.keep_own(context) {
            Ok(()) => self.go_on(context),
            Err(reason) => Progress::failed(Failure::Store { reason }),
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        if purpose != Purpose::Store {
            if self.is_walking {
                self.walk.on_answer(context, from, answer);
            }
            return self.go_on(context);
        }
        self.waiting_for = self.waiting_for.saturating_sub(1);
        match answer {
            Answer::Stored(results) => match results.first() {
                Some(result) if result.is_committed() => self.stored += 1,
                Some(StoreResult::Refused(reason)) => self.refuse(from.id(), *reason),
                Some(_) => self.refuse(from.id(), Reason::StorageFailed),
                None => self.refuse(from.id(), Reason::Malformed),
            },
            Answer::Refused(reason) => self.refuse(from.id(), reason),
            _ => self.refuse(from.id(), Reason::Malformed),
        }
        self.finish(context.now)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        if purpose == Purpose::Store {
            self.waiting_for = self.waiting_for.saturating_sub(1);
            self.refuse(from.id(), reason_of(failure));
        } else if self.is_walking {
            self.walk.on_failed(from, context.now);
        }
        self.go_on(context)
    }

    fn on_own(&mut self, context: &mut Context<'_>, result: Result<(), Reason>) -> Progress {
        self.own = Own::Durable;
        if let Err(reason) = result {
            // Others may hold the value all the same; the receipt says so.
            self.own = Own::None;
            let own = context.core.own;
            self.refuse(&own, reason);
        }
        self.go_on(context)
    }
}

/// Whether a value is to live longer than any holder keeps it, or any owner renews it.
pub(crate) fn is_value_ttl_too_long(options: WriteOptions) -> bool {
    let most = if options.once { VALUE_TTL_MAX } else { MAX_TTL };
    options.ttl.is_some_and(|ttl| ttl > most)
}
