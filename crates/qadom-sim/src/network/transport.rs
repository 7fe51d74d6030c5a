//! How messages travel: what the transport's endpoints promise, without their datagrams.
//!
//! What must stay true: a question is answered, or fails, exactly once; a node that is dead says
//! nothing; what reaches an engine is confirmed only when the session's initiator has shown that
//! it is reached under its address.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Difference, Effect, Engine, Inbound, InboundId, Outgoing, RequestFailure, RequestId, Size,
};
use qadom_routing::NodeKey;

use super::Network;
use crate::exchange::{Exchange, ExchangeId, Opens, Packet, Question, TRIES};
use crate::node::{Node, NodeIndex};
use crate::peers::{Link, Peer};
use crate::queue::Event;
use crate::rtt::FIRST_TIMEOUT;

/// How long a better answer than a mismatch is waited for.
const MISMATCH_WAIT: Duration = Duration::from_secs(2);

impl Network {
    // The asking side.

    /// Sends a request, if need be behind the opening of a session.
    pub(super) fn request(&mut self, from: NodeIndex, outgoing: Outgoing) {
        let Outgoing {
            id,
            key,
            address,
            body,
            first_ok,
            size,
            patience,
            is_background,
            ..
        } = outgoing;
        let question = Question::Body { key, body, size };
        let slow_at = match self.peer(from, key) {
            Some(peer) => peer.rtt.slow_after(),
            None => return,
        };
        let exchange = self.exchange(from, address, question, Some(id));
        if let Some(exchange) = self.exchanges.get_mut(&exchange) {
            exchange.patience = patience;
            exchange.may_open = first_ok;
            exchange.is_background = is_background;
        }
        self.queue.push(self.now + slow_at, Event::Slow(exchange));
        self.dispatch(exchange);
    }

    /// Sends a question inside the session that there is, or that is opened for it.
    fn dispatch(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(&id) else {
            return;
        };
        let (from, address, may_open) = (exchange.asker, exchange.address, exchange.may_open);
        let is_background = exchange.is_background;
        let Some(key) = exchange.key() else {
            return;
        };
        let Some(peer) = self.peer(from, key) else {
            return;
        };
        match &mut peer.link {
            Link::Open => self.transmit(id),
            Link::Opening { waiting } => waiting.push(id),
            Link::Cold if may_open => {
                peer.link = Link::Opening {
                    waiting: Vec::new(),
                };
                self.open(id, Opens::Session);
            }
            Link::Cold => {
                peer.link = Link::Opening { waiting: vec![id] };
                let question = Question::Body {
                    key,
                    body: Engine::ping_body(),
                    size: Size::Small,
                };
                let ping = self.exchange(from, address, question, None);
                if let Some(ping) = self.exchanges.get_mut(&ping) {
                    ping.is_background = is_background;
                }
                self.open(ping, Opens::Session);
            }
        }
    }

    /// Sends a request as the first message of a session of its own.
    pub(super) fn probe(&mut self, from: NodeIndex, outgoing: Outgoing) {
        let Outgoing {
            id,
            key,
            address,
            body,
            size,
            ..
        } = outgoing;
        let question = Question::Body { key, body, size };
        let exchange = self.exchange(from, address, question, Some(id));
        self.open(exchange, Opens::Another);
    }

    /// Sends a question that needs no session.
    pub(super) fn ask(
        &mut self,
        from: NodeIndex,
        address: SocketAddr,
        question: Question,
        request: Option<RequestId>,
    ) {
        let exchange = self.exchange(from, address, question, request);
        self.transmit(exchange);
    }

    pub(super) fn on_slow(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(&id) else {
            return;
        };
        if let Some(request) = exchange.request {
            self.feed(exchange.asker, |engine, now| engine.on_slow(now, request));
        }
    }

    pub(super) fn on_timeout(&mut self, id: ExchangeId, wait: u32) {
        let Some(exchange) = self.exchanges.get(&id) else {
            return;
        };
        if exchange.wait != wait || exchange.is_mismatched {
            return;
        }
        if exchange.tries < TRIES {
            self.transmit(id);
        } else {
            self.figures.timeouts += 1;
            self.fail(id, &RequestFailure::Timeout);
        }
    }

    pub(super) fn on_mismatch(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(&id) else {
            return;
        };
        let name = |node: Option<&Node>| node.map(|node| node.network.clone()).unwrap_or_default();
        let theirs = self
            .by_address
            .get(&exchange.address)
            .and_then(|&node| self.node(node));
        let difference = Difference {
            what: "network",
            ours: name(self.node(exchange.asker)),
            theirs: name(theirs),
        };
        self.fail(id, &RequestFailure::Mismatch(vec![difference]));
    }

    fn exchange(
        &mut self,
        asker: NodeIndex,
        address: SocketAddr,
        question: Question,
        request: Option<RequestId>,
    ) -> ExchangeId {
        self.last_exchange += 1;
        let id = ExchangeId(self.last_exchange);
        self.exchanges
            .insert(id, Exchange::new(asker, address, question, request));
        id
    }

    /// Sends a question as the first message of a session.
    fn open(&mut self, id: ExchangeId, opens: Opens) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.opens = opens;
            self.transmit(id);
        }
    }

    /// Sends a question, again or for the first time, and plans the end of the wait for it.
    fn transmit(&mut self, id: ExchangeId) {
        let now = self.now;
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        exchange.tries += 1;
        exchange.wait += 1;
        exchange.sent_at = now;
        if exchange.tries == 1 {
            exchange.first_sent_at = now;
        }
        let give_up_at = exchange.first_sent_at + exchange.patience;
        let packet = match exchange.question {
            Question::Who => Packet::Who(id),
            Question::Body { .. } if exchange.is_first() => Packet::Init(id),
            Question::Body { .. } => Packet::Request(id),
        };
        let (asker, address) = (exchange.asker, exchange.address);
        let (tries, wait) = (exchange.tries, exchange.wait);
        let peer = exchange.key().and_then(|key| self.peer(asker, key));
        let timeout = peer.map_or(FIRST_TIMEOUT, |peer| peer.rtt.timeout()) * (1 << (tries - 1));
        let due = now + timeout;
        let due = if tries < TRIES {
            due
        } else {
            due.max(give_up_at)
        };
        self.queue.push(due, Event::Timeout { exchange: id, wait });
        self.send(asker, address, packet);
    }

    /// Ends a question without an answer, and with it what waited for its session.
    fn fail(&mut self, id: ExchangeId, failure: &RequestFailure) {
        let Some(exchange) = self.exchanges.remove(&id) else {
            return;
        };
        let mut failed = Vec::from_iter(exchange.request);
        let key = exchange.key().filter(|_| exchange.opens == Opens::Session);
        if let Some(peer) = key.and_then(|key| self.peer(exchange.asker, key))
            && let Link::Opening { waiting } = &mut peer.link
        {
            let waiting = std::mem::take(waiting);
            peer.link = Link::Cold;
            let ended = waiting
                .iter()
                .filter_map(|waiting| self.exchanges.remove(waiting));
            failed.extend(ended.filter_map(|ended| ended.request));
        }
        for request in failed {
            self.feed(exchange.asker, |engine, now| {
                engine.on_failed(now, request, failure);
            });
        }
    }

    /// Takes the answer to a question.
    fn answered(&mut self, id: ExchangeId) {
        let now = self.now;
        // An answer whose sender crashed meanwhile went with it: the question is asked again.
        let is_gone = |exchange: &Exchange| exchange.request.is_some() && exchange.answer.is_none();
        if self.exchanges.get(&id).is_none_or(is_gone) {
            return;
        }
        let Some(exchange) = self.exchanges.remove(&id) else {
            return;
        };
        let rtt = now.since(exchange.sent_at);
        let other = self.by_address.get(&exchange.address).copied();
        let utc_micros = other.map(|other| self.time_of(other).utc_micros);
        if exchange.tries == 1
            && exchange.patience.is_zero()
            && let Some(peer) = exchange
                .key()
                .and_then(|key| self.peer(exchange.asker, key))
        {
            peer.rtt.sample(rtt);
        }
        if let (Some(request), Some(body)) = (exchange.request, exchange.answer) {
            self.feed(exchange.asker, |engine, now| {
                engine.on_answer(now, request, body, rtt, utc_micros);
            });
        }
    }

    /// The asker has seen the answer to its first message: the session stands.
    fn opened(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(&id) else {
            return;
        };
        let (asker, address) = (exchange.asker, exchange.address);
        let Some(other) = self.by_address.get(&address).copied() else {
            return;
        };
        self.figures.sessions += 1;
        if !self.confirm(asker, other) {
            self.send(asker, address, Packet::Empty);
        }
        let observed = self.node(asker).map(|node| node.address);
        if let (Some(observed), Some(key)) = (observed, self.node(other).map(|node| node.key)) {
            self.feed(asker, |engine, now| engine.on_observed(now, &key, observed));
        }
        self.answered(id);
    }

    // The side that is asked.

    /// Takes in a message that came over the network.
    pub(super) fn arrive(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        let now = self.now;
        let gets_through = |node: &Node| node.is_alive() && node.lets_in(from, now);
        if !self.node(to).is_some_and(gets_through) {
            self.figures.lost += 1;
            return;
        }
        let exchange = packet.exchange().and_then(|id| self.exchanges.get(&id));
        let body = exchange.map_or(&[][..], |exchange| packet.body(exchange));
        self.trace.record(self.now, from, to, packet.kind(), body);
        self.figures.messages += 1;
        match packet {
            Packet::Who(id) if self.is_foreign(from, to) => self.refuse(to, id),
            Packet::Who(id) => self.reply(to, id, Packet::Iam(id)),
            Packet::Init(id) if !self.is_meant(to, id) => {}
            Packet::Init(id) if self.is_foreign(from, to) => self.refuse(to, id),
            Packet::Init(id) => {
                if let Some(peer) = self.peer_at(to, from) {
                    peer.is_pending = true;
                }
                self.deliver(to, id, false);
            }
            Packet::Request(id) if !self.has_session(to, from) => {
                self.reply(to, id, Packet::Reset(id));
            }
            Packet::Request(id) => {
                self.confirm_pending(to, from);
                self.deliver(to, id, true);
            }
            Packet::Empty => self.confirm_pending(to, from),
            Packet::Iam(id) => self.identified(from, id),
            Packet::Resp(id) => self.opened(id),
            Packet::Answer(id) => self.answered(id),
            Packet::Reset(id) => self.reset(id),
            Packet::Mismatch(id) => {
                if let Some(exchange) = self.exchanges.get_mut(&id).filter(|it| !it.is_mismatched) {
                    exchange.is_mismatched = true;
                    self.queue
                        .push(self.now + MISMATCH_WAIT, Event::Mismatch(id));
                }
            }
        }
    }

    /// Sends an engine's answer back on the way its question came.
    pub(super) fn answer(&mut self, from: NodeIndex, inbound: InboundId, body: Bytes) {
        let effect = Effect::Answer { inbound, body };
        let Some(Effect::Answer { inbound, body }) = self.carry_out_sealed(from, effect) else {
            return;
        };
        let id = ExchangeId(inbound.0);
        // The asker gave up, or died.
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        if body.len() > exchange.answer_max() {
            self.figures.too_long += 1;
            return;
        }
        exchange.answer = Some(body);
        self.answer_again(from, id);
    }

    fn answer_again(&mut self, from: NodeIndex, id: ExchangeId) {
        let is_first = self.exchanges.get(&id).is_some_and(Exchange::is_first);
        let packet = if is_first {
            Packet::Resp(id)
        } else {
            Packet::Answer(id)
        };
        self.reply(from, id, packet);
    }

    /// Gives a question to the engine that is asked, once; afterwards the answer, if there is one,
    /// goes out again.
    fn deliver(&mut self, to: NodeIndex, id: ExchangeId, confirmed: bool) {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        if exchange.is_delivered {
            if exchange.answer.is_some() {
                self.answer_again(to, id);
            }
            return;
        }
        exchange.is_delivered = true;
        let (asker, answer_max) = (exchange.asker, exchange.answer_max());
        let Question::Body { body, .. } = &exchange.question else {
            return;
        };
        let body = body.clone();
        let Some(Node { key, address, .. }) = self.node(asker) else {
            return;
        };
        let id = InboundId(id.0);
        let inbound = Inbound {
            id,
            key: *key,
            address: *address,
            confirmed,
            body,
            answer_max,
        };
        self.hear(to, &inbound);
        self.settle(to);
    }

    /// Gives a request to whoever answers at a node: its engine, or what it does instead.
    pub(super) fn hear(&mut self, to: NodeIndex, inbound: &Inbound) {
        if self.misbehave(to, inbound) {
            return;
        }
        let now = self.time_of(to);
        if let Some(engine) = self.engine_mut(to) {
            engine.on_request(now, inbound);
        }
    }

    fn identified(&mut self, node: NodeIndex, id: ExchangeId) {
        let (Some(exchange), Some(Node { key, .. })) =
            (self.exchanges.remove(&id), self.node(node))
        else {
            return;
        };
        let key = *key;
        if let Some(request) = exchange.request {
            self.feed(exchange.asker, |engine, now| {
                engine.on_identified(now, request, key);
            });
        }
    }

    fn refuse(&mut self, from: NodeIndex, id: ExchangeId) {
        self.reply(from, id, Packet::Mismatch(id));
    }

    // Sessions.

    /// Whether a node knows a session that another one sends in: it forgets them when it crashes.
    fn has_session(&mut self, node: NodeIndex, other: NodeIndex) -> bool {
        // Who only answers may have been forgotten since, and would have kept the session.
        let only_answers = self.node(node).is_some_and(|node| node.only_answers);
        let peer = self.peer_at(node, other);
        only_answers || peer.is_some_and(|peer| peer.is_pending || matches!(peer.link, Link::Open))
    }

    /// The node that was asked knows nothing of the session: another one is opened.
    fn reset(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        exchange.wait += 1;
        exchange.tries = 0;
        let (asker, sent_at) = (exchange.asker, exchange.sent_at);
        let peer = exchange.key().and_then(|key| self.peer(asker, key));
        if let Some(peer) = peer
            && matches!(peer.link, Link::Open)
            && peer.opened_at <= sent_at
        {
            peer.link = Link::Cold;
        }
        self.dispatch(id);
    }

    /// A message inside a session that the other one opened: now it is confirmed.
    fn confirm_pending(&mut self, node: NodeIndex, other: NodeIndex) {
        if let Some(peer) = self.peer_at(node, other).filter(|peer| peer.is_pending) {
            peer.is_pending = false;
            self.confirm(node, other);
        }
    }

    /// Sends what waited for a session and tells the engine of it; true when something waited.
    fn confirm(&mut self, node: NodeIndex, other: NodeIndex) -> bool {
        let now = self.now;
        let Some(peer) = self.peer_at(node, other) else {
            return false;
        };
        peer.opened_at = now;
        let waiting = match std::mem::replace(&mut peer.link, Link::Open) {
            Link::Opening { waiting } => waiting,
            Link::Cold | Link::Open => Vec::new(),
        };
        for exchange in &waiting {
            self.transmit(*exchange);
        }
        if let Some(peer) = self.node(other) {
            let (key, address, hello) = (peer.key, peer.address, peer.hello);
            self.feed(node, |engine, now| {
                engine.on_confirmed(now, key, address, &hello);
            });
        }
        !waiting.is_empty()
    }

    pub(super) fn peer(&mut self, node: NodeIndex, key: NodeKey) -> Option<&mut Peer> {
        let now = self.now;
        let node = self.nodes.get_mut(node.as_usize())?;
        Some(node.peers.of(key, now))
    }

    fn peer_at(&mut self, node: NodeIndex, other: NodeIndex) -> Option<&mut Peer> {
        let key = self.node(other)?.key;
        self.peer(node, key)
    }

    /// Whether a first message is sealed for the node that it reached.
    fn is_meant(&self, node: NodeIndex, id: ExchangeId) -> bool {
        let key = self.exchanges.get(&id).and_then(Exchange::key);
        key.is_some() && key == self.node(node).map(|node| node.key)
    }

    fn is_foreign(&self, one: NodeIndex, other: NodeIndex) -> bool {
        let network = |node| self.node(node).map(|node| &node.network);
        network(one) != network(other)
    }
}
