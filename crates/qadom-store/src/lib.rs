//! Where a node keeps its records: the [`Store`] trait with its contract, a store in memory and
//! those on the engines sled and redb.
//!
//! A store knows entries by slot and id, and orders them by the columns its caller gives. What a
//! record means, who signed it and whether it may be kept is decided above; nothing here reads a
//! clock or a socket.

#[cfg(any(feature = "redb", feature = "sled"))]
mod disk;
#[cfg(any(feature = "redb", feature = "sled"))]
mod dump;
mod engine;
mod entry;
mod error;
#[cfg(any(feature = "redb", feature = "sled"))]
mod folder;
mod index;
#[cfg(any(feature = "redb", feature = "sled"))]
mod layout;
mod memory_store;
mod name;
#[cfg(any(feature = "redb", feature = "sled"))]
mod open;
#[cfg(any(feature = "redb", feature = "sled"))]
mod quarantine;
mod quota;
#[cfg(feature = "redb")]
mod redb_store;
#[cfg(feature = "sled")]
mod sled_store;
mod store;

#[cfg(any(feature = "redb", feature = "sled"))]
pub use disk::BUFFER_MAX;
#[cfg(any(feature = "redb", feature = "sled"))]
pub use dump::{
    Dumped, ExportError, ImportError, Replaced, export, import, import_folder, settle_import,
    verify,
};
pub use engine::{Durability, Options, StoreEngine, UnknownDurabilityError, UnknownEngineError};
pub use entry::{Class, Columns, ENTRY_MAX, Entry, EntryId, EntryIdError};
pub use error::{EngineFault, OpenError, StoreError};
pub use memory_store::MemoryStore;
#[cfg(any(feature = "redb", feature = "sled"))]
pub use open::open;
#[cfg(any(feature = "redb", feature = "sled"))]
pub use quarantine::{
    Opening, QUARANTINED_MAX, Quarantine, Quarantined, Recovery, open_or_set_aside,
};
pub use quota::{Container, Evicted, LargestGroup, Needed, Scope, Usage};
#[cfg(feature = "redb")]
pub use redb_store::RedbStore;
#[cfg(feature = "sled")]
pub use sled_store::SledStore;
pub use store::{Stats, Store, Ticket};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
