//! Every view of the network under the seed: dict names, bags, namespaces, topics.
//!
//! `faults` writes and reads while messages get lost, come twice and overtake each other, `split`
//! parts the network in two, `restart` crashes nodes, `day` lets nodes come and go for hours,
//! `bags` fills and floods, `topics` counts what subscribers are told. The full sizes are
//! documented there, each with its command.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

mod bags;
mod day;
mod faults;
mod restart;
mod split;
mod topics;
mod world;

use qadom_sim::{Network, Settings};

/// A number from the environment, or what the suite takes.
fn variable(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn joined(settings: Settings) -> Network {
    let mut network = Network::new(settings);
    network.join_all().unwrap();
    network
}
