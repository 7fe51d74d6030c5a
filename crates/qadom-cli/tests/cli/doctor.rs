//! What `doctor` says of real daemons.

use std::net::UdpSocket;

use serde_json::Value;

use crate::process::Daemon;

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
