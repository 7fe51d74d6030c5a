//! Deaths, loss, small networks, time, foreign nodes, failing stores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use qadom_sim::{
    Disk, Failure, Fetched, Key, Mode, Network, NodeIndex, OperationFailure, ReadFrom, Settings,
    Task, with_seed,
};

const HOUR: Duration = Duration::from_hours(1);

fn joined(settings: Settings) -> Network {
    let mut network = Network::new(settings);
    network.join_all().unwrap();
    network
}

fn put_from_random_nodes(network: &mut Network, count: usize) -> Vec<Key> {
    let numbers = 0..count;
    numbers
        .map(|number| {
            let writer = network.random_node();
            network.put(writer, format!("value {number}")).unwrap().key
        })
        .collect()
}

/// Reads each key from a random node that does not hold it itself, if there is one.
fn assert_all_found(network: &mut Network, keys: &[Key]) {
    for (number, key) in keys.iter().enumerate() {
        let holders = network.holders(key);
        let others: Vec<_> = network
            .living()
            .filter(|node| !holders.contains(node))
            .collect();
        let choice = network.random_below(others.len());
        let reader = others
            .get(choice)
            .copied()
            .unwrap_or_else(|| network.random_node());
        match network.get(reader, *key) {
            Ok(fetched) => assert_eq!(fetched.value, format!("value {number}")),
            Err(failure) => {
                panic!("node {reader} did not find value {number} of {holders:?}: {failure}")
            }
        }
    }
    assert_eq!(network.figures().too_long, 0);
}

#[test]
fn an_operation_ends_whose_holders_crash_while_their_answers_travel() {
    with_seed(37, |seed| {
        let mut network = joined(Settings {
            nodes: 20,
            seed,
            ..Settings::default()
        });
        let writer = network.random_node();
        for step in 0..24 {
            let task = network.start_put(writer, format!("value {step}"));
            network.run_for(Duration::from_millis(10) * step);
            let others: Vec<_> = network.living().filter(|node| *node != writer).collect();
            for other in &others {
                network.crash(*other);
            }
            for other in others {
                network.restart(other, Disk::Kept).unwrap();
            }
            let ended = network.finish(task);
            assert!(!matches!(ended, Err(Failure::Stalled { .. })), "{ended:?}");
        }
    });
}

#[test]
fn all_values_are_found_after_a_third_of_the_nodes_died() {
    with_seed(21, |seed| {
        let mut network = joined(Settings {
            nodes: 120,
            seed,
            ..Settings::default()
        });
        let keys = put_from_random_nodes(&mut network, 60);
        for _ in 0..40 {
            let node = network.random_node();
            network.kill(node);
        }
        assert_eq!(network.living().count(), 80);
        assert_all_found(&mut network, &keys);
    });
}

#[test]
fn all_values_are_found_under_loss() {
    with_seed(22, |seed| {
        let mut network = joined(Settings {
            nodes: 100,
            seed,
            loss: 0.05,
            ..Settings::default()
        });
        let keys = put_from_random_nodes(&mut network, 100);
        assert_all_found(&mut network, &keys);
        let figures = network.figures();
        assert!(
            figures.lost * 100 > figures.sent * 4,
            "hardly any loss: {figures:?}"
        );
    });
}

#[test]
fn networks_of_any_size_work() {
    for nodes in [1, 2, 19, 21, 50] {
        with_seed(23, |seed| {
            let mut network = joined(Settings {
                nodes,
                seed,
                ..Settings::default()
            });
            let writer = network.random_node();
            let receipt = network.put(writer, "a value").unwrap();
            // The k closest have it, and whoever else is within the distance where k are expected.
            let copies = nodes.min(20)..=nodes;
            let stored = usize::try_from(receipt.stored).unwrap();
            assert!(copies.contains(&stored), "{nodes} nodes: {receipt:?}");
            assert_eq!(receipt.alone, nodes == 1, "{nodes} nodes: {receipt:?}");
            let closest = network.true_closest(&receipt.key, 20);
            let holders = network.holders(&receipt.key);
            for node in closest {
                assert!(
                    holders.contains(&node),
                    "{nodes} nodes: {node} lacks the value"
                );
            }
            for reader in network.living().collect::<Vec<_>>() {
                let fetched = network.get(reader, receipt.key).unwrap();
                assert_eq!(fetched.value, "a value", "{nodes} nodes, reader {reader}");
            }
        });
    }
}

#[test]
fn values_outlive_their_holders_as_long_as_these_die_gradually() {
    with_seed(24, |seed| {
        let mut network = joined(Settings {
            nodes: 60,
            seed,
            ..Settings::default()
        });
        let keys = put_from_random_nodes(&mut network, 20);
        let first: Vec<NodeIndex> = network.living().collect();
        // Every hour a holder of each of four values dies, one of the first nodes if there is one,
        // and as many nodes come.
        for hour in 0..12 {
            for number in 0..4 {
                let key = keys[(4 * hour + number) % keys.len()];
                let holders = network.holders(&key);
                let old = holders.iter().copied().filter(|node| first.contains(node));
                let mut dying: Vec<_> = old.collect();
                if dying.is_empty() {
                    dying = holders;
                }
                let choice = network.random_below(dying.len());
                network.kill(dying[choice]);
                let newcomer = network.add_node(Mode::Storing);
                network.join(newcomer).unwrap();
            }
            network.run_for(HOUR);
        }
        let left = first
            .iter()
            .filter(|node| network.living().any(|it| it == **node))
            .count();
        println!("{left} of the first {} nodes are left", first.len());
        assert!(left <= 20);
        for key in &keys {
            assert!(
                network.holders(key).len() >= 10,
                "{key}: {:?}",
                network.holders(key)
            );
        }
        assert_all_found(&mut network, &keys);
    });
}

#[test]
fn a_value_that_nobody_renews_is_gone_after_36_hours() {
    with_seed(25, |seed| {
        let mut network = joined(Settings {
            nodes: 30,
            seed,
            ..Settings::default()
        });
        // Its writer would renew it.
        let writer = network.random_node();
        let keys = [network.put(writer, "value 0").unwrap().key];
        network.kill(writer);
        network.run_for(35 * HOUR);
        assert_all_found(&mut network, &keys);
        network.run_for(HOUR + Duration::from_mins(5));
        for node in network.living().collect::<Vec<_>>() {
            let result = network.get(node, keys[0]);
            assert!(
                matches!(
                    result,
                    Err(Failure::Operation(OperationFailure::NotFound { .. }))
                ),
                "node {node}: {result:?}"
            );
            let records = network.engine(node).unwrap().status().records;
            assert_eq!(records, 0, "node {node} keeps what has expired");
        }
    });
}

#[test]
fn clients_read_and_write_and_stand_in_no_table() {
    with_seed(26, |seed| {
        let mut network = joined(Settings {
            nodes: 40,
            seed,
            ..Settings::default()
        });
        let clients: Vec<_> = (0..5).map(|_| network.add_node(Mode::Client)).collect();
        let mut keys = Vec::new();
        for client in &clients {
            network.join(*client).unwrap();
            let receipt = network
                .put(*client, format!("value {}", keys.len()))
                .unwrap();
            assert!(receipt.stored >= 20);
            keys.push(receipt.key);
        }
        for (number, key) in keys.iter().enumerate() {
            let reader = clients[(number + 1) % clients.len()];
            assert_eq!(
                network.get(reader, *key).unwrap().value,
                format!("value {number}")
            );
        }
        network.run_for(2 * HOUR);
        for client in &clients {
            let id = network.id(*client).unwrap();
            let status = network.engine(*client).unwrap().status();
            assert_eq!(status.records, 0);
            assert!(status.peers >= 20);
            for node in network.living() {
                assert!(network.engine(node).unwrap().contact(&id).is_none());
            }
        }
    });
}

#[test]
fn a_node_of_another_network_says_so_and_stays_outside() {
    with_seed(27, |seed| {
        let mut network = joined(Settings {
            nodes: 10,
            seed,
            ..Settings::default()
        });
        let stranger = network.add_stranger("elsewhere");
        let newcomer = network.add_node(Mode::Storing);
        let address = network.address(stranger).unwrap();
        let task = network.start_join_through(newcomer, vec![address]);
        let Err(Failure::Operation(OperationFailure::NotJoined { problems })) =
            network.finish(task)
        else {
            panic!("joined through a stranger");
        };
        let text = format!("{problems:?}");
        assert!(
            text.contains("WrongNetwork") && text.contains("elsewhere"),
            "{text}"
        );
        assert_eq!(network.engine(stranger).unwrap().status().peers, 0);
        assert_eq!(network.engine(newcomer).unwrap().status().peers, 0);
    });
}

#[test]
fn joining_through_the_dead_fails_and_says_so() {
    with_seed(28, |seed| {
        let mut network = joined(Settings {
            nodes: 5,
            seed,
            ..Settings::default()
        });
        let dead = NodeIndex::from(3);
        network.kill(dead);
        let newcomer = network.add_node(Mode::Storing);
        let address = network.address(dead).unwrap();
        let task = network.start_join_through(newcomer, vec![address]);
        let result = network.finish(task);
        let Err(Failure::Operation(OperationFailure::NotJoined { problems })) = result else {
            panic!("joined through the dead: {result:?}");
        };
        assert_eq!(problems.len(), 1);
        assert!(
            matches!(network.get(dead, Key::ZERO), Err(Failure::Dead { node }) if node == dead)
        );
    });
}

#[test]
fn a_put_waits_for_the_commits_of_its_holders() {
    with_seed(29, |seed| {
        // Far longer than a round trip, so that the requests are sent again and again.
        let slow = Duration::from_secs(1);
        let [quick, slowed] = [Duration::ZERO, slow].map(|commit_delay| {
            let delay = Duration::from_micros(400)..=Duration::from_micros(600);
            let settings = Settings {
                nodes: 25,
                seed,
                delay,
                commit_delay,
                ..Settings::default()
            };
            let receipt = joined(settings).put(NodeIndex::from(2), "disks").unwrap();
            assert!(receipt.stored >= 20);
            receipt.took
        });
        assert!(
            slowed > quick + slow * 9 / 10,
            "{quick:?} without delay, {slowed:?} with"
        );
    });
}

#[test]
fn a_long_value_reaches_a_node_that_has_no_session_with_its_holder() {
    with_seed(31, |seed| {
        let mut network = joined(Settings {
            nodes: 50,
            seed,
            ..Settings::default()
        });
        let writer = network.random_node();
        let value = vec![7; 8192];
        let key = network.put(writer, value.clone()).unwrap().key;
        for holder in network.true_closest(&key, 20) {
            let holder = network.contact(holder).unwrap();
            let newcomer = network.add_node(Mode::Storing);
            let task: Task<Fetched> = network.start(newcomer, |engine, now| {
                engine.get(now, key, ReadFrom::Node(Box::new(holder)))
            });
            let fetched = network.finish(task).unwrap();
            // The first answer says only that the value is too long for it.
            assert_eq!((fetched.value.len(), fetched.messages), (value.len(), 2));
        }
        assert_eq!(network.figures().too_long, 0);
    });
}

#[test]
fn a_failed_commit_is_never_acknowledged() {
    with_seed(30, |seed| {
        let settings = Settings {
            nodes: 25,
            seed,
            commit_failure: 1.0,
            ..Settings::default()
        };
        let mut network = joined(settings);
        let client = network.add_node(Mode::Client);
        network.join(client).unwrap();
        let result = network.put(client, "nowhere durable");
        let Err(Failure::Operation(OperationFailure::TooFewCopies { receipt, .. })) = result else {
            panic!("acknowledged without a commit: {result:?}");
        };
        assert_eq!((receipt.stored, receipt.refused.len()), (0, 20));
    });
}
