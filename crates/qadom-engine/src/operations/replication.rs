//! Bringing what is held to the nodes that should hold it now, and fetching what they have of it
//! (the paper, section 2.5): a survey of the region that the slots lie in, then one exchange with
//! each holder. A newcomer that is nearer than this node is brought what it is to hold at once,
//! without a survey; and a node that leaves brings everything to others.
//!
//! What must stay true: a payload travels only to a node that lacks it; few holders are asked at
//! once, each one thing after the other; an exchange that finds no end is given up. What one step
//! of an exchange is lies in `replication/exchange.rs`.

pub(in crate::operations) mod arrival;
mod exchange;

use std::collections::{BTreeMap, BTreeSet};

use qadom_routing::{Contact, NodeId};
use qadom_store::Container;
use qadom_wire::{Answer, K};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::ledger::Cause;
use crate::network::{Effort, leave_own_place};
use crate::operations::{Operation, Progress};
use crate::publications::region::Survey;
use crate::walk::{Context, Query, Walk};
use exchange::Exchange;

/// Holders that something is under way to at once.
const AT_ONCE: usize = 4;

/// A round of replication of what is held in one region.
#[derive(Debug)]
pub(crate) struct Replication {
    places: Vec<Container>,
    survey: Survey,
    walk: Option<Walk>,
    is_surveyed: bool,
    exchanges: BTreeMap<NodeId, Exchange>,
    under_way: usize,
    /// Where something was fetched that other holders may lack.
    gained: BTreeSet<Container>,
    is_second_round: bool,
    cause: Cause,
}

impl Replication {
    /// Replicates what is in these places, whose slots share their first `bits` bits.
    pub(crate) fn new(places: Vec<Container>, bits: u32) -> Self {
        let slots: Vec<_> = places.iter().map(|place| place.slot).collect();
        Self {
            survey: Survey::new(&slots, bits),
            places,
            walk: None,
            is_surveyed: false,
            exchanges: BTreeMap::new(),
            under_way: 0,
            gained: BTreeSet::new(),
            is_second_round: false,
            cause: Cause::Replication,
        }
    }

    /// Brings what is in these places, as this node leaves.
    pub(crate) fn leaving(places: Vec<Container>, bits: u32) -> Self {
        Self {
            cause: Cause::HandOver,
            ..Self::new(places, bits)
        }
    }

    /// Brings what is in these places to one node.
    pub(crate) fn hand_over(places: Vec<Container>, to: Contact) -> Self {
        let mut exchange = Exchange::new(to);
        exchange.plan(&places);
        let id = *exchange.contact.id();
        Self {
            survey: Survey::new(&[], 0),
            is_surveyed: true,
            exchanges: BTreeMap::from([(id, exchange)]),
            cause: Cause::HandOver,
            ..Self::new(places, 0)
        }
    }

    /// Looks for the nodes of the region; true when they are known.
    fn go_on_surveying(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            if let Some(walk) = &mut self.walk {
                if !walk.go_on(context) {
                    return false;
                }
                self.survey.on_found(walk.closest());
                self.walk = None;
            }
            let Some(target) = self.survey.next_target(&mut context.core.rng) else {
                return true;
            };
            let mut seeds = context.core.seeds(&target);
            seeds.extend(self.survey.nearest(&target, K).into_iter().cloned());
            let (core, now) = (&*context.core, context.now);
            let query = (target, Query::Node);
            // Who leaves has no time for slow nodes.
            let effort = if self.cause == Cause::HandOver {
                Effort::PLAIN
            } else {
                Effort::PATIENT
            };
            self.walk = Some(Walk::through(core, query, effort, seeds, now));
        }
    }

    /// Plans the exchanges: for each place with the k closest nodes, this one counted when it is
    /// one of them.
    fn assign(&mut self, core: &Core) {
        let reach = core.thorough().reach;
        let is_staying = core.is_storing() && core.leaving.is_none();
        let mut of_holder: BTreeMap<NodeId, (Contact, Vec<Container>)> = BTreeMap::new();
        for place in &self.places {
            let mut nearest = self.survey.holders(&place.slot, reach);
            let own = core.own.key().distance(&place.slot);
            let farthest = nearest.get(K - 1);
            let farthest = farthest.map(|node| node.id().key().distance(&place.slot));
            if is_staying && farthest.is_none_or(|farthest| own < farthest) {
                leave_own_place(&place.slot, &mut nearest, reach);
            }
            for node in nearest {
                let holder = of_holder.entry(*node.id());
                let (_, places) = holder.or_insert_with(|| (node.clone(), Vec::new()));
                places.push(*place);
            }
        }
        let exchanges = of_holder.into_iter().map(|(id, (contact, places))| {
            let mut exchange = Exchange::new(contact);
            exchange.plan(&places);
            (id, exchange)
        });
        self.exchanges = exchanges.collect();
    }

    /// Sends what is next to as many holders as may be asked at once.
    fn send(&mut self, context: &mut Context<'_>) {
        for exchange in self.exchanges.values_mut() {
            while self.under_way < AT_ONCE && exchange.is_ready() {
                let Some(request) = exchange.next(context.core, context.now) else {
                    break;
                };
                let operation = Some(context.operation);
                let contact = &exchange.contact;
                let sent = context
                    .core
                    .send(operation, Purpose::Exchange, contact, &request);
                if sent.is_some() {
                    self.under_way += 1;
                } else {
                    exchange.give_up();
                }
            }
        }
    }

    /// Whether a place has had its round: somebody answered, whatever it was, or there is nobody.
    fn is_settled(&self, place: &Container) -> bool {
        let mut asked = self
            .exchanges
            .values()
            .filter(|to| to.is_about(place))
            .peekable();
        asked.peek().is_none() || asked.any(Exchange::has_answered)
    }

    /// Brings what one holder gave to the others, once.
    fn begin_second_round(&mut self) -> bool {
        let gained = std::mem::take(&mut self.gained);
        if std::mem::replace(&mut self.is_second_round, true) || gained.is_empty() {
            return false;
        }
        let gained: Vec<_> = gained.into_iter().collect();
        for exchange in self.exchanges.values_mut() {
            exchange.plan_again(&gained);
        }
        true
    }
}

impl Operation for Replication {
    fn cause(&self) -> Cause {
        self.cause
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut()
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if !self.is_surveyed {
            if !self.go_on_surveying(context) {
                return Progress::Going;
            }
            self.is_surveyed = true;
            self.assign(context.core);
        }
        loop {
            self.send(context);
            if self.under_way > 0 {
                return Progress::Going;
            }
            if !self.begin_second_round() {
                break;
            }
        }
        let done = self.places.iter();
        let done = done.filter(|place| self.exchanges.values().any(|to| to.is_done_with(place)));
        if let Some(leaving) = &mut context.core.leaving
            && leaving.under_way.remove(&context.operation)
        {
            leaving.brought += done.count() as u64;
            leaving.offered += self.places.len() as u64;
        }
        if self.cause != Cause::Replication {
            return Progress::Quiet;
        }
        for place in self.places.iter().filter(|place| self.is_settled(place)) {
            context.core.replicated.note(*place, context.now.moment);
        }
        Progress::Quiet
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        if purpose == Purpose::Exchange {
            self.under_way = self.under_way.saturating_sub(1);
            if let Some(exchange) = self.exchanges.get_mut(from.id()) {
                let gained = exchange.on_answer(context.core, context.now, answer);
                self.gained.extend(gained);
            }
        } else if let Some(walk) = &mut self.walk {
            walk.on_answer(context, from, answer);
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
        if purpose == Purpose::Exchange {
            self.under_way = self.under_way.saturating_sub(1);
            if let Some(exchange) = self.exchanges.get_mut(from.id()) {
                exchange.give_up();
            }
        } else if let Some(walk) = &mut self.walk {
            walk.on_failed(context, from, failure);
        }
        self.go_on(context)
    }
}
