//! Nodes with the real transport: engine and endpoint joined, datagrams over the links.
//!
//! What must stay true: what the endpoint tells goes to the engine in its order, and what the engine
//! wants goes to the endpoint, until neither has anything left.

use std::net::SocketAddr;

use bytes::Bytes;
use qadom_engine::{Difference, Effect, Engine, Inbound, InboundId, RequestFailure, RequestId};
use qadom_routing::NodeKey;
use qadom_transport::Event as Told;
use qadom_wire::K;

use super::Network;
use crate::node::NodeIndex;
use crate::queue::Event;
use crate::sealed::{Ledger, Sealed, request_failure, transport_hello, wire_hello};

/// The one revision of the protocol that simulated nodes speak.
const VERSION: u8 = 1;

/// A datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
    pub(crate) bytes: Bytes,
}

impl Network {
    /// What the datagrams of the network were, as far as amplification goes; none in plain, where
    /// there are none.
    pub fn amplification(&self) -> Option<Ledger> {
        if !self.settings.fidelity.is_sealed() {
            return None;
        }
        let mut all = self.ledger;
        for sealed in self.nodes.iter().filter_map(|node| node.sealed.as_ref()) {
            all.replies += sealed.account.ledger.replies;
            all.over += sealed.account.ledger.over;
        }
        Some(all)
    }

    /// Gives a node that starts its endpoint, if the real transport runs.
    pub(super) fn start_endpoint(&mut self, node: NodeIndex) {
        if !self.settings.fidelity.is_sealed() {
            return;
        }
        let now = self.time_of(node);
        let seed = self.chance.bytes();
        let Some(owner) = self.nodes.get_mut(node.as_usize()) else {
            return;
        };
        let Some(secret) = owner.secret.clone() else {
            return;
        };
        let network = super::population::network_of(&owner.network);
        let id_bits = u8::try_from(owner.config.id_bits).unwrap_or(u8::MAX);
        let config = qadom_transport::Config {
            network_id: *network.id().as_bytes(),
            wire_tag: network.wire_tag(id_bits),
            k: u8::try_from(K).unwrap_or(u8::MAX),
            id_bits,
            lowest_version: VERSION,
            highest_version: VERSION,
            hello: transport_hello(owner.hello),
            ping: Engine::ping_body(),
            // It survives a restart, as the file of a node does.
            reset_secret: *secret.expose(),
            secret,
            seed,
            limits: qadom_transport::Limits::default(),
        };
        owner.sealed = Sealed::new(self.settings.fidelity, config, now).map(Box::new);
    }

    /// Takes the endpoint of a node that ends; its part of the ledger stays.
    pub(super) fn end_endpoint(&mut self, node: NodeIndex) {
        let owner = self.nodes.get_mut(node.as_usize());
        if let Some(sealed) = owner.and_then(|owner| owner.sealed.take()) {
            self.ledger.replies += sealed.account.ledger.replies;
            self.ledger.over += sealed.account.ledger.over;
        }
    }

    /// Carries out by the endpoint what is the endpoint's part; gives back what is not, and
    /// everything in plain.
    pub(super) fn carry_out_sealed(&mut self, node: NodeIndex, effect: Effect) -> Option<Effect> {
        let now = self.time_of(node);
        let owner = self.nodes.get_mut(node.as_usize())?;
        let Some(sealed) = owner.sealed.as_deref_mut() else {
            return Some(effect);
        };
        match effect {
            Effect::Identify { id, address } => sealed.identify(now, id.as_u64(), address),
            Effect::Request(request) => sealed.request(now, request),
            Effect::Probe(request) => sealed.probe(now, request),
            Effect::Answer { inbound, body } => sealed.answer(now, inbound.0, body),
            Effect::Pin(key) => {
                sealed.pin(*key.as_bytes(), true);
                owner.pinned += 1;
            }
            Effect::Unpin(key) => {
                sealed.pin(*key.as_bytes(), false);
                owner.pinned = owner.pinned.saturating_sub(1);
            }
            Effect::KeepAlive(key) => sealed.keep_alive(*key.as_bytes()),
            Effect::Hello(hello) => {
                sealed.set_hello(hello);
                owner.hello = hello;
            }
            other => return Some(other),
        }
        None
    }

    /// Sends what the endpoint has to send and tells the engine what the endpoint has to tell; false
    /// when there was nothing to tell.
    pub(super) fn pump(&mut self, node: NodeIndex) -> bool {
        let mut has_told = false;
        while let Some(sealed) = self.sealed_mut(node) {
            // What was proven by a datagram counts before what is sent because of it.
            if let Some(told) = sealed.poll_event() {
                has_told = true;
                self.tell(node, told);
            } else if let Some(transmit) = sealed.poll_transmit() {
                self.launch(node, transmit.to, &transmit.bytes);
            } else {
                break;
            }
        }
        has_told
    }

    fn sealed_mut(&mut self, node: NodeIndex) -> Option<&mut Sealed> {
        let owner = self.nodes.get_mut(node.as_usize())?;
        owner.sealed.as_deref_mut()
    }

    fn tell(&mut self, node: NodeIndex, told: Told) {
        match told {
            Told::Request {
                key,
                address,
                confirmed,
                inbound,
                body,
                answer_max,
            } => {
                let number = self.sealed_mut(node).map(|sealed| sealed.number(inbound));
                if let (Some(number), Ok(key)) = (number, NodeKey::new(key)) {
                    let inbound = Inbound {
                        id: InboundId(number),
                        key,
                        address,
                        confirmed,
                        body,
                        answer_max,
                    };
                    self.hear(node, &inbound);
                }
            }
            other => self.tell_engine(node, other),
        }
    }

    fn tell_engine(&mut self, node: NodeIndex, told: Told) {
        let now = self.time_of(node);
        if matches!(told, Told::Confirmed { .. }) {
            self.figures.sessions += 1;
        }
        if matches!(
            told,
            Told::Failed {
                reason: qadom_transport::FailReason::Timeout,
                ..
            }
        ) {
            self.figures.timeouts += 1;
        }
        let Some(engine) = self.engine_mut(node) else {
            return;
        };
        match told {
            Told::Confirmed {
                key,
                address,
                hello,
            } => {
                if let Ok(key) = NodeKey::new(key) {
                    engine.on_confirmed(now, key, address, &wire_hello(hello));
                }
            }
            Told::Answer {
                token,
                body,
                rtt,
                utc_micros,
            } => engine.on_answer(now, RequestId::from(token), body, rtt, Some(utc_micros)),
            Told::Observed { key, address } => {
                if let Ok(key) = NodeKey::new(key) {
                    engine.on_observed(now, &key, address);
                }
            }
            Told::Slow { token } => engine.on_slow(now, RequestId::from(token)),
            Told::Failed { token, reason } => {
                engine.on_failed(now, RequestId::from(token), &request_failure(reason));
            }
            Told::Identified { token, key, .. } => match NodeKey::new(key) {
                Ok(key) => engine.on_identified(now, RequestId::from(token), key),
                Err(_) => engine.on_failed(now, RequestId::from(token), &RequestFailure::WrongKey),
            },
            Told::Mismatch {
                token: Some(token), ..
            } => {
                let difference = Difference {
                    what: "network",
                    ours: String::new(),
                    theirs: String::new(),
                };
                let failure = RequestFailure::Mismatch(vec![difference]);
                engine.on_failed(now, RequestId::from(token), &failure);
            }
            _ => {}
        }
    }

    /// Puts a datagram on its way, which it may not survive.
    fn launch(&mut self, from: NodeIndex, address: SocketAddr, bytes: &Bytes) {
        self.figures.sent += 1;
        self.figures.datagrams += 1;
        self.figures.bytes += bytes.len() as u64;
        self.fly(from, address, |to| {
            Event::Datagram(Box::new(Datagram {
                from,
                to,
                bytes: bytes.clone(),
            }))
        });
    }

    /// A datagram reaches the node at its address.
    pub(super) fn land(&mut self, datagram: &Datagram) {
        let Datagram { from, to, bytes } = datagram;
        let now = self.now;
        let is_let_in = self
            .node(*to)
            .is_some_and(|node| node.is_alive() && node.lets_in(*from, now));
        let Some(address) = self.address(*from).filter(|_| is_let_in) else {
            self.figures.lost += 1;
            return;
        };
        let kind = bytes.first().copied().unwrap_or_default();
        self.trace.record(now, *from, *to, kind, bytes);
        self.figures.messages += 1;
        let time = self.time_of(*to);
        if let Some(sealed) = self.sealed_mut(*to) {
            sealed.on_datagram(time, address, bytes);
            self.settle(*to);
        }
    }
}
