//! The nodes of the network: how they come, how they go, what can be seen of them.
//!
//! What must stay true: a node keeps its index, its key and its address for ever, and what a crash
//! took does not come back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use qadom_engine::{Addresses, Config, Engine, JournalEntry, JournalError, Mode};
use qadom_routing::{Contact, Families, Key, NodeId, NodeKey};
use qadom_store::MemoryStore;
use qadom_wire::NetworkId;

use super::Network;
use crate::node::{Disk, Node, NodeIndex};

/// The name of the network that all nodes but strangers speak for.
const NETWORK_NAME: &str = "simulation";
/// The UDP port of every node.
const PORT: u16 = 4242;
/// The nodes' addresses: this and 24 bits more.
const ADDRESS_BASE: u32 = 0x1400_0000;

impl Network {
    /// Adds a node that knows nobody; let it [`join`](Self::join).
    pub fn add_node(&mut self, mode: Mode) -> NodeIndex {
        self.add(mode, NETWORK_NAME)
    }

    /// Adds a storing node at an address of its own, for tests of rules about address groups; none
    /// when another node has the address.
    pub fn add_node_at(&mut self, address: Ipv4Addr) -> Option<NodeIndex> {
        let address = SocketAddr::from((address, PORT));
        let is_free = !self.by_address.contains_key(&address);
        is_free.then(|| self.add_with(Mode::Storing, NETWORK_NAME, address))
    }

    /// Adds a storing node that speaks for another network. Nobody there is told of it, but its
    /// [`address`](Self::address) can be joined through, in vain.
    pub fn add_stranger(&mut self, network: &str) -> NodeIndex {
        self.add(Mode::Storing, network)
    }

    /// Puts a node behind a NAT: from now on only those get through to it that it has called at
    /// most a minute before.
    pub fn put_behind_nat(&mut self, node: NodeIndex) {
        if let Some(node) = self.nodes.get_mut(node.as_usize()) {
            node.called = Some(BTreeMap::new());
        }
    }

    /// Ends a node for good and without a word to anybody: its records and its journal are lost, its
    /// operations fail, and nothing answers at its address any more.
    pub fn kill(&mut self, node: NodeIndex) {
        self.crash(node);
        if let Some(killed) = self.nodes.get_mut(node.as_usize()) {
            killed.store = Arc::new(MemoryStore::new());
            killed.journal = Vec::new();
        }
    }

    /// Ends a node without a word to anybody, as `kill -9` does: its operations fail, its sessions
    /// are forgotten, and its store and its journal stay, for [`restart`](Self::restart).
    pub fn crash(&mut self, node: NodeIndex) {
        let Some(crashed) = self.nodes.get_mut(node.as_usize()) else {
            return;
        };
        crashed.engine = None;
        crashed.peers.clear();
        crashed.pinned = 0;
        crashed.wake_at = None;
        let key = crashed.key;
        self.exchanges.retain(|_, exchange| exchange.asker != node);
        for exchange in self.exchanges.values_mut() {
            if exchange.key() == Some(key) {
                exchange.is_delivered = false;
                exchange.answer = None;
            }
        }
        self.tasks.end_all_of(node);
        self.subscriptions.end_all_of(node);
        self.newcomers.remove(&node);
    }

    /// Starts a node that crashed: a new engine with the same key and settings takes its journal
    /// and knows the writers that the node had, and its store is as it was or empty. It knows
    /// nobody; let it [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the journal cannot be read back, which is a fault of the engine.
    pub fn restart(&mut self, node: NodeIndex, disk: Disk) -> Result<(), JournalError> {
        let now = self.time_of(node);
        let seed = self.chance.bytes();
        let Some(owner) = self.nodes.get_mut(node.as_usize()) else {
            return Ok(());
        };
        if owner.is_alive() {
            return Ok(());
        }
        if disk == Disk::Lost {
            owner.store = Arc::new(MemoryStore::new());
        }
        let mut engine = Engine::new(owner.config.clone(), owner.store.clone(), seed, now);
        for writer in &owner.writers {
            if let Some(identity) = self.identities.get(writer) {
                engine.add_identity(Arc::clone(identity));
            }
        }
        for entry in &owner.journal {
            engine.restore(JournalEntry::from_bytes(entry)?);
        }
        // As a driver does, so that the journal does not grow with every start.
        owner.journal = engine.journal().map(|entry| entry.to_bytes()).collect();
        owner.hello = engine.hello();
        owner.engine = Some(engine);
        owner.life += 1;
        self.settle(node);
        Ok(())
    }

    /// Sets how far a node's wall clock is ahead in microseconds, or behind when negative (0, or
    /// what the seed chose within the settings).
    pub fn set_clock_error(&mut self, node: NodeIndex, ahead_micros: i64) {
        if let Some(node) = self.nodes.get_mut(node.as_usize()) {
            node.clock_error = ahead_micros;
        }
    }

    /// The nodes that live, in the order in which they came, strangers too.
    pub fn living(&self) -> impl Iterator<Item = NodeIndex> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.is_alive())
            .map(|(index, _)| NodeIndex::from(index))
    }

    /// A living node, strangers too, chosen by the seed; node 0 when none lives. Those that came by
    /// churn count once they have joined.
    pub fn random_node(&mut self) -> NodeIndex {
        let nodes: Vec<NodeIndex> = self
            .living()
            .filter(|node| !self.newcomers.contains_key(node))
            .collect();
        let choice = self.chance.below(nodes.len());
        nodes.get(choice).copied().unwrap_or(NodeIndex::from(0))
    }

    /// A number below `end`, chosen by the seed; 0 when `end` is 0.
    pub fn random_below(&mut self, end: usize) -> usize {
        self.chance.below(end)
    }

    /// What the nodes sign for, strangers left aside.
    pub fn network_id(&self) -> NetworkId {
        identity_of(NETWORK_NAME)
    }

    /// A key, chosen by the seed.
    pub fn random_key(&mut self) -> Key {
        Key::from_bytes(self.chance.bytes())
    }

    /// The engine of a living node, to be looked at.
    pub fn engine(&self, node: NodeIndex) -> Option<&Engine> {
        self.node(node)?.engine.as_ref()
    }

    /// Where a node of this network stands in the key space, dead or alive.
    pub fn id(&self, node: NodeIndex) -> Option<NodeId> {
        self.node(node).map(|node| node.id)
    }

    /// Where a node of this network is reached, dead or alive.
    pub fn address(&self, node: NodeIndex) -> Option<SocketAddr> {
        self.node(node).map(|node| node.address)
    }

    /// How others are told of a node of this network, dead or alive.
    pub fn contact(&self, node: NodeIndex) -> Option<Contact> {
        self.node(node)
            .map(|node| Contact::at(node.key, node.address, node.hello.storing))
    }

    fn add(&mut self, mode: Mode, network: &str) -> NodeIndex {
        let address = address_of(NodeIndex::from(self.nodes.len()));
        self.add_with(mode, network, address)
    }

    fn add_with(&mut self, mode: Mode, network: &str, address: SocketAddr) -> NodeIndex {
        let index = NodeIndex::from(self.nodes.len());
        let key = self.random_node_key();
        let mut config = Config {
            mode,
            families: Families {
                v4: true,
                v6: false,
            },
            interface: Addresses::at(address),
            ..Config::new(key, identity_of(network))
        };
        (self.settings.configure)(&mut config);
        let store = Arc::new(MemoryStore::new());
        let clock_error = self.random_clock_error();
        let mut now = self.time();
        now.utc_micros = now.utc_micros.saturating_add_signed(clock_error);
        let engine = Engine::new(config.clone(), store.clone(), self.chance.bytes(), now);
        self.nodes.push(Node {
            key,
            id: key.id(),
            address,
            hello: engine.hello(),
            called: None,
            network: network.to_owned(),
            config,
            store,
            journal: Vec::new(),
            writers: BTreeSet::new(),
            engine: Some(engine),
            life: 0,
            clock_error,
            side: 0,
            peers: BTreeMap::new(),
            pinned: 0,
            wake_at: None,
        });
        self.by_address.insert(address, index);
        self.by_key.insert(key, index);
        self.settle(index);
        index
    }

    fn random_clock_error(&mut self) -> i64 {
        let most = self.settings.clock_error;
        if most.is_zero() {
            return 0;
        }
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        micros(self.chance.between(Duration::ZERO, 2 * most)) - micros(most)
    }

    fn random_node_key(&mut self) -> NodeKey {
        loop {
            if let Ok(key) = NodeKey::new(self.chance.bytes()) {
                return key;
            }
        }
    }

    pub(super) fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.nodes.get(node.as_usize())
    }

    /// The living nodes that speak for the main network.
    pub(super) fn living_members(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.is_alive() && node.network == NETWORK_NAME)
            .map(|(index, node)| (NodeIndex::from(index), node))
    }
}

/// Spreads nodes over the networks of 24 and 16 bits, as rules about address groups see them.
fn address_of(node: NodeIndex) -> SocketAddr {
    // An odd factor maps the 24 bits one to one.
    let bits = u32::try_from(node.as_usize())
        .unwrap_or(u32::MAX)
        .wrapping_mul(0x009e_3779);
    SocketAddr::from((Ipv4Addr::from(ADDRESS_BASE | (bits & 0x00ff_ffff)), PORT))
}

/// The identity of a network with any text for a name.
#[expect(
    clippy::expect_used,
    reason = "a hash in hexadecimal has 64 bytes and none of them is zero"
)]
fn identity_of(network: &str) -> NetworkId {
    let name = blake3::hash(network.as_bytes()).to_hex();
    qadom_wire::Network::new(name.as_bytes(), b"")
        .expect("a name of 64 bytes")
        .id()
}
