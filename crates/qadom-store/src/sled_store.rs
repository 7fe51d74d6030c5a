//! The store on disk, on sled 0.34.7: the only file that names it.
//!
//! One tree, one key per entry (slot, then id), the order of expiry in memory. A change is one
//! insertion or removal, which sled recovers whole or not at all, so nothing can be torn by a kill.
//! Batches and transactions would do for more keys, but they exclude a running flush, so that a
//! `put` would wait for the disk.
//!
//! What must stay true, each for a trap of this sled:
//! - a new database is made beside its place and renamed into it, because a kill between the two
//!   writes of `conf` leaves a file with which sled never opens again; `conf` is fsynced there;
//! - `snap.*.generating` is deleted before opening, because sled takes a torn one for a snapshot;
//! - `flush` survives a kill, not a loss of power: [`Store::sync`] fsyncs the file itself;
//! - no page may become a file, because such files are leaked and never fsynced: nothing above
//!   [`ENTRY_MAX`](crate::ENTRY_MAX) goes in, and segments are large enough for a page of such;
//! - after one error nothing is acknowledged until the store is reopened, because sled's own
//!   flushing thread has ended by then;
//! - a panic of sled is caught and becomes an error.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use qadom_routing::Key;

use crate::disk::{Database, Disk, Fault, FaultKind, Opened, State, closed};
use crate::folder::{is_full, sync_folder};
use crate::index::Index;
use crate::name::Name;
use crate::{
    Container, EngineFault, Entry, EntryId, Evicted, Needed, OpenError, Scope, Stats, Store,
    StoreError, Ticket, Usage, layout,
};

/// Keeps entries in a folder, so that what was committed survives `kill -9`.
///
/// Its background thread fsyncs every 500 ms without being asked; only [`sync`](Store::sync) tells
/// whether that worked. Opening reads every entry once, to check it and to order them by expiry.
#[derive(Debug)]
pub struct SledStore {
    disk: Disk<Sled>,
}

impl SledStore {
    /// Opens the store in the folder `path` (`store/` of a node), or makes it when the folder is
    /// missing or empty.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a folder that is not a store of sled, or is newer, is left untouched.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Disk::open(path).map(|disk| Self { disk })
    }

    fn scan(&self, range: Option<(Name, Name)>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some((start, end)) = range else {
            return Ok(Vec::new());
        };
        self.disk.read(|sled| {
            let mut found = Vec::new();
            for pair in sled.database.range(start.as_bytes()..end.as_bytes()) {
                if found.len() == limit {
                    break;
                }
                let (name, value) = pair?;
                found.extend(self.disk.decode(&name, &value));
            }
            Ok(found)
        })
    }

    /// Makes one change under `state`, which it stops when sled fails.
    fn change<T>(
        &self,
        state: &mut State<()>,
        work: impl FnOnce(&sled::Tree) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        state.check()?;
        self.disk
            .ask(|sled| Ok(work(&sled.database)?))
            .unwrap_or_else(|| Err(closed()))
            .map_err(|error| state.stop(error))
    }

    /// Removes an entry that is listed.
    fn drop_entry(&self, state: &mut State<()>, name: &Name) -> Result<(), StoreError> {
        self.change(state, |tree| tree.remove(name.as_bytes()))?;
        state.index.strike(name);
        state.index.advance();
        Ok(())
    }
}

impl Store for SledStore {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        let name = Name::new(slot, id);
        let value = self
            .disk
            .read(|sled| Ok(sled.database.get(name.as_bytes())?))?;
        Ok(value.and_then(|value| self.disk.decode(name.as_bytes(), &value)))
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        StoreError::check_length(entry.bytes.len())?;
        let name = Name::new(&entry.slot, &entry.id);
        let value = layout::encode(&name, &entry.bytes, &entry.columns);
        let state = &mut *self.disk.state();
        self.change(state, |tree| tree.insert(name.as_bytes(), value))?;
        state.index.add(name, entry.columns, ());
        state.index.advance();
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        let name = Name::new(slot, id);
        let state = &mut *self.disk.state();
        state.check()?;
        // sled logs the removal of what is not there, too.
        let is_there = state.index.record(&name).is_some();
        if is_there {
            self.drop_entry(state, &name)?;
        }
        Ok(is_there)
    }

    fn scan_slot(
        &self,
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.scan(Name::slot_range(slot, from, to), limit)
    }

    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.scan(Name::key_range(from, to, after), limit)
    }

    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError> {
        let state = &mut *self.disk.state();
        let mut removed = 0;
        state.check()?;
        while removed < limit
            && let Some(record) = state.index.first_expired(until)
        {
            self.drop_entry(state, &record.name)?;
            removed += 1;
        }
        Ok(removed)
    }

    fn evict(
        &self,
        scope: Scope,
        mut needed: Needed,
        keep: &[(Key, EntryId)],
    ) -> Result<Vec<Evicted>, StoreError> {
        let keep = Name::list(keep);
        let state = &mut *self.disk.state();
        let mut evicted = Vec::new();
        state.check()?;
        while !needed.is_met()
            && let Some(record) = state.index.victim(scope, &keep)
        {
            self.drop_entry(state, &record.name)?;
            needed.lessen(record.columns.charge);
            evicted.push(record.name.evicted());
        }
        Ok(evicted)
    }

    fn usage(&self, container: &Container) -> Usage {
        self.disk.state().index.usage(container)
    }

    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        self.disk.state().index.owner_usage(container, owner)
    }

    fn stats(&self) -> Stats {
        self.disk.stats()
    }

    fn ticket(&self) -> Ticket {
        self.disk.state().index.ticket()
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        let ticket = {
            let state = self.disk.state();
            state.check()?;
            state.index.ticket()
        };
        // When the write that fails was handed over by a change in progress, sled wakes this only
        // at the next change: it waits longer then, but never acknowledges.
        self.disk.read(|sled| Ok(sled.database.flush()?))?;
        Ok(ticket)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_stopped(&self) -> bool {
        self.disk.state().stopped.is_some()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.disk.state().check()?;
        self.disk.read(|sled| {
            sled.file
                .sync_all()
                .map_err(|error| sled::Error::Io(error).into())
        })
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        self.disk.reopen()
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        self.disk.start_over(quarantine)
    }
}

#[derive(Debug)]
struct Sled {
    database: sled::Db,
    /// The file that sled writes to, opened once more: a failed write-back is told to every open
    /// file once, so an fsync here sees what sled's own fsync has seen.
    file: File,
}

impl Database for Sled {
    const ENGINE: &'static str = "sled";
    const FORMAT: u32 = 1;
    const PLACE: &'static str = "sled";
    /// The rest of a segment, and a snapshot.
    const SPACE_NEEDED: usize = 2 * SEGMENT_SIZE;

    /// sled buffers by itself.
    type Buffer = ();

    fn open(folder: &Path, ticket: Ticket) -> Result<Opened<Self>, OpenError> {
        let place = folder.join(Self::PLACE);
        if !place.is_dir() {
            create(folder, &place)?;
        }
        delete_unfinished_snapshots(&place)?;
        Self::wait_until_released(folder)?;
        let database = settings(&place).open().map_err(Fault::from)?;
        let file = File::open(place.join(DATA_FILE))?;
        let mut index = Index::new(ticket);
        let mut damaged = 0;
        for pair in database.iter() {
            let (name, value) = pair.map_err(Fault::from)?;
            if let Some(entry) = layout::decode(&name, &value) {
                index.add(Name::new(&entry.slot, &entry.id), entry.columns, ());
            } else {
                database.remove(name).map_err(Fault::from)?;
                damaged += 1;
            }
        }
        Ok(Opened {
            database: Self { database, file },
            index,
            damaged,
        })
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
