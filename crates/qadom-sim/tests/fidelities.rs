//! The fidelities beside each other: where two of them can run the same thing, they agree.
//!
//! Every view also runs once over the real transport with real cryptography.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::time::Duration;

use qadom_sim::{
    Fidelity, Key, Kind, Network, NodeIndex, Population, Settings, Since, WatchEvent, WatchSlot,
    WideArea, with_seed,
};

/// Lookups of each fidelity.
const LOOKUPS: u32 = 60;

fn settings(nodes: usize, seed: u64, fidelity: Fidelity) -> Settings {
    Settings {
        nodes,
        seed,
        fidelity,
        wide_area: Some(WideArea::default()),
        ..Settings::default()
    }
}

fn joined(settings: Settings) -> Network {
    let mut network = Network::new(settings);
    network.join_all().unwrap();
    network.run_for(Duration::from_mins(2));
    network
}

/// Means over lookups of random keys: requests, hops, milliseconds.
fn means(network: &mut Network) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for _ in 0..LOOKUPS {
        let (node, target) = (network.random_node(), network.random_key());
        let report = network.lookup(node, target).unwrap();
        let took = report.took.as_secs_f64() * 1000.0;
        let numbers = [f64::from(report.messages), f64::from(report.hops), took];
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number / f64::from(LOOKUPS);
        }
    }
    sums
}

fn agree(one: [f64; 3], other: [f64; 3], tolerances: [f64; 3]) {
    println!("requests, hops, ms: {one:.2?} and {other:.2?}");
    for ((one, other), tolerance) in one.into_iter().zip(other).zip(tolerances) {
        let ratio = one / other;
        assert!(
            (1.0 - tolerance..=1.0 + tolerance).contains(&ratio),
            "{one} and {other}"
        );
    }
}

#[test]
fn lookups_cost_the_same_in_plain_and_over_the_real_transport() {
    with_seed(31, |seed| {
        let mut plain = joined(settings(60, seed, Fidelity::Plain));
        let mut sealed = joined(settings(60, seed, Fidelity::Sealed));
        agree(means(&mut plain), means(&mut sealed), [0.1, 0.25, 0.35]);
        let ledger = sealed.amplification().unwrap();
        assert!(ledger.replies > 1000, "{ledger:?}");
        assert_eq!(ledger.over, 0);
        assert_eq!(plain.amplification(), None);
    });
}

#[test]
fn lookups_cost_the_same_with_tables_that_were_drawn() {
    with_seed(32, |seed| {
        let mut plain = joined(settings(400, seed, Fidelity::Plain));
        let askers = settings(20, seed, Fidelity::Plain);
        let mut lean = Network::with_population(askers, Population::of(400));
        agree(means(&mut plain), means(&mut lean), [0.15, 0.3, 0.35]);
    });
}

#[test]
fn two_runs_over_the_real_transport_agree() {
    let run = |seed, fidelity| {
        let mut network = joined(settings(15, seed, fidelity));
        let node = network.random_node();
        network.put(node, "twice the same").unwrap();
        network.trace_hash()
    };
    for fidelity in [Fidelity::Sealed, Fidelity::Noise] {
        assert_eq!(run(33, fidelity), run(33, fidelity));
        assert_ne!(run(33, fidelity), run(34, fidelity));
    }
}

/// A small network with real Noise handshakes, on a line that loses a little.
fn noise(seed: u64) -> Network {
    joined(Settings {
        loss: 0.02,
        ..settings(12, seed, Fidelity::Noise)
    })
}

fn end(network: &Network) {
    assert_eq!(network.amplification().unwrap().over, 0);
}

#[test]
fn values_with_real_noise() {
    with_seed(35, |seed| {
        let mut network = noise(seed);
        let (writer, reader) = (NodeIndex::from(1), NodeIndex::from(7));
        // Longer than a first datagram takes, and as long as values get.
        for length in [10, 1500, 8192] {
            let value = vec![7; length];
            let receipt = network.put(writer, value.clone()).unwrap();
            assert_eq!(receipt.stored, 12);
            assert_eq!(network.get(reader, receipt.key).unwrap().value, value);
        }
        network.crash(writer);
        network.restart(writer, qadom_sim::Disk::Kept).unwrap();
        network.join(writer).unwrap();
        end(&network);
    });
}

#[test]
fn bags_names_and_namespaces_with_real_noise() {
    with_seed(36, |seed| {
        let mut network = noise(seed);
        let (writer, node) = (network.add_writer(), NodeIndex::from(2));
        let (reader, key) = (NodeIndex::from(9), network.random_key());
        for item in ["one", "two", "three"] {
            let task = network.start_bag_add((node, writer), key, item);
            network.finish(task).unwrap();
        }
        assert_eq!(network.bag_list(reader, key).unwrap().items.len(), 3);
        let task = network.start_dict_set((node, writer), "name", "cell");
        network.finish(task).unwrap();
        let cell = network.dict_get(reader, "name").unwrap();
        assert_eq!(cell.record.payload(), "cell");
        for version in 1..=3_u64 {
            let task = network.start_namespace_set((node, writer), key, format!("{version}"));
            network.finish(task).unwrap();
            let read = network.namespace_get(reader, (writer, key), true).unwrap();
            assert_eq!(read.record.seq(), version);
        }
        end(&network);
    });
}

#[test]
fn topics_with_real_noise() {
    with_seed(37, |seed| {
        let mut network = noise(seed);
        let (writer, topic) = (network.add_writer(), Key::from_name(b"weather").unwrap());
        let slot = WatchSlot {
            slot: topic,
            kind: Kind::Event,
        };
        let subscription = network.watch(NodeIndex::from(3), slot, Since::Now);
        network.run_for(Duration::from_secs(5));
        for number in 0..10 {
            let by = (NodeIndex::from(8), writer);
            let task = network.start_publish(by, topic, format!("message {number}"));
            network.finish(task).unwrap();
        }
        network.run_for(Duration::from_secs(10));
        let told = network.unwatch(subscription);
        let messages: Vec<_> = told
            .iter()
            .filter_map(|told| match &told.event {
                WatchEvent::Record { record, .. } => Some(record.payload().clone()),
                _ => None,
            })
            .collect();
        let expected: Vec<String> = (0..10).map(|number| format!("message {number}")).collect();
        assert_eq!(messages, expected);
        end(&network);
    });
}
