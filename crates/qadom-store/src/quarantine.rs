//! Damaged stores set aside: the folders `quarantine-N` beside a store, and the opening that puts
//! one there and goes on without what was lost.
//!
//! In each lies what the store's folder held, which opens as a store if anything still opens it,
//! and the file `REASON`: `quarantine 1`, the time in seconds UTC, and why, a line each.
//!
//! What must stay true: there are never more than [`QUARANTINED_MAX`] of them, and the oldest
//! leaves first; the store's folder is moved by one renaming, so that a crash leaves it here or
//! there, and after a crash the next opening goes on where that one ended (`loss`). Where what was
//! lost is found again is not known here.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qadom_routing::Key;

use crate::disk::WhenDamaged;
use crate::dump::settle_import;
use crate::folder::{ENGINE, replace, sync_parent};
use crate::open::open_with;
use crate::{EntryId, OpenError, Options, Store, StoreEngine, StoreError};

mod loss;

use loss::Loss;

/// How many damaged stores are kept.
pub const QUARANTINED_MAX: usize = 3;

/// The place of damaged stores: a node's data folder.
///
/// # Examples
///
/// ```
/// use qadom_store::Quarantine;
///
/// let place = tempfile::tempdir()?;
/// let store = place.path().join("store");
/// std::fs::create_dir(&store)?;
/// let quarantine = Quarantine::new(place.path());
/// quarantine.set_aside(&store, "the checksum of a page is wrong", 1_700_000_000)?;
/// assert_eq!(quarantine.list()?.len(), 1);
/// assert!(!store.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    folder: PathBuf,
}

/// A damaged store that was set aside.
///
/// # Examples
///
/// ```
/// use qadom_store::{Quarantine, Quarantined};
///
/// let place = tempfile::tempdir()?;
/// # let store = place.path().join("store");
/// # std::fs::create_dir(&store)?;
/// let quarantine = Quarantine::new(place.path());
/// # quarantine.set_aside(&store, "the checksum of a page is wrong", 1_700_000_000)?;
/// let damaged: Vec<Quarantined> = quarantine.list()?;
/// assert_eq!(damaged[0].at, Some(1_700_000_000));
/// assert_eq!(damaged[0].reason, "the checksum of a page is wrong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// are too many. From now on every opening tells of the loss, until
    /// [`on_refilled`](Self::on_refilled). `at` is the time in seconds UTC.
    ///
    /// # Errors
    ///
    /// The operating system's; what was set aside before may be gone.
    pub fn prepare(&self, reason: &str, at: u64) -> io::Result<PathBuf> {
        let number = self.next_number()?;
        self.note_loss(&Loss::fetch(Some(number)))?;
        let place = self.place(number);
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
        let place = self.place(self.next_number()?);
        move_aside(store, &place, reason, at)?;
        Ok(place)
    }

    fn place(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{PREFIX}{number}"))
    }

    /// Makes room, and gives the number of the next folder.
    fn next_number(&self) -> io::Result<u32> {
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
        Ok(next)
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
///
/// # Examples
///
/// ```
/// use qadom_store::{Opening, Options, Quarantine, open_or_set_aside};
///
/// let place = tempfile::tempdir()?;
/// let quarantine = Quarantine::new(place.path());
/// let folder = place.path().join("store");
/// let Opening { store, recovery } =
///     open_or_set_aside(&folder, Options::default(), &quarantine, 1_700_000_000)?;
/// assert_eq!((store.stats().records, recovery), (0, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Opening {
    /// The open store.
    pub store: Arc<dyn Store>,
    /// What was done because of damage, if there was any.
    pub recovery: Option<Recovery>,
}

/// What was done about a damaged store while it was opened, now or before the process ended without
/// having brought everything back.
///
/// # Examples
///
/// ```
/// use qadom_store::{Options, Quarantine, Recovery, open_or_set_aside};
///
/// let place = tempfile::tempdir()?;
/// let quarantine = Quarantine::new(place.path());
/// let folder = place.path().join("store");
/// let opening = open_or_set_aside(&folder, Options::default(), &quarantine, 1_700_000_000)?;
/// if let Some(Recovery { place, reason, .. }) = opening.recovery {
///     println!("{reason}; what was there is kept in {place:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the damaged one is now; none when it was not set aside, but lost some entries.
    pub place: Option<PathBuf>,
    /// What was wrong with it, in one line; empty when that is not known any more.
    pub reason: String,
    /// Entries whose checksum failed; 0 when the store did not open at all, or did so before.
    pub damaged: u64,
    /// Entries that were whole and are in the store that was opened.
    pub carried_over: u64,
}

/// Opens the store in `folder` as [`open`](crate::open) does. One that is damaged is set aside and a
/// new one of the same engine made in its place; entries that are whole are carried over when the
/// damage lies in others. `now` is the time in seconds UTC. What a crash cut short, of this or of an
/// import, is brought to its end first.
///
/// What was lost the network still holds, so whoever opens a store that was damaged asks its
/// replicas, and says so with [`Quarantine::on_refilled`] when that is done. Until then every
/// opening tells of the loss.
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
    settle_import(folder)?;
    let loss = quarantine.loss()?;
    let engine = StoreEngine::of(folder)?.or(options.engine);
    let engine = engine.or_else(|| quarantine.engine_of(loss.as_ref()?));
    let same = Options { engine, ..options };
    let options = match loss {
        // A new one in place of one that was set aside.
        Some(_) if options.engine.is_none() => same,
        _ => options,
    };
    let (reason, damaged) = match open_with(folder, options, WhenDamaged::Keep) {
        Ok(store) => match store.stats().damaged {
            0 => {
                let recovery = loss.map(|loss| quarantine.resume(&loss, &*store));
                return Ok(Opening {
                    recovery: recovery.transpose()?,
                    store,
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
    let number = quarantine.next_number()?;
    let mut numbers = loss
        .filter(|loss| loss.is_to_carry)
        .unwrap_or_default()
        .numbers;
    numbers.extend((damaged > 0).then_some(number));
    let loss = if numbers.is_empty() {
        Loss::fetch(Some(number))
    } else {
        Loss::carry(numbers)
    };
    quarantine.note_loss(&loss)?;
    let place = quarantine.place(number);
    move_aside(folder, &place, &reason, now)?;
    let store = open_with(folder, same, WhenDamaged::Drop)?;
    let resumed = quarantine.resume(&loss, &*store)?;
    let recovery = Some(Recovery {
        place: Some(place),
        reason,
        damaged,
        ..resumed
    });
    Ok(Opening { store, recovery })
}

impl Quarantine {
    /// The engine of the newest store that was set aside for a loss.
    fn engine_of(&self, loss: &Loss) -> Option<StoreEngine> {
        let last = loss.numbers.last()?;
        StoreEngine::of(&self.place(*last)).ok()?
    }

    /// Copies what is still to be copied, so that only what others hold is missing.
    fn resume(&self, loss: &Loss, store: &dyn Store) -> Result<Recovery, OpenError> {
        let last = loss.numbers.last().copied();
        let mut carried_over = 0;
        if loss.is_to_carry {
            for number in loss.numbers.iter().rev() {
                carried_over += carry_over(&self.place(*number), store)?;
            }
            store.sync()?;
            self.note_loss(&Loss::fetch(last))?;
        }
        let place = last.map(|number| self.place(number));
        let note = place
            .as_ref()
            .and_then(|place| read_note(&place.join(REASON)));
        Ok(Recovery {
            reason: note.unwrap_or_default().1,
            place,
            damaged: 0,
            carried_over,
        })
    }
}

/// Copies what is whole as far as the damaged store can be read, and counts it.
fn carry_over(place: &Path, store: &dyn Store) -> Result<u64, OpenError> {
    // What was never moved here is where it was, and one that was taken away is nobody's.
    if !place.join(ENGINE).exists() {
        return Ok(0);
    }
    let Ok(old) = open_with(place, Options::default(), WhenDamaged::Keep) else {
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
        for entry in entries {
            // What is there already is as new or newer.
            if store.get(&entry.slot, &entry.id)?.is_none() {
                store.put(entry)?;
            }
        }
        store.commit()?;
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

/// Moves the folder of a store, with the note why.
fn move_aside(store: &Path, place: &Path, reason: &str, at: u64) -> io::Result<()> {
    write_note(store, reason, at)?;
    fs::rename(store, place)?;
    sync_parent(place)?;
    sync_parent(store)
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
