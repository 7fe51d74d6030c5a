//! What an engine is told at its start, and every limit that it keeps.

use std::time::Duration;

use qadom_routing::{Families, NodeKey};
use qadom_wire::NetworkId;

use crate::addresses::Addresses;

/// Whether a node keeps records for others.
///
/// # Examples
///
/// ```
/// use qadom_engine::Mode;
///
#[doc = include_str!("examples/alone.txt")]
/// assert_eq!(engine.status().mode, Mode::Storing);
/// engine.set_mode(now, Mode::Client);
/// assert_eq!(engine.status().mode, Mode::Client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Stores for others and appears in their routing tables.
    Storing,
    /// Reads and writes, stores nothing for others, appears in no table.
    Client,
}

/// The settings of one engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's own public key.
    pub key: NodeKey,
    /// The network that the node belongs to, under which every record is signed.
    pub network: NetworkId,
    /// Whether the node stores for others.
    pub mode: Mode,
    /// Whether the mode stays as it is when the node turns out not to be reachable.
    pub mode_is_fixed: bool,
    /// Local mode: all nodes share few addresses, so that no rule looks at address groups.
    pub local: bool,
    /// The addresses that others are told to use, whatever they observe.
    pub advertised: Addresses,
    /// The addresses of the interfaces, for as long as others have not observed any.
    pub interface: Addresses,
    /// The address families that the node's sockets reach.
    pub families: Families,
    /// Leading zero bits that the puzzle of a node key needs before it enters the table, 0 to 256.
    pub id_bits: u32,
    /// Requests of one lookup in flight at once, at least 1 (alpha of the paper, 3).
    pub alpha: usize,
    /// Bits of the key space that one level of the routing table resolves, 1 to 8 (b of the paper,
    /// 1). More shorten lookups and make the table, and what it costs to keep, larger.
    pub bits_per_level: u32,
    /// A bucket that lacks contacts and that nothing touched for this long is refreshed (1 h). With none
    /// nobody looks after the table: no contact is checked and the size of the network is not
    /// estimated, which is for the nodes of a large simulation that only answer.
    pub refresh_after: Option<Duration>,
    /// How often a holder replicates what it holds; none stands for what the churn of its contacts
    /// asks for: 1 h at first, 15 min to 12 h later (none).
    pub replicate_every: Option<Duration>,
    /// Whether a newcomer is brought at once what it is to hold (true). Without it the newcomer gets
    /// that with the next replication: less traffic, and fewer copies for a while.
    pub hands_over: bool,
    /// How often a node has others test whether it is reachable (15 min).
    pub test_every: Duration,
    /// For this long after the start nothing expires, since the wall clock may be off; less when
    /// the clocks of five peers are known before (60 s).
    pub expiry_grace: Duration,
    /// How fast publications are renewed, in bytes of their messages for each second (32 000): half
    /// of what background work has at all.
    pub publication_bytes_per_second: u64,
    /// What the engine keeps at most.
    pub limits: Limits,
}

impl Config {
    /// The settings of a storing node of a network with this key, as the protocol page has them.
    pub fn new(key: NodeKey, network: NetworkId) -> Self {
        Self {
            key,
            network,
            mode: Mode::Storing,
            mode_is_fixed: false,
            local: false,
            advertised: Addresses::default(),
            interface: Addresses::default(),
            families: Families::BOTH,
            id_bits: 0,
            alpha: 3,
            bits_per_level: 1,
            refresh_after: Some(Duration::from_hours(1)),
            replicate_every: None,
            hands_over: true,
            test_every: Duration::from_mins(15),
            expiry_grace: Duration::from_mins(1),
            publication_bytes_per_second: 32_000,
            limits: Limits::default(),
        }
    }
}

/// The limits of one engine. Each is shown in the status beside its use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Records held, a count (250 000).
    pub records: u64,
    /// Charge of the records held in bytes, each its size + 512 (256 MiB).
    pub record_bytes: u64,
    /// Items of one bag, a count (16 384).
    pub bag_items: u64,
    /// Payloads of one bag in bytes (16 MiB).
    pub bag_bytes: u64,
    /// Cells of one dict name, a count (64).
    pub dict_cells: u64,
    /// Payloads of one dict name in bytes (512 KiB).
    pub dict_bytes: u64,
    /// Events of one writer in one topic, a count (1024).
    pub topic_events: u64,
    /// Payloads of one writer in one topic in bytes (1 MiB).
    pub topic_writer_bytes: u64,
    /// Payloads of one topic in bytes (8 MiB).
    pub topic_bytes: u64,
    /// Operations of users under way at once (4096).
    pub operations: usize,
    /// Background operations (refresh, replication) under way at once (4).
    pub background: usize,
    /// Nodes, address groups and keys blocked at once (1024).
    pub blocks: usize,
    /// Answers held back until the store committed (4096).
    pub held_answers: usize,
    /// Rounds of renewal under way at once, each of one region (2). They count as background
    /// operations too.
    pub renewals: usize,
    /// Publications renewed in one such round (4096).
    pub renewed_at_once: usize,
    /// Leases of watchers, of all slots together (4096); one slot has at most 1024 and one watcher
    /// at most 64.
    pub leases: usize,
    /// Slots that this node watches for its users, each one counted as often as it is watched
    /// (1024).
    pub subscriptions: usize,
    /// Records that the node promised to keep alive, a count (250 000).
    pub publications: usize,
    /// Charge of these records in bytes, each its payload + 512 (512 MiB).
    pub publication_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 250_000,
            record_bytes: 256 << 20,
            bag_items: 16_384,
            bag_bytes: 16 << 20,
            dict_cells: 64,
            dict_bytes: 512 << 10,
            topic_events: 1024,
            topic_writer_bytes: 1 << 20,
            topic_bytes: 8 << 20,
            operations: 4096,
            background: 4,
            blocks: 1024,
            held_answers: 4096,
            renewals: 2,
            renewed_at_once: 4096,
            leases: 4096,
            subscriptions: 1024,
            publications: 250_000,
            publication_bytes: 512 << 20,
        }
    }
}
