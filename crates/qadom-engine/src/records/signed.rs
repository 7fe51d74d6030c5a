//! Signed records as entries of the store.
//!
//! What must stay true: an entry stays at least until nothing of its identity that was ever held
//! here could be stored again, so that it is the floor below which no older version comes back;
//! and it is read back only in the network that its record was verified for.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use qadom_store::{Class, Columns, Entry};
use qadom_wire::{Kind, MAX_TTL, NetworkId, SignedRecord, SourceGroup, Verified};

use crate::records::{ENTRY_OVERHEAD, counted_for, entry_id};
use crate::time::Time;

/// How far clocks may be apart, in seconds: so long after its end a record is still accepted and
/// kept, and so far ahead of the own clock its life and version may lie.
pub(crate) const CLOCK_TOLERANCE: u64 = 3600;

/// The highest age that a rank has, far in the future as a reading of a clock.
const AGE_MAX: u64 = u64::MAX >> 1;

/// The seq of a bag item or a cell of a dict, by the rank of its entry.
pub(crate) const fn seq_of_rank(rank: u64) -> u64 {
    rank & AGE_MAX
}

/// Time of storing, end of the floor, expiry and hash, in front of the record.
const HEADER_LENGTH: usize = 8 + 8 + 8 + 32;

/// A signed record as this node holds it.
#[derive(Clone, Debug)]
pub(crate) struct HeldRecord {
    /// The record.
    pub(crate) record: Verified,
    /// When it was stored or renewed here, in microseconds of UTC.
    pub(crate) stored_at: u64,
    /// The latest expiry of what it replaced, in seconds of UTC; 0 when it is the first.
    pub(crate) floor_until: u64,
    /// The group that it counts for: where it was first stored from, or whose replicas it is among;
    /// zeros when this node wrote it, and in local mode.
    pub(crate) group: [u8; 8],
}

/// What an entry says of its record without the record being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// When it was stored or renewed here, in microseconds of UTC.
    pub(crate) stored_at: u64,
    /// The latest expiry of what it replaced, in seconds of UTC.
    pub(crate) floor_until: u64,
    /// When it ends, in seconds of UTC.
    pub(crate) expiry: u64,
    /// Its hash.
    pub(crate) hash: [u8; 32],
}

impl Summary {
    /// Reads the front of an entry's bytes.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let mut front = bytes.get(..HEADER_LENGTH)?;
        let summary = Self {
            stored_at: front.get_u64(),
            floor_until: front.get_u64(),
            expiry: front.get_u64(),
            hash: front.try_into().ok()?,
        };
        Some(summary)
    }
}

/// Whether a record with this expiry may be given out. A life that no writer may give is none: it
/// was taken in while the time was not known.
pub(crate) const fn is_alive(expiry: u64, now: Time) -> bool {
    let now = now.utc_seconds();
    now < expiry && expiry <= now.saturating_add(MAX_TTL.as_secs() + CLOCK_TOLERANCE)
}

/// Whether a version may be given out. One from the future, by the clocks of those kinds that follow
/// them, was taken in while the time was not known as well.
pub(crate) const fn is_present(kind: Kind, seq: u64, now: Time) -> bool {
    let latest = now.utc_micros.saturating_add(CLOCK_TOLERANCE * 1_000_000);
    !matches!(kind, Kind::BagItem | Kind::DictCell) || seq <= latest
}

impl HeldRecord {
    /// The record in place of another one of its identity.
    pub(crate) fn replacing(
        record: Verified,
        old: Option<&Self>,
        group: Option<SourceGroup>,
        now: Time,
    ) -> Self {
        let floor_until = old.map_or(0, |old| old.floor_until.max(old.record.expiry()));
        let is_renewal = old.is_some_and(|old| {
            (old.record.stream(), old.record.seq()) == (record.stream(), record.seq())
                && old.record.payload_hash() == record.payload_hash()
        });
        Self {
            record,
            stored_at: now.utc_micros,
            floor_until,
            // A renewal takes up no room of its own.
            group: old
                .filter(|_| is_renewal)
                .map_or_else(|| counted_for(group), |old| old.group),
        }
    }

    /// The age by which records of one writer leave when room is made; the lowest leaves first. The
    /// same at all holders where the record tells it, so that what left one is not brought back by
    /// the next. Tombstones leave behind all else that their writer has there: what they bury would
    /// come back.
    fn rank(&self) -> u64 {
        let record = &self.record;
        let age = match record.kind() {
            Kind::BagItem | Kind::DictCell => record.seq(),
            Kind::Event => record.stream().saturating_add(record.seq()),
            Kind::Value | Kind::NamespaceEntry => self.stored_at,
        };
        let tombstone = u64::from(record.is_tombstone()) << 63;
        age.min(AGE_MAX) | tombstone
    }

    /// The entry that the store keeps.
    pub(crate) fn into_entry(self) -> Entry {
        let record = &self.record;
        let encoded = record.to_bytes();
        let mut bytes = BytesMut::with_capacity(HEADER_LENGTH + encoded.len());
        bytes.put_u64(self.stored_at);
        bytes.put_u64(self.floor_until);
        bytes.put_u64(record.expiry());
        bytes.put_slice(record.hash());
        bytes.put_slice(&encoded);
        let length = u32::try_from(record.payload().len()).unwrap_or(u32::MAX - ENTRY_OVERHEAD);
        let last = record.expiry().max(self.floor_until);
        Entry {
            slot: *record.slot(),
            id: entry_id(record.kind(), record.id()),
            bytes: bytes.freeze(),
            columns: Columns {
                expires_at: last.saturating_add(CLOCK_TOLERANCE),
                charge: length + ENTRY_OVERHEAD,
                group: self.group,
                owner: *record.writer().as_bytes(),
                rank: self.rank(),
                class: Class::Record,
            },
        }
    }

    /// Reads an entry back; `None` when it is no signed record of this network.
    pub(crate) fn from_entry(entry: &Entry, network: &NetworkId) -> Option<Self> {
        let summary = Summary::of(&entry.bytes)?;
        let encoded: Bytes = entry.bytes.slice(HEADER_LENGTH..);
        let record = SignedRecord::from_bytes(encoded).ok()?;
        let record = Verified::from_own_store(record, network);
        let is_named_so = entry.id == entry_id(record.kind(), record.id());
        let is_whole = *record.hash() == summary.hash && *record.slot() == entry.slot;
        (is_named_so && is_whole).then_some(Self {
            record,
            stored_at: summary.stored_at,
            floor_until: summary.floor_until,
            group: entry.columns.group,
        })
    }

    /// Whether the record may be given out.
    pub(crate) fn is_alive(&self, now: Time) -> bool {
        is_alive(self.record.expiry(), now)
            && is_present(self.record.kind(), self.record.seq(), now)
    }
}
