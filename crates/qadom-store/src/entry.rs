//! What a store keeps: an entry, named by slot and id, with the columns it is ordered by.
//!
//! What must stay true: an [`EntryId`] has 1 to 64 bytes wherever it comes from. What the bytes of
//! an entry mean is not known here.

use bytes::Bytes;
use qadom_routing::Key;

/// The largest number of bytes in an entry, 64 KiB. Larger blobs belong into plain files: sled
/// keeps values above 128 KiB in files of its own, which it leaks.
pub const ENTRY_MAX: usize = 64 * 1024;

/// What tells the entries of one slot apart: 1 to 64 bytes, ordered as unsigned bytes.
///
/// # Examples
///
/// ```
/// use qadom_store::EntryId;
///
/// let id = EntryId::new(b"writer")?;
/// assert!(id < EntryId::new(b"writer 2")?);
/// assert!(EntryId::new(b"").is_err());
/// # Ok::<(), qadom_store::EntryIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Bytes);

impl EntryId {
    /// The length of the longest id in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// Copies the bytes of an id, so that no larger buffer is kept alive.
    ///
    /// # Errors
    ///
    /// [`EntryIdError`] when there are none or more than 64; the caller is at fault.
    pub fn new(bytes: &[u8]) -> Result<Self, EntryIdError> {
        if bytes.is_empty() || bytes.len() > Self::LENGTH_MAX {
            Err(EntryIdError {
                length: bytes.len(),
            })
        } else {
            Ok(Self(Bytes::copy_from_slice(bytes)))
        }
    }

    /// Copies the bytes of an id that was checked before.
    pub(crate) fn trusted(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The bytes of the id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An id was empty or too long. The caller is at fault; nothing was changed.
///
/// # Examples
///
/// ```
/// use qadom_store::{EntryId, EntryIdError};
///
/// assert_eq!(EntryId::new(&[0; 65]), Err(EntryIdError { length: 65 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry id has 1 to 64 bytes, this one has {length}")]
pub struct EntryIdError {
    /// The length of the refused id in bytes.
    pub length: usize,
}

/// One thing kept, of at most [`ENTRY_MAX`] bytes.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_store::{Class, Columns, Entry, EntryId, MemoryStore, Store};
///
/// let entry = Entry {
///     slot: Key::from_name(b"greeting")?,
///     id: EntryId::new(b"value")?,
///     bytes: "hello".into(),
///     columns: Columns {
///         expires_at: 1_800_000_000,
///         charge: 517,
///         group: [0; 8],
///         owner: [0; 32],
///         rank: 0,
///         class: Class::Record,
///     },
/// };
/// let store = MemoryStore::new();
/// store.put(entry.clone())?;
/// assert_eq!(store.get(&entry.slot, &entry.id)?, Some(entry));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The point of the key space it lies at.
    pub slot: Key,
    /// What tells it from the other entries of the slot.
    pub id: EntryId,
    /// Its content, opaque to the store, at most [`ENTRY_MAX`] bytes.
    pub bytes: Bytes,
    /// What it is ordered, charged and evicted by.
    pub columns: Columns,
}

/// The facts about an entry that are kept beside its bytes, by which it is counted and leaves.
///
/// # Examples
///
/// ```
/// use qadom_store::{Class, Columns};
///
/// let columns = Columns {
///     expires_at: 1_800_000_000,
///     charge: 517,
///     group: [4, 192, 0, 2, 0, 0, 0, 0],
///     owner: [7; 32],
///     rank: 1_700_000_000,
///     class: Class::Record,
/// };
/// // A copy that a reader left leaves first when the store is full.
/// let cached = Columns { class: Class::Cached, ..columns };
/// assert_ne!(cached, columns);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// When the entry may be removed, in seconds UTC.
    pub expires_at: u64,
    /// What the entry costs its node, in bytes.
    pub charge: u32,
    /// The group of addresses that first brought it.
    pub group: [u8; 8],
    /// Its writer; zeros for entries without one.
    pub owner: [u8; 32],
    /// Its order inside owner and group: the lowest leaves first. What it measures is its user's
    /// affair, such as the time it was stored, or for values how near they lie.
    pub rank: u64,
    /// How it is kept.
    pub class: Class,
}

/// How an entry is kept.
///
/// # Examples
///
/// ```
/// use qadom_store::{Class, MemoryStore, Store};
/// # use qadom_store::{Columns, Entry, EntryId};
///
/// let store = MemoryStore::new();
/// # let id = EntryId::new(b"value")?;
/// # let columns = Columns { expires_at: 1_800_000_000, charge: 517, group: [0; 8], owner: [0; 32], rank: 0, class: Class::Record };
/// # let slot = qadom_routing::Key::ZERO;
/// # let entry = Entry { slot, id, bytes: "hello".into(), columns };
/// store.put(entry.clone())?;
/// let cached = Columns { class: Class::Cached, ..columns };
/// let id = EntryId::new(b"copy")?;
/// store.put(Entry { slot, id, bytes: "copy".into(), columns: cached })?;
/// // One of both is a copy, which leaves first.
/// assert_eq!((store.stats().records, store.stats().cached), (2, 517));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A record that this node answers for. Leaves to make room only when no cached copy is left.
    Record,
    /// A copy left by a lookup. Leaves first when room is made.
    Cached,
}
