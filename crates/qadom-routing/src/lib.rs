//! Kademlia's key space and its two algorithms, the routing table and the lookup, without clock,
//! socket, thread or log.
//!
//! Time comes in as a [`Moment`], chance as a seeded generator; what a caller has to do comes out
//! as a value. Nothing here knows how messages are encoded, sent or stored.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bucket;
mod closest;
mod config;
mod contact;
mod density;
mod distance;
mod diversity;
mod estimate;
mod key;
mod lookup;
mod moment;
mod table;

pub use closest::closest;
pub use config::{DEFAULT_K, LookupConfig, PATHS_MAX, REACH_MAX, TableConfig};
pub use contact::{Contact, Families, NodeId, NodeKey, NodeKeyError, canonical, is_node_key};
pub use density::{DENSITY_ALARM, density};
pub use distance::Distance;
pub use diversity::{AddressGroups, GroupCount, GroupLimits, diverse, is_exempt};
pub use estimate::{NetworkSize, SizeEstimator};
pub use key::{KEY_LENGTH, Key, KeyTextError, NAME_LENGTH};
pub use lookup::{Lookup, Next, Noted, Step, StepEvent};
pub use moment::Moment;
pub use table::{Observation, Removal, RoutingTable, TableEntry};

/// The example of the README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
