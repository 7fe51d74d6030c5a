//! Watching a slot: leases at three of the nodes near it, what they push brought into order, what
//! is missing asked for, and the application told.
//!
//! What must stay true: whatever becomes of holders, a new lease begins where the telling stands,
//! so that nothing is missed that somebody still holds; only verified records are told; and what
//! waits in here is bounded. It ends when the user cancels it.

mod arrivals;
mod claims;
mod holders;
mod latest;
mod search;
mod silence;

use std::collections::BTreeSet;
use std::time::Duration;

use qadom_routing::{Contact, Moment, NodeKey};
use qadom_wire::{Answer, Cursor, CursorEntry, K, Kind, Notify, Reason, SignedRecord, Verified};

use self::arrivals::Arrivals;
use self::claims::Claims;
use self::holders::{Candidate, Holders};
use self::search::Searches;
use crate::core::{Core, Purpose};
use crate::effect::{Effect, RequestFailure};
use crate::ledger::Cause;
use crate::network::Effort;
use crate::operation::OperationId;
use crate::operations::{Operation, Progress};
use crate::reachability::Reachability;
use crate::records::acceptance::check_time;
use crate::records::signed::CLOCK_TOLERANCE;
use crate::time::{Time, jittered};
use crate::walk::{Context, Query, Walk};
use crate::watch::{Since, WatchEvent, WatchSlot};

/// How often the nodes near the slot are looked up anew.
const WALK_EVERY: Duration = Duration::from_mins(15);
/// The pause before that is done because too few of them are left.
const WALK_SHORT: Duration = Duration::from_secs(10);
/// How often address translators on the way to the holders are kept open.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// Batches that wait until the beginning of a live subscription is known.
const EARLY_MAX: usize = 16;

/// One subscription.
#[derive(Debug)]
pub(crate) struct SubscribeOperation {
    slot: WatchSlot,
    arrivals: Arrivals,
    /// What was told, and what lies before.
    cursor: Cursor,
    /// Whether the cursor says where the subscription begins: a live one learns it from its
    /// holders.
    is_begun: bool,
    claims: Claims,
    /// What was pushed before that.
    early: Vec<(NodeKey, Notify)>,
    holders: Holders,
    searches: Searches,
    walk: Option<Walk>,
    walk_at: Moment,
    keep_alive_at: Moment,
}

impl SubscribeOperation {
    pub(crate) fn new(slot: WatchSlot, since: Since, now: Time) -> Self {
        let arrivals = Arrivals::new(slot.kind, &since, now);
        let is_begun = since != Since::Now;
        let cursor = match since {
            Since::Now => Cursor::new(),
            Since::Cursor(cursor) => cursor,
        };
        Self {
            slot,
            arrivals,
            cursor,
            is_begun,
            claims: Claims::default(),
            early: Vec::new(),
            holders: Holders::new(slot, now.moment),
            searches: Searches::default(),
            walk: None,
            walk_at: now.moment,
            keep_alive_at: now.moment + KEEP_ALIVE_EVERY,
        }
    }

    /// The nodes that a lookup found, this one among them when it is that near.
    fn take_near(&mut self, context: &Context<'_>, closest: Vec<Contact>) {
        let core = &*context.core;
        let target = &self.slot.slot;
        let mut near: Vec<Candidate> = closest
            .into_iter()
            .map(|contact| Candidate {
                key: *contact.key(),
                contact: Some(contact),
            })
            .collect();
        if core.is_storing() {
            let own = core.own.key().distance(target);
            let farthest = near.get(K - 1);
            let is_near = farthest.is_none_or(|node| own < node.key.id().key().distance(target));
            if is_near {
                near.truncate(K - 1);
                near.push(Candidate {
                    key: core.config.key,
                    contact: None,
                });
            }
        }
        self.holders.set_near(near, &core.own);
    }

    fn look_up(&mut self, context: &mut Context<'_>) {
        let now = context.now.moment;
        if self.walk.is_none() && now >= self.walk_at {
            let target = self.slot.slot;
            let (effort, now) = (Effort::PLAIN, context.now);
            self.walk = Some(Walk::new(context.core, target, Query::Node, effort, now));
        }
        let Some(mut walk) = self.walk.take() else {
            return;
        };
        if !walk.go_on(context) {
            self.walk = Some(walk);
            return;
        }
        self.take_near(context, walk.closest());
        self.walk_at = now + jittered(WALK_EVERY, &mut context.core.rng);
    }

    /// Notes what a holder had when it granted a live lease.
    fn claim(&mut self, context: &mut Context<'_>, from: NodeKey, had: Cursor) {
        self.claims.note(from, had);
        if self.is_begun {
            // A third one may confirm what the second one did not have.
            self.begin_behind(context);
        }
    }

    /// Begins, once enough holders have said what they have.
    fn begin(&mut self, context: &mut Context<'_>) {
        if !self.is_begun && self.claims.are_enough(self.holders.wanted()) {
            self.begin_behind(context);
        }
    }

    /// Begins behind what the holders agree on: writers of which nothing is known yet have written
    /// that before the subscription.
    fn begin_behind(&mut self, context: &mut Context<'_>) {
        let had = self.claims.agreed();
        let known: BTreeSet<_> = self.cursor.entries().map(|entry| entry.tag).collect();
        // What nobody can have written yet would hide all that is written from now on.
        let clock = context.core.trusted_time(context.now);
        let latest = clock.map_or(u64::MAX, |now| {
            now.utc_micros.saturating_add(CLOCK_TOLERANCE * 1_000_000)
        });
        let is_possible = |entry: &CursorEntry| match self.slot.kind {
            Kind::Event => entry.stream <= latest,
            Kind::BagItem | Kind::DictCell => entry.seq <= latest,
            Kind::Value | Kind::NamespaceEntry => true,
        };
        let unknown = had
            .entries()
            .filter(|entry| !known.contains(&entry.tag) && is_possible(entry));
        let unknown: Cursor = unknown.collect();
        self.arrivals.skip(&unknown);
        self.cursor.merge(&unknown);
        self.is_begun = true;
        for (from, batch) in std::mem::take(&mut self.early) {
            self.take_batch(context, &from, batch);
        }
    }

    fn take_batch(&mut self, context: &mut Context<'_>, from: &NodeKey, batch: Notify) {
        let is_own = *from == context.core.config.key;
        if batch.skipped > 0 && self.slot.kind != Kind::Event {
            let (operation, records) = (context.operation, batch.skipped);
            let event = WatchEvent::Skipped { records };
            context.core.emit(Effect::Event { operation, event });
        }
        match self.take(context, batch.records, is_own) {
            Ok(is_new) => self.holders.on_pushed(from, is_new, context.now.moment),
            Err(reason) => self.on_lie(context, from, reason),
        }
    }

    /// Takes records in; tells whether one was new, or why the sender is not to be believed.
    fn take(
        &mut self,
        context: &mut Context<'_>,
        records: Vec<SignedRecord>,
        is_own: bool,
    ) -> Result<bool, Reason> {
        let mut is_new = false;
        let now = context.now;
        for record in records {
            if !self.arrivals.wants(&record) {
                continue;
            }
            if let Err(reason) = check_time(&record, context.core.trusted_time(now)) {
                context.core.drops.count(reason);
                continue;
            }
            let network = &context.core.config.network;
            let verified = if is_own {
                Verified::from_own_store(record, network)
            } else {
                record.verify(network).map_err(|error| error.reason())?
            };
            self.arrivals.take(verified, now.moment);
            is_new = true;
        }
        Ok(is_new)
    }

    fn on_lie(&mut self, context: &mut Context<'_>, from: &NodeKey, reason: Reason) {
        if let Some(contact) = self.holders.contact(from) {
            context.core.refuse_answer(&contact, reason);
        }
        self.holders.on_lie(context, from);
    }

    fn tell(&mut self, context: &mut Context<'_>) {
        while let Some(next) = self.arrivals.next() {
            let (operation, record) = (context.operation, next.item);
            if let Some((from_seq, to_seq)) = next.missed {
                let event = WatchEvent::Gap {
                    writer: *record.writer(),
                    stream: record.stream(),
                    from_seq,
                    to_seq,
                };
                context.core.emit(Effect::Event { operation, event });
            }
            self.cursor
                .note(record.writer(), record.stream(), record.seq());
            let cursor = self.cursor.clone();
            let event = WatchEvent::Record { record, cursor };
            context.core.emit(Effect::Event { operation, event });
        }
    }

    fn keep_alive(&mut self, context: &mut Context<'_>) {
        let now = context.now.moment;
        if now < self.keep_alive_at {
            return;
        }
        self.keep_alive_at = now + KEEP_ALIVE_EVERY;
        // Whom strangers reach has nothing on the way that forgets.
        if context.core.self_test.found != Reachability::Reachable && !context.core.config.local {
            for key in self.holders.held() {
                context.core.emit(Effect::KeepAlive(key));
            }
        }
    }
}

impl Operation for SubscribeOperation {
    fn cause(&self) -> Cause {
        Cause::Watch
    }

    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        context
            .core
            .subscriptions
            .begin(self.slot, context.operation);
        self.go_on(context)
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut()
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        let now = context.now.moment;
        self.look_up(context);
        let since = self.is_begun.then_some(&self.cursor);
        if let Some((own, had)) = self.holders.tend(context, since) {
            self.claim(context, own, had);
        }
        self.begin(context);
        if self.holders.is_short() {
            self.walk_at = self.walk_at.min(now + WALK_SHORT);
        }
        self.arrivals.expire(now);
        let others = self.holders.others();
        let slot = self.slot.slot;
        self.searches
            .tend(context, slot, &mut self.arrivals, &others);
        self.tell(context);
        self.keep_alive(context);
        Progress::Going
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        match purpose {
            Purpose::Watch => {
                if let Some(had) = self.holders.on_answer(context, from.key(), answer) {
                    self.claim(context, *from.key(), had);
                }
            }
            Purpose::Ping => self.holders.on_pong(from.key(), context.now.moment),
            Purpose::Fill => {
                let slot = self.slot.slot;
                let records = self.searches.on_answer(context, slot, from, answer);
                if let Err(reason) = self.take(context, records, false) {
                    self.on_lie(context, from.key(), reason);
                }
            }
            _ => {
                if let Some(walk) = self.walk() {
                    walk.on_answer(context, from, answer);
                }
            }
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
        match purpose {
            Purpose::Watch | Purpose::Ping => self.holders.on_failed(context, from.key(), failure),
            Purpose::Fill => {
                self.searches.on_failed(from.key(), context.now.moment);
                self.holders.on_failed(context, from.key(), failure);
            }
            _ => {
                if let Some(walk) = self.walk() {
                    walk.on_failed(context, from, failure);
                }
            }
        }
        self.go_on(context)
    }

    fn on_pushed(&mut self, context: &mut Context<'_>, from: &NodeKey, batch: Notify) -> Progress {
        if self.is_begun {
            self.take_batch(context, from, batch);
        } else if self.early.len() < EARLY_MAX {
            self.early.push((*from, batch));
        }
        self.go_on(context)
    }

    fn next_deadline(&self) -> Option<Moment> {
        let walk_at = self.walk.is_none().then_some(self.walk_at);
        let all = [
            walk_at,
            Some(self.keep_alive_at),
            self.holders.next_deadline(),
            self.searches.next_deadline(),
            self.arrivals.next_deadline(),
        ];
        all.into_iter().flatten().min()
    }

    fn on_cancel(&mut self, core: &mut Core, operation: OperationId) {
        self.holders.end(core, operation);
        core.subscriptions.end(&self.slot, operation);
    }
}
