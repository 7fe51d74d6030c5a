//! What the stores on disk have in common: one database in a claimed folder, the index beside it,
//! and the rule that after one failure nothing is acknowledged until the store is opened again.
//!
//! What must stay true: `state` is locked before `database`, no lock is held while a database is
//! opened or closed, and a panic of an engine becomes an error before it reaches a lock. Engines
//! are not known here.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::thread;

use crate::folder::Folder;
use crate::index::Index;
use crate::{EngineFault, Entry, OpenError, Stats, StoreError, Ticket, layout};

/// An open database of one engine.
pub(crate) trait Database: Debug + Send + Sync + Sized {
    /// The engine's name in the folder's mark.
    const ENGINE: &'static str;
    /// The newest format of the folder that is read, and the one that is written.
    const FORMAT: u32;
    /// Where the database lies inside the store's folder.
    const PLACE: &'static str;
    /// What opening may need, in bytes.
    const SPACE_NEEDED: usize;

    /// What is changed, but not handed to the engine yet.
    type Buffer: Debug + Default + Send;

    /// Opens or makes the database inside `folder`, and reads all of it.
    fn open(folder: &Path, ticket: Ticket) -> Result<Opened<Self>, OpenError>;

    /// Waits until no database of this process uses the files any more.
    fn wait_until_released(folder: &Path) -> Result<(), OpenError>;
}

/// A database with what was read from it.
pub(crate) struct Opened<D> {
    pub(crate) database: D,
    pub(crate) index: Index<()>,
    /// Entries that were dropped because their checksum failed.
    pub(crate) damaged: u64,
}

#[derive(Debug)]
pub(crate) struct Disk<D: Database> {
    state: Mutex<State<D::Buffer>>,
    /// None while the store is opened again and after that failed; `state` is stopped then.
    database: RwLock<Option<D>>,
    damaged: AtomicU64,
    /// Dropped last: the folder is free when the database is closed.
    folder: Folder,
}

impl<D: Database> Disk<D> {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Folder::claim(path, D::ENGINE, D::FORMAT)?;
        let opened = on_own_thread(|| D::open(folder.path(), Ticket::ZERO))?;
        Ok(Self {
            state: Mutex::new(State {
                index: opened.index,
                buffer: D::Buffer::default(),
                stopped: None,
            }),
            database: RwLock::new(Some(opened.database)),
            damaged: AtomicU64::new(opened.damaged),
            folder,
        })
    }

    /// A panic of an engine never passes through our locks, so a poisoned one is used on.
    pub(crate) fn state(&self) -> MutexGuard<'_, State<D::Buffer>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            damaged: self.damaged.load(Ordering::Relaxed),
            ..self.state().index.stats()
        }
    }

    /// Asks the engine without holding `state`, and stops it when the engine fails.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&D) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        match self.ask(work) {
            Some(answer) => answer.map_err(|error| self.state().stop(error)),
            None => Err(self.state().stopped.clone().unwrap_or_else(closed)),
        }
    }

    /// The entry stored as `value`, which is counted when it is damaged.
    pub(crate) fn decode(&self, name: &[u8], value: &[u8]) -> Option<Entry> {
        let entry = layout::decode(name, value);
        if entry.is_none() {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        entry
    }

    pub(crate) fn reopen(&self) -> Result<Ticket, OpenError> {
        self.probe_space()?;
        self.close();
        self.open_again()
    }

    pub(crate) fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        self.close();
        D::wait_until_released(self.folder.path())?;
        self.folder.move_away(D::PLACE, quarantine)?;
        self.open_again()
    }

    /// `None` when no database is open. Stops nothing.
    pub(crate) fn ask<T>(
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
        let opened = on_own_thread(|| D::open(self.folder.path(), ticket))?;
        let mut state = self.state();
        *self.lock_database() = Some(opened.database);
        *state = State {
            index: opened.index,
            buffer: D::Buffer::default(),
            stopped: None,
        };
        self.damaged.fetch_add(opened.damaged, Ordering::Relaxed);
        Ok(ticket)
    }

    fn lock_database(&self) -> RwLockWriteGuard<'_, Option<D>> {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
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

#[derive(Debug)]
pub(crate) struct State<B> {
    pub(crate) index: Index<()>,
    #[cfg_attr(
        not(feature = "redb"),
        expect(dead_code, reason = "only redb leaves the buffering to us")
    )]
    pub(crate) buffer: B,
    /// Why nothing is acknowledged any more.
    pub(crate) stopped: Option<StoreError>,
}

impl<B> State<B> {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    /// Notes the first error and gives it to every caller from then on.
    pub(crate) fn stop(&mut self, error: StoreError) -> StoreError {
        self.stopped.get_or_insert(error).clone()
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
pub(crate) fn closed() -> StoreError {
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
