//! Several engines on one clock, with loss, delay and death between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::one::{STORING, address, network, node_key};
use bytes::Bytes;
use qadom_engine::{
    Config, Effect, Engine, Inbound, InboundId, Mode, OperationId, Outgoing, RequestFailure,
    RequestId, Time, WatchEvent,
};
use qadom_routing::Moment;
use qadom_store::{MemoryStore, Store};
use qadom_wire::{BODY_MAX, Request};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// How often a message is sent before it counts as lost.
const TRIES: u32 = 3;
/// The pause between two tries, in milliseconds.
const TRY_EVERY: u64 = 100;

enum Parcel {
    Request {
        from: u8,
        id: RequestId,
        body: Bytes,
    },
    Answer {
        id: RequestId,
        body: Bytes,
    },
    Failure {
        id: RequestId,
    },
}

struct Node {
    engine: Engine,
    store: Arc<MemoryStore>,
    inbound: BTreeMap<InboundId, (u8, RequestId)>,
}

/// Nodes by their numbers.
pub(crate) struct Lossy {
    nodes: BTreeMap<u8, Node>,
    pub(crate) now: Time,
    parcels: BTreeMap<(Moment, u64), (u8, Parcel)>,
    chance: ChaCha8Rng,
    last: u64,
    /// Out of a thousand packets so many are lost.
    pub(crate) loss: u32,
    /// What subscriptions told, by node.
    pub(crate) told: BTreeMap<(u8, OperationId), Vec<WatchEvent>>,
}

impl Lossy {
    /// Storing nodes from 1 on, then clients; the storing nodes are known to all.
    pub(crate) fn new(storing: u8, clients: u8, seed: u64) -> Self {
        let now = Time {
            moment: Moment::ORIGIN,
            utc_micros: 1_800_000_000_000_000,
        };
        let mut world = Self {
            nodes: BTreeMap::new(),
            now,
            parcels: BTreeMap::new(),
            chance: ChaCha8Rng::seed_from_u64(seed),
            last: 0,
            loss: 0,
            told: BTreeMap::new(),
        };
        for number in 1..=storing + clients {
            let store = Arc::new(MemoryStore::new());
            let mut config = Config::new(node_key(number), network());
            config.local = true;
            config.expiry_grace = Duration::ZERO;
            if number > storing {
                config.mode = Mode::Client;
            }
            let mut engine = Engine::new(config, store.clone(), [number; 32], now);
            for other in (1..=storing).filter(|other| *other != number) {
                engine.on_confirmed(now, node_key(other), address(other), &STORING);
            }
            let inbound = BTreeMap::new();
            world.nodes.insert(
                number,
                Node {
                    engine,
                    store,
                    inbound,
                },
            );
        }
        world.run(Duration::ZERO);
        world
    }

    pub(crate) fn engine(&mut self, number: u8) -> &mut Engine {
        &mut self.nodes.get_mut(&number).expect("it lives").engine
    }

    pub(crate) fn kill(&mut self, number: u8) {
        self.nodes.remove(&number);
    }

    pub(crate) fn living(&self) -> Vec<u8> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn happens(&mut self, per_mille: u32) -> bool {
        self.chance.next_u32() % 1000 < per_mille
    }

    /// Lets a stranger send a request, whose answer nobody waits for, after a random delay.
    pub(crate) fn send(&mut self, to: u8, request: &Request) {
        let millis = u64::from(self.chance.next_u32() % 40);
        let parcel = Parcel::Request {
            from: 0,
            id: 0.into(),
            body: request.encode(),
        };
        self.post(millis, to, parcel);
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now.moment + span;
        self.settle_all();
        loop {
            let parcel = self.parcels.keys().next().map(|(at, _)| *at);
            let deadlines = self
                .nodes
                .values()
                .filter_map(|node| node.engine.next_deadline());
            let next = deadlines.chain(parcel).min().filter(|next| *next <= until);
            self.advance(next.unwrap_or(until));
            let Some(_) = next else {
                return;
            };
            while let Some(entry) = self.parcels.first_entry() {
                if entry.key().0 > self.now.moment {
                    break;
                }
                let (to, parcel) = entry.remove();
                self.deliver(to, parcel);
            }
            for number in self.living() {
                let now = self.now;
                let engine = self.engine(number);
                if engine.next_deadline().is_some_and(|at| at <= now.moment) {
                    engine.on_deadline(now);
                    self.settle(number);
                }
            }
        }
    }

    fn advance(&mut self, to: Moment) {
        if to > self.now.moment {
            let span = to.since(self.now.moment);
            self.now.utc_micros += u64::try_from(span.as_micros()).unwrap();
            self.now.moment = to;
        }
    }

    fn post(&mut self, millis: u64, to: u8, parcel: Parcel) {
        self.last += 1;
        let at = self.now.moment + Duration::from_millis(millis);
        self.parcels.insert((at, self.last), (to, parcel));
    }

    fn deliver(&mut self, to: u8, parcel: Parcel) {
        let now = self.now;
        self.last += 1;
        let inbound = InboundId(self.last);
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        match parcel {
            Parcel::Request { from, id, body } => {
                node.inbound.insert(inbound, (from, id));
                let inbound = Inbound {
                    id: inbound,
                    key: node_key(from),
                    address: address(from),
                    confirmed: true,
                    body,
                    answer_max: BODY_MAX,
                };
                node.engine.on_request(now, &inbound);
            }
            Parcel::Answer { id, body } => {
                let rtt = Duration::from_millis(20);
                node.engine.on_answer(now, id, body, rtt, None);
            }
            Parcel::Failure { id } => {
                node.engine.on_failed(now, id, &RequestFailure::Timeout);
            }
        }
        self.settle(to);
    }

    fn settle_all(&mut self) {
        for number in self.living() {
            self.settle(number);
        }
    }

    fn settle(&mut self, number: u8) {
        while let Some(effect) = self
            .nodes
            .get_mut(&number)
            .and_then(|node| node.engine.poll_effect())
        {
            match effect {
                Effect::Request(outgoing) => self.carry(number, &outgoing),
                Effect::Answer { inbound, body } => {
                    let node = self.nodes.get_mut(&number).expect("it lives");
                    let (asker, id) = node.inbound.remove(&inbound).expect("it asked");
                    self.post(10, asker, Parcel::Answer { id, body });
                }
                Effect::Commit(_) => {
                    let now = self.now;
                    let node = self.nodes.get_mut(&number).expect("it lives");
                    let ticket = node.store.commit().unwrap();
                    node.engine.on_committed(now, ticket);
                }
                Effect::Event { operation, event } => {
                    self.told
                        .entry((number, operation))
                        .or_default()
                        .push(event);
                }
                _ => {}
            }
        }
    }

    /// A request is tried a few times; what is lost on the way back counts likewise.
    fn carry(&mut self, from: u8, outgoing: &Outgoing) {
        let id = outgoing.id;
        let to = self
            .nodes
            .keys()
            .find(|number| node_key(**number) == outgoing.key)
            .copied();
        let mut lost = 0;
        while lost < TRIES && self.happens(self.loss) {
            lost += 1;
        }
        let waited = u64::from(lost) * TRY_EVERY;
        match to {
            Some(to) if lost < TRIES => {
                let body = outgoing.body.clone();
                self.post(waited + 10, to, Parcel::Request { from, id, body });
            }
            _ => self.post(u64::from(TRIES) * TRY_EVERY, from, Parcel::Failure { id }),
        }
    }
}
