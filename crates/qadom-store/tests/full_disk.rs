//! A store whose disk is full: writes are refused with the reason, reads go on, and it recovers in
//! the same process once there is space.
//!
//! A limit on the size of files stands in for the full disk, because it fails the same writes and
//! needs no privilege. It is set on a child process: this test binary again, running only
//! [`child`], with the signal ignored that would otherwise end it. Without the program `prlimit`
//! there is nothing to set it with, and the test is skipped.

#![cfg(test)]
#![cfg(all(feature = "sled", target_os = "linux"))]

use std::env;
use std::path::Path;
use std::process::{Command, id};
use std::sync::Mutex;
use std::thread;

use qadom_routing::Key;
use qadom_store::{
    Class, Columns, Entry, EntryId, Needed, OpenError, Scope, SledStore, Store, StoreError,
};

const FOLDER: &str = "QADOM_FULL_DISK_FOLDER";

#[test]
fn a_full_disk_stops_changes_until_there_is_space() {
    if let Err(error) = Command::new("prlimit").arg("--version").output() {
        println!("skipped: a full disk is played with prlimit: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact child --nocapture"])
        .arg(env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("recovered"), "{text}{errors}");
}

/// Not a test of its own: the process that the test above starts.
#[test]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let store = SledStore::open(Path::new(&folder)).unwrap();
    store.put(entry(0)).unwrap();
    store.commit().unwrap();

    limit_file_size("1048576");
    let acknowledged = write_until_full(&store);
    assert!(store.is_stopped());
    for _ in 0..2 {
        assert_is_stopped(&store, &entry(acknowledged));
    }

    limit_file_size("unlimited");
    let before = store.ticket();
    assert_eq!(store.reopen().unwrap(), before);
    for number in 0..=acknowledged {
        let expected = entry(number);
        let found = store.get(&expected.slot, &expected.id).unwrap();
        assert_eq!(found, Some(expected), "it was acknowledged");
    }
    let kept = store.scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX);
    assert_eq!(store.stats().records, kept.unwrap().len() as u64);
    store.put(entry(acknowledged)).unwrap();
    assert!(store.commit().unwrap() > before);
    store.sync().unwrap();
    println!("recovered");
}

fn limit_file_size(limit: &str) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", id()))
        .arg(format!("--fsize={limit}:unlimited"))
        .status();
    assert!(status.unwrap().success());
}

fn entry(number: u32) -> Entry {
    Entry {
        slot: Key::ZERO,
        id: EntryId::new(&number.to_be_bytes()).unwrap(),
        bytes: vec![7; 8000].into(),
        columns: Columns {
            expires_at: 1,
            charge: 8512,
            group: [1; 8],
            owner: [2; 32],
            rank: u64::from(number),
            class: Class::Cached,
        },
    }
}

fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::DiskFull { .. })
}

/// Puts on one thread and commits on another until both are refused. Gives the number of the last
/// entry that a commit has acknowledged.
fn write_until_full(store: &SledStore) -> u32 {
    let last = Mutex::new(0);
    let mut acknowledged = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                if let Err(error) = store.put(entry(number)) {
                    assert!(is_full(&error), "{error}");
                    return;
                }
                *last.lock().unwrap() = number;
            }
        });
        loop {
            let number = *last.lock().unwrap();
            match store.commit() {
                Ok(_) => acknowledged = number,
                Err(error) => {
                    assert!(is_full(&error), "{error}");
                    return;
                }
            }
        }
    });
    acknowledged
}

fn assert_is_stopped(store: &SledStore, kept: &Entry) {
    assert!(is_full(&store.put(kept.clone()).unwrap_err()));
    assert!(is_full(&store.remove(&kept.slot, &kept.id).unwrap_err()));
    assert!(is_full(&store.expire(0, 9).unwrap_err()));
    let needed = Needed {
        charge: 9,
        records: 1,
    };
    assert!(is_full(&store.evict(Scope::All, needed, &[]).unwrap_err()));
    assert!(is_full(&store.commit().unwrap_err()));
    assert!(is_full(&store.sync().unwrap_err()));
    let found = store.get(&kept.slot, &kept.id).unwrap();
    assert_eq!(found.as_ref(), Some(kept), "reads go on");
    let refusal = store.reopen().unwrap_err();
    assert!(matches!(&refusal, OpenError::DiskFull { .. }), "{refusal}");
}
