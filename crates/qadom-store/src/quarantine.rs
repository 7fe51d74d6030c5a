//! Damaged stores set aside: the folders `quarantine-N` beside a store, and the opening that puts
//! one there and goes on without what was lost.
//!
//! In each lies what the store's folder held, which opens as a store if anything still opens it,
//! and the file `REASON`: `quarantine 1`, the time in seconds UTC, and why, a line each.
//!
//! What must stay true: there are never more than [`QUARANTINED_MAX`] of them, and the oldest
//! leaves first; the store's folder is moved by one renaming, so that a crash leaves it here or
//! there. Where what was lost is found again is not known here.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qadom_routing::Key;

use crate::disk::WhenDamaged;
use crate::folder::{ENGINE, replace, sync_parent};
use crate::open::open_with;
use crate::{EntryId, OpenError, Options, Store, StoreError};

/// How many damaged stores are kept.
pub const QUARANTINED_MAX: usize = 3;

/// The place of damaged stores: a node's data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    folder: PathBuf,
}

/// A damaged store that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is: `quarantine-N` in the quarantine's folder.
    pub path: PathBuf,
    /// The N: the higher, the later.
    pub number: u32,
    /// The length of its files together, in bytes.
    pub length: u64,
    /// When it was set aside, in seconds UTC; none when its note is missing.
    pub at: Option<u64>,
    /// Why it was set aside, in one line; empty when its note is missing.
    pub reason: String,
}

impl Quarantine {
    /// Of the data folder `folder`, on the same disk as the store.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// What is set aside, the oldest first.
    ///
    /// # Errors
    ///
    /// The operating system's, when the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Quarantined>> {
        let numbers = self.numbers()?.into_iter();
        let listed = numbers.map(|number| {
            let path = self.place(number);
            let (at, reason) = read_note(&path.join(REASON)).unwrap_or_default();
            Ok(Quarantined {
                length: length(&path)?,
                path,
                number,
                at,
                reason,
            })
        });
        listed.collect()
    }

    /// Makes the next folder with its note, for [`Store::start_over`], and removes the oldest that
    /// are too many. `at` is the time in seconds UTC.
    ///
    /// # Errors
    ///
    /// The operating system's; what was set aside before may be gone.
    pub fn prepare(&self, reason: &str, at: u64) -> io::Result<PathBuf> {
        let place = self.next_place()?;
        fs::create_dir(&place)?;
        write_note(&place, reason, at)?;
        sync_parent(&place)?;
        Ok(place)
    }

    /// Moves the folder of a store that is not open here, with the note why, and removes the oldest
    /// that are too many. `at` is the time in seconds UTC.
    ///
    /// # Errors
    ///
    /// The operating system's; the store is where it was or set aside.
    pub fn set_aside(&self, store: &Path, reason: &str, at: u64) -> io::Result<PathBuf> {
        let place = self.next_place()?;
        write_note(store, reason, at)?;
        fs::rename(store, &place)?;
        sync_parent(&place)?;
        sync_parent(store)?;
        Ok(place)
    }

    fn place(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{PREFIX}{number}"))
    }

    /// Makes room, and names the next folder.
    fn next_place(&self) -> io::Result<PathBuf> {
        let mut numbers = self.numbers()?;
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        // One that a crash left without a store is no loss.
        numbers.retain(|number| {
            let place = self.place(*number);
            place.join(ENGINE).exists() || fs::remove_dir_all(place).is_err()
        });
        let surplus = (numbers.len() + 1).saturating_sub(QUARANTINED_MAX);
        for number in numbers.into_iter().take(surplus) {
            fs::remove_dir_all(self.place(number))?;
        }
        Ok(self.place(next))
    }

    /// In ascending order.
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// A store that was opened, and what had to be done for it.
#[derive(Debug)]
pub struct Opening {
    /// The open store.
    pub store: Arc<dyn Store>,
    /// What was done because of damage, if there was any.
    pub recovery: Option<Recovery>,
}

/// What was done about a damaged store while it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the damaged one is now.
    pub place: PathBuf,
    /// What was wrong with it, in one line.
    pub reason: String,
    /// Entries whose checksum failed; 0 when the store did not open at all.
    pub damaged: u64,
    /// Entries that were whole and are in the store that was opened.
    pub carried_over: u64,
}

/// Opens the store in `folder` as [`open`](crate::open) does. One that is damaged is set aside and a
/// new one of the same engine made in its place; entries that are whole are carried over when the
/// damage lies in others. `now` is the time in seconds UTC.
///
/// What was lost the network still holds, so whoever opens a store that was damaged asks its
/// replicas.
///
/// # Errors
///
/// [`OpenError`] for all but damage; the folder is as it was then.
pub fn open_or_set_aside(
    folder: &Path,
    options: Options,
    quarantine: &Quarantine,
    now: u64,
) -> Result<Opening, OpenError> {
    let engine = crate::StoreEngine::of(folder)?.or(options.engine);
    let same = Options { engine, ..options };
    let (reason, damaged) = match open_with(folder, options, WhenDamaged::Keep) {
        Ok(store) => match store.stats().damaged {
            0 => {
                return Ok(Opening {
                    store,
                    recovery: None,
                });
            }
            damaged => (
                format!("the checksums of {damaged} entries failed"),
                damaged,
            ),
        },
        Err(OpenError::Corrupt { source }) => (format!("it did not open: {source}"), 0),
        Err(error) => return Err(error),
    };
    let place = quarantine.set_aside(folder, &reason, now)?;
    let store = open_with(folder, same, WhenDamaged::Drop)?;
    let carried_over = match damaged {
        0 => 0,
        _ => carry_over(&place, same, &*store)?,
    };
    let recovery = Some(Recovery {
        place,
        reason,
        damaged,
        carried_over,
    });
    Ok(Opening { store, recovery })
}

/// Copies what is whole as far as the damaged store can be read, and counts it.
fn carry_over(place: &Path, options: Options, store: &dyn Store) -> Result<u64, OpenError> {
    let Ok(old) = open_with(place, options, WhenDamaged::Keep) else {
        return Ok(0);
    };
    let mut carried_over = 0;
    let mut last: Option<(Key, EntryId)> = None;
    loop {
        let after = last.as_ref().map(|(slot, id)| (slot, id));
        let Ok(entries) = old.scan_keys(&Key::ZERO, &Key::MAX, after, CARRIED_AT_ONCE) else {
            return Ok(carried_over);
        };
        let Some(end) = entries.last() else {
            return Ok(carried_over);
        };
        last = Some((end.slot, end.id.clone()));
        carried_over += entries.len() as u64;
        let kept = entries.into_iter().try_for_each(|entry| store.put(entry));
        kept.and_then(|()| store.commit().map(drop))?;
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull { source } => Self::DiskFull { source },
            StoreError::Corrupt { source } => Self::Corrupt { source },
            StoreError::Failed { source } => Self::Failed { source },
            other => Self::Failed {
                source: crate::EngineFault::new(&other.to_string()),
            },
        }
    }
}

fn write_note(folder: &Path, reason: &str, at: u64) -> io::Result<()> {
    let reason: String = reason
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(REASON_MAX)
        .collect();
    let text = format!("{NOTE}\n{at}\n{reason}\n");
    replace(
        &folder.join(REASON),
        &folder.join(REASON_NEW),
        text.as_bytes(),
    )
}

/// The time and the reason; none of a note that is missing, newer or torn.
fn read_note(path: &Path) -> Option<(Option<u64>, String)> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.strip_prefix(NOTE)?.strip_prefix('\n')?.lines();
    let at = lines.next()?.parse().ok()?;
    Some((Some(at), lines.next()?.to_owned()))
}

/// The length of all files below a folder.
fn length(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        let about = match file.metadata() {
            // It was removed since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            about => about?,
        };
        sum += if about.is_dir() {
            length(&file.path())?
        } else {
            about.len()
        };
    }
    Ok(sum)
}

const PREFIX: &str = "quarantine-";
const REASON: &str = "REASON";
const REASON_NEW: &str = "REASON.new";
/// The first line of a note: what it is, and its format.
const NOTE: &str = "quarantine 1";
/// The letters that are kept of a reason.
const REASON_MAX: usize = 300;
/// Entries of at most 64 KiB that are in memory at once.
const CARRIED_AT_ONCE: usize = 256;
