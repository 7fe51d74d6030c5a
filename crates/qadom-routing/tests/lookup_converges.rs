//! Lookups in a network of real routing tables, through the public interface alone: they find
//! exactly the nearest nodes, and those of them that live when a third of the network is dead. Only
//! a slow node may miss the end of a lookup.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test panic as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};

use qadom_routing::{
    Contact, Key, Lookup, LookupConfig, Moment, Next, NodeId, NodeKey, Noted, RoutingTable,
    TableConfig, closest,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const K: usize = 20;

struct Network {
    contacts: Vec<Contact>,
    tables: BTreeMap<NodeId, RoutingTable>,
    dead: BTreeSet<NodeId>,
    config: LookupConfig,
    rng: ChaCha8Rng,
}

/// All contacts share one address.
fn local_table() -> TableConfig {
    TableConfig {
        is_local: true,
        ..TableConfig::default()
    }
}

impl Network {
    /// Every node has heard from every other one, each in an order of its own.
    fn new(size: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut contacts: Vec<Contact> = (0..size).map(|_| contact(&mut rng)).collect();
        let own: Vec<NodeId> = contacts.iter().map(|contact| *contact.id()).collect();
        let mut tables = BTreeMap::new();
        for id in own {
            let shift = usize::try_from(rng.next_u32()).unwrap() % size;
            contacts.rotate_left(shift);
            let mut table = RoutingTable::new(id, local_table());
            for contact in &contacts {
                table.observe(contact.clone(), Moment::ORIGIN);
            }
            tables.insert(id, table);
        }
        Self {
            contacts,
            tables,
            dead: BTreeSet::new(),
            config: LookupConfig {
                is_local: true,
                ..LookupConfig::default()
            },
            rng,
        }
    }

    fn kill(&mut self, count: usize) {
        let victims = self.contacts.iter().take(count);
        self.dead = victims.map(|contact| *contact.id()).collect();
    }

    fn random_key(&mut self) -> Key {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        Key::from_bytes(bytes)
    }

    /// Runs a lookup in which answers come in any order, of `slow_percent` of the nodes after they
    /// were taken for slow. Dead nodes are slow before they fail. Gives the lookup and the slow
    /// nodes that had neither answered nor failed when it ended.
    fn run(&mut self, own: &NodeId, target: Key, slow_percent: u32) -> (Lookup, BTreeSet<NodeId>) {
        // More than k, so that the lookup does not run dry where most of the nearest are dead.
        let seeds = self.tables[own]
            .closest(&target, 3 * K)
            .into_iter()
            .cloned();
        let now = Moment::ORIGIN;
        let mut lookup = Lookup::new(*own, target, self.config, seeds, now);
        let (mut asked, mut slow) = (Vec::new(), BTreeSet::new());
        loop {
            match lookup.next(now) {
                Next::Ask(contact) => asked.push(*contact.id()),
                Next::Done => break,
                Next::Waiting => {
                    let chosen = self.below(asked.len());
                    let id = asked[chosen];
                    let is_dead = self.dead.contains(&id);
                    if !slow.contains(&id) && (is_dead || self.rng.next_u32() % 100 < slow_percent)
                    {
                        assert_eq!(lookup.on_slow(&id, now), Noted::Accepted);
                        slow.insert(id);
                        continue;
                    }
                    asked.swap_remove(chosen);
                    let is_late = slow.remove(&id);
                    let noted = if is_dead {
                        lookup.on_failure(&id, now)
                    } else {
                        let known = self.tables[&id].closest(&target, K);
                        lookup.on_answer(&id, known.into_iter().cloned(), now)
                    };
                    let expected = if is_late {
                        Noted::Late
                    } else {
                        Noted::Accepted
                    };
                    assert_eq!(noted, expected);
                }
            }
        }
        (lookup, slow)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % limit
    }
}

fn contact(rng: &mut ChaCha8Rng) -> Contact {
    loop {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes[31] &= 0x7f;
        if let Ok(key) = NodeKey::new(bytes) {
            return Contact::at(key, ([192, 0, 2, 1], 4001).into(), true);
        }
    }
}

#[test]
fn every_lookup_finds_the_nearest_nodes() {
    let mut network = Network::new(500, 1);
    let (mut hops, mut queries) = (0, 0);
    for _ in 0..300 {
        let target = network.random_key();
        let own = *network.contacts[0].id();
        network.contacts.rotate_left(1);
        let (lookup, late) = network.run(&own, target, 0);
        hops = hops.max(lookup.hops());
        queries = queries.max(lookup.queries());
        assert!(late.is_empty());
        let others = network
            .contacts
            .iter()
            .filter(|contact| *contact.id() != own);
        let nearest: Vec<Contact> = closest(others, &target, K).into_iter().cloned().collect();
        assert_eq!(lookup.into_closest(), nearest);
    }
    assert!(hops <= 4, "{hops} hops in a network of 500");
    assert!(queries <= 40, "{queries} requests in a network of 500");
}

#[test]
fn several_paths_find_the_same_nodes() {
    let mut network = Network::new(500, 4);
    for paths in [2, 4, 8] {
        network.config.paths = paths;
        let mut queries = 0;
        for _ in 0..100 {
            let target = network.random_key();
            let own = *network.contacts[0].id();
            network.contacts.rotate_left(1);
            let (lookup, _) = network.run(&own, target, 0);
            let others = network.contacts.iter();
            let others = others.filter(|contact| *contact.id() != own);
            let nearest: Vec<Contact> = closest(others, &target, K).into_iter().cloned().collect();
            queries += lookup.queries();
            assert_eq!(lookup.into_closest(), nearest);
        }
        println!("{paths} paths: {:.1} requests", f64::from(queries) / 100.0);
    }
}

/// The tables still name the dead, so nobody names more than the k nearest nodes, dead ones
/// included: those among them that live are found, farther ones fill up the k.
#[test]
fn a_third_of_the_network_may_be_dead_and_a_fifth_of_the_rest_slow() {
    let mut network = Network::new(500, 2);
    network.kill(166);
    for slow_percent in [0, 20] {
        for _ in 0..300 {
            let target = network.random_key();
            let own = *network.contacts[499].id();
            let (lookup, late) = network.run(&own, target, slow_percent);
            let found = lookup.into_closest();
            assert_eq!(found.len(), K);
            for contact in closest(&network.contacts, &target, K) {
                let id = contact.id();
                let is_out = network.dead.contains(id) || late.contains(id) || id == &own;
                assert_eq!(found.contains(contact), !is_out, "{contact:?}");
            }
        }
    }
}

#[test]
fn nodes_find_each_other_but_never_themselves() {
    let mut network = Network::new(60, 3);
    for other in network.contacts.clone() {
        let own = *network.contacts[7].id();
        let (lookup, _) = network.run(&own, *other.id().key(), 0);
        let found = lookup.into_closest();
        assert_eq!(found.len(), K);
        assert_eq!(found.contains(&other), other.id() != &own);
    }
}
