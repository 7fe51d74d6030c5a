//! Nodes that crash and start again: what they promised and signed stands.

use std::collections::BTreeSet;
use std::time::Duration;

use qadom_sim::{Disk, Key, Network, NodeIndex, Settings, with_seed};

use crate::joined;

fn writer_node() -> NodeIndex {
    NodeIndex::from(0)
}

fn published(network: &Network) -> BTreeSet<Key> {
    let engine = network.engine(writer_node()).unwrap();
    engine
        .publications()
        .map(|promise| promise.id().slot)
        .collect()
}

#[test]
fn what_was_acknowledged_before_a_crash_is_kept_alive_after_it() {
    with_seed(44, |seed| {
        let mut network = joined(Settings {
            nodes: 40,
            seed,
            loss: 0.02,
            ..Settings::default()
        });
        let writer = network.add_writer();
        let (bag, key) = (network.random_key(), network.random_key());
        let mut slots = BTreeSet::new();
        let mut last_seq = 0;
        for round in 0..6_u32 {
            let disk = if round % 2 == 0 {
                Disk::Kept
            } else {
                Disk::Lost
            };
            slots.insert(
                network
                    .put(writer_node(), format!("value {round}"))
                    .unwrap()
                    .key,
            );
            let task = network.start_bag_add((writer_node(), writer), bag, format!("item {round}"));
            slots.insert(network.finish(task).unwrap().receipt.key);
            let task =
                network.start_namespace_set((writer_node(), writer), key, format!("{round}"));
            let written = network.finish(task).unwrap();
            slots.insert(written.receipt.key);
            assert!(written.record.seq() > last_seq, "{written:?}");
            last_seq = written.record.seq();
            // Right after the receipt.
            network.crash(writer_node());
            network.restart(writer_node(), disk).unwrap();
            network.join(writer_node()).unwrap();
            assert_eq!(published(&network), slots);
        }
        // Longer than anything lives that nobody renews.
        network.run_for(Duration::from_hours(40));
        let reader = NodeIndex::from(17);
        let listed = network.bag_list(reader, bag).unwrap();
        assert_eq!(listed.items.len(), 6, "{listed:?}");
        let read = network.namespace_get(reader, (writer, key), true).unwrap();
        assert_eq!(
            (read.record.seq(), &read.record.payload()[..]),
            (last_seq, &b"5"[..])
        );
        for slot in &slots {
            assert!(
                network.holders(slot).len() >= 15,
                "{:?}",
                network.holders(slot)
            );
        }

        for slot in &slots {
            let task = network.start_withdraw(writer_node(), *slot);
            network.finish(task).unwrap();
        }
        network.crash(writer_node());
        network.restart(writer_node(), Disk::Kept).unwrap();
        assert_eq!(published(&network), BTreeSet::new());
        let listed = network.bag_list(reader, bag).unwrap();
        assert_eq!(listed.items.len(), 0, "{listed:?}");
        network
            .namespace_get(reader, (writer, key), true)
            .unwrap_err();
    });
}
