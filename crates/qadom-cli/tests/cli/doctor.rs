//! What `doctor` says of real daemons.

use std::net::UdpSocket;

use serde_json::Value;
use tempfile::TempDir;

use crate::namespaces::{INSIDE, Namespaces, OUTSIDE, runs};
use crate::process::{Daemon, Finished, Killed, begin_through, ready_line, run, start};

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
    if !runs("unshare", "--net") {
        println!("skipped: no network namespace may be made here");
        return;
    }
    let mut process = begin_through(&["unshare", "--net"], &line);
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

/// Starts a daemon in memory by another program; gives it with its folder and the ready line.
fn daemon_of(program: &[&str], flags: &[&str]) -> (Killed, TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let line = Daemon::arguments(&folder, &[&["--memory"], flags].concat());
    let mut process = begin_through(program, &line);
    let ready = ready_line(&mut process);
    (process, folder, ready)
}

/// Runs a verb that asks the daemon of a folder.
fn ask(folder: &TempDir, arguments: &[&str]) -> Finished {
    let path = folder.path().to_str().unwrap();
    run(&[&["--data-dir", path], arguments].concat())
}

#[test]
fn a_daemon_whose_udp_is_blocked_is_told_so() {
    let blocking = "table ip blocking { chain forward {
        type filter hook forward priority 0; meta l4proto udp drop; }; }";
    let Some(spaces) = Namespaces::make(blocking) else {
        println!("skipped: no network namespaces with nftables may be made here");
        return;
    };
    let (outside, inside) = (format!("{OUTSIDE}:7236"), format!("{INSIDE}:7236"));
    let there = ["--local", "--listen", &outside];
    let (_there, _folder, ready) = daemon_of(&spaces.outside(), &there);
    let address = ready.split(' ').nth(1).unwrap();
    let here = ["--local", "--listen", &inside, "--join", address];
    let (_here, folder, _) = daemon_of(&spaces.inside(), &here);
    // Returns when nobody has answered.
    ask(&folder, &["join", address]).code(1);
    let diagnosis = ask(&folder, &["doctor", "--json"]).code(0).object();
    assert_eq!(failing(&diagnosis), ["datagrams", "lookup"], "{diagnosis}");
    assert!(detail(&diagnosis, "datagrams").ends_with("went out and none came in"));
    let checks = diagnosis["checks"].as_array().unwrap();
    assert!(checks[0]["advice"].as_str().unwrap().contains("firewall"));
    assert_eq!(diagnosis["verdict"], "isolated");
}

#[test]
fn a_daemon_behind_a_router_that_lets_nobody_in_is_told_so() {
    // The router lets answers in, and the packets of those who were called. So that all others seem
    // strangers to it, it drops the first packet of every handshake that comes from outside: the
    // type of a packet is its first byte, 64 bits behind the header of UDP.
    let masquerade = "table ip router { chain out {
        type nat hook postrouting priority 100; oifname \"outside\" masquerade; };
        chain in { type filter hook forward priority 0;
        iifname \"outside\" meta l4proto udp @th,64,8 4 drop; }; }";
    let Some(spaces) = Namespaces::make(masquerade) else {
        println!("skipped: no network namespaces with nftables may be made here");
        return;
    };
    let mut world = Vec::new();
    let mut join = Vec::new();
    for port in 7001..7004 {
        let at = format!("{OUTSIDE}:{port}");
        let flags = ["--local", "--listen", &at];
        let joining: Vec<_> = join.iter().map(String::as_str).collect();
        let started = daemon_of(&spaces.outside(), &[&flags, &joining[..]].concat());
        if join.is_empty() {
            let address = started.2.split(' ').nth(1).unwrap();
            join = vec!["--join".to_owned(), address.to_owned()];
        }
        world.push(started);
    }
    let at = format!("{INSIDE}:7000");
    let flags = ["--local", "--listen", &at, "--join", &join[1]];
    let (_here, folder, _) = daemon_of(&spaces.inside(), &flags);
    let reachability = || {
        let status = ask(&folder, &["status", "--json"]).code(0).object();
        status["reachability"].as_str().unwrap().to_owned()
    };
    // The first test comes some seconds after the peers have told which address they see.
    while reachability() == "unknown" {}
    let diagnosis = ask(&folder, &["doctor", "--json"]).code(0).object();
    assert_eq!(failing(&diagnosis), ["reachability"], "{diagnosis}");
    let detail = detail(&diagnosis, "reachability");
    assert!(
        detail.contains("others see the node at 10.2.0.1:"),
        "{diagnosis}"
    );
    assert!(detail.contains("cannot reach it there"), "{diagnosis}");
}

#[test]
fn a_daemon_whose_clock_is_a_day_off_is_told_so() {
    if !runs("faketime", "--version") {
        println!("skipped: faketime is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (_right, ready) = start(&["testnet", "--nodes", "6", "--base-dir", path]);
    let address = ready.split(' ').nth(1).unwrap();
    for (offset, words) in [("+1d", "ahead"), ("-1d", "behind")] {
        let faked = ["faketime", "--exclude-monotonic", "-f", offset];
        let (_wrong, folder, _) = daemon_of(&faked, &["--join", address]);
        // Returns when the join was tried; five clocks have to be known.
        ask(&folder, &["join", address]).code(0);
        let diagnosis = loop {
            let diagnosis = ask(&folder, &["doctor", "--json"]).code(0).object();
            if !failing(&diagnosis).is_empty() {
                break diagnosis;
            }
        };
        assert_eq!(failing(&diagnosis), ["clock"], "{diagnosis}");
        let detail = detail(&diagnosis, "clock");
        let told = detail.split(' ').find_map(|word| word.parse::<u64>().ok());
        assert!(told.unwrap().abs_diff(86_400) < 60, "{diagnosis}");
        assert!(detail.ends_with(words), "{diagnosis}");
    }
}
