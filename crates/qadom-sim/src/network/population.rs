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
use qadom_transport::SecretKey;
use qadom_wire::NetworkId;

use super::Network;
use crate::node::{Disk, Node, NodeIndex};
use crate::peers::Peers;

mod adversary;

pub use adversary::Adversary;
pub(crate) use adversary::Behaviour;

/// A node key, with its secret when the real transport runs.
type OwnKey = (NodeKey, Option<SecretKey>);

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
        crashed.wake_at = None;
        crashed.pinned = 0;
        let key = crashed.key;
        self.exchanges.retain(|_, exchange| exchange.asker != node);
        for exchange in self.exchanges.values_mut() {
            if exchange.key() == Some(key) {
                exchange.is_delivered = false;
                exchange.answer = None;
            }
        }
        self.end_endpoint(node);
        self.tasks.end_all_of(node);
        self.subscriptions.end_all_of(node);
        self.newcomers.remove(&node);
        self.leave_members(node);
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
        if disk == Disk::Lost {
            engine.refill(now);
        }
        // As a driver does, so that the journal does not grow with every start.
        owner.journal = engine.journal().map(|entry| entry.to_bytes()).collect();
        owner.hello = engine.hello();
        owner.engine = Some(Box::new(engine));
        owner.life += 1;
        owner.started_at = now.moment;
        self.start_endpoint(node);
        self.enter_members(node);
        self.settle(node);
        self.plan_leave(node);
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

    /// A living node of the network, strangers left aside, chosen by the seed; node 0 when none
    /// lives. Those that came by churn count once they have joined.
    pub fn random_node(&mut self) -> NodeIndex {
        self.random_joined().unwrap_or(NodeIndex::from(0))
    }

    /// A living member that has joined, or is not about to.
    pub(super) fn random_joined(&mut self) -> Option<NodeIndex> {
        if self.members.len() <= self.newcomers.len() {
            return None;
        }
        // Newcomers are few, so that this ends soon; with the last draw it ends.
        for _ in 0..64 {
            let choice = self.chance.below(self.members.len());
            let node = self.members.get(choice).copied();
            if let Some(node) = node.filter(|node| !self.newcomers.contains_key(node)) {
                return Some(node);
            }
        }
        let mut members = self.members.iter().copied();
        members.find(|node| !self.newcomers.contains_key(node))
    }

    fn enter_members(&mut self, node: NodeIndex) {
        let place = self.members.len();
        if let Some(owner) = self.nodes.get_mut(node.as_usize())
            && owner.member_at.is_none()
            && owner.network == NETWORK_NAME
            && !owner.only_answers
        {
            owner.member_at = Some(place);
            self.members.push(node);
        }
    }

    fn leave_members(&mut self, node: NodeIndex) {
        let owner = self.nodes.get_mut(node.as_usize());
        let Some(place) = owner.and_then(|owner| owner.member_at.take()) else {
            return;
        };
        if place < self.members.len() {
            self.members.swap_remove(place);
        }
        let moved = self.members.get(place).copied();
        if let Some(moved) = moved.and_then(|moved| self.nodes.get_mut(moved.as_usize())) {
            moved.member_at = Some(place);
        }
    }

    /// The living nodes of the network, strangers and adversaries left aside, in the order in which
    /// they came.
    pub fn members(&self) -> impl Iterator<Item = NodeIndex> {
        self.living_members().map(|(node, _)| node)
    }

    /// 32 bytes, chosen by the seed.
    pub fn random_bytes(&mut self) -> [u8; 32] {
        self.chance.bytes()
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
        self.node(node)?.engine.as_deref()
    }

    /// For how long a node has run since its last start, as long as it runs.
    pub fn lived(&self, node: NodeIndex) -> Duration {
        let owner = self.node(node).filter(|owner| owner.is_alive());
        owner.map_or(Duration::ZERO, |owner| self.now.since(owner.started_at))
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

    /// Adds a storing node of the network with a key that was chosen for it.
    fn add_of_key(&mut self, key: OwnKey) -> NodeIndex {
        let address = address_of(NodeIndex::from(self.nodes.len()));
        self.add_whole((Mode::Storing, NETWORK_NAME), address, key)
    }

    /// Adds a storing node of the network with a key and an address that were chosen for it.
    pub(super) fn add_of_population(&mut self, key: NodeKey, address: SocketAddr) -> NodeIndex {
        self.add_whole((Mode::Storing, NETWORK_NAME), address, (key, None))
    }

    fn add_with(&mut self, mode: Mode, network: &str, address: SocketAddr) -> NodeIndex {
        let key = self.draw_key();
        self.add_whole((mode, network), address, key)
    }

    /// A key, with its secret when the real transport runs.
    fn draw_key(&mut self) -> OwnKey {
        if !self.settings.fidelity.is_sealed() {
            return (self.chance.node_key(), None);
        }
        loop {
            let secret = SecretKey::from_bytes(self.chance.bytes());
            if let Ok(key) = NodeKey::new(secret.public()) {
                return (key, Some(secret));
            }
        }
    }

    fn add_whole(
        &mut self,
        (mode, network): (Mode, &str),
        address: SocketAddr,
        (key, secret): OwnKey,
    ) -> NodeIndex {
        let index = NodeIndex::from(self.nodes.len());
        let mut config = Config {
            mode,
            families: Families {
                v4: true,
                v6: false,
            },
            interface: Addresses::at(address),
            ..Config::new(key, identity_of(network))
        };
        if self.only_answers {
            Self::calm(&mut config);
        }
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
            behaviour: None,
            only_answers: self.only_answers,
            line: index.as_usize() as u64,
            secret,
            sealed: None,
            pinned: 0,
            engine: Some(Box::new(engine)),
            life: 0,
            started_at: now.moment,
            clock_error,
            side: 0,
            peers: Peers::default(),
            member_at: None,
            wake_at: None,
        });
        self.by_address.insert(address, index);
        self.by_key.insert(key, index);
        self.start_endpoint(index);
        self.enter_members(index);
        self.settle(index);
        self.plan_leave(index);
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

    pub(super) fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.nodes.get(node.as_usize())
    }

    /// The living nodes that speak for the main network, adversaries left aside.
    pub(super) fn living_members(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| {
                node.is_alive()
                    && node.network == NETWORK_NAME
                    && node.behaviour.is_none()
                    && !node.only_answers
            })
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

/// A network with any text for a name.
#[expect(
    clippy::expect_used,
    reason = "a hash in hexadecimal has 64 bytes and none of them is zero"
)]
pub(super) fn network_of(network: &str) -> qadom_wire::Network {
    let name = blake3::hash(network.as_bytes()).to_hex();
    qadom_wire::Network::new(name.as_bytes(), b"").expect("a name of 64 bytes")
}

fn identity_of(network: &str) -> NetworkId {
    network_of(network).id()
}
