//! What a full node pays to take one record more, in time and in memory.
//!
//! `cargo bench -p qadom-store --bench eviction`. Each pass of `replace_*` is one put and one
//! eviction on a store in memory that holds its quota of 250 000 records; the one pass of `fill_*`
//! makes such a store, and its allocations over 250 000 are what a record takes in memory beside
//! its bytes, which are none here.

#![expect(clippy::unwrap_used, reason = "a bench may panic as a test may")]

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use qadom_routing::Key;
use qadom_store::{Class, Columns, Container, Entry, EntryId, MemoryStore, Needed, Scope, Store};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const RECORDS: usize = 250_000;
/// The most items that a bag may have.
const BAG: usize = 16_384;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The records that a node holds.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Values that 1000 networks brought.
    Values,
    /// Values of which each came from another network.
    ScatteredValues,
    /// Full bags, of 300 writers each, from 1000 networks.
    Bags,
    /// Full bags in which each item has another writer, from another network.
    ScatteredBags,
}

use Shape::{Bags, ScatteredBags, ScatteredValues, Values};

/// Makes one entry after the other.
struct Entries {
    shape: Shape,
    chance: ChaCha8Rng,
    made: usize,
}

impl Entries {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            chance: ChaCha8Rng::seed_from_u64(1),
            made: 0,
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.chance.fill_bytes(&mut bytes);
        bytes
    }

    /// One of this many, as bytes.
    fn one_of<const N: usize>(&mut self, count: u64) -> [u8; N] {
        let number = self.chance.next_u64() % count;
        let mut bytes = [0; N];
        for (byte, part) in bytes.iter_mut().zip(number.to_le_bytes()) {
            *byte = part;
        }
        bytes
    }

    fn bag(number: usize) -> Key {
        Key::from_bytes([u8::try_from(number % 256).unwrap(); 32])
    }

    fn next(&mut self) -> Entry {
        let bag = Self::bag(self.made / BAG);
        self.made += 1;
        let item = [&[1], self.random::<32>().as_slice()].concat();
        let (slot, id, group, owner) = match self.shape {
            Values => (
                Key::from_bytes(self.random()),
                vec![0],
                self.one_of(1000),
                [0; 32],
            ),
            ScatteredValues => (
                Key::from_bytes(self.random()),
                vec![0],
                self.random(),
                [0; 32],
            ),
            Bags => (bag, item, self.one_of(1000), self.one_of(300)),
            ScatteredBags => (bag, item, self.random(), self.random()),
        };
        Entry {
            slot,
            id: EntryId::new(&id).unwrap(),
            bytes: Bytes::new(),
            columns: Columns {
                expires_at: self.chance.next_u64() % 600_000,
                charge: 512 + u32::try_from(self.chance.next_u64() % 1024).unwrap(),
                group,
                owner,
                rank: self.chance.next_u64() % 64,
                class: Class::Record,
            },
        }
    }

    fn fill(&mut self) -> MemoryStore {
        let store = MemoryStore::new();
        for _ in 0..RECORDS {
            store.put(self.next()).unwrap();
        }
        store
    }
}

const ONE: Needed = Needed {
    charge: 0,
    records: 1,
};

#[divan::bench(args = [Values, ScatteredValues, Bags, ScatteredBags], sample_count = 1, sample_size = 1)]
fn fill(bencher: Bencher, shape: Shape) {
    bencher.bench_local(|| Entries::new(shape).fill());
}

#[divan::bench(args = [Values, ScatteredValues, Bags, ScatteredBags], sample_count = 2000, sample_size = 8)]
fn replace_in_all(bencher: Bencher, shape: Shape) {
    let mut entries = Entries::new(shape);
    let store = entries.fill();
    bencher
        .with_inputs(|| entries.next())
        .bench_local_values(|entry| {
            store.put(entry).unwrap();
            assert_eq!(store.evict(Scope::All, ONE, &[]).unwrap().len(), 1);
        });
}

#[divan::bench(args = [Bags, ScatteredBags], sample_count = 2000, sample_size = 8)]
fn replace_in_a_full_bag(bencher: Bencher, shape: Shape) {
    let mut entries = Entries::new(shape);
    let store = entries.fill();
    let slot = Entries::bag(3);
    let scope = Scope::Container(Container { slot, first: 1 });
    bencher
        .with_inputs(|| Entry {
            slot,
            ..entries.next()
        })
        .bench_local_values(|entry| {
            store.put(entry).unwrap();
            assert_eq!(store.evict(scope, ONE, &[]).unwrap().len(), 1);
        });
}

/// A dict at its cap of 64 cells, whose lists are kept, and a container of 32, for which they are
/// made each time.
#[divan::bench(args = [32, 64], sample_count = 2000, sample_size = 8)]
fn replace_in_a_small_container(bencher: Bencher, cells: usize) {
    let mut entries = Entries::new(ScatteredBags);
    let store = entries.fill();
    let slot = Key::MAX;
    for _ in 0..cells - 1 {
        store
            .put(Entry {
                slot,
                ..entries.next()
            })
            .unwrap();
    }
    let scope = Scope::Container(Container { slot, first: 1 });
    bencher
        .with_inputs(|| Entry {
            slot,
            ..entries.next()
        })
        .bench_local_values(|entry| {
            store.put(entry).unwrap();
            assert_eq!(store.evict(scope, ONE, &[]).unwrap().len(), 1);
        });
}
