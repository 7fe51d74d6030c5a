//! What the stores on disk have in common: one database in a claimed folder, the index and the
//! buffer beside it, and the rule that after one failure nothing is acknowledged until the store is
//! opened again.
//!
//! What must stay true: `state` is locked before `database`, no lock but that of the flushing
//! thread is held while a database is opened, closed, written or synced, and a panic of an engine
//! becomes an error before it reaches a lock. How the contract is kept is in `contract`; engines
//! are not known here.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::thread;

use crate::folder::Folder;
use crate::index::{Index, Record};
use crate::name::Name;
use crate::{Durability, EngineFault, OpenError, StoreError, Ticket, layout};

mod buffer;
mod contract;

pub(crate) use buffer::Changes;
pub(crate) use contract::OnDisk;

use buffer::Buffer;

/// The bytes that changes may take up before they are on the disk, 64 MiB. Above this nothing more
/// is put, because the disk is slower than those who write.
pub const BUFFER_MAX: usize = 64 * 1024 * 1024;

/// How many names of damaged entries are kept for whoever asks.
const DAMAGED_NAMES: usize = 1024;

/// An open database of one engine: names and values, in the order of the names.
pub(crate) trait Database: Debug + Send + Sync + Sized {
    /// The engine's name in the folder's mark.
    const ENGINE: &'static str;
    /// What makes a folder of each older format one of the next: the first step leads from format
    /// 1 to 2. A step that was cut short is done again from its beginning.
    const UPGRADES: &'static [Upgrade] = &[];
    /// The newest format of the folder that is read, and the one that is written.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are a handful of formats"
    )]
    const FORMAT: u32 = Self::UPGRADES.len() as u32 + 1;
    /// Where the database lies inside the store's folder.
    const PLACE: &'static str;
    /// What opening may need, in bytes.
    const SPACE_NEEDED: usize;
    /// What a change may need beside twice its own length, in bytes, as long as that is less than the
    /// database has: an engine that changes no page in place writes those anew that lead to it.
    const SPACE_PER_CHANGE: usize = 0;

    /// Opens or makes the database inside `folder`.
    fn open(folder: &Path) -> Result<Self, OpenError>;

    /// Gives the value of a name to `take`, if there is one.
    fn get<T>(&self, name: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Fault>;

    /// Shows names and values from `start` (inclusive) to `end` (exclusive, or to the last) until
    /// the visitor has enough.
    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault>;

    /// Makes changes, each whole, and waits until all of them survive `kill -9`.
    fn write(&self, changes: &Changes) -> Result<(), Fault>;

    /// Waits until what was written survives the loss of power.
    fn sync(&self) -> Result<(), Fault>;

    /// Waits until no database of this process uses the files any more.
    fn wait_until_released(folder: &Path) -> Result<(), OpenError>;

    /// The bytes that are free on the disk of a folder; none when the operating system does not say.
    fn free_space(folder: &Path) -> Option<u64> {
        let disk = rustix::fs::statvfs(folder).ok()?;
        let may_use_reserve = rustix::process::geteuid().is_root();
        let free = if may_use_reserve {
            disk.f_bfree
        } else {
            disk.f_bavail
        };
        // File systems that do not count have no blocks at all.
        let is_counted = disk.f_blocks > 0 && disk.f_frsize > 0;
        is_counted.then(|| free.saturating_mul(disk.f_frsize))
    }
}

/// Leads a folder from one format to the next.
pub(crate) type Upgrade = fn(&Path) -> Result<(), OpenError>;

/// What becomes of entries that turn out to be damaged while a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenDamaged {
    /// They are removed.
    Drop,
    /// They stay in the files, for whoever wants to look into them, and are not served.
    Keep,
}

#[derive(Debug)]
pub(crate) struct Disk<D: Database> {
    state: Mutex<State>,
    /// None while the store is opened again and after that failed; `state` is stopped then.
    database: RwLock<Option<D>>,
    /// Held by whoever waits for the disk, of whom there is one at a time.
    flushing: Mutex<()>,
    durability: Durability,
    /// Dropped last: the folder is free when the database is closed.
    folder: Folder,
}

impl<D: Database> Disk<D> {
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
        when_damaged: WhenDamaged,
    ) -> Result<Self, OpenError> {
        let folder = Folder::claim(path, D::ENGINE, D::FORMAT)?;
        let read = on_own_thread(|| {
            for (step, format) in D::UPGRADES.iter().zip(2..) {
                if folder.format() < format {
                    step(folder.path())?;
                    folder.mark(D::ENGINE, format)?;
                }
            }
            read::<D>(&folder, Ticket::ZERO, when_damaged)
        })?;
        Ok(Self {
            state: Mutex::new(read.state),
            database: RwLock::new(Some(read.database)),
            flushing: Mutex::new(()),
            durability,
            folder,
        })
    }

    /// A panic of an engine never passes through our locks, so a poisoned one is used on.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the engine without holding `state`, and stops it when the engine fails.
    pub(crate) fn ask<T>(
        &self,
        work: impl FnOnce(&D) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        match self.try_ask(work) {
            Some(answer) => answer.map_err(|error| self.state().stop(error)),
            None => Err(self.state().stopped.clone().unwrap_or_else(closed)),
        }
    }

    /// `None` when no database is open. Stops nothing, so that `state` may be held.
    fn try_ask<T>(
        &self,
        work: impl FnOnce(&D) -> Result<T, Fault>,
    ) -> Option<Result<T, StoreError>> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref()?;
        Some(match catch_unwind(AssertUnwindSafe(|| work(database))) {
            Ok(answer) => answer.map_err(StoreError::from),
            Err(panic) => Err(Fault::from_panic(panic.as_ref()).into()),
        })
    }

    /// Notes an entry of which the engine gave damaged bytes, and removes it unless it was replaced
    /// meanwhile.
    pub(crate) fn drop_damaged(&self, name: Name) {
        let state = &mut *self.state();
        if state.stopped.is_none() && state.buffer.get(&name).is_none() {
            let bytes = name.as_bytes();
            let again = self.try_ask(|database| {
                database.get(bytes, |value| layout::columns(bytes, value).is_none())
            });
            if matches!(again, Some(Ok(Some(true)))) {
                state.drop_entry(&name);
            }
        }
        // A stopped store cannot drop it, so that it is found by every read.
        if state.stopped.is_none() || !state.damage.names.contains(&name) {
            state.damage.note(name);
        }
    }

    fn flushing(&self) -> MutexGuard<'_, ()> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        // Nobody who commits waits for a store that is being reopened.
        self.state().check()?;
        let _flushing = self.flushing();
        self.check_space()?;
        let (ticket, changes) = {
            let mut state = self.state();
            state.check()?;
            (state.index.ticket(), state.buffer.begin())
        };
        if !changes.is_empty() {
            self.ask(|database| {
                database.write(&changes)?;
                match self.durability {
                    Durability::Kill => Ok(()),
                    Durability::Power => database.sync(),
                }
            })?;
            self.state().buffer.end();
        }
        Ok(ticket)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.state().check()?;
        let _flushing = self.flushing();
        self.state().check()?;
        self.ask(D::sync)
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        let _flushing = self.flushing();
        self.check_resumable()?;
        self.probe_space()?;
        if let Some(ticket) = self.read_again() {
            return Ok(ticket);
        }
        self.close();
        self.open_again()
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        let _flushing = self.flushing();
        self.close();
        D::wait_until_released(self.folder.path())?;
        self.folder.move_away(D::PLACE, quarantine)?;
        self.open_again()
    }

    /// Stops the store and closes its database, without holding a lock while the engine ends:
    /// whoever calls meanwhile is refused at once.
    fn close(&self) {
        let old = {
            let mut state = self.state();
            state.stop(closed());
            self.lock_database().take()
        };
        // Engines panic over a failing disk while they end, so that it would look like damage;
        // whether there is damage, the next opening finds out.
        drop(on_own_thread(|| {
            drop(old);
            Ok(())
        }));
    }

    /// Opens the database of a closed store; no lock is held while all of it is read.
    fn open_again(&self) -> Result<Ticket, OpenError> {
        // Nothing is buffered while the store is stopped, so that the ticket stays.
        let ticket = self.state().index.ticket();
        let read = on_own_thread(|| read::<D>(&self.folder, ticket, WhenDamaged::Drop))?;
        let mut state = self.state();
        *self.lock_database() = Some(read.database);
        Ok(state.go_on(read.state))
    }

    /// Goes on with the open database, which answered all the while, without what it was not given;
    /// none when the store did not stop only for want of space.
    fn read_again(&self) -> Option<Ticket> {
        let ticket = {
            let state = self.state();
            state.spared.map(|_| state.index.ticket())?
        };
        let read = self.try_ask(|database| read_all(database, ticket, WhenDamaged::Drop))?;
        let mut state = self.state();
        // The engine may have failed somebody who read meanwhile.
        state.spared?;
        Some(state.go_on(read.ok()?))
    }

    fn lock_database(&self) -> RwLockWriteGuard<'_, Option<D>> {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the store while there is less space than writing all changes may take: an engine whose
    /// disk is full has to be opened again, and answers nothing meanwhile.
    fn check_space(&self) -> Result<(), StoreError> {
        let Some(free) = D::free_space(self.folder.path()) else {
            return Ok(());
        };
        let place = self.folder.path().join(D::PLACE);
        let database = fs::metadata(place).map_or(0, |file| file.len());
        let mut state = self.state();
        state.check()?;
        let (changes, bytes) = (state.buffer.changes(), state.buffer.size() as u64);
        let pages = ((changes * D::SPACE_PER_CHANGE) as u64).min(database);
        let needed = D::SPACE_NEEDED as u64 + 2 * bytes + pages;
        if changes == 0 || free >= needed {
            return Ok(());
        }
        let error = state.stop(StoreError::DiskFull {
            source: EngineFault::new(&format!("{free} bytes are free, {needed} may be needed")),
        });
        state.spared = Some(needed);
        Err(error)
    }

    /// Fails while what was too much for the disk would be too much again, or nearly.
    fn check_resumable(&self) -> Result<(), OpenError> {
        let Some(needed) = self.state().spared else {
            return Ok(());
        };
        let wanted = needed.saturating_add(D::SPACE_NEEDED as u64);
        match D::free_space(self.folder.path()) {
            Some(free) if free < wanted => Err(OpenError::DiskFull {
                source: EngineFault::new(&format!("{free} bytes are free, {wanted} are wanted")),
            }),
            _ => Ok(()),
        }
    }

    /// Fails while there is less space than opening needs.
    fn probe_space(&self) -> Result<(), OpenError> {
        let path = self.folder.path().join(PROBE);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; D::SPACE_NEEDED])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        Ok(written.and(removed)?)
    }
}

impl<D: Database> Drop for Disk<D> {
    fn drop(&mut self) {
        let slot = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = slot.take() {
            // The engine waits for its threads and may panic: neither may hit the caller's thread.
            let closed = on_own_thread(|| {
                drop(database);
                D::wait_until_released(self.folder.path())
            });
            drop(closed);
        }
    }
}

/// A database that was opened and read.
struct Read<D> {
    database: D,
    state: State,
}

fn read<D: Database>(
    folder: &Folder,
    ticket: Ticket,
    when_damaged: WhenDamaged,
) -> Result<Read<D>, OpenError> {
    let database = D::open(folder.path())?;
    let state = read_all(&database, ticket, when_damaged)?;
    Ok(Read { database, state })
}

/// Reads every entry once, to check it and to order them.
fn read_all<D: Database>(
    database: &D,
    ticket: Ticket,
    when_damaged: WhenDamaged,
) -> Result<State, Fault> {
    let mut records = Vec::new();
    let mut damaged = Changes::new();
    let visit = |name: &[u8], value: &[u8]| {
        let columns = layout::columns(name, value);
        let name = Name::trusted(name);
        match columns {
            Some(columns) => {
                let content = ();
                records.push(Arc::new(Record {
                    name,
                    columns,
                    content,
                }));
            }
            None => drop(damaged.insert(name, None)),
        }
        ControlFlow::Continue(())
    };
    database.scan(&[], None, visit)?;
    let index = Index::of(&records, ticket);
    if when_damaged == WhenDamaged::Drop && !damaged.is_empty() {
        database.write(&damaged)?;
    }
    let mut damage = Damage::default();
    for name in damaged.into_keys() {
        damage.note(name);
    }
    Ok(State {
        index,
        buffer: Buffer::default(),
        damage,
        stopped: None,
        spared: None,
    })
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: Index<()>,
    pub(crate) buffer: Buffer,
    pub(crate) damage: Damage,
    /// Why nothing is acknowledged any more.
    pub(crate) stopped: Option<StoreError>,
    /// It stopped for want of so many bytes alone, before the engine was asked to write: the open
    /// database is as good as ever.
    spared: Option<u64>,
}

impl State {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    /// Notes the first error and gives it to every caller from then on.
    pub(crate) fn stop(&mut self, error: StoreError) -> StoreError {
        self.spared = None;
        self.stopped.get_or_insert(error).clone()
    }

    /// Becomes one that was read anew, and runs again.
    fn go_on(&mut self, mut read: Self) -> Ticket {
        read.damage.join(&mut self.damage);
        *self = read;
        self.index.ticket()
    }

    /// Removes an entry that is listed.
    pub(crate) fn drop_entry(&mut self, name: &Name) {
        self.index.strike(name);
        self.index.advance();
        self.buffer.note(name.clone(), None);
    }
}

/// What was found damaged since the store was opened first.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    count: u64,
    /// Of the first of them, for whoever can fetch them from elsewhere.
    names: BTreeSet<Name>,
}

impl Damage {
    fn note(&mut self, name: Name) {
        self.count += 1;
        if self.names.len() < DAMAGED_NAMES && name.is_of_entry() {
            self.names.insert(name);
        }
    }

    fn join(&mut self, older: &mut Self) {
        self.count += older.count;
        self.names.append(&mut older.names);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn take_names(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.names)
    }
}

/// What went wrong in an engine, before it is told apart by who asked.
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) source: EngineFault,
}

pub(crate) enum FaultKind {
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
            source: EngineFault::new(&format!("the engine panicked: {text}")),
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

/// Runs work that may panic inside an engine.
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

/// Written and removed to learn whether there is space.
const PROBE: &str = "space.probe";

/// Lets the tests of an engine change what is at rest.
#[cfg(test)]
impl<D: Database> Disk<D> {
    pub(crate) fn with_database<T>(&self, work: impl FnOnce(&D) -> T) -> T {
        work(self.database.read().unwrap().as_ref().unwrap())
    }
}

#[cfg(test)]
mod tests;
