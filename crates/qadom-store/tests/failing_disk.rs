//! A store whose disk fails: nothing is acknowledged that is not there afterwards, nobody waits
//! for ever, and the store works on in the same process when the disk does.
//!
//! `strace` stands in for the failing disk: it is attached to a child process, this test binary
//! again, running only [`child`], and lets one system call fail there until it is taken away. That
//! needs Linux and the right to trace; where either is missing the test says so and is skipped.
//! Short writes are played in `full_disk`, because only the kernel can write half of something.

#![cfg(test)]
#![cfg(all(any(feature = "redb", feature = "sled"), target_os = "linux"))]

use std::env;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio, id};
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use qadom_routing::Key;
use qadom_store::{Class, Columns, Entry, EntryId, Store, StoreError};

const FOLDER: &str = "QADOM_FAILING_DISK_FOLDER";
const ENGINE: &str = "QADOM_FAILING_DISK_ENGINE";
const FAULT: &str = "QADOM_FAILING_DISK_FAULT";
/// How many entries are written ahead of what is acknowledged.
const WINDOW: u32 = 64;
/// Far above what a child needs; who is not done by then hangs.
const PATIENCE: Duration = Duration::from_mins(2);

#[cfg(feature = "sled")]
#[test]
fn a_write_that_fails_is_not_acknowledged_by_sled() {
    run("sled", "pwrite64:error=EIO:when=6+");
}

#[cfg(feature = "sled")]
#[test]
fn a_write_without_space_is_not_acknowledged_by_sled() {
    run("sled", "pwrite64:error=ENOSPC:when=6+");
}

#[cfg(feature = "sled")]
#[test]
fn a_write_back_that_fails_is_not_acknowledged_by_sled() {
    run("sled", "sync_file_range:error=EIO:when=6+");
}

#[cfg(feature = "sled")]
#[test]
fn a_failed_fsync_is_not_acknowledged_by_sled() {
    run("sled", "fsync:error=EIO:when=200+");
}

#[cfg(feature = "redb")]
#[test]
fn a_write_that_fails_is_not_acknowledged_by_redb() {
    run("redb", "pwrite64:error=EIO:when=100+");
}

#[cfg(feature = "redb")]
#[test]
fn a_write_without_space_is_not_acknowledged_by_redb() {
    run("redb", "pwrite64:error=ENOSPC:when=100+");
}

#[cfg(feature = "redb")]
#[test]
fn a_failed_fsync_is_not_acknowledged_by_redb() {
    run("redb", "fdatasync:error=EIO:when=20+");
}

/// Lets a child meet a fault and recover from it. The fault is one of `strace`: the call, the error,
/// and with which call of each thread it begins.
fn run(engine: &str, fault: &str) {
    if let Err(error) = Command::new("strace").arg("--version").output() {
        println!("skipped: a failing disk is played with strace: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, folder.path())
        .env(ENGINE, engine)
        .env(FAULT, fault)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let text: Vec<String> = output.lines().map_while(Result::ok).collect();
        // Nobody listens any more when the child took too long.
        let _ = sender.send(text.join("\n"));
    });
    let text = receiver.recv_timeout(PATIENCE);
    let _ = child.kill();
    child.wait().unwrap();
    let text = text.expect("the child hangs");
    println!("{text}");
    assert!(text.contains("recovered") || text.contains("skipped"));
}

/// Not a test of its own: the process that the tests above start.
#[test]
fn child() {
    let (Some(folder), Ok(fault)) = (env::var_os(FOLDER), env::var(FAULT)) else {
        return;
    };
    let is_power = fault.starts_with("fsync");
    let open = || open(&env::var(ENGINE).unwrap(), Path::new(&folder));
    let owned = open();
    let store = owned.as_ref();
    store.put(entry(0)).unwrap();
    acknowledge(store, is_power).unwrap();

    let Some(disk) = FailingDisk::start(&fault) else {
        println!("skipped: strace may not trace here");
        return;
    };
    let before = 0..1;
    let mut acknowledged = vec![before];
    for round in 0..3 {
        // Opening may or may not get by without the call that fails.
        if round == 0 || store.reopen().is_ok() {
            acknowledged.push(write_until_refused(store, is_power, round << 24 | 1));
        }
        println!("acknowledged {acknowledged:?} before the fault showed");
        assert_is_stopped(store, fault.contains("ENOSPC"));
    }

    disk.repair();
    store.reopen().unwrap();
    assert_are_kept(store, &acknowledged);
    let kept = store.scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX);
    assert_eq!(store.stats().records, kept.unwrap().len() as u64);
    let last = u32::MAX - 1..u32::MAX;
    store.put(entry(last.start)).unwrap();
    acknowledge(store, is_power).unwrap();
    acknowledged.push(last);
    drop(owned);
    assert_are_kept(open().as_ref(), &acknowledged);
    println!("recovered");
}

fn open(engine: &str, folder: &Path) -> Box<dyn Store> {
    match engine {
        #[cfg(feature = "redb")]
        "redb" => Box::new(qadom_store::RedbStore::open(folder).unwrap()),
        #[cfg(feature = "sled")]
        "sled" => Box::new(qadom_store::SledStore::open(folder).unwrap()),
        other => panic!("no engine {other}"),
    }
}

fn assert_is_stopped(store: &dyn Store, is_full: bool) {
    assert!(store.is_stopped());
    let refused = [
        store.put(entry(0)).unwrap_err(),
        store.remove(&entry(0).slot, &entry(0).id).unwrap_err(),
        store.commit().unwrap_err(),
        store.sync().unwrap_err(),
    ];
    for error in refused {
        let is_as_expected = match error {
            StoreError::DiskFull { .. } => is_full,
            StoreError::Failed { .. } => !is_full,
            _ => false,
        };
        assert!(is_as_expected, "{error}");
    }
}

/// What a node does before it acknowledges; an fsync is part of it with `durability = "power"`.
fn acknowledge(store: &dyn Store, is_power: bool) -> Result<(), StoreError> {
    store.commit()?;
    if is_power { store.sync() } else { Ok(()) }
}

/// Puts entries from `first` on, on one thread, and acknowledges on another until both are refused.
/// Gives the numbers of those that were acknowledged.
fn write_until_refused(store: &dyn Store, is_power: bool, first: u32) -> Range<u32> {
    // Up to where entries are written, and up to where they may be.
    let progress = Mutex::new((first, first + WINDOW));
    let (written, allowed) = (Condvar::new(), Condvar::new());
    let mut acknowledged = first;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in first.. {
                let is_refused = store.put(entry(number)).is_err();
                let mut progress = progress.lock().unwrap();
                progress.0 = number + 1;
                written.notify_one();
                if is_refused {
                    return;
                }
                drop(allowed.wait_while(progress, |(written, limit)| written >= limit));
            }
        });
        loop {
            let waiting = progress.lock().unwrap();
            let until = written
                .wait_while(waiting, |(written, _)| *written == acknowledged)
                .unwrap()
                .0;
            let is_refused = acknowledge(store, is_power).is_err();
            let mut progress = progress.lock().unwrap();
            // Whoever is refused lets the other find that out.
            progress.1 = if is_refused { u32::MAX } else { until + WINDOW };
            allowed.notify_one();
            if is_refused {
                return;
            }
            acknowledged = until;
        }
    });
    first..acknowledged
}

fn entry(number: u32) -> Entry {
    Entry {
        slot: Key::ZERO,
        id: EntryId::new(&number.to_be_bytes()).unwrap(),
        bytes: vec![7; 2000].into(),
        columns: Columns {
            expires_at: 1,
            charge: 2512,
            group: [1; 8],
            owner: [2; 32],
            rank: u64::from(number),
            class: Class::Record,
        },
    }
}

fn assert_are_kept(store: &dyn Store, acknowledged: &[Range<u32>]) {
    for number in acknowledged.iter().cloned().flatten() {
        let expected = entry(number);
        let found = store.get(&expected.slot, &expected.id).unwrap();
        assert_eq!(found, Some(expected), "it was acknowledged");
    }
}

/// A tracer of this process that lets a system call fail.
struct FailingDisk(Child);

impl FailingDisk {
    /// Gives nothing when this process may not be traced.
    fn start(fault: &str) -> Option<Self> {
        let (call, _) = fault.split_once(':').unwrap();
        let mut tracer = Command::new("strace")
            .args(["-f", "-o", "/dev/null"])
            .args(["-p", &id().to_string()])
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={fault}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(tracer.stderr.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // It goes on to tell of each new thread, and must not wait for a reader.
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
        if line.contains(" attached") {
            Some(Self(tracer))
        } else {
            tracer.wait().unwrap();
            None
        }
    }

    /// Asked in this way it lets every call in progress end first.
    fn repair(mut self) {
        let tracer = self.0.id().to_string();
        assert!(Command::new("kill").arg(tracer).status().unwrap().success());
        self.0.wait().unwrap();
    }
}
