//! The settings of a routing table and of a lookup, with their defaults.
//!
//! What must stay true: every field names its unit, its range and what it trades. The values are
//! local to a node; none of them is agreed on with other nodes.

use core::time::Duration;

use crate::contact::Families;

/// The number of nodes that keep a record, that a bucket holds and that a lookup looks for
/// (k of the Kademlia paper), unless set otherwise.
pub const DEFAULT_K: usize = 20;

/// The settings of a [`RoutingTable`](crate::RoutingTable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Contacts per bucket, at least 1 (20). The bucket that ends the neighbourhood of the own id
    /// may hold up to twice as many.
    pub k: usize,
    /// Contacts per full bucket that wait for a place, the latest heard from are kept (10).
    pub replacements: usize,
    /// A contact that was heard from within this time is not pinged to make room, and a ping that
    /// brought neither answer nor failure is given up after it (1 min). Shorter finds dead contacts
    /// sooner and pings more.
    pub check_after: Duration,
    /// When more than half of the table fell silent within this time, no contact is evicted: the
    /// fault is likely on this side (1 min). Longer keeps more dead contacts after a mass failure.
    pub outage_window: Duration,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            k: DEFAULT_K,
            replacements: 10,
            check_after: Duration::from_mins(1),
            outage_window: Duration::from_mins(1),
        }
    }
}

/// The settings of a [`Lookup`](crate::Lookup).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupConfig {
    /// Nodes to find, at least 1 (20).
    pub k: usize,
    /// Requests that occupy a slot at once, at least 1 (3). A slow request occupies none, so that
    /// more than this may be unanswered while nodes are slow.
    pub alpha: usize,
    /// Requests of the whole lookup at most (200). It bounds what lying nodes can cost.
    pub max_queries: usize,
    /// The address families that can be reached; contacts with none of them are skipped.
    pub families: Families,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            k: DEFAULT_K,
            alpha: 3,
            max_queries: 200,
            families: Families::BOTH,
        }
    }
}
