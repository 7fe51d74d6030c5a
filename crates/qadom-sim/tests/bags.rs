//! Large bags in a network that loses messages.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it cost"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use qadom_sim::{
    Identity, Key, Listed, Network, NodeIndex, ReadFrom, Settings, Task, WriteOptions, Writer,
    Written, with_seed,
};

const BAG: Key = Key::from_bytes([0x42; 32]);

fn writers(network: &mut Network, count: u8) -> Vec<(NodeIndex, Writer)> {
    let seeds = 0..count;
    let writers = seeds.map(|seed| {
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let writer = identity.writer();
        let node = network.random_node();
        network.feed(node, |engine, _| engine.add_identity(identity));
        (node, writer)
    });
    writers.collect()
}

/// Each writer adds this many items; gives how many were taken.
fn add_all(network: &mut Network, writers: &[(NodeIndex, Writer)], each: usize) -> usize {
    let mut taken = 0;
    for number in 0..each {
        let tasks: Vec<Task<Written>> = writers
            .iter()
            .map(|&(node, writer)| {
                let item = format!("item {number} of {writer}").into();
                network.start(node, |engine, now| {
                    engine.bag_add(now, writer, BAG, item, WriteOptions::default())
                })
            })
            .collect();
        for task in tasks {
            network.finish(task).unwrap();
            taken += 1;
        }
    }
    taken
}

fn list(network: &mut Network) -> Listed {
    let reader = network.random_node();
    let task = network.start(reader, |engine, now| {
        engine.bag_list(now, BAG, ReadFrom::Network)
    });
    network.finish(task).unwrap()
}

fn run(seed: u64, nodes: usize, writing: u8, each: usize) {
    let mut network = Network::new(Settings {
        nodes,
        seed,
        loss: 0.05,
        ..Settings::default()
    });
    network.join_all().unwrap();
    network.run_for(Duration::from_mins(1));
    let writers = writers(&mut network, writing);
    let taken = add_all(&mut network, &writers, each);
    for _ in 0..3 {
        let listed = list(&mut network);
        println!(
            "{} items, complete: {}, {} messages, {:?}",
            listed.items.len(),
            listed.complete,
            listed.messages,
            listed.took
        );
        let ids: BTreeSet<Key> = listed.items.iter().map(|item| *item.id()).collect();
        assert_eq!((ids.len(), listed.complete), (taken, true));
    }
}

/// `QADOM_ITEMS=10000 cargo test --release -p qadom-sim --test bags -- --nocapture` lists that many of
/// a hundred writers on 200 nodes.
#[test]
fn a_bag_of_several_writers_is_listed_completely_although_messages_get_lost() {
    let (nodes, writers, each) = match std::env::var("QADOM_ITEMS") {
        Ok(items) => (200, 100, items.parse::<usize>().unwrap().div_ceil(100)),
        Err(_) => (60, 10, 30),
    };
    with_seed(7, |seed| run(seed, nodes, writers, each));
}
