//! Bringing many records of one region to their holders: a survey of the region, then batches to
//! each holder, the own store among them.
//!
//! What must stay true: a holder has at most one batch under way and is sent a payload only when it
//! lacks it; nothing is sent faster than the pace allows; a copy counts when its holder said that
//! it is durable. What the records are for is the business of `operations/renewal.rs` and
//! `operations/withdrawal.rs`.

pub(crate) mod item;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use qadom_routing::{Contact, Key, Moment, NodeId};
use qadom_wire::{
    Answer, BODY_MAX, Find, Found, ITEMS_MAX, IdRange, K, Kind, Reason, Record, Request, Store,
    StoreItem, StoreResult,
};

use crate::core::{Core, Purpose, Waiting};
use crate::effect::RequestFailure;
use crate::network::{Effort, leave_own_place};
use crate::operations::distribution::item::Item;
use crate::operations::reason_of;
use crate::publications::region::Survey;
use crate::status::RenewalCost;
use crate::walk::{Context, Query, Walk};

/// Holders that are sent to at once.
const AT_ONCE: usize = 8;
/// Records signed and kept in the own store between two other inputs.
const OWN_AT_ONCE: usize = 32;
/// The pause between two such rounds.
const OWN_EVERY: Duration = Duration::from_millis(10);
/// How often in a row a holder may be busy before it is left alone.
const RESTS_MAX: u8 = 5;
/// The longest time for which a busy holder is left alone.
const REST_MAX: Duration = Duration::from_mins(1);
/// What an item takes up in a store message beside its record, at the most, in bytes.
const ITEM_OVERHEAD: usize = 24;

/// Records on their way to the holders of a region.
#[derive(Debug)]
pub(crate) struct Distribution {
    pub(crate) items: Vec<Item>,
    survey: Survey,
    walk: Option<Walk>,
    is_surveyed: bool,
    holders: BTreeMap<NodeId, Holder>,
    /// Records that the own store has not got yet.
    own: VecDeque<usize>,
    is_own_waiting: bool,
    under_way: usize,
    pub(crate) cost: RenewalCost,
}

/// One node that is to have copies.
#[derive(Debug)]
struct Holder {
    contact: Contact,
    waiting: VecDeque<Load>,
    sent: Vec<Load>,
    /// Records that it refused for what it has in their place, which is to be seen.
    looks: VecDeque<usize>,
    looking: Option<usize>,
    /// Until when it wants to be left alone, and how often it wanted that in a row.
    rests_until: Moment,
    rests: u8,
}

/// A copy of one record.
#[derive(Clone, Copy, Debug)]
struct Load {
    item: usize,
    /// With its payload.
    is_whole: bool,
}

impl Distribution {
    /// Brings these records, whose slots share their first `bits` bits, to their holders.
    pub(crate) fn new(items: Vec<Item>, bits: u32) -> Self {
        let slots: Vec<Key> = items.iter().map(|item| item.id.slot).collect();
        Self {
            survey: Survey::new(&slots, bits),
            items,
            walk: None,
            is_surveyed: false,
            holders: BTreeMap::new(),
            own: VecDeque::new(),
            is_own_waiting: false,
            under_way: 0,
            cost: RenewalCost {
                rounds: 1,
                ..RenewalCost::default()
            },
        }
    }

    pub(crate) const fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut()
    }

    /// Whether another node was found to hold anything.
    pub(crate) fn has_holders(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Does what can be done now; true when everything is done.
    pub(crate) fn go_on(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_surveyed {
            if !self.go_on_surveying(context) {
                return false;
            }
            self.is_surveyed = true;
            self.assign(context.core);
        }
        self.keep_own(context);
        self.send(context);
        let is_idle = |holder: &Holder| holder.waiting.is_empty() && holder.looks.is_empty();
        self.under_way == 0
            && self.own.is_empty()
            && !self.is_own_waiting
            && self.holders.values().all(is_idle)
    }

    pub(crate) fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) {
        match purpose {
            Purpose::Store => match answer {
                Answer::Stored(results) => self.on_stored(from, &results),
                Answer::Refused(reason) => self.on_store_refused(from, reason),
                _ => self.on_store_refused(from, Reason::Malformed),
            },
            Purpose::Look => self.on_look(context, from, answer),
            _ => {
                if let Some(walk) = &mut self.walk {
                    walk.on_answer(context, from, answer);
                }
            }
        }
    }

    pub(crate) fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) {
        if !matches!(purpose, Purpose::Store | Purpose::Look) {
            if let Some(walk) = &mut self.walk {
                walk.on_failed(context, from, failure);
            }
            return;
        }
        self.under_way = self.under_way.saturating_sub(1);
        let span = match failure {
            RequestFailure::Busy { retry_after } => Some((*retry_after).min(REST_MAX)),
            // The line of this node's own requests is full.
            RequestFailure::Overloaded => Some(Duration::from_secs(1)),
            _ => None,
        };
        let holder = self.holders.get_mut(from.id());
        let is_resting = span
            .zip(holder)
            .is_some_and(|(span, holder)| holder.rest(span, context.now.moment));
        if !is_resting {
            self.give_up(from, reason_of(failure));
        }
    }

    /// The own store has committed what it was given, or not.
    pub(crate) fn on_own(&mut self, result: Result<(), Reason>) {
        self.is_own_waiting = false;
        if result.is_ok() {
            for item in &mut self.items {
                item.copies += u32::from(item.is_own_near && item.is_own_kept);
            }
        }
    }

    fn go_on_surveying(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            if let Some(walk) = &mut self.walk {
                if !walk.go_on(context) {
                    return false;
                }
                self.cost.queries += u64::from(walk.lookup().queries() + walk.asked_again());
                let closest = walk.closest();
                self.survey.on_found(closest);
                self.walk = None;
            }
            let Some(target) = self.survey.next_target(&mut context.core.rng) else {
                return true;
            };
            let mut seeds = context.core.seeds(&target);
            seeds.extend(self.survey.nearest(&target, K).into_iter().cloned());
            let (core, now) = (&*context.core, context.now);
            let query = (target, Query::Node);
            self.walk = Some(Walk::through(core, query, Effort::PATIENT, seeds, now));
        }
    }

    /// Says which holder is to have what: for each record the k closest nodes, this one counted
    /// when it is one of them.
    fn assign(&mut self, core: &Core) {
        let is_storing = core.is_storing();
        let reach = core.thorough().reach;
        for (index, item) in self.items.iter_mut().enumerate() {
            let slot = item.id.slot;
            let mut nearest = self.survey.holders(&slot, reach);
            let own = core.own.key().distance(&slot);
            let farthest = nearest
                .get(K - 1)
                .map(|node| node.id().key().distance(&slot));
            item.is_own_near = is_storing && farthest.is_none_or(|farthest| own < farthest);
            if item.is_own_near {
                leave_own_place(&slot, &mut nearest, reach);
            }
            item.holders = nearest.len() + usize::from(item.is_own_near);
            for node in nearest {
                let holder = self
                    .holders
                    .entry(*node.id())
                    .or_insert_with(|| Holder::new(node));
                let is_whole = item.is_tombstone();
                holder.waiting.push_back(Load {
                    item: index,
                    is_whole,
                });
            }
        }
        if is_storing {
            self.own.extend(0..self.items.len());
        }
    }

    fn keep_own(&mut self, context: &mut Context<'_>) {
        let round = self.own.len().min(OWN_AT_ONCE);
        for index in self.own.drain(..round).collect::<Vec<_>>() {
            if let Some(item) = self.items.get_mut(index) {
                item.is_own_kept = item.keep(context.core, context.now);
            }
        }
        if !self.own.is_empty() {
            let at = context.now.moment + OWN_EVERY;
            context.core.wake(context.operation, at);
        } else if round > 0 {
            self.is_own_waiting = true;
            context.core.commit(Waiting::Own(context.operation));
        }
    }

    fn send(&mut self, context: &mut Context<'_>) {
        let now = context.now.moment;
        let is_idle = |holder: &Holder| {
            holder.sent.is_empty()
                && holder.looking.is_none()
                && !(holder.waiting.is_empty() && holder.looks.is_empty())
        };
        let idle = self.holders.iter().filter(|(_, holder)| is_idle(holder));
        let (ready, resting): (Vec<_>, Vec<_>) =
            idle.partition(|(_, holder)| holder.rests_until <= now);
        if let Some(at) = resting.iter().map(|(_, holder)| holder.rests_until).min() {
            context.core.wake(context.operation, at);
        }
        let ready: Vec<NodeId> = ready.into_iter().map(|(id, _)| *id).collect();
        for id in ready {
            if self.under_way >= AT_ONCE {
                return;
            }
            let free_at = context.core.promises.pace.free_at();
            if free_at > now {
                return context.core.wake(context.operation, free_at);
            }
            self.send_to(context, &id);
        }
    }

    fn send_to(&mut self, context: &mut Context<'_>, id: &NodeId) {
        let Some(holder) = self.holders.get_mut(id) else {
            return;
        };
        let (purpose, request, bytes) = if let Some(index) = holder.looks.pop_front() {
            let Some(item) = self.items.get(index).filter(|item| !item.is_superseded) else {
                return;
            };
            holder.looking = Some(index);
            (Purpose::Look, look(context.core, item), ITEM_OVERHEAD)
        } else {
            let (store, bytes) = holder.batch(&mut self.items, context);
            if store.items.is_empty() {
                return;
            }
            (Purpose::Store, Request::Store(store), bytes)
        };
        let (core, operation) = (&mut *context.core, Some(context.operation));
        core.promises.pace.spend(bytes, context.now.moment);
        let contact = holder.contact.clone();
        if core.send(operation, purpose, &contact, &request).is_some() {
            self.under_way += 1;
            match purpose {
                Purpose::Look => self.cost.looks += 1,
                _ => self.cost.batches += 1,
            }
        } else {
            let reason = core.way_to(&contact).err();
            self.give_up(&contact, reason.unwrap_or(Reason::Unreachable));
        }
    }

    fn on_stored(&mut self, from: &Contact, results: &[StoreResult]) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(holder) = self.holders.get_mut(from.id()) else {
            return;
        };
        holder.rests = 0;
        let sent = std::mem::take(&mut holder.sent);
        if results.len() != sent.len() {
            holder.sent = sent;
            return self.give_up(from, Reason::Malformed);
        }
        for (load, result) in sent.into_iter().zip(results) {
            let Some(item) = self.items.get_mut(load.item) else {
                continue;
            };
            match result {
                result if result.is_committed() => item.copies += 1,
                StoreResult::Refused(Reason::NotFound) if !load.is_whole => {
                    let is_whole = true;
                    holder.waiting.push_back(Load { is_whole, ..load });
                }
                StoreResult::Refused(Reason::StaleSeq | Reason::Conflict)
                    if !item.is_superseded =>
                {
                    holder.looks.push_back(load.item);
                }
                StoreResult::Refused(reason) => item.refuse(*reason),
                _ => item.refuse(Reason::StorageFailed),
            }
        }
    }

    /// A holder takes nothing at all.
    fn on_store_refused(&mut self, from: &Contact, reason: Reason) {
        self.under_way = self.under_way.saturating_sub(1);
        self.give_up(from, reason);
    }

    /// Sees what a holder has in the place of a record that it refused: only a later record of the
    /// same identity, signed by it, ends a publication.
    fn on_look(&mut self, context: &mut Context<'_>, from: &Contact, answer: Answer) {
        self.under_way = self.under_way.saturating_sub(1);
        let index = self.holders.get_mut(from.id());
        let index = index.and_then(|holder| holder.looking.take());
        let Some(item) = index.and_then(|index| self.items.get_mut(index)) else {
            return;
        };
        let Answer::Found(Found { records, .. }) = answer else {
            return;
        };
        for record in records {
            if let Record::Signed(record) = record
                && let Err(reason) = item.compare(record, &context.core.config.network)
            {
                context.core.refuse_answer(from, reason);
            }
        }
    }

    /// Sends a holder nothing more; what it was to have is refused for this reason.
    fn give_up(&mut self, contact: &Contact, reason: Reason) {
        let Some(holder) = self.holders.get_mut(contact.id()) else {
            return;
        };
        let given_up = std::mem::replace(holder, Holder::new(contact));
        let loads = given_up.sent.iter().chain(&given_up.waiting);
        for index in loads.map(|load| load.item).chain(given_up.looks) {
            if let Some(item) = self.items.get_mut(index) {
                item.refuse(reason);
            }
        }
    }
}

impl Holder {
    fn new(contact: &Contact) -> Self {
        Self {
            contact: contact.clone(),
            waiting: VecDeque::new(),
            sent: Vec::new(),
            looks: VecDeque::new(),
            looking: None,
            rests_until: Moment::ORIGIN,
            rests: 0,
        }
    }

    /// Leaves a busy holder alone for a while, with all that it was sent still to come; false when
    /// it was busy too often.
    fn rest(&mut self, span: Duration, now: Moment) -> bool {
        self.rests += 1;
        self.rests_until = now + span;
        for load in self.sent.drain(..).rev() {
            self.waiting.push_front(load);
        }
        self.looks.extend(self.looking.take());
        self.rests <= RESTS_MAX
    }

    /// The next copies that go together, with their length in bytes.
    fn batch(&mut self, items: &mut [Item], context: &Context<'_>) -> (Store, usize) {
        let (mut batch, mut bytes) = (Store::default(), 0);
        while batch.items.len() < ITEMS_MAX
            && let Some(load) = self.waiting.front().copied()
        {
            let item = items.get_mut(load.item);
            let item = item.and_then(|item| item.store_item(load.is_whole, context));
            let Some(item) = item else {
                // It was withdrawn or written anew meanwhile.
                self.waiting.pop_front();
                continue;
            };
            let length = length_of(&item);
            if bytes + length > BODY_MAX && !batch.items.is_empty() {
                break;
            }
            bytes += length;
            batch.items.push(item);
            self.sent.push(load);
            self.waiting.pop_front();
        }
        (batch, bytes)
    }
}

fn length_of(item: &StoreItem) -> usize {
    item.record.encoded_length() + ITEM_OVERHEAD
}

/// The question for what stands in the place of a record.
fn look(core: &Core, item: &Item) -> Request {
    let id = item.id.item;
    let mut next = *id.as_bytes();
    let carried = next.iter_mut().rev().try_for_each(|byte| {
        *byte = byte.wrapping_add(1);
        if *byte == 0 { Ok(()) } else { Err(()) }
    });
    let end = carried.is_err().then(|| Key::from_bytes(next));
    Request::Find(Find {
        slot: item.id.slot,
        kind: item.id.kind,
        range: IdRange::new(id, end).filter(|_| item.id.kind != Kind::Value),
        have: None,
        want: core.config.families,
    })
}
