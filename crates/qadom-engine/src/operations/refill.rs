//! Fetching what this node should hold from those that hold it, too: the nodes of the own region are
//! found, then three of them are asked for each part of it what they have.
//!
//! What must stay true: few are asked at once, one after the other for the same part, and only what
//! this node is one of the nearest to is fetched. Bringing others what they lack is the business of
//! replication.

mod pull;

use std::collections::{BTreeMap, VecDeque};

use qadom_routing::{Contact, NodeId};
use qadom_wire::{Answer, K, Position};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::ledger::Cause;
use crate::listing::next;
use crate::network::Effort;
use crate::operations::{Operation, Progress};
use crate::publications::region::{Survey, sibling};
use crate::publications::schedule::{region, region_bits};
use crate::walk::{Context, Query, Walk};
use pull::{Pull, Span};

/// Holders that are asked for each part of the region: two of them may lack what the third has.
const HOLDERS: usize = 3;
/// Holders that something is under way to at once.
const AT_ONCE: usize = 4;

/// Brings back what a lost store held.
#[derive(Debug)]
pub(crate) struct RefillOperation {
    bits: u32,
    survey: Survey,
    walk: Option<Walk>,
    /// Whom to ask for what, one round after the other; none until the region is known.
    rounds: Option<VecDeque<BTreeMap<NodeId, Pull>>>,
    under_way: usize,
    is_answered: bool,
}

impl RefillOperation {
    pub(crate) fn new(core: &Core) -> Self {
        let bits = region_bits(core.nodes_nearby());
        Self {
            bits,
            survey: Survey::around(core.own.key(), bits),
            walk: None,
            rounds: None,
            under_way: 0,
            is_answered: false,
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
            let (core, now) = (&*context.core, context.now);
            self.walk = Some(Walk::new(core, target, Query::Node, Effort::PLAIN, now));
        }
    }

    /// Divides the region into the subtrees beside the own id and what is left around it, and
    /// finds holders for each. A subtree with k nodes of its own has nothing that this node holds.
    fn plan(&self, core: &Core) -> VecDeque<BTreeMap<NodeId, Pull>> {
        let own = core.own.key();
        let shared: Vec<_> = self
            .survey
            .found()
            .map(|node| node.key().distance(own).shared_bits())
            .collect();
        let deepest = shared.iter().max().map_or(self.bits, |most| most + 1);
        let deepest = deepest.clamp(self.bits, 256);
        let mut points = vec![(*own, deepest)];
        for bits in self.bits..deepest {
            let count = shared.iter().filter(|shared| **shared == bits).count();
            if count < K {
                points.push((sibling(own, bits + 1), bits + 1));
            }
        }
        let mut rounds: Vec<BTreeMap<NodeId, (Contact, Vec<Span>)>> =
            vec![BTreeMap::new(); HOLDERS];
        for (point, bits) in points {
            let (start, end) = region(&point, bits);
            let span = (
                Position::first_of(start),
                next(&end).map(Position::first_of),
            );
            for (round, node) in rounds.iter_mut().zip(self.survey.nearest(&point, HOLDERS)) {
                let entry = round.entry(*node.id());
                let (_, spans) = entry.or_insert_with(|| (node.clone(), Vec::new()));
                spans.push(span);
            }
        }
        let pulls = |round: BTreeMap<NodeId, (Contact, Vec<Span>)>| {
            let pulls = round.into_iter();
            pulls.map(|(id, (contact, spans))| (id, Pull::new(contact, &spans)))
        };
        rounds
            .into_iter()
            .map(|round| pulls(round).collect())
            .collect()
    }

    /// Sends what is next to as many holders as may be asked at once.
    fn send(&mut self, context: &mut Context<'_>) {
        let round = self.rounds.as_mut().and_then(VecDeque::front_mut);
        for pull in round.into_iter().flat_map(BTreeMap::values_mut) {
            while self.under_way < AT_ONCE && pull.is_ready() {
                let Some(request) = pull.next(context.core, context.now) else {
                    break;
                };
                let operation = Some(context.operation);
                let contact = &pull.contact;
                let sent = context
                    .core
                    .send(operation, Purpose::Exchange, contact, &request);
                if sent.is_some() {
                    self.under_way += 1;
                } else {
                    pull.give_up();
                }
            }
        }
    }

    /// Has the one that was asked go on.
    fn settle(&mut self, from: &Contact, on_pull: impl FnOnce(&mut Pull, &Survey)) {
        self.under_way = self.under_way.saturating_sub(1);
        let round = self.rounds.as_mut().and_then(VecDeque::front_mut);
        if let Some(pull) = round.and_then(|round| round.get_mut(from.id())) {
            on_pull(pull, &self.survey);
        }
    }
}

impl Operation for RefillOperation {
    fn cause(&self) -> Cause {
        Cause::Replication
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut()
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if self.rounds.is_none() {
            if !self.go_on_surveying(context) {
                return Progress::Going;
            }
            self.rounds = Some(self.plan(context.core));
        }
        loop {
            self.send(context);
            if self.under_way > 0 {
                return Progress::Going;
            }
            let ended = self.rounds.as_mut().and_then(VecDeque::pop_front);
            let Some(ended) = ended else {
                break;
            };
            self.is_answered |= ended.values().any(Pull::is_answered);
        }
        let refilling = &mut context.core.refilling;
        refilling.on_ended(self.is_answered, context.now.moment);
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
            let (core, now) = (&mut *context.core, context.now);
            self.settle(from, |pull, survey| {
                pull.on_answer(core, survey, now, answer);
            });
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
            self.settle(from, |pull, _| pull.give_up());
        } else if let Some(walk) = &mut self.walk {
            walk.on_failed(context, from, failure);
        }
        self.go_on(context)
    }
}
