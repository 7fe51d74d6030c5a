//! Damaged stores are set aside with a note, boundedly many, and the node goes on with what is
//! whole.

#![cfg(test)]
#![cfg(any(feature = "redb", feature = "sled"))]

use std::fs;
use std::path::Path;

use qadom_routing::Key;
use qadom_store::{
    Class, Columns, Entry, EntryId, OpenError, Options, QUARANTINED_MAX, Quarantine, Store,
    StoreEngine, open, open_or_set_aside,
};

fn entry(number: u8) -> Entry {
    Entry {
        slot: Key::from_bytes([number; 32]),
        id: EntryId::new(b"id").unwrap(),
        bytes: vec![number; 100].into(),
        columns: Columns {
            expires_at: 5,
            charge: 100,
            group: [1; 8],
            owner: [2; 32],
            rank: 3,
            class: Class::Record,
        },
    }
}

fn all(store: &dyn Store) -> Vec<Entry> {
    store
        .scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX)
        .unwrap()
}

fn with(engine: StoreEngine) -> Options {
    Options {
        engine: Some(engine),
        ..Options::default()
    }
}

/// Runs `test` for every engine that is built in, with the options that ask for it and a data
/// folder in whose `store` ten entries are kept.
fn on_every_engine(test: impl Fn(StoreEngine, &Path)) {
    for engine in StoreEngine::ALL {
        if !engine.is_built_in() {
            continue;
        }
        println!("{engine}");
        let data = tempfile::tempdir().unwrap();
        let store = open(&data.path().join("store"), with(engine)).unwrap();
        for number in 0..10 {
            store.put(entry(number)).unwrap();
        }
        store.commit().unwrap();
        drop(store);
        test(engine, data.path());
    }
}

/// The file that an engine cannot do without, and how much of it has to go.
fn spoil(engine: StoreEngine, folder: &Path) {
    let file = folder.join(match engine {
        StoreEngine::Sled => "sled/conf",
        StoreEngine::Redb => "entries.redb",
    });
    let mut bytes = fs::read(&file).unwrap();
    for byte in bytes.iter_mut().take(64) {
        *byte ^= 0x55;
    }
    fs::write(&file, bytes).unwrap();
}

/// Alters the payload of an entry where it lies in the engine's file, whose own checksums do not
/// notice.
#[cfg(feature = "redb")]
fn rot(file: &Path, number: u8) {
    let mut bytes = fs::read(file).unwrap();
    let payload = [number; 100];
    let places: Vec<usize> = (0..bytes.len() - payload.len())
        .filter(|place| bytes[*place..].starts_with(&payload))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place + 50] ^= 1;
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_whole_store_is_opened_and_nothing_set_aside() {
    on_every_engine(|engine, data| {
        let quarantine = Quarantine::new(data);
        let opening = open_or_set_aside(&data.join("store"), with(engine), &quarantine, 9).unwrap();
        assert_eq!(opening.recovery, None);
        assert_eq!(all(&*opening.store).len(), 10);
        assert_eq!(quarantine.list().unwrap(), []);
    });
}

#[test]
fn a_store_that_does_not_open_is_set_aside_and_an_empty_one_made() {
    on_every_engine(|engine, data| {
        let (folder, quarantine) = (data.join("store"), Quarantine::new(data));
        spoil(engine, &folder);
        let refused = open(&folder, with(engine)).unwrap_err();
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");

        let opening = open_or_set_aside(&folder, Options::default(), &quarantine, 9).unwrap();
        let recovery = opening.recovery.unwrap();
        assert_eq!((recovery.damaged, recovery.carried_over), (0, 0));
        assert!(
            recovery.reason.starts_with("it did not open: "),
            "{recovery:?}"
        );
        assert_eq!(all(&*opening.store), []);
        assert_eq!(
            StoreEngine::of(&folder).unwrap(),
            Some(engine),
            "the engine stays"
        );
        opening.store.put(entry(1)).unwrap();
        opening.store.commit().unwrap();

        let [listed] = <[_; 1]>::try_from(quarantine.list().unwrap()).unwrap();
        assert_eq!(listed.path, data.join("quarantine-1"));
        assert_eq!(recovery.place.as_ref(), Some(&listed.path));
        assert_eq!((listed.number, listed.at), (1, Some(9)));
        assert_eq!(listed.reason, recovery.reason);
        assert!(listed.length > 100);
        // Once the damage is taken back, all is there.
        spoil(engine, &listed.path);
        assert_eq!(
            all(&*open(&listed.path, Options::default()).unwrap()).len(),
            10
        );
    });
}

#[cfg(feature = "redb")]
#[test]
fn entries_that_are_whole_are_carried_over_when_others_rot() {
    let data = tempfile::tempdir().unwrap();
    let (folder, quarantine) = (data.path().join("store"), Quarantine::new(data.path()));
    let store = open(&folder, with(StoreEngine::Redb)).unwrap();
    for number in 0..200 {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    drop(store);
    for number in [60, 150] {
        rot(&folder.join("entries.redb"), number);
    }
    let opening = open_or_set_aside(&folder, Options::default(), &quarantine, 9).unwrap();
    let recovery = opening.recovery.unwrap();
    assert_eq!((recovery.damaged, recovery.carried_over), (2, 198));
    assert_eq!(recovery.reason, "the checksums of 2 entries failed");
    let whole = (0..200).filter(|number| ![60, 150].contains(number));
    assert_eq!(all(&*opening.store), whole.map(entry).collect::<Vec<_>>());
    // What was damaged is left for whoever wants to look into it.
    let old = open(&recovery.place.unwrap(), Options::default()).unwrap();
    assert_eq!((old.stats().records, old.stats().damaged), (198, 2));
}

#[test]
fn every_opening_tells_of_a_loss_until_all_is_back() {
    on_every_engine(|engine, data| {
        let (folder, quarantine) = (data.join("store"), Quarantine::new(data));
        spoil(engine, &folder);
        let open = |options| {
            let opening = open_or_set_aside(&folder, options, &quarantine, 9).unwrap();
            (opening.store, opening.recovery)
        };
        let (store, first) = open(Options::default());
        drop(store);
        // The process ended before others gave back what they hold.
        let (store, again) = open(Options::default());
        assert_eq!(again, first);
        drop(store);
        // It may have ended before there was a new store, too.
        fs::remove_dir_all(&folder).unwrap();
        let (store, again) = open(Options::default());
        assert_eq!(again, first);
        drop(store);
        assert_eq!(
            StoreEngine::of(&folder).unwrap(),
            Some(engine),
            "the engine stays"
        );
        quarantine.on_refilled().unwrap();
        assert_eq!(open(Options::default()).1, None);
        quarantine.on_loss().unwrap();
        let recovery = open(Options::default()).1.unwrap();
        assert_eq!((recovery.place, recovery.reason.as_str()), (None, ""));
        assert_eq!(quarantine.list().unwrap().len(), 1);
    });
}

#[cfg(feature = "redb")]
#[test]
fn what_a_crash_left_behind_is_carried_over_by_the_next_opening() {
    let data = tempfile::tempdir().unwrap();
    let (folder, quarantine) = (data.path().join("store"), Quarantine::new(data.path()));
    let store = open(&folder, with(StoreEngine::Redb)).unwrap();
    for number in 0..100 {
        store.put(entry(number)).unwrap();
    }
    store.commit().unwrap();
    drop(store);
    rot(&folder.join("entries.redb"), 60);
    drop(open_or_set_aside(&folder, Options::default(), &quarantine, 9).unwrap());
    let whole: Vec<Entry> = (0..100).filter(|number| *number != 60).map(entry).collect();
    // As a crash leaves it: before the new store, and with some of it.
    for kept in [None, Some(0), Some(40)] {
        fs::write(data.path().join("refill"), "refill 1\ncarry 1 2\n").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        if let Some(kept) = kept {
            let store = open(&folder, with(StoreEngine::Redb)).unwrap();
            for number in 0..kept {
                store.put(entry(number)).unwrap();
            }
            store.commit().unwrap();
        }
        let opening = open_or_set_aside(&folder, Options::default(), &quarantine, 9).unwrap();
        let recovery = opening.recovery.unwrap();
        assert_eq!((recovery.damaged, recovery.carried_over), (0, 99));
        assert_eq!(all(&*opening.store), whole);
        let note = fs::read_to_string(data.path().join("refill")).unwrap();
        assert_eq!(note, "refill 1\nfetch 2\n");
    }
}

#[test]
fn what_is_no_damage_is_not_set_aside() {
    on_every_engine(|engine, data| {
        let (folder, quarantine) = (data.join("store"), Quarantine::new(data));
        let refusal = || {
            let opened = open_or_set_aside(&folder, with(engine), &quarantine, 9);
            opened.unwrap_err()
        };
        let mark = fs::read(folder.join("ENGINE")).unwrap();
        for (text, is_right) in [
            (format!("{engine} 99\n"), 0),
            ("papyrus 1\n".to_owned(), 1),
            (engine.name().to_owned(), 2),
        ] {
            fs::write(folder.join("ENGINE"), text).unwrap();
            let found = match refusal() {
                OpenError::TooNew { found: 99, .. } => 0,
                OpenError::UnknownEngine { found } if found == "papyrus" => 1,
                OpenError::NotAStore { .. } => 2,
                other => panic!("{other}"),
            };
            assert_eq!(found, is_right);
        }
        fs::write(folder.join("ENGINE"), mark).unwrap();
        let opened = open(&folder, with(engine)).unwrap();
        assert!(matches!(refusal(), OpenError::InUse { .. }));
        assert_eq!(all(&*opened).len(), 10);
        assert_eq!(quarantine.list().unwrap(), []);
    });
}

#[test]
fn there_are_never_more_than_three_and_the_oldest_leaves() {
    let data = tempfile::tempdir().unwrap();
    let (folder, quarantine) = (data.path().join("store"), Quarantine::new(data.path()));
    // What a crash leaves between the note and the move.
    fs::create_dir(data.path().join("quarantine-4")).unwrap();
    fs::create_dir(data.path().join("quarantine-x")).unwrap();
    for round in 0..5 {
        drop(open(&folder, Options::default()).unwrap());
        let reason = format!("reason {round}\nand\tmore");
        quarantine.set_aside(&folder, &reason, round).unwrap();
        assert!(!folder.exists());
    }
    let listed = quarantine.list().unwrap();
    let numbers: Vec<u32> = listed.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [7, 8, 9]);
    assert_eq!(numbers.len(), QUARANTINED_MAX);
    assert_eq!(listed[2].reason, "reason 4 and more");
    assert_eq!(listed[2].at, Some(4));
    assert!(data.path().join("quarantine-x").exists());
    fs::write(listed[0].path.join("REASON"), "quarantine 2\n1\nnewer\n").unwrap();
    fs::remove_file(listed[1].path.join("REASON")).unwrap();
    for unknown in &quarantine.list().unwrap()[..2] {
        assert_eq!((unknown.at, unknown.reason.as_str()), (None, ""));
    }
}

#[test]
fn a_running_store_starts_over_beside_its_old_files() {
    on_every_engine(|engine, data| {
        let quarantine = Quarantine::new(data);
        let store = open(&data.join("store"), with(engine)).unwrap();
        let place = quarantine.prepare("the engine panicked", 3).unwrap();
        store.start_over(&place).unwrap();
        assert_eq!(all(&*store), []);
        let [listed] = <[_; 1]>::try_from(quarantine.list().unwrap()).unwrap();
        assert_eq!(
            (listed.at, listed.reason.as_str()),
            (Some(3), "the engine panicked")
        );
        assert_eq!(
            all(&*open(&listed.path, Options::default()).unwrap()).len(),
            10
        );
        // Should it end now, the next opening knows.
        assert!(data.join("refill").exists());
        // A place is used once.
        let refused = store.start_over(&place).unwrap_err();
        assert!(matches!(refused, OpenError::Failed { .. }), "{refused}");
        store.reopen().unwrap();
        assert_eq!(all(&*store), []);
    });
}

#[cfg(all(feature = "redb", feature = "sled"))]
#[test]
fn a_folder_keeps_its_engine() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("store");
    assert_eq!(StoreEngine::of(&folder).unwrap(), None);
    drop(open(&folder, with(StoreEngine::Redb)).unwrap());
    assert_eq!(StoreEngine::of(&folder).unwrap(), Some(StoreEngine::Redb));
    drop(open(&folder, Options::default()).unwrap());
    let refused = open(&folder, with(StoreEngine::Sled)).unwrap_err();
    assert!(
        matches!(&refused, OpenError::OtherEngine { found, expected: "sled" } if found == "redb"),
        "{refused}"
    );
}
