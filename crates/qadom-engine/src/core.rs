//! What every operation of an engine works on: the routing table, the store, the requests that are
//! under way, the effects that are to be drained.
//!
//! What must stay true: each request sent is answered or failed once and then forgotten; an answer
//! that promises durability is held back until the store has committed. Who stands in the table
//! lies in `neighbours.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qadom_routing::{Contact, Key, Moment, NodeId, RoutingTable, TableConfig};
use qadom_store::{Store, StoreError, Ticket};
use qadom_wire::{K, Ping, Reason, Request, StoreResult};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::addresses::{OwnAddresses, Voter};
use crate::blocks::Blocks;
use crate::churn::Churn;
use crate::config::{Config, Mode};
use crate::dial_back::DialBacks;
use crate::effect::{Effect, InboundId, Outgoing, RequestId, Size};
use crate::hello::Hellos;
use crate::ledger::{Cause, Ledger};
use crate::listing::Listings;
use crate::lost::Lost;
use crate::network::NetworkView;
use crate::offset::{ClockOffset, Correction};
use crate::operation::OperationId;
use crate::publications::Promises;
use crate::quota::Hints;
use crate::reachability::SelfTest;
use crate::records::Held;
use crate::refilling::Refilling;
use crate::seen::SeenSeqs;
use crate::status::Drops;
use crate::subscriptions::Subscriptions;
use crate::time::Time;
use crate::topics::Topics;
use crate::upkeep::{Leaving, Replicated};
use crate::watchers::Watchers;

/// How long a holder's disk may take to commit what it is given.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a node may take to call another one, which may not answer.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// Room for effects that is kept when there are none; a burst's room is given back.
const EFFECTS_KEPT: usize = 8;

/// What a request was sent for, so that its answer finds its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A step of a lookup.
    Find,
    /// A copy to be stored.
    Store,
    /// A numbered part of what an operation gathers.
    Part(u32),
    /// A comparison of what two holders have, and what follows from it.
    Exchange,
    /// A sign of life that somebody asked for, or the first step of a join.
    Ping,
    /// The keys of both sides for QUIC.
    Stream,
    /// What a node has, or would keep, of a file.
    File,
    /// The question for a lease.
    Watch,
    /// What is missing between the events of a writer.
    Fill,
    /// What somebody watches here.
    Notify,
    /// The question to a helper whether this node is reached.
    SelfTest,
    /// Somebody else's such question, passed on.
    Pass,
    /// A call to a node that asks whether it is reached.
    Dial,
    /// A call to an address that a contact advertises.
    Check,
    /// The question what a holder has in the place of a record that it refused.
    Look,
    /// A sign of life of a contact that has been silent for long. Nobody waits for it, as for all
    /// that follow.
    Revalidate,
    /// A copy left on the path of a lookup.
    Cache,
    /// The news of a changed address or mode.
    Hello,
    /// The end of a lease.
    Unwatch,
    /// What a stale holder lacks of what a reader found.
    Repair,
}

impl Purpose {
    /// Whether nobody waits for it, so that it may wait for the budget of background work.
    const fn is_background(self) -> bool {
        matches!(
            self,
            Self::Revalidate | Self::Cache | Self::Hello | Self::Unwatch | Self::Repair
        )
    }
}

/// A request under way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Who waits for it.
    pub(crate) operation: Option<OperationId>,
    /// Who was asked.
    pub(crate) contact: Contact,
    /// What for.
    pub(crate) purpose: Purpose,
    /// Where the ledger enters it.
    pub(crate) cause: Cause,
}

/// Something that waits for the store to commit.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// The answer to a peer whose records were buffered.
    Stored {
        inbound: InboundId,
        answer_max: usize,
        results: Vec<StoreResult>,
    },
    /// The own copy of a put.
    Own(OperationId),
}

/// The parts of an engine that its operations share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) own: NodeId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) table: RoutingTable,
    pub(crate) drops: Drops,
    pub(crate) started: Time,
    /// The latest moment that an input told.
    pub(crate) moment: Moment,
    pub(crate) blocks: Blocks,
    pub(crate) hints: Hints,
    pub(crate) listings: Listings,
    pub(crate) replicated: Replicated,
    pub(crate) refilling: Refilling,
    pub(crate) held: BTreeMap<Ticket, Vec<Waiting>>,
    /// A join has ended: from then on the buckets are to be filled.
    pub(crate) refresh_wanted: Option<Moment>,
    pub(crate) network: NetworkView,
    pub(crate) churn: Churn,
    pub(crate) lost: Lost,
    pub(crate) ledger: Ledger,
    /// Nodes that came into the table and may have to be handed what they are to hold.
    pub(crate) newcomers: VecDeque<NodeId>,
    /// What this node holds goes to others, since it stores no more.
    pub(crate) leaving: Option<Leaving>,
    /// Since when saved contacts have been known that are not in the table yet.
    pub(crate) known_since: BTreeMap<NodeId, Moment>,
    pub(crate) addresses: OwnAddresses,
    pub(crate) hellos: Hellos,
    pub(crate) self_test: SelfTest,
    pub(crate) dial_backs: DialBacks,
    pub(crate) clock: ClockOffset,
    pub(crate) watchers: Watchers,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) promises: Promises,
    /// Operations whose outcome nobody waits for.
    pub(crate) background: BTreeSet<OperationId>,
    /// What operations are for, those of users left out.
    pub(crate) causes: BTreeMap<OperationId, Cause>,
    pub(crate) seen: SeenSeqs,
    pub(crate) topics: Topics,
    pub(crate) round_trips: BTreeMap<NodeId, Duration>,
    /// The addresses at which contacts were seen and that they were told, each once in a session.
    pub(crate) told: BTreeMap<NodeId, SocketAddr>,
    /// Where contacts have told that they see this node: each says it once in a session, too.
    pub(crate) seen_at: BTreeMap<NodeId, SocketAddr>,
    effects: VecDeque<Effect>,
    sent: BTreeMap<RequestId, Sent>,
    identifying: BTreeMap<RequestId, (OperationId, SocketAddr)>,
    next_request: u64,
}

impl Core {
    pub(crate) fn new(config: Config, store: Arc<dyn Store>, seed: [u8; 32], now: Time) -> Self {
        let own = config.key.id();
        let mut rng = ChaCha8Rng::from_seed(seed);
        let self_test = SelfTest::new(&config, &mut rng, now);
        let (advertised, interface) = (config.advertised, config.interface);
        let mut core = Self {
            own,
            store,
            rng,
            table: RoutingTable::new(own, table_config(&config)),
            drops: Drops::default(),
            started: now,
            moment: now.moment,
            blocks: Blocks::new(config.limits.blocks),
            hints: Hints::default(),
            listings: Listings::default(),
            replicated: Replicated::default(),
            refilling: Refilling::default(),
            held: BTreeMap::new(),
            refresh_wanted: None,
            network: NetworkView::default(),
            churn: Churn::new(now.moment),
            lost: Lost::default(),
            ledger: Ledger::new(now.moment),
            newcomers: VecDeque::new(),
            leaving: None,
            known_since: BTreeMap::new(),
            addresses: OwnAddresses::new(advertised, interface, config.local),
            hellos: Hellos::default(),
            self_test,
            dial_backs: DialBacks::new(now),
            clock: ClockOffset::default(),
            promises: Promises::new(config.publication_bytes_per_second),
            watchers: Watchers::new(config.limits.leases, now.moment),
            subscriptions: Subscriptions::default(),
            background: BTreeSet::new(),
            causes: BTreeMap::new(),
            seen: SeenSeqs::default(),
            topics: Topics::default(),
            round_trips: BTreeMap::new(),
            told: BTreeMap::new(),
            seen_at: BTreeMap::new(),
            effects: VecDeque::new(),
            sent: BTreeMap::new(),
            identifying: BTreeMap::new(),
            next_request: 0,
            config,
        };
        core.begin_hello();
        core
    }

    pub(crate) const fn is_storing(&self) -> bool {
        matches!(self.config.mode, Mode::Storing)
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        if let Effect::Answer { body, .. } = &effect {
            self.ledger.has_answered(body.len());
        }
        self.effects.push_back(effect);
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() && self.effects.capacity() > EFFECTS_KEPT {
            self.effects = VecDeque::new();
        }
        effect
    }

    /// Sends a request; `None` when no address of the contact can be reached from here, or it is
    /// blocked.
    pub(crate) fn send(
        &mut self,
        operation: Option<OperationId>,
        purpose: Purpose,
        contact: &Contact,
        request: &Request,
    ) -> Option<RequestId> {
        let address = self.way_to(contact).ok()?;
        let id = self.number();
        // Only what changes nothing may be replayed, and so travel in a first datagram.
        let (first_ok, size, patience) = match request {
            Request::Ping(_) => (true, Size::Small, Duration::ZERO),
            Request::FindNode(_) | Request::Find(_) => (true, Size::Full, Duration::ZERO),
            // What these are answered waits for a disk.
            Request::Store(_) | Request::Offer(_) | Request::Holds(_) => {
                (false, Size::Small, COMMIT_PATIENCE)
            }
            Request::Stream(_)
            | Request::Digest(_)
            | Request::Watch(_)
            | Request::Notify(_)
            | Request::Unwatch(_) => (false, Size::Small, Duration::ZERO),
            Request::DialBack(dial) if dial.key == self.config.key => {
                (false, Size::Small, 2 * CALL_PATIENCE)
            }
            Request::DialBack(_) => (false, Size::Small, CALL_PATIENCE),
        };
        let is_background = purpose.is_background()
            || operation.is_some_and(|operation| self.background.contains(&operation));
        let cause = match operation {
            Some(operation) => self.causes.get(&operation).copied(),
            None => Some(Cause::of(purpose)),
        };
        let cause = cause.unwrap_or(Cause::Users);
        let key = *contact.key();
        self.sent.insert(
            id,
            Sent {
                operation,
                contact: contact.clone(),
                purpose,
                cause,
            },
        );
        let body = request.encode();
        self.ledger.asked(cause, body.len());
        self.emit(Effect::Request(Outgoing {
            id,
            key,
            address,
            body,
            first_ok,
            size,
            patience,
            is_background,
        }));
        Some(id)
    }

    /// Where a contact is reached, or why it cannot be asked anything.
    pub(crate) fn way_to(&self, contact: &Contact) -> Result<SocketAddr, Reason> {
        match contact.address(self.config.families) {
            Some(address) if self.is_blocked(contact.id(), address.ip()) => Err(Reason::Blocked),
            Some(address) => Ok(address),
            None => Err(Reason::Unreachable),
        }
    }

    pub(crate) fn ping(&mut self, operation: Option<OperationId>, contact: &Contact) -> bool {
        let purpose = if operation.is_some() {
            Purpose::Ping
        } else {
            Purpose::Revalidate
        };
        self.send(operation, purpose, contact, &Request::Ping(Ping::default()))
            .is_some()
    }

    /// Calls a node at the very address of a contact.
    pub(crate) fn probe(&mut self, purpose: Purpose, contact: Contact) -> Option<RequestId> {
        let address = self.way_to(&contact).ok()?;
        let id = self.number();
        let key = *contact.key();
        let cause = Cause::of(purpose);
        let sent = Sent {
            operation: None,
            contact,
            purpose,
            cause,
        };
        self.sent.insert(id, sent);
        let body = Request::Ping(Ping::default()).encode();
        self.ledger.asked(cause, body.len());
        self.emit(Effect::Probe(Outgoing {
            id,
            key,
            address,
            body,
            first_ok: true,
            size: Size::Small,
            patience: Duration::ZERO,
            is_background: purpose == Purpose::Check,
        }));
        Some(id)
    }

    pub(crate) fn identify(&mut self, operation: OperationId, address: SocketAddr) {
        let id = self.number();
        self.identifying.insert(id, (operation, address));
        self.emit(Effect::Identify { id, address });
    }

    pub(crate) fn take_sent(&mut self, id: RequestId) -> Option<Sent> {
        self.sent.remove(&id)
    }

    /// Requests that were neither answered nor have failed yet.
    pub(crate) fn requests_under_way(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn sent(&self, id: RequestId) -> Option<&Sent> {
        self.sent.get(&id)
    }

    pub(crate) fn take_identifying(&mut self, id: RequestId) -> Option<(OperationId, SocketAddr)> {
        self.identifying.remove(&id)
    }

    /// Up to 3 k contacts of the table, nearest first, to begin a lookup with: enough to go on
    /// when the nearest ones are dead.
    pub(crate) fn seeds(&self, target: &Key) -> Vec<Contact> {
        self.table
            .seeds(target, 3 * K)
            .into_iter()
            .cloned()
            .collect()
    }

    pub(crate) fn on_round_trip(&mut self, id: &NodeId, rtt: Duration) {
        if self.table.contact(id).is_some() {
            self.round_trips.insert(*id, rtt);
        }
    }

    pub(crate) fn round_trip(&self, id: &NodeId) -> Option<Duration> {
        self.round_trips.get(id).copied()
    }

    /// The time by the clocks of peers. Each input of the engine asks this first.
    pub(crate) fn corrected(&mut self, now: Time) -> Time {
        self.moment = self.moment.max(now.moment);
        self.correction().correct(now)
    }

    /// What is known of the true time.
    pub(crate) fn correction(&self) -> Correction {
        self.clock
            .correction(self.started.moment, self.config.expiry_grace)
    }

    /// Whether anything may count as expired: enough clocks of peers are known, or the own one was
    /// given time to be set.
    pub(crate) fn is_time_known(&self, now: Time) -> bool {
        self.correction().is_time_known(now)
    }

    /// Takes in what a peer's clock shows. `now` is uncorrected.
    pub(crate) fn on_clock(&mut self, contact: &Contact, utc: u64, rtt: Duration, now: Time) {
        if let Some(address) = contact.address(self.config.families) {
            let voter = Voter::new(*contact.key(), address, self.config.local);
            self.clock.note(voter, utc, rtt, now);
        }
    }

    /// The value held under a key, as long as it may be given out.
    pub(crate) fn held_value(&self, key: &Key, now: Time) -> Result<Option<Held>, StoreError> {
        Held::read(&*self.store, key, now, self.is_time_known(now))
    }

    /// Asks for a commit of everything buffered so far, and lets something wait for it.
    pub(crate) fn commit(&mut self, waiting: Waiting) {
        self.commit_all().push(waiting);
    }

    /// Asks for a commit of everything buffered so far, for which nothing waits.
    pub(crate) fn commit_unwatched(&mut self) {
        self.commit_all();
    }

    fn commit_all(&mut self) -> &mut Vec<Waiting> {
        let ticket = self.store.ticket();
        if !self.held.contains_key(&ticket) {
            self.emit(Effect::Commit(ticket));
        }
        self.held.entry(ticket).or_default()
    }

    pub(crate) fn held_answers(&self) -> usize {
        self.held.values().map(Vec::len).sum()
    }

    fn number(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }
}

/// The settings of the routing table.
fn table_config(config: &Config) -> TableConfig {
    TableConfig {
        bits_per_level: config.bits_per_level,
        is_local: config.local,
        ..TableConfig::default()
    }
}

/// The reason that stands for a failure of the store.
pub(crate) const fn reason_of_store(error: &StoreError) -> Reason {
    match error {
        StoreError::DiskFull { .. } => Reason::DiskFull,
        StoreError::Behind { .. } => Reason::Busy,
        _ => Reason::StorageFailed,
    }
}
