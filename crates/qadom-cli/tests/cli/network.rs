//! Several daemons: they find each other, and tell when they cannot.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::Command;

use crate::process::{Daemon, PATIENCE, run, spawned, start, wait};

#[test]
fn daemons_that_joined_share_values_and_see_each_other() {
    let one = Daemon::start(&[]);
    let two = Daemon::start(&[]);
    let joined = two.run(&["join", one.address(), "--json"]).code(0).object();
    assert_eq!(joined["peers"], 1, "{joined}");

    let put = two.run_with(&["put", "--json"], b"shared").code(0).object();
    assert_eq!(put["receipt"]["stored"], 2, "{put}");
    let key = put["key"].as_str().unwrap();
    assert_eq!(
        one.run(&["get", key, "--local-only"]).code(0).stdout,
        b"shared"
    );
    let get = one
        .run(&["get", key, "--from", two.address(), "--json"])
        .code(0)
        .object();
    let node_of_two = two.run(&["status", "--json"]).code(0).object()["node"].clone();
    assert_eq!(get["source"], node_of_two);

    let peers = one.run(&["peers", "--json"]).code(0).object();
    assert_eq!(peers["items"][0]["node"], node_of_two);
    assert_eq!(peers["items"][0]["address"], two.address());
    assert!(one.run(&["peers"]).code(0).text().contains(two.address()));

    let pong = one
        .run(&["ping", node_of_two.as_str().unwrap(), "--json"])
        .code(0)
        .object();
    assert_eq!(pong["node"], node_of_two);
    assert!(
        one.run(&["ping", two.address()])
            .code(0)
            .text()
            .contains("answered in")
    );

    let lines = one.run(&["lookup", key, "--json"]).code(0).objects();
    let (end, steps) = lines.split_last().unwrap();
    assert_eq!(end["closest"][0]["node"], node_of_two);
    assert!(steps.iter().any(|step| step["event"] == "asked"));
    assert!(steps.iter().any(|step| step["event"] == "answered"));
    let table = one.run(&["lookup", key]).code(0);
    assert!(
        table.text().starts_with("after") && table.text().contains("1 hop,"),
        "{}",
        table.text()
    );
}

#[test]
fn a_daemon_of_another_network_is_told_so_and_ends() {
    let one = Daemon::start(&["--memory", "--network", "one"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments = [
        "node",
        "--memory",
        "--data-dir",
        path,
        "--listen",
        "127.0.0.1:0",
    ];
    let arguments = [
        &arguments[..],
        &["--network", "two", "--join", one.address()],
    ]
    .concat();
    let left = run(&arguments).code(1);
    assert!(left.text().starts_with("ready "), "{}", left.text());
    assert!(left.stderr.contains("wrong-network: "), "{}", left.stderr);
    assert!(
        left.stderr.contains("belongs to another network"),
        "{}",
        left.stderr
    );
    one.run(&["status"]).code(0);
}

#[test]
fn a_daemon_with_other_id_bits_is_told_which_differ_and_ends() {
    let one = Daemon::start(&["--memory", "--network", "same", "--id-bits", "0"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let node = ["node", "--memory", "--data-dir", path, "--network", "same"];
    let flags = ["--listen", "127.0.0.1:0", "--id-bits", "1", "--join"];
    let left = run(&[&node[..], &flags, &[one.address()]].concat()).code(1);
    assert!(left.stderr.contains("wrong-network: "), "{}", left.stderr);
    assert!(
        left.stderr.contains("is 1 here and 0 there"),
        "{}",
        left.stderr
    );
    assert!(left.stderr.contains("--id-bits"), "{}", left.stderr);
    one.run(&["status"]).code(0);
}

#[test]
fn a_bootstrap_that_nobody_answers_at_is_told_on_the_standard_error() {
    // Bound and never read: packets to it are lost without an error.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments = [
        "node",
        "--memory",
        "--data-dir",
        path,
        "--listen",
        "127.0.0.1:0",
    ];
    let (mut process, _) = start(&[&arguments[..], &["--join", &address]].concat());
    let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines();
    let told = spawned(move || {
        let mut said = lines.by_ref().map(Result::unwrap);
        said.find(|line| line.contains(&address))
    });
    let told = told
        .recv_timeout(PATIENCE)
        .expect("the daemon says nothing");
    let told = told.expect("the daemon ended without a word about the address");
    assert!(told.contains("unreachable"), "{told}");
    let status = run(&["status", "--json", "--data-dir", path])
        .code(0)
        .object();
    assert_eq!(status["verdict"], "isolated");
}

#[test]
fn a_join_by_nobody_fails_and_the_daemon_goes_on() {
    let daemon = Daemon::start(&["--memory"]);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let left = daemon.run(&["join", &address]).code(1);
    assert!(left.stderr.contains(&address), "{}", left.stderr);
    daemon.run(&["status"]).code(0);
}

#[test]
fn the_demo_finds_everything_again() {
    let left = run(&["demo", "--nodes", "7"]).code(0);
    let golden =
        "int:44523492095186523269265158000087001266127815262863473237438729878159874507476";
    assert!(left.text().contains(golden), "{}", left.text());
    assert!(
        left.text().contains("All that was stored was read again"),
        "{}",
        left.text()
    );

    let steps = run(&["demo", "--nodes", "4", "--json"]).code(0).objects();
    assert_eq!(steps.last().unwrap()["missing"], 0);
    assert!(
        steps
            .iter()
            .any(|step| step["step"] == "drop" && step["nodes"][0] == 2)
    );
    assert!(
        steps
            .iter()
            .any(|step| step["step"] == "get" && step["bytes"] == 8192)
    );
    // Fetched after the node that had it is gone.
    let fetched = steps.iter().position(|step| step["step"] == "fetch");
    let dropped = steps.iter().position(|step| step["step"] == "drop");
    assert!(fetched.unwrap() > dropped.unwrap());
}

#[test]
fn a_testnet_runs_daemons_that_know_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (mut process, first) = start(&["testnet", "--nodes", "3", "--base-dir", path]);
    let mut ready = vec![first];
    let stdout = BufReader::with_capacity(1, process.0.stdout.as_mut().unwrap());
    ready.extend(stdout.lines().take(2).map(Result::unwrap));
    for (number, line) in ready.iter().enumerate() {
        let socket = folder.path().join(number.to_string()).join("control.sock");
        assert!(
            line.ends_with(&format!("socket={}", socket.display())),
            "{line}"
        );
    }
    let data = |number: usize| {
        folder
            .path()
            .join(number.to_string())
            .to_str()
            .unwrap()
            .to_owned()
    };
    let address = ready[2].split(' ').nth(1).unwrap();
    run(&["join", "--data-dir", &data(1), address]).code(0);
    let key = crate::process::run_with(&["put", "--data-dir", &data(1)], b"in the testnet").code(0);
    let get = run(&["get", "--data-dir", &data(2), key.text()]).code(0);
    assert_eq!(get.stdout, b"in the testnet");

    let id = process.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let left = wait(&mut process).code(0);
    assert!(
        left.stderr.contains("Ctrl-C: stopping 3 daemons"),
        "{}",
        left.stderr
    );
}
