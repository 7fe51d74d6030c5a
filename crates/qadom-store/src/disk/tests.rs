//! What can only be seen from inside a store on disk, on every engine: values that decay, an engine
//! that panics, and formats that are older.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use qadom_routing::Key;

use super::*;
use crate::{Class, Columns, Entry, EntryId, Stats, Store};

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

fn name(number: u8) -> Name {
    Name::new(&entry(number).slot, &entry(number).id)
}

/// A [`Store`] that is nothing but its disk.
#[derive(Debug)]
struct Bare<D: Database>(Disk<D>);

impl<D: Database> OnDisk for Bare<D> {
    type Database = D;

    fn disk(&self) -> &Disk<D> {
        &self.0
    }
}

impl<D: Database> Bare<D> {
    fn open(folder: &Path) -> Self {
        Self(Disk::open(folder, Durability::Kill, WhenDamaged::Drop).unwrap())
    }

    fn number(&self, number: u8) -> Option<Entry> {
        self.get(&entry(number).slot, &entry(number).id).unwrap()
    }

    fn all(&self, limit: usize) -> Vec<Entry> {
        self.scan_keys(&Key::ZERO, &Key::MAX, None, limit).unwrap()
    }

    fn write(&self, number: u8, value: Option<Bytes>) {
        let changes = Changes::from([(name(number), value)]);
        assert!(
            self.0
                .with_database(|engine| engine.write(&changes).is_ok())
        );
    }

    fn assert_counts(&self, records: u64, damaged: u64) {
        let expected = Stats {
            records,
            charge: 100 * records,
            cached: 100 * records,
            damaged,
        };
        assert_eq!(self.stats(), expected);
    }
}

/// A store with entries 0 to 4, of which 1 to 3 decayed after it was opened.
fn decayed<D: Database>(folder: &Path) -> Bare<D> {
    let store = Bare::<D>::open(folder);
    for number in 0..5 {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    for (number, rot) in [(1, 60), (2, 5), (3, 0)] {
        let entry = entry(number);
        let mut value = layout::encode(&name(number), &entry.bytes, &entry.columns);
        value[rot] ^= 0x80;
        store.write(number, Some(value.into()));
    }
    store
}

fn names(numbers: &[u8]) -> Vec<(Key, EntryId)> {
    numbers.iter().map(|number| name(*number).split()).collect()
}

fn a_decayed_entry_is_not_served_but_dropped_and_named<D: Database>() {
    let folder = tempfile::tempdir().unwrap();
    let store = decayed::<D>(folder.path());
    assert_eq!(store.number(0), Some(entry(0)));
    store.assert_counts(5, 0);
    assert_eq!(store.number(2), None);
    store.assert_counts(4, 1);
    assert_eq!(store.number(2), None);
    store.assert_counts(4, 1);
    assert_eq!(store.take_damaged(), names(&[2]));
    assert_eq!(store.all(2), [entry(0), entry(4)], "they use up no limit");
    store.assert_counts(2, 3);
    assert_eq!(store.take_damaged(), names(&[1, 3]));
    assert_eq!(store.take_damaged(), []);
    store.put(entry(1)).unwrap();
    assert_eq!(store.number(1), Some(entry(1)));
    store.commit().unwrap();
    drop(store);
    Bare::<D>::open(folder.path()).assert_counts(3, 0);
}

fn a_decayed_entry_that_was_replaced_meanwhile_stays<D: Database>() {
    let folder = tempfile::tempdir().unwrap();
    let store = decayed::<D>(folder.path());
    // As if these bytes had been read just before.
    store.put(entry(1)).unwrap();
    store.0.drop_damaged(name(1));
    store.commit().unwrap();
    store.0.drop_damaged(name(1));
    assert_eq!(store.number(1), Some(entry(1)));
    store.assert_counts(5, 2);
}

fn what_decayed_is_gone_after_the_next_opening<D: Database>() {
    let folder = tempfile::tempdir().unwrap();
    drop(decayed::<D>(folder.path()));
    for damaged in [3, 0] {
        let store = Bare::<D>::open(folder.path());
        store.assert_counts(2, damaged);
        assert_eq!(store.all(9), [entry(0), entry(4)]);
        assert_eq!(store.take_damaged().len() as u64, damaged);
    }
    drop(decayed::<D>(folder.path()));
    for _ in 0..2 {
        let kept = Disk::<D>::open(folder.path(), Durability::Kill, WhenDamaged::Keep);
        Bare(kept.unwrap()).assert_counts(2, 3);
    }
}

fn a_panic_inside_an_engine_stops_the_store_until_it_is_reopened<D: Database>() {
    let folder = tempfile::tempdir().unwrap();
    let store = decayed::<D>(folder.path());
    let panicked: Result<(), _> = store.0.ask(|_| panic!("assertion failed"));
    let text = match panicked.unwrap_err() {
        StoreError::Corrupt { source } => source.to_string(),
        other => panic!("{other}"),
    };
    assert_eq!(text, "the engine panicked: assertion failed");
    for refused in [
        store.put(entry(9)).unwrap_err(),
        store.commit().unwrap_err(),
        store.sync().unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    }
    assert_eq!(store.ticket(), Ticket::from_number(5));
    assert!(store.is_stopped());
    assert_eq!(store.reopen().unwrap(), Ticket::from_number(5));
    assert!(!store.is_stopped());
    store.assert_counts(2, 3);
    store.put(entry(9)).unwrap();
    assert_eq!(store.commit().unwrap(), Ticket::from_number(6));
}

fn a_scan_joins_what_is_buffered_with_what_is_committed<D: Database>() {
    let folder = tempfile::tempdir().unwrap();
    let store = Bare::<D>::open(folder.path());
    for number in [1, 3, 5, 7] {
        store.put(entry(number)).unwrap();
    }
    assert!(store.buffered() > 4 * 43);
    store.commit().unwrap();
    assert_eq!(store.buffered(), 0);
    let mut newer = entry(3);
    newer.bytes = "newer".into();
    for entry in [entry(0), newer.clone(), entry(4), entry(8)] {
        store.put(entry).unwrap();
    }
    assert!(store.remove(&entry(5).slot, &entry(5).id).unwrap());
    let expected = [entry(0), entry(1), newer, entry(4), entry(7), entry(8)];
    for limit in 0..8 {
        let shown = &expected[..limit.min(expected.len())];
        assert_eq!(store.all(limit), shown);
    }
    store.commit().unwrap();
    assert_eq!(store.buffered(), 0);
    assert_eq!(store.all(9), expected);
}

fn a_disk_that_is_far_behind_takes_no_more_until_the_next_commit<D: Database>() {
    let folder = tempfile::tempdir().unwrap();
    let store = Bare::<D>::open(folder.path());
    let mut large = entry(1);
    large.bytes = vec![7; crate::ENTRY_MAX].into();
    let mut number = 0_u32;
    let refused = loop {
        large.id = EntryId::new(&number.to_be_bytes()).unwrap();
        if let Err(refused) = store.put(large.clone()) {
            break refused;
        }
        number += 1;
    };
    assert!(
        matches!(refused, StoreError::Behind { limit: BUFFER_MAX }),
        "{refused}"
    );
    assert!(number >= 1023, "{number}");
    assert!(store.buffered() < BUFFER_MAX + 2 * crate::ENTRY_MAX);
    assert!(!store.is_stopped());
    let first = EntryId::new(&0_u32.to_be_bytes()).unwrap();
    assert!(
        store.remove(&large.slot, &first).unwrap(),
        "room may be made"
    );
    store.commit().unwrap();
    store.put(large).unwrap();
    assert_eq!(store.stats().records, u64::from(number));
}

/// Makes a module with the tests above for an engine.
macro_rules! on {
    ($feature:literal, $module:ident, $engine:path, $($test:ident),*) => {
        #[cfg(feature = $feature)]
        mod $module {
            $(#[test]
            fn $test() {
                super::$test::<$engine>();
            })*
        }
    };
    ($($test:ident),* $(,)?) => {
        on!("sled", sled, crate::sled_store::Sled, $($test),*);
        on!("redb", redb, crate::redb_store::Redb, $($test),*);
    };
}

on!(
    a_decayed_entry_is_not_served_but_dropped_and_named,
    a_decayed_entry_that_was_replaced_meanwhile_stays,
    what_decayed_is_gone_after_the_next_opening,
    a_panic_inside_an_engine_stops_the_store_until_it_is_reopened,
    a_scan_joins_what_is_buffered_with_what_is_committed,
    a_disk_that_is_far_behind_takes_no_more_until_the_next_commit,
);

/// An engine that keeps nothing, in its third format.
#[derive(Debug)]
struct Third;

impl Database for Third {
    const ENGINE: &'static str = "third";
    const UPGRADES: &'static [Upgrade] = &[
        |folder| Ok(fs::rename(folder.join("first"), folder.join("second"))?),
        |folder| Ok(fs::rename(folder.join("second"), folder.join("third"))?),
    ];
    const PLACE: &'static str = "third";
    const SPACE_NEEDED: usize = 0;

    fn open(folder: &Path) -> Result<Self, OpenError> {
        let place = folder.join(Self::PLACE);
        if !place.exists() {
            File::create(place)?;
        }
        Ok(Self)
    }

    fn get<T>(&self, _: &[u8], _: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Fault> {
        Ok(None)
    }

    fn scan(
        &self,
        _: &[u8],
        _: Option<&[u8]>,
        _: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        Ok(())
    }

    fn write(&self, _: &Changes) -> Result<(), Fault> {
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn wait_until_released(_: &Path) -> Result<(), OpenError> {
        Ok(())
    }
}

fn open_third(folder: &Path) -> Result<Arc<dyn Store>, OpenError> {
    let disk = Disk::<Third>::open(folder, Durability::Kill, WhenDamaged::Drop)?;
    Ok(Arc::new(Bare(disk)))
}

#[test]
fn an_older_format_is_upgraded_step_by_step_and_a_newer_one_refused() {
    for (format, place) in [(1, "first"), (2, "second"), (3, "third")] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ENGINE"), format!("third {format}\n")).unwrap();
        fs::write(folder.path().join(place), "entries").unwrap();
        for _ in 0..2 {
            drop(open_third(folder.path()).unwrap());
            assert_eq!(fs::read(folder.path().join("third")).unwrap(), b"entries");
            assert_eq!(
                fs::read(folder.path().join("ENGINE")).unwrap(),
                b"third 3\n"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    drop(open_third(folder.path()).unwrap());
    assert_eq!(
        fs::read(folder.path().join("ENGINE")).unwrap(),
        b"third 3\n"
    );
    fs::write(folder.path().join("ENGINE"), "third 4\n").unwrap();
    let refused = open_third(folder.path()).unwrap_err();
    assert!(
        matches!(refused, OpenError::TooNew { found: 4, known: 3 }),
        "{refused}"
    );
}

#[test]
fn an_upgrade_that_fails_is_tried_again_from_the_format_that_was_reached() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ENGINE"), "third 1\n").unwrap();
    fs::write(folder.path().join("first"), "entries").unwrap();
    fs::create_dir_all(folder.path().join("third/in the way")).unwrap();
    let refused = open_third(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Failed { .. }), "{refused}");
    assert_eq!(
        fs::read(folder.path().join("ENGINE")).unwrap(),
        b"third 2\n"
    );
    fs::remove_dir_all(folder.path().join("third")).unwrap();
    drop(open_third(folder.path()).unwrap());
    assert_eq!(fs::read(folder.path().join("third")).unwrap(), b"entries");
}

/// An engine that forgets everything when it is closed, on a disk of which `FREE` bytes are free.
#[derive(Debug)]
struct Shelf(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

static FREE: AtomicU64 = AtomicU64::new(u64::MAX);

impl Database for Shelf {
    const ENGINE: &'static str = "shelf";
    const PLACE: &'static str = "shelf";
    const SPACE_NEEDED: usize = 1000;

    fn open(_: &Path) -> Result<Self, OpenError> {
        Ok(Self(Mutex::default()))
    }

    fn get<T>(&self, name: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Fault> {
        Ok(self.0.lock().unwrap().get(name).map(|value| take(value)))
    }

    fn scan(
        &self,
        start: &[u8],
        _: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        for (name, value) in self.0.lock().unwrap().range(start.to_vec()..) {
            if visit(name, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: &Changes) -> Result<(), Fault> {
        for (name, value) in changes {
            let name = name.as_bytes().to_vec();
            match value {
                Some(value) => self.0.lock().unwrap().insert(name, value.to_vec()),
                None => self.0.lock().unwrap().remove(&name),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn wait_until_released(_: &Path) -> Result<(), OpenError> {
        Ok(())
    }

    fn free_space(_: &Path) -> Option<u64> {
        Some(FREE.load(Ordering::SeqCst))
    }
}

#[test]
fn a_store_without_space_stops_before_its_engine_has_to_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Bare::<Shelf>::open(folder.path());
    store.put(entry(1)).unwrap();
    store.commit().unwrap();
    let fill = || {
        FREE.store(0, Ordering::SeqCst);
        store.commit().unwrap();
        assert!(!store.is_stopped(), "nothing was to be written");
        store.put(entry(2)).unwrap();
        let refused = store.commit().unwrap_err();
        assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
        assert!(store.is_stopped());
        assert_eq!(store.number(1), Some(entry(1)), "reads go on");
        store.put(entry(3)).unwrap_err();
        // What opening needs alone would be used up by the very next commit.
        FREE.store(1000, Ordering::SeqCst);
        let refused = store.reopen().unwrap_err();
        assert!(matches!(refused, OpenError::DiskFull { .. }), "{refused}");
        assert!(store.is_stopped());
        FREE.store(u64::MAX, Ordering::SeqCst);
    };
    fill();
    assert_eq!(store.reopen().unwrap(), store.ticket());
    assert_eq!(store.number(1), Some(entry(1)), "it stayed open");
    assert_eq!(store.number(2), None, "it was refused");
    store.assert_counts(1, 0);
    store.put(entry(2)).unwrap();
    store.commit().unwrap();
    store.remove(&entry(2).slot, &entry(2).id).unwrap();
    store.commit().unwrap();

    // An engine that fails meanwhile is closed.
    fill();
    let failed: Result<(), _> = store.0.ask(|_| panic!("assertion failed"));
    failed.unwrap_err();
    store.reopen().unwrap();
    assert_eq!(store.number(1), None, "it was opened anew");
}
