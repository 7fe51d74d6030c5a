//! A disk in memory for tests of redb: it remembers every write and every sync, shows what a cut of
//! the power may leave of them, and fails on demand.
//!
//! What must stay true: a sync makes all writes before it durable and nothing else does; of the
//! writes since, a cut leaves any subset, and of each any of its sectors. What is written is not
//! known here.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::*;
use crate::disk::Upgrade;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Write(u64, Vec<u8>),
    SetLength(u64),
    Sync,
    /// Said by whoever uses the disk: what it has acknowledged by now.
    Acknowledged(u64),
}

/// When and how a disk fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// The calls that change something and succeed first.
    pub(super) after: u64,
    /// What the system says.
    pub(super) kind: ErrorKind,
    /// Whether only syncs fail.
    pub(super) is_of_syncs: bool,
    /// Whether the write that fails leaves its first half.
    pub(super) is_short: bool,
    /// Whether the disk works again after one failure.
    pub(super) is_once: bool,
}

#[derive(Debug, Default)]
struct Content {
    /// As every reader sees it.
    bytes: Vec<u8>,
    /// What happened since `base` was what was on the disk.
    events: Vec<Event>,
    base: Vec<u8>,
    failure: Option<Failure>,
}

/// A disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Mutex<Content>>);

impl Recorder {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Content {
            base: bytes.clone(),
            bytes,
            ..Content::default()
        })))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    pub(super) fn acknowledge(&self, number: u64) {
        self.content().events.push(Event::Acknowledged(number));
    }

    pub(super) fn fail(&self, failure: Option<Failure>) {
        self.content().failure = failure;
    }

    /// What was on the disk at first, and what happened since.
    pub(super) fn tape(&self) -> Tape {
        let content = self.content();
        Tape {
            base: content.base.clone(),
            events: content.events.clone(),
        }
    }
}

impl Content {
    /// Lets a call fail whose turn it is; gives how much of it is done before.
    fn attempt(&mut self, is_sync: bool, length: usize) -> Result<usize, (usize, io::Error)> {
        let Some(failure) = &mut self.failure else {
            return Ok(length);
        };
        if failure.is_of_syncs && !is_sync {
            return Ok(length);
        }
        if failure.after > 0 {
            failure.after -= 1;
            return Ok(length);
        }
        let done = if failure.is_short { length / 2 } else { 0 };
        let error = failure.kind.into();
        if failure.is_once {
            self.failure = None;
        }
        Err((done, error))
    }

    fn change(&mut self, event: Event) {
        apply(&mut self.bytes, &event);
        self.events.push(event);
    }
}

impl redb::StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().bytes.len() as u64)
    }

    fn read(&self, offset: u64, place: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let start = usize::try_from(offset).unwrap();
        let found = content.bytes.get(start..start + place.len());
        place.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let content = &mut *self.content();
        content.attempt(false, 0).map_err(|(_, error)| error)?;
        content.change(Event::SetLength(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let content = &mut *self.content();
        content.attempt(true, 0).map_err(|(_, error)| error)?;
        content.change(Event::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let content = &mut *self.content();
        match content.attempt(false, data.len()) {
            Ok(_) => {
                content.change(Event::Write(offset, data.to_vec()));
                Ok(())
            }
            Err((done, error)) => {
                if done > 0 {
                    content.change(Event::Write(offset, data[..done].to_vec()));
                }
                Err(error)
            }
        }
    }
}

fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            let end = start + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(data);
        }
        Event::SetLength(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Event::Sync | Event::Acknowledged(_) => {}
    }
}

#[derive(Debug)]
pub(super) struct Tape {
    base: Vec<u8>,
    pub(super) events: Vec<Event>,
}

/// What a cut leaves of the writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    /// Those whose bits are set; the others are dropped.
    These(u64),
    /// Each with an even chance, or any of its sectors.
    Some,
}

impl Tape {
    /// How many writes before event number `cut` are not synced.
    pub(super) fn unsynced(&self, cut: usize) -> usize {
        let before = self.events[..cut].iter().rev();
        let since = before.take_while(|event| !matches!(event, Event::Sync));
        since
            .filter(|event| !matches!(event, Event::Acknowledged(_)))
            .count()
    }

    /// The last acknowledgement before event number `cut`.
    pub(super) fn acknowledged(&self, cut: usize) -> u64 {
        let mut before = self.events[..cut].iter().rev();
        before
            .find_map(|event| match event {
                Event::Acknowledged(number) => Some(*number),
                _ => None,
            })
            .unwrap_or(0)
    }

    /// What is on the disk after the power was cut before event number `cut`.
    pub(super) fn after_cut(&self, cut: usize, left: Left, chance: &mut ChaCha8Rng) -> Vec<u8> {
        let unsynced = self.unsynced(cut);
        let changes: Vec<&Event> = self.events[..cut]
            .iter()
            .filter(|event| matches!(event, Event::Write(..) | Event::SetLength(_)))
            .collect();
        let mut bytes = self.base.clone();
        let (synced, rest) = changes.split_at(changes.len() - unsynced);
        for event in synced {
            apply(&mut bytes, event);
        }
        for (place, event) in rest.iter().enumerate() {
            match left {
                Left::These(set) if set >> place & 1 == 1 => apply(&mut bytes, event),
                Left::These(_) => {}
                Left::Some => apply_some(&mut bytes, event, chance),
            }
        }
        bytes
    }
}

fn apply_some(bytes: &mut Vec<u8>, event: &Event, chance: &mut ChaCha8Rng) {
    match (chance.next_u64() % 5, event) {
        (0 | 1, _) => apply(bytes, event),
        (2, Event::Write(offset, data)) => {
            for (number, sector) in data.chunks(SECTOR).enumerate() {
                if chance.next_u64().is_multiple_of(2) {
                    let offset = offset + (number * SECTOR) as u64;
                    apply(bytes, &Event::Write(offset, sector.to_vec()));
                }
            }
        }
        _ => {}
    }
}

/// The disks on which the databases of these folders lie.
static DISKS: Mutex<BTreeMap<PathBuf, Recorder>> = Mutex::new(BTreeMap::new());

/// redb on a recorder instead of a file.
#[derive(Debug)]
pub(super) struct Recorded(Redb);

impl Recorded {
    /// Says on which disk the database of a folder lies.
    pub(super) fn place(folder: &Path, disk: &Recorder) {
        DISKS
            .lock()
            .unwrap()
            .insert(folder.to_owned(), disk.clone());
    }
}

impl Database for Recorded {
    const ENGINE: &'static str = Redb::ENGINE;
    const UPGRADES: &'static [Upgrade] = Redb::UPGRADES;
    const PLACE: &'static str = Redb::PLACE;
    const SPACE_NEEDED: usize = 0;

    fn open(folder: &Path) -> Result<Self, OpenError> {
        let disk = DISKS.lock().unwrap()[folder].clone();
        let is_new = disk.content().bytes.is_empty();
        let database = settings().create_with_backend(disk).map_err(fault)?;
        let database = Redb { database };
        if is_new {
            database.write(&Changes::new())?;
        }
        Ok(Self(database))
    }

    fn get<T>(&self, name: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Fault> {
        self.0.get(name, take)
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        self.0.scan(start, end, visit)
    }

    fn write(&self, changes: &Changes) -> Result<(), Fault> {
        self.0.write(changes)
    }

    fn sync(&self) -> Result<(), Fault> {
        self.0.sync()
    }

    fn wait_until_released(_: &Path) -> Result<(), OpenError> {
        Ok(())
    }
}
