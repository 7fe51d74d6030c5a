//! Lookups in networks too large for real tables: ids are drawn once and sorted, and what a node
//! knows is drawn anew, from its id, whenever it is asked. What the bits of a level cost and bring,
//! what a lookup and a get cost, and what disjoint paths do against colluders.
//!
//! `cargo test --release -p qadom-routing --test large_networks -- --nocapture` prints the figures;
//! `QADOM_NODES` (10 000) and `QADOM_LOOKUPS` (100) set the size.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test panic as the test does"
)]

use std::collections::BTreeSet;
use std::ops::Range;

use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, Next, NodeId, NodeKey, closest};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const K: usize = 20;
const NOW: Moment = Moment::ORIGIN;

fn setting(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A network, its nodes by rising id.
struct Network {
    nodes: Vec<(Key, NodeKey)>,
    bits: u32,
    /// Of a hundred nodes.
    colluders: u64,
    /// Whether each colluder names others than the rest of them do.
    names_differ: bool,
}

/// A number that looks random and follows from its parts.
fn mixed(parts: [u64; 3]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for part in parts {
        state = (state ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 32;
    }
    state
}

fn word(key: &Key) -> u64 {
    u64::from_be_bytes(key.as_bytes()[..8].try_into().unwrap())
}

impl Network {
    fn new(size: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut nodes = Vec::with_capacity(size);
        while nodes.len() < size {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes[31] &= 0x7f;
            if let Ok(key) = NodeKey::new(bytes) {
                nodes.push((*key.id().key(), key));
            }
        }
        nodes.sort_unstable_by_key(|(id, _)| *id);
        Self {
            nodes,
            bits: 1,
            colluders: 0,
            names_differ: false,
        }
    }

    fn contact(&self, node: usize) -> Contact {
        Contact::at(self.nodes[node].1, ([192, 0, 2, 1], 4001).into(), true)
    }

    fn index(&self, id: &NodeId) -> usize {
        self.nodes
            .binary_search_by_key(id.key(), |(id, _)| *id)
            .unwrap()
    }

    fn is_colluder(&self, node: usize) -> bool {
        mixed([word(&self.nodes[node].0), 7, 7]) % 100 < self.colluders
    }

    /// The nodes whose ids share the first `bits` bits, at most 64, with this number.
    fn with_prefix(&self, number: u64, bits: u32) -> Range<usize> {
        let free = u64::MAX.checked_shr(bits).unwrap_or(0);
        let (first, last) = (number & !free, number | free);
        let start = self.nodes.partition_point(|(id, _)| word(id) < first);
        let length = self.nodes[start..].partition_point(|(id, _)| word(id) <= last);
        start..start + length
    }

    /// Whom a node has in its table: k of each bucket, or all when there are fewer.
    fn table(&self, node: usize) -> Vec<usize> {
        let own = word(&self.nodes[node].0);
        let mut table = Vec::new();
        for level in 0..64 / self.bits {
            let bits = (level + 1) * self.bits;
            for number in 1..1_u64 << self.bits {
                let prefix = own ^ (number << (64 - bits));
                let all = self.with_prefix(prefix, bits);
                if all.len() <= K {
                    table.extend(all);
                    continue;
                }
                let mut chosen = BTreeSet::new();
                for draw in 0.. {
                    let place = mixed([own, (u64::from(level) << 32) | number, draw]);
                    chosen.insert(all.start + usize::try_from(place).unwrap() % all.len());
                    if chosen.len() == K {
                        break;
                    }
                }
                table.extend(chosen);
            }
            if self.with_prefix(own, bits).len() <= 1 {
                break;
            }
        }
        table
    }

    /// The nodes nearest to a target of those that a filter likes: near it in the order of ids.
    fn nearest(&self, target: &Key, n: usize, is_liked: impl Fn(usize) -> bool) -> Vec<Contact> {
        let mut bits = 64;
        loop {
            let near = self.with_prefix(word(target), bits);
            let liked: Vec<usize> = near.filter(|node| is_liked(*node)).collect();
            if liked.len() >= n || bits == 0 {
                let contacts: Vec<Contact> = liked.iter().map(|node| self.contact(*node)).collect();
                return closest(&contacts, target, n).into_iter().cloned().collect();
            }
            bits -= 1;
        }
    }

    fn answer(&self, node: usize, target: &Key) -> Vec<Contact> {
        if self.is_colluder(node) {
            let others = self.nearest(target, if self.names_differ { 8 * K } else { K }, |other| {
                other != node && self.is_colluder(other)
            });
            let skip = if self.names_differ {
                usize::try_from(mixed([word(&self.nodes[node].0), 3, 3])).unwrap() % (7 * K)
            } else {
                0
            };
            return others.into_iter().skip(skip).take(K).collect();
        }
        self.known(node, target, K)
    }

    fn known(&self, node: usize, target: &Key, n: usize) -> Vec<Contact> {
        let mut table: Vec<(_, usize)> = self
            .table(node)
            .into_iter()
            .map(|other| (self.nodes[other].0.distance(target), other))
            .collect();
        table.sort_unstable();
        let nearest = table.into_iter().take(n);
        nearest.map(|(_, other)| self.contact(other)).collect()
    }

    /// Runs a lookup to its end, or until a node has what is looked for.
    fn run(&self, own: usize, target: Key, paths: usize, has: impl Fn(usize) -> bool) -> Run {
        let config = LookupConfig {
            paths,
            is_local: true,
            ..LookupConfig::default()
        };
        let own_id = NodeId::from(self.nodes[own].0);
        let seeds = self.known(own, &target, 3 * K);
        let mut lookup = Lookup::new(own_id, target, config, seeds, NOW);
        let mut asked = std::collections::VecDeque::new();
        loop {
            match lookup.next(NOW) {
                Next::Ask(contact) => asked.push_back(contact),
                Next::Waiting => {
                    let contact = asked.pop_front().unwrap();
                    let node = self.index(contact.id());
                    lookup.on_answer(contact.id(), self.answer(node, &target), NOW);
                    if !self.is_colluder(node) && has(node) {
                        let hops = lookup.hops_of(contact.id()).unwrap();
                        return Run::new(&lookup, hops, true);
                    }
                }
                Next::Done => return Run::new(&lookup, lookup.hops(), false),
            }
        }
    }
}

/// What a lookup came to.
struct Run {
    closest: Vec<Contact>,
    hops: u32,
    queries: u32,
    is_found: bool,
}

impl Run {
    fn new(lookup: &Lookup, hops: u32, is_found: bool) -> Self {
        Self {
            closest: lookup.clone().into_closest(),
            hops,
            queries: lookup.queries(),
            is_found,
        }
    }
}

fn percentiles(mut figures: Vec<u32>) -> (u32, u32) {
    figures.sort_unstable();
    let at = |percent: usize| figures[(figures.len() - 1) * percent / 100];
    (at(50), at(95))
}

fn random_key(rng: &mut ChaCha8Rng) -> Key {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    Key::from_bytes(bytes)
}

fn below(rng: &mut ChaCha8Rng, end: usize) -> usize {
    usize::try_from(rng.next_u64()).unwrap() % end
}

#[test]
fn more_bits_make_lookups_shorter_and_tables_larger() {
    let (nodes, lookups) = (
        setting("QADOM_NODES", 10_000),
        setting("QADOM_LOOKUPS", 100),
    );
    let mut network = Network::new(nodes, 21);
    let mut sizes = Vec::new();
    for bits in [1, 2, 3, 4] {
        network.bits = bits;
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(bits));
        let (mut hops, mut full, mut get_hops, mut get) = (vec![], vec![], vec![], vec![]);
        let mut contacts = 0;
        for _ in 0..lookups {
            let (own, target) = (below(&mut rng, nodes), random_key(&mut rng));
            contacts += network.table(own).len();
            let run = network.run(own, target, 1, |_| false);
            let nearest = network.nearest(&target, K, |node| node != own);
            assert_eq!(run.closest, nearest, "{bits} bits");
            hops.push(run.hops);
            full.push(run.queries);
            let holders: BTreeSet<usize> = nearest
                .iter()
                .map(|node| network.index(node.id()))
                .collect();
            let run = network.run(own, target, 1, |node| holders.contains(&node));
            assert!(run.is_found);
            get_hops.push(run.hops);
            get.push(run.queries);
        }
        let (hops, full, get) = (percentiles(hops), percentiles(full), percentiles(get));
        let get_hops = percentiles(get_hops);
        let contacts = contacts / lookups;
        println!(
            "{nodes} nodes, {bits} bits: {contacts} contacts; lookup hops p50 {} p95 {}, requests \
             p50 {} p95 {}; get hops p50 {} p95 {}, requests p50 {} p95 {}",
            hops.0, hops.1, full.0, full.1, get_hops.0, get_hops.1, get.0, get.1
        );
        assert!(hops.1 <= 6 && full.1 <= 40);
        sizes.push((contacts, get.1));
    }
    assert!(
        sizes.is_sorted_by(|one, other| one.0 < other.0),
        "{sizes:?}"
    );
    assert!(sizes[3].1 <= sizes[0].1, "{sizes:?}");
}

#[test]
fn disjoint_paths_find_what_colluders_hide() {
    let (nodes, lookups) = (
        setting("QADOM_NODES", 10_000),
        setting("QADOM_LOOKUPS", 100),
    );
    let mut network = Network::new(nodes, 13);
    for (colluders, names_differ) in [(20, false), (20, true), (40, false), (40, true)] {
        network.colluders = colluders;
        network.names_differ = names_differ;
        for paths in [1, 8] {
            let mut rng = ChaCha8Rng::seed_from_u64(colluders);
            let (mut found, mut queries) = (0, vec![]);
            for _ in 0..lookups {
                let (own, target) = (below(&mut rng, nodes), random_key(&mut rng));
                let holders = network.nearest(&target, K, |node| node != own);
                let holders: BTreeSet<usize> = holders
                    .iter()
                    .map(|node| network.index(node.id()))
                    .collect();
                let run = network.run(own, target, paths, |node| holders.contains(&node));
                found += usize::from(run.is_found);
                queries.push(run.queries);
            }
            let (middle, high) = percentiles(queries);
            println!(
                "{nodes} nodes, {colluders} % colluders ({}), {paths} paths: {found} of {lookups} \
                 found, requests p50 {middle} p95 {high}",
                if names_differ {
                    "each names others"
                } else {
                    "all name the same"
                }
            );
            let least = match (colluders, paths) {
                (20, 8) => 99,
                (40, 8) => 85,
                _ => 0,
            };
            assert!(found * 100 >= least * lookups, "{found} of {lookups}");
        }
    }
}
