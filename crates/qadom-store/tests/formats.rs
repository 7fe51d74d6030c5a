//! The files that the first format of each engine wrote are opened as ever.
//!
//! A fixture is text: `file PATH LENGTH` for each file, then its blocks of 32 bytes that are not
//! zeros, each as its offset and hex digits. `QADOM_WRITE_FIXTURES=1 cargo test -p qadom-store
//! --features redb --test formats` writes those of the present formats that are missing.

#![cfg(test)]
#![cfg(any(feature = "redb", feature = "sled"))]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use qadom_routing::Key;
use qadom_store::{Class, Columns, Entry, EntryId, Options, StoreEngine, open};

const BLOCK: usize = 32;

fn entry(number: u8) -> Entry {
    let is_cached = number.is_multiple_of(3);
    Entry {
        slot: Key::from_bytes([number; 32]),
        id: EntryId::new(&vec![number; 1 + usize::from(number) * 4]).unwrap(),
        bytes: vec![number; usize::from(number) * 50].into(),
        columns: Columns {
            expires_at: 1_800_000_000 + u64::from(number),
            charge: 512 + u32::from(number),
            group: [number; 8],
            owner: [number + 1; 32],
            rank: u64::MAX - u64::from(number),
            class: if is_cached {
                Class::Cached
            } else {
                Class::Record
            },
        },
    }
}

fn fixture(engine: StoreEngine, format: u32) -> PathBuf {
    PathBuf::from(format!("tests/fixtures/{engine}-{format}.txt"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn pack(folder: &Path) -> String {
    let mut text = String::new();
    for file in files(folder) {
        let bytes = fs::read(&file).unwrap();
        let name = file.strip_prefix(folder).unwrap().display();
        writeln!(text, "file {name} {}", bytes.len()).unwrap();
        for (number, block) in bytes.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                write!(text, "{} ", number * BLOCK).unwrap();
                for byte in block {
                    write!(text, "{byte:02x}").unwrap();
                }
                text.push('\n');
            }
        }
    }
    text
}

fn unpack(text: &str, folder: &Path) {
    let mut file: Option<(PathBuf, Vec<u8>)> = None;
    let save = |file: Option<(PathBuf, Vec<u8>)>| {
        if let Some((path, bytes)) = file {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["file", name, length] => {
                let bytes = vec![0; length.parse().unwrap()];
                save(file.replace((folder.join(name), bytes)));
            }
            [offset, digits] => {
                let offset: usize = offset.parse().unwrap();
                let (_, bytes) = file.as_mut().unwrap();
                for (place, pair) in digits.as_bytes().chunks(2).enumerate() {
                    let pair = str::from_utf8(pair).unwrap();
                    bytes[offset + place] = u8::from_str_radix(pair, 16).unwrap();
                }
            }
            _ => panic!("{line}"),
        }
    }
    save(file);
}

fn write_missing(engine: StoreEngine) {
    let place = fixture(engine, 1);
    if std::env::var_os("QADOM_WRITE_FIXTURES").is_none() || place.exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        engine: Some(engine),
        ..Options::default()
    };
    for numbers in [0..6, 6..12] {
        let store = open(folder.path(), options).unwrap();
        for number in numbers {
            store.put(entry(number)).unwrap();
        }
        store.remove(&entry(2).slot, &entry(2).id).unwrap();
        store.commit().unwrap();
    }
    fs::write(place, pack(folder.path())).unwrap();
}

#[test]
fn what_the_first_format_wrote_is_read_and_written_on() {
    for engine in StoreEngine::ALL {
        if !engine.is_built_in() {
            continue;
        }
        println!("{engine}");
        write_missing(engine);
        let folder = tempfile::tempdir().unwrap();
        unpack(
            &fs::read_to_string(fixture(engine, 1)).unwrap(),
            folder.path(),
        );
        let kept = (0..12).filter(|number| *number != 2);
        let mut expected: Vec<Entry> = kept.map(entry).collect();
        for _ in 0..2 {
            let store = open(folder.path(), Options::default()).unwrap();
            let found = store.scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX);
            assert_eq!(found.unwrap(), expected);
            assert_eq!(store.stats().damaged, 0);
            store.put(entry(13)).unwrap();
            store.commit().unwrap();
            if expected.len() == 11 {
                expected.push(entry(13));
            }
        }
        let mark = fs::read_to_string(folder.path().join("ENGINE")).unwrap();
        assert_eq!(mark, format!("{engine} 1\n"));
    }
}
