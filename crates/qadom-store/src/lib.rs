//! Where a node keeps its records: the [`Store`] trait with its contract, a store in memory and
//! those on the engines sled and redb.
//!
//! A store knows entries by slot and id, and orders them by the columns its caller gives. What a
//! record means, who signed it and whether it may be kept is decided above; nothing here reads a
//! clock or a socket.

#[cfg(any(feature = "redb", feature = "sled"))]
mod disk;
mod entry;
mod error;
#[cfg(any(feature = "redb", feature = "sled"))]
mod folder;
mod index;
#[cfg(any(feature = "redb", feature = "sled"))]
mod layout;
mod memory_store;
mod name;
mod quota;
#[cfg(feature = "redb")]
mod redb_store;
#[cfg(feature = "sled")]
mod sled_store;
mod store;

pub use entry::{Class, Columns, ENTRY_MAX, Entry, EntryId, EntryIdError};
pub use error::{EngineFault, OpenError, StoreError};
pub use memory_store::MemoryStore;
pub use quota::{Container, Evicted, Needed, Scope, Usage};
#[cfg(feature = "redb")]
pub use redb_store::RedbStore;
#[cfg(feature = "sled")]
pub use sled_store::SledStore;
pub use store::{Stats, Store, Ticket};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
