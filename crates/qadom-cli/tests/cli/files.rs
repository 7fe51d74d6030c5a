//! Files from the shell: shared, fetched, pushed, served over HTTP, and resumed after a crash.
//!
//! `QADOM_KILL_ROUNDS=20 cargo test -p qadom-cli --test cli files::kill_9` is the long round of
//! crashes; that of pushes stands in `pushed`.

mod first_byte;
mod gateway;
mod interrupted;
mod pushed;
mod servers;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use qadom_node::FileId;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Daemon, Finished, spawned};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn setting(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// Bytes that no part of which repeats soon.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with one file in it.
fn source(name: &str, bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    folder
}

/// Two daemons that know each other.
fn pair() -> (Daemon, Daemon) {
    let one = Daemon::start(&[]);
    let two = Daemon::start(&[]);
    two.run(&["join", one.address()]).code(0);
    (one, two)
}

fn add(daemon: &Daemon, path: &Path, more: &[&str]) -> Finished {
    daemon.run(&[&["file", "add", text(path)], more].concat())
}

#[test]
fn a_file_goes_from_one_daemon_to_another_by_id_and_by_name() {
    let (one, two) = pair();
    let place = tempfile::tempdir().unwrap();
    for (number, length) in [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 3 * MIB + 5]
        .into_iter()
        .enumerate()
    {
        let bytes = content(length, number as u64);
        let name = format!("file {number}.bin");
        let folder = source(&name, &bytes);
        let added = add(&one, &folder.path().join(&name), &["--name", "--json"]).code(0);
        let objects = added.objects();
        let added = objects.last().unwrap();
        let id = FileId::of(&bytes).to_string();
        assert_eq!(added["id"], id.as_str());
        assert_eq!(added["size"], length);
        assert_eq!(added["chunks"], length.div_ceil(256 * KIB).max(1));
        assert!(added["receipt"]["stored"].as_u64().unwrap() >= 1);

        let by_name = ["file", "get", &name, "-o", text(place.path())];
        two.run(&by_name).code(0);
        assert!(
            fs::read(place.path().join(&name)).unwrap() == bytes,
            "{length} bytes"
        );
        // It stands there now, and stays as it is.
        let again = two.run(&by_name).code(1);
        assert!(again.stderr.contains("exists already"), "{}", again.stderr);
        let other = place.path().join(format!("by id {number}"));
        let by_id = two.run(&["file", "get", &id, "-o", text(&other), "--json"]);
        let objects = by_id.code(0).objects();
        let fetched = objects.last().unwrap();
        assert_eq!(fetched["id"], id.as_str());
        assert!(fs::read(&other).unwrap() == bytes);
    }
}

#[test]
fn whoever_has_fetched_a_file_provides_it_and_tells_what_is_known_of_it() {
    let (one, two) = pair();
    let bytes = content(MIB + 7, 1);
    let folder = source("film", &bytes);
    let id = add(&one, &folder.path().join("film"), &["--name"]).code(0);
    let id = id.text().to_owned();
    let place = tempfile::tempdir().unwrap();
    let manifest = one.run(&["file", "manifest", &id]).code(0);
    assert_eq!(manifest.text().lines().count(), 5);
    two.run(&["file", "get", "film", "-o", text(place.path())])
        .code(0);
    let status = loop {
        // It announces itself a little later.
        let status = one.run(&["file", "status", &id, "--json"]).code(0).object();
        if status["holders"] == 1 {
            break status;
        }
    };
    assert_eq!((&status["chunks"], &status["here"]), (&5.into(), &5.into()));
    assert_eq!(status["smallest_copies"], 1);
    let list = two.run(&["file", "list", "--json"]).code(0).object();
    assert_eq!(list["items"][0]["id"], id.as_str());

    // The first is gone: the second serves, also by the list of chunks alone.
    one.kill();
    let three = Daemon::start(&[]);
    three.run(&["join", two.address()]).code(0);
    let list = place.path().join("list");
    fs::write(&list, manifest.stdout).unwrap();
    let copy = place.path().join("copy");
    let get = ["file", "get", "--manifest", text(&list), "-o", text(&copy)];
    three.run(&get).code(0);
    assert!(fs::read(&copy).unwrap() == bytes);
    two.run(&["file", "remove", &id]).code(0);
    two.run(&["file", "remove", &id]).code(3);
    assert!(
        place.path().join("film").exists(),
        "what lies elsewhere stays"
    );
}

#[test]
fn what_is_wrong_with_a_name_or_a_place_is_told() {
    let (one, two) = pair();
    let place = tempfile::tempdir().unwrap();
    let folder = source("a", b"one");
    fs::write(folder.path().join("b"), b"two").unwrap();
    let missing = two.run(&["file", "get", "nothing", "--json"]).code(3);
    assert!(missing.stderr.contains("not-found"), "{}", missing.stderr);
    let unknown = FileId::of(b"nobody has this").to_string();
    two.run(&["file", "get", &unknown]).code(3);
    add(&one, &folder.path().join("no such file"), &[]).code(2);
    add(
        &one,
        &folder.path().join("a"),
        &["--name", &"x".repeat(257)],
    )
    .code(2);

    // A name that would lead elsewhere gives a file its id as its name.
    for name in ["../../escape", "/etc/passwd", "..", "."] {
        add(&one, &folder.path().join("a"), &["--name", name]).code(0);
        let inner = place.path().join("inner");
        fs::create_dir(&inner).unwrap();
        two.run(&["file", "get", name, "-o", text(&inner)]).code(0);
        let id = FileId::of(b"one").to_string();
        assert_eq!(fs::read(inner.join(id)).unwrap(), b"one", "{name}");
        fs::remove_dir_all(&inner).unwrap();
    }

    // Two files under one name: whoever asks has to choose.
    add(&one, &folder.path().join("a"), &["--name", "both"]).code(0);
    add(&two, &folder.path().join("b"), &["--name", "both"]).code(0);
    let three = Daemon::start(&[]);
    three.run(&["join", one.address()]).code(0);
    let out = place.path().join("out");
    let get = ["file", "get", "both", "-o", text(&out)];
    let refused = three.run(&[&get[..], &["--json"]].concat()).code(1);
    assert!(refused.stderr.contains("ambiguous"), "{}", refused.stderr);
    let error: Value = serde_json::from_str(refused.stderr.trim()).unwrap();
    let files = error["error"]["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    for file in files {
        let writer = file["writers"][0].as_str().unwrap();
        three
            .run(&[&get[..], &["--writer", writer]].concat())
            .code(0);
        let bytes = fs::read(&out).unwrap();
        assert_eq!(FileId::of(&bytes).to_string(), file["id"]);
        fs::remove_file(&out).unwrap();
    }
    three.run(&[&get[..], &["--first"]].concat()).code(0);
}

#[test]
fn a_folder_comes_back_whole() {
    let (one, two) = pair();
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    for (name, length) in [("a", 3), ("deep/b", 300 * KIB), ("deep/er/c", 0)] {
        fs::write(tree.join(name), content(length, 5)).unwrap();
    }
    add(&one, &tree, &["--name"]).code(0);
    let place = tempfile::tempdir().unwrap();
    two.run(&["file", "get", "tree", "-o", text(place.path())])
        .code(0);
    for (name, length) in [("a", 3), ("deep/b", 300 * KIB), ("deep/er/c", 0)] {
        let there = fs::read(place.path().join("tree").join(name)).unwrap();
        assert!(there == content(length, 5), "{name}");
    }

    // The same again goes on behind what is there; what is there and is something else is told.
    let get = ["file", "get", "tree", "-o", text(place.path())];
    fs::remove_file(place.path().join("tree/deep/er/c")).unwrap();
    two.run(&get).code(0);
    assert!(place.path().join("tree/deep/er/c").exists());
    fs::write(place.path().join("tree/a"), b"own").unwrap();
    let refused = two.run(&get).code(1);
    assert!(
        refused.stderr.contains("tree/a exists already"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(place.path().join("tree/a")).unwrap(), b"own");
}

/// One HTTP request over a connection of its own: status, headers in lower case, body.
fn http(address: &str, method: &str, path: &str, headers: &[&str]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let opening = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let mut request = opening;
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    let head = String::from_utf8(answer).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, body)
}

#[test]
fn the_gateway_serves_ranges_of_what_is_shared_and_nothing_else() {
    let one = Daemon::start(&[]);
    let bytes = content(2 * MIB + 3, 9);
    let folder = source("film.mp4", &bytes);
    let id = add(&one, &folder.path().join("film.mp4"), &["--name"]).code(0);
    let id = id.text().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    // This daemon has nothing itself: what it serves comes over the network as it is read.
    let two = Daemon::start(&["--join", one.address(), "--gateway", &address]);
    two.run(&["join", one.address()]).code(0);
    let path = format!("/files/{id}");

    let (status, head, body) = http(&address, "GET", "/name/film.mp4", &[]);
    assert_eq!(status, 200, "{head}");
    assert!(body == bytes);
    assert!(head.contains("content-type: video/mp4"), "{head}");
    assert!(head.contains(&format!("etag: \"{id}\"")), "{head}");
    assert!(head.contains("accept-ranges: bytes"), "{head}");
    for (range, from, to) in [
        ("0-0", 0, 1),
        ("262143-262144", 262_143, 262_145),
        ("1000000-", 1_000_000, bytes.len()),
        ("-5", bytes.len() - 5, bytes.len()),
    ] {
        let header = format!("range: bytes={range}");
        let (status, head, body) = http(&address, "GET", &path, &[&header]);
        assert_eq!(status, 206, "{range}: {head}");
        assert!(body == bytes[from..to], "{range}");
        let place = format!("content-range: bytes {from}-{}/{}", to - 1, bytes.len());
        assert!(head.contains(&place), "{head}");
    }
    let (status, head, _) = http(&address, "GET", &path, &["range: bytes=9999999-"]);
    assert_eq!(status, 416, "{head}");
    let (status, head, body) = http(&address, "HEAD", &path, &[]);
    assert_eq!((status, body.len()), (200, 0));
    assert!(
        head.contains(&format!("content-length: {}", bytes.len())),
        "{head}"
    );
    let known = format!("if-none-match: \"{id}\"");
    assert_eq!(http(&address, "GET", &path, &[&known]).0, 304);
    for (method, path, expected) in [
        ("GET", "/files/xyz", 400),
        ("GET", "/name/unknown", 404),
        ("GET", "/v1/status", 404),
        ("GET", "/", 404),
        ("GET", "/files/../../etc/passwd", 404),
        ("POST", "/v1/stop", 404),
        ("DELETE", &*format!("/files/{id}"), 405),
    ] {
        let (status, head, _) = http(&address, method, path, &[]);
        assert_eq!(status, expected, "{method} {path}: {head}");
    }
}

/// Rounds of a crash in the normal suite.
const KILL_ROUNDS: usize = 3;

#[test]
fn kill_9_in_the_middle_of_a_download_loses_nothing_that_was_verified() {
    let rounds = setting("QADOM_KILL_ROUNDS", KILL_ROUNDS);
    // Slow enough that a kill comes in the middle.
    let one = Daemon::start(&["--upload-rate", "40000000"]);
    let bytes = content(24 * MIB, 3);
    let folder = source("film", &bytes);
    let id = add(&one, &folder.path().join("film"), &[]).code(0);
    let id = id.text().to_owned();
    for round in 0..rounds {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("film");
        let two = Daemon::start(&["--join", one.address()]);
        two.run(&["join", one.address()]).code(0);
        let (socket, out, file) = (
            two.path().join("control.sock"),
            text(&target).to_owned(),
            id.clone(),
        );
        let getting = spawned(move || {
            let get = ["file", "get", &file, "-o", &out, "--socket", text(&socket)];
            crate::process::run(&get)
        });
        // Another moment in each round.
        let wanted = (round as u64 * 7919 % 23 + 1) * MIB as u64;
        let partial = until_partial(&two, wanted);
        let folder = two.kill();
        assert_ne!(getting.recv().unwrap().code, 0);
        assert!(!target.exists(), "nothing unfinished has the final name");

        let sent = traffic(&one);
        let two = Daemon::start_in(folder, &["--join", one.address()]);
        two.run(&["join", one.address()]).code(0);
        two.run(&["file", "get", &id, "-o", text(&target)]).code(0);
        assert!(fs::read(&target).unwrap() == bytes, "round {round}");
        // What was verified did not come again, but for what was under way at the crash.
        let fetched = traffic(&one) - sent;
        let missing = bytes.len() as u64 - partial;
        assert!(
            fetched < missing + missing / 8 + 2 * MIB as u64,
            "round {round}: {fetched} bytes came for {missing} that were missing"
        );
    }
}

/// Bytes that a daemon has sent.
fn traffic(daemon: &Daemon) -> u64 {
    let status = daemon.run(&["status", "--json"]).code(0).object();
    status["traffic"]["bytes_out"].as_u64().unwrap()
}

/// Waits until a download has this many verified bytes; gives how many there are.
fn until_partial(daemon: &Daemon, wanted: u64) -> u64 {
    loop {
        let list = daemon.run(&["file", "list", "--json"]).code(0).object();
        let held = list["items"][0]["held"].as_u64().unwrap_or(0) * 256 * KIB as u64;
        if held >= wanted {
            return held;
        }
    }
}

#[test]
fn b3sum_prints_the_same_id() {
    // Only where it is installed.
    let folder = source("x", b"hello");
    let Ok(output) = Command::new("b3sum").arg(folder.path().join("x")).output() else {
        return;
    };
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with(&FileId::of(b"hello").to_string()));
}
