//! What a reader has seen of a slot: a version vector over writers.
//!
//! What must stay true: at most [`CURSOR_WRITERS_MAX`] writers, each once and ascending by tag, so
//! that equal cursors have equal bytes. A cursor that is full covers nothing of a further writer,
//! whose records then come again and are seen twice rather than missed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;

use crate::limits::CURSOR_WRITERS_MAX;
use crate::signed::SignedRecord;
use crate::writer::Writer;

/// The length in bytes of a packed entry: tag, stream, seq.
const ENTRY_LENGTH: usize = 32;

/// For each writer the highest (stream, seq) seen; kinds other than events use stream 0. At most
/// [`CURSOR_WRITERS_MAX`] writers: one more is not kept. Its text is base64url without padding, and
/// `0` for the cursor that has seen nothing.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Cursor, Identity};
///
/// let writer = Identity::from_seed([7; 32]).writer();
/// let mut cursor = Cursor::new();
/// assert_eq!(cursor.to_string(), "0");
/// cursor.note(&writer, 0, 5);
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<[u8; 16], (u64, u64)>);

/// What one writer's entry in a [`Cursor`] says.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Cursor, CursorEntry, Identity};
///
/// let writer = Identity::from_seed([7; 32]).writer();
/// let entry = CursorEntry { tag: writer.tag(), stream: 0, seq: 5 };
/// let cursor: Cursor = [entry].into_iter().collect();
/// assert_eq!(cursor.seen(&writer), Some((0, 5)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorEntry {
    /// The writer's [tag](Writer::tag).
    pub tag: [u8; 16],
    /// The latest stream seen.
    pub stream: u64,
    /// The highest seq seen in that stream.
    pub seq: u64,
}

/// The bytes or the text are no cursor. Whoever gave them is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Cursor, CursorError};
///
/// assert_eq!("not one".parse::<Cursor>(), Err(CursorError::Text));
/// assert_eq!(Cursor::from_bytes(&[0; 31]), Err(CursorError::Length { length: 31 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The text is not base64url.
    #[error("a cursor is 0 or base64url text")]
    Text,
    /// The bytes are not whole entries.
    #[error("a cursor has a multiple of {ENTRY_LENGTH} bytes, this one has {length}")]
    Length {
        /// The length in bytes.
        length: usize,
    },
    /// There are too many entries.
    #[error("a cursor has at most {CURSOR_WRITERS_MAX} writers, this one has {count}")]
    TooMany {
        /// How many entries there are.
        count: usize,
    },
    /// The entries do not ascend.
    #[error("the writers of a cursor ascend, those of this one do not at entry {index}")]
    Order {
        /// The first entry, from 0, that does not follow the one in front of it.
        index: usize,
    },
}

impl Cursor {
    /// The cursor that has seen nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Notes what was seen of a writer. An entry never falls; a writer that does not fit any more is
    /// not kept.
    pub fn note(&mut self, writer: &Writer, stream: u64, seq: u64) {
        self.raise(writer.tag(), (stream, seq));
    }

    /// Whether what the record says was seen: it, or a later one of its writer.
    pub fn covers(&self, record: &SignedRecord) -> bool {
        self.seen(record.writer())
            .is_some_and(|seen| (record.stream(), record.seq()) <= seen)
    }

    /// The highest (stream, seq) seen of a writer, if any.
    pub fn seen(&self, writer: &Writer) -> Option<(u64, u64)> {
        self.0.get(&writer.tag()).copied()
    }

    /// Notes all that the other one has seen, in ascending order of the writers' tags.
    pub fn merge(&mut self, other: &Self) {
        for (tag, seen) in &other.0 {
            self.raise(*tag, *seen);
        }
    }

    /// The entries, ascending by tag.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = CursorEntry> {
        self.0.iter().map(|(tag, (stream, seq))| CursorEntry {
            tag: *tag,
            stream: *stream,
            seq: *seq,
        })
    }

    /// How many writers it knows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Packs the cursor: for each writer tag (16 bytes), stream and seq (8 bytes each, big-endian);
    /// at most 8192 bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.0.len() * ENTRY_LENGTH);
        for (tag, (stream, seq)) in &self.0 {
            bytes.extend_from_slice(tag);
            bytes.extend_from_slice(&stream.to_be_bytes());
            bytes.extend_from_slice(&seq.to_be_bytes());
        }
        bytes.into()
    }

    /// Reads what [`Cursor::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`CursorError`] when the bytes are no cursor.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CursorError> {
        let (halves, rest) = bytes.as_chunks::<16>();
        let (entries, odd) = halves.as_chunks::<2>();
        if !rest.is_empty() || !odd.is_empty() {
            let length = bytes.len();
            return Err(CursorError::Length { length });
        }
        let count = entries.len();
        if count > CURSOR_WRITERS_MAX {
            return Err(CursorError::TooMany { count });
        }
        let mut cursor = Self::new();
        for (index, [tag, numbers]) in entries.iter().enumerate() {
            if cursor
                .0
                .last_key_value()
                .is_some_and(|(last, _)| last >= tag)
            {
                return Err(CursorError::Order { index });
            }
            cursor
                .0
                .insert(*tag, stream_and_seq(u128::from_be_bytes(*numbers)));
        }
        Ok(cursor)
    }

    fn raise(&mut self, tag: [u8; 16], seen: (u64, u64)) {
        let is_full = self.0.len() >= CURSOR_WRITERS_MAX;
        match self.0.entry(tag) {
            Entry::Occupied(mut entry) => {
                let highest = seen.max(*entry.get());
                entry.insert(highest);
            }
            Entry::Vacant(entry) if !is_full => {
                entry.insert(seen);
            }
            Entry::Vacant(_) => {}
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves are taken apart"
)]
const fn stream_and_seq(number: u128) -> (u64, u64) {
    ((number >> 64) as u64, number as u64)
}

impl FromIterator<CursorEntry> for Cursor {
    /// The cursor that has seen what the entries say; a writer that does not fit is not kept.
    fn from_iter<T: IntoIterator<Item = CursorEntry>>(entries: T) -> Self {
        let mut cursor = Self::new();
        for entry in entries {
            cursor.raise(entry.tag, (entry.stream, entry.seq));
        }
        cursor
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("0");
        }
        formatter.write_str(&BASE64URL_NOPAD.encode(&self.to_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0" => Ok(Self::new()),
            "" => Err(CursorError::Text),
            _ => {
                let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
                Self::from_bytes(&bytes.map_err(|_| CursorError::Text)?)
            }
        }
    }
}
