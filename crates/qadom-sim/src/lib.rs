//! Thousands of real qadom engines under one seed: a deterministic network simulator.
//!
//! A [`Network`] joins real [`Engine`]s by a virtual clock and by virtual
//! links with delay and loss. Nothing here sleeps, opens a socket or reads a clock, so that hours
//! of a network pass in seconds, and the same [`Settings`] give the same run, message by message.
//! Messages travel in plain: datagrams, handshakes and pieces are imitated in their costs, their
//! lengths and their states, not in their bytes.

mod chance;
mod exchange;
mod failure;
mod figures;
mod network;
mod node;
mod queue;
mod replay;
mod rtt;
mod settings;
mod subscription;
mod task;
mod trace;

pub use failure::Failure;
pub use figures::{Figures, Hops};
pub use network::Network;
pub use node::{Disk, NodeIndex};
pub use qadom_engine::Failure as OperationFailure;
pub use qadom_engine::{
    Config, Engine, Fetched, Joined, JournalEntry, JournalError, Listed, LookupReport, Mode,
    OperationId, Outcome, PingReport, Promise, Promised, PublicationId, PublicationState, ReadFrom,
    Receipt, RenewalCost, SignedRead, Since, Source, Status, Time, WatchEvent, WatchSlot,
    Withdrawn, WriteOptions, Written,
};
pub use qadom_routing::{Contact, Key, Moment, NodeId};
pub use qadom_wire::{
    Cursor, Draft, Identity, Kind, Value, Verified, Writer, dict_slot, namespace_slot,
};
pub use replay::{SEED_VARIABLE, with_seed};
pub use settings::Settings;
pub use subscription::{Subscription, Told};
pub use task::{Ending, Task};
pub use trace::TraceHash;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
