//! What the two hot paths cost: the nearest contacts of a full table, and one step of a lookup.
//!
//! `cargo bench -p qadom-routing`. Each pass of `closest` and of `lookup_step` is one call or one
//! step; inputs are made beforehand and dropped outside of the measured time.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench may panic as a test may"
)]

use divan::{Bencher, black_box};
use qadom_routing::{
    Contact, Key, Lookup, LookupConfig, Moment, Next, NodeKey, Observation, RoutingTable,
    TableConfig, closest,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const K: usize = 20;
const NOW: Moment = Moment::ORIGIN;

fn main() {
    divan::main();
}

fn contact(rng: &mut impl Rng) -> Contact {
    loop {
        let mut bytes = random(rng);
        bytes[31] &= 0x7f;
        if let Ok(key) = NodeKey::new(bytes) {
            return Contact::at(key, ([192, 0, 2, 1], 4001).into(), true);
        }
    }
}

fn random(rng: &mut impl Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// All contacts share one address.
fn local_table() -> TableConfig {
    TableConfig {
        is_local: true,
        ..TableConfig::default()
    }
}

/// A table of at least 400 contacts, as a node of a network of millions has it.
fn full_table() -> RoutingTable {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let own = contact(&mut rng);
    let mut table = RoutingTable::new(*own.id(), local_table());
    let mut contacts = 0;
    while contacts < 400 {
        if table.observe(contact(&mut rng), NOW) == Observation::Inserted {
            contacts += 1;
        }
    }
    table
}

fn targets() -> impl Iterator<Item = Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let targets: Vec<Key> = (0..1024)
        .map(|_| Key::from_bytes(random(&mut rng)))
        .collect();
    targets.into_iter().cycle()
}

/// 20 of the 400 contacts of a full table, by reference.
#[divan::bench]
fn closest_of_table(bencher: Bencher<'_, '_>) {
    let table = full_table();
    let mut targets = targets();
    bencher
        .with_inputs(|| targets.next())
        .bench_local_refs(|target| table.closest(black_box(target.as_ref().unwrap()), K).len());
}

/// 20 of the same 400 contacts without the order of the table.
#[divan::bench]
fn closest_of_any(bencher: Bencher<'_, '_>) {
    let table = full_table();
    let contacts: Vec<Contact> = table.entries().map(|entry| entry.contact.clone()).collect();
    let mut targets = targets();
    bencher
        .with_inputs(|| targets.next())
        .bench_local_refs(|target| {
            closest(&contacts, black_box(target.as_ref().unwrap()), K).len()
        });
}

/// One step in the middle of a lookup: an answer with 20 contacts, then the next node to ask.
#[divan::bench]
fn lookup_step(bencher: Bencher<'_, '_>) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let own = contact(&mut rng);
    let mut answer = || -> Vec<Contact> { (0..K).map(|_| contact(&mut rng)).collect() };
    let config = LookupConfig {
        is_local: true,
        ..LookupConfig::default()
    };
    let mut lookup = Lookup::new(*own.id(), Key::ZERO, config, answer(), NOW);
    let mut asked = Vec::new();
    for _ in 0..3 {
        while let Next::Ask(contact) = lookup.next(NOW) {
            asked.push(*contact.id());
        }
        lookup.on_answer(&asked.remove(0), answer(), NOW);
    }
    bencher
        .with_inputs(|| (lookup.clone(), answer()))
        .bench_local_refs(|(lookup, answer)| {
            lookup.on_answer(&asked[0], core::mem::take(answer), NOW);
            lookup.next(NOW)
        });
}
