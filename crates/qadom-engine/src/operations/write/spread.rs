//! Bringing one record to its holders, this node among them when it is near enough.
//!
//! What must stay true: a copy counts only when its holder said that it is durable; the last receipt
//! names everybody else who was asked.

use std::collections::BTreeSet;

use qadom_routing::{Contact, Key, NodeId, REACH_MAX};
use qadom_wire::{
    Answer, K, Reason, Record, Request, Store, StoreClass, StoreItem, StoreResult, Value, Verified,
};

use crate::core::{Core, Purpose, Waiting};
use crate::keep::Origin;
use crate::network::leave_own_place;
use crate::operation::{Receipt, Refusal};
use crate::records::Held;
use crate::time::Time;
use crate::walk::Context;

/// Copies that are sent before all holders are known, at most: with those to the k closest they are no more
/// than a put may send.
const EARLY_MAX: usize = REACH_MAX - K;

/// What is written.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A value, with the life of its copies in seconds.
    Value(Value, u32),
    /// A signed record.
    Signed(Verified),
}

impl Item {
    fn slot(&self) -> &Key {
        match self {
            Self::Value(value, _) => value.key(),
            Self::Signed(record) => record.slot(),
        }
    }
}

/// What became of the own copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// A client keeps none, or the store refused it: the receipt says which.
    None,
    /// The store has not committed yet.
    Waiting,
    /// It is durable.
    Durable,
}

/// One record on its way to its holders.
#[derive(Debug)]
pub(crate) struct Spread {
    began: Time,
    own: Own,
    own_is_near: bool,
    /// Until when the own copy lives, in seconds of UTC.
    own_deadline: u64,
    reachable: usize,
    waiting_for: usize,
    /// Who was sent a copy before all holders were known.
    early: BTreeSet<NodeId>,
    /// Those of them that are no holders after all. Their copies do not count.
    beside: BTreeSet<NodeId>,
    stored: BTreeSet<NodeId>,
    refused: Vec<Refusal>,
    /// Requests sent, those of the lookup before among them.
    pub(crate) messages: u32,
    pub(crate) hops: u32,
    /// Whether somebody has a later version, or another one of the same seq.
    pub(crate) is_stale: bool,
}

impl Spread {
    pub(crate) const fn new(began: Time) -> Self {
        Self {
            began,
            own: Own::None,
            own_is_near: false,
            own_deadline: 0,
            reachable: 0,
            waiting_for: 0,
            early: BTreeSet::new(),
            beside: BTreeSet::new(),
            stored: BTreeSet::new(),
            refused: Vec::new(),
            messages: 0,
            hops: 0,
            is_stale: false,
        }
    }

    /// Keeps the writer's own copy, which stays also when this node is far from the slot.
    ///
    /// # Errors
    ///
    /// Why the own store does not take it; that others have a later version is no error.
    pub(crate) fn keep_own(
        &mut self,
        context: &mut Context<'_>,
        item: &Item,
        is_exclusive: bool,
    ) -> Result<(), Reason> {
        if !context.core.is_storing() {
            return Ok(());
        }
        match keep(context.core, item, is_exclusive, context.now) {
            Ok(deadline) => self.own_deadline = deadline,
            Err(reason @ (Reason::StaleSeq | Reason::Conflict)) => {
                let own = context.core.own;
                self.refuse(&own, reason);
                return Ok(());
            }
            Err(reason) => return Err(reason),
        }
        context.core.commit(Waiting::Own(context.operation));
        self.own = Own::Waiting;
        Ok(())
    }

    /// Sends copies to nodes that are holders whoever else is found, unless they have been sent one: so
    /// that these need not wait for the slowest of those who are still asked.
    pub(crate) fn send_early(
        &mut self,
        context: &mut Context<'_>,
        holders: &[Contact],
        item: &Item,
    ) {
        for holder in holders {
            if self.early.len() < EARLY_MAX && self.early.insert(*holder.id()) {
                self.send_to(context, holder, &request(item, false));
            }
        }
    }

    /// Whether anybody was sent a copy.
    pub(crate) fn has_begun(&self) -> bool {
        !self.early.is_empty()
    }

    /// Sends no more copies than those that are under way.
    pub(crate) fn stop(&mut self) {
        self.reachable = self.early.len();
    }

    /// Takes note of who the holders are, this node counted when it is one of the k closest, and gives
    /// the others.
    pub(crate) fn expect(
        &mut self,
        context: &Context<'_>,
        mut holders: Vec<Contact>,
        item: &Item,
        is_exclusive: bool,
    ) -> Vec<Contact> {
        if is_exclusive {
            // More than half of the k closest have to agree: copies beyond them would be no votes.
            holders.truncate(K);
        }
        self.own_is_near = context.core.is_near(item.slot(), &holders);
        if self.own_is_near {
            let reach = context.core.thorough().reach;
            leave_own_place(item.slot(), &mut holders, reach);
        }
        let is_holder = |node: &NodeId| holders.iter().any(|holder| holder.id() == node);
        let beside = self.early.iter().filter(|node| !is_holder(node));
        self.beside = beside.copied().collect();
        holders.truncate(REACH_MAX.saturating_sub(self.beside.len()));
        self.reachable = holders.len() + usize::from(self.own_is_near);
        holders
    }

    /// Sends a copy to each of the holders that has none yet: the k closest and who else is within reach.
    pub(crate) fn send(
        &mut self,
        context: &mut Context<'_>,
        holders: Vec<Contact>,
        item: &Item,
        is_exclusive: bool,
    ) {
        let request = request(item, is_exclusive);
        for holder in self.expect(context, holders, item, is_exclusive) {
            if !self.early.contains(holder.id()) {
                self.send_to(context, &holder, &request);
            }
        }
    }

    fn send_to(&mut self, context: &mut Context<'_>, holder: &Contact, request: &Request) {
        let operation = Some(context.operation);
        let sent = context
            .core
            .send(operation, Purpose::Store, holder, request);
        if sent.is_some() {
            self.messages += 1;
            self.waiting_for += 1;
        } else {
            let reason = context.core.way_to(holder).err();
            self.refuse(holder.id(), reason.unwrap_or(Reason::Unreachable));
        }
    }

    /// Whether so many copies are durable, the own one among them when it is kept.
    pub(crate) fn has(&self, copies: u32) -> bool {
        self.own != Own::Waiting && self.copies() >= copies
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.waiting_for == 0 && !matches!(self.own, Own::Waiting)
    }

    pub(crate) fn on_answer(&mut self, from: &Contact, answer: Answer) {
        self.waiting_for = self.waiting_for.saturating_sub(1);
        match answer {
            Answer::Stored(results) => match results.first() {
                Some(result) if result.is_committed() => {
                    self.stored.insert(*from.id());
                }
                Some(StoreResult::Refused(reason)) => self.refuse(from.id(), *reason),
                Some(_) => self.refuse(from.id(), Reason::StorageFailed),
                None => self.refuse(from.id(), Reason::Malformed),
            },
            Answer::Refused(reason) => self.refuse(from.id(), reason),
            _ => self.refuse(from.id(), Reason::Malformed),
        }
    }

    pub(crate) fn on_failed(&mut self, from: &Contact, reason: Reason) {
        self.waiting_for = self.waiting_for.saturating_sub(1);
        self.refuse(from.id(), reason);
    }

    pub(crate) fn on_own(&mut self, own: &NodeId, result: Result<(), Reason>) {
        self.own = Own::Durable;
        if let Err(reason) = result {
            // Others may hold the record all the same; the receipt says so.
            self.own = Own::None;
            self.refuse(own, reason);
        }
    }

    fn refuse(&mut self, node: &NodeId, reason: Reason) {
        self.is_stale |= matches!(reason, Reason::StaleSeq | Reason::Conflict);
        self.refused.push(Refusal {
            node: *node,
            reason,
        });
    }

    /// Storing nodes found, as far as they count towards k.
    pub(crate) fn found(&self) -> u32 {
        count(self.reachable.min(K))
    }

    /// Durable copies, the own one counted when this node is near.
    pub(crate) fn copies(&self) -> u32 {
        let stored = self.stored.difference(&self.beside).count();
        count(stored + self.own_copies())
    }

    fn own_copies(&self) -> usize {
        usize::from(self.own == Own::Durable && self.own_is_near)
    }

    pub(crate) fn receipt(&self, item: &Item, now: Time) -> Receipt {
        let (stored, own_copies) = (self.copies(), self.own_copies());
        let of_holders = |refusal: &&Refusal| !self.beside.contains(&refusal.node);
        let refused = self.refused.iter().filter(of_holders).copied().collect();
        let expires_at = match item {
            Item::Value(_, ttl_seconds) => self.began.utc_seconds() + u64::from(*ttl_seconds),
            Item::Signed(record) => record.expiry(),
        };
        Receipt {
            key: *item.slot(),
            wanted: count(K),
            reachable: count(self.reachable),
            stored,
            alone: stored == 1 && self.reachable == 1 && own_copies == 1,
            refused,
            hops: self.hops,
            messages: self.messages,
            took: now.moment.since(self.began.moment),
            expires_at: expires_at.max(self.own_deadline),
        }
    }
}

fn request(item: &Item, is_exclusive: bool) -> Request {
    let (record, ttl_seconds) = match item {
        Item::Value(value, ttl_seconds) => (Record::Value(value.clone()), *ttl_seconds),
        Item::Signed(record) => (Record::Signed(record.clone().into_inner()), 0),
    };
    let item = StoreItem {
        record,
        class: StoreClass::FirstHand,
        ttl_seconds,
        group: None,
        exclusive: is_exclusive,
    };
    Request::Store(Store { items: vec![item] })
}

/// Keeps a record in the own store and gives its end in seconds of UTC.
fn keep(core: &mut Core, item: &Item, is_exclusive: bool, now: Time) -> Result<u64, Reason> {
    match item {
        Item::Value(value, ttl_seconds) => {
            let (class, ttl) = (StoreClass::FirstHand, u64::from(*ttl_seconds));
            core.keep(Held::new(value.clone(), class, ttl, now), now)?;
            let kept = core.held_value(value.key(), now);
            Ok(kept.ok().flatten().map_or(0, |held| held.deadline))
        }
        Item::Signed(record) => {
            core.keep_signed(record.clone(), Origin::own(is_exclusive), now)?;
            Ok(record.expiry())
        }
    }
}

pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
