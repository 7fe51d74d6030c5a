//! The contract that every store keeps, and the two small types it speaks in.
//!
//! What must stay true: one suite of tests (`tests/contract.rs`) runs on every implementation, and
//! what is said here is what it checks. Engines are not known here.

use std::fmt::Debug;
use std::path::Path;

use qadom_routing::Key;

use crate::{
    Class, Container, Entry, EntryId, Evicted, LargestGroup, Needed, OpenError, Scope, StoreError,
    Usage,
};

/// A keeper of entries, shared by a driver that reads and changes and a flusher that commits.
///
/// - **Buffered**: a change is readable by every thread as soon as its call returns, and costs no
///   disk wait. Entries are ordered by slot, then by id. Each change is whole: an entry is there
///   with its columns, or it is not.
/// - **Committed**: every change gets the next [`Ticket`]. After [`commit`](Self::commit) has
///   returned ticket `t`, all changes up to `t` survive `kill -9`. A write is acknowledged only
///   then. Changes that were not committed may or may not survive, each of them whole.
/// - **Synced**: [`sync`](Self::sync) makes what was committed survive the loss of power.
/// - **Stopped**: after a failure of its engine a store acknowledges nothing until it is
///   [reopened](Self::reopen); see [`StoreError`].
///
/// Threads may call everything at the same time; `commit`, `sync`, `reopen` and `start_over` wait
/// for the disk and belong to one flusher thread. While one of these waits, no other call does.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_store::{Class, Columns, Entry, EntryId, MemoryStore, Store};
///
/// let store = MemoryStore::new();
/// let columns = Columns {
///     expires_at: 1_800_000_000,
///     charge: 517,
///     group: [0; 8],
///     owner: [0; 32],
///     rank: 0,
///     class: Class::Record,
/// };
/// let id = EntryId::new(b"value")?;
/// let entry = Entry { slot: Key::ZERO, id: id.clone(), bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// assert_eq!(store.get(&Key::ZERO, &id)?, Some(entry));
/// assert!(store.commit()? >= store.ticket());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Store: Debug + Send + Sync {
    /// The entry named `id` in `slot`. One that is damaged at rest is not given but removed, counted
    /// in [`Stats::damaged`] and named by [`take_damaged`](Self::take_damaged).
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the engine fails.
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError>;

    /// Buffers `entry`, in place of what had its slot and id.
    ///
    /// # Errors
    ///
    /// [`StoreError::EntryTooLarge`] above [`ENTRY_MAX`](crate::ENTRY_MAX),
    /// [`StoreError::Behind`] while too much waits for the disk, the others when the store has
    /// stopped.
    fn put(&self, entry: Entry) -> Result<(), StoreError>;

    /// Buffers the removal of an entry, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store has stopped.
    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError>;

    /// At most `limit` entries of `slot` in order of their ids, from `from` (inclusive, or the
    /// first) to `to` (exclusive, or the last).
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the engine fails.
    fn scan_slot(
        &self,
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// At most `limit` entries with slots from `from` to `to` (both inclusive) by slot and id;
    /// with `after`, only those that come behind that slot and id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the engine fails.
    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Removes entries of every class with `expires_at` at or below `until` (seconds UTC),
    /// earliest first, ties by slot and id, at most `limit`. Gives the number removed; `limit`
    /// means that there may be more.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store has stopped.
    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError>;

    /// Removes entries in `scope` until `needed` is freed or none is left but those named in `keep`
    /// (slot and id), and names what it removed, in that order. Each time that entry leaves which
    /// is, as things stand then and among those in scope that are not kept,
    ///
    /// 1. a cached copy, while there is any;
    /// 2. of the group with the largest charge in scope, ties by the higher bytes;
    /// 3. in it, of the owner with the largest charge there, ties by the higher bytes;
    /// 4. in it, the one with the lowest rank, ties by slot and id.
    ///
    /// Groups and owners are measured apart for cached copies and for records, and with what is
    /// kept. In the scope of one owner steps 2 and 3 are left out, so that its entries leave in the
    /// order of their ranks.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store has stopped; what had left before is not named.
    fn evict(
        &self,
        scope: Scope,
        needed: Needed,
        keep: &[(Key, EntryId)],
    ) -> Result<Vec<Evicted>, StoreError>;

    /// What is kept in a container now, buffered changes and cached copies included.
    fn usage(&self, container: &Container) -> Usage;

    /// What `owner` has in a container now, as [`usage`](Self::usage) counts it.
    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage;

    /// The group that has most in `scope` now, in records that the store answers for: the one that
    /// [`evict`](Self::evict) takes from once no cached copy is left. Of one owner's records it says
    /// what they are together.
    fn largest_group(&self, scope: Scope) -> LargestGroup;

    /// What is kept now, buffered changes included.
    fn stats(&self) -> Stats;

    /// The bytes of changes that wait in memory for a commit; at most about
    /// [`BUFFER_MAX`](crate::BUFFER_MAX), with which `put` begins to refuse.
    fn buffered(&self) -> usize {
        0
    }

    /// The names of entries that were found damaged, while opening or by a read, since this was
    /// asked last; the first 1024 of them. They are not served, so whoever can fetch them from
    /// elsewhere does.
    fn take_damaged(&self) -> Vec<(Key, EntryId)> {
        Vec::new()
    }

    /// The ticket of the last buffered change; [`Ticket::ZERO`] after opening.
    fn ticket(&self) -> Ticket;

    /// Waits until every change up to the returned ticket survives `kill -9`, and with
    /// [`Durability::Power`](crate::Durability::Power) the loss of power; at least those that were
    /// buffered before the call. Changes may be buffered meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store has stopped: all changes that no commit has covered are in
    /// doubt, and none of them may be acknowledged.
    fn commit(&self) -> Result<Ticket, StoreError>;

    /// Whether `commit` waits for a disk. With `false` it only reads the ticket, and nothing
    /// outlives the process.
    fn is_durable(&self) -> bool;

    /// Whether the store has stopped. Any call may have found that out; whoever notices tells the
    /// flusher, which reopens. Costs next to nothing.
    fn is_stopped(&self) -> bool;

    /// Waits until every change that was committed before the call survives the loss of power.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store has stopped or the disk refuses.
    fn sync(&self) -> Result<(), StoreError>;

    /// Starts a stopped store again from what is on the disk. Changes up to the returned ticket
    /// that no commit had covered may be lost, so they have to be given up before a later commit
    /// is reported. Tickets go on from there.
    ///
    /// # Errors
    ///
    /// [`OpenError::DiskFull`] while there is no space: the store stays stopped and reads go on.
    /// After any other error reads may fail too; trying again is allowed, but after
    /// [`OpenError::Corrupt`] only [`start_over`](Self::start_over) helps.
    fn reopen(&self) -> Result<Ticket, OpenError>;

    /// Moves the files of a store that is damaged into the folder `quarantine`, which is made for
    /// it on the same disk, and starts again without entries. Tickets go on as after a reopening.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the store stays stopped. When the files were moved already, reopening is what
    /// is left to do.
    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError>;
}

/// The number of a buffered change. Counts from 0 when a store is opened, never goes back, and is
/// not kept on disk.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Store, Ticket};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let ticket: Ticket = store.ticket();
/// assert!(ticket > Ticket::ZERO);
/// // Everything up to the ticket that is given is committed.
/// assert!(store.commit()? >= ticket);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// Takes the number of a change.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the change.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The ticket of the change after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How much a store keeps. All but `damaged` is the same after a reopening as before.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Stats, Store};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let stats = store.stats();
/// assert_eq!(stats, Stats { records: 1, charge: 517, ..Stats::default() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries of every class.
    pub records: u64,
    /// The sum of their charges in bytes.
    pub charge: u64,
    /// The part of `charge` that cached copies have.
    pub cached: u64,
    /// Entries whose checksum failed, while opening or at a read since. They are removed, so that
    /// they are not counted above.
    pub damaged: u64,
}

impl Stats {
    /// Of a store without entries.
    pub(crate) const EMPTY: Self = Self {
        records: 0,
        charge: 0,
        cached: 0,
        damaged: 0,
    };

    /// Counts an entry that was added.
    pub(crate) fn add(&mut self, class: Class, charge: u32) {
        let charge = u64::from(charge);
        self.records += 1;
        self.charge += charge;
        if class == Class::Cached {
            self.cached += charge;
        }
    }

    /// Takes back an entry that was counted.
    pub(crate) fn subtract(&mut self, class: Class, charge: u32) {
        let charge = u64::from(charge);
        self.records -= 1;
        self.charge -= charge;
        if class == Class::Cached {
            self.cached -= charge;
        }
    }
}
