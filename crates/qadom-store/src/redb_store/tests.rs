//! What can only be seen from inside: values that decay, files of a kill, and the buffer.

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
            class: Class::Record,
        },
    }
}

fn get(store: &RedbStore, number: u8) -> Option<Entry> {
    store.get(&entry(number).slot, &entry(number).id).unwrap()
}

fn all(store: &RedbStore, limit: usize) -> Vec<Entry> {
    store.scan_keys(&Key::ZERO, &Key::MAX, None, limit).unwrap()
}

#[test]
fn a_decayed_entry_is_not_served_and_gone_after_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    for number in 0..3 {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    let name = Name::new(&entry(1).slot, &entry(1).id);
    let rotten = Bytes::from_static(b"\x01rotten");
    let written = store
        .disk
        .with_database(|redb| redb.write(&[(name, Some(rotten))]).is_ok());
    assert!(written);
    assert_eq!(get(&store, 1), None);
    assert_eq!(all(&store, 2), [entry(0), entry(2)], "it uses up no limit");
    assert_eq!((store.stats().records, store.stats().damaged), (3, 2));
    drop(store);
    for damaged in [1, 0] {
        let store = RedbStore::open(folder.path()).unwrap();
        assert_eq!((store.stats().records, store.stats().damaged), (2, damaged));
        assert_eq!(all(&store, 9), [entry(0), entry(2)]);
    }
}

#[test]
fn a_scan_joins_what_is_buffered_with_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    for number in [1, 3, 5, 7] {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    assert!(store.disk.state().buffer.is_empty());
    let mut newer = entry(3);
    newer.bytes = "newer".into();
    for entry in [entry(0), newer.clone(), entry(4), entry(8)] {
        store.put(entry).unwrap();
    }
    assert!(store.remove(&entry(5).slot, &entry(5).id).unwrap());
    let expected = [entry(0), entry(1), newer, entry(4), entry(7), entry(8)];
    for limit in 0..8 {
        let shown = &expected[..limit.min(expected.len())];
        assert_eq!(all(&store, limit), shown);
    }
    store.commit().unwrap();
    assert!(store.disk.state().buffer.is_empty());
    assert_eq!(all(&store, 9), expected);
}

#[test]
fn what_a_kill_left_of_a_new_database_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    drop(RedbStore::open(folder.path()).unwrap());
    let place = folder.path().join(Redb::PLACE);
    let whole = fs::read(&place).unwrap();
    fs::rename(&place, folder.path().join(UNFINISHED)).unwrap();
    fs::write(folder.path().join(UNFINISHED), &whole[..whole.len() / 3]).unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    store.put(entry(1)).unwrap();
    store.commit().unwrap();
    assert_eq!(get(&store, 1), Some(entry(1)));
    assert!(!folder.path().join(UNFINISHED).exists());
}

#[test]
fn a_damaged_file_is_corrupt_and_starts_over_beside_its_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    store.put(entry(1)).unwrap();
    store.commit().unwrap();
    drop(store);
    let place = folder.path().join(Redb::PLACE);
    let whole = fs::read(&place).unwrap();
    fs::write(&place, [&[0; 64], &whole[64..]].concat()).unwrap();
    let refusal = RedbStore::open(folder.path()).unwrap_err();
    assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");

    fs::write(&place, &whole).unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let quarantine = folder.path().join("quarantine-1");
    store.start_over(&quarantine).unwrap();
    assert_eq!(get(&store, 1), None);
    let old = RedbStore::open(&quarantine).unwrap();
    assert_eq!(get(&old, 1), Some(entry(1)));
}
