//! What an engine tells about itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use qadom_routing::{Moment, NodeId};
use qadom_wire::Reason;

use crate::config::Limits;

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

/// The state of an engine in numbers.
#[derive(Clone, Debug)]
pub struct Status {
    /// Contacts in the routing table.
    pub peers: usize,
    /// Records held.
    pub records: u64,
    /// Charge of the records held in bytes.
    pub record_bytes: u64,
    /// Operations of users under way.
    pub operations: usize,
    /// Background operations under way.
    pub background: usize,
    /// Answers that wait for the store.
    pub held_answers: usize,
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
    /// When it was last heard from.
    pub last_seen: Moment,
    /// Leading bits that its id shares with ours.
    pub bucket: u32,
}
