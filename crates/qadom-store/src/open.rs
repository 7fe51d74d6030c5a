//! The door through which a store on disk is opened, whatever its engine is.
//!
//! What must stay true: the mark in the folder decides, so that no folder is ever read by an engine
//! that did not write it. What the engines do is not known here.

use std::path::Path;
use std::sync::Arc;

use crate::disk::WhenDamaged;
use crate::folder::read_mark;
use crate::{OpenError, Options, Store, StoreEngine, UnknownEngineError};

impl StoreEngine {
    /// The engine that keeps `folder`; none for a folder that is missing or empty.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the folder cannot be read, is no store, or names an engine that no
    /// version of this program knew.
    pub fn of(folder: &Path) -> Result<Option<Self>, OpenError> {
        let Some(mark) = read_mark(folder)? else {
            return Ok(None);
        };
        match mark.engine.parse() {
            Ok(engine) => Ok(Some(engine)),
            Err(UnknownEngineError { name }) => Err(OpenError::UnknownEngine { found: name }),
        }
    }
}

/// Opens the store in `folder` with the engine that is named there, or makes it when the folder is
/// missing or empty. Entries that are damaged are dropped, and counted in
/// [`Stats::damaged`](crate::Stats::damaged).
///
/// # Errors
///
/// [`OpenError`]; a folder that is no store, is newer than this program, or is kept by another
/// engine than the one asked for, is left untouched.
///
/// # Examples
///
/// ```
/// use qadom_store::{Options, StoreEngine, open};
///
/// let folder = tempfile::tempdir()?;
/// let store = open(folder.path(), Options::default())?;
/// assert!(store.is_durable());
/// assert_eq!(StoreEngine::of(folder.path())?, Some(StoreEngine::Sled));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(folder: &Path, options: Options) -> Result<Arc<dyn Store>, OpenError> {
    open_with(folder, options, WhenDamaged::Drop)
}

pub(crate) fn open_with(
    folder: &Path,
    options: Options,
    when_damaged: WhenDamaged,
) -> Result<Arc<dyn Store>, OpenError> {
    let engine = match (StoreEngine::of(folder)?, options.engine) {
        (Some(found), Some(wanted)) if found != wanted => {
            return Err(OpenError::OtherEngine {
                found: found.name().to_owned(),
                expected: wanted.name(),
            });
        }
        (Some(engine), _) | (None, Some(engine)) => engine,
        (None, None) => StoreEngine::ALL
            .into_iter()
            .find(|engine| engine.is_built_in())
            .unwrap_or_default(),
    };
    let durability = options.durability;
    match engine {
        #[cfg(feature = "sled")]
        StoreEngine::Sled => Ok(Arc::new(crate::SledStore::open_with(
            folder,
            durability,
            when_damaged,
        )?)),
        #[cfg(feature = "redb")]
        StoreEngine::Redb => Ok(Arc::new(crate::RedbStore::open_with(
            folder,
            durability,
            when_damaged,
        )?)),
        #[cfg(not(all(feature = "redb", feature = "sled")))]
        engine => Err(OpenError::NotBuiltIn { engine }),
    }
}
