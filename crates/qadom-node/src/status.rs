//! What a node tells about itself: its state in one word with the reasons, its neighbours, every
//! limit beside its use.
//!
//! What must stay true: these are plain facts for people and for JSON; nothing decides by them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use qadom_engine::{BlockCause, Blocked, CauseCost, Density, Mode, Reachability};
use qadom_routing::{NetworkSize, NodeId};
use qadom_store::Quarantined;

use crate::address::NodeAddress;

/// The reason of a node that has lost all others.
pub(crate) const NOBODY_ANSWERS: &str = "no other node of the network answers";

/// The state of a node.
#[derive(Clone, Debug)]
pub struct Status {
    /// The node's place in the key space.
    pub node: NodeId,
    /// How others join it.
    pub address: NodeAddress,
    /// The name of its network.
    pub network: String,
    /// Whether it stores for others now.
    pub mode: Mode,
    /// Whether others that it has not called reach it.
    pub reachability: Reachability,
    /// How long ago that was found out; none when no test has ended yet.
    pub reachability_age: Option<Duration>,
    /// The addresses that peers see it at, at most one of each family.
    pub observed_addresses: Vec<SocketAddr>,
    /// What it adds to its wall clock because the clocks of its peers say so, in milliseconds.
    pub clock_offset_ms: i64,
    /// Whether it is in local mode, without limits by address group.
    pub local: bool,
    /// How it is doing.
    pub verdict: Verdict,
    /// Why the verdict is not healthy, and what else is worth a look; empty when all is well.
    pub reasons: Vec<String>,
    /// Contacts in the routing table.
    pub peers: usize,
    /// How large the network seems; nothing as long as there is no estimate.
    pub network_size: Option<NetworkSize>,
    /// Whether nodes crowd round the keys that were looked up here.
    pub density: Density,
    /// Every limit beside its use.
    pub limits: Vec<Limit>,
    /// Damaged stores that were set aside, the oldest first.
    pub quarantined: Vec<Quarantined>,
    /// What was dropped or refused, counted by reason.
    pub drops: BTreeMap<String, u64>,
    /// What went over the socket.
    pub traffic: Traffic,
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first attempt to join is under way.
    Starting,
    /// It has neighbours, or was asked to be the first of its network.
    Healthy,
    /// It runs, but its store did not take the last writes.
    Degraded,
    /// It was given addresses or knew other nodes, and has no neighbour.
    Isolated,
}

impl Verdict {
    /// The word that users and scripts see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Isolated => "isolated",
        }
    }
}

/// A limit beside its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, in kebab case.
    pub name: &'static str,
    /// How much of it is in use.
    pub used: u64,
    /// The most that may be in use.
    pub limit: u64,
}

/// What went over a node's sockets since its start, QUIC included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// UDP payload received in bytes.
    pub bytes_in: u64,
    /// UDP payload sent in bytes.
    pub bytes_out: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// What messages cost by what they were for, handshakes and repeats left out.
    pub costs: Vec<CauseCost>,
}

/// A neighbour: a contact of the routing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// Its key and where it is reached.
    pub address: NodeAddress,
    /// Whether it stores for others; only those that do are in the table.
    pub mode: Mode,
    /// The last round trip measured, if there was one.
    pub rtt: Option<Duration>,
    /// When it was last heard from, in microseconds of UTC.
    pub last_seen_utc_micros: u64,
    /// Leading bits that its id shares with ours.
    pub bucket: u32,
}

/// Something that the node has nothing to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is blocked.
    pub what: Blocked,
    /// Why.
    pub cause: BlockCause,
    /// When it ends, in seconds of UTC; none when it does not end by itself.
    pub until: Option<u64>,
}
