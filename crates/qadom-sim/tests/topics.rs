//! Topics under loss and death: each subscriber is told each event once and in order.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where its preparation fails"
)]

use std::sync::Arc;
use std::time::Duration;

use qadom_sim::{
    Identity, Key, Kind, Network, NodeIndex, Settings, Since, Task, WatchEvent, WatchSlot,
    WriteOptions, Written,
};

const EVENTS: u64 = 100;

fn publish(network: &mut Network, node: NodeIndex, topic: Key, number: u64) {
    let message = number.to_be_bytes().to_vec().into();
    let identity = Arc::new(Identity::from_seed([4; 32]));
    let writer = identity.writer();
    let task: Task<Written> = network.start(node, |engine, now| {
        engine.add_identity(identity);
        engine.publish(now, writer, topic, message, WriteOptions::default())
    });
    network.finish(task).unwrap();
}

#[test]
fn subscribers_miss_nothing_though_holders_die() {
    let mut network = Network::new(Settings {
        nodes: 60,
        seed: 5,
        loss: 0.05,
        ..Settings::default()
    });
    network.join_all().unwrap();
    let topic = Key::from_name(b"news").unwrap();
    let slot = WatchSlot {
        slot: topic,
        kind: Kind::Event,
    };
    let holders = network.true_closest(&topic, 20);
    let others: Vec<_> = network
        .living()
        .filter(|node| !holders.contains(node))
        .collect();
    let publisher = others[0];
    let subscriptions: Vec<_> = others[1..21]
        .iter()
        .map(|node| network.watch(*node, slot, Since::Now).unwrap())
        .collect();
    network.run_for(Duration::from_secs(10));
    for number in 1..=EVENTS {
        publish(&mut network, publisher, topic, number);
        if number == EVENTS / 2 {
            holders
                .iter()
                .take(5)
                .for_each(|holder| network.kill(*holder));
        }
    }
    network.run_for(Duration::from_secs(400));
    for subscription in &subscriptions {
        let told = network.take_events(subscription);
        let seqs = told.iter().map(|event| match event {
            WatchEvent::Record { record, .. } => record.seq(),
            _ => 0,
        });
        assert_eq!(seqs.collect::<Vec<_>>(), (1..=EVENTS).collect::<Vec<_>>());
    }
}
