//! Cuts of the power and failures of the disk under redb, played on a disk in memory.
//!
//! `QADOM_CUTS` (default 2) is how many of the possible remains are tried at each of the calls that
//! were made to the disk, `QADOM_CUT_SEED` the seed by which they are chosen.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use bytes::Bytes;
use qadom_routing::Key;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::recorder::{Event, Failure, Left, Recorded, Recorder};
use super::*;
use crate::{Class, Columns, Entry, EntryId, Store, StoreError};

/// How many unsynced writes have all their subsets tried.
const ALL_SUBSETS: usize = 4;
const ROUNDS: u64 = 2;
const GROUPS: u64 = 12;
const NAMES: u64 = 24;

#[derive(Debug)]
struct OnRecorder(Disk<Recorded>);

impl OnDisk for OnRecorder {
    type Database = Recorded;

    fn disk(&self) -> &Disk<Recorded> {
        &self.0
    }
}

fn open(folder: &Path, disk: &Recorder) -> Result<OnRecorder, OpenError> {
    Recorded::place(folder, disk);
    Disk::open(folder, Durability::Power, WhenDamaged::Drop).map(OnRecorder)
}

type Model = BTreeMap<(Key, EntryId), Entry>;

fn all(store: &dyn Store) -> Model {
    let entries = store.scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX);
    let entries = entries.unwrap().into_iter();
    entries
        .map(|entry| ((entry.slot, entry.id.clone()), entry))
        .collect()
}

/// Makes the changes of group `group` of a round.
fn change(store: &dyn Store, model: &mut Model, seed: u64, group: u64) -> Result<(), StoreError> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed << 16 | group);
    for _ in 0..=(chance.next_u64() % 8) {
        let number = chance.next_u64() % NAMES;
        let slot = Key::from_bytes([number.to_le_bytes()[0]; 32]);
        let id = EntryId::new(&number.to_be_bytes()).unwrap();
        if chance.next_u64().is_multiple_of(5) {
            store.remove(&slot, &id)?;
            model.remove(&(slot, id));
            continue;
        }
        let length = match chance.next_u64() % 12 {
            0 => 20_000,
            _ => chance.next_u64() % 1500,
        };
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        chance.fill_bytes(&mut bytes);
        let entry = Entry {
            slot,
            id: id.clone(),
            bytes: Bytes::from(bytes),
            columns: Columns {
                expires_at: group,
                charge: 100,
                group: [0; 8],
                owner: [0; 32],
                rank: number,
                class: Class::Record,
            },
        };
        store.put(entry.clone())?;
        model.insert((slot, id), entry);
    }
    Ok(())
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The remains to try at a cut that leaves so many writes in doubt.
fn remains(unsynced: usize, samples: u64) -> Vec<Left> {
    if unsynced <= ALL_SUBSETS {
        let subsets = 0..1_u64 << unsynced;
        return subsets.map(Left::These).collect();
    }
    let extremes = [Left::These(0), Left::These(u64::MAX)];
    let some = (0..samples).map(|_| Left::Some);
    extremes.into_iter().chain(some).collect()
}

#[test]
fn no_cut_of_the_power_loses_what_was_acknowledged() {
    let samples = setting("QADOM_CUTS", 2);
    let seed = setting("QADOM_CUT_SEED", 1);
    println!("QADOM_CUTS={samples} QADOM_CUT_SEED={seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut image = Vec::new();
    let (mut cuts, mut images) = (0, 0);
    let place = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        // From the second round on, the store was opened on what a cut had left.
        let folder = tempfile::tempdir().unwrap();
        let disk = Recorder::new(image.clone());
        let store = open(folder.path(), &disk).unwrap();
        let mut model = all(&store);
        let mut states = vec![model.clone()];
        for group in 1..=GROUPS {
            change(&store, &mut model, seed << 8 | round, group).unwrap();
            store.commit().unwrap();
            disk.acknowledge(group);
            states.push(model.clone());
        }
        drop(store);
        let tape = disk.tape();
        // A database that is being made lies beside its place until it is whole.
        let is_whole = |cut: usize| round > 0 || tape.acknowledged(cut) > 0;
        for cut in (0..=tape.events.len()).filter(|cut| is_whole(*cut)) {
            if matches!(tape.events.get(cut), Some(Event::Acknowledged(_))) {
                continue;
            }
            cuts += 1;
            let acknowledged = usize::try_from(tape.acknowledged(cut)).unwrap();
            for left in remains(tape.unsynced(cut), samples) {
                let bytes = tape.after_cut(cut, left, &mut chance);
                images += 1;
                let found = open(place.path(), &Recorder::new(bytes.clone()))
                    .unwrap_or_else(|error| panic!("round {round}, cut {cut}, {left:?}: {error}"));
                // The group that was being committed is there whole or not at all.
                let allowed = &states[acknowledged..states.len().min(acknowledged + 2)];
                assert!(
                    allowed.contains(&all(&found)) && found.stats().damaged == 0,
                    "round {round}, cut {cut}, {left:?}: acknowledged was group {acknowledged}"
                );
                if chance.next_u64().is_multiple_of(50) {
                    image = bytes;
                }
            }
        }
    }
    println!("{cuts} cuts, {images} remains, nothing acknowledged was lost");
}

const NEVER_MIND: Failure = Failure {
    after: 0,
    kind: ErrorKind::Other,
    is_of_syncs: false,
    is_short: false,
    is_once: false,
};

#[test]
fn whatever_call_to_the_disk_fails_nothing_false_is_acknowledged_and_reopening_recovers() {
    let failures = [
        NEVER_MIND,
        Failure {
            kind: ErrorKind::StorageFull,
            ..NEVER_MIND
        },
        Failure {
            is_short: true,
            ..NEVER_MIND
        },
        Failure {
            is_of_syncs: true,
            ..NEVER_MIND
        },
        Failure {
            is_of_syncs: true,
            is_once: true,
            ..NEVER_MIND
        },
        Failure {
            is_once: true,
            ..NEVER_MIND
        },
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        // Long enough to reach every call of the first commits.
        for after in 0..24 {
            let failure = Failure { after, ..failure };
            meet(failure, number as u64);
        }
    }
}

/// Writes until the disk fails, lets it work again and looks at what is left.
fn meet(failure: Failure, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Recorder::default();
    let store = open(folder.path(), &disk).unwrap();
    let mut model = Model::new();
    change(&store, &mut model, seed, 0).unwrap();
    store.commit().unwrap();
    disk.fail(Some(failure));
    let mut kept = vec![model.clone()];
    for group in 1..40 {
        change(&store, &mut model, seed, group).unwrap();
        kept.push(model.clone());
        match store.commit() {
            Ok(_) => drop(kept.drain(..kept.len() - 1)),
            Err(error) => {
                let is_full = matches!(error, StoreError::DiskFull { .. });
                assert_eq!(is_full, failure.kind == ErrorKind::StorageFull, "{error}");
                break;
            }
        }
    }
    assert!(store.is_stopped(), "{failure:?} came to pass");
    assert!(store.commit().is_err());
    let mut unused = model.clone();
    assert!(change(&store, &mut unused, seed, 41).is_err());
    disk.fail(None);
    store.reopen().unwrap();
    let found = all(&store);
    assert!(
        kept.contains(&found),
        "{failure:?}: what was acknowledged is there"
    );
    model = found;
    change(&store, &mut model, seed, 42).unwrap();
    store.commit().unwrap();
    assert_eq!(all(&store), model);
    drop(store);
    assert_eq!(all(&open(folder.path(), &disk).unwrap()), model);
}
