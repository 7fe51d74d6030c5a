//! Networks of millions of nodes of which only those exist that somebody asks.
//!
//! A node is a number; its key follows from the number, its id from the key, and all ids are kept
//! sorted, in 12 bytes a node. What a node's routing table would hold is drawn from the sorted ids by
//! a generator that is seeded with the node's number: it is the same whenever it is drawn.
//!
//! What must stay true: everything follows from the seed and the numbers. What is drawn here is only
//! who is known to whom; what nodes do with it is the business of real engines, see
//! `network/lean.rs`.

use std::net::{Ipv4Addr, SocketAddr};

use qadom_routing::{Contact, Key, NodeKey};
use qadom_wire::K;

use crate::network::Adversary;

/// The UDP port of every node.
const PORT: u16 = 4242;
/// The nodes' addresses: this and 24 bits more.
const ADDRESS_BASE: u32 = 0x1e00_0000;
/// Nodes at most: each has an address of 24 bits.
pub(crate) const NODES_MOST: u32 = 1 << 24;
/// An odd factor maps the 24 bits of a number one to one onto those of an address, and its inverse
/// maps them back.
const SPREAD: u32 = 0x009e_3779;
/// Bits of an id that are kept.
const BITS: u32 = u64::BITS;

/// A population of nodes that exist when they are asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// Nodes, 1 to 2^24.
    pub nodes: u32,
    /// The share of them that is dead, and not yet noticed by anybody (0).
    pub dead: f64,
    /// What a share of them does instead of what it should (none).
    pub adversaries: Option<(Adversary, f64)>,
}

impl Population {
    /// This many honest and living nodes.
    pub const fn of(nodes: u32) -> Self {
        Self {
            nodes,
            dead: 0.0,
            adversaries: None,
        }
    }
}

/// All nodes of a population, by their ids.
#[derive(Debug)]
pub(crate) struct Lean {
    seed: u64,
    population: Population,
    /// The first bits of all ids, ascending.
    prefixes: Vec<u64>,
    /// The nodes in the same order.
    numbers: Vec<u32>,
}

impl Lean {
    pub(crate) fn new(population: Population, seed: u64) -> Self {
        let nodes = population.nodes.clamp(1, NODES_MOST);
        let population = Population {
            nodes,
            ..population
        };
        let mut sorted: Vec<(u64, u32)> = (0..nodes)
            .map(|number| (prefix(key_of(seed, number).id().key()), number))
            .collect();
        sorted.sort_unstable();
        let (prefixes, numbers) = sorted.into_iter().unzip();
        Self {
            seed,
            population,
            prefixes,
            numbers,
        }
    }

    pub(crate) const fn nodes(&self) -> u32 {
        self.population.nodes
    }

    pub(crate) fn key(&self, number: u32) -> NodeKey {
        key_of(self.seed, number)
    }

    /// The living node at an address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<u32> {
        let SocketAddr::V4(v4) = address else {
            return None;
        };
        let bits = v4.ip().to_bits();
        let number = (bits & 0x00ff_ffff).wrapping_mul(inverse()) & 0x00ff_ffff;
        let is_here = bits & 0xff00_0000 == ADDRESS_BASE && v4.port() == PORT;
        (is_here && number < self.nodes() && !self.is_dead(number)).then_some(number)
    }

    pub(crate) fn is_dead(&self, number: u32) -> bool {
        self.fraction(number, 1) < self.population.dead
    }

    /// What a node does instead of what it should.
    pub(crate) fn adversary(&self, number: u32) -> Option<Adversary> {
        let (kind, share) = self.population.adversaries?;
        (self.fraction(number, 2) < share).then_some(kind)
    }

    pub(crate) fn contact(&self, number: u32) -> Contact {
        Contact::at(self.key(number), address_of(number), true)
    }

    /// Whom a node has in its routing table: of every bucket k that are drawn, and all of its own
    /// neighbourhood.
    pub(crate) fn table(&self, number: u32) -> Vec<u32> {
        let own = prefix(self.key(number).id().key());
        let mut draws = Draws(self.mixed(number, 3));
        let mut table = Vec::new();
        let mut whole = 0..self.prefixes.len();
        for bit in 0..BITS {
            let (same, other) = self.halves(whole, own, bit);
            // The whole neighbourhood of the own id is kept, in buckets of twice the size.
            let room = if same.len() <= K { 2 * K } else { K };
            table.extend(
                draws
                    .some(other, room)
                    .filter_map(|place| self.numbers.get(place)),
            );
            if same.len() <= 1 {
                break;
            }
            whole = same;
        }
        table
    }

    /// The living nodes nearest to a point that are wanted, nearest first.
    pub(crate) fn nearest(
        &self,
        target: &Key,
        count: usize,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let point = prefix(target);
        let mut whole = 0..self.prefixes.len();
        let mut enclosing = vec![whole.clone()];
        for bit in 0..BITS {
            let (same, _) = self.halves(whole, point, bit);
            if same.len() < count {
                break;
            }
            enclosing.push(same.clone());
            whole = same;
        }
        // From the smallest range on, until enough of it are wanted.
        for range in enclosing.into_iter().rev() {
            let is_last = range.len() == self.prefixes.len();
            let numbers = self.numbers.get(range.clone()).unwrap_or_default();
            let prefixes = self.prefixes.get(range).unwrap_or_default();
            let mut found: Vec<(u64, u32)> = prefixes
                .iter()
                .zip(numbers)
                .filter(|(_, number)| !self.is_dead(**number) && is_wanted(**number))
                .map(|(prefix, number)| (prefix ^ point, *number))
                .collect();
            if found.len() >= count || is_last {
                found.sort_unstable();
                found.truncate(count);
                return found.into_iter().map(|(_, number)| number).collect();
            }
        }
        Vec::new()
    }

    /// A range of ids that agree up to a bit, parted by that bit: those that have it as a point does,
    /// and the others.
    fn halves(
        &self,
        range: std::ops::Range<usize>,
        point: u64,
        bit: u32,
    ) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let mask = 1 << (BITS - 1 - bit);
        let prefixes = self.prefixes.get(range.clone()).unwrap_or_default();
        let middle = range.start + prefixes.partition_point(|prefix| prefix & mask == 0);
        let (low, high) = (range.start..middle, middle..range.end);
        if point & mask == 0 {
            (low, high)
        } else {
            (high, low)
        }
    }

    fn mixed(&self, number: u32, purpose: u64) -> u64 {
        mix(self.seed ^ mix(u64::from(number) << 8 | purpose))
    }

    /// A number from 0 to below 1 that a node has for a purpose.
    fn fraction(&self, number: u32, purpose: u64) -> f64 {
        let top = u32::try_from(self.mixed(number, purpose) >> 32).unwrap_or(0);
        f64::from(top) / 4_294_967_296.0
    }
}

/// Draws places out of ranges, seeded.
struct Draws(u64);

impl Draws {
    /// Up to `count` different places of a range.
    fn some(
        &mut self,
        range: std::ops::Range<usize>,
        count: usize,
    ) -> impl Iterator<Item = usize> + use<> {
        let mut places: Vec<usize> = Vec::with_capacity(count);
        if range.len() <= count {
            places.extend(range);
            return places.into_iter();
        }
        while places.len() < count {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let scaled = (u128::from(mix(self.0)) * range.len() as u128) >> 64;
            let place = range.start + usize::try_from(scaled).unwrap_or(0);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.into_iter()
    }
}

/// The key of a node: its number, a mark of the seed, and a last byte that makes it a node key.
fn key_of(seed: u64, number: u32) -> NodeKey {
    let mut mark = mix(seed);
    loop {
        let mut bytes = [0x20; 32];
        let (head, _) = bytes.split_at_mut(12);
        head.iter_mut()
            .zip(number.to_le_bytes().into_iter().chain(mark.to_le_bytes()))
            .for_each(|(place, byte)| *place = byte);
        match NodeKey::new(bytes) {
            Ok(key) => return key,
            // One of the few points of small order; another mark gives another key.
            Err(_) => mark = mix(mark.wrapping_add(1)),
        }
    }
}

fn address_of(number: u32) -> SocketAddr {
    let bits = number.wrapping_mul(SPREAD) & 0x00ff_ffff;
    SocketAddr::from((Ipv4Addr::from_bits(ADDRESS_BASE | bits), PORT))
}

/// The inverse of the factor that spreads numbers over addresses, by Newton's steps.
const fn inverse() -> u32 {
    let mut inverse = SPREAD;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(SPREAD.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

/// The first bits of a key.
fn prefix(key: &Key) -> u64 {
    key.as_bytes()
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first))
}

/// The mixing steps of `SplitMix64`.
const fn mix(mut number: u64) -> u64 {
    number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lean(nodes: u32) -> Lean {
        Lean::new(Population::of(nodes), 7)
    }

    #[test]
    fn addresses_lead_back_to_their_nodes() {
        let lean = lean(1000);
        for number in [0, 1, 999] {
            assert_eq!(lean.at(address_of(number)), Some(number));
        }
        assert_eq!(lean.at(address_of(1000)), None);
        assert_eq!(lean.at(([192, 0, 2, 1], PORT).into()), None);
        assert_eq!(lean.at(address_of(NODES_MOST - 1)), None);
    }

    #[test]
    fn the_nearest_are_those_that_a_search_through_all_finds() {
        let lean = lean(3000);
        for target in [Key::ZERO, Key::MAX, *lean.key(5).id().key()] {
            let mut all: Vec<u32> = (0..3000).filter(|number| number % 3 == 0).collect();
            all.sort_by_key(|number| lean.key(*number).id().key().distance(&target));
            all.truncate(20);
            assert_eq!(lean.nearest(&target, 20, |number| number % 3 == 0), all);
        }
    }

    #[test]
    fn a_table_has_the_whole_neighbourhood_and_k_of_every_bucket() {
        let lean = lean(20_000);
        for number in [3, 17_000] {
            let own = *lean.key(number).id().key();
            let table = lean.table(number);
            assert_eq!(table, lean.table(number));
            let nearest = lean.nearest(&own, 21, |_| true);
            for near in nearest.iter().filter(|near| **near != number) {
                assert!(table.contains(near));
            }
            let of_bucket = |bucket| {
                let shared =
                    |other: &&u32| lean.key(**other).id().key().distance(&own).shared_bits();
                table.iter().filter(|other| shared(other) == bucket).count()
            };
            assert_eq!((of_bucket(0), of_bucket(5)), (20, 20));
            assert!(!table.contains(&number));
        }
    }

    #[test]
    fn shares_are_kept() {
        let lean = Lean::new(
            Population {
                nodes: 10_000,
                dead: 0.3,
                adversaries: Some((Adversary::Drop, 0.2)),
            },
            1,
        );
        let dead = (0..10_000).filter(|number| lean.is_dead(*number)).count();
        let bad = (0..10_000).filter(|number| lean.adversary(*number).is_some());
        assert!((2850..3150).contains(&dead), "{dead}");
        assert!((1850..2150).contains(&bad.count()));
    }
}
