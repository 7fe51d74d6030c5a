//! Several engines that reach each other at once, without loss, at one moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::one::network;
use qadom_engine::{
    Config, Effect, Engine, Failure, Inbound, InboundId, JournalEntry, Mode, OperationId, Outcome,
    Outgoing, RequestFailure, Time,
};
use qadom_routing::{Contact, Moment, NodeKey};
use qadom_store::{MemoryStore, Store};
use qadom_wire::{Answer, BODY_MAX, Identity, Reason, Request, Writer};

/// The longest answer body to somebody whose address is not proven.
const COLD_MAX: usize = 1028;

/// What a lying node makes of an answer of its own.
type Tamper = Box<dyn FnMut(&Request, Answer) -> Answer>;

pub(crate) struct Member {
    pub(crate) engine: Engine,
    store: Arc<MemoryStore>,
    pub(crate) is_down: bool,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) journal: Vec<JournalEntry>,
    pub(crate) journal_failure: Option<Reason>,
}

/// A small network.
pub(crate) struct World {
    pub(crate) members: Vec<Member>,
    pub(crate) now: Time,
    sessions: BTreeSet<(usize, usize)>,
    asked: BTreeMap<InboundId, (usize, Outgoing, Request)>,
    done: BTreeMap<(usize, OperationId), Result<Outcome, Failure>>,
    todo: VecDeque<(usize, Effect)>,
    /// Requests by the name of their kind.
    pub(crate) sent: BTreeMap<&'static str, usize>,
    last_inbound: u64,
}

pub(crate) fn key_of(member: usize) -> NodeKey {
    let mut bytes = [0; 32];
    bytes[0] = 9;
    bytes[1..9].copy_from_slice(&member.to_be_bytes());
    NodeKey::new(bytes).unwrap()
}

fn address_of(member: usize) -> SocketAddr {
    let [high, low] = u16::try_from(member).unwrap().to_be_bytes();
    SocketAddr::from(([60, high, low, 1], 7236))
}

pub(crate) fn contact_of(member: usize) -> Contact {
    Contact::at(key_of(member), address_of(member), true)
}

fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Ping(_) => "ping",
        Request::FindNode(_) => "find node",
        Request::Find(_) => "find",
        Request::Store(_) => "store",
        Request::Digest(_) => "digest",
        _ => "other",
    }
}

impl World {
    /// A network of storing nodes that all know each other.
    pub(crate) fn new(nodes: usize) -> Self {
        let now = Time {
            moment: Moment::ORIGIN,
            utc_micros: 1_800_000_000_000_000,
        };
        let mut world = Self {
            members: Vec::new(),
            now,
            sessions: BTreeSet::new(),
            asked: BTreeMap::new(),
            done: BTreeMap::new(),
            todo: VecDeque::new(),
            sent: BTreeMap::new(),
            last_inbound: 0,
        };
        for _ in 0..nodes {
            world.add(Mode::Storing);
        }
        world.pass(Duration::from_mins(2));
        world
    }

    /// Adds a node that knows all others, and gives its number.
    pub(crate) fn add(&mut self, mode: Mode) -> usize {
        let number = self.members.len();
        let store = Arc::new(MemoryStore::new());
        let mut config = Config::new(key_of(number), network());
        config.mode = mode;
        config.mode_is_fixed = true;
        config.local = true;
        let seed = [u8::try_from(number % 251).unwrap(); 32];
        let engine = Engine::new(config, store.clone(), seed, self.now);
        self.members.push(Member {
            engine,
            store,
            is_down: false,
            tamper: None,
            journal: Vec::new(),
            journal_failure: None,
        });
        for other in 0..number {
            self.confirm(number, other);
        }
        self.run();
        number
    }

    /// A session between two nodes is there, and both have proven who they are.
    fn confirm(&mut self, one: usize, other: usize) {
        if !self.sessions.insert((one.min(other), one.max(other))) {
            return;
        }
        for (here, there) in [(one, other), (other, one)] {
            let hello = self.members[there].engine.hello();
            let engine = &mut self.members[here].engine;
            engine.on_confirmed(self.now, key_of(there), address_of(there), &hello);
            self.collect(here);
        }
    }

    /// What a node keeps.
    pub(crate) fn store(&self, member: usize) -> &dyn Store {
        &*self.members[member].store
    }

    /// Ends all sessions, so that the next request to anybody is a cold one.
    pub(crate) fn forget_sessions(&mut self) {
        self.sessions.clear();
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.now.moment = self.now.moment + span;
        self.now.utc_micros += u64::try_from(span.as_micros()).unwrap();
        for number in 0..self.members.len() {
            if !self.members[number].is_down {
                self.members[number].engine.on_deadline(self.now);
                self.collect(number);
            }
        }
        self.run();
    }

    /// Makes a writer of a node.
    pub(crate) fn writer(&mut self, member: usize, seed: u8) -> Writer {
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let writer = identity.writer();
        self.members[member].engine.add_identity(identity);
        writer
    }

    /// Begins an operation and runs the network until nothing happens any more.
    pub(crate) fn run_at(
        &mut self,
        member: usize,
        begin: impl FnOnce(&mut Engine, Time) -> OperationId,
    ) -> Result<Outcome, Failure> {
        let operation = self.begin_at(member, begin);
        self.run();
        self.ended(member, operation)
            .expect("an operation that ended")
    }

    pub(crate) fn begin_at(
        &mut self,
        member: usize,
        begin: impl FnOnce(&mut Engine, Time) -> OperationId,
    ) -> OperationId {
        let operation = begin(&mut self.members[member].engine, self.now);
        self.collect(member);
        operation
    }

    pub(crate) fn ended(
        &mut self,
        member: usize,
        operation: OperationId,
    ) -> Option<Result<Outcome, Failure>> {
        self.done.remove(&(member, operation))
    }

    fn collect(&mut self, member: usize) {
        while let Some(effect) = self.members[member].engine.poll_effect() {
            self.todo.push_back((member, effect));
        }
    }

    pub(crate) fn run(&mut self) {
        while let Some((member, effect)) = self.todo.pop_front() {
            self.carry_out(member, effect);
            self.collect(member);
        }
    }

    fn carry_out(&mut self, member: usize, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Request(outgoing) => self.deliver(member, outgoing),
            Effect::Answer { inbound, body } => self.answer(inbound, member, &body),
            Effect::Commit(_) => {
                let ticket = self.members[member].store.commit().unwrap();
                self.members[member].engine.on_committed(now, ticket);
            }
            Effect::Journal { ticket, entry } => {
                let node = &mut self.members[member];
                if let Some(reason) = node.journal_failure {
                    node.engine.on_journal_failed(now, ticket, reason);
                } else {
                    node.journal.push(entry);
                    node.engine.on_journalled(now, ticket);
                }
            }
            Effect::Done { operation, result } => {
                self.done.insert((member, operation), result);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, from: usize, outgoing: Outgoing) {
        let to = (0..self.members.len()).find(|&number| key_of(number) == outgoing.key);
        let to = to.filter(|&to| !self.members[to].is_down);
        let Some(to) = to else {
            let engine = &mut self.members[from].engine;
            engine.on_failed(self.now, outgoing.id, &RequestFailure::Timeout);
            return self.collect(from);
        };
        let request = Request::decode(outgoing.body.clone()).unwrap();
        *self.sent.entry(name_of(&request)).or_default() += 1;
        let is_known = self.sessions.contains(&(from.min(to), from.max(to)));
        let confirmed = is_known || !outgoing.first_ok;
        if confirmed {
            self.confirm(from, to);
        }
        self.last_inbound += 1;
        let id = InboundId(self.last_inbound);
        let inbound = Inbound {
            id,
            key: key_of(from),
            address: address_of(from),
            confirmed,
            body: outgoing.body.clone(),
            answer_max: if confirmed { BODY_MAX } else { COLD_MAX },
        };
        self.asked.insert(id, (from, outgoing, request));
        self.members[to].engine.on_request(self.now, &inbound);
        self.collect(to);
    }

    fn answer(&mut self, inbound: InboundId, member: usize, body: &bytes::Bytes) {
        let (asker, outgoing, request) = self.asked.remove(&inbound).unwrap();
        self.confirm(asker, member);
        let mut body = body.clone();
        if let Some(tamper) = &mut self.members[member].tamper {
            let answer = Answer::decode(body).unwrap();
            body = tamper(&request, answer).encode();
        }
        let rtt = Duration::from_millis(1);
        let engine = &mut self.members[asker].engine;
        engine.on_answer(self.now, outgoing.id, body, rtt, Some(self.now.utc_micros));
        self.collect(asker);
    }
}
