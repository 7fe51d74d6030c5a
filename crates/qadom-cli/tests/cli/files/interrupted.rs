//! Work on files that is given up in the middle.

use std::fs::File;
use std::process::Command;

use super::text;
use crate::process::{Daemon, start, wait};

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
