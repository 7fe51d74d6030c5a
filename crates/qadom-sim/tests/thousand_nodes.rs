//! A network of a thousand nodes: every value is found, lookups find the true closest nodes, and
//! the paths are short.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use qadom_sim::{Network, NodeId, NodeIndex, Receipt, Settings, Task, with_seed};

const NODES: usize = 1000;
const VALUES: usize = 200;
const K: usize = 20;

#[test]
fn a_thousand_nodes_keep_and_find_two_hundred_values() {
    with_seed(1000, |seed| {
        let mut network = Network::new(Settings {
            nodes: NODES,
            seed,
            ..Settings::default()
        });
        network.join_all().unwrap();
        network.run_for(Duration::from_mins(1));
        let joined = network.figures();
        println!("joined: {joined:?}");

        let receipts = put_all(&mut network);
        for (writer, receipt) in &receipts {
            assert!(
                receipt.stored >= 20,
                "the put of node {writer}: {receipt:?}"
            );
        }
        get_all(&mut network, &receipts);
        let exact = exact_lookups(&mut network);
        println!("{exact} of {VALUES} lookups found the true {K} closest nodes");
        assert!(
            exact * 100 >= VALUES * 99,
            "{exact} of {VALUES} lookups were exact"
        );

        let figures = network.figures();
        println!("all: {figures:?}");
        println!(
            "{} messages after the joins",
            figures.messages - joined.messages
        );
        assert_eq!(figures.too_long, 0);
        assert!(
            figures.hops.percentile(50).unwrap() <= 3,
            "{:?}",
            figures.hops
        );
    });
}

fn put_all(network: &mut Network) -> Vec<(NodeIndex, Receipt)> {
    let tasks: Vec<(NodeIndex, Task<Receipt>)> = (0..VALUES)
        .map(|number| {
            let writer = network.random_node();
            (writer, network.start_put(writer, format!("value {number}")))
        })
        .collect();
    network.run_until_idle().unwrap();
    let finish = |(writer, task)| (writer, network.finish(task).unwrap());
    tasks.into_iter().map(finish).collect()
}

fn get_all(network: &mut Network, receipts: &[(NodeIndex, Receipt)]) {
    let mut tasks = Vec::new();
    for (number, (writer, receipt)) in receipts.iter().enumerate() {
        let mut reader = network.random_node();
        while reader == *writer {
            reader = network.random_node();
        }
        tasks.push((number, reader, network.start_get(reader, receipt.key)));
    }
    for (number, reader, task) in tasks {
        match network.finish(task) {
            Ok(fetched) => assert_eq!(fetched.value, format!("value {number}")),
            Err(failure) => panic!("node {reader} did not find value {number}: {failure}"),
        }
    }
}

fn exact_lookups(network: &mut Network) -> usize {
    let mut exact = 0;
    for _ in 0..VALUES {
        let (asker, target) = (network.random_node(), network.random_key());
        let found = network.lookup(asker, target).unwrap().closest;
        let found: BTreeSet<_> = found.iter().map(|contact| *contact.id().key()).collect();
        let others = network.true_closest(&target, K + 1);
        let others = others.into_iter().filter(|node| *node != asker).take(K);
        let ids = others.filter_map(|node| network.id(node));
        exact += usize::from(found == ids.map(|id: NodeId| *id.key()).collect());
    }
    exact
}
