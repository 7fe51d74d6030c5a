//! The same seed gives the same run, message by message; another seed gives another one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use qadom_sim::{Network, Settings, TraceHash, with_seed};

/// Joins, puts, deaths and gets under loss, and an hour of upkeep.
fn run(seed: u64) -> (TraceHash, u64) {
    let mut network = Network::new(Settings {
        nodes: 60,
        seed,
        loss: 0.05,
        ..Settings::default()
    });
    network.join_all().unwrap();
    let mut keys = Vec::new();
    for number in 0..20 {
        let writer = network.random_node();
        keys.push(network.put(writer, format!("value {number}")).unwrap().key);
    }
    for _ in 0..10 {
        let node = network.random_node();
        network.kill(node);
    }
    for key in keys {
        let reader = network.random_node();
        network.get(reader, key).unwrap();
    }
    network.run_for(Duration::from_mins(90));
    (network.trace_hash(), network.figures().messages)
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    with_seed(11, |seed| {
        let first = run(seed);
        assert!(
            first.1 > 10_000,
            "too little happened: {} messages",
            first.1
        );
        assert_eq!(first, run(seed));
        assert_ne!(first.0, run(seed + 1).0);
    });
}
