//! The known traps of sled 0.34.7, each shown to be one on plain sled, and its workaround.

#![cfg(test)]
#![cfg(feature = "sled")]

use std::fs;
use std::path::{Path, PathBuf};

use qadom_routing::Key;
use qadom_store::{Class, Columns, ENTRY_MAX, Entry, EntryId, OpenError, SledStore, Stats, Store};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

fn entry(number: u8) -> Entry {
    Entry {
        slot: Key::from_bytes([number; 32]),
        id: EntryId::new(b"id").unwrap(),
        bytes: vec![number; 100].into(),
        columns: Columns {
            expires_at: u64::from(number),
            charge: 100,
            group: [1; 8],
            owner: [2; 32],
            rank: 3,
            class: Class::Record,
        },
    }
}

/// A folder with a closed store in it that keeps entries 0 to 9.
fn closed_store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    for number in 0..10 {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    store.sync().unwrap();
    folder
}

fn assert_keeps_all(folder: &Path) {
    let store = SledStore::open(folder).unwrap();
    for number in 0..10 {
        let entry = entry(number);
        assert_eq!(store.get(&entry.slot, &entry.id).unwrap(), Some(entry));
    }
    let expected = Stats {
        records: 10,
        charge: 1000,
        ..Stats::default()
    };
    assert_eq!(store.stats(), expected);
}

/// Plain sled on the database of a store, with the one setting that has to fit its files.
fn plain_sled(place: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(place).segment_size(8 << 20).open()
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.path().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// Waits until plain sled has let go of a store's database, which it does on threads of its own.
fn wait_for_sled(folder: &Path) {
    fs::File::open(folder.join("sled/db"))
        .unwrap()
        .lock()
        .unwrap();
}

fn snapshots(place: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(place)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("snap.")
        })
        .collect()
}

#[test]
fn a_snapshot_torn_by_a_kill_while_opening_does_not_block_the_next_opening() {
    let folder = closed_store();
    assert_keeps_all(folder.path());
    let place = folder.path().join("sled");
    let snapshot = snapshots(&place).pop().expect("opening wrote a snapshot");
    let whole = fs::read(snapshot).unwrap();
    let torn = place.join("snap.00000000FFFFFFFF.generating");
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();

    let copy = tempfile::tempdir().unwrap();
    copy_files(&place, copy.path());
    let refusal = plain_sled(copy.path()).expect_err("plain sled takes the torn file");
    assert!(
        matches!(refusal, sled::Error::Corruption { .. }),
        "{refusal}"
    );

    assert_keeps_all(folder.path());
    assert!(!torn.exists());
}

#[test]
fn settings_torn_by_a_kill_at_the_first_start_do_not_block_the_next() {
    let folder = closed_store();
    let whole = fs::read(folder.path().join("sled/conf")).unwrap();
    // sled writes the checksum by itself, behind the rest.
    let torn = &whole[..whole.len() - 4];

    let plain = tempfile::tempdir().unwrap();
    fs::write(plain.path().join("conf"), torn).unwrap();
    let refusal = sled::open(plain.path()).expect_err("plain sled reads the torn settings");
    assert!(
        matches!(refusal, sled::Error::Corruption { .. }),
        "{refusal}"
    );

    // What a kill at that moment leaves of a store: claimed, its database not yet in place.
    let killed = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("ENGINE"), killed.path().join("ENGINE")).unwrap();
    fs::create_dir(killed.path().join("sled.new")).unwrap();
    fs::write(killed.path().join("sled.new/conf"), torn).unwrap();
    let store = SledStore::open(killed.path()).unwrap();
    store.put(entry(1)).unwrap();
    store.commit().unwrap();
    assert!(!killed.path().join("sled.new").exists());
}

#[test]
fn pages_of_the_largest_entries_do_not_become_files() {
    let blobs = |place: &Path| fs::read_dir(place.join("blobs")).unwrap().count();
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let plain = tempfile::tempdir().unwrap();
    let database = sled::open(plain.path()).unwrap();
    for number in 0..40_u8 {
        database.insert([number], vec![0; ENTRY_MAX]).unwrap();
    }
    database.flush().unwrap();
    assert_ne!(
        blobs(plain.path()),
        0,
        "plain sled makes files of pages of such"
    );

    let folder = closed_store();
    let store = SledStore::open(folder.path()).unwrap();
    for _ in 0..600 {
        let number = chance.next_u32().to_le_bytes()[0] / 2;
        let mut largest = entry(number);
        largest.id = EntryId::new(&[number; EntryId::LENGTH_MAX]).unwrap();
        if chance.next_u32() % 3 == 0 {
            // Thinned out pages merge with their neighbours.
            store.remove(&largest.slot, &largest.id).unwrap();
        } else {
            largest.bytes = vec![number; ENTRY_MAX].into();
            store.put(largest).unwrap();
        }
    }
    store.commit().unwrap();
    assert_eq!(blobs(&folder.path().join("sled")), 0);
}

#[test]
fn a_panic_of_sled_while_opening_is_an_error() {
    let folder = closed_store();
    assert_keeps_all(folder.path());
    let snapshot = snapshots(&folder.path().join("sled")).pop().unwrap();
    let mut bytes = fs::read(&snapshot).unwrap();
    // A position in the log that cannot be, under a checksum that fits it.
    bytes[3] ^= 1;
    let end = bytes.len();
    let checksum = crc32fast::hash(&bytes[..end - 12]);
    bytes[end - 4..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&snapshot, &bytes).unwrap();

    let copy = tempfile::tempdir().unwrap();
    copy_files(&folder.path().join("sled"), copy.path());
    let plain = std::panic::catch_unwind(|| drop(plain_sled(copy.path())));
    assert!(plain.is_err(), "plain sled panics");

    let refusal = SledStore::open(folder.path()).unwrap_err();
    assert!(matches!(&refusal, OpenError::Corrupt { .. }), "{refusal}");
    // Nothing is left locked: the folder can be moved away, and a new store made in its place.
    let quarantine = tempfile::tempdir().unwrap();
    fs::rename(folder.path(), quarantine.path().join("0")).unwrap();
    drop(SledStore::open(folder.path()).unwrap());
}

#[test]
fn damaged_values_are_dropped_when_opening_and_counted() {
    let folder = closed_store();
    {
        let database = plain_sled(&folder.path().join("sled")).unwrap();
        let (name, value) = database.iter().next().unwrap().unwrap();
        let mut value = value.to_vec();
        value[70] ^= 1;
        database.insert(name, value).unwrap();
        database
            .insert("no name of an entry", "nor a value")
            .unwrap();
        database.flush().unwrap();
    }
    wait_for_sled(folder.path());
    for damaged in [2, 0] {
        let store = SledStore::open(folder.path()).unwrap();
        let expected = Stats {
            records: 9,
            charge: 900,
            cached: 0,
            damaged,
        };
        assert_eq!(store.stats(), expected);
        assert_eq!(
            store
                .get(&Key::ZERO, &EntryId::new(b"id").unwrap())
                .unwrap(),
            None
        );
        assert_eq!(
            store
                .scan_keys(&Key::ZERO, &Key::MAX, None, 99)
                .unwrap()
                .len(),
            9
        );
        store.commit().unwrap();
    }
}
