//! The engine's inputs: each is told to whoever it concerns, and what follows is left as effects.
//!
//! What must stay true: every operation that was begun ends in exactly one [`Effect::Done`], and a
//! peer's bytes never do more than be counted when they make no sense.

mod files;
mod publications;
mod records;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey};
use qadom_store::{Store, Ticket};
use qadom_wire::{Answer, Hello, Ping, Reason, Request, Stream, Value};

use crate::config::{Config, Mode};
use crate::core::{Core, Purpose, Waiting, reason_of_store};
use crate::effect::{Effect, Inbound, InboundId, RequestFailure, RequestId};
use crate::ledger::Cause;
use crate::offset::Correction;
use crate::operation::{Failure, OperationId, Outcome, ReadFrom, WriteOptions};
use crate::operations::directed::DirectedGet;
use crate::operations::get::GetOperation;
use crate::operations::join::JoinOperation;
use crate::operations::lookup::LookupOperation;
use crate::operations::ping::PingOperation;
use crate::operations::stream::StreamOperation;
use crate::operations::write::{WriteOperation, is_value_ttl_too_long};
use crate::operations::{Operation, Progress};
use crate::reader::{ValueReader, fetched};
use crate::serve;
use crate::time::Time;
use crate::timers::Timers;
use crate::upkeep::Upkeep;
use crate::walk::Context;

/// Operations that may go on at once after their outcome was told. Those beyond tell it when they end, so
/// that whoever asks for more and more waits for what is under way.
const TOLD_MAX: usize = 256;

/// A DHT node without its datagrams, its disk and its clock.
///
/// The driver calls the inputs, then drains [`Engine::poll_effect`] until it is empty, then asks
/// [`Engine::next_deadline`], whose answer may change with every input.
#[derive(Debug)]
pub struct Engine {
    pub(crate) core: Core,
    pub(crate) upkeep: Upkeep,
    operations: BTreeMap<OperationId, Box<dyn Operation>>,
    timers: Timers,
    /// Operations whose outcome was told and that go on by themselves.
    told: BTreeSet<OperationId>,
    next_operation: u64,
}

impl Engine {
    /// Starts an engine on a store. The same seed and the same inputs give the same effects.
    pub fn new(config: Config, store: Arc<dyn Store>, seed: [u8; 32], now: Time) -> Self {
        let mut core = Core::new(config, store, seed, now);
        let upkeep = Upkeep::new(&mut core, now);
        Self {
            core,
            upkeep,
            operations: BTreeMap::new(),
            timers: Timers::default(),
            told: BTreeSet::new(),
            next_operation: 0,
        }
    }

    /// The request that the transport sends first to a node it has no session with, when the
    /// engine's request may not travel in a first datagram.
    pub fn ping_body() -> Bytes {
        Request::Ping(Ping::default()).encode()
    }

    /// The own public key.
    pub fn key(&self) -> &NodeKey {
        &self.core.config.key
    }

    /// The own place in the key space.
    pub fn id(&self) -> &NodeId {
        &self.core.own
    }

    // Users' requests. Each ends in one `Effect::Done`.

    /// Stores a value of at most 8192 bytes with the k nodes closest to its key. A life above 36 h
    /// is refused for a value that nobody renews, and cut to that for others.
    pub fn put(&mut self, now: Time, value: Bytes, options: WriteOptions) -> OperationId {
        let now = self.core.corrected(now);
        let value = match Value::new(value) {
            Ok(_) if is_value_ttl_too_long(options) => Err(Reason::LifetimeTooLong),
            Ok(value) => Ok(value),
            Err(_) => Err(Reason::TooLarge),
        };
        match value {
            Ok(value) => {
                let operation = WriteOperation::value(&self.core, value, options, now);
                self.start(now, Box::new(operation))
            }
            Err(reason) => self.end_at_once(Err(Failure::Refused { reason })),
        }
    }

    /// Finds the value of a key: in the own store, and unless it is asked for there alone in the
    /// network, or at one node.
    pub fn get(&mut self, now: Time, key: Key, from: ReadFrom) -> OperationId {
        let now = self.core.corrected(now);
        if let ReadFrom::Node(node) = from {
            return self.start(now, Box::new(DirectedGet::new(key, *node, now)));
        }
        match self.local(now, key) {
            Err(Failure::NotFound { .. }) if from == ReadFrom::Network => {
                let operation = GetOperation::new(&self.core, key, now);
                self.start(now, Box::new(operation))
            }
            result => self.end_at_once(result),
        }
    }

    /// Finds the k nodes closest to a target, with every step on the way.
    pub fn lookup(&mut self, now: Time, target: Key) -> OperationId {
        let now = self.core.corrected(now);
        let operation = LookupOperation::new(&self.core, target, now);
        self.start(now, Box::new(operation))
    }

    /// Does as [`Engine::lookup`] does, and tells every step when it happens:
    /// [`Effect::Steps`](crate::Effect::Steps).
    pub fn lookup_stream(&mut self, now: Time, target: Key) -> OperationId {
        let now = self.core.corrected(now);
        let operation = LookupOperation::new(&self.core, target, now).followed();
        self.start(now, Box::new(operation))
    }

    /// Enters the network through addresses, whose keys are asked for, and through contacts.
    pub fn join(
        &mut self,
        now: Time,
        addresses: Vec<SocketAddr>,
        contacts: Vec<Contact>,
    ) -> OperationId {
        let now = self.core.corrected(now);
        self.start(now, Box::new(JoinOperation::new(addresses, contacts)))
    }

    /// Asks one node for a sign of life.
    pub fn ping(&mut self, now: Time, contact: Contact) -> OperationId {
        let now = self.core.corrected(now);
        self.start(now, Box::new(PingOperation::new(contact, now.moment)))
    }

    /// Agrees with one node to speak QUIC; `fingerprint` is that of the own key.
    pub fn stream(&mut self, now: Time, contact: Contact, fingerprint: [u8; 32]) -> OperationId {
        self.start(now, Box::new(StreamOperation::new(contact, fingerprint)))
    }

    /// Answers [`Effect::Stream`] with the fingerprint of the own key, or why not.
    pub fn answer_stream(&mut self, inbound: InboundId, result: Result<[u8; 32], Reason>) {
        let answer = match result {
            Ok(fingerprint) => Answer::Stream(Stream { fingerprint }),
            Err(reason) => Answer::Refused(reason),
        };
        let body = answer.encode();
        self.core.emit(Effect::Answer { inbound, body });
    }

    /// Stores for others from now on, or no longer; peers are told. Whether the node is reachable
    /// changes nothing about it any more.
    ///
    /// Going client, the node brings what it holds to those that are to hold it from now on, in the
    /// background, and keeps its own copies until they expire.
    pub fn set_mode(&mut self, now: Time, mode: Mode) {
        let now = self.core.corrected(now);
        self.core.fix_mode(now, mode);
    }

    /// What the node says of itself in handshakes until the first [`Effect::Hello`].
    pub fn hello(&self) -> Hello {
        self.core.hello()
    }

    /// Gives an operation up; no `Effect::Done` follows. What it already stored remains.
    pub fn cancel(&mut self, operation: OperationId) {
        if let Some(mut machine) = self.operations.remove(&operation) {
            self.timers.set(operation, None);
            self.core.background.remove(&operation);
            self.told.remove(&operation);
            self.core.causes.remove(&operation);
            machine.on_cancel(&mut self.core, operation);
        }
    }

    // What the transport reports.

    /// A session with a node was confirmed: its key and its address are proven.
    pub fn on_confirmed(&mut self, now: Time, key: NodeKey, address: SocketAddr, hello: &Hello) {
        let now = self.core.corrected(now);
        self.core.dial_backs.on_heard(&key, now);
        self.core.told.remove(&key.id());
        self.core.on_hello(now, key, address, hello);
        self.upkeep(now);
    }

    /// A peer whose key is proven tells which address it sees this node at.
    pub fn on_observed(&mut self, now: Time, key: &NodeKey, address: SocketAddr) {
        let now = self.core.corrected(now);
        self.core.on_observed(now, key, address);
    }

    /// A peer asks something.
    pub fn on_request(&mut self, now: Time, inbound: &Inbound) {
        let now = self.core.corrected(now);
        self.core.dial_backs.on_heard(&inbound.key, now);
        self.core.ledger.was_asked(inbound.body.len());
        serve::serve(&mut self.core, now, inbound);
        self.tell_watchers(now);
    }

    /// A request was answered. `utc_micros` is what the peer's wall clock showed when it did so, in
    /// microseconds since 1970, if that is known.
    pub fn on_answer(
        &mut self,
        now: Time,
        id: RequestId,
        body: Bytes,
        rtt: Duration,
        utc_micros: Option<u64>,
    ) {
        let Some(sent) = self.core.take_sent(id) else {
            return;
        };
        self.core.ledger.answered(sent.cause, body.len());
        if let Some(utc_micros) = utc_micros {
            self.core.on_clock(&sent.contact, utc_micros, rtt, now);
        }
        let now = self.core.corrected(now);
        self.core.dial_backs.on_heard(sent.contact.key(), now);
        let answer = match Answer::decode(body) {
            _ if self.core.is_contact_blocked(&sent.contact) => Answer::Refused(Reason::Blocked),
            Ok(answer) => answer,
            Err(error) => {
                self.core.refuse_answer(&sent.contact, error.reason());
                Answer::Refused(error.reason())
            }
        };
        match (sent.purpose, &answer) {
            (Purpose::Dial, _) => return self.core.on_dialed(id, Ok(())),
            (Purpose::Check, _) => return self.core.on_checked(now, &sent.contact),
            (Purpose::Notify, _) => self.core.on_notified(now, id, &answer),
            (_, Answer::Refused(Reason::ClientMode)) => self.core.forget(sent.contact.id()),
            _ => self.core.on_heard(sent.contact.id(), now),
        }
        self.heard_while_leaving(now);
        self.core.on_round_trip(sent.contact.id(), rtt);
        match sent.purpose {
            Purpose::SelfTest => self
                .core
                .on_self_test(now, id, &sent.contact, Some(&answer)),
            Purpose::Pass => self.core.on_passed(id, Some(&answer)),
            _ => {}
        }
        if let Answer::Pong(pong) = &answer {
            // Who has told it over this session says by its silence that it is still so: its vote counts
            // as much as those of others, who may repeat theirs.
            let told = || self.core.seen_at.get(sent.contact.id()).copied();
            if let Some(observed) = pong.observed.or_else(told) {
                self.core.on_observed(now, sent.contact.key(), observed);
            }
        }
        if let Some(operation) = sent.operation {
            self.step(now, operation, |machine, context| {
                machine.on_answer(context, &sent.contact, sent.purpose, answer)
            });
        }
        self.upkeep(now);
    }

    /// A request takes longer than its peer's round trips; its answer may still come.
    pub fn on_slow(&mut self, now: Time, id: RequestId) {
        let now = self.core.corrected(now);
        let Some(sent) = self.core.sent(id).cloned() else {
            return;
        };
        // A copy that takes long says nothing about what a lookup waits for.
        if let Some(operation) = sent.operation.filter(|_| sent.purpose != Purpose::Store) {
            self.step(now, operation, |machine, context| {
                machine.on_slow(context, &sent.contact)
            });
        }
    }

    /// A request, or the question who answers at an address, ended without an answer.
    pub fn on_failed(&mut self, now: Time, id: RequestId, failure: &RequestFailure) {
        let now = self.core.corrected(now);
        if let Some((operation, address)) = self.core.take_identifying(id) {
            self.step(now, operation, |machine, context| {
                machine.on_identified(context, address, Err(failure.clone()))
            });
            return self.upkeep(now);
        }
        let Some(sent) = self.core.take_sent(id) else {
            return;
        };
        match sent.purpose {
            Purpose::Dial => return self.core.on_dialed(id, Err(failure)),
            // The address that the packets came from may hold all the same.
            Purpose::Check => return,
            Purpose::SelfTest => self.core.on_self_test(now, id, &sent.contact, None),
            Purpose::Pass => self.core.on_passed(id, None),
            Purpose::Notify => self.core.on_notify_failed(now, id, failure),
            _ => {}
        }
        // A peer that is busy is alive, and a request that never left says nothing about it.
        if !matches!(
            failure,
            RequestFailure::Busy { .. } | RequestFailure::Overloaded
        ) {
            self.core.on_silence(&sent.contact, id, now);
        }
        if let Some(operation) = sent.operation {
            self.step(now, operation, |machine, context| {
                machine.on_failed(context, &sent.contact, sent.purpose, failure)
            });
        }
        self.upkeep(now);
    }

    /// Somebody answers at an address that was asked about.
    pub fn on_identified(&mut self, now: Time, id: RequestId, key: NodeKey) {
        let now = self.core.corrected(now);
        if let Some((operation, address)) = self.core.take_identifying(id) {
            self.step(now, operation, |machine, context| {
                machine.on_identified(context, address, Ok(key))
            });
            self.upkeep(now);
        }
    }

    // What the flusher reports.

    /// The store's changes up to a ticket are durable.
    pub fn on_committed(&mut self, now: Time, ticket: Ticket) {
        let now = self.core.corrected(now);
        self.release(now, ticket, Ok(()));
        self.tell_watchers(now);
    }

    /// The store's changes up to a ticket may be lost: what waited for them is refused.
    pub fn on_commit_failed(&mut self, now: Time, ticket: Ticket, reason: Reason) {
        let now = self.core.corrected(now);
        // What is remembered of the store may be true no longer.
        self.core.forget_listings();
        self.release(now, ticket, Err(reason));
    }

    // The driver's questions.

    /// The next thing to do, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.core.poll_effect()
    }

    /// Reads the values of the store, beside the engine.
    pub fn value_reader(&self) -> ValueReader {
        ValueReader::new(Arc::clone(&self.core.store), self.correction())
    }

    /// What is known of the true time.
    pub fn correction(&self) -> Correction {
        self.core.correction()
    }

    /// When [`Engine::on_deadline`] wants to be called, at the latest.
    pub fn next_deadline(&self) -> Option<Moment> {
        let own = [
            self.core.hellos.next_deadline(),
            self.core.self_test.next_deadline(),
            self.renewal_deadline(),
            self.refill_deadline(),
            self.core.watchers.next_deadline(),
            self.timers.next_deadline(),
        ];
        let upkeep = self.upkeep.next_deadline(&self.core);
        Some(own.into_iter().flatten().fold(upkeep, Moment::min))
    }

    /// Does what is due.
    pub fn on_deadline(&mut self, now: Time) {
        let now = self.core.corrected(now);
        self.core.tell_hello(now);
        self.core.test_reachability(now);
        self.run_timers(now);
        self.upkeep(now);
    }

    // How operations live and end.

    /// Operations of users under way.
    pub(crate) fn running(&self) -> usize {
        self.operations.len().saturating_sub(self.background())
    }

    /// Writes whose receipts were given and whose last copies are under way.
    pub fn copies_under_way(&self) -> usize {
        self.told.len()
    }

    pub(crate) fn background(&self) -> usize {
        self.core.background.len()
    }

    pub(crate) fn start_background(
        &mut self,
        now: Time,
        machine: Box<dyn Operation>,
    ) -> OperationId {
        let operation = self.number();
        self.core.background.insert(operation);
        self.begin(now, operation, machine);
        operation
    }

    pub(crate) fn is_running(&self, operation: OperationId) -> bool {
        self.operations.contains_key(&operation)
    }

    fn start(&mut self, now: Time, machine: Box<dyn Operation>) -> OperationId {
        if self.operations.len() >= self.core.config.limits.operations {
            return self.end_at_once(Err(Failure::Refused {
                reason: Reason::Busy,
            }));
        }
        let operation = self.number();
        self.begin(now, operation, machine);
        operation
    }

    fn begin(&mut self, now: Time, operation: OperationId, machine: Box<dyn Operation>) {
        let cause = machine.cause();
        if cause != Cause::Users {
            self.core.causes.insert(operation, cause);
        }
        self.operations.insert(operation, machine);
        self.step(now, operation, |machine, context| machine.begin(context));
        self.tell_watchers(now);
    }

    fn end_at_once(&mut self, result: Result<Outcome, Failure>) -> OperationId {
        let operation = self.number();
        self.core.emit(Effect::Done { operation, result });
        operation
    }

    pub(crate) fn number(&mut self) -> OperationId {
        self.next_operation += 1;
        OperationId(self.next_operation)
    }

    /// Lets an operation take one step, and ends it when it says so.
    fn step(
        &mut self,
        now: Time,
        operation: OperationId,
        step: impl FnOnce(&mut dyn Operation, &mut Context<'_>) -> Progress,
    ) {
        let Some(machine) = self.operations.get_mut(&operation) else {
            return;
        };
        let mut context = Context {
            core: &mut self.core,
            operation,
            now,
        };
        let result = match step(machine.as_mut(), &mut context) {
            going @ (Progress::Going | Progress::Told(_)) => {
                let wake_at = machine.next_deadline();
                self.timers.set(operation, wake_at);
                if let Progress::Told(outcome) = going
                    && self.told.len() < TOLD_MAX
                    && self.told.insert(operation)
                {
                    let result = Ok(*outcome);
                    self.core.emit(Effect::Done { operation, result });
                }
                return;
            }
            Progress::Ended(result) => Some(*result),
            Progress::Quiet => None,
        };
        self.operations.remove(&operation);
        self.timers.set(operation, None);
        let is_background = self.core.background.remove(&operation);
        let is_told = self.told.remove(&operation);
        self.core.causes.remove(&operation);
        if let Some(result) = result.filter(|_| !is_background && !is_told) {
            self.core.emit(Effect::Done { operation, result });
        }
    }

    fn release(&mut self, now: Time, ticket: Ticket, result: Result<(), Reason>) {
        while let Some(entry) = self
            .core
            .held
            .first_entry()
            .filter(|entry| *entry.key() <= ticket)
        {
            for waiting in entry.remove() {
                match waiting {
                    Waiting::Stored {
                        inbound,
                        answer_max,
                        results,
                    } => {
                        let body = serve::encode(&serve::settled(results, result), answer_max);
                        self.core.emit(Effect::Answer { inbound, body });
                    }
                    Waiting::Own(operation) => {
                        self.step(now, operation, |machine, context| {
                            machine.on_own(context, result)
                        });
                    }
                }
            }
        }
    }

    fn local(&mut self, now: Time, key: Key) -> Result<Outcome, Failure> {
        match self.core.held_value(&key, now) {
            Ok(Some(held)) => Ok(Outcome::Fetched(fetched(held, now))),
            Ok(None) => Err(Failure::NotFound {
                key,
                answered: 0,
                unanswered: 0,
            }),
            Err(error) => Err(Failure::Store {
                reason: reason_of_store(&error),
            }),
        }
    }
}
