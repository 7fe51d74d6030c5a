//! Thousands of real qadom engines under one seed: a deterministic network simulator.
//!
//! A [`Network`] joins real [`Engine`]s by a virtual clock and by virtual
//! links with delay and loss. Nothing here sleeps, opens a socket or reads a clock, so that hours
//! of a network pass in seconds, and the same [`Settings`] give the same run, message by message.
//! Messages travel in plain: datagrams, handshakes and pieces are imitated in their costs, their
//! lengths and their states, not in their bytes.

mod chance;
mod checkers;
mod exchange;
mod failure;
mod figures;
mod lean;
mod lengths;
mod map;
mod network;
mod node;
mod peers;
mod queue;
mod replay;
mod report;
mod rtt;
mod run;
mod scenario;
mod sealed;
mod settings;
mod subscription;
mod task;
mod trace;
mod wide_area;

pub use checkers::Check;
pub use failure::Failure;
pub use figures::{Figures, Hops};
pub use lean::Population;
pub use lengths::Lengths;
pub use network::{Adversary, Census, Network, Sessions};
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
pub use report::{Report, Series, Spread};
pub use run::{run, run_told};
pub use scenario::{
    Action, AdversaryPart, BUILT_IN, ChurnPart, EventPart, ExpectPart, Fidelity, Misdeed,
    NetworkPart, Scenario, ScenarioError, Share, Span, WorkloadPart,
};
pub use sealed::{Ledger, Side, SimSuite};
pub use settings::Settings;
pub use subscription::{Subscription, Told};
pub use task::{Ending, Task};
pub use trace::TraceHash;
pub use wide_area::WideArea;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
