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

use std::any::Any;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use qadom_routing::Key;

use crate::folder::{Folder, is_full, sync_folder};
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
    state: Mutex<State>,
    /// None while the store is opened again and after that failed; `state` is stopped then. Locked
    /// after `state`, where both are.
    database: RwLock<Option<Database>>,
    damaged: AtomicU64,
    /// Dropped last: the folder is free when the database is closed.
    folder: Folder,
}

impl SledStore {
    /// Opens the store in the folder `path` (`store/` of a node), or makes it when the folder is
    /// missing or empty.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a folder that is not a store of sled, or is newer, is left untouched.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Folder::claim(path, "sled", FORMAT)?;
        let opened = on_own_thread(|| Database::open(folder.path(), Ticket::ZERO))?;
        Ok(Self {
            state: Mutex::new(State {
                index: opened.index,
                stopped: None,
            }),
            database: RwLock::new(Some(opened.database)),
            damaged: AtomicU64::new(opened.damaged),
            folder,
        })
    }

    /// A panic of sled never passes through our locks, so a poisoned one is used on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one change under `state`, which it stops when sled fails.
    fn change<T>(
        &self,
        state: &mut State,
        work: impl FnOnce(&sled::Tree) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        state.check()?;
        self.ask(|database| work(&database.sled))
            .unwrap_or_else(|| Err(closed()))
            .map_err(|error| state.stop(error))
    }

    /// Asks sled without holding `state`, and stops it when sled fails.
    fn read<T>(&self, work: impl FnOnce(&Database) -> sled::Result<T>) -> Result<T, StoreError> {
        match self.ask(work) {
            Some(answer) => answer.map_err(|error| self.state().stop(error)),
            None => Err(self.state().stopped.clone().unwrap_or_else(closed)),
        }
    }

    /// `None` when no database is open.
    fn ask<T>(
        &self,
        work: impl FnOnce(&Database) -> sled::Result<T>,
    ) -> Option<Result<T, StoreError>> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref()?;
        Some(match catch_unwind(AssertUnwindSafe(|| work(database))) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Fault::from(error).into()),
            Err(panic) => Err(Fault::from_panic(panic.as_ref()).into()),
        })
    }

    /// Stops the store and closes its database, without holding a lock while sled ends: whoever
    /// calls meanwhile is refused at once.
    fn close(&self) {
        let old = {
            let mut state = self.state();
            state.stop(closed());
            self.lock_database().take()
        };
        // sled waits for its threads and unwraps an fsync, so that a disk that fails would look
        // like damage; whether there is damage, the next opening finds out.
        drop(on_own_thread(|| {
            drop(old);
            Ok(())
        }));
    }

    /// Opens the database of a closed store; no lock is held while all of it is read.
    fn open_again(&self) -> Result<Ticket, OpenError> {
        // Nothing is buffered while the store is stopped, so that the ticket stays.
        let ticket = self.ticket();
        let opened = on_own_thread(|| Database::open(self.folder.path(), ticket))?;
        let mut state = self.state();
        *self.lock_database() = Some(opened.database);
        state.index = opened.index;
        state.stopped = None;
        self.damaged.fetch_add(opened.damaged, Ordering::Relaxed);
        Ok(ticket)
    }

    fn lock_database(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn scan(&self, range: Option<(Name, Name)>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some((start, end)) = range else {
            return Ok(Vec::new());
        };
        self.read(|database| {
            let mut found = Vec::new();
            for pair in database.sled.range(start.as_bytes()..end.as_bytes()) {
                if found.len() == limit {
                    break;
                }
                let (name, value) = pair?;
                found.extend(self.decode(&name, &value));
            }
            Ok(found)
        })
    }

    fn decode(&self, name: &[u8], value: &[u8]) -> Option<Entry> {
        let entry = layout::decode(name, value);
        if entry.is_none() {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        entry
    }

    /// Removes an entry that is listed.
    fn drop_entry(&self, state: &mut State, name: &Name) -> Result<(), StoreError> {
        self.change(state, |tree| tree.remove(name.as_bytes()))?;
        state.index.strike(name);
        state.index.advance();
        Ok(())
    }
}

impl Store for SledStore {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        let name = Name::new(slot, id);
        let value = self.read(|database| database.sled.get(name.as_bytes()))?;
        Ok(value.and_then(|value| self.decode(name.as_bytes(), &value)))
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        StoreError::check_length(entry.bytes.len())?;
        let name = Name::new(&entry.slot, &entry.id);
        let value = layout::encode(&name, &entry.bytes, &entry.columns);
        let state = &mut *self.state();
        self.change(state, |tree| tree.insert(name.as_bytes(), value))?;
        state.index.add(name, entry.columns, ());
        state.index.advance();
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        let name = Name::new(slot, id);
        let state = &mut *self.state();
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
        let state = &mut *self.state();
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
        let state = &mut *self.state();
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
        self.state().index.usage(container)
    }

    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        self.state().index.owner_usage(container, owner)
    }

    fn stats(&self) -> Stats {
        Stats {
            damaged: self.damaged.load(Ordering::Relaxed),
            ..self.state().index.stats()
        }
    }

    fn ticket(&self) -> Ticket {
        self.state().index.ticket()
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        let ticket = {
            let state = self.state();
            state.check()?;
            state.index.ticket()
        };
        // When the write that fails was handed over by a change in progress, sled wakes this only
        // at the next change: it waits longer then, but never acknowledges.
        self.read(|database| database.sled.flush())?;
        Ok(ticket)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_stopped(&self) -> bool {
        self.state().stopped.is_some()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.state().check()?;
        self.read(|database| Ok(database.file.sync_all()?))
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        probe_space(self.folder.path())?;
        self.close();
        self.open_again()
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        self.close();
        wait_until_released(self.folder.path())?;
        self.folder.move_away(PLACE, quarantine)?;
        self.open_again()
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        let slot = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = slot.take() {
            // sled waits for its threads and unwraps an fsync: neither may hit the caller's thread.
            let closed = on_own_thread(|| {
                drop(database);
                wait_until_released(self.folder.path())
            });
            drop(closed);
        }
    }
}

#[derive(Debug)]
struct State {
    index: Index<()>,
    /// Why nothing is acknowledged any more.
    stopped: Option<StoreError>,
}

impl State {
    fn check(&self) -> Result<(), StoreError> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    /// Notes the first error and gives it to every caller from then on.
    fn stop(&mut self, error: StoreError) -> StoreError {
        self.stopped.get_or_insert(error).clone()
    }
}

#[derive(Debug)]
struct Database {
    sled: sled::Db,
    /// The file that sled writes to, opened once more: a failed write-back is told to every open
    /// file once, so an fsync here sees what sled's own fsync has seen.
    file: File,
}

struct Opened {
    database: Database,
    index: Index<()>,
    damaged: u64,
}

impl Database {
    /// Opens or makes the database inside `folder`, and reads all of it.
    fn open(folder: &Path, ticket: Ticket) -> Result<Opened, OpenError> {
        let place = folder.join(PLACE);
        if !place.is_dir() {
            create(folder, &place)?;
        }
        delete_unfinished_snapshots(&place)?;
        wait_until_released(folder)?;
        let sled = settings(&place).open().map_err(Fault::from)?;
        let file = File::open(place.join(DATA_FILE))?;
        let mut index = Index::new(ticket);
        let mut damaged = 0;
        for pair in sled.iter() {
            let (name, value) = pair.map_err(Fault::from)?;
            if let Some(entry) = layout::decode(&name, &value) {
                index.add(Name::new(&entry.slot, &entry.id), entry.columns, ());
            } else {
                sled.remove(name).map_err(Fault::from)?;
                damaged += 1;
            }
        }
        Ok(Opened {
            database: Self { sled, file },
            index,
            damaged,
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

/// Waits until no database of this process holds the file any more. sled's threads keep it a
/// little longer than its owner does.
fn wait_until_released(folder: &Path) -> Result<(), OpenError> {
    let file = match File::open(folder.join(PLACE).join(DATA_FILE)) {
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

/// Fails while there is less space than opening needs.
fn probe_space(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(PROBE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; SPACE_NEEDED])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    Ok(written.and(removed)?)
}

/// Runs work that may panic inside sled.
fn on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, OpenError> + Send,
) -> Result<T, OpenError> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("store".to_owned())
            .spawn_scoped(scope, work)?
            .join()
            .unwrap_or_else(|panic| Err(Fault::from_panic(panic.as_ref()).into()))
    })
}

/// What is said of a store that is closed, when nothing was wrong before.
fn closed() -> StoreError {
    let source = EngineFault::new("the store is closed until it is opened again");
    StoreError::Failed { source }
}

/// What went wrong in sled, before it is told apart by who asked.
struct Fault {
    kind: FaultKind,
    source: EngineFault,
}

enum FaultKind {
    Full,
    Failed,
    Corrupt,
}

impl Fault {
    fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self {
            kind: FaultKind::Corrupt,
            source: EngineFault::new(&format!("sled panicked: {text}")),
        }
    }
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

impl From<Fault> for StoreError {
    fn from(Fault { kind, source }: Fault) -> Self {
        match kind {
            FaultKind::Full => Self::DiskFull { source },
            FaultKind::Failed => Self::Failed { source },
            FaultKind::Corrupt => Self::Corrupt { source },
        }
    }
}

impl From<Fault> for OpenError {
    fn from(Fault { kind, source }: Fault) -> Self {
        match kind {
            FaultKind::Full => Self::DiskFull { source },
            FaultKind::Failed => Self::Failed { source },
            FaultKind::Corrupt => Self::Corrupt { source },
        }
    }
}

/// The newest format of the folder that this file reads, and the one it writes.
const FORMAT: u32 = 1;
/// Where the database lies inside the store's folder.
const PLACE: &str = "sled";
/// Where it lies until it is whole.
const UNFINISHED: &str = "sled.new";
/// The name that sled gives its log.
const DATA_FILE: &str = "db";
/// Written and removed to learn whether there is space.
const PROBE: &str = "space.probe";
/// The unit in which sled fills and reclaims its log, in bytes. A page above a quarter of it
/// becomes a file, and a page holds up to 21 entries (17, or 3 and a neighbour's 17 and one more
/// while they merge), each of at most 64 KiB and its header.
const SEGMENT_SIZE: usize = 8 * 1024 * 1024;
/// What opening may need in bytes: the rest of a segment, and a snapshot.
const SPACE_NEEDED: usize = 2 * SEGMENT_SIZE;
/// The memory that sled may use for pages, in bytes; its own default is 1 GiB.
const CACHE_CAPACITY: u64 = 16 * 1024 * 1024;
/// How often a closing database is looked at again: 5 s in all.
const RELEASE_ATTEMPTS: u32 = 5000;
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
