//! The heart of a qadom node: messages in, messages out.
//!
//! An [`Engine`] joins, serves requests, looks up, puts, gets, replicates and expires. It never
//! sees a datagram, a disk or a clock: a driver feeds it what happened and when, drains its
//! [`Effect`]s, and asks it for its next deadline. The same engine runs in the daemon and, by the
//! thousand, in the simulator.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod addresses;
mod blocks;
mod churn;
mod config;
mod core;
mod dial_back;
mod effect;
mod engine;
mod hello;
mod holding;
mod journal;
mod keep;
mod ledger;
mod listing;
mod lost;
mod neighbours;
mod network;
mod offset;
mod operation;
mod operations;
mod ordering;
mod publications;
mod quota;
mod reachability;
mod reader;
mod records;
mod refilling;
mod seen;
mod serve;
mod status;
mod subscriptions;
mod time;
mod timers;
mod topics;
mod upkeep;
mod walk;
mod watch;
mod watchers;

pub use addresses::Addresses;
pub use blocks::{Block, BlockCause, Blocked, TooManyBlocks};
pub use config::{Config, Limits, Mode};
pub use effect::{Effect, Inbound, InboundId, Outgoing, RequestFailure, RequestId, Size};
pub use engine::Engine;
pub use journal::{JOURNAL_ENTRY_MAX, JournalEntry, JournalError, Standing};
pub use ledger::{Cause, CauseCost, Cost};
pub use lost::LOST_MAX;
pub use network::Density;
pub use offset::Correction;
pub use operation::{
    Difference, Failure, Fetched, HandedOver, JoinProblem, Joined, Listed, LookupReport,
    OperationId, Outcome, PingReport, ReadFrom, Receipt, Refusal, SignedRead, Source, StreamKey,
    Withdrawn, WriteOptions, Written,
};
pub use publications::promise::{Promise, Promised, PublicationId, PublicationState, Refusals};
pub use reachability::Reachability;
pub use reader::ValueReader;
pub use status::{Drops, Peer, Refill, RenewalCost, Status};
pub use time::Time;
pub use watch::{Since, WatchEvent, WatchSlot};
