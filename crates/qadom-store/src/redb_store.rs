//! The store on disk, on redb 4: the only file that names it.
//!
//! redb writes one transaction at a time and each waits for the disk, so one commit takes along all
//! that was changed since the last one. Each commit is fsynced, so that one that survives a kill
//! survives the loss of power too.
//!
//! What must stay true:
//! - a commit has two phases: with one phase redb tells whole from torn by a checksum that whoever
//!   stores records here could forge;
//! - a new database is made beside its place and renamed into it, because a file that a kill left
//!   half made does not open;
//! - after one error redb answers nothing that it does not hold in memory, until it is reopened.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use redb::{ReadableDatabase, TableDefinition};

use crate::disk::{Changes, Database, Disk, Fault, FaultKind, OnDisk, WhenDamaged};
use crate::folder::{is_full, sync_folder};
use crate::{Durability, EngineFault, OpenError, StoreEngine};

/// Keeps entries in a folder, so that what was committed survives `kill -9` and the loss of power.
///
/// What was changed since the last commit is held in memory a second time. Opening reads every
/// entry once, to check it and to order them.
///
/// # Examples
///
/// ```
/// use qadom_store::{RedbStore, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = RedbStore::open(folder.path())?;
/// assert!(store.is_durable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RedbStore {
    disk: Disk<Redb>,
}

impl RedbStore {
    /// Opens the store in the folder `path` (`store/` of a node), or makes it when the folder is
    /// missing or empty. [`open`](crate::open) takes more options.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a folder that is not a store of redb, or is newer, is left untouched.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Durability::Kill, WhenDamaged::Drop)
    }

    pub(crate) fn open_with(
        path: &Path,
        durability: Durability,
        when_damaged: WhenDamaged,
    ) -> Result<Self, OpenError> {
        Disk::open(path, durability, when_damaged).map(|disk| Self { disk })
    }
}

impl OnDisk for RedbStore {
    type Database = Redb;

    fn disk(&self) -> &Disk<Redb> {
        &self.disk
    }
}

#[derive(Debug)]
pub(crate) struct Redb {
    database: redb::Database,
}

impl Redb {
    fn table(&self) -> Result<redb::ReadOnlyTable<&'static [u8], &'static [u8]>, Fault> {
        let reading = self.database.begin_read().map_err(fault)?;
        reading.open_table(ENTRIES).map_err(fault)
    }
}

impl Database for Redb {
    const ENGINE: &'static str = StoreEngine::Redb.name();
    const PLACE: &'static str = "entries.redb";
    /// What a file grows by at least, twice.
    const SPACE_NEEDED: usize = 2 * 1024 * 1024;
    /// Four pages, the depth of a tree of a million entries.
    const SPACE_PER_CHANGE: usize = 4 * 4096;

    fn open(folder: &Path) -> Result<Self, OpenError> {
        let place = folder.join(Self::PLACE);
        if !place.is_file() {
            create(folder, &place)?;
        }
        let database = settings().open(&place).map_err(fault)?;
        Ok(Self { database })
    }

    fn get<T>(&self, name: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Fault> {
        let value = self.table()?.get(name).map_err(fault)?;
        Ok(value.map(|value| take(value.value())))
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(start), end);
        for pair in self.table()?.range::<&[u8]>(range).map_err(fault)? {
            let (name, value) = pair.map_err(fault)?;
            if visit(name.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: &Changes) -> Result<(), Fault> {
        let mut writing = self.database.begin_write().map_err(fault)?;
        writing.set_two_phase_commit(true);
        {
            let mut table = writing.open_table(ENTRIES).map_err(fault)?;
            for (name, value) in changes {
                let name = name.as_bytes();
                match value {
                    Some(value) => drop(table.insert(name, value.as_ref()).map_err(fault)?),
                    None => drop(table.remove(name).map_err(fault)?),
                }
            }
        }
        writing.commit().map_err(fault)
    }

    /// Every commit is synced already.
    fn sync(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// A database is closed when its owner drops it.
    fn wait_until_released(_: &Path) -> Result<(), OpenError> {
        Ok(())
    }
}

/// Makes an empty database that is there whole or not at all.
fn create(folder: &Path, place: &Path) -> Result<(), OpenError> {
    let unfinished = folder.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = Redb {
        database: settings().create(&unfinished).map_err(fault)?,
    };
    database.write(&Changes::new())?;
    drop(database);
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, place)?;
    Ok(sync_folder(folder)?)
}

fn settings() -> redb::Builder {
    let mut settings = redb::Database::builder();
    settings.set_cache_size(CACHE_SIZE);
    settings
}

/// Tells what went wrong in redb.
fn fault(error: impl Into<redb::Error>) -> Fault {
    let error = error.into();
    let kind = match &error {
        redb::Error::Io(error) => kind_of(error),
        redb::Error::PreviousIo
        | redb::Error::DatabaseAlreadyOpen
        | redb::Error::DatabaseClosed
        | redb::Error::Unsupported => FaultKind::Failed,
        _ => FaultKind::Corrupt,
    };
    Fault {
        kind,
        source: EngineFault::new(&error.to_string()),
    }
}

fn kind_of(error: &io::Error) -> FaultKind {
    match error.kind() {
        kind if is_full(kind) => FaultKind::Full,
        // No redb, or not all of it.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => FaultKind::Corrupt,
        _ => FaultKind::Failed,
    }
}

/// The one table, from names to what [`layout`] makes of entries.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// Where the database lies until it is whole.
const UNFINISHED: &str = "entries.redb.new";
/// The memory that redb may use for pages, in bytes; its own default is 1 GiB.
const CACHE_SIZE: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod tests;
