//! What can only be seen from inside: values that decay, a sled that panics, and files that are
//! damaged, while a store is open.

use qadom_routing::Key;

use super::*;
use crate::{Class, Columns};

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
fn a_decayed_entry_is_not_served_but_counted() {
    let (_folder, store) = decayed();
    let get = |number: u8| store.get(&entry(number).slot, &entry(number).id).unwrap();
    assert_eq!(get(0), Some(entry(0)));
    assert_eq!((get(1), get(2), get(3)), (None, None, None));
    assert_counts(&store, 5, 3);
    let kept = store.scan_keys(&Key::ZERO, &Key::MAX, None, 2).unwrap();
    assert_eq!(kept, [entry(0), entry(4)], "they do not use up the limit");
    assert_counts(&store, 5, 6);
}

#[test]
fn a_decayed_entry_leaves_as_any_other() {
    let (folder, store) = decayed();
    store.put(entry(1)).unwrap();
    assert!(store.remove(&entry(2).slot, &entry(2).id).unwrap());
    assert_counts(&store, 4, 0);
    assert_eq!(store.expire(3, 9).unwrap(), 3);
    assert_counts(&store, 1, 0);
    store.commit().unwrap();
    drop(store);
    assert_counts(&SledStore::open(folder.path()).unwrap(), 1, 0);
}

#[test]
fn a_panic_inside_sled_stops_the_store_until_it_is_reopened() {
    let (_folder, store) = decayed();
    store.commit().unwrap();
    let panicked: Result<(), _> = store.disk.read(|_| panic!("assertion failed"));
    let text = match panicked.unwrap_err() {
        StoreError::Corrupt { source } => source.to_string(),
        other => panic!("{other}"),
    };
    assert_eq!(text, "the engine panicked: assertion failed");
    for refused in [
        store.put(entry(9)).unwrap_err(),
        store.commit().unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    }
    assert_eq!(store.ticket(), Ticket::from_number(5));
    assert!(store.is_stopped());
    assert_eq!(store.reopen().unwrap(), Ticket::from_number(5));
    assert!(!store.is_stopped());
    assert_counts(&store, 2, 3);
    store.put(entry(9)).unwrap();
    assert_eq!(store.commit().unwrap(), Ticket::from_number(6));
}

#[test]
fn nobody_waits_for_a_store_that_is_being_reopened() {
    let (folder, store) = decayed();
    store.commit().unwrap();
    let panicked: Result<(), _> = store.disk.read(|_| panic!("assertion failed"));
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
