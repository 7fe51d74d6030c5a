//! One engine by itself: what it answers its peers and what becomes of its users' requests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where its preparation fails"
)]

mod distrust;
mod one;
mod operations;
mod serve;
