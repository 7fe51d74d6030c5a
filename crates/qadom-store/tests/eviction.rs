//! The fair order in which entries leave, checked on every implementation of [`Store`], and
//! against a model that looks through all entries each time.

#![cfg(test)]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use qadom_routing::Key;
use qadom_store::{
    Class, Columns, Container, Entry, EntryId, LargestGroup, MemoryStore, Needed, Scope, Store,
    Usage,
};

type Name = (Key, EntryId);

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

/// An entry of class [`Class::Record`] in the container `(0, 1)` whose id ends in `id`.
fn entry(id: u8, group: u8, owner: u8, rank: u64, charge: u32) -> Entry {
    Entry {
        slot: Key::ZERO,
        id: EntryId::new(&[1, id]).unwrap(),
        bytes: vec![id].into(),
        columns: Columns {
            expires_at: 5,
            charge,
            group: [group; 8],
            owner: [owner; 32],
            rank,
            class: Class::Record,
        },
    }
}

fn cached(mut entry: Entry) -> Entry {
    entry.columns.class = Class::Cached;
    entry
}

const CONTAINER: Container = Container {
    slot: Key::ZERO,
    first: 1,
};

fn records(records: u64) -> Needed {
    Needed { charge: 0, records }
}

/// The last bytes of the ids of what leaves.
fn evict(store: &dyn Store, scope: Scope, needed: Needed) -> Vec<u8> {
    let evicted = store.evict(scope, needed, &[]).unwrap();
    let ids = evicted
        .iter()
        .map(|name| *name.id.as_bytes().last().unwrap());
    ids.collect()
}

fn fill(store: &dyn Store, entries: impl IntoIterator<Item = Entry>) {
    for entry in entries {
        store.put(entry).unwrap();
    }
}

#[test]
fn the_largest_group_gives_way_and_in_it_the_largest_owner_and_in_it_the_lowest_rank() {
    on_every_store(|store| {
        let entries = [
            entry(1, 1, 1, 0, 950),
            entry(2, 2, 1, 0, 400),
            entry(3, 2, 2, 9, 300),
            entry(4, 2, 2, 7, 200),
            entry(5, 2, 2, 8, 200),
        ];
        fill(store, entries);
        // Group 2 has 1100, its owner 2 has 700 of it. Then group 1 has most, with 950.
        for (scope, expected) in [
            (Scope::All, 4),
            (Scope::Container(CONTAINER), 1),
            (Scope::All, 5),
            (Scope::All, 2),
            (Scope::All, 3),
        ] {
            let expected_first = [expected];
            assert_eq!(evict(store, scope, records(1)), expected_first);
        }
        assert_eq!(evict(store, Scope::All, records(1)), []);
        assert_eq!(store.stats().records, 0);
    });
}

#[test]
fn as_much_leaves_as_is_needed_and_no_more() {
    on_every_store(|store| {
        fill(store, (0..9).map(|id| entry(id, 1, 1, u64::from(id), 100)));
        let before = store.ticket().number();
        assert_eq!(evict(store, Scope::All, Needed::default()), []);
        let charge = |charge| Needed { charge, records: 1 };
        assert_eq!(evict(store, Scope::All, charge(0)), [0]);
        assert_eq!(evict(store, Scope::All, charge(100)), [1]);
        assert_eq!(evict(store, Scope::All, charge(101)), [2, 3]);
        assert_eq!(store.ticket().number(), before + 4);
        let rest = Needed {
            charge: 100,
            records: 99,
        };
        assert_eq!(evict(store, Scope::All, rest), [4, 5, 6, 7, 8]);
    });
}

#[test]
fn cached_copies_leave_before_any_record() {
    on_every_store(|store| {
        fill(store, [entry(1, 1, 1, 0, 900), entry(2, 1, 1, 0, 900)]);
        fill(
            store,
            [cached(entry(3, 2, 1, 9, 1)), cached(entry(4, 3, 1, 9, 2))],
        );
        assert_eq!(
            evict(store, Scope::Owner(CONTAINER, [1; 32]), records(1)),
            [3]
        );
        assert_eq!(evict(store, Scope::All, records(2)), [4, 1]);
    });
}

#[test]
fn in_the_scope_of_an_owner_the_lowest_rank_leaves_whoever_brought_it() {
    on_every_store(|store| {
        fill(store, [entry(1, 1, 1, 5, 900), entry(2, 1, 1, 6, 900)]);
        fill(store, [entry(3, 2, 1, 4, 1), entry(4, 2, 2, 1, 1)]);
        let scope = Scope::Owner(CONTAINER, [1; 32]);
        assert_eq!(evict(store, scope, records(9)), [3, 1, 2]);
        assert_eq!(store.usage(&CONTAINER), usage(1, 1));
    });
}

#[test]
fn what_is_kept_stays_and_is_measured() {
    on_every_store(|store| {
        let entries = [
            entry(1, 1, 1, 0, 500),
            entry(2, 1, 2, 0, 1),
            entry(3, 2, 1, 0, 400),
        ];
        let keep = [(Key::ZERO, entries[0].id.clone())];
        fill(store, entries);
        let evicted = store.evict(Scope::All, records(9), &keep).unwrap();
        let ids: Vec<_> = evicted.iter().map(|name| name.id.as_bytes()[1]).collect();
        assert_eq!(ids, [2, 3], "group 1 has most, although its most stays");
        assert_eq!(store.usage(&CONTAINER), usage(1, 500));
    });
}

#[test]
fn a_container_ends_where_the_first_byte_of_the_id_does() {
    on_every_store(|store| {
        let ids: [&[u8]; 6] = [&[0], &[0, 255], &[1], &[254, 255], &[255], &[255; 64]];
        for slot in [Key::ZERO, Key::MAX] {
            fill(
                store,
                ids.map(|id| Entry {
                    slot,
                    id: EntryId::new(id).unwrap(),
                    ..entry(0, 1, 1, 0, 10)
                }),
            );
        }
        for slot in [Key::ZERO, Key::MAX] {
            for (first, count) in [(0, 2), (1, 1), (2, 0), (254, 1), (255, 2)] {
                let container = Container { slot, first };
                assert_eq!(store.usage(&container), usage(count, 10 * count));
                let owner_usage = store.owner_usage(&container, &[1; 32]);
                assert_eq!(owner_usage, usage(count, 10 * count));
                assert_eq!(store.owner_usage(&container, &[0; 32]), Usage::default());
            }
            let container = Container { slot, first: 255 };
            let evicted = store.evict(Scope::Container(container), records(9), &[]);
            assert_eq!(evicted.unwrap().len(), 2);
            assert_eq!(store.usage(&container), Usage::default());
        }
        assert_eq!(store.stats().records, 8);
    });
}

const fn usage(records: u64, charge: u64) -> Usage {
    Usage { records, charge }
}

#[derive(Clone, Debug)]
enum Operation {
    /// Entries of one container with ids from a number on, so that it becomes a large one.
    PutMany(Entry, u8),
    Remove(Name),
    Evict(Scope, Needed, Vec<Name>),
    Expire(usize),
}

fn any_container() -> impl Strategy<Value = Container> {
    let slots = prop::sample::select(vec![Key::ZERO, Key::MAX]);
    let firsts = prop::sample::select(vec![0, 1, 255]);
    (slots, firsts).prop_map(|(slot, first)| Container { slot, first })
}

/// One of at most 100 in each container.
fn any_name() -> impl Strategy<Value = Name> {
    (any_container(), 0_u8..100).prop_map(|(container, id)| name(&container, id))
}

fn name(container: &Container, id: u8) -> Name {
    let id = EntryId::new(&[container.first, id]).unwrap();
    (container.slot, id)
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let classes = prop::sample::select(vec![Class::Record, Class::Record, Class::Cached]);
    (any_name(), 0_u8..3, 0_u8..3, 0_u64..6, 0_u32..5, classes).prop_map(
        |((slot, id), group, owner, rank, charge, class)| Entry {
            slot,
            id,
            bytes: vec![group].into(),
            columns: Columns {
                expires_at: rank ^ 3,
                charge,
                group: [group; 8],
                owner: [owner; 32],
                rank,
                class,
            },
        },
    )
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::All),
        any_container().prop_map(Scope::Container),
        (any_container(), 0_u8..3)
            .prop_map(|(container, owner)| Scope::Owner(container, [owner; 32])),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let needed = (0_u64..30, 0_u64..12);
    let needed = needed.prop_map(|(charge, records)| Needed { charge, records });
    let keep = prop::collection::vec(any_name(), 0..20);
    prop_oneof![
        5 => (any_entry(), 1_u8..50).prop_map(|(entry, count)| Operation::PutMany(entry, count)),
        3 => any_name().prop_map(Operation::Remove),
        6 => (any_scope(), needed, keep)
            .prop_map(|(scope, needed, keep)| Operation::Evict(scope, needed, keep)),
        1 => (0_usize..40).prop_map(Operation::Expire),
    ]
}

/// The entries that `entry` stands for: ids, groups, owners and ranks count up from its own.
fn many(entry: &Entry, count: u8) -> impl Iterator<Item = Entry> {
    let container = Container::of(&entry.slot, &entry.id);
    (0..count).map(move |number| {
        let first = entry.id.as_bytes()[1];
        let (slot, id) = name(&container, (first + number) % 100);
        let mut next = Entry {
            slot,
            id,
            ..entry.clone()
        };
        next.columns.group = [(entry.columns.group[0] + number / 8) % 3; 8];
        next.columns.owner = [(entry.columns.owner[0] + number / 2) % 3; 32];
        next.columns.rank = (entry.columns.rank + u64::from(number)) % 6;
        next
    })
}

type Model = BTreeMap<Name, Entry>;

fn is_in(scope: Scope, entry: &Entry) -> bool {
    let container = Container::of(&entry.slot, &entry.id);
    match scope {
        Scope::All => true,
        Scope::Container(wanted) => container == wanted,
        Scope::Owner(wanted, owner) => container == wanted && entry.columns.owner == owner,
    }
}

/// The sum of the charges in a scope of those with the same class as `entry` and the same in
/// `part`.
fn charge_like<P: PartialEq>(
    model: &Model,
    scope: Scope,
    entry: &Entry,
    part: impl Fn(&Columns) -> P,
) -> u64 {
    let others = model.values().filter(|other| {
        is_in(scope, other)
            && other.columns.class == entry.columns.class
            && part(&other.columns) == part(&entry.columns)
    });
    others.map(|other| u64::from(other.columns.charge)).sum()
}

/// Who leaves next: read off the contract, without any list.
fn victim(model: &Model, scope: Scope, keep: &[Name]) -> Option<Name> {
    let mut largest: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    let candidates = model
        .iter()
        .filter(|&(name, entry)| is_in(scope, entry) && !keep.contains(name));
    let best = candidates.min_by_key(|&(name, entry)| {
        let columns = &entry.columns;
        let share = (columns.class, columns.group, columns.owner);
        let (of_group, of_owner) = *largest.entry(share).or_insert_with(|| {
            (
                charge_like(model, scope, entry, |columns| columns.group),
                charge_like(model, scope, entry, |columns| {
                    (columns.group, columns.owner)
                }),
            )
        });
        let fair = match scope {
            Scope::Owner(..) => None,
            _ => Some(Reverse((of_group, columns.group, of_owner, columns.owner))),
        };
        (Reverse(columns.class), fair, columns.rank, name.clone())
    });
    best.map(|(name, _)| name.clone())
}

fn step(store: &dyn Store, model: &mut Model, operation: Operation) {
    match operation {
        Operation::PutMany(first, count) => {
            for entry in many(&first, count) {
                store.put(entry.clone()).unwrap();
                model.insert((entry.slot, entry.id.clone()), entry);
            }
        }
        Operation::Remove(name) => {
            let was_there = store.remove(&name.0, &name.1).unwrap();
            assert_eq!(was_there, model.remove(&name).is_some());
        }
        Operation::Evict(scope, needed, keep) => {
            let evicted = store.evict(scope, needed, &keep).unwrap();
            let (mut charge, mut count, mut expected) = (0, 0, Vec::new());
            while (charge < needed.charge || count < needed.records)
                && let Some(name) = victim(model, scope, &keep)
                && let Some(entry) = model.remove(&name)
            {
                charge += u64::from(entry.columns.charge);
                count += 1;
                expected.push(name);
            }
            let evicted: Vec<Name> = evicted
                .into_iter()
                .map(|name| (name.slot, name.id))
                .collect();
            assert_eq!(evicted, expected);
        }
        Operation::Expire(limit) => {
            let order = |(name, entry): (&Name, &Entry)| (entry.columns.expires_at, name.clone());
            let mut names: Vec<_> = model.iter().map(order).collect();
            names.sort();
            for (_, name) in names.iter().filter(|(at, _)| *at <= 2).take(limit) {
                model.remove(name);
            }
            store.expire(2, limit).unwrap();
        }
    }
}

fn assert_usage(store: &dyn Store, model: &Model) {
    let usage_of = |scope| {
        let entries = model.values().filter(|entry| is_in(scope, entry));
        entries.fold(Usage::default(), |sum, entry| Usage {
            records: sum.records + 1,
            charge: sum.charge + u64::from(entry.columns.charge),
        })
    };
    for slot in [Key::ZERO, Key::MAX] {
        for first in [0, 1, 255] {
            let container = Container { slot, first };
            let scope = Scope::Container(container);
            assert_eq!(store.usage(&container), usage_of(scope));
            assert_eq!(store.largest_group(scope), largest_group(model, scope));
            for owner in [[0; 32], [1; 32], [2; 32]] {
                let expected = usage_of(Scope::Owner(container, owner));
                assert_eq!(store.owner_usage(&container, &owner), expected);
            }
        }
    }
    let stats = store.stats();
    assert_eq!(usage_of(Scope::All), usage(stats.records, stats.charge));
    let largest = store.largest_group(Scope::All);
    assert_eq!(largest, largest_group(model, Scope::All));
}

/// The group that has most in a scope, cached copies aside.
fn largest_group(model: &Model, scope: Scope) -> LargestGroup {
    let mut groups: BTreeMap<[u8; 8], Usage> = BTreeMap::new();
    for entry in model.values().filter(|entry| is_in(scope, entry)) {
        if entry.columns.class == Class::Record {
            let usage = groups.entry(entry.columns.group).or_default();
            usage.records += 1;
            usage.charge += u64::from(entry.columns.charge);
        }
    }
    let largest = groups
        .iter()
        .max_by_key(|(group, usage)| (usage.charge, **group));
    LargestGroup {
        usage: largest.map(|(_, usage)| *usage).unwrap_or_default(),
        groups: groups.len() as u64,
    }
}

/// Plays `operations` on `store` and a map, and starts it again in the middle.
fn play<S: Store>(mut store: S, operations: &[Operation], restart: impl Fn(S) -> S) {
    let mut model = Model::new();
    for (number, operation) in operations.iter().enumerate() {
        if number == operations.len() / 2 {
            store.commit().unwrap();
            store = restart(store);
        }
        step(&store, &mut model, operation.clone());
        assert_usage(&store, &model);
    }
    let kept = store.scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX);
    assert_eq!(kept.unwrap(), model.values().cloned().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_store_in_memory_evicts_as_the_model_does(
        operations in prop::collection::vec(any_operation(), 0..40),
    ) {
        play(MemoryStore::new(), &operations, |store| store);
    }
}

#[cfg(feature = "sled")]
proptest! {
    // Every case opens a database, which fsyncs.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_store_on_sled_evicts_as_the_model_does(
        operations in prop::collection::vec(any_operation(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let open = || qadom_store::SledStore::open(folder.path()).unwrap();
        play(open(), &operations, |store| {
            drop(store);
            open()
        });
    }
}

#[cfg(feature = "redb")]
proptest! {
    // Every case opens a database, which fsyncs.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_store_on_redb_evicts_as_the_model_does(
        operations in prop::collection::vec(any_operation(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let open = || qadom_store::RedbStore::open(folder.path()).unwrap();
        play(open(), &operations, |store| {
            drop(store);
            open()
        });
    }
}
