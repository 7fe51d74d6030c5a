//! The contract of [`Store`], checked on every implementation.

#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use qadom_routing::Key;
use qadom_store::{
    Class, Columns, ENTRY_MAX, Entry, EntryId, MemoryStore, Stats, Store, StoreError, Ticket,
};

/// Runs `test` on a fresh store of every kind.
fn on_every_store(test: impl Fn(&dyn Store)) {
    println!("MemoryStore");
    test(&MemoryStore::new());
    #[cfg(feature = "sled")]
    {
        println!("SledStore");
        let folder = tempfile::tempdir().unwrap();
        test(&qadom_store::SledStore::open(folder.path()).unwrap());
    }
    #[cfg(feature = "redb")]
    {
        println!("RedbStore");
        let folder = tempfile::tempdir().unwrap();
        test(&qadom_store::RedbStore::open(folder.path()).unwrap());
    }
}

fn slot(number: u8) -> Key {
    Key::from_bytes([number; 32])
}

fn id(bytes: &[u8]) -> EntryId {
    EntryId::new(bytes).unwrap()
}

fn entry(slot_number: u8, id_bytes: &[u8], expires_at: u64, class: Class) -> Entry {
    Entry {
        slot: slot(slot_number),
        id: id(id_bytes),
        bytes: vec![slot_number; 10].into(),
        columns: Columns {
            expires_at,
            charge: 100 + u32::from(slot_number),
            group: [1; 8],
            owner: [2; 32],
            rank: 3,
            class,
        },
    }
}

#[test]
fn a_change_is_readable_before_it_is_committed() {
    on_every_store(|store| {
        assert_eq!(store.ticket(), Ticket::ZERO);
        let first = entry(1, b"a", 5, Class::Record);
        store.put(first.clone()).unwrap();
        assert_eq!(
            store.get(&first.slot, &first.id).unwrap(),
            Some(first.clone())
        );
        let second = Entry {
            bytes: "other".into(),
            ..first.clone()
        };
        store.put(second.clone()).unwrap();
        assert_eq!(store.get(&first.slot, &first.id).unwrap(), Some(second));
        assert!(store.remove(&first.slot, &first.id).unwrap());
        assert_eq!(store.get(&first.slot, &first.id).unwrap(), None);
        assert!(!store.remove(&first.slot, &first.id).unwrap());
        assert_eq!(store.ticket(), Ticket::from_number(3));
        assert_eq!(store.commit().unwrap(), Ticket::from_number(3));
        store.sync().unwrap();
    });
}

#[test]
fn an_entry_of_the_largest_size_is_kept_and_a_larger_one_refused() {
    on_every_store(|store| {
        let mut largest = entry(1, &[7; 64], 5, Class::Record);
        largest.bytes = vec![9; ENTRY_MAX].into();
        store.put(largest.clone()).unwrap();
        let mut larger = largest.clone();
        larger.bytes = vec![9; ENTRY_MAX + 1].into();
        let refused = store.put(larger).unwrap_err();
        assert!(
            matches!(refused, StoreError::EntryTooLarge { length, limit } if length == limit + 1),
            "{refused}"
        );
        assert_eq!(
            store.get(&largest.slot, &largest.id).unwrap(),
            Some(largest)
        );
        assert_eq!(store.ticket(), Ticket::from_number(1));
        store.commit().unwrap();
    });
}

#[test]
fn an_empty_entry_is_an_entry() {
    on_every_store(|store| {
        let mut empty = entry(1, b"a", 0, Class::Record);
        empty.bytes = Vec::new().into();
        empty.columns.charge = 0;
        store.put(empty.clone()).unwrap();
        assert_eq!(store.get(&empty.slot, &empty.id).unwrap(), Some(empty));
        assert_eq!(store.stats().records, 1);
    });
}

#[test]
fn a_store_that_starts_over_is_empty_and_counts_on() {
    on_every_store(|store| {
        let first = entry(1, b"a", 5, Class::Cached);
        store.put(first.clone()).unwrap();
        store.commit().unwrap();
        let place = tempfile::tempdir().unwrap();
        let ticket = store.start_over(&place.path().join("quarantine-1"));
        assert_eq!(ticket.unwrap(), Ticket::from_number(1));
        assert!(!store.is_stopped());
        assert_eq!(store.get(&first.slot, &first.id).unwrap(), None);
        assert_eq!(store.stats(), Stats::default());
        assert_eq!(store.expire(9, 9).unwrap(), 0);
        store.put(first).unwrap();
        assert_eq!(store.commit().unwrap(), Ticket::from_number(2));
    });
}

#[test]
fn a_scan_of_nothing_is_empty() {
    on_every_store(|store| {
        for number in 0..3 {
            store.put(entry(number, b"b", 5, Class::Record)).unwrap();
        }
        let (low, high) = (id(b"a"), id(b"c"));
        let scan = |from, to, limit| store.scan_slot(&slot(1), from, to, limit).unwrap().len();
        assert_eq!(scan(Some(&low), Some(&high), 9), 1);
        assert_eq!(scan(Some(&high), Some(&low), 9), 0);
        assert_eq!(scan(Some(&low), Some(&low), 9), 0);
        assert_eq!(scan(None, None, 0), 0);
        assert!(
            store
                .scan_keys(&slot(2), &slot(0), None, 9)
                .unwrap()
                .is_empty()
        );
        let after = Some((&slot(2), &id(b"b")));
        assert!(
            store
                .scan_keys(&slot(0), &slot(2), after, 9)
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn threads_put_while_another_commits() {
    const EACH: u8 = 200;
    on_every_store(|store| {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let committer = scope.spawn(|| {
                let mut last = Ticket::ZERO;
                while !is_done.load(Ordering::Acquire) {
                    let before = store.ticket();
                    let committed = store.commit().unwrap();
                    assert!(committed >= before && committed >= last);
                    last = committed;
                }
            });
            let writers = [0, 1].map(|writer: u8| {
                scope.spawn(move || {
                    for number in 0..EACH {
                        // Both write the same names in turn, so that they collide.
                        let mut mine = entry(number / 2, &[number % 2], 5, Class::Cached);
                        mine.columns.charge = u32::from(writer) + 1;
                        store.put(mine.clone()).unwrap();
                        assert!(store.get(&mine.slot, &mine.id).unwrap().is_some());
                    }
                })
            });
            for writer in writers {
                writer.join().unwrap();
            }
            is_done.store(true, Ordering::Release);
            committer.join().unwrap();
        });
        let kept = store.scan_keys(&Key::ZERO, &Key::MAX, None, 1000).unwrap();
        assert_eq!(store.stats(), stats_of(kept.iter()));
        assert_eq!(store.stats().records, u64::from(EACH));
        assert_eq!(store.ticket(), Ticket::from_number(2 * u64::from(EACH)));
    });
}

#[derive(Clone, Debug)]
enum Operation {
    Put(Entry),
    Remove(Key, EntryId),
    ScanSlot(Key, Option<EntryId>, Option<EntryId>, usize),
    ScanKeys(Key, Key, Option<(Key, EntryId)>, usize),
    Expire(u64, usize),
    /// Commit, then start again as a new process or with `reopen`.
    Restart {
        is_new: bool,
    },
}

fn any_slot() -> impl Strategy<Value = Key> {
    prop_oneof![Just(Key::ZERO), Just(Key::MAX), (1_u8..4).prop_map(slot)]
}

fn any_id() -> impl Strategy<Value = EntryId> {
    let ids: [&[u8]; 7] = [&[0], &[0, 0], b"a", b"ab", b"b", &[255; 63], &[255; 64]];
    prop::sample::select(ids.map(id).to_vec())
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let class = prop::sample::select(vec![Class::Record, Class::Cached]);
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    (
        any_slot(),
        any_id(),
        bytes,
        0_u64..8,
        0_u32..100,
        class,
        any::<u64>(),
    )
        .prop_map(|(slot, id, bytes, expires_at, charge, class, rank)| Entry {
            slot,
            id,
            bytes: bytes.into(),
            columns: Columns {
                expires_at,
                charge,
                group: rank.to_be_bytes(),
                owner: [rank.to_be_bytes()[0]; 32],
                rank,
                class,
            },
        })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => any_entry().prop_map(Operation::Put),
        3 => (any_slot(), any_id()).prop_map(|(slot, id)| Operation::Remove(slot, id)),
        2 => (any_slot(), prop::option::of(any_id()), prop::option::of(any_id()), 0_usize..6)
            .prop_map(|(slot, from, to, limit)| Operation::ScanSlot(slot, from, to, limit)),
        2 => (any_slot(), any_slot(), prop::option::of((any_slot(), any_id())), 0_usize..9)
            .prop_map(|(from, to, after, limit)| Operation::ScanKeys(from, to, after, limit)),
        1 => (0_u64..8, 0_usize..5).prop_map(|(until, limit)| Operation::Expire(until, limit)),
        1 => any::<bool>().prop_map(|is_new| Operation::Restart { is_new }),
    ]
}

type Model = BTreeMap<(Key, EntryId), Entry>;

fn stats_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Stats {
    entries.fold(Stats::default(), |mut stats, entry| {
        let charge = u64::from(entry.columns.charge);
        stats.records += 1;
        stats.charge += charge;
        if entry.columns.class == Class::Cached {
            stats.cached += charge;
        }
        stats
    })
}

/// The name of what expires first among those that `accept` takes.
fn first_to_leave(model: &Model, accept: impl Fn(&Entry) -> bool) -> Option<(Key, EntryId)> {
    let accepted = model.iter().filter(|(_, entry)| accept(entry));
    let first = accepted.min_by_key(|(name, entry)| (entry.columns.expires_at, *name));
    first.map(|(name, _)| name.clone())
}

fn model_scan(model: &Model, limit: usize, accept: impl Fn(&(Key, EntryId)) -> bool) -> Vec<Entry> {
    let accepted = model.iter().filter(|(name, _)| accept(name));
    accepted
        .take(limit)
        .map(|(_, entry)| entry.clone())
        .collect()
}

/// Does one operation on both and compares what it gives. `Restart` is the caller's.
fn step(store: &dyn Store, model: &mut Model, operation: Operation) {
    match operation {
        Operation::Put(entry) => {
            store.put(entry.clone()).unwrap();
            model.insert((entry.slot, entry.id.clone()), entry);
        }
        Operation::Remove(slot, id) => {
            let was_there = store.remove(&slot, &id).unwrap();
            assert_eq!(was_there, model.remove(&(slot, id)).is_some());
        }
        Operation::ScanSlot(slot, from, to, limit) => {
            let found = store
                .scan_slot(&slot, from.as_ref(), to.as_ref(), limit)
                .unwrap();
            let expected = model_scan(model, limit, |(at, id)| {
                *at == slot
                    && from.as_ref().is_none_or(|from| id >= from)
                    && to.as_ref().is_none_or(|to| id < to)
            });
            assert_eq!(found, expected);
        }
        Operation::ScanKeys(from, to, after, limit) => {
            let start = after.as_ref().map(|(slot, id)| (slot, id));
            let found = store.scan_keys(&from, &to, start, limit).unwrap();
            let expected = model_scan(model, limit, |name| {
                name.0 >= from && name.0 <= to && after.as_ref().is_none_or(|after| name > after)
            });
            assert_eq!(found, expected);
        }
        Operation::Expire(until, limit) => {
            let mut expected = 0;
            while expected < limit
                && let Some(name) = first_to_leave(model, |entry| entry.columns.expires_at <= until)
            {
                model.remove(&name);
                expected += 1;
            }
            assert_eq!(store.expire(until, limit).unwrap(), expected);
        }
        Operation::Restart { .. } => {}
    }
}

/// Plays `operations` on `store` and a map; `restart` plays the operation of that name.
fn play<S: Store>(mut store: S, operations: Vec<Operation>, restart: impl Fn(S, bool) -> S) {
    let mut model = Model::new();
    for operation in operations {
        if let Operation::Restart { is_new } = operation {
            assert_eq!(store.commit().unwrap(), store.ticket());
            store = restart(store, is_new);
        }
        let before = store.ticket();
        step(&store, &mut model, operation);
        assert!(store.ticket() >= before);
        assert_eq!(store.stats(), stats_of(model.values()));
    }
    let kept = store
        .scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX)
        .unwrap();
    assert_eq!(kept, model.values().cloned().collect::<Vec<_>>());
    for entry in kept {
        assert_eq!(store.get(&entry.slot, &entry.id).unwrap(), Some(entry));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_store_in_memory_does_what_a_map_does(
        operations in prop::collection::vec(any_operation(), 0..80),
    ) {
        play(MemoryStore::new(), operations, |store, _| {
            store.reopen().unwrap();
            store
        });
    }
}

#[cfg(feature = "sled")]
proptest! {
    // Every case opens a database, which fsyncs.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_store_on_sled_does_what_a_map_does(
        operations in prop::collection::vec(any_operation(), 0..150),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let open = || qadom_store::SledStore::open(folder.path()).unwrap();
        play(open(), operations, |store, is_new| {
            if is_new {
                drop(store);
                open()
            } else {
                store.reopen().unwrap();
                store
            }
        });
    }
}

#[cfg(feature = "redb")]
proptest! {
    // Every case opens a database, which fsyncs.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_store_on_redb_does_what_a_map_does(
        operations in prop::collection::vec(any_operation(), 0..150),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let open = || qadom_store::RedbStore::open(folder.path()).unwrap();
        play(open(), operations, |store, is_new| {
            if is_new {
                drop(store);
                open()
            } else {
                store.reopen().unwrap();
                store
            }
        });
    }
}
