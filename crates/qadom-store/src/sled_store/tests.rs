//! What is sled's own: its files, locked or damaged while a store is open.

use qadom_routing::Key;

use super::*;
use crate::name::Name;
use crate::{Class, Columns, Entry, EntryId, Stats, Store, StoreError, Ticket};

fn entry(number: u8) -> Entry {
    Entry {
        slot: Key::from_bytes([number; 32]),
        id: EntryId::new(&[number]).unwrap(),
        bytes: vec![number; 10].into(),
        columns: Columns {
            expires_at: u64::from(number),
            charge: 100,
            group: [0; 8],
            owner: [0; 32],
            rank: 0,
            class: Class::Cached,
        },
    }
}

/// A store with entries 0 to 4, of which 1 to 3 decayed after it was opened.
fn decayed() -> (tempfile::TempDir, SledStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    for number in 0..5 {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    store.disk.with_database(|sled| {
        for (number, rot) in [(1, 60), (2, 5), (3, 0)] {
            let entry = entry(number);
            let name = Name::new(&entry.slot, &entry.id);
            let value = sled.database.get(name.as_bytes()).unwrap();
            let mut value = value.unwrap().to_vec();
            value[rot] ^= 0x80;
            sled.database.insert(name.as_bytes(), value).unwrap();
        }
    });
    (folder, store)
}

fn assert_counts(store: &SledStore, records: u64, damaged: u64) {
    let expected = Stats {
        records,
        charge: 100 * records,
        cached: 100 * records,
        damaged,
    };
    assert_eq!(store.stats(), expected);
}

#[test]
fn nobody_waits_for_a_store_that_is_being_reopened() {
    let (folder, store) = decayed();
    store.commit().unwrap();
    let panicked: Result<(), _> = store.disk.ask(|_| panic!("assertion failed"));
    panicked.unwrap_err();
    // Opening waits until nobody locks the file of the database: so it waits for this test.
    let (data, aside) = (folder.path().join("sled/db"), folder.path().join("db"));
    fs::rename(&data, &aside).unwrap();
    let blocking = File::create(&data).unwrap();
    blocking.lock().unwrap();
    thread::scope(|scope| {
        let reopening = scope.spawn(|| store.reopen());
        while store.get(&entry(0).slot, &entry(0).id).is_ok() {
            thread::yield_now();
        }
        for refused in [
            store.get(&entry(0).slot, &entry(0).id).unwrap_err(),
            store.put(entry(9)).unwrap_err(),
            store.commit().unwrap_err(),
        ] {
            assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
        }
        assert_counts(&store, 5, 0);
        assert_eq!(store.ticket(), Ticket::from_number(5));
        assert!(!reopening.is_finished(), "one of them waited for it");
        // The old database is closed before the new one is opened.
        File::open(&aside).unwrap().lock().unwrap();
        fs::rename(&aside, &data).unwrap();
        drop(blocking);
        assert_eq!(reopening.join().unwrap().unwrap(), Ticket::from_number(5));
    });
    assert_counts(&store, 2, 3);
}

#[test]
fn a_store_that_is_damaged_while_open_starts_over_beside_its_old_files() {
    let (folder, store) = decayed();
    store.commit().unwrap();
    let settings = fs::read(folder.path().join("sled/conf")).unwrap();
    fs::write(folder.path().join("sled/conf"), &settings[1..]).unwrap();
    for _ in 0..2 {
        let refusal = store.reopen().unwrap_err();
        assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
        assert!(store.is_stopped());
    }
    let place = tempfile::tempdir().unwrap();
    let quarantine = place.path().join("quarantine-1");
    assert_eq!(
        store.start_over(&quarantine).unwrap(),
        Ticket::from_number(5)
    );
    assert_counts(&store, 0, 0);
    store.put(entry(9)).unwrap();
    assert_eq!(store.commit().unwrap(), Ticket::from_number(6));
    let refusal = SledStore::open(folder.path()).unwrap_err();
    assert!(
        matches!(refusal, OpenError::InUse { .. }),
        "the folder stayed ours: {refusal}"
    );
    fs::write(quarantine.join("sled/conf"), settings).unwrap();
    assert_counts(&SledStore::open(&quarantine).unwrap(), 2, 3);
}
