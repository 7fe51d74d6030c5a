//! Whatever can be said arrives as it was said, and an answer that has to be short loses its end and
//! nothing else.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod any;
mod messages;
mod signed;
