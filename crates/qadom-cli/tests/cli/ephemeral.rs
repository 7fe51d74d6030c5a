//! Commands without a daemon of one's own.

use crate::process::{Daemon, run, run_with};

#[test]
fn a_command_finds_its_way_with_a_node_of_its_own() {
    let daemon = Daemon::start(&[]);
    let key = daemon
        .run_with(&["put"], b"far away")
        .code(0)
        .text()
        .to_owned();
    daemon.run(&["dict", "set", "greeting", "hello"]).code(0);
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let via = format!("--ephemeral={}", daemon.address());

    let get = run(&["get", &key, &via, "--data-dir", home]).code(0);
    assert_eq!(get.stdout, b"far away");
    let get = run(&["dict", "get", "greeting", &via, "--data-dir", home]).code(0);
    assert_eq!(get.stdout, b"hello");
    let put = ["put", "--json", &via, "--data-dir", home];
    let put = run_with(&put, b"from nowhere").code(0).object();
    assert_eq!(put["receipt"]["stored"], 1, "{put}");
    let key = put["key"].as_str().unwrap();
    let held = daemon.run(&["get", key, "--local-only"]).code(0);
    assert_eq!(held.stdout, b"from nowhere");
    assert_eq!(
        std::fs::read_dir(home).unwrap().count(),
        0,
        "nothing is left"
    );
}

#[test]
fn the_contacts_that_a_daemon_saved_lead_back_to_its_network() {
    let far = Daemon::start(&["--network", "n"]);
    let key = far.run_with(&["put"], b"kept").code(0).text().to_owned();
    let near = Daemon::start(&["--network", "n", "--join", far.address()]);
    near.run(&["join", far.address()]).code(0);
    let (left, folder) = near.signal(&["TERM"]);
    left.code(0);
    std::fs::write(
        folder.path().join("qadom.toml"),
        "network = 'n'\nid_bits = 0\n",
    )
    .unwrap();
    let home = folder.path().to_str().unwrap();
    let get = run(&["--data-dir", home, "get", &key, "--ephemeral"]).code(0);
    assert_eq!(get.stdout, b"kept");
}

#[test]
fn what_only_a_daemon_can_do_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    for verb in [
        &["dict", "set", "x", "y"][..],
        &["stop"],
        &["mode", "client"],
    ] {
        let line = [verb, &["--ephemeral=127.0.0.1:1", "--data-dir", home]].concat();
        let left = run(&line).code(2);
        assert!(left.stderr.contains("needs a daemon"), "{}", left.stderr);
    }
    let left = run(&["get", "name:x", "--ephemeral", "--data-dir", home]).code(2);
    assert!(left.stderr.contains("knows nobody"), "{}", left.stderr);
    let get = [
        "get",
        "name:x",
        "--ephemeral=127.0.0.1:1",
        "--data-dir",
        home,
    ];
    let left = run(&get).code(1);
    assert!(left.stderr.contains("127.0.0.1:1"), "{}", left.stderr);
}
