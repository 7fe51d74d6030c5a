//! Surveys of random networks whose lookups are perfect.

use proptest::prelude::*;
use qadom_routing::{NodeKey, closest};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;
use crate::publications::schedule::region_bits;

fn network(nodes: usize, rng: &mut ChaCha8Rng) -> Vec<Contact> {
    let mut contacts = Vec::new();
    while contacts.len() < nodes {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let key = NodeKey::new(key);
        let address = ([10, 0, 0, 1], 7236).into();
        contacts.extend(key.ok().map(|key| Contact::at(key, address, true)));
    }
    contacts
}

fn key(rng: &mut ChaCha8Rng) -> Key {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    Key::from_bytes(bytes)
}

/// Runs a survey to its end and counts its lookups.
fn run(survey: &mut Survey, network: &[Contact], rng: &mut ChaCha8Rng) -> usize {
    let mut lookups = 0;
    while let Some(target) = survey.next_target(rng) {
        lookups += 1;
        let found = closest(network, &target, K);
        survey.on_found(found.into_iter().cloned().collect());
    }
    lookups
}

fn check(survey: &Survey, network: &[Contact], slots: &[Key]) {
    for slot in slots {
        let ids = |nodes: Vec<&Contact>| nodes.iter().map(|node| *node.id()).collect::<Vec<_>>();
        assert_eq!(ids(survey.nearest(slot, K)), ids(closest(network, slot, K)));
    }
}

/// Slots that share bits with the first of them.
fn slots(count: usize, bits: u32, rng: &mut ChaCha8Rng) -> Vec<Key> {
    let prefix = Prefix {
        key: key(rng),
        bits,
    };
    (0..count).map(|_| prefix.random(rng)).collect()
}

proptest! {
    #[test]
    fn the_true_holders_of_every_slot_are_found(
        seed: u64,
        nodes in 0_usize..400,
        bits in 0_u32..8,
        count in 1_usize..30,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let network = network(nodes, &mut rng);
        let slots = slots(count, bits, &mut rng);
        let mut survey = Survey::new(&slots, bits);
        run(&mut survey, &network, &mut rng);
        check(&survey, &network, &slots);
    }
}

#[test]
fn a_region_of_a_thousand_nodes_takes_a_few_lookups() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut lookups = 0;
    for _ in 0..20 {
        let network = network(1000, &mut rng);
        let bits = region_bits(1000.0);
        let slots = slots(100, bits, &mut rng);
        let mut survey = Survey::new(&slots, bits);
        lookups += run(&mut survey, &network, &mut rng);
        check(&survey, &network, &slots);
    }
    assert!(lookups <= 20 * 8, "{lookups} lookups for 20 regions");
}

#[test]
fn few_slots_are_looked_up_themselves() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let network = network(1000, &mut rng);
    for count in [SINGLE_MAX - 1, SINGLE_MAX] {
        let slots = slots(count, 0, &mut rng);
        let mut survey = Survey::new(&slots, 0);
        assert_eq!(run(&mut survey, &network, &mut rng), count);
        check(&survey, &network, &slots);
    }
}
