//! Values as entries of the store.
//!
//! What must stay true: a value is only read back under the key that its bytes hash to, and is
//! given out only before its deadline. The store knows nothing of this.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use qadom_routing::Key;
use qadom_store::{Class, Columns, Entry, Store, StoreError};
use qadom_wire::{Kind, Record, SourceGroup, StoreClass, StoreItem, VALUE_TTL_MAX, Value};

use crate::records::{ENTRY_OVERHEAD, counted_for, entry_id};
use crate::time::Time;

/// The longest life of a copy that a reader leaves on its path.
pub(crate) const CACHED_TTL: Duration = Duration::from_mins(10);

/// Deadline and time of storing, in front of the payload.
const HEADER_LENGTH: usize = 16;

/// A value as this node holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The value, known to hash to its key.
    pub(crate) value: Value,
    /// Until when the value lives, in seconds of UTC; only what is left of it is passed on.
    pub(crate) deadline: u64,
    /// Until when this node keeps it, never after the deadline.
    pub(crate) keep_until: u64,
    /// When it was last stored or renewed here, in microseconds of UTC.
    pub(crate) stored_at: u64,
    /// Whether it is a copy left on a lookup's path.
    pub(crate) cached: bool,
    /// The group that it counts for: where it was first stored from, or whose replicas it is among;
    /// zeros when this node wrote it, and in local mode.
    pub(crate) group: [u8; 8],
}

impl Held {
    /// A value that is stored now, with this much life left.
    pub(crate) fn new(value: Value, class: StoreClass, ttl_seconds: u64, now: Time) -> Self {
        let cached = class == StoreClass::Cached;
        let longest = if cached { CACHED_TTL } else { VALUE_TTL_MAX };
        let deadline = now.utc_seconds() + ttl_seconds.min(longest.as_secs());
        let stored_at = now.utc_micros;
        Self {
            value,
            deadline,
            keep_until: deadline,
            stored_at,
            cached,
            group: counted_for(None),
        }
    }

    /// The value for another holder, with what is left of its life; `None` when that is over.
    pub(crate) fn to_replica(&self, now: Time) -> Option<StoreItem> {
        let left = self.deadline.saturating_sub(now.utc_seconds());
        Some(StoreItem {
            record: Record::Value(self.value.clone()),
            class: StoreClass::Replica,
            ttl_seconds: u32::try_from(left).ok().filter(|&left| left > 0)?,
            group: SourceGroup::from_bytes(self.group),
            exclusive: false,
        })
    }

    /// The value as it stands after it was stored once more: life only grows, and a cached copy
    /// never touches a real one.
    pub(crate) fn merged(self, old: &Self) -> Self {
        if self.cached && !old.cached {
            return old.clone();
        }
        let deadline = self.deadline.max(old.deadline);
        if self.cached || !old.cached {
            Self {
                deadline,
                keep_until: self.keep_until.max(old.keep_until),
                group: old.group,
                ..self
            }
        } else {
            self
        }
    }

    /// Whether it may still be given out.
    pub(crate) const fn is_alive(&self, now: Time) -> bool {
        now.utc_seconds() < self.keep_until
    }

    /// The entry that the store of the node at `own` keeps.
    pub(crate) fn into_entry(self, own: &Key) -> Entry {
        let payload = self.value.bytes();
        let mut bytes = BytesMut::with_capacity(HEADER_LENGTH + payload.len());
        bytes.put_u64(self.deadline);
        bytes.put_u64(self.stored_at);
        bytes.extend_from_slice(payload);
        let charge = u32::try_from(payload.len()).unwrap_or(u32::MAX - ENTRY_OVERHEAD);
        let key = *self.value.key();
        Entry {
            slot: key,
            id: entry_id(Kind::Value, &key),
            bytes: bytes.freeze(),
            columns: Columns {
                expires_at: self.keep_until,
                charge: charge + ENTRY_OVERHEAD,
                group: self.group,
                owner: [0; 32],
                rank: u64::from(own.distance(&key).shared_bits()),
                class: if self.cached {
                    Class::Cached
                } else {
                    Class::Record
                },
            },
        }
    }

    /// Whether an entry was not renewed for this long and is to be brought to others again. Tells
    /// without reading the value.
    pub(crate) fn is_due(entry: &Entry, every: Duration, now: Time) -> bool {
        let stored_at = entry
            .bytes
            .get(8..HEADER_LENGTH)
            .and_then(|bytes| bytes.try_into().ok());
        let age = now
            .utc_micros
            .saturating_sub(stored_at.map_or(0, u64::from_be_bytes));
        entry.columns.class == Class::Record
            && now.utc_seconds() < entry.columns.expires_at
            && u128::from(age) >= every.as_micros()
    }

    /// The value that a store holds under a key, as long as it may be given out. While the time is not known nothing
    /// counts as expired.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    pub(crate) fn read(
        store: &dyn Store,
        key: &Key,
        now: Time,
        is_time_known: bool,
    ) -> Result<Option<Self>, StoreError> {
        let entry = store.get(key, &entry_id(Kind::Value, key))?;
        let held = entry.as_ref().and_then(Self::from_entry);
        Ok(held.filter(|held| !is_time_known || held.is_alive(now)))
    }

    /// Reads an entry back; `None` when it is no value or does not hash to its slot.
    pub(crate) fn from_entry(entry: &Entry) -> Option<Self> {
        let (deadline, rest) = entry.bytes.split_first_chunk::<8>()?;
        let (stored_at, _) = rest.split_first_chunk::<8>()?;
        let payload: Bytes = entry.bytes.slice(HEADER_LENGTH..);
        Some(Self {
            value: Value::checked(&entry.slot, payload).ok()?,
            deadline: u64::from_be_bytes(*deadline),
            keep_until: entry.columns.expires_at,
            stored_at: u64::from_be_bytes(*stored_at),
            cached: entry.columns.class == Class::Cached,
            group: entry.columns.group,
        })
    }
}
