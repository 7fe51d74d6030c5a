//! The journal of a node: what it has promised, by key, in the file `journal` that only grows until
//! it is compacted.
//!
//! What must stay true: what [`Journal::write`] has acknowledged survives the loss of power; what
//! it has refused is cut off again before anything else is written; a torn end costs what was never
//! acknowledged, and damage in the middle costs what it hits and nothing else; a file of a newer
//! version, or one that is no journal, is refused and stays as it is. The file is replaced by a
//! compacted one only when that is on the disk. What keys and values mean is known to the engine.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::error::StartError;
use crate::folder::{Folder, JOURNAL};

mod disk;
mod frame;

pub(crate) use frame::Change;

use disk::{Disk, FolderDisk};
use frame::{HEADER, Header, Salt, VERSION, scan};

/// A file below this length in bytes is not worth compacting.
const COMPACT_FROM: u64 = 256 * 1024;

/// Bytes that are copied at once while compacting.
const COPY: usize = 256 * 1024;

/// An open journal. Every call waits for the disk.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Box<dyn Disk>,
    salt: Salt,
    /// Where the frame of each entry lies.
    index: HashMap<Bytes, Place>,
    /// The bytes of the header and of the frames in the index.
    live: u64,
    /// Where the next frame goes; nothing behind it was acknowledged.
    end: u64,
    /// Whether the file ends there.
    is_cut: bool,
    /// The length from which compacting is tried.
    compact_from: u64,
}

/// A frame in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    begin: u64,
    length: u64,
}

/// Key and value of an entry.
pub(crate) type Entry = (Bytes, Bytes);

/// Why a journal does not open. The file stays as it is.
#[derive(Debug)]
enum Unreadable {
    TooNew(u8),
    Damaged,
    Disk(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Looks whether a journal opens and what each of its values is, and changes nothing.
pub(crate) fn check(
    folder: &Path,
    mut on_value: impl FnMut(&Bytes) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let mut result = Ok(());
    let looked = (|| {
        let disk = FolderDisk::open(folder)?;
        let length = disk.length()?.unwrap_or_default();
        if let Some(salt) = salt_of(&disk, length)? {
            scan(&disk, length, salt, |_, change| {
                if let (Ok(()), Some(value)) = (&result, change.value) {
                    result = on_value(&value);
                }
            })?;
        }
        Ok(())
    })();
    looked.map_err(|error| unreadable(folder, error))?;
    result
}

/// Looks at the beginning of a journal alone, whether it opens, and changes nothing.
pub(crate) fn check_version(folder: &Path) -> Result<(), StartError> {
    let looked = (|| {
        let disk = FolderDisk::open(folder)?;
        let length = disk.length()?.unwrap_or_default();
        salt_of(&disk, length).map(drop)
    })();
    looked.map_err(|error| unreadable(folder, error))
}

/// The salt of a file that begins as a journal does; none when it ends inside its header, so that
/// nothing was ever kept in it.
fn salt_of(disk: &dyn Disk, length: u64) -> Result<Option<Salt>, Unreadable> {
    let mut header = vec![0; HEADER.min(usize::try_from(length).unwrap_or(HEADER))];
    if !header.is_empty() {
        disk.read_at(0, &mut header)?;
    }
    match Header::decode(&header) {
        Header::Whole(salt) => Ok(Some(salt)),
        Header::Torn => Ok(None),
        Header::TooNew(found) => Err(Unreadable::TooNew(found)),
        Header::Damaged => Err(Unreadable::Damaged),
    }
}

fn unreadable(folder: &Path, error: Unreadable) -> StartError {
    let path = folder.join(JOURNAL);
    match error {
        Unreadable::TooNew(found) => StartError::VersionTooNew {
            path,
            found: found.into(),
            known: VERSION.into(),
        },
        Unreadable::Damaged => StartError::BadJournal { path },
        Unreadable::Disk(source) => StartError::FolderUnusable {
            path: folder.to_owned(),
            source,
        },
    }
}

impl Journal {
    /// Opens the journal of a folder, or makes an empty one. With it come its entries, those first
    /// that were written first.
    pub(crate) fn load(folder: &Folder) -> Result<(Self, Vec<Entry>), StartError> {
        let disk = FolderDisk::open(folder.path()).map_err(Unreadable::Disk);
        disk.and_then(|disk| Self::open(Box::new(disk), rand::random()))
            .map_err(|error| unreadable(folder.path(), error))
    }

    fn open(disk: Box<dyn Disk>, salt: [u8; 8]) -> Result<(Self, Vec<Entry>), Unreadable> {
        let length = disk.length()?.unwrap_or_default();
        let Some(salt) = salt_of(&*disk, length)? else {
            return Ok((Self::make(disk, Salt(salt))?, Vec::new()));
        };
        let mut found = HashMap::new();
        let extent = scan(&*disk, length, salt, |begin, change| {
            let length = change.length() as u64;
            match change.value {
                Some(value) => {
                    found.insert(change.key, (Place { begin, length }, value));
                }
                None => {
                    found.remove(&change.key);
                }
            }
        })?;
        if extent.damaged > 0 {
            let bytes = extent.damaged;
            tracing::error!(
                bytes,
                "the journal is damaged, what was lost is not renewed"
            );
        }
        let mut entries: Vec<_> = found.into_iter().collect();
        entries.sort_by_key(|(_, (place, _))| place.begin);
        let index: HashMap<_, _> = entries
            .iter()
            .map(|(key, (place, _))| (key.clone(), *place))
            .collect();
        let mut journal = Self {
            disk,
            salt,
            live: HEADER as u64 + index.values().map(|place| place.length).sum::<u64>(),
            index,
            end: extent.end,
            is_cut: extent.end == length,
            compact_from: COMPACT_FROM,
        };
        journal.cut()?;
        let entries = entries.into_iter().map(|(key, (_, value))| (key, value));
        Ok((journal, entries.collect()))
    }

    fn make(mut disk: Box<dyn Disk>, salt: Salt) -> io::Result<Self> {
        disk.write_fresh(&Header::encode(salt))?;
        disk.adopt()?;
        disk.sync()?;
        Ok(Self {
            disk,
            salt,
            index: HashMap::new(),
            live: HEADER as u64,
            end: HEADER as u64,
            is_cut: true,
            compact_from: COMPACT_FROM,
        })
    }

    /// Makes changes durable, all of them in one go. After a failure none of them was made, and the
    /// next write may succeed.
    pub(crate) fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        self.cut()?;
        let length = changes.iter().map(Change::length).sum();
        let mut bytes = Vec::with_capacity(length);
        for change in changes {
            self.salt.encode(change, &mut bytes);
        }
        self.is_cut = false;
        let written = self.disk.write_at(self.end, &bytes);
        if let Err(error) = written.and_then(|()| self.disk.sync()) {
            // A full disk gets its space back at once; when that fails the next write tries again.
            let _ = self.cut();
            return Err(error);
        }
        self.is_cut = true;
        for change in changes {
            self.apply(change);
        }
        Ok(())
    }

    /// Entries that are kept, a count.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Gives up all entries of other names: the next compaction leaves them out.
    pub(crate) fn retain(&mut self, names: &HashSet<Bytes>) {
        let live = &mut self.live;
        self.index.retain(|name, place| {
            let is_kept = names.contains(name);
            *live -= if is_kept { 0 } else { place.length };
            is_kept
        });
    }

    /// Compacts the file when more than half of it is dead. After a failure it is as it was, and
    /// compacted later.
    pub(crate) fn tidy(&mut self) {
        if self.end < self.compact_from || self.live * 2 > self.end {
            return;
        }
        if let Err(error) = self.compact() {
            tracing::warn!(%error, "the journal could not be compacted");
            self.disk.drop_fresh();
            self.compact_from = self.end + self.end / 2;
        }
    }

    fn apply(&mut self, change: &Change) {
        let length = change.length() as u64;
        let place = Place {
            begin: self.end,
            length,
        };
        self.end += length;
        let old = match change.value {
            Some(_) => {
                self.live += length;
                self.index.insert(change.key.clone(), place)
            }
            None => self.index.remove(&change.key),
        };
        self.live -= old.map_or(0, |old| old.length);
    }

    /// Takes away what a failed write left.
    fn cut(&mut self) -> io::Result<()> {
        if !self.is_cut {
            self.disk.truncate(self.end)?;
            self.is_cut = true;
        }
        Ok(())
    }

    fn compact(&mut self) -> io::Result<()> {
        let mut entries: Vec<_> = self.index.iter().collect();
        entries.sort_by_key(|(_, place)| place.begin);
        let mut index = HashMap::with_capacity(entries.len());
        let mut end = HEADER as u64;
        let mut copied = Header::encode(self.salt);
        let mut bytes = Vec::new();
        for (key, place) in entries {
            bytes.resize(usize::try_from(place.length).unwrap_or_default(), 0);
            self.disk.read_at(place.begin, &mut bytes)?;
            if self.salt.decode(&bytes).is_none() {
                // The engine still has it, and writes it again when it is renewed.
                tracing::error!("the journal is damaged at {}", place.begin);
                continue;
            }
            let moved = Place {
                begin: end,
                length: place.length,
            };
            index.insert(key.clone(), moved);
            end += place.length;
            copied.extend_from_slice(&bytes);
            if copied.len() >= COPY {
                self.disk.write_fresh(&copied)?;
                copied.clear();
            }
        }
        self.disk.write_fresh(&copied)?;
        self.disk.adopt()?;
        self.index = index;
        (self.live, self.end) = (end, end);
        self.is_cut = true;
        self.compact_from = COMPACT_FROM;
        // When this fails, the next write acknowledges nothing before it has worked.
        self.disk.sync()
    }
}

#[cfg(test)]
mod tests;
