//! Nodes behind a NAT, and how a network finds out who is reached.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use qadom_engine::Reachability;
use qadom_sim::{Mode, Network, NodeIndex, Settings, with_seed};

/// A network of 40 nodes, one of them behind a NAT that lets only those in that it has called.
fn network(seed: u64, is_local: bool) -> (Network, NodeIndex) {
    let settings = Settings {
        nodes: 40,
        seed,
        configure: if is_local {
            |config| config.local = true
        } else {
            |_| {}
        },
        ..Settings::default()
    };
    let mut network = Network::new(settings);
    let hidden = NodeIndex::from(23);
    network.put_behind_nat(hidden);
    network.join_all().unwrap();
    (network, hidden)
}

fn tables_with(network: &Network, node: NodeIndex) -> usize {
    let id = network.id(node).unwrap();
    let others = network.living().filter(|&other| other != node);
    others
        .filter(|&other| network.engine(other).unwrap().contact(&id).is_some())
        .count()
}

#[test]
fn a_node_that_can_only_call_out_reads_and_writes() {
    with_seed(31, |seed| {
        for is_local in [false, true] {
            let (mut network, hidden) = network(seed, is_local);
            let written = network.put(hidden, "from inside").unwrap();
            assert!(written.stored >= 19, "{written:?}");
            let reader = NodeIndex::from(7);
            assert_eq!(
                network.get(reader, written.key).unwrap().value,
                "from inside"
            );
            let outside = network.put(reader, "from outside").unwrap();
            // Long after its first calls, when the NAT has forgotten them.
            network.run_for(Duration::from_mins(30));
            let fetched = network.get(hidden, outside.key).unwrap();
            assert_eq!(fetched.value, "from outside");
            let again = network.put(hidden, "from inside again").unwrap();
            assert!(again.stored >= 19, "{again:?}");
        }
    });
}

#[test]
fn a_node_that_nobody_reaches_becomes_a_client_and_the_others_stay() {
    with_seed(32, |seed| {
        let (mut network, hidden) = network(seed, false);
        network.run_for(Duration::from_hours(2));
        let found: Vec<_> = network
            .living()
            .map(|node| {
                let status = network.engine(node).unwrap().status();
                (node, status.reachability, status.mode)
            })
            .collect();
        for (node, reachability, mode) in found {
            if node == hidden {
                assert_eq!(reachability, Reachability::Unreachable);
                assert_eq!(mode, Mode::Client);
            } else {
                assert_ne!(reachability, Reachability::Unreachable, "{node}");
                assert_eq!(mode, Mode::Storing, "{node}");
            }
        }
        // Who is not in the node's own table was not told, and forgets it when it calls it in vain.
        let left = tables_with(&network, hidden);
        assert!(left <= 3, "{left} tables still name it");
    });
}

#[test]
fn in_local_mode_everybody_is_found_reachable_without_waiting() {
    with_seed(33, |seed| {
        let settings = Settings {
            nodes: 12,
            seed,
            configure: |config| config.local = true,
            ..Settings::default()
        };
        let mut network = Network::new(settings);
        network.join_all().unwrap();
        network.run_for(Duration::from_mins(5));
        for node in network.living() {
            let status = network.engine(node).unwrap().status();
            assert_eq!(status.reachability, Reachability::Reachable, "{node}");
        }
    });
}
