//! Bags at their limits: many items from many writers, and a flood (goal 27 of the threat model).
//!
//! The suite runs small ones. The full ones are
//!
//! ```sh
//! QADOM_ITEMS=10000 cargo test --release -p qadom-sim --test views bags::a_bag_of_many -- --nocapture
//! QADOM_FLOOD=20000 cargo test --release -p qadom-sim --test views bags::honest -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use qadom_sim::{Failure, Network, NodeIndex, OperationFailure, Settings, Writer, with_seed};

use crate::{joined, variable};

/// Writes under way at once.
const AT_ONCE: usize = 50;

#[test]
fn a_bag_of_many_items_from_a_hundred_writers_reads_back_complete() {
    let items = variable("QADOM_ITEMS", 1000);
    with_seed(49, |seed| {
        let mut network = joined(Settings {
            nodes: 40,
            seed,
            ..Settings::default()
        });
        let writers: Vec<Writer> = (0..100).map(|_| network.add_writer()).collect();
        let bag = network.random_key();
        let numbers: Vec<usize> = (0..items).collect();
        for numbers in numbers.chunks(AT_ONCE) {
            let tasks: Vec<_> = numbers
                .iter()
                .map(|number| {
                    let by = (NodeIndex::from(number % 40), writers[number % 100]);
                    network.start_bag_add(by, bag, format!("item {number}"))
                })
                .collect();
            for task in tasks {
                network.finish(task).unwrap();
            }
        }
        let reader = network.add_node(qadom_sim::Mode::Client);
        network.join(reader).unwrap();
        let before = network.figures();
        let listed = network.bag_list(reader, bag).unwrap();
        let after = network.figures();
        let shown: BTreeSet<&Bytes> = listed.items.iter().map(|item| item.payload()).collect();
        println!(
            "a bag of {items} items from 100 writers: {} read, complete {}, {} requests, {} bytes, \
             {:?}",
            shown.len(),
            listed.complete,
            listed.messages,
            after.bytes - before.bytes,
            listed.took,
        );
        assert_eq!((shown.len(), listed.items.len()), (items, items));
        assert!(listed.complete);
    });
}

/// The most items of one bag, in the suite's flood and in the full one.
const CAP: u64 = 128;
const HONEST: usize = 40;
const FLOODING_GROUPS: u8 = 10;

#[test]
fn honest_items_outlive_a_flood_of_their_bag() {
    let flood = variable("QADOM_FLOOD", 400);
    with_seed(50, |seed| {
        let mut network = joined(Settings {
            nodes: 60,
            seed,
            configure: |config| config.limits.bag_items = CAP,
            ..Settings::default()
        });
        let bag = network.random_key();
        let mut honest = BTreeSet::new();
        for number in 0..HONEST {
            let by = (NodeIndex::from(number), network.add_writer());
            let item = Bytes::from(format!("honest {number}"));
            let task = network.start_bag_add(by, bag, item.clone());
            network.finish(task).unwrap();
            honest.insert(item);
        }
        let floods: Vec<NodeIndex> = (0..FLOODING_GROUPS)
            .map(|group| {
                let node = network
                    .add_node_at(Ipv4Addr::new(203, 0, group, 1))
                    .unwrap();
                network.join(node).unwrap();
                node
            })
            .collect();
        let refused = flood_bag(&mut network, &floods, bag, flood);
        // Replication does not undo it.
        network.run_for(Duration::from_mins(70));
        let reader = NodeIndex::from(57);
        let listed = network.bag_list(reader, bag).unwrap();
        let shown: BTreeSet<&Bytes> = listed.items.iter().map(|item| item.payload()).collect();
        let left = honest.iter().filter(|item| shown.contains(item)).count();
        let most = network
            .holders(&bag)
            .iter()
            .map(|node| network.engine(*node).unwrap().status().records)
            .max();
        println!(
            "{flood} items of {} writers in {FLOODING_GROUPS} groups against {HONEST} honest ones, \
             at most {CAP} items: {left} honest ones left, {} items in all, {refused} writes \
             refused, at most {most:?} records at a holder",
            writers_of(flood),
            shown.len(),
        );
        assert!(
            left * 10 >= HONEST * 8,
            "{left} of {HONEST} honest items left"
        );
        assert!(most.unwrap() <= CAP, "{most:?}");
    });
}

fn writers_of(flood: usize) -> usize {
    (flood / 25).clamp(1, 1000)
}

/// Adds items as many writers at few nodes; gives the number of writes that failed.
fn flood_bag(
    network: &mut Network,
    nodes: &[NodeIndex],
    bag: qadom_sim::Key,
    items: usize,
) -> usize {
    let writers: Vec<Writer> = (0..writers_of(items))
        .map(|_| network.add_writer())
        .collect();
    let mut refused = 0;
    let numbers: Vec<usize> = (0..items).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let tasks: Vec<_> = numbers
            .iter()
            .map(|number| {
                let node = nodes[number % nodes.len()];
                let by = (node, writers[number % writers.len()]);
                network.start_bag_add(by, bag, format!("flood {number}"))
            })
            .collect();
        for task in tasks {
            match network.finish(task) {
                Ok(_) => {}
                Err(Failure::Operation(OperationFailure::TooFewCopies { .. })) => refused += 1,
                Err(failure) => panic!("{failure}"),
            }
        }
    }
    refused
}
