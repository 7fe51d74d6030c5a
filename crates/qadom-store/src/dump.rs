//! A store written as one stream of bytes, for another engine, another machine or a rainy day.
//!
//! The format, integers little-endian; `docs/formats.md` has it for people:
//! - `"qadomdmp" | version u32 = 1 | crc32 u32` over the twelve bytes before it;
//! - for each entry, by slot and id: `1 u8 | length u32 | crc32 u32 | body`; the body is
//!   `slot 32 | id length u8 | id | columns 61 (as in layout) | bytes`;
//! - at the end: `2 u8 | length u32 = 40 | crc32 u32 | body`; the body is `entries u64 | BLAKE3 32`
//!   over all bytes before this record. Nothing comes behind it.
//!
//! Each checksum is over kind, length and body.
//!
//! What must stay true: memory is bounded by an entry, whatever the stream says; one that is torn,
//! altered or newer is refused before the first of its entries is taken; the same entries give the
//! same bytes, whatever engine held them.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use qadom_routing::Key;

use crate::layout::{COLUMNS_LENGTH, columns_from, write_columns};
use crate::{ENTRY_MAX, Entry, EntryId, OpenError, Store, StoreError};

mod folder;

pub use folder::{Replaced, import_folder, settle_import};

const MAGIC: &[u8; 8] = b"qadomdmp";
const VERSION: u32 = 1;
const ENTRY: u8 = 1;
const END: u8 = 2;
const SLOT_LENGTH: usize = 32;
/// The longest body of a record.
const BODY_MAX: usize = SLOT_LENGTH + 1 + EntryId::LENGTH_MAX + COLUMNS_LENGTH + ENTRY_MAX;
/// Entries that are read from a store at once.
const READ_AT_ONCE: usize = 64;
/// The bytes of entries that are put before they are committed.
const COMMITTED_AT_ONCE: usize = 8 * 1024 * 1024;

/// What a dump holds.
///
/// # Examples
///
/// ```
/// use qadom_store::{Dumped, MemoryStore, export};
///
/// let mut dump = Vec::new();
/// let Dumped { entries, length } = export(&MemoryStore::new(), &mut dump)?;
/// assert_eq!((entries, length), (0, dump.len() as u64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dumped {
    /// Entries.
    pub entries: u64,
    /// The length of the dump in bytes.
    pub length: u64,
}

/// Why a store was not exported. What was written so far is no whole dump, and is refused as such.
///
/// # Examples
///
/// ```
/// use qadom_store::{ExportError, MemoryStore, export};
///
/// // No room: the caller's file takes no byte.
/// let mut full: &mut [u8] = &mut [];
/// let error = export(&MemoryStore::new(), &mut full).unwrap_err();
/// assert!(matches!(error, ExportError::Write { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store failed while it was read. It is as it was.
    #[error("the store could not be read")]
    Store {
        /// What the store said.
        source: StoreError,
    },
    /// The dump could not be written.
    #[error("the dump could not be written")]
    Write {
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a dump was not imported. Only with [`ImportError::Interrupted`] was anything changed.
///
/// # Examples
///
/// ```
/// use std::io::Cursor;
///
/// use qadom_store::{ImportError, MemoryStore, import};
///
/// let copy = MemoryStore::new();
/// let error = import(&copy, &mut Cursor::new("something else")).unwrap_err();
/// assert!(matches!(error, ImportError::NotADump));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file does not begin as a dump does.
    #[error("this is no dump of a store")]
    NotADump,
    /// A newer program wrote the dump. Use that program.
    #[error("the dump has format {found}, this program knows up to {known}")]
    TooNew {
        /// The format of the dump.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The dump ends before its last record, so that nobody knows what is missing. Make it again.
    #[error("the dump is cut short after {entries} entries")]
    Torn {
        /// Entries that were whole.
        entries: u64,
    },
    /// The bytes of the dump were changed since they were written. Make it again.
    #[error("the dump is damaged after {entries} entries")]
    Damaged {
        /// Entries before the damage.
        entries: u64,
    },
    /// The dump could not be read.
    #[error("the dump could not be read")]
    Read {
        /// What the operating system said.
        source: io::Error,
    },
    /// The store has entries of its own. Import into an empty one, or set the old one aside.
    #[error("the store already keeps {records} entries")]
    NotEmpty {
        /// How many it keeps.
        records: u64,
    },
    /// The store that was to be filled did not open, or could not be put in its place.
    #[error("the store of the import could not be opened")]
    Open {
        /// What the store said.
        source: OpenError,
    },
    /// The store failed in the middle. It keeps some of the entries; import the same dump again.
    #[error("the import was interrupted after {entries} of {all} entries")]
    Interrupted {
        /// Entries that the store is known to keep.
        entries: u64,
        /// Entries in the dump.
        all: u64,
        /// What the store said.
        source: StoreError,
    },
}

/// Writes all entries of a store, and tells how many. Entries that turn out to be damaged are left
/// out; [`Stats::damaged`](crate::Stats::damaged) counts them. What is changed meanwhile may or may
/// not be contained.
///
/// # Errors
///
/// [`ExportError`]
///
/// # Examples
///
/// ```
/// use std::io::Cursor;
///
/// use qadom_store::{MemoryStore, Store, export, import};
///
/// let mut dump = Vec::new();
/// export(&MemoryStore::new(), &mut dump)?;
/// let copy = MemoryStore::new();
/// assert_eq!(import(&copy, &mut Cursor::new(dump))?.entries, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(store: &dyn Store, output: &mut dyn Write) -> Result<Dumped, ExportError> {
    let mut writer = Writer::begin(output)?;
    let mut last: Option<(Key, EntryId)> = None;
    loop {
        let after = last.as_ref().map(|(slot, id)| (slot, id));
        let entries = store
            .scan_keys(&Key::ZERO, &Key::MAX, after, READ_AT_ONCE)
            .map_err(|source| ExportError::Store { source })?;
        for entry in &entries {
            writer.entry(entry)?;
        }
        match entries.last() {
            Some(entry) => last = Some((entry.slot, entry.id.clone())),
            None => return writer.end(),
        }
    }
}

/// Puts all entries of a dump into a store, in place of those of the same names, after it has read
/// the whole dump once to see that it is whole, and commits and syncs them.
///
/// # Errors
///
/// [`ImportError`]; nothing was changed unless it is [`ImportError::Interrupted`].
pub fn import<R: Read + Seek>(store: &dyn Store, input: &mut R) -> Result<Dumped, ImportError> {
    let start = input.stream_position().map_err(read_failed)?;
    let dumped = verify(input)?;
    input.seek(SeekFrom::Start(start)).map_err(read_failed)?;
    let mut reader = Reader::begin(input)?;
    let mut committed = 0;
    let mut waiting = 0;
    let interrupted = |entries| {
        move |source| ImportError::Interrupted {
            entries,
            all: dumped.entries,
            source,
        }
    };
    while let Some(entry) = reader.next()? {
        waiting += entry.bytes.len() + ENTRY_COST;
        store.put(entry).map_err(interrupted(committed))?;
        if waiting >= COMMITTED_AT_ONCE {
            store.commit().map_err(interrupted(committed))?;
            (committed, waiting) = (reader.entries, 0);
        }
    }
    let finished = store.commit().and_then(|_| store.sync());
    finished.map_err(interrupted(committed))?;
    Ok(dumped)
}

/// Reads a dump to its end, and tells what it holds.
///
/// # Errors
///
/// [`ImportError`]
pub fn verify<R: Read>(input: &mut R) -> Result<Dumped, ImportError> {
    let mut reader = Reader::begin(input)?;
    while reader.next()?.is_some() {}
    Ok(Dumped {
        entries: reader.entries,
        length: reader.length,
    })
}

/// What an entry takes in memory beside its bytes, about.
const ENTRY_COST: usize = 200;

struct Writer<'a> {
    output: &'a mut dyn Write,
    hasher: blake3::Hasher,
    dumped: Dumped,
    body: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn begin(output: &'a mut dyn Write) -> Result<Self, ExportError> {
        let mut writer = Self {
            output,
            hasher: blake3::Hasher::new(),
            dumped: Dumped::default(),
            body: Vec::new(),
        };
        let head = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
        writer.write(&head)?;
        writer.write(&crc32fast::hash(&head).to_le_bytes())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.hasher.update(bytes);
        self.dumped.length += bytes.len() as u64;
        let written = self.output.write_all(bytes);
        written.map_err(|source| ExportError::Write { source })
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), ExportError> {
        let id = entry.id.as_bytes();
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        body.extend_from_slice(entry.slot.as_bytes());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an id has at most 64 bytes"
        )]
        body.push(id.len() as u8);
        body.extend_from_slice(id);
        write_columns(&mut body, &entry.columns);
        body.extend_from_slice(&entry.bytes);
        self.record(ENTRY, &body)?;
        self.body = body;
        self.dumped.entries += 1;
        Ok(())
    }

    fn record(&mut self, kind: u8, body: &[u8]) -> Result<(), ExportError> {
        #[expect(clippy::cast_possible_truncation, reason = "a body has at most 70 KiB")]
        let length = body.len() as u32;
        self.write(&[kind])?;
        self.write(&length.to_le_bytes())?;
        self.write(&checksum(kind, length, body).to_le_bytes())?;
        self.write(body)
    }

    fn end(mut self) -> Result<Dumped, ExportError> {
        let hash = self.hasher.finalize();
        let body = [
            self.dumped.entries.to_le_bytes().as_slice(),
            hash.as_bytes(),
        ]
        .concat();
        self.record(END, &body)?;
        let flushed = self.output.flush();
        flushed.map_err(|source| ExportError::Write { source })?;
        Ok(self.dumped)
    }
}

struct Reader<'a, R> {
    input: &'a mut R,
    hasher: blake3::Hasher,
    entries: u64,
    length: u64,
    body: Vec<u8>,
    is_ended: bool,
}

impl<'a, R: Read> Reader<'a, R> {
    fn begin(input: &'a mut R) -> Result<Self, ImportError> {
        let mut head = [0; 16];
        read_exact(input, &mut head, || ImportError::NotADump)?;
        let (begin, stored) = head.split_at(12);
        let (magic, version) = begin.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(ImportError::NotADump);
        }
        let number = |bytes: &[u8]| {
            bytes
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        if number(stored) != crc32fast::hash(begin) {
            return Err(ImportError::Damaged { entries: 0 });
        }
        if number(version) != VERSION {
            return Err(ImportError::TooNew {
                found: number(version),
                known: VERSION,
            });
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head);
        Ok(Self {
            input,
            hasher,
            entries: 0,
            length: head.len() as u64,
            body: Vec::new(),
            is_ended: false,
        })
    }

    /// The next entry; none behind the last one, when all of the dump was whole.
    fn next(&mut self) -> Result<Option<Entry>, ImportError> {
        if self.is_ended {
            return Ok(None);
        }
        let entries = self.entries;
        let damaged = || ImportError::Damaged { entries };
        let mut head = [0; 9];
        read_exact(self.input, &mut head, || ImportError::Torn { entries })?;
        let [kind, a, b, c, d, stored @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > BODY_MAX {
            return Err(damaged());
        }
        let mut body = std::mem::take(&mut self.body);
        body.resize(size, 0);
        read_exact(self.input, &mut body, || ImportError::Torn { entries })?;
        if u32::from_le_bytes(stored) != checksum(kind, length, &body) {
            return Err(damaged());
        }
        self.length += (head.len() + size) as u64;
        let found = match kind {
            ENTRY => {
                self.hasher.update(&head);
                self.hasher.update(&body);
                self.entries += 1;
                Some(entry_of(&body).ok_or_else(damaged)?)
            }
            END => {
                self.end(&body)?;
                None
            }
            _ => return Err(damaged()),
        };
        self.body = body;
        Ok(found)
    }

    fn end(&mut self, body: &[u8]) -> Result<(), ImportError> {
        let hash = self.hasher.finalize();
        let expected = [self.entries.to_le_bytes().as_slice(), hash.as_bytes()].concat();
        let is_last = match self.input.read(&mut [0]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(source) => return Err(ImportError::Read { source }),
        };
        if body != expected || !is_last {
            return Err(ImportError::Damaged {
                entries: self.entries,
            });
        }
        self.is_ended = true;
        Ok(())
    }
}

fn entry_of(body: &[u8]) -> Option<Entry> {
    let (slot, rest) = body.split_first_chunk()?;
    let (length, rest) = rest.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (columns, bytes) = columns_from(rest)?;
    (bytes.len() <= ENTRY_MAX).then_some(())?;
    Some(Entry {
        slot: Key::from_bytes(*slot),
        id: EntryId::new(id).ok()?,
        bytes: Bytes::copy_from_slice(bytes),
        columns,
    })
}

fn checksum(kind: u8, length: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&length.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

fn read_exact(
    input: &mut impl Read,
    place: &mut [u8],
    torn: impl FnOnce() -> ImportError,
) -> Result<(), ImportError> {
    input.read_exact(place).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => torn(),
        _ => read_failed(error),
    })
}

const fn read_failed(source: io::Error) -> ImportError {
    ImportError::Read { source }
}
