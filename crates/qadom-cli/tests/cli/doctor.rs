//! What `doctor` says of real daemons.

use std::net::UdpSocket;

use serde_json::Value;

use crate::process::{Daemon, begin_without_network, ready_line, run};

/// The names of the checks that fail.
fn failing(diagnosis: &Value) -> Vec<&str> {
    let checks = diagnosis["checks"].as_array().unwrap();
    let failing = checks.iter().filter(|check| check["ok"] == false);
    failing
        .map(|check| check["name"].as_str().unwrap())
        .collect()
}

#[test]
fn nothing_is_wrong_with_daemons_that_know_each_other() {
    let one = Daemon::start(&["--memory"]);
    let two = Daemon::start(&["--memory", "--join", one.address()]);
    // Returns when the join has been tried.
    two.run(&["join", one.address()]).code(0);
    two.run_with(&["put"], b"read back").code(0);
    let diagnosis = two.run(&["doctor", "--json"]).code(0).object();
    assert_eq!(failing(&diagnosis), [""; 0], "{diagnosis}");
    assert_eq!(diagnosis["verdict"], "healthy");
    let read = diagnosis["checks"].as_array().unwrap().iter();
    let mut read = read.filter(|check| check["name"] == "publications");
    assert_eq!(
        read.next().unwrap()["detail"],
        "1 of 1 were read from other nodes"
    );
    assert!(
        two.run(&["doctor"])
            .code(0)
            .text()
            .contains("publications  ok")
    );
}

#[test]
fn a_daemon_whose_packets_nobody_answers_is_told_so() {
    // Bound and never read: packets to it are lost without an error.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let daemon = Daemon::start(&["--memory"]);
    daemon.run(&["join", &address]).code(1);
    let (left, folder) = daemon.signal(&["TERM"]);
    left.code(0);
    let daemon = Daemon::start_in(folder, &["--memory", "--join", &address]);
    daemon.run(&["join", &address]).code(1);
    let diagnosis = daemon.run(&["doctor", "--json"]).code(0).object();
    let failing = failing(&diagnosis);
    assert!(
        failing.contains(&"datagrams") && failing.contains(&"lookup"),
        "{diagnosis}"
    );
}

/// What is said of one check.
fn detail<'a>(diagnosis: &'a Value, name: &str) -> &'a str {
    let mut checks = diagnosis["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == name).unwrap();
    check["detail"].as_str().unwrap()
}

#[test]
fn a_daemon_without_any_network_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let nobody = "192.0.2.1:7236";
    let line = [
        "node",
        "--memory",
        "--data-dir",
        home,
        "--listen",
        "0.0.0.0:0",
        "--join",
        nobody,
    ];
    let Some(mut process) = begin_without_network(&line) else {
        println!("skipped: no network namespace may be made here");
        return;
    };
    ready_line(&mut process);
    run(&["--data-dir", home, "join", nobody]).code(1);
    let diagnosis = run(&["--data-dir", home, "doctor", "--json"])
        .code(0)
        .object();
    assert!(failing(&diagnosis).contains(&"datagrams"), "{diagnosis}");
    let detail = detail(&diagnosis, "datagrams");
    assert!(detail.contains("found no way out"), "{diagnosis}");
}

#[test]
fn a_daemon_under_the_name_of_another_network_is_told_so() {
    let one = Daemon::start(&["--memory", "--network", "one"]);
    let join = ["--network", "one", "--join", one.address()];
    let two = Daemon::start(&join);
    two.run(&["join", one.address()]).code(0);
    let (left, folder) = two.signal(&["TERM"]);
    left.code(0);
    let two = Daemon::start_in(folder, &["--network", "two", "--join", one.address()]);
    loop {
        let diagnosis = two.run(&["doctor", "--json"]).code(0).object();
        if diagnosis["verdict"] != "starting" {
            assert!(failing(&diagnosis).contains(&"network"), "{diagnosis}");
            let detail = detail(&diagnosis, "network");
            assert!(detail.contains("wrong-network"), "{diagnosis}");
            break;
        }
    }
}

#[test]
fn a_daemon_whose_peers_are_all_gone_is_told_so() {
    let one = Daemon::start(&["--memory"]);
    let two = Daemon::start(&["--memory", "--join", one.address()]);
    two.run(&["join", one.address()]).code(0);
    one.kill();
    two.run(&["lookup", "name:x"]).code(0);
    let diagnosis = two.run(&["doctor", "--json"]).code(0).object();
    assert_eq!(failing(&diagnosis), ["lookup"], "{diagnosis}");
    assert_eq!(diagnosis["verdict"], "isolated");
    assert!(detail(&diagnosis, "lookup").contains("all peers are gone"));
}
