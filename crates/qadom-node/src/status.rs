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
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, Status};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let Status { network, peers, verdict, reasons, .. } = node.status().await?;
/// println!("{network}: {peers} peers, {}, {reasons:?}", verdict.as_str());
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, Verdict};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// match node.status().await?.verdict {
///     Verdict::Healthy | Verdict::Starting => println!("nothing to do"),
///     verdict => println!("{}: ask Node::doctor", verdict.as_str()),
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{Limit, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// for Limit { name, used, limit } in node.status().await?.limits {
///     println!("{name}: {used} of {limit}");
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, Traffic};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let Traffic { bytes_in, bytes_out, costs, .. } = node.status().await?.traffic;
/// println!("{bytes_in} bytes came, {bytes_out} left, for {} causes", costs.len());
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, Peer};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let other = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// node.join(&[other.address().into()]).await?;
/// let peers: Vec<Peer> = node.peers().await?;
/// assert_eq!(peers[0].node, other.id());
/// # node.shutdown().await;
/// # other.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{Block, Blocked, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// node.block(Blocked::Key("name:x".parse()?), None).await?;
/// let blocks: Vec<Block> = node.blocks().await?;
/// assert_eq!((blocks.len(), blocks[0].until), (1, None));
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is blocked.
    pub what: Blocked,
    /// Why.
    pub cause: BlockCause,
    /// When it ends, in seconds of UTC; none when it does not end by itself.
    pub until: Option<u64>,
}
