//! Nodes of a population that exist when they are asked: real engines with tables that were drawn.
//!
//! What must stay true: who only answers does nothing by itself, and whoever holds no record may be
//! forgotten while nobody waits for his answer, since he would come back the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use qadom_engine::{Effect, Engine, Mode};
use qadom_routing::NodeKey;
use qadom_wire::Hello;

use super::Network;
use crate::exchange::Exchange;
use crate::lean::{Lean, Population};
use crate::node::NodeIndex;
use crate::peers::Link;
use crate::settings::Settings;

/// What who only answers would do by itself is put off for longer than any simulation.
const NEVER: Duration = Duration::from_hours(24 * 365 * 50);
/// Nodes that only answer and exist at once, before the older ones without records are forgotten.
pub(super) const ANSWERING: usize = 4096;

impl Network {
    /// Makes a network of a population, in which so many nodes as the settings have do everything
    /// that nodes do, while the others only answer. Nobody has to join: tables are there. Operations
    /// of [`random_node`](Self::random_node) begin at the first ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_sim::{Network, Population, Settings};
    ///
    /// let settings = Settings { nodes: 2, seed: 3, ..Settings::default() };
    /// let mut network = Network::with_population(settings, Population::of(5000));
    /// let (asker, target) = (network.random_node(), network.random_key());
    /// let report = network.lookup(asker, target)?;
    /// assert_eq!(report.closest.len(), 20);
    /// # Ok::<(), qadom_sim::Failure>(())
    /// ```
    pub fn with_population(settings: Settings, population: Population) -> Self {
        let lean = Arc::new(Lean::new(population, settings.seed));
        let askers = settings.nodes;
        let mut network = Self::new(Settings {
            nodes: 0,
            ..settings
        });
        network.lean = Some(Arc::clone(&lean));
        let mut asked = 0;
        while asked < askers {
            let nodes = usize::try_from(lean.nodes()).unwrap_or(usize::MAX);
            let number = u32::try_from(network.chance.below(nodes)).unwrap_or(0);
            let is_taken = network.by_key.contains_key(&lean.key(number));
            let is_fit = !lean.is_dead(number) && lean.adversary(number).is_none();
            if is_fit && (!is_taken || nodes <= askers) {
                network.exist(number, false);
                asked += 1;
            }
        }
        network
    }

    /// Forgets the older half of those that only answer, when there are many, but for holders of
    /// records and those whose answer somebody waits for.
    fn forget_answering(&mut self) {
        if self.answering.len() < self.forget_at {
            return;
        }
        let asked = self.exchanges.values().filter_map(Exchange::key);
        let asked: BTreeSet<NodeKey> = asked.collect();
        let newer = self.answering.split_off(self.answering.len() / 2);
        for node in std::mem::replace(&mut self.answering, newer) {
            let Some(owner) = self.node(node) else {
                continue;
            };
            let (key, address) = (owner.key, owner.address);
            let is_holder = qadom_store::Store::stats(&*owner.store).records > 0;
            if is_holder || asked.contains(&key) {
                self.answering.push(node);
                continue;
            }
            self.kill(node);
            self.by_key.remove(&key);
            self.by_address.remove(&address);
        }
        self.forget_at = self.answering.len() + ANSWERING / 2;
    }

    /// The node at an address, which exists from now on when it is one of the population.
    pub(super) fn reach(&mut self, address: std::net::SocketAddr) -> Option<NodeIndex> {
        let known = self.by_address.get(&address).copied();
        known.or_else(|| {
            let number = self.lean.as_ref()?.at(address)?;
            Some(self.exist(number, true))
        })
    }

    /// Makes a node of the population exist, with its table.
    fn exist(&mut self, number: u32, only_answers: bool) -> NodeIndex {
        let Some(lean) = self.lean.clone() else {
            return NodeIndex::from(usize::MAX);
        };
        let contact = lean.contact(number);
        let address = contact.v4().map_or_else(
            || std::net::SocketAddr::from(([0, 0, 0, 0], 0)),
            std::net::SocketAddr::V4,
        );
        self.forget_answering();
        self.only_answers = only_answers;
        let node = self.add_of_population(lean.key(number), address);
        self.only_answers = false;
        if only_answers {
            self.answering.push(node);
        }
        let behaviour = lean.adversary(number);
        let now = self.time_of(node);
        let hello = Hello {
            storing: true,
            v4: None,
            v6: None,
        };
        if let Some(owner) = self.nodes.get_mut(node.as_usize()) {
            owner.behaviour = behaviour.map(super::Adversary::behaviour);
            owner.line = u64::from(number);
            // Adversaries of these kinds use no table.
            if let Some(engine) = owner.engine.as_mut().filter(|_| behaviour.is_none()) {
                let kept = fill(engine, &lean, number, now, &hello);
                // Who only answers asks nobody, so that it needs no sessions.
                for key in kept.into_iter().filter(|_| !only_answers) {
                    let peer = owner.peers.of(key, now.moment);
                    peer.link = Link::Open;
                    peer.is_pinned = true;
                }
            }
        }
        if !only_answers {
            self.settle(node);
        }
        node
    }

    /// What a node is told that only answers: to do nothing by itself.
    pub(super) fn calm(config: &mut qadom_engine::Config) {
        config.mode = Mode::Storing;
        config.mode_is_fixed = true;
        config.refresh_after = None;
        config.replicate_every = Some(NEVER);
        config.test_every = NEVER;
    }
}

/// Lets an engine know those that its table would hold, as if sessions had been confirmed, and gives
/// those with whom it wants its sessions kept.
fn fill(
    engine: &mut Engine,
    lean: &Lean,
    number: u32,
    now: qadom_engine::Time,
    hello: &Hello,
) -> BTreeSet<NodeKey> {
    let mut kept = BTreeSet::new();
    for other in lean.table(number) {
        let contact = lean.contact(other);
        if let Some(v4) = contact.v4() {
            engine.on_confirmed(now, *contact.key(), v4.into(), hello);
        }
        while let Some(effect) = engine.poll_effect() {
            match effect {
                Effect::Pin(key) => kept.insert(key),
                Effect::Unpin(key) => kept.remove(&key),
                _ => false,
            };
        }
    }
    kept
}
