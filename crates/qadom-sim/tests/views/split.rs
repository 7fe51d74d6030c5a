//! A network that falls into two parts and becomes one again.

use std::time::Duration;

use qadom_sim::{NodeIndex, Settings, with_seed};

use crate::joined;
use crate::world::World;

#[test]
fn two_parts_that_meet_again_agree_on_everything() {
    with_seed(43, |seed| {
        let network = joined(Settings {
            nodes: 60,
            seed,
            loss: 0.02,
            ..Settings::default()
        });
        let mut world = World::new(network);
        let one: Vec<NodeIndex> = (0..30).map(NodeIndex::from).collect();
        let other: Vec<NodeIndex> = (30..60).map(NodeIndex::from).collect();
        let bag = world.new_bag();
        for number in 0..6 {
            world.add_item_at(NodeIndex::from(number * 9), bag);
        }
        let entries: Vec<_> = (0..4)
            .map(|_| (world.network.add_writer(), world.network.random_key()))
            .collect();
        for entry in &entries {
            world.set_entry(*entry);
        }
        world.network.cut_off(&one);
        // What is removed was there before: what one side added the other cannot remove.
        world.remove_item_at(one[20], bag);
        world.remove_item_at(other[20], bag);
        for round in 0..4 {
            for side in [&one, &other] {
                world.add_item_at(side[round], bag);
            }
            world.set_name_at(one[round], "earlier");
        }
        world.set_name_at(other[4], "earlier");
        // Each entry has its last version on one side alone.
        for (number, entry) in entries.iter().enumerate() {
            let side = if number % 2 == 0 { &one } else { &other };
            for node in side.iter().take(number + 1) {
                world.set_entry_at(*node, *entry);
            }
        }
        world.network.run_for(Duration::from_mins(20));
        world.network.heal();
        // Each side has taken the other for dead meanwhile. Ten minutes later readers meet the union,
        world.network.run_for(Duration::from_mins(10));
        for side in [&one, &other] {
            world.list_at(side[9], bag);
            for entry in &entries {
                world.read_latest_at(side[10], *entry);
            }
            world.read_name_at(side[11], "earlier");
        }
        // and after two rounds of replication the holders have it.
        world.network.run_for(Duration::from_mins(150));
        for side in [&one, &other] {
            world.list_at(side[12], bag);
            for entry in &entries {
                world.read_latest_at(side[13], *entry);
            }
        }
        let listed = world.network.bag_list(one[14], bag).unwrap();
        assert!(listed.complete, "the holders of a bag do not agree");
        world.check_all();
        world.report("split");
    });
}
