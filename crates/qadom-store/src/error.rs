//! What can go wrong while a store is open, and while it is being opened.
//!
//! What must stay true: no error names the engine's own types, and the three faults of an engine
//! (full, failed, corrupt) read alike in both enums.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{ENTRY_MAX, StoreEngine};

/// Why a store did not do what it was asked.
///
/// The last three mean that the engine failed, or had no space to go on: the store has *stopped*. From then on every change,
/// commit and sync repeats the error, reads go on as far as the engine can, and
/// [`reopen`](crate::Store::reopen) starts it again.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Store, StoreError};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let long = Entry { bytes: vec![0; 65_537].into(), ..entry };
/// let error = store.put(long).unwrap_err();
/// assert!(matches!(error, StoreError::EntryTooLarge { length: 65_537, limit: 65_536 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The caller gave an entry above [`ENTRY_MAX`](crate::ENTRY_MAX). Nothing was changed and the
    /// store works on.
    #[error("an entry has at most {limit} bytes, this one has {length}")]
    EntryTooLarge {
        /// The length of the refused entry in bytes.
        length: usize,
        /// The largest length that is kept, in bytes.
        limit: usize,
    },
    /// More was changed than the disk could take in yet. Nothing was changed by this call and the
    /// store works on: try again after the next commit.
    #[error("the disk of the store is {limit} bytes behind")]
    Behind {
        /// How much may wait for the disk, in bytes.
        limit: usize,
    },
    /// The disk, a quota or a file size limit is exhausted. Reopen when there is space again.
    #[error("the disk of the store is full")]
    DiskFull {
        /// What the engine said, or how much is missing.
        source: EngineFault,
    },
    /// The engine or the disk failed. What was not committed is in doubt; reopen.
    #[error("the store failed")]
    Failed {
        /// What the engine said.
        source: EngineFault,
    },
    /// The engine found its files damaged, or panicked. Close, move the folder away and start
    /// empty; the network still holds the records.
    #[error("the store is damaged")]
    Corrupt {
        /// What the engine said.
        source: EngineFault,
    },
}

impl StoreError {
    /// Refuses a length above [`ENTRY_MAX`].
    pub(crate) const fn check_length(length: usize) -> Result<(), Self> {
        if length > ENTRY_MAX {
            return Err(Self::EntryTooLarge {
                length,
                limit: ENTRY_MAX,
            });
        }
        Ok(())
    }
}

/// Why a store could not be opened. Unless a variant says otherwise, the folder is as it was.
///
/// # Examples
///
/// ```
/// use qadom_store::{OpenError, Options, open};
///
/// let folder = tempfile::tempdir()?;
/// let _store = open(folder.path(), Options::default())?;
/// let error = open(folder.path(), Options::default()).unwrap_err();
/// assert!(matches!(error, OpenError::InUse { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another store of this one, has the folder open. Close that one.
    #[error("the store folder {} is in use", path.display())]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder has content, but no `ENGINE` file that can be read. Name another folder.
    #[error("{} is no store folder", path.display())]
    NotAStore {
        /// The folder that was given.
        path: PathBuf,
    },
    /// The folder belongs to another engine. Open it with that one.
    #[error("the store folder is kept by the engine {found}, not by {expected}")]
    OtherEngine {
        /// The engine named in the folder.
        found: String,
        /// The engine that was asked to open it.
        expected: &'static str,
    },
    /// The folder names an engine that this program does not know. Open it with the program that
    /// made it.
    #[error("the store folder is kept by the engine {found}, which this program does not know")]
    UnknownEngine {
        /// The engine named in the folder.
        found: String,
    },
    /// This program was built without the engine that keeps the folder, or that was asked for. Use
    /// one that has it, or move the records over by an export there and an import here.
    #[error("this program was built without the store engine {engine}")]
    NotBuiltIn {
        /// The engine that is missing.
        engine: StoreEngine,
    },
    /// A newer program wrote the folder. Use that program.
    #[error("the store folder has format {found}, this program knows up to {known}")]
    TooNew {
        /// The format of the folder.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// There is no space to open the store. Free some and try again; what was committed is there.
    #[error("the disk of the store is full")]
    DiskFull {
        /// What the engine said.
        source: EngineFault,
    },
    /// The folder could not be read or written. What was committed is there.
    #[error("the store could not be opened")]
    Failed {
        /// What the engine said.
        source: EngineFault,
    },
    /// The engine found its files damaged, or panicked over them. Move the folder away and start
    /// empty; the network still holds the records.
    #[error("the store is damaged")]
    Corrupt {
        /// What the engine said.
        source: EngineFault,
    },
}

/// What an engine or the operating system said about a failure, for logs. Cheap to clone.
///
/// # Examples
///
/// ```
/// use std::error::Error;
///
/// use qadom_store::{EngineFault, StoreError};
///
/// let source = EngineFault::new("the disk does not answer");
/// let error = StoreError::Failed { source };
/// let cause = error.source().map(ToString::to_string);
/// assert_eq!(cause.as_deref(), Some("the disk does not answer"));
/// ```
#[derive(Clone, Debug)]
pub struct EngineFault(Arc<str>);

impl EngineFault {
    /// Keeps the text of a failure.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for EngineFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for EngineFault {}
