//! Hours of a network in which nodes leave without a word and others come in their place.
//!
//! The suite runs 200 nodes for 2 hours under one seed. The long runs are
//!
//! ```sh
//! QADOM_NODES=1000 QADOM_HOURS=24 QADOM_SEEDS=3 cargo test --release -p qadom-sim --test views day -- --nocapture
//! QADOM_NODES=200 QADOM_HOURS=24 QADOM_SEEDS=20 cargo test --release -p qadom-sim --test views day -- --nocapture
//! ```
//!
//! `QADOM_FIRST_SEED` (45) says which seed is the first, so that the seeds can be shared out among
//! several runs.

use std::time::Duration;

use qadom_sim::{Settings, with_seed};

use crate::world::World;
use crate::{joined, variable};

/// The share of the nodes that leaves and comes in an hour.
const CHURN: f64 = 0.1;
/// Writes and reads of each view in an hour.
const STEPS: u32 = 6;

#[test]
fn nothing_is_lost_and_nothing_comes_back_while_nodes_come_and_go() {
    let nodes = variable("QADOM_NODES", 200);
    let hours = variable("QADOM_HOURS", 2);
    let first = variable("QADOM_FIRST_SEED", 45);
    for seed in first..first + variable("QADOM_SEEDS", 1) {
        with_seed(seed as u64, |seed| run(nodes, hours, seed));
    }
}

fn run(nodes: usize, hours: usize, seed: u64) {
    let network = joined(Settings {
        nodes,
        seed,
        loss: 0.05,
        ..Settings::default()
    });
    let mut world = World::new(network);
    world.network.run_for(Duration::from_mins(2));
    world.populate(10, 4, 10);
    world.network.set_churn(CHURN, &[]);
    for _ in 0..hours {
        for _ in 0..STEPS {
            world.step();
            world.network.run_for(Duration::from_hours(1) / STEPS);
        }
    }
    world.network.set_churn(0.0, &[]);
    world.check_all();
    world.report(&format!("{nodes} nodes, {hours} h, seed {seed}"));
}
