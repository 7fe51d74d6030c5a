//! The words in which a node's quota is spoken of: what is counted together, how much it is, and
//! how much has to go.
//!
//! What must stay true: these are names and sums. Which entries leave is decided in the index,
//! and what the limits are above this crate.

use qadom_routing::Key;

use crate::EntryId;

/// The entries of one slot whose ids begin with the same byte. Their users put there what kind of
/// record an entry is, so that a cap on the records of one kind in one slot is a cap on one of
/// these.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_store::{Container, EntryId};
///
/// let bag = Container { slot: Key::ZERO, first: 1 };
/// assert_eq!(Container::of(&Key::ZERO, &EntryId::new(&[1, 42])?), bag);
/// # Ok::<(), qadom_store::EntryIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    /// The point of the key space it lies at.
    pub slot: Key,
    /// The first byte of its ids.
    pub first: u8,
}

impl Container {
    /// The container of the entry named `id` in `slot`.
    pub fn of(slot: &Key, id: &EntryId) -> Self {
        Self {
            slot: *slot,
            first: id.as_bytes().first().copied().unwrap_or_default(),
        }
    }
}

/// Among which entries room is made.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Needed, Scope, Store};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let needed = Needed { charge: 1, records: 0 };
/// assert_eq!(store.evict(Scope::All, needed, &[])?.len(), 1);
/// assert_eq!(store.evict(Scope::All, needed, &[])?, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All that the store keeps.
    All,
    /// One container.
    Container(Container),
    /// What one owner has in one container. There the lowest rank leaves, whoever brought it.
    Owner(Container, [u8; 32]),
}

/// How much room is made: at least this many bytes *and* this many records.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Needed, Scope, Store};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// // Nothing has to go.
/// assert_eq!(store.evict(Scope::All, Needed::default(), &[])?, []);
/// // At least 100 bytes and one entry have to.
/// let needed = Needed { charge: 100, records: 1 };
/// assert_eq!(store.evict(Scope::All, needed, &[])?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Bytes, as the entries are charged.
    pub charge: u64,
    /// Entries.
    pub records: u64,
}

impl Needed {
    pub(crate) const fn is_met(self) -> bool {
        self.charge == 0 && self.records == 0
    }

    /// Takes off an entry that left.
    pub(crate) fn lessen(&mut self, charge: u32) {
        self.charge = self.charge.saturating_sub(u64::from(charge));
        self.records = self.records.saturating_sub(1);
    }
}

/// How much is kept somewhere, cached copies included.
///
/// # Examples
///
/// ```
/// use qadom_store::{Container, MemoryStore, Store, Usage};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let container = Container::of(&entry.slot, &entry.id);
/// assert_eq!(store.usage(&container), Usage { records: 1, charge: 517 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub records: u64,
    /// The sum of their charges in bytes.
    pub charge: u64,
}

impl Usage {
    pub(crate) const NONE: Self = Self {
        records: 0,
        charge: 0,
    };

    pub(crate) fn add(&mut self, charge: u32) {
        self.records += 1;
        self.charge += u64::from(charge);
    }

    pub(crate) fn subtract(&mut self, charge: u32) {
        self.records -= 1;
        self.charge -= u64::from(charge);
    }
}

/// The group of addresses that has most in a scope.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Scope, Store};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let largest = store.largest_group(Scope::All);
/// assert_eq!((largest.usage.charge, largest.groups), (517, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargestGroup {
    /// What it has.
    pub usage: Usage,
    /// How many groups have anything there, this one counted; 0 when nothing is there.
    pub groups: u64,
}

/// The name of an entry that left to make room.
///
/// # Examples
///
/// ```
/// use qadom_store::{Evicted, MemoryStore, Needed, Scope, Store};
/// # use qadom_store::{Class, Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let gone = store.evict(Scope::All, Needed { charge: 0, records: 1 }, &[])?;
/// assert_eq!(gone, [Evicted { slot: entry.slot, id: entry.id }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Evicted {
    /// The point of the key space it lay at.
    pub slot: Key,
    /// What told it from the other entries of the slot.
    pub id: EntryId,
}
