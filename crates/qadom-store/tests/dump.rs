//! Dumps: what goes in comes out on every engine, and what is torn, altered or newer is refused
//! before anything is taken.

#![cfg(test)]
#![cfg(any(feature = "redb", feature = "sled"))]

use std::fs;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use qadom_routing::Key;
use qadom_store::{
    Class, Columns, ENTRY_MAX, Entry, EntryId, ExportError, ImportError, MemoryStore, Options,
    Quarantine, Replaced, Store, StoreEngine, export, import, import_folder, open,
    open_or_set_aside, verify,
};

fn any_entry() -> impl Strategy<Value = Entry> {
    let length = prop_oneof![9 => 0_usize..300, 1 => Just(ENTRY_MAX)];
    (
        any::<[u8; 32]>(),
        prop::collection::vec(any::<u8>(), 1..=64),
        (length, any::<u8>()),
        any::<(u64, u32, [u8; 8], [u8; 32], u64, bool)>(),
    )
        .prop_map(|(slot, id, (length, fill), columns)| {
            let (expires_at, charge, group, owner, rank, is_cached) = columns;
            let class = if is_cached {
                Class::Cached
            } else {
                Class::Record
            };
            Entry {
                slot: Key::from_bytes(slot),
                id: EntryId::new(&id).unwrap(),
                bytes: vec![fill; length].into(),
                columns: Columns {
                    expires_at,
                    charge,
                    group,
                    owner,
                    rank,
                    class,
                },
            }
        })
}

fn entry(number: u8) -> Entry {
    Entry {
        slot: Key::from_bytes([number; 32]),
        id: EntryId::new(&[number]).unwrap(),
        bytes: vec![number; 10].into(),
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

fn filled(entries: impl IntoIterator<Item = Entry>) -> MemoryStore {
    let store = MemoryStore::new();
    for entry in entries {
        store.put(entry).unwrap();
    }
    store
}

fn dump_of(store: &dyn Store) -> Vec<u8> {
    let mut dump = Vec::new();
    let dumped = export(store, &mut dump).unwrap();
    assert_eq!(dumped.length, dump.len() as u64);
    assert_eq!(dumped.entries, store.stats().records);
    dump
}

/// A store of each engine that is built in, in a folder of its own, and one in memory.
fn stores() -> Vec<(Option<tempfile::TempDir>, Arc<dyn Store>)> {
    let engines = StoreEngine::ALL.into_iter();
    let on_disk = engines.filter(|engine| engine.is_built_in()).map(|engine| {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            engine: Some(engine),
            ..Options::default()
        };
        let store = open(folder.path(), options).unwrap();
        (Some(folder), store)
    });
    let in_memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    on_disk.chain([(None, in_memory)]).collect()
}

proptest! {
    // Every case opens databases, which fsync.
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_dump_is_the_same_whatever_engine_it_went_through(
        entries in prop::collection::vec(any_entry(), 0..80),
    ) {
        let first = filled(entries);
        let mut dump = dump_of(&first);
        for (_folder, store) in stores() {
            let dumped = import(&*store, &mut Cursor::new(&dump)).unwrap();
            prop_assert_eq!(dumped.entries, first.stats().records);
            prop_assert_eq!(all(&*store), all(&first));
            prop_assert_eq!(store.stats(), first.stats());
            let again = dump_of(&*store);
            prop_assert_eq!(&again, &dump);
            dump = again;
        }
    }

    #[test]
    fn bytes_of_anybody_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let store = MemoryStore::new();
        prop_assert!(import(&store, &mut Cursor::new(&bytes)).is_err());
        // Behind a true beginning.
        let start = [&dump_of(&store)[..16], &bytes].concat();
        prop_assert!(import(&store, &mut Cursor::new(&start)).is_err());
        prop_assert_eq!(store.stats().records, 0);
    }
}

#[test]
fn every_torn_dump_is_refused_and_nothing_taken() {
    let dump = dump_of(&filled((0..4).map(entry)));
    let record = (dump.len() - 16 - 49) / 4;
    for length in 0..dump.len() {
        let store = MemoryStore::new();
        let refused = import(&store, &mut Cursor::new(&dump[..length])).unwrap_err();
        let whole = length.saturating_sub(16) / record;
        match refused {
            ImportError::NotADump => assert!(length < 16),
            ImportError::Torn { entries } => assert_eq!(entries, whole.min(4) as u64),
            other => panic!("{length}: {other}"),
        }
        assert_eq!(store.stats().records, 0);
    }
}

#[test]
fn every_altered_byte_is_noticed_and_nothing_taken() {
    let dump = dump_of(&filled((0..3).map(entry)));
    for place in 0..dump.len() {
        for bit in [0x01, 0x80] {
            let mut altered = dump.clone();
            altered[place] ^= bit;
            let store = MemoryStore::new();
            let refused = import(&store, &mut Cursor::new(&altered)).unwrap_err();
            let is_right = match refused {
                ImportError::NotADump => place < 8,
                ImportError::Damaged { .. } => place >= 8,
                // A length that became longer.
                ImportError::Torn { .. } => place >= 16,
                _ => false,
            };
            assert!(is_right, "{place}: {refused}");
            assert_eq!(store.stats().records, 0);
        }
    }
    let longer = [dump.as_slice(), &[0]].concat();
    let refused = verify(&mut longer.as_slice()).unwrap_err();
    assert!(
        matches!(refused, ImportError::Damaged { entries: 3 }),
        "{refused}"
    );
}

#[test]
fn a_dump_that_lost_or_doubled_a_whole_record_is_refused() {
    let dump = dump_of(&filled((0..4).map(entry)));
    let record = (dump.len() - 16 - 49) / 4;
    let second = 16 + record..16 + 2 * record;
    let lost = [&dump[..second.start], &dump[second.end..]].concat();
    let doubled = [&dump[..second.end], &dump[second.start..]].concat();
    for altered in [lost, doubled] {
        let refused = verify(&mut altered.as_slice()).unwrap_err();
        assert!(matches!(refused, ImportError::Damaged { .. }), "{refused}");
    }
}

#[test]
fn a_newer_dump_is_refused_by_its_version() {
    let mut dump = dump_of(&MemoryStore::new());
    dump[8] = 2;
    let checksum = crc32fast::hash(&dump[..12]).to_le_bytes();
    dump[12..16].copy_from_slice(&checksum);
    let refused = verify(&mut dump.as_slice()).unwrap_err();
    assert!(
        matches!(refused, ImportError::TooNew { found: 2, known: 1 }),
        "{refused}"
    );
}

/// Written by the first version of the format.
#[test]
fn the_dump_of_the_first_format_is_read_as_ever() {
    let text = fs::read_to_string("tests/fixtures/dump-1.hex").unwrap();
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let dump: Vec<u8> = digits.chunks(2).map(byte).collect();
    let store = MemoryStore::new();
    assert_eq!(import(&store, &mut Cursor::new(&dump)).unwrap().entries, 2);
    assert_eq!(all(&store), [entry(1), entry(2)]);
    assert_eq!(dump_of(&store), dump, "and still written so");
}

/// Fails to take or to give more than so many bytes.
struct Failing(Cursor<Vec<u8>>, u64);

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.position() + bytes.len() as u64 > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Failing {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        if self.0.position() >= self.1 {
            return Err(io::Error::other("the disk failed"));
        }
        self.0.read(place)
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_disk_that_fails_under_a_dump_is_an_error() {
    let full = filled((0..4).map(entry));
    let dump = dump_of(&full);
    for length in 0..dump.len() as u64 {
        let mut failing = Failing(Cursor::default(), length);
        let refused = export(&full, &mut failing).unwrap_err();
        assert!(matches!(refused, ExportError::Write { .. }), "{refused}");
        let store = MemoryStore::new();
        let mut failing = Failing(Cursor::new(dump.clone()), length);
        let refused = import(&store, &mut failing).unwrap_err();
        assert!(matches!(refused, ImportError::Read { .. }), "{refused}");
        assert_eq!(store.stats().records, 0);
    }
}

#[test]
fn a_folder_is_filled_from_a_dump_whole_or_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("store");
    let dump = dump_of(&filled((0..4).map(entry)));
    let fill = |dump: &[u8], replaced: Replaced<'_>| {
        import_folder(
            &folder,
            Options::default(),
            &mut Cursor::new(dump),
            replaced,
        )
    };
    let listed = || fs::read_dir(data.path()).unwrap().count();

    let refused = fill(&dump[..dump.len() - 1], Replaced::Refuse).unwrap_err();
    assert!(
        matches!(refused, ImportError::Torn { entries: 4 }),
        "{refused}"
    );
    assert_eq!(listed(), 0, "nothing was begun");
    // What a crash in the middle leaves is no hindrance.
    fs::create_dir(data.path().join("store.new")).unwrap();
    fs::write(data.path().join("store.new/ENGINE"), "half").unwrap();
    assert_eq!(fill(&dump, Replaced::Refuse).unwrap().entries, 4);
    assert_eq!(listed(), 1);
    assert_eq!(all(&*open(&folder, Options::default()).unwrap()).len(), 4);

    let refused = fill(&dump, Replaced::Refuse).unwrap_err();
    assert!(
        matches!(refused, ImportError::NotEmpty { records: 4 }),
        "{refused}"
    );
    let other = dump_of(&filled([entry(9)]));
    let quarantine = Quarantine::new(data.path());
    let set_aside = Replaced::SetAside(&quarantine, 77);
    let refused = fill(&other[1..], set_aside).unwrap_err();
    assert!(matches!(refused, ImportError::NotADump), "{refused}");
    assert_eq!(quarantine.list().unwrap(), []);
    assert_eq!(fill(&other, set_aside).unwrap().entries, 1);
    assert_eq!(
        all(&*open(&folder, Options::default()).unwrap()),
        [entry(9)]
    );
    let old = quarantine.list().unwrap();
    assert_eq!(
        all(&*open(&old[0].path, Options::default()).unwrap()).len(),
        4
    );
    assert_eq!(listed(), 2);
}

#[test]
fn an_import_that_a_crash_cut_short_is_ended_or_given_up() {
    let data = tempfile::tempdir().unwrap();
    let at = |name: &str| data.path().join(name);
    let quarantine = Quarantine::new(data.path());
    let fill = |folder: &Path, number| {
        let store = open(folder, Options::default()).unwrap();
        store.put(entry(number)).unwrap();
        store.commit().unwrap();
    };
    let opened = || {
        let opening = open_or_set_aside(&at("store"), Options::default(), &quarantine, 5);
        let opening = opening.unwrap();
        assert_eq!(opening.recovery, None);
        all(&*opening.store)
    };
    // The new store is whole, the old one still there.
    fill(&at("store"), 1);
    fill(&at("store.whole"), 2);
    assert_eq!(opened(), [entry(1)]);
    assert!(!at("store.whole").exists());
    // The old one is out of the way.
    fs::remove_dir_all(at("store")).unwrap();
    fill(&at("store.whole"), 2);
    assert_eq!(opened(), [entry(2)]);
    assert!(!at("store.whole").exists());
    // The next import looks at what is really there.
    fs::rename(at("store"), at("store.whole")).unwrap();
    let mut dump = Cursor::new(dump_of(&filled([entry(3)])));
    let refused = import_folder(
        &at("store"),
        Options::default(),
        &mut dump,
        Replaced::Refuse,
    );
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, ImportError::NotEmpty { records: 1 }),
        "{refused}"
    );
    assert_eq!(opened(), [entry(2)]);
}

#[test]
fn a_folder_that_is_open_is_not_filled() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("store");
    let _open = open(&folder, Options::default()).unwrap();
    let mut dump = Cursor::new(dump_of(&MemoryStore::new()));
    let refused = import_folder(&folder, Options::default(), &mut dump, Replaced::Refuse);
    let refused = refused.unwrap_err();
    assert!(matches!(refused, ImportError::Open { .. }), "{refused}");
}

#[cfg(all(feature = "redb", feature = "sled"))]
#[test]
fn a_store_moves_from_one_engine_to_the_other() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("store");
    let quarantine = Quarantine::new(data.path());
    {
        let store = open(&folder, Options::default()).unwrap();
        for number in 0..50 {
            store.put(entry(number)).unwrap();
        }
        store.commit().unwrap();
    }
    for engine in [StoreEngine::Redb, StoreEngine::Sled] {
        let dump = dump_of(&*open(&folder, Options::default()).unwrap());
        let options = Options {
            engine: Some(engine),
            ..Options::default()
        };
        let replaced = Replaced::SetAside(&quarantine, 1);
        import_folder(&folder, options, &mut Cursor::new(dump), replaced).unwrap();
        assert_eq!(StoreEngine::of(&folder).unwrap(), Some(engine));
        let store = open(&folder, Options::default()).unwrap();
        assert_eq!(all(&*store).len(), 50);
    }
}
