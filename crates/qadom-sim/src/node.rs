//! One node of the network: its engine, its store, its sessions.
//!
//! What must stay true: a node that is not alive has no engine, and what it had under way is
//! forgotten; its key, its address and its journal outlive a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{Config, Engine};
use qadom_routing::{Moment, NodeId, NodeKey};
use qadom_store::MemoryStore;
use qadom_transport::SecretKey;
use qadom_wire::{Hello, Writer};

use crate::network::Behaviour;
use crate::peers::Peers;
use crate::sealed::Sealed;

/// For how long a NAT lets somebody in after the last call to it.
const NAT_MEMORY: Duration = Duration::from_mins(1);

/// Numbers the nodes of a network in the order in which they came, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(u32);

impl NodeIndex {
    /// The number.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl From<usize> for NodeIndex {
    /// The node of this number; numbers above `u32::MAX` name no node and stand for that one.
    fn from(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for NodeIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a node finds on its disk when it starts again. The journal is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// The records that it held for others.
    Kept,
    /// No records.
    Lost,
}

/// A node as the network sees it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    /// What the node says of itself in handshakes.
    pub(crate) hello: Hello,
    /// Whom a node behind a NAT has called, and when last; none for a node that is not behind one.
    pub(crate) called: Option<BTreeMap<NodeIndex, Moment>>,
    /// The name of the network that the node speaks for.
    pub(crate) network: String,
    /// What its engine is told at each start.
    pub(crate) config: Config,
    pub(crate) store: Arc<MemoryStore>,
    /// The journal, entry by entry as its bytes.
    pub(crate) journal: Vec<Bytes>,
    /// The writers whose secrets the node has.
    pub(crate) writers: BTreeSet<Writer>,
    /// What it does instead of what it should; none for an honest node.
    pub(crate) behaviour: Option<Box<dyn Behaviour>>,
    /// Its secret, when the real transport runs.
    pub(crate) secret: Option<SecretKey>,
    /// Its endpoint, when the real transport runs and the node does.
    pub(crate) sealed: Option<Box<Sealed>>,
    /// Sessions that the engine wants its endpoint to keep.
    pub(crate) pinned: usize,
    /// Whether it only answers, and does nothing by itself.
    pub(crate) only_answers: bool,
    /// What the delays of its lines to others follow from: the same when it comes back after it was
    /// forgotten.
    pub(crate) line: u64,
    /// None while the node is not running.
    pub(crate) engine: Option<Box<Engine>>,
    /// How often the node was started.
    pub(crate) life: u32,
    /// When it was started last.
    pub(crate) started_at: Moment,
    /// How far its wall clock is ahead, in microseconds.
    pub(crate) clock_error: i64,
    /// The side of the partition that it is on.
    pub(crate) side: u32,
    /// What this node's transport knows of others.
    pub(crate) peers: Peers,
    /// Where it stands among the living members of the network, if it is one.
    pub(crate) member_at: Option<usize>,
    /// The one planned wake that counts.
    pub(crate) wake_at: Option<Moment>,
}

impl Node {
    pub(crate) const fn is_alive(&self) -> bool {
        self.engine.is_some()
    }

    /// When its engine or its endpoint wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let engine = self.engine.as_ref()?.next_deadline();
        let sealed = self
            .sealed
            .as_ref()
            .and_then(|sealed| sealed.next_deadline());
        engine.into_iter().chain(sealed).min()
    }

    /// Notes that the node calls another one, which opens its NAT for the answer.
    pub(crate) fn on_call(&mut self, other: NodeIndex, now: Moment) {
        if let Some(called) = &mut self.called {
            called.insert(other, now);
        }
    }

    /// Whether a message of another node gets through to this one.
    pub(crate) fn lets_in(&self, other: NodeIndex, now: Moment) -> bool {
        self.called.as_ref().is_none_or(|called| {
            let last = called.get(&other);
            last.is_some_and(|last| now.since(*last) <= NAT_MEMORY)
        })
    }
}
