//! What is redb's own: the files that a kill leaves, and files that are damaged.

use qadom_routing::Key;

use super::*;
use crate::{Class, Columns, Entry, EntryId, Store};

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
