//! What can only be seen from inside: values that decay, and a sled that panics, while a store is
//! open.

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
    let database = store.database.read().unwrap();
    for (number, rot) in [(1, 60), (2, 5), (3, 0)] {
        let entry = entry(number);
        let name = Name::new(&entry.slot, &entry.id);
        let sled = &database.as_ref().unwrap().sled;
        let mut value = sled.get(name.as_bytes()).unwrap().unwrap().to_vec();
        value[rot] ^= 0x80;
        sled.insert(name.as_bytes(), value).unwrap();
    }
    drop(database);
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
    let panicked: Result<(), _> = store.read(|_| panic!("assertion failed"));
    let text = match panicked.unwrap_err() {
        StoreError::Corrupt { source } => source.to_string(),
        other => panic!("{other}"),
    };
    assert_eq!(text, "sled panicked: assertion failed");
    for refused in [
        store.put(entry(9)).unwrap_err(),
        store.commit().unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    }
    assert_eq!(store.ticket(), Ticket::from_number(5));
    assert_eq!(store.reopen().unwrap(), Ticket::from_number(5));
    assert_counts(&store, 2, 3);
    store.put(entry(9)).unwrap();
    assert_eq!(store.commit().unwrap(), Ticket::from_number(6));
}
