//! What users watch, and what they are told.
//!
//! What must stay true: the events of a writer are told in its order and once, and what is missing
//! between them is told as a gap. How that comes about is the business of `ordering` and of the
//! subscribe operation.

use qadom_routing::Key;
use qadom_wire::{Cursor, Kind, Verified, Writer};

/// What is watched: the records of one kind under one slot.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Since, WatchSlot};
///
#[doc = include_str!("examples/alone.txt")]
/// let slot = qadom_wire::dict_slot(b"colour")?;
/// let slot = WatchSlot { slot, kind: qadom_wire::Kind::DictCell };
/// engine.watch(now, slot, Since::Now);
/// assert_eq!(engine.status().subscriptions, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchSlot {
    /// The slot.
    pub slot: Key,
    /// The kind; values cannot be watched.
    pub kind: Kind,
}

/// Where watching begins.
///
/// # Examples
///
/// ```
/// use qadom_engine::Since;
/// use qadom_wire::Cursor;
///
/// // First everything that is still held.
/// let all = Since::Cursor(Cursor::new());
/// assert_ne!(all, Since::Now);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// With what is written from now on.
    Now,
    /// Behind what this cursor has seen: first the backlog that is still held, then live. The empty
    /// cursor begins with the oldest that is held.
    Cursor(Cursor),
}

/// What a subscription tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A record, new to this subscription. Tombstones are told too, and so are versions that
    /// replace others; a renewal is not.
    Record {
        /// The record.
        record: Verified,
        /// What was told up to this record. Watching since this cursor goes on behind it.
        cursor: Cursor,
    },
    /// Events of a topic that no holder had within 5 s; what lies behind them follows.
    Gap {
        /// Who published them.
        writer: Writer,
        /// The stream of the writer that they are part of.
        stream: u64,
        /// The first one that is missing.
        from_seq: u64,
        /// The last one that is missing.
        to_seq: u64,
    },
    /// A holder had more for this node than its queue takes. Of a topic, gaps tell what is missing;
    /// of a bag, a dict name or a namespace, reading it anew tells how it stands.
    Skipped {
        /// How many records that holder dropped.
        records: u64,
    },
}
