//! The built binary, as a shell sees it: exit codes, streams, texts and JSON.
//!
//! What must stay true: no test waits by the clock (a daemon is ready when it says so), no test
//! uses a fixed port or the user's own folder, and no process outlives its test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod daemon;
mod doctor;
mod ephemeral;
mod files;
mod fleet;
mod help;
mod http;
mod keeping;
mod kill;
mod limits;
mod log;
mod namespaces;
mod network;
mod process;
mod records;
mod refusals;
mod settings;
mod sim;
mod supervision;
mod values;
