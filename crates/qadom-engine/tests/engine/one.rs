//! One engine by itself, driven by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Config, Effect, Engine, Failure, Inbound, InboundId, Mode, Outcome, Outgoing, RequestFailure,
    Time,
};
use qadom_routing::{Moment, NodeKey};
use qadom_store::{MemoryStore, Store};
use qadom_wire::{Answer, BODY_MAX, Hello, Network, NetworkId, Request, Value};

/// The longest answer body to somebody whose address is not proven.
const COLD_MAX: usize = 1028;

/// An engine with its store and its clock.
pub(crate) struct One {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) now: Time,
}

/// A node key that is told apart by one number.
pub(crate) fn node_key(number: u8) -> NodeKey {
    let mut bytes = [0; 32];
    bytes[0] = 9;
    bytes[1] = number;
    NodeKey::new(bytes).unwrap()
}

/// The network that all nodes of these tests belong to.
pub(crate) fn network() -> NetworkId {
    Network::new(b"engine tests", b"").unwrap().id()
}

/// The address of a numbered node.
pub(crate) fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, number, 1], 7236))
}

/// The address of a numbered node that shares its address group with nobody.
pub(crate) fn far(number: u8) -> SocketAddr {
    SocketAddr::from(([60, number, 0, 1], 7236))
}

/// What a storing node says of itself that advertises nothing.
pub(crate) const STORING: Hello = Hello {
    storing: true,
    v4: None,
    v6: None,
};

/// A checked value.
pub(crate) fn value(bytes: &[u8]) -> Value {
    Value::new(Bytes::copy_from_slice(bytes)).unwrap()
}

impl One {
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(|config| config.mode = mode)
    }

    pub(crate) fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let store = Arc::new(MemoryStore::new());
        let now = Time {
            moment: Moment::ORIGIN,
            utc_micros: 1_800_000_000_000_000,
        };
        let mut config = Config::new(node_key(0), network());
        // Replication in its own time alone.
        config.replicate_every = Some(Duration::from_hours(1));
        config.hands_over = false;
        configure(&mut config);
        let engine = Engine::new(config, store.clone(), [1; 32], now);
        Self { engine, store, now }
    }

    /// A node that starts so much later.
    pub(crate) fn later(seconds: u64) -> Self {
        let mut one = Self::new(Mode::Storing);
        one.now.utc_micros += seconds * 1_000_000;
        let config = Config::new(node_key(0), network());
        one.engine = Engine::new(config, one.store.clone(), [1; 32], one.now);
        one
    }

    /// Lets time pass, and the engine do what is due.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now.moment = self.now.moment + Duration::from_secs(seconds);
        self.now.utc_micros += seconds * 1_000_000;
        self.engine.on_deadline(self.now);
    }

    /// Confirms sessions with numbered storing nodes, each at an address group of its own.
    pub(crate) fn meet_far(&mut self, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            self.confirm(number, far(number), &STORING);
        }
        self.effects();
    }

    /// Confirms a session with a numbered node that says this of itself.
    pub(crate) fn confirm(&mut self, number: u8, address: SocketAddr, hello: &Hello) {
        self.engine
            .on_confirmed(self.now, node_key(number), address, hello);
    }

    /// Confirms a session with a numbered node.
    pub(crate) fn meet(&mut self, number: u8, storing: bool) {
        let hello = Hello {
            storing,
            ..Hello::default()
        };
        self.engine
            .on_confirmed(self.now, node_key(number), address(number), &hello);
        self.effects();
    }

    /// Lets node 9 ask something.
    pub(crate) fn ask(&mut self, request: &Request, confirmed: bool) {
        self.ask_as(9, request, confirmed);
    }

    pub(crate) fn ask_as(&mut self, number: u8, request: &Request, confirmed: bool) {
        self.inbound(number, request.encode(), confirmed);
    }

    pub(crate) fn ask_bytes(&mut self, body: Bytes, confirmed: bool) {
        self.inbound(9, body, confirmed);
    }

    fn inbound(&mut self, number: u8, body: Bytes, confirmed: bool) {
        self.inbound_from(number, address(number), body, confirmed);
    }

    /// Lets a numbered node ask something from an address.
    pub(crate) fn ask_from(&mut self, number: u8, address: SocketAddr, request: &Request) {
        self.inbound_from(number, address, request.encode(), true);
    }

    fn inbound_from(&mut self, number: u8, address: SocketAddr, body: Bytes, confirmed: bool) {
        let answer_max = if confirmed { BODY_MAX } else { COLD_MAX };
        let key = node_key(number);
        let id = InboundId(1);
        let inbound = Inbound {
            id,
            key,
            address,
            confirmed,
            body,
            answer_max,
        };
        self.engine.on_request(self.now, &inbound);
    }

    /// Lets everybody who is asked answer what `peer` says, until nothing is under way; gives what
    /// the engine did besides asking. A peer that says nothing does not answer.
    pub(crate) fn run(&mut self, mut peer: impl FnMut(&Outgoing) -> Option<Answer>) -> Vec<Effect> {
        let mut others = Vec::new();
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Request(outgoing) => match peer(&outgoing) {
                    Some(answer) => {
                        let rtt = Duration::from_millis(1);
                        self.engine
                            .on_answer(self.now, outgoing.id, answer.encode(), rtt, None);
                    }
                    None => {
                        self.engine
                            .on_failed(self.now, outgoing.id, &RequestFailure::Timeout);
                    }
                },
                Effect::Commit(_) => {
                    let ticket = self.store.commit().unwrap();
                    self.engine.on_committed(self.now, ticket);
                }
                Effect::Journal { ticket, entry } => {
                    self.engine.on_journalled(self.now, ticket);
                    others.push(Effect::Journal { ticket, entry });
                }
                other => others.push(other),
            }
        }
        others
    }

    /// Lets a peer answer one request.
    pub(crate) fn answer_with(&mut self, outgoing: &Outgoing, answer: &Answer) {
        let rtt = Duration::from_millis(1);
        let body = answer.encode();
        self.engine
            .on_answer(self.now, outgoing.id, body, rtt, None);
    }

    /// Runs to the end of the one operation under way.
    pub(crate) fn outcome(
        &mut self,
        peer: impl FnMut(&Outgoing) -> Option<Answer>,
    ) -> Result<Outcome, Failure> {
        let mut ended = self
            .run(peer)
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Done { result, .. } => Some(result),
                _ => None,
            });
        let result = ended.next().expect("an operation that ended");
        assert!(ended.next().is_none(), "an operation ends once");
        result
    }

    pub(crate) fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.engine.poll_effect()).collect()
    }

    /// The requests that the engine has to send, by session or, if these are wanted, by probe.
    pub(crate) fn sent(&mut self, probes: bool) -> Vec<(Outgoing, Request)> {
        let outgoing = self
            .effects()
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Probe(outgoing) if probes => Some(outgoing),
                Effect::Request(outgoing) if !probes => Some(outgoing),
                _ => None,
            });
        outgoing
            .map(|outgoing| {
                let request = Request::decode(outgoing.body.clone()).unwrap();
                (outgoing, request)
            })
            .collect()
    }

    /// Lets somebody answer a request.
    pub(crate) fn reply(&mut self, to: &Outgoing, answer: &Answer) {
        let rtt = Duration::from_millis(1);
        self.engine
            .on_answer(self.now, to.id, answer.encode(), rtt, None);
    }

    /// The one answer that the engine gives.
    pub(crate) fn answer(&mut self) -> Answer {
        let effects = self.effects();
        let mut answers = effects.iter().filter_map(|effect| match effect {
            Effect::Answer { body, .. } => Some(Answer::decode(body.clone()).unwrap()),
            _ => None,
        });
        let answer = answers.next().expect("an answer");
        assert!(answers.next().is_none(), "one request has one answer");
        answer
    }

    /// Commits, then takes the answer that waited for it.
    pub(crate) fn committed_answer(&mut self) -> Answer {
        let ticket = self.store.commit().unwrap();
        self.engine.on_committed(self.now, ticket);
        self.answer()
    }
}
