//! What a daemon comes back with: from a backup, from another engine, after its store was damaged,
//! after its disk was full.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{Daemon, Finished, PATIENCE, run};

fn run_in(folder: &Path, arguments: &[&str]) -> Finished {
    run(&[&["--data-dir", folder.to_str().unwrap()], arguments].concat())
}

fn put(daemon: &Daemon, value: &str) -> String {
    let put = daemon.run_with(&["put"], value.as_bytes()).code(0);
    put.text().to_owned()
}

fn error_of(left: &Finished) -> serde_json::Value {
    let last = left.stderr.lines().last().unwrap();
    serde_json::from_str::<serde_json::Value>(last).unwrap()["error"].take()
}

#[test]
fn a_node_that_is_restored_elsewhere_is_the_same_and_keeps_its_promises() {
    let daemon = Daemon::start(&[]);
    daemon.run(&["dict", "set", "colour", "green"]).code(0);
    let status = daemon.run(&["status", "--json"]).code(0).object();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup");
    let (right, wrong) = (place.path().join("right"), place.path().join("wrong"));
    std::fs::write(&right, "correct horse\n").unwrap();
    std::fs::write(&wrong, "battery staple").unwrap();
    let [file, right, wrong] = [&file, &right, &wrong].map(|path| path.to_str().unwrap());
    // The node may run meanwhile.
    let backup = ["backup", file, "--json", "--passphrase-file", right];
    let told = daemon.run(&backup).code(0).object();
    assert_eq!(
        (&told["identities"], &told["journal"]),
        (&1.into(), &true.into())
    );
    assert_eq!(error_of(&daemon.run(&backup).code(1))["type"], "conflict");
    let short = place.path().join("short");
    std::fs::write(&short, "seven 7\n").unwrap();
    let (other, short) = (place.path().join("other"), short.to_str().unwrap());
    let refused = ["backup", other.to_str().unwrap(), "--json"];
    let refused = [&refused[..], &["--passphrase-file", short]].concat();
    let error = error_of(&daemon.run(&refused).code(2));
    assert_eq!(error["type"], "usage");
    assert!(
        error["message"].as_str().unwrap().contains("at least 8"),
        "{error}"
    );
    assert!(!other.exists());
    daemon.signal(&["TERM"]).0.code(0);

    let fresh = tempfile::tempdir().unwrap();
    let refused = run_in(
        fresh.path(),
        &["restore", file, "--json", "--passphrase-file", wrong],
    );
    let error = error_of(&refused.code(1));
    assert!(
        error["message"].as_str().unwrap().contains("passphrase"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(fresh.path()).unwrap().count(), 0);
    run_in(fresh.path(), &["restore", file, "--passphrase-file", right]).code(0);

    let daemon = Daemon::start_in(fresh, &[]);
    let restored = daemon.run(&["status", "--json"]).code(0).object();
    assert_eq!(restored["node"], status["node"]);
    let list = daemon
        .run(&["publications", "list", "--json"])
        .code(0)
        .object();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    // What is there is not overwritten.
    let other = Daemon::start(&[]);
    let (_, other) = other.signal(&["TERM"]);
    let refused = run_in(
        other.path(),
        &["restore", file, "--json", "--passphrase-file", right],
    );
    assert_eq!(error_of(&refused.code(1))["type"], "conflict");
    let missing = run_in(
        &place.path().join("none"),
        &["backup", "x", "--passphrase-file", right],
    );
    missing.code(3);
}

#[test]
fn records_move_from_one_engine_to_the_other_and_back() {
    let daemon = Daemon::start(&["--engine", "sled"]);
    let keys: Vec<_> = (0..20)
        .map(|number| put(&daemon, &format!("value {number}")))
        .collect();
    let place = tempfile::tempdir().unwrap();
    let dump = place.path().join("dump");
    let dump = dump.to_str().unwrap();
    let busy = daemon.run(&["store", "export", dump, "--json"]).code(1);
    assert_eq!(error_of(&busy)["type"], "folder-in-use");
    let (_, folder) = daemon.signal(&["TERM"]);

    let path = folder.path().to_str().unwrap();
    let wish = [
        "node",
        "--json",
        "--data-dir",
        path,
        "--listen",
        "127.0.0.1:0",
        "--engine",
        "redb",
    ];
    let error = error_of(&run(&wish).code(1));
    assert_eq!(error["type"], "folder-unusable");
    assert!(
        error["advice"]
            .as_str()
            .unwrap()
            .contains("qadom store export"),
        "{error}"
    );

    let told = run_in(folder.path(), &["store", "export", dump, "--json"])
        .code(0)
        .object();
    assert_eq!(
        (&told["records"], &told["engine"]),
        (&20.into(), &"sled".into())
    );
    let import = ["store", "import", "--engine", "redb", dump, "--json"];
    let told = run_in(folder.path(), &import).code(0).object();
    assert_eq!(
        (&told["records"], &told["engine"]),
        (&20.into(), &"redb".into())
    );
    let mark = std::fs::read_to_string(folder.path().join("store/ENGINE")).unwrap();
    assert!(mark.starts_with("redb "), "{mark}");
    // Without a wish the folder keeps its engine.
    let daemon = Daemon::start_in(folder, &[]);
    for (number, key) in keys.iter().enumerate() {
        let got = daemon.run(&["get", key, "--local-only"]).code(0);
        assert_eq!(got.text(), format!("value {number}"));
    }
    let (_, folder) = daemon.signal(&["TERM"]);
    std::fs::write(dump, "no dump").unwrap();
    run_in(folder.path(), &["store", "import", dump]).code(2);
}

/// The large files of a store, which hold its records.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if std::fs::metadata(&path).unwrap().len() > 4096 {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_daemon_whose_store_is_damaged_starts_and_holds_its_records_again() {
    let one = Daemon::start(&[]);
    let two = Daemon::start(&["--join", one.address()]);
    let three = Daemon::start(&["--engine", "redb"]);
    three.run(&["join", one.address()]).code(0);
    let mut keys: Vec<_> = (0..12)
        .map(|number| put(&one, &format!("value {number}")))
        .collect();
    keys.extend((12..16).map(|number| put(&three, &format!("value {number}"))));
    for number in 0..4 {
        two.run(&["bag", "add", "name:bag", &format!("item {number}")])
            .code(0);
    }
    let folder = three.kill();
    let damaged = files(&folder.path().join("store"));
    assert!(!damaged.is_empty());
    for path in damaged {
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::write(&path, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    }

    // It is killed before anybody can give it back what it lost, and knows that later.
    let three = Daemon::start_in(folder, &[]);
    assert!(three.path().join("quarantine-1/ENGINE").exists());
    let three = Daemon::start_in(three.kill(), &["--join", one.address()]);
    let status = three.run(&["status", "--json"]).code(0).object();
    assert_eq!(
        status["quarantined"].as_array().unwrap().len(),
        1,
        "{status}"
    );
    let reasons = status["reasons"].to_string();
    assert!(reasons.contains("set aside in quarantine-1"), "{reasons}");
    let begun = Instant::now();
    let is_back = |key: &String| three.run(&["get", key, "--local-only"]).code == 0;
    while !keys.iter().all(is_back) {
        assert!(begun.elapsed() < PATIENCE, "not everything came back");
    }
    let bag = || {
        three
            .run(&["bag", "list", "name:bag", "--local-only"])
            .code(0)
    };
    while bag().text().lines().count() < 4 {
        assert!(begun.elapsed() < PATIENCE, "the bag did not come back");
    }
    println!("everything is back after {:.1?}", begun.elapsed());
    let (left, _) = three.signal(&["TERM"]);
    assert!(
        left.stderr.contains("the store is damaged"),
        "{}",
        left.stderr
    );
}

/// What a folder's store holds: the numbers of the values in it, in their order.
fn exported(folder: &Path, place: &Path) -> u64 {
    let _ = std::fs::remove_file(place);
    let export = ["store", "export", place.to_str().unwrap(), "--json"];
    let told = run_in(folder, &export).code(0).object();
    told["records"].as_u64().unwrap()
}

#[test]
fn an_import_that_is_killed_at_any_renaming_leaves_the_old_store_or_the_new_one() {
    let fill = |count: usize| {
        let daemon = Daemon::start(&[]);
        for number in 0..count {
            put(&daemon, &format!("value {number}"));
        }
        daemon.signal(&["TERM"]).1
    };
    let (old, new) = (fill(2), fill(5));
    let place = tempfile::tempdir().unwrap();
    let [dump, other] = ["dump", "other"].map(|name| place.path().join(name));
    assert_eq!(exported(new.path(), &dump), 5);
    let mut seen = Vec::new();
    for number in 1.. {
        let fault = format!("inject=rename:signal=KILL:when={number}");
        let traced = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "trace=rename", "-e", &fault])
            .arg(env!("CARGO_BIN_EXE_qadom"))
            .args(["--data-dir", old.path().to_str().unwrap()])
            .args(["store", "import", dump.to_str().unwrap()])
            .output();
        let left = match traced {
            Ok(left) if !left.stderr.windows(6).any(|word| word == b"ptrace") => left,
            left => {
                println!("skipped: a kill at a call is made with strace: {left:?}");
                return;
            }
        };
        seen.push(exported(old.path(), &other));
        if left.status.success() {
            break;
        }
    }
    println!("{seen:?} records after a kill at each renaming");
    let first_new = seen.iter().position(|count| *count == 5).unwrap();
    assert!(seen[..first_new].iter().all(|count| *count == 2));
    assert!(seen[first_new..].iter().all(|count| *count == 5));
    assert!(first_new >= 2 && first_new + 1 < seen.len(), "{seen:?}");
}

/// A small file system of its own.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where nothing may be mounted.
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "qadom-test"])
            .arg(place.path())
            .output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once, whoever still has something open there.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_disk_reads_go_on_and_writes_resume_with_the_space() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    for engine in ["sled", "redb"] {
        let folder = TempDir::new_in(disk.0.path()).unwrap();
        let daemon = Daemon::start_in(folder, &["--engine", engine]);
        let key = put(&daemon, "before");
        let filler = disk.0.path().join("filler");
        // Ends when the disk is full.
        std::fs::write(&filler, vec![1; 64 << 20]).unwrap_err();
        let mut refused = None;
        for number in 0..2000 {
            let value = format!("{number:08000}");
            let left = daemon.run_with(&["put", "--json"], value.as_bytes());
            daemon.run(&["get", &key]).code(0);
            if left.code != 0 {
                refused = Some(left);
                break;
            }
        }
        let error = error_of(&refused.expect("a write that is refused"));
        assert_eq!(error["type"], "disk-full", "{engine}: {error}");
        let status = daemon.run(&["status", "--json"]).code(0).object();
        assert_eq!(status["verdict"], "degraded", "{engine}: {status}");
        let diagnosis = daemon.run(&["doctor", "--json"]).code(0).object();
        let first = &diagnosis["checks"][0];
        assert_eq!(
            (&first["name"], &first["ok"]),
            (&"disk".into(), &false.into())
        );
        assert!(first["detail"].to_string().contains("disk-full"), "{first}");
        std::fs::remove_file(&filler).unwrap();
        let begun = Instant::now();
        while daemon.run_with(&["put"], b"after").code != 0 {
            daemon.run(&["get", &key]).code(0);
            assert!(begun.elapsed() < PATIENCE, "{engine}: no write is taken");
        }
        println!(
            "{engine}: a write is taken {:.1?} after there was space",
            begun.elapsed()
        );
        assert_eq!(daemon.run(&["get", &key]).code(0).text(), "before");
        daemon.signal(&["TERM"]).0.code(0);
    }
}
