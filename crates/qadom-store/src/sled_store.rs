//! The store on disk, on sled 0.34.7: the only file that names it.
//!
//! One tree, one key per entry (slot, then id), all orders in memory. A change is one insertion or
//! removal, which sled recovers whole or not at all, so nothing can be torn by a kill. A commit
//! hands over what was changed since the last one and flushes.
//!
//! What must stay true, each for a trap of this sled:
//! - a new database is made beside its place and renamed into it, because a kill between the two
//!   writes of `conf` leaves a file with which sled never opens again; `conf` is fsynced there;
//! - `snap.*.generating` is deleted before opening, because sled takes a torn one for a snapshot;
//! - `flush` survives a kill, not a loss of power: `sync` fsyncs the file itself;
//! - no page may become a file, because such files are leaked and never fsynced: nothing above
//!   [`ENTRY_MAX`](crate::ENTRY_MAX) goes in, and segments are large enough for a page of such;
//! - after one error nothing is acknowledged until the store is reopened, because sled's own
//!   flushing thread has ended by then;
//! - a panic of sled is caught and becomes an error.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::disk::{Changes, Database, Disk, Fault, FaultKind, OnDisk, WhenDamaged};
use crate::folder::{is_full, sync_folder};
use crate::{Durability, EngineFault, OpenError, StoreEngine};

/// Keeps entries in a folder, so that what was committed survives `kill -9`.
///
/// Its background thread fsyncs every 500 ms without being asked; only [`sync`](crate::Store::sync)
/// tells whether that worked. Opening reads every entry once, to check it and to order them by expiry.
///
/// # Examples
///
/// ```
/// use qadom_store::{SledStore, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = SledStore::open(folder.path())?;
/// assert!(store.is_durable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SledStore {
    disk: Disk<Sled>,
}

impl SledStore {
    /// Opens the store in the folder `path` (`store/` of a node), or makes it when the folder is
    /// missing or empty. Its commits survive `kill -9`; [`open`](crate::open) takes more options.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a folder that is not a store of sled, or is newer, is left untouched.
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

impl OnDisk for SledStore {
    type Database = Sled;

    fn disk(&self) -> &Disk<Sled> {
        &self.disk
    }
}

#[derive(Debug)]
pub(crate) struct Sled {
    database: sled::Db,
    /// The file that sled writes to, opened once more: a failed write-back is told to every open
    /// file once, so an fsync here sees what sled's own fsync has seen.
    file: File,
}

impl Database for Sled {
    const ENGINE: &'static str = StoreEngine::Sled.name();
    const PLACE: &'static str = "sled";
    /// The rest of a segment, and a snapshot.
    const SPACE_NEEDED: usize = 2 * SEGMENT_SIZE;

    fn open(folder: &Path) -> Result<Self, OpenError> {
        let place = folder.join(Self::PLACE);
        if !place.is_dir() {
            create(folder, &place)?;
        }
        delete_unfinished_snapshots(&place)?;
        Self::wait_until_released(folder)?;
        let database = settings(&place).open().map_err(Fault::from)?;
        let file = File::open(place.join(DATA_FILE))?;
        Ok(Self { database, file })
    }

    fn get<T>(&self, name: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Fault> {
        Ok(self.database.get(name)?.map(|value| take(&value)))
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(start), end);
        for pair in self.database.range::<&[u8], _>(range) {
            let (name, value) = pair?;
            if visit(&name, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: &Changes) -> Result<(), Fault> {
        for (name, value) in changes {
            let name = name.as_bytes();
            match value {
                Some(value) => drop(self.database.insert(name, value.as_ref())?),
                None => drop(self.database.remove(name)?),
            }
        }
        self.database.flush()?;
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        Ok(self.file.sync_all().map_err(sled::Error::Io)?)
    }

    /// sled's threads keep the file a little longer than the owner of the database does.
    fn wait_until_released(folder: &Path) -> Result<(), OpenError> {
        let file = match File::open(folder.join(Self::PLACE).join(DATA_FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        for _ in 0..RELEASE_ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => thread::sleep(RELEASE_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(OpenError::InUse {
            path: folder.to_owned(),
        })
    }
}

/// Makes an empty database that is there whole or not at all.
fn create(folder: &Path, place: &Path) -> Result<(), OpenError> {
    let unfinished = folder.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    drop(settings(&unfinished).open().map_err(Fault::from)?);
    for file in fs::read_dir(&unfinished)? {
        File::open(file?.path())?.sync_all()?;
    }
    sync_folder(&unfinished)?;
    fs::rename(&unfinished, place)?;
    Ok(sync_folder(folder)?)
}

fn settings(place: &Path) -> sled::Config {
    sled::Config::new()
        .path(place)
        .cache_capacity(CACHE_CAPACITY)
        .segment_size(SEGMENT_SIZE)
}

/// A snapshot is only written while opening, under another name until it is whole, so none with
/// this name is ever needed.
fn delete_unfinished_snapshots(place: &Path) -> io::Result<()> {
    for file in fs::read_dir(place)? {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Self {
        let kind = match &error {
            sled::Error::Io(error) if is_full(error.kind()) => FaultKind::Full,
            sled::Error::Io(_) | sled::Error::Unsupported(_) => FaultKind::Failed,
            sled::Error::Corruption { .. }
            | sled::Error::ReportableBug(_)
            | sled::Error::CollectionNotFound(_) => FaultKind::Corrupt,
        };
        Self {
            kind,
            source: EngineFault::new(&error.to_string()),
        }
    }
}

/// Where the database lies until it is whole.
const UNFINISHED: &str = "sled.new";
/// The name that sled gives its log.
const DATA_FILE: &str = "db";
/// The unit in which sled fills and reclaims its log, in bytes. A page above a quarter of it
/// becomes a file, and a page holds up to 21 entries (17, or 3 and a neighbour's 17 and one more
/// while they merge), each of at most 64 KiB and its header.
const SEGMENT_SIZE: usize = 8 * 1024 * 1024;
/// The memory that sled may use for pages, in bytes; its own default is 1 GiB.
const CACHE_CAPACITY: u64 = 16 * 1024 * 1024;
/// How often a closing database is looked at again: 5 s in all.
const RELEASE_ATTEMPTS: u32 = 5000;
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
