//! Every view while messages get lost, come twice and overtake each other, and clocks are wrong.

use std::time::Duration;

use qadom_sim::{Network, NodeIndex, Settings, with_seed};

use crate::joined;
use crate::world::World;

const YEAR_MICROS: i64 = 365 * 24 * 3600 * 1_000_000;

fn faulty(seed: u64) -> Network {
    joined(Settings {
        nodes: 60,
        seed,
        loss: 0.05,
        duplication: 0.05,
        overtaking: 0.1,
        ..Settings::default()
    })
}

#[test]
fn what_is_written_is_read_under_loss_duplicates_and_overtaking() {
    with_seed(41, |seed| {
        let mut world = World::new(faulty(seed));
        world.populate(6, 3, 6);
        for _ in 0..25 {
            world.step();
        }
        world.check_all();
        world.report("faults");
        let figures = world.network.figures();
        assert!(figures.lost * 100 > figures.sent * 4, "{figures:?}");
        let once = figures.sent - figures.lost;
        assert!(figures.messages * 100 > once * 104, "{figures:?}");
    });
}

#[test]
fn wrong_clocks_neither_lose_nor_keep_anything() {
    with_seed(42, |seed| {
        let mut network = Network::new(Settings {
            nodes: 50,
            seed,
            // Below what is corrected.
            clock_error: Duration::from_secs(50),
            ..Settings::default()
        });
        for (node, error) in [(7, YEAR_MICROS), (11, -YEAR_MICROS), (13, 7_200_000_000)] {
            network.set_clock_error(NodeIndex::from(node), error);
        }
        network.join_all().unwrap();
        network.run_for(Duration::from_mins(2));
        let mut world = World::new(network);
        world.populate(4, 2, 4);
        for node in [7, 11, 13].map(NodeIndex::from) {
            let entry = (world.network.add_writer(), world.network.random_key());
            world.set_entry_at(node, entry);
            world.set_entry(entry);
            let bag = world.new_bag();
            world.add_item_at(node, bag);
            world.remove_item_at(node, bag);
            world.add_item_at(node, bag);
            world.set_name_at(node, "by a wrong clock");
            world.read_name("by a wrong clock");
        }
        for _ in 0..10 {
            world.step();
        }
        world.network.run_for(Duration::from_hours(3));
        world.check_all();
        world.report("clocks");
    });
}
