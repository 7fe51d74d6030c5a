//! What an engine has written into its journal: one entry for each change of what it promised and
//! signed.
//!
//! What must stay true: replaying the entries in their order gives the promises and the highest
//! seqs that stood when the last of them was durable; bytes that make no sense are refused, never
//! guessed at. Frames, checksums and the file are the business of the driver.

mod changes;

use bytes::{BufMut, Bytes, BytesMut};
use qadom_routing::{Key, NodeId};
use qadom_wire::{Kind, SignedRecord, SourceGroup, Value, Writer};

use crate::blocks::Blocked;
use crate::publications::promise::{Promise, Promised, PublicationId, PublicationState, Refusals};

/// The longest encoded journal entry in bytes.
pub const JOURNAL_ENTRY_MAX: usize = 9216;

/// The version of the entries that this crate writes; it reads no newer one.
const VERSION: u8 = 1;

/// Stands for the end of a block that has none.
const FOR_EVER: u64 = u64::MAX;

/// A change of what a node has promised or signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEntry {
    /// A record is kept alive from now on, in the place of an earlier one of the same identity.
    Published(Promise),
    /// A publication was renewed, or found to be superseded.
    Renewed(Standing),
    /// A record is no longer kept alive.
    Withdrawn(PublicationId),
    /// The highest seq and the latest expiry that this node signed for an identity.
    Signed {
        /// The identity that was signed for.
        id: PublicationId,
        /// The highest seq.
        seq: u64,
        /// The latest expiry in seconds of UTC.
        expiry: u64,
    },
    /// A writer opened a stream of events; later ones are higher.
    Stream {
        /// The public key of the writer.
        writer: Writer,
        /// The number of the stream.
        stream: u64,
    },
    /// The highest seq that this node has seen in a namespace's slot.
    Seen {
        /// The slot.
        slot: Key,
        /// The seq.
        seq: u64,
    },
    /// The user wants nothing to do with something.
    Blocked {
        /// What is blocked.
        what: Blocked,
        /// When that ends, in seconds of UTC; none when it does not end by itself.
        until: Option<u64>,
    },
    /// A block that the user made has ended before its time.
    Unblocked(Blocked),
}

/// How a publication stands after a round of standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The publication.
    pub id: PublicationId,
    /// When the round ended, in seconds of UTC.
    pub renewed_at: u64,
    /// When the holders forget it, in seconds of UTC.
    pub expires_at: u64,
    /// Durable copies that were acknowledged.
    pub stored: u32,
    /// Whether it goes on.
    pub state: PublicationState,
}

/// Why bytes are no journal entry. The file is damaged, or a newer version wrote it; nothing was
/// taken over from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The entry was written by a newer version.
    #[error("journal entry of version {version}, which is newer than {VERSION}")]
    VersionTooNew {
        /// The version of the entry.
        version: u8,
    },
    /// The bytes end too early, go on too long, or name what does not exist.
    #[error("malformed journal entry of {length} bytes")]
    Malformed {
        /// The length of the bytes.
        length: usize,
    },
}

impl JournalEntry {
    /// The entry as bytes, at most [`JOURNAL_ENTRY_MAX`].
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_u8(VERSION);
        match self {
            Self::Published(promise) => {
                bytes.put_u8(1);
                put_promise(&mut bytes, promise);
            }
            Self::Renewed(standing) => {
                bytes.put_u8(2);
                put_id(&mut bytes, &standing.id);
                bytes.put_u64(standing.renewed_at);
                bytes.put_u64(standing.expires_at);
                bytes.put_u32(standing.stored);
                bytes.put_u8(standing.state as u8);
            }
            Self::Withdrawn(id) => {
                bytes.put_u8(3);
                put_id(&mut bytes, id);
            }
            Self::Signed { id, seq, expiry } => {
                bytes.put_u8(4);
                put_id(&mut bytes, id);
                bytes.put_u64(*seq);
                bytes.put_u64(*expiry);
            }
            Self::Stream { writer, stream } => {
                bytes.put_u8(5);
                bytes.put_slice(writer.as_bytes());
                bytes.put_u64(*stream);
            }
            Self::Seen { slot, seq } => {
                bytes.put_u8(6);
                bytes.put_slice(slot.as_bytes());
                bytes.put_u64(*seq);
            }
            Self::Blocked { what, until } => {
                bytes.put_u8(7);
                put_blocked(&mut bytes, what);
                bytes.put_u64(until.unwrap_or(FOR_EVER));
            }
            Self::Unblocked(what) => {
                bytes.put_u8(8);
                put_blocked(&mut bytes, what);
            }
        }
        bytes.freeze()
    }

    /// Reads an entry back.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the bytes are no entry, or one of a newer version.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, JournalError> {
        let length = bytes.len();
        let mut reader = Reader(bytes.clone());
        match reader.u8() {
            Some(VERSION) => {}
            Some(version) if version > VERSION => {
                return Err(JournalError::VersionTooNew { version });
            }
            _ => return Err(JournalError::Malformed { length }),
        }
        let entry = reader.entry().filter(|_| reader.0.is_empty());
        entry.ok_or(JournalError::Malformed { length })
    }
}

fn put_id(bytes: &mut BytesMut, id: &PublicationId) {
    bytes.put_u8(id.kind.number());
    bytes.put_slice(id.slot.as_bytes());
    bytes.put_slice(id.item.as_bytes());
}

fn put_blocked(bytes: &mut BytesMut, what: &Blocked) {
    let (tag, name) = match what {
        Blocked::Node(node) => (0, &node.key().as_bytes()[..]),
        Blocked::Group(group) => (1, &group.as_bytes()[..]),
        Blocked::Key(key) => (2, &key.as_bytes()[..]),
    };
    bytes.put_u8(tag);
    bytes.put_slice(name);
}

fn put_promise(bytes: &mut BytesMut, promise: &Promise) {
    bytes.put_u32(promise.ttl_seconds);
    bytes.put_u64(promise.renewed_at);
    bytes.put_u64(promise.expires_at);
    bytes.put_u32(promise.stored);
    bytes.put_u8(promise.state as u8);
    match &promise.promised {
        Promised::Value(value) => {
            bytes.put_u8(0);
            bytes.put_slice(value.bytes());
        }
        Promised::Signed(record) => {
            bytes.put_u8(1);
            bytes.put_slice(&record.to_bytes());
        }
    }
}

/// What is left of an entry's bytes.
struct Reader(Bytes);

impl Reader {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.0.first_chunk::<N>()?;
        let _read = self.0.split_to(N);
        Some(array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn key(&mut self) -> Option<Key> {
        self.array().map(Key::from_bytes)
    }

    fn id(&mut self) -> Option<PublicationId> {
        Some(PublicationId {
            kind: Kind::from_number(self.u8()?)?,
            slot: self.key()?,
            item: self.key()?,
        })
    }

    fn state(&mut self) -> Option<PublicationState> {
        match self.u8()? {
            0 => Some(PublicationState::Active),
            1 => Some(PublicationState::Superseded),
            2 => Some(PublicationState::Withdrawn),
            3 => Some(PublicationState::Expired),
            _ => None,
        }
    }

    fn promise(&mut self) -> Option<Promise> {
        Some(Promise {
            ttl_seconds: self.u32()?,
            renewed_at: self.u64()?,
            expires_at: self.u64()?,
            stored: self.u32()?,
            state: self.state()?,
            promised: self.promised()?,
            refusals: Refusals::new(),
        })
    }

    fn promised(&mut self) -> Option<Promised> {
        let form = self.u8()?;
        // A copy of its own, so that the buffer that the entry was read from can go.
        let bytes = Bytes::copy_from_slice(&std::mem::take(&mut self.0));
        match form {
            0 => Value::new(bytes).ok().map(Promised::Value),
            1 => SignedRecord::from_bytes(bytes).ok().map(Promised::Signed),
            _ => None,
        }
    }

    fn blocked(&mut self) -> Option<Blocked> {
        Some(match self.u8()? {
            0 => Blocked::Node(NodeId::from(self.key()?)),
            1 => Blocked::Group(SourceGroup::from_bytes(self.array()?)?),
            2 => Blocked::Key(self.key()?),
            _ => return None,
        })
    }

    fn entry(&mut self) -> Option<JournalEntry> {
        Some(match self.u8()? {
            1 => JournalEntry::Published(self.promise()?),
            2 => JournalEntry::Renewed(Standing {
                id: self.id()?,
                renewed_at: self.u64()?,
                expires_at: self.u64()?,
                stored: self.u32()?,
                state: self.state()?,
            }),
            3 => JournalEntry::Withdrawn(self.id()?),
            4 => JournalEntry::Signed {
                id: self.id()?,
                seq: self.u64()?,
                expiry: self.u64()?,
            },
            5 => JournalEntry::Stream {
                writer: Writer::new(self.array()?).ok()?,
                stream: self.u64()?,
            },
            6 => JournalEntry::Seen {
                slot: self.key()?,
                seq: self.u64()?,
            },
            7 => JournalEntry::Blocked {
                what: self.blocked()?,
                until: Some(self.u64()?).filter(|until| *until != FOR_EVER),
            },
            8 => JournalEntry::Unblocked(self.blocked()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
