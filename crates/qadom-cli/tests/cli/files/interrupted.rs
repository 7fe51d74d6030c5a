//! Work on files that is given up in the middle.

use std::fs::File;
use std::process::Command;

use super::{MIB, add, content, source, text, until_partial};
use crate::process::{Daemon, begin, start, wait};

#[test]
fn ctrl_c_gives_the_work_up_and_says_that_it_is_not_done() {
    let daemon = Daemon::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long");
    // Nothing but a hole, and long to read all the same.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let data = text(daemon.path());
    let (mut adding, first) = start(&["--data-dir", data, "file", "add", text(&path), "--json"]);
    assert!(first.contains("hashing"), "{first}");
    let id = adding.0.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    wait(&mut adding).code(1);
    let list = daemon.run(&["file", "list", "--json"]).code(0).object();
    assert_eq!(list["items"].as_array().unwrap().len(), 0);
}

#[test]
fn a_daemon_that_is_ended_in_the_middle_of_a_transfer_ends_well_on_either_side() {
    // So slow that it does not end in the time that what is under way is given.
    let one = Daemon::start(&["--upload-rate", "1500000"]);
    let bytes = content(16 * MIB, 9);
    let folder = source("film", &bytes);
    let id = add(&one, &folder.path().join("film"), &[]).code(0);
    let target = folder.path().join("fetched");
    let fetch = |daemon: &Daemon| {
        let data = text(daemon.path());
        begin(&[
            "--data-dir",
            data,
            "file",
            "get",
            id.text(),
            "-o",
            text(&target),
        ])
    };
    let two = Daemon::start(&["--join", one.address()]);
    two.run(&["join", one.address()]).code(0);
    let mut getting = fetch(&two);
    let held = until_partial(&two, MIB as u64);
    let status = one.run(&["status", "--json"]).code(0).object();
    let mut limits = status["limits"].as_array().unwrap().iter();
    let rate = limits.find(|limit| limit["name"] == "files-upload-bytes-per-second");
    let used = rate.unwrap()["used"].as_u64().unwrap();
    assert!(0 < used && used <= 1_500_000, "{used} bytes a second");
    let (left, home) = two.signal(&["TERM"]);
    assert!(left.code(0).stderr.contains("SIGTERM: finishing"));
    let told = wait(&mut getting).code(1).stderr;
    assert!(told.contains("error: "), "{told}");
    assert!(!target.exists(), "nothing unfinished has the final name");

    let two = Daemon::start_in(home, &["--join", one.address()]);
    two.run(&["join", one.address()]).code(0);
    let _getting = fetch(&two);
    let more = until_partial(&two, held + MIB as u64);
    assert!(more > held, "what was verified is kept");
    let (left, _) = one.signal(&["TERM"]);
    assert!(left.code(0).stderr.contains("SIGTERM: finishing"));
    two.run(&["status"]).code(0);
}
