//! Which entries of a journal make which others meaningless, for a driver that keeps them by name.
//!
//! What must stay true: the entries that remain when each change is made on a map, in the order in
//! which they were last written, restore what all of them would.

use bytes::{BufMut, Bytes, BytesMut};
use qadom_routing::KEY_LENGTH;

use super::{JournalEntry, put_blocked, put_id};
use crate::engine::Engine;
use crate::publications::promise::PublicationId;

const PUBLISHED: u8 = 1;
const RENEWED: u8 = 2;
const SIGNED: u8 = 3;
const STREAM: u8 = 4;
const SEEN: u8 = 5;
const BLOCKED: u8 = 6;

impl JournalEntry {
    /// What the entry changes in a map of entries by name: each name, of at most 66 bytes, gets
    /// new bytes or is removed.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_engine::{JournalEntry, PublicationId};
    /// use qadom_routing::Key;
    /// use qadom_wire::Kind;
    ///
    /// let id = PublicationId { slot: Key::ZERO, kind: Kind::Value, item: Key::ZERO };
    /// let changes = JournalEntry::Withdrawn(id).changes();
    /// assert!(changes.iter().all(|(_, bytes)| bytes.is_none()));
    /// ```
    pub fn changes(&self) -> Vec<(Bytes, Option<Bytes>)> {
        match self {
            Self::Withdrawn(id) => published(id).map(|name| (name, None)).into(),
            Self::Unblocked(_) => vec![(self.name(), None)],
            _ => vec![(self.name(), Some(self.to_bytes()))],
        }
    }

    fn name(&self) -> Bytes {
        match self {
            Self::Published(promise) => of_id(PUBLISHED, &promise.id()),
            Self::Renewed(standing) => of_id(RENEWED, &standing.id),
            Self::Withdrawn(id) => of_id(PUBLISHED, id),
            Self::Signed { id, .. } => of_id(SIGNED, id),
            Self::Stream { writer, .. } => of_bytes(STREAM, writer.as_bytes()),
            Self::Seen { slot, .. } => of_bytes(SEEN, slot.as_bytes()),
            Self::Blocked { what, .. } | Self::Unblocked(what) => {
                let mut name = BytesMut::with_capacity(2 + KEY_LENGTH);
                name.put_u8(BLOCKED);
                put_blocked(&mut name, what);
                name.freeze()
            }
        }
    }
}

impl Engine {
    /// The names of all journal entries that still say something; those of other names may go.
    pub fn journal_names(&self) -> impl Iterator<Item = Bytes> {
        self.journal().flat_map(|entry| match entry {
            JournalEntry::Published(promise) => published(&promise.id()).into(),
            entry => vec![entry.name()],
        })
    }
}

fn published(id: &PublicationId) -> [Bytes; 2] {
    [PUBLISHED, RENEWED].map(|tag| of_id(tag, id))
}

fn of_id(tag: u8, id: &PublicationId) -> Bytes {
    let mut name = BytesMut::with_capacity(2 + 2 * KEY_LENGTH);
    name.put_u8(tag);
    put_id(&mut name, id);
    name.freeze()
}

fn of_bytes(tag: u8, bytes: &[u8]) -> Bytes {
    let mut name = BytesMut::with_capacity(1 + bytes.len());
    name.put_u8(tag);
    name.put_slice(bytes);
    name.freeze()
}

#[cfg(test)]
mod tests;
