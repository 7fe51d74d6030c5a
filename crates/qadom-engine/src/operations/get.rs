//! Getting a value: from the own store, else from the first node on the way that has it; then a
//! copy is left with the nearest node that lacked it (the paper, section 2.3). When the k closest
//! that were found do not have it, others are asked over disjoint paths, and everybody near enough to
//! have been given a copy.

use std::time::Duration;

use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, K, Record, Request, Store, StoreClass, StoreItem, Value};

use crate::core::{Core, Purpose};
use crate::network::Effort;
use crate::operation::{Failure, Fetched, Outcome, Source};
use crate::operations::{Operation, Progress};
use crate::records::CACHED_TTL;
use crate::time::Time;
use crate::walk::{Brought, Context, Query, Walk};

/// Finds a value in the network.
#[derive(Debug)]
pub(crate) struct GetOperation {
    key: Key,
    walk: Walk,
    began: Time,
    /// Requests, answers and silent nodes of the first walk, once it has ended in vain.
    first: Option<(u32, u32, u32)>,
}

impl GetOperation {
    pub(crate) fn new(core: &Core, key: Key, now: Time) -> Self {
        Self {
            key,
            walk: Walk::new(core, key, Query::Value, Effort::PLAIN, now),
            began: now,
            first: None,
        }
    }

    fn found(&self, context: &mut Context<'_>, from: &Contact, value: Value) -> Progress {
        self.leave_copy(context, from, &value);
        let lookup = self.walk.lookup();
        Progress::done(Outcome::Fetched(Fetched {
            key: self.key,
            value: value.into_bytes(),
            source: Source::Node(*from.id()),
            age: Duration::ZERO,
            hops: lookup.hops_of(from.id()).unwrap_or_else(|| lookup.hops()),
            messages: self.messages(),
            took: context.now.moment.since(self.began.moment),
        }))
    }

    fn messages(&self) -> u32 {
        let first = self.first.map_or(0, |(messages, ..)| messages);
        first + self.walk.lookup().queries() + self.walk.asked_again()
    }

    fn answered(&self) -> u32 {
        let first = self.first.map_or(0, |(_, answered, _)| answered);
        let answered = self.walk.lookup().answered().count();
        first + u32::try_from(answered).unwrap_or(u32::MAX)
    }

    /// Nodes that did not answer, each once, however often it was asked.
    fn unanswered(&self) -> u32 {
        let first = self.first.map_or(0, |(.., unanswered)| unanswered);
        let answered = self.walk.lookup().answered().count();
        let answered = u32::try_from(answered).unwrap_or(u32::MAX);
        first + self.walk.lookup().queries().saturating_sub(answered)
    }

    /// Begins to ask over disjoint paths, and everybody who should have a copy, after a miss; false
    /// when that was done or everybody was asked.
    fn begin_again(&mut self, context: &Context<'_>) -> bool {
        let effort = Effort {
            hurries: false,
            ..context.core.thorough()
        };
        let is_all = self.walk.lookup().answered().nth(K - 1).is_none();
        if self.first.is_some() || is_all || !effort.is_more() {
            return false;
        }
        self.first = Some((self.messages(), self.answered(), self.unanswered()));
        let (core, now) = (&*context.core, context.now);
        let mut again = Walk::new(core, self.key, Query::Value, effort, now);
        let trace = self.walk.lookup().trace();
        again.exclude(trace.iter().map(|step| step.contact.id()));
        self.walk = again;
        true
    }

    /// Leaves a copy with the nearest node that answered without the value. It lives 10 min,
    /// halved for each bucket by which that node is farther from the key than the k closest are,
    /// as far as this node knows them.
    fn leave_copy(&self, context: &mut Context<'_>, holder: &Contact, value: &Value) {
        let mut lacking = self
            .walk
            .lookup()
            .answered()
            .filter(|node| node.id() != holder.id());
        let Some(nearest) = lacking.next().cloned() else {
            return;
        };
        let shared = |node: &Contact| node.id().key().distance(&self.key).shared_bits();
        let known = context.core.table.closest(&self.key, K);
        let among_closest = known.get(K - 1).map_or(0, |node| shared(node));
        let farther = shared(holder)
            .max(among_closest)
            .saturating_sub(shared(&nearest));
        let ttl = CACHED_TTL.as_secs().checked_shr(farther).unwrap_or(0);
        let Some(ttl_seconds) = u32::try_from(ttl).ok().filter(|&ttl| ttl > 0) else {
            return;
        };
        let item = StoreItem {
            record: Record::Value(value.clone()),
            class: StoreClass::Cached,
            ttl_seconds,
            group: None,
            exclusive: false,
        };
        let request = Request::Store(Store { items: vec![item] });
        context.core.send(None, Purpose::Cache, &nearest, &request);
    }
}

impl Operation for GetOperation {
    fn walk(&mut self) -> Option<&mut Walk> {
        Some(&mut self.walk)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        loop {
            if !self.walk.go_on(context) {
                return Progress::Going;
            }
            if self.first.is_none() {
                let closest = self.walk.closest();
                context.core.note_density(&self.key, &closest);
            }
            if !self.begin_again(context) {
                break;
            }
        }
        let (answered, unanswered) = (self.answered(), self.unanswered());
        Progress::failed(Failure::NotFound {
            key: self.key,
            answered,
            unanswered,
        })
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        match self.walk.on_answer(context, from, answer) {
            Brought::Value(value) => self.found(context, from, value),
            Brought::Nothing | Brought::Found { .. } => self.go_on(context),
        }
    }
}
