//! The endpoint: datagrams below, messages above, time and chance as arguments.
//!
//! What must stay true: nothing here reads a clock or a socket, no input panics, every request
//! ends in one event, every drop is counted, and no datagram to an address that has not proven
//! itself is longer than the one that it answers. Who may ask what is the engine's business.
//!
//! `initiate` and `respond` are the two sides of a handshake, `strangers` limits what they may
//! cost, `identify` asks for keys, `outbound` sends requests, `pieces` long messages, `background` those that may wait, and
//! `answers` answers, `inbound` takes datagrams apart, `sessions` keeps sessions, `renewal` replaces
//! them in time and `deadlines` does what falls due.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::address::{Provider, canonical};
use crate::arrivals::Arrivals;
use crate::assembly::{Assemblies, AssemblyId};
use crate::config::{Config, Limits, Time};
use crate::cookie::KeptCookies;
use crate::drops::{DropReason, Drops};
use crate::event::{Event, FailReason, Transmit};
use crate::hello::Hello;
use crate::locals::{LocalId, Locals};
use crate::message::RequestId;
use crate::peer::{Peer, Request};
use crate::rate::Bucket;
use crate::recent::Recent;
use crate::session::Session;
use crate::slack::Slack;
use crate::suite::{NoiseSuite, Suite};
use crate::timers::Timers;

use self::answers::Held;
use self::background::Budget;
use self::identify::Search;
use self::initiate::Attempt;
use self::pieces::Paced;
use self::respond::Pending;
use self::strangers::Strangers;

mod answers;
mod background;
mod deadlines;
mod identify;
mod inbound;
mod initiate;
mod outbound;
mod pieces;
mod renewal;
mod respond;
mod sessions;
mod strangers;
#[cfg(test)]
mod tests;

/// How many INITs are remembered, so that a late copy does nothing; twice this at most.
const SEEN_INITS: usize = 32_768;
/// For how long at least.
const SEEN_FOR: Duration = Duration::from_mins(5);
/// How many requests of peers are remembered while they are served; twice this at most.
const SERVING: usize = 8192;
/// For how long at least a request that is not answered keeps its copies out.
const SERVING_FOR: Duration = Duration::from_secs(5);
/// Addresses that are remembered because the system refused to send to them.
const REFUSED: usize = 1024;
/// MISMATCH and RESET packets sent in a second, each.
const REFUSALS_PER_SECOND: u32 = 20;
/// Packets are cut from blocks of this size.
const ARENA: usize = 2 * 1024;

const MAC1_LABEL: &[u8] = b"qadom 1 mac1";

/// A node's transport: handshakes, sessions, requests and their retries, without a socket.
///
/// Feed it datagrams and due timers, then drain [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event) until both are empty, then wait for the next datagram or for
/// [`next_deadline`](Self::next_deadline).
///
/// # Examples
///
/// See the crate's own page: two endpoints that talk in memory.
pub struct Endpoint<S: Suite = NoiseSuite> {
    suite: S,
    config: Config,
    key: [u8; 32],
    mac1_key: [u8; 32],
    random: ChaCha20Rng,
    now: Time,

    peers: HashMap<[u8; 32], Box<Peer>>,
    requests: HashMap<RequestId, Request>,
    sessions: HashMap<u32, Box<Session>>,
    /// Sessions that this node began, as a RESET names them: the peer's index, then our own.
    remotes: BTreeSet<(u32, u32)>,
    attempts: HashMap<u32, Box<Attempt<S>>>,
    pending: Pending<S>,
    strangers: Strangers,
    cookies: KeptCookies,
    searches: HashMap<[u8; 16], Search>,
    pinned: HashSet<[u8; 32]>,
    /// Sessions by where their peers are.
    providers: HashMap<Provider, usize>,
    /// Peers that speak no newer revision, and until when that is believed.
    revisions: HashMap<[u8; 32], (u8, Duration)>,

    /// Requests of ours that are sent and unanswered.
    in_flight: usize,
    /// Requests of ours that wait in the queues of peers.
    queued: usize,
    /// Peers whose queue waits for room among all requests in flight.
    waiting: VecDeque<[u8; 32]>,
    budget: Budget,
    /// Addresses that the system refused to send to, and when it did so last.
    refused: HashMap<SocketAddr, Duration>,
    /// Requests of peers that the node has not taken yet.
    arrivals: Arrivals,
    /// Requests of peers that are being served.
    serving: Recent<(u32, RequestId)>,
    /// Long answers, kept for peers that miss pieces.
    held: VecDeque<Held>,
    assemblies: Assemblies,
    /// Long messages of which pieces wait for their turn.
    paced: HashMap<AssemblyId, Paced>,

    /// The own addresses that datagrams came to, and that of the one at hand.
    locals: Locals,
    local: LocalId,
    timers: Timers,
    mismatches: Bucket,
    resets: Bucket,
    arena: BytesMut,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    drops: Drops,
    traffic: Traffic,
}

impl<S: Suite> fmt::Debug for Endpoint<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

/// What went through an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams taken in, dropped ones included.
    pub datagrams_in: u64,
    /// Their payload bytes.
    pub bytes_in: u64,
    /// Datagrams given out.
    pub datagrams_out: u64,
    /// Their payload bytes.
    pub bytes_out: u64,
}

/// What an endpoint uses of its limits, in the order of [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Confirmed sessions, those included that only receive.
    pub sessions: usize,
    /// Handshakes begun by others that are not proven.
    pub pending: usize,
    /// Handshakes begun by this node.
    pub attempts: usize,
    /// Requests sent and unanswered.
    pub in_flight: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Background requests that wait for their budget.
    pub background: usize,
    /// Pinned peers.
    pub pinned: usize,
    /// Requests of peers that wait for the node.
    pub requests: usize,
    /// Messages that arrive in pieces.
    pub assemblies: usize,
    /// What went through.
    pub traffic: Traffic,
}

impl<S: Suite> Endpoint<S> {
    /// An endpoint without sessions.
    pub fn new(config: Config, now: Time) -> Self {
        let key = config.secret.public();
        Self {
            suite: S::new(config.secret.clone()),
            key,
            mac1_key: S::mac_key(MAC1_LABEL, &key),
            random: ChaCha20Rng::from_seed(config.seed),
            now,
            peers: HashMap::new(),
            requests: HashMap::new(),
            sessions: HashMap::new(),
            remotes: BTreeSet::new(),
            attempts: HashMap::new(),
            pending: Pending::new(),
            strangers: Strangers::new::<S>(&key, &config.limits, now.monotonic),
            cookies: KeptCookies::default(),
            searches: HashMap::new(),
            pinned: HashSet::new(),
            providers: HashMap::new(),
            revisions: HashMap::new(),
            in_flight: 0,
            queued: 0,
            waiting: VecDeque::new(),
            budget: Budget::full(now.monotonic, config.limits.background),
            refused: HashMap::new(),
            arrivals: Arrivals::new(config.limits.requests, config.limits.local),
            serving: Recent::new(SERVING_FOR, SERVING),
            held: VecDeque::new(),
            assemblies: Assemblies::new(config.limits.assemblies),
            paced: HashMap::new(),
            locals: Locals::default(),
            local: LocalId::default(),
            timers: Timers::default(),
            mismatches: Bucket::full(now.monotonic, REFUSALS_PER_SECOND, REFUSALS_PER_SECOND),
            resets: Bucket::full(now.monotonic, REFUSALS_PER_SECOND, REFUSALS_PER_SECOND),
            arena: BytesMut::with_capacity(ARENA),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            drops: Drops::default(),
            traffic: Traffic::default(),
            config,
        }
    }

    /// The node's public key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The next datagram to send. Those that the socket does not take may be dropped: requests
    /// are sent again.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let next = self.transmits.pop_front();
        self.transmits.release();
        next
    }

    /// The next event; requests of peers come after all others.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.poll_own_event().or_else(|| self.arrivals.pop())
    }

    /// The next event that is no request of a peer.
    ///
    /// A node that has much to do drains these, takes as many requests from
    /// [`poll_event`](Self::poll_event) as it can serve for now, and leaves the others waiting: by
    /// their number the endpoint knows that the node is busy.
    pub fn poll_own_event(&mut self) -> Option<Event> {
        let next = self.events.pop_front();
        self.events.release();
        next
    }

    /// Whether requests of peers wait.
    pub fn has_requests(&self) -> bool {
        self.arrivals.len() > 0
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The system refused to send to an address. Requests to it are tried again as always; those
    /// that get no answer meanwhile fail with [`FailReason::Refused`](crate::FailReason::Refused).
    pub fn on_refused(&mut self, now: Time, to: SocketAddr) {
        self.now = now;
        if self.refused.len() >= REFUSED {
            self.refused.clear();
        }
        self.refused.insert(canonical(to), now.monotonic);
    }

    /// Why what was sent to an address since then had no answer.
    fn silence_of(&mut self, address: SocketAddr, since: Duration) -> FailReason {
        match self.refused.get(&address) {
            Some(at) if *at >= since => FailReason::Refused,
            Some(_) => {
                self.refused.remove(&address);
                FailReason::Timeout
            }
            None => FailReason::Timeout,
        }
    }

    /// Changes what this node says of itself in handshakes from now on.
    pub fn set_hello(&mut self, hello: Hello) {
        self.config.hello = hello;
    }

    /// How often things were dropped, by reason.
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// What is used of the limits.
    pub fn usage(&self) -> Usage {
        Usage {
            sessions: self.sessions.len(),
            pending: self.pending.len(),
            attempts: self.attempts.len(),
            in_flight: self.in_flight,
            queued: self.queued,
            background: self.budget.waiting(),
            pinned: self.pinned.len(),
            requests: self.arrivals.len(),
            assemblies: self.assemblies.len(),
            traffic: self.traffic,
        }
    }

    fn transmit(&mut self, to: SocketAddr, bytes: Bytes) {
        self.transmit_from(LocalId::default(), to, bytes);
    }

    /// Sends what answers the datagram at hand, from the address that it came to.
    fn reply(&mut self, to: SocketAddr, bytes: Bytes) {
        self.transmit_from(self.local, to, bytes);
    }

    fn transmit_from(&mut self, local: LocalId, to: SocketAddr, bytes: Bytes) {
        self.traffic.datagrams_out += 1;
        self.traffic.bytes_out += bytes.len() as u64;
        let from = self.locals.address(local);
        self.transmits.push_back(Transmit { to, from, bytes });
    }

    fn drop_for(&mut self, reason: DropReason) {
        self.drops.note(reason);
    }

    /// Draws an index that no session and no handshake has.
    fn fresh_index(&mut self) -> u32 {
        loop {
            let index = self.random.next_u32();
            let is_taken = index == 0
                || self.sessions.contains_key(&index)
                || self.attempts.contains_key(&index)
                || self.pending.contains(index);
            if !is_taken {
                return index;
            }
        }
    }

    fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn mac1(receiver: &[u8; 32], covered: &[u8]) -> [u8; 16] {
        S::mac(&S::mac_key(MAC1_LABEL, receiver), &[covered])
    }

    /// What both sides of a handshake mix in: a constant, the network, INIT's header.
    fn prologue(&self, header: &[u8; 16]) -> [u8; 55] {
        let mut prologue = [0; 55];
        let parts = b"qadom 1"
            .iter()
            .chain(&self.config.network_id)
            .chain(header);
        prologue
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        prologue
    }
}
