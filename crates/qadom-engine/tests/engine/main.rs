//! One engine by itself, and small networks of them: what they answer their peers, what becomes of
//! their users' requests, and what they learn about themselves.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where its preparation fails"
)]

mod bag_streams;
mod blocks;
mod burials;
mod clock;
mod dial_back;
mod distrust;
mod files;
mod floods;
mod hello;
mod hostile_views;
mod lossy;
mod namespaces;
mod neighbours;
mod one;
mod operations;
mod publications;
mod publications_retried;
mod quota;
mod reachability;
mod reader;
mod refill;
mod replication;
mod serve;
mod signed;
mod subscribing;
mod subscribing_at_home;
mod subscribing_in_doubt;
mod topics;
mod upkeep;
mod views;
mod watched;
mod world;
