//! Which folders a store on disk takes, and that it leaves the others as they are.

#![cfg(test)]
#![cfg(feature = "sled")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use qadom_store::{OpenError, SledStore, Store};

/// Every file below a folder with its content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// What opening `folder` is refused with, after checking that nothing in it changed.
fn refusal(folder: &Path) -> OpenError {
    let before = content(folder);
    let error = SledStore::open(folder).unwrap_err();
    assert_eq!(content(folder), before);
    error
}

#[test]
fn a_new_store_is_marked_with_engine_and_format() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data/store");
    drop(SledStore::open(&folder).unwrap());
    assert_eq!(fs::read(folder.join("ENGINE")).unwrap(), b"sled 1\n");
    drop(SledStore::open(&folder).unwrap());
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledStore::open(folder.path()).unwrap());
    fs::write(folder.path().join("ENGINE"), "sled 2\n").unwrap();
    let error = refusal(folder.path());
    assert!(
        matches!(error, OpenError::TooNew { found: 2, known: 1 }),
        "{error}"
    );
}

#[test]
fn the_folder_of_another_engine_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ENGINE"), "redb 1\n").unwrap();
    let error = refusal(folder.path());
    assert!(
        matches!(&error, OpenError::OtherEngine { found, .. } if found == "redb"),
        "{error}"
    );
}

#[test]
fn what_is_no_store_is_refused_untouched() {
    let photographs = tempfile::tempdir().unwrap();
    fs::write(photographs.path().join("cat.jpg"), "meow").unwrap();
    let mut refused = vec![refusal(photographs.path())];
    for text in [
        "",
        "sled",
        "sled 1",
        "sled one\n",
        "sled 0\n",
        " 1\n",
        "sled -1\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ENGINE"), text).unwrap();
        refused.push(refusal(folder.path()));
    }
    fs::write(photographs.path().join("ENGINE"), [0xff, 0xfe]).unwrap();
    refused.push(refusal(photographs.path()));
    for error in refused {
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    }
    let file = photographs.path().join("cat.jpg");
    let error = SledStore::open(&file).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
}

#[test]
fn a_mark_that_is_torn_anywhere_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledStore::open(folder.path()).unwrap());
    let whole = fs::read(folder.path().join("ENGINE")).unwrap();
    for length in 0..whole.len() {
        fs::write(folder.path().join("ENGINE"), &whole[..length]).unwrap();
        let error = refusal(folder.path());
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    }
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut torn = whole.clone();
            torn[place] ^= 1 << bit;
            fs::write(folder.path().join("ENGINE"), torn).unwrap();
            refusal(folder.path());
        }
    }
    fs::write(folder.path().join("ENGINE"), whole).unwrap();
    drop(SledStore::open(folder.path()).unwrap());
}

#[test]
fn a_claim_cut_short_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lock"), "").unwrap();
    fs::write(folder.path().join("ENGINE.new"), "sl").unwrap();
    drop(SledStore::open(folder.path()).unwrap());
    assert_eq!(fs::read(folder.path().join("ENGINE")).unwrap(), b"sled 1\n");
}

#[test]
fn a_folder_that_is_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    let error = SledStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    store.commit().unwrap();
    drop(store);
    drop(SledStore::open(folder.path()).unwrap());
}
