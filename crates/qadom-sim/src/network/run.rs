//! Running the engines: events in the order of their moments, effects as they come.
//!
//! What must stay true: after every input an engine is drained, and woken no later than it asks.

use qadom_engine::{Effect, Engine, OperationId, Outcome, Time};
use qadom_store::{Store, Ticket};
use qadom_wire::Reason;

use super::Network;
use crate::exchange::Question;
use crate::failure::Failure;
use crate::node::{Node, NodeIndex};
use crate::queue::Event;
use qadom_routing::{Moment, NodeKey};

impl Network {
    /// Lets the next event happen if it lies no later than `until`; false when none does.
    pub(super) fn step(&mut self, until: Moment) -> bool {
        let Some((at, event)) = self.queue.pop(until) else {
            return false;
        };
        self.now = at;
        match event {
            Event::Arrival { from, to, packet } => self.arrive(from, to, packet),
            Event::Datagram(datagram) => self.land(&datagram),
            Event::Timeout { exchange, wait } => self.on_timeout(exchange, wait),
            Event::Slow(exchange) => self.on_slow(exchange),
            Event::Mismatch(exchange) => self.on_mismatch(exchange),
            Event::Wake(node) => self.wake(node),
            Event::Committed {
                node,
                life,
                ticket,
                failed,
            } if self.node(node).is_some_and(|node| node.life == life) => {
                self.committed(node, ticket, failed);
            }
            Event::Committed { .. } => {}
            Event::Departure(number) => self.on_departure(number),
            Event::Join(newcomer) => self.let_newcomer_join(newcomer),
            Event::Leave { number, node, life } => self.on_leave(number, node, life),
            Event::Return { number, node } => self.on_return(number, node),
        }
        true
    }

    pub(super) fn run_while(&mut self, is_wanted: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let until = self.now + self.settings.patience;
        while is_wanted(self) {
            if !self.step(until) {
                self.now = until;
                return Err(self.stalled());
            }
        }
        Ok(())
    }

    pub(super) fn stalled(&self) -> Failure {
        Failure::Stalled {
            running: self.tasks.running(),
            waited: self.settings.patience,
        }
    }

    /// Gives an input to a node's engine, if it lives, and carries out what follows.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use qadom_sim::{Identity, Network, NodeIndex, Settings};
    ///
    /// let mut network = Network::new(Settings { nodes: 1, ..Settings::default() });
    /// let identity = Arc::new(Identity::from_seed([7; 32]));
    /// network.feed(NodeIndex::from(0), |engine, _| engine.add_identity(identity));
    /// ```
    pub fn feed(&mut self, node: NodeIndex, input: impl FnOnce(&mut Engine, Time)) {
        let now = self.time_of(node);
        if let Some(engine) = self.engine_mut(node) {
            input(engine, now);
            self.settle(node);
        }
    }

    /// Carries out what a node's engine wants, and plans its next wake.
    pub(super) fn settle(&mut self, node: NodeIndex) {
        loop {
            while let Some(effect) = self.engine_mut(node).and_then(Engine::poll_effect) {
                if let Some(effect) = self.carry_out_sealed(node, effect) {
                    self.carry_out(node, effect);
                }
            }
            if !self.pump(node) {
                break;
            }
        }
        let Some(owner) = self.nodes.get_mut(node.as_usize()) else {
            return;
        };
        if owner.only_answers {
            return;
        }
        let Some(deadline) = owner.next_deadline() else {
            return;
        };
        let deadline = deadline.max(self.now);
        // A wake that is planned already and comes too early plans the next one.
        if owner.wake_at.is_none_or(|planned| planned > deadline) {
            owner.wake_at = Some(deadline);
            self.queue.push(deadline, Event::Wake(node));
        }
    }

    fn carry_out(&mut self, node: NodeIndex, effect: Effect) {
        match effect {
            Effect::Identify { id, address } => {
                self.ask(node, address, Question::Who, Some(id));
            }
            Effect::Request(outgoing) => self.request(node, outgoing),
            Effect::Probe(outgoing) => self.probe(node, outgoing),
            Effect::Hello(hello) => {
                if let Some(node) = self.nodes.get_mut(node.as_usize()) {
                    node.hello = hello;
                }
            }
            Effect::Answer { inbound, body } => self.answer(node, inbound, body),
            Effect::Commit(ticket) => self.commit(node, ticket),
            // The journal is memory, which is durable at once. What follows is drained by who
            // drains this, since a round of renewal has thousands of entries.
            Effect::Journal { ticket, entry } => {
                let now = self.time_of(node);
                if let Some(owner) = self.nodes.get_mut(node.as_usize()) {
                    owner.journal.push(entry.to_bytes());
                }
                if let Some(engine) = self.engine_mut(node) {
                    engine.on_journalled(now, ticket);
                }
            }
            Effect::Pin(key) => self.pin(node, key, true),
            Effect::Unpin(key) => self.pin(node, key, false),
            Effect::KeepAlive(key) => self.keep_alive(node, key),
            Effect::Event { operation, event } => {
                self.subscriptions.tell(node, operation, self.now, event);
            }
            // Simulated users list bags at once.
            Effect::Items { .. } | Effect::Steps { .. } => {}
            // Simulated nodes keep no files, and speak no QUIC.
            Effect::Offer { inbound, .. } => self.feed(node, |engine, _| {
                engine.answer_offer(inbound, Err(Reason::UnknownKind));
            }),
            Effect::Holds { inbound, .. } => self.feed(node, |engine, _| {
                engine.answer_holds(inbound, Err(Reason::UnknownKind));
            }),
            Effect::Stream { inbound, .. } => self.feed(node, |engine, _| {
                engine.answer_stream(inbound, Err(Reason::UnknownKind));
            }),
            Effect::Done { operation, result } => self.done(node, operation, result),
        }
    }

    fn done(
        &mut self,
        node: NodeIndex,
        operation: OperationId,
        result: Result<Outcome, qadom_engine::Failure>,
    ) {
        if let Ok(outcome) = &result {
            self.figures.hops.count(outcome);
        }
        if self.newcomers.get(&node) == Some(&operation) {
            self.on_newcomer(node, &result);
            return;
        }
        let result = result.map_err(Failure::from);
        if let Err(failure) = &result {
            self.subscriptions.end(node, operation, failure);
        }
        self.tasks.end(node, operation, result);
    }

    fn pin(&mut self, node: NodeIndex, key: NodeKey, is_pinned: bool) {
        if let Some(peer) = self.peer(node, key) {
            peer.is_pinned = is_pinned;
        }
    }

    fn commit(&mut self, node: NodeIndex, ticket: Ticket) {
        let Some(Node { store, life, .. }) = self.node(node) else {
            return;
        };
        let (store, life) = (store.clone(), *life);
        let failed = self.chance.happens(self.settings.commit_failure) || store.commit().is_err();
        let at = self.now + self.settings.commit_delay;
        self.queue.push(
            at,
            Event::Committed {
                node,
                life,
                ticket,
                failed,
            },
        );
    }

    fn committed(&mut self, node: NodeIndex, ticket: Ticket, failed: bool) {
        self.feed(node, |engine, now| {
            if failed {
                engine.on_commit_failed(now, ticket, Reason::StorageFailed);
            } else {
                engine.on_committed(now, ticket);
            }
        });
    }

    fn wake(&mut self, node: NodeIndex) {
        let now = self.now;
        let Some(owner) = self.nodes.get_mut(node.as_usize()) else {
            return;
        };
        if owner.wake_at != Some(now) {
            return;
        }
        owner.wake_at = None;
        let is_due = |deadline: Option<Moment>| deadline.is_some_and(|deadline| deadline <= now);
        let engine_is_due = is_due(owner.engine.as_deref().and_then(Engine::next_deadline));
        let time = self.time_of(node);
        let owner = self.nodes.get_mut(node.as_usize());
        if let Some(sealed) = owner.and_then(|owner| owner.sealed.as_deref_mut())
            && is_due(sealed.next_deadline())
        {
            sealed.on_deadline(time);
        }
        if engine_is_due {
            self.feed(node, Engine::on_deadline);
        } else {
            self.settle(node);
        }
    }

    pub(super) fn engine_mut(&mut self, node: NodeIndex) -> Option<&mut Engine> {
        self.nodes.get_mut(node.as_usize())?.engine.as_deref_mut()
    }
}
