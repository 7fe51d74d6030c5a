//! The settings of a routing table and of a lookup, with their defaults.
//!
//! What must stay true: every field names its unit, its range and what it trades. The values are
//! local to a node; none of them is agreed on with other nodes.

use core::time::Duration;

use crate::contact::Families;
use crate::distance::Distance;

/// The number of nodes that keep a record, that a bucket holds and that a lookup looks for
/// (k of the Kademlia paper), unless set otherwise.
pub const DEFAULT_K: usize = 20;

/// Nodes that a lookup ends with at most, however many lie within its reach.
pub const REACH_MAX: usize = 60;

/// Paths of one lookup at most.
pub const PATHS_MAX: usize = 8;

/// The settings of a [`RoutingTable`](crate::RoutingTable).
///
/// # Examples
///
/// ```
/// use qadom_routing::{Key, NodeId, RoutingTable, TableConfig};
///
/// let config = TableConfig { k: 8, bits_per_level: 2, ..TableConfig::default() };
/// let table = RoutingTable::new(NodeId::from(Key::ZERO), config);
/// assert!(table.is_empty());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Contacts per bucket, at least 1 (20). The bucket that ends the neighbourhood of the own id
    /// may hold up to twice as many.
    pub k: usize,
    /// Bits of the key space that one level of the table resolves (b of the paper, section 4.2): 1
    /// to 8 (1). Each level has 2^b - 1 buckets, so that more bits shorten lookups and make the
    /// table larger.
    pub bits_per_level: u32,
    /// Contacts per full bucket that wait for a place, the latest heard from are kept (10).
    pub replacements: usize,
    /// How long a contact that is known for a short time may be silent before it is checked (5 min).
    pub check_min: Duration,
    /// The same for a contact that is known for long (1 h). In between it is a half of the time for
    /// which the contact is known. Shorter finds dead contacts sooner and costs more.
    pub check_max: Duration,
    /// When more than half of the table fell silent within this time, no contact is evicted: the
    /// fault is likely on this side (1 min). Longer keeps more dead contacts after a mass failure.
    pub outage_window: Duration,
    /// Local mode: no rule looks at groups of addresses.
    pub is_local: bool,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            k: DEFAULT_K,
            bits_per_level: 1,
            replacements: 10,
            check_min: Duration::from_mins(5),
            check_max: Duration::from_hours(1),
            outage_window: Duration::from_mins(1),
            is_local: false,
        }
    }
}

/// The settings of a [`Lookup`](crate::Lookup).
///
/// # Examples
///
/// ```
/// use qadom_routing::{Key, Lookup, LookupConfig, Moment, Next, NodeId};
///
/// let config = LookupConfig { paths: 4, ..LookupConfig::default() };
/// let mut lookup = Lookup::new(NodeId::from(Key::MAX), Key::ZERO, config, [], Moment::ORIGIN);
/// assert_eq!(lookup.next(Moment::ORIGIN), Next::Done);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupConfig {
    /// Nodes to find, at least 1 (20).
    pub k: usize,
    /// Requests that occupy a slot at once, at least 1 (3), shared among the paths, each of which
    /// has at least one. A slow request occupies none, and as long as it is slow one more is sent,
    /// up to twice as many.
    pub alpha: usize,
    /// Requests of a path that occupy a slot at once as soon as an answer names hardly anybody new
    /// among the nearest (0, which means never more than alpha): who is nearest is known then, and
    /// each of them has to be asked anyway, so that asking all k at once costs no more and takes one
    /// round trip. Not for a search that ends with the first who has something.
    pub alpha_agreed: usize,
    /// Paths that ask apart from each other, 1 to 8 (1): no node is asked twice, and whom a node
    /// names is asked on its path alone, so that a liar spoils one path (S/Kademlia).
    pub paths: usize,
    /// Nodes within this distance of the target are all looked for, beside the k nearest, up to
    /// [`REACH_MAX`] in all (none).
    pub reach: Distance,
    /// Requests of a lookup with one path at most (200). It bounds what lying nodes can cost.
    pub max_queries: usize,
    /// Requests of each path at most, when there are several (40).
    pub max_path_queries: usize,
    /// Whether slow nodes among the nearest are waited for until they answer or fail (false): all of the
    /// nearest that live are found, and it takes longer. Who looks for holders wants that.
    pub is_patient: bool,
    /// The address families that can be reached; contacts with none of them are skipped.
    pub families: Families,
    /// Local mode: no rule looks at groups of addresses.
    pub is_local: bool,
}

impl LookupConfig {
    /// The settings within their ranges.
    pub(crate) fn checked(self) -> Self {
        Self {
            k: self.k.max(1),
            alpha: self.alpha.max(1),
            paths: self.paths.clamp(1, PATHS_MAX),
            ..self
        }
    }

    /// Requests that one path may send.
    pub(crate) fn path_budget(&self) -> usize {
        if self.paths == 1 {
            self.max_queries
        } else {
            self.max_path_queries.min(self.max_queries)
        }
    }
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            k: DEFAULT_K,
            alpha: 3,
            alpha_agreed: 0,
            paths: 1,
            reach: Distance::ZERO,
            max_queries: 200,
            max_path_queries: 40,
            is_patient: false,
            families: Families::BOTH,
            is_local: false,
        }
    }
}
