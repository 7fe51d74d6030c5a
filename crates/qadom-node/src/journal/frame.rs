//! The bytes of a journal: a header, then frames, each of which proves itself.
//!
//! Header, 27 bytes: `qadom journal\n` | version 1 | salt 8 | CRC-32 of what precedes. Frame:
//! length of the body 4 | CRC-32 of salt, length and body 4 | body. Body: 1 for an entry or 2 for a
//! removal | length of the key 1 | key | value, which a removal has none of. Numbers are
//! little-endian. The salt is drawn when the file is made: a value that somebody else composed
//! holds no bytes that pass for a frame.
//!
//! What must stay true: whatever the bytes are, reading them neither panics nor takes more memory
//! than a few frames; what lies between two good frames and is none is stepped over.

use std::io;

use bytes::Bytes;

use super::disk::Disk;

/// The newest version that can be read, and the one that is written.
pub(crate) const VERSION: u8 = 1;

/// The longest key in bytes.
pub(crate) const KEY_MAX: usize = 255;
/// The longest value in bytes: a record of the longest payload with room to spare.
pub(crate) const VALUE_MAX: usize = 16_384;

/// The length of the header in bytes.
pub(super) const HEADER: usize = MAGIC.len() + 1 + SALT + 4;

const MAGIC: &[u8] = b"qadom journal\n";
const SALT: usize = 8;
/// What stands in front of a body.
const PREFIX: usize = 4 + 4;
/// The tag and the length of the key.
const BODY_MIN: usize = 2;
const BODY_MAX: usize = BODY_MIN + KEY_MAX + VALUE_MAX;
const ENTRY: u8 = 1;
const REMOVAL: u8 = 2;

/// Bytes that are read at once: several frames of any size.
const WINDOW: usize = 8 * (PREFIX + BODY_MAX);

/// What happens to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(super) key: Bytes,
    /// None removes the entry.
    pub(super) value: Option<Bytes>,
}

impl Change {
    /// `None` when the key has more than [`KEY_MAX`] bytes or the value more than [`VALUE_MAX`].
    pub(crate) fn new(key: Bytes, value: Option<Bytes>) -> Option<Self> {
        let is_short = value.as_ref().is_none_or(|value| value.len() <= VALUE_MAX);
        (key.len() <= KEY_MAX && is_short).then_some(Self { key, value })
    }

    /// The bytes that it takes in the file.
    pub(crate) fn length(&self) -> usize {
        PREFIX + BODY_MIN + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Drawn with the file; tells its frames from all other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub(super) [u8; SALT]);

impl Salt {
    fn checksum(self, length: [u8; 4], body: &[u8]) -> [u8; 4] {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&length);
        hasher.update(body);
        hasher.finalize().to_le_bytes()
    }

    /// Adds the frame of a change.
    pub(super) fn encode(self, change: &Change, to: &mut Vec<u8>) {
        let (tag, value) = match &change.value {
            Some(value) => (ENTRY, &value[..]),
            None => (REMOVAL, &[][..]),
        };
        // Both lengths were checked when the change was made.
        let length = u32::try_from(change.length() - PREFIX).unwrap_or(u32::MAX);
        let key_length = u8::try_from(change.key.len()).unwrap_or(u8::MAX);
        let mut body = Vec::with_capacity(change.length() - PREFIX);
        body.extend_from_slice(&[tag, key_length]);
        body.extend_from_slice(&change.key);
        body.extend_from_slice(value);
        to.extend_from_slice(&length.to_le_bytes());
        to.extend_from_slice(&self.checksum(length.to_le_bytes(), &body));
        to.extend_from_slice(&body);
    }

    /// The change whose frame the bytes begin with, if they do.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<Change> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if !(BODY_MIN..=BODY_MAX).contains(&size) {
            return None;
        }
        let body = rest.get(..size)?;
        if self.checksum(*length, body) != *checksum {
            return None;
        }
        let (&[tag, key_length], rest) = body.split_first_chunk::<2>()?;
        let (key, value) = rest.split_at_checked(key_length.into())?;
        let value = match tag {
            ENTRY => Some(Bytes::copy_from_slice(value)),
            REMOVAL if value.is_empty() => None,
            _ => return None,
        };
        Change::new(Bytes::copy_from_slice(key), value)
    }
}

/// What the beginning of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is a journal.
    Whole(Salt),
    /// The file ends inside its header: nothing was ever kept in it.
    Torn,
    /// A newer program wrote it.
    TooNew(u8),
    /// It is damaged, or no journal.
    Damaged,
}

impl Header {
    pub(super) fn encode(salt: Salt) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.push(VERSION);
        header.extend_from_slice(&salt.0);
        let checksum = crc32fast::hash(&header);
        header.extend_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Reads the first [`HEADER`] bytes of a file, or all there are.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let shown = bytes.get(..MAGIC.len()).unwrap_or(bytes);
        if !MAGIC.starts_with(shown) {
            return Self::Damaged;
        }
        match bytes.get(MAGIC.len()) {
            None => return Self::Torn,
            Some(&version) if version > VERSION => return Self::TooNew(version),
            Some(&VERSION) => {}
            Some(_) => return Self::Damaged,
        }
        if bytes.len() < HEADER {
            return Self::Torn;
        }
        let whole = bytes
            .get(..HEADER)
            .and_then(<[u8]>::split_last_chunk::<4>)
            .filter(|(header, checksum)| crc32fast::hash(header).to_le_bytes() == **checksum)
            .and_then(|(header, _)| header.last_chunk());
        whole.map_or(Self::Damaged, |salt| Self::Whole(Salt(*salt)))
    }
}

/// How far the frames of a file reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where the last good frame ends.
    pub(super) end: u64,
    /// Bytes before the end that are no frame.
    pub(super) damaged: u64,
}

/// Reads every good frame of a file and tells where it begins.
pub(super) fn scan(
    disk: &dyn Disk,
    length: u64,
    salt: Salt,
    mut on_change: impl FnMut(u64, Change),
) -> io::Result<Extent> {
    let mut window = Window::new(disk, length);
    let mut at = HEADER as u64;
    let mut extent = Extent {
        end: at,
        damaged: 0,
    };
    while at < length {
        match salt.decode(window.from(at)?) {
            Some(change) => {
                extent.damaged += at - extent.end;
                let begin = at;
                at += change.length() as u64;
                extent.end = at;
                on_change(begin, change);
            }
            None => at += 1,
        }
    }
    Ok(extent)
}

/// A part of a file in memory.
struct Window<'a> {
    disk: &'a dyn Disk,
    length: u64,
    begin: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(disk: &'a dyn Disk, length: u64) -> Self {
        Self {
            disk,
            length,
            begin: 0,
            bytes: Vec::new(),
        }
    }

    /// What lies at `at`: a frame of any size, unless the file ends before.
    fn from(&mut self, at: u64) -> io::Result<&[u8]> {
        let end = self.begin + self.bytes.len() as u64;
        let needed = (at + (PREFIX + BODY_MAX) as u64).min(self.length);
        if at < self.begin || needed > end {
            let size = (self.length - at).min(WINDOW as u64);
            self.bytes
                .resize(usize::try_from(size).unwrap_or(WINDOW), 0);
            self.disk.read_at(at, &mut self.bytes)?;
            self.begin = at;
        }
        let skipped = usize::try_from(at - self.begin).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skipped..).unwrap_or_default())
    }
}
