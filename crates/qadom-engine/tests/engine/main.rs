//! One engine by itself: what it answers its peers, what becomes of its users' requests,
//! and what it learns about itself.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where its preparation fails"
)]

mod blocks;
mod clock;
mod dial_back;
mod distrust;
mod hello;
mod one;
mod operations;
mod publications;
mod reachability;
mod serve;
mod signed;
mod watched;
