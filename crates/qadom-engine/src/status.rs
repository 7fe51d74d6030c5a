//! What an engine tells about itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

use qadom_routing::{Contact, Moment, NetworkSize, NodeId};
use qadom_wire::{NetworkId, Reason};

use crate::addresses::Addresses;
use crate::config::{Limits, Mode};
use crate::effect::RequestId;
use crate::engine::Engine;
use crate::ledger::CauseCost;
use crate::network::Density;
use crate::reachability::Reachability;
use crate::time::Time;

/// Saved contacts whose age is remembered until they are heard from.
const KNOWN_SINCE: usize = 1024;

/// Messages dropped or refused, counted by reason.
#[derive(Clone, Debug, Default)]
pub struct Drops(BTreeMap<Reason, u64>);

impl Drops {
    pub(crate) fn count(&mut self, reason: Reason) {
        let count = self.0.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    /// Every reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}

/// The requests that renewing publications took, counted up over all rounds that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenewalCost {
    /// Rounds, each of one region.
    pub rounds: u64,
    /// Requests of the lookups that found the holders.
    pub queries: u64,
    /// Messages with records, each of many.
    pub batches: u64,
    /// Questions what a holder has in the place of a record that it refused.
    pub looks: u64,
}

impl AddAssign for RenewalCost {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.queries += other.queries;
        self.batches += other.batches;
        self.looks += other.looks;
    }
}

/// How far a store that lost its records has come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refill {
    /// Whether there is something left to do.
    pub is_under_way: bool,
    /// Records that came from other holders.
    pub fetched: u64,
    /// Records that this node has promised to keep alive, and had in its journal.
    pub own: u64,
}

/// The state of an engine in numbers.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether the node stores for others now.
    pub mode: Mode,
    /// Whether others reach the node, as the last test said.
    pub reachability: Reachability,
    /// When that test ended; none when there was none yet.
    pub tested_at: Option<Moment>,
    /// What others are told to reach the node at: as configured, as observed by peers, or as its
    /// interface has it.
    pub addresses: Addresses,
    /// What peers observe.
    pub observed: Addresses,
    /// What is added to the own wall clock, in microseconds.
    pub clock_offset: i64,
    /// How many nodes the network seems to have.
    pub network_size: NetworkSize,
    /// Whether nodes crowd round the keys that were looked up.
    pub density: Density,
    /// What messages cost, by what they were for.
    pub costs: Vec<CauseCost>,
    /// How often what is held is replicated now, by the churn of the contacts.
    pub replicate_every: Duration,
    /// Contacts that came in, were left out of answers or left because they share addresses with
    /// too many others.
    pub crowded: u64,
    /// Contacts in the routing table.
    pub peers: usize,
    /// Those of them to which no request failed since they were last heard from.
    pub live: usize,
    /// Records held.
    pub records: u64,
    /// Charge of the records held in bytes.
    pub record_bytes: u64,
    /// How far a store that lost its records has come back.
    pub refill: Refill,
    /// Operations of users under way.
    pub operations: usize,
    /// Background operations under way.
    pub background: usize,
    /// Contacts that were lost and are asked now and then whether they are back.
    pub lost: usize,
    /// Nodes, address groups and keys that are blocked.
    pub blocks: usize,
    /// Answers that wait for the store.
    pub held_answers: usize,
    /// Leases that watchers have here.
    pub leases: usize,
    /// Slots that are watched here.
    pub watched_slots: usize,
    /// Subscriptions of this node's users.
    pub subscriptions: usize,
    /// Records that the node promised to keep alive.
    pub publications: usize,
    /// Their charge in bytes.
    pub publication_bytes: usize,
    /// Rounds of renewal under way.
    pub renewals: usize,
    /// What those that ended cost.
    pub renewal_cost: RenewalCost,
    /// Journal entries that are not durable yet.
    pub journalling: usize,
    /// What the engine keeps at most of each of these.
    pub limits: Limits,
    /// Messages dropped or refused, by reason.
    pub drops: Drops,
}

/// A contact of the routing table.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// Where it is reached.
    pub address: SocketAddr,
    /// The last round trip measured, if there was one.
    pub rtt: Option<Duration>,
    /// Since when it has been known.
    pub first_seen: Moment,
    /// When it was last heard from.
    pub last_seen: Moment,
    /// Leading bits that its id shares with ours.
    pub bucket: u32,
}

impl Engine {
    /// The network that the node belongs to.
    pub const fn network(&self) -> &NetworkId {
        &self.core.config.network
    }

    /// The state of the engine in numbers.
    pub fn status(&self) -> Status {
        let stats = self.core.store.stats();
        Status {
            mode: self.core.config.mode,
            reachability: self.core.self_test.found,
            tested_at: self.core.self_test.found_at,
            addresses: self.core.addresses.told(),
            observed: self.core.addresses.observed(),
            clock_offset: self.core.clock.micros(),
            network_size: self.core.network_size(),
            density: self.core.network.density,
            costs: self.core.ledger.lines(self.core.moment),
            replicate_every: self.core.replicate_every(),
            crowded: self.core.table.crowded(),
            peers: self.core.table.len(),
            live: self.core.table.live(),
            records: stats.records,
            record_bytes: stats.charge,
            refill: self.core.refilling.status(),
            operations: self.running(),
            background: self.background(),
            lost: self.core.lost.len(),
            blocks: self.core.blocks.iter(self.core.moment).count(),
            held_answers: self.core.held_answers(),
            leases: self.core.watchers.len(),
            watched_slots: self.core.watchers.slots(),
            subscriptions: self.core.subscriptions.len(),
            publications: self.core.promises.book.len(),
            publication_bytes: self.core.promises.book.charge(),
            renewals: self.core.promises.renewing.len(),
            renewal_cost: self.core.promises.cost,
            journalling: self.core.promises.journalling.len(),
            limits: self.core.config.limits.clone(),
            drops: self.core.drops.clone(),
        }
    }

    /// The bytes of renewals since the start, as far as their rate has made up for them: over any span
    /// no more come to it than [`renewal_rate`](Self::renewal_rate) times the span.
    pub fn renewal_bytes(&self, now: Time) -> u64 {
        self.core.promises.pace.paid(now.moment)
    }

    /// That rate, in bytes per second.
    pub const fn renewal_rate(&self) -> u64 {
        self.core.config.publication_bytes_per_second
    }

    /// Whom a request went to that is not answered yet.
    pub fn asked(&self, id: RequestId) -> Option<&Contact> {
        self.core.sent(id).map(|sent| &sent.contact)
    }

    /// The routing table with what is known of each contact.
    pub fn peers(&self) -> Vec<Peer> {
        let families = self.core.config.families;
        let peers = self.core.table.entries().filter_map(|entry| {
            Some(Peer {
                node: *entry.contact.id(),
                address: entry.contact.address(families)?,
                rtt: self.core.round_trip(entry.contact.id()),
                first_seen: entry.first_seen,
                last_seen: entry.last_seen,
                bucket: entry.bucket,
            })
        });
        peers.collect()
    }

    /// The contacts of the routing table, to be saved for the next start.
    pub fn contacts(&self) -> Vec<Contact> {
        self.core
            .table
            .entries()
            .map(|entry| entry.contact.clone())
            .collect()
    }

    /// The contacts of the routing table with the moment since when each has been known.
    pub fn contacts_by_age(&self) -> Vec<(Contact, Moment)> {
        let entries = self.core.table.entries();
        entries
            .map(|entry| (entry.contact.clone(), entry.first_seen))
            .collect()
    }

    /// Notes since when a saved contact has been known, so that it counts as that old once it is
    /// heard from.
    pub fn known_since(&mut self, node: NodeId, since: Moment) {
        if self.core.known_since.len() < KNOWN_SINCE {
            self.core.known_since.insert(node, since);
        }
    }

    /// A contact of the routing table.
    pub fn contact(&self, id: &NodeId) -> Option<Contact> {
        self.core.table.contact(id).cloned()
    }
}
