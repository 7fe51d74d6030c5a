//! The life of a daemon: its start, its refusals to start, its end.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;

use crate::process::{Daemon, run, start};

#[test]
fn the_ready_line_names_address_and_socket() {
    let daemon = Daemon::start(&["--memory"]);
    let socket = daemon.path().join("control.sock");
    assert_eq!(
        daemon.ready,
        format!(
            "ready {} http=- socket={}",
            daemon.address(),
            socket.display()
        )
    );
    assert!(daemon.address().starts_with("qadom:"));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (left, _) = daemon.signal(&["TERM"]);
    let left = left.code(0);
    assert!(
        left.stderr.contains("SIGTERM: finishing"),
        "{}",
        left.stderr
    );
    assert!(left.stderr.contains("local mode"), "{}", left.stderr);
    assert!(left.stderr.contains("stopped"), "{}", left.stderr);
    assert!(!socket.exists());
}

#[test]
fn with_json_the_ready_line_is_an_object() {
    let daemon = Daemon::start(&["--memory", "--json"]);
    let ready: serde_json::Value = serde_json::from_str(&daemon.ready).unwrap();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["http"], serde_json::Value::Null);
    assert!(ready["address"].as_str().unwrap().starts_with("qadom:"));
    assert!(ready["socket"].as_str().unwrap().ends_with("control.sock"));
    let (left, _) = daemon.signal(&["INT"]);
    assert_eq!(left.code(0).stderr, "");
}

#[test]
fn what_was_put_is_there_after_ctrl_c_and_after_stop() {
    let daemon = Daemon::start(&[]);
    let key = daemon.run_with(&["put"], b"kept").code(0).text().to_owned();
    let node = daemon.run(&["status", "--json"]).code(0).object()["node"].clone();
    let (left, folder) = daemon.signal(&["INT"]);
    assert!(left.code(0).stderr.contains("Ctrl-C: finishing"));

    let daemon = Daemon::start_in(folder, &[]);
    assert_eq!(daemon.run(&["get", &key]).code(0).stdout, b"kept");
    assert_eq!(
        daemon.run(&["status", "--json"]).code(0).object()["node"],
        node
    );
    assert_eq!(
        daemon.run(&["stop", "--json"]).code(0).object()["stopped"],
        true
    );
    let (left, folder) = daemon.wait();
    left.code(0);

    let daemon = Daemon::start_in(folder, &[]);
    assert_eq!(daemon.run(&["get", &key]).code(0).stdout, b"kept");
}

#[test]
fn further_signals_do_not_cut_the_end_short() {
    let daemon = Daemon::start(&[]);
    let (left, _) = daemon.signal(&["INT", "INT", "TERM", "INT"]);
    assert!(
        left.code(0)
            .stderr
            .contains("stopped: what was acknowledged is kept")
    );
}

#[test]
fn a_second_daemon_on_the_folder_does_not_start_and_the_first_goes_on() {
    let daemon = Daemon::start(&[]);
    let path = daemon.path().to_str().unwrap();
    let second = ["node", "--listen", "127.0.0.1:0", "--data-dir", path];
    let left = run(&second).code(1);
    assert!(left.stdout.is_empty());
    assert!(left.stderr.contains("in use"), "{}", left.stderr);
    let left = run(&[&second[..], &["--json"]].concat()).code(1);
    let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
    assert_eq!(error["error"]["type"], "folder-in-use");
    daemon.run(&["status"]).code(0);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let left = run(&["node", "--json", "--data-dir", path, "--listen", &address]).code(1);
    let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
    assert_eq!(error["error"]["type"], "port-in-use");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&address),
        "{error}"
    );
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = file.to_str().unwrap();
    let left = run(&[
        "node",
        "--json",
        "--data-dir",
        path,
        "--listen",
        "127.0.0.1:0",
    ])
    .code(1);
    let error: serde_json::Value =
        serde_json::from_str(left.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["type"], "folder-unusable");
}

#[test]
fn a_socket_path_that_is_too_long_names_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("d".repeat(100));
    let path = long.to_str().unwrap();
    let arguments = [
        "node",
        "--memory",
        "--data-dir",
        path,
        "--listen",
        "127.0.0.1:0",
    ];
    let left = run(&arguments).code(2);
    assert!(left.stderr.contains("--socket"), "{}", left.stderr);

    let socket = folder.path().join("s");
    let socket = socket.to_str().unwrap();
    let (_daemon, ready) = start(&[&arguments[..], &["--socket", socket]].concat());
    assert!(ready.ends_with(&format!("socket={socket}")));
    run(&["--socket", socket, "status"]).code(0);
}

#[test]
fn status_tells_what_the_daemon_was_started_with() {
    let daemon = Daemon::start(&[
        "--memory",
        "--network",
        "mine",
        "--client",
        "--id-bits",
        "1",
    ]);
    let status = daemon.run(&["status", "--json"]).code(0).object();
    assert_eq!(status["network"], "mine");
    assert_eq!(status["mode"], "client");
    assert_eq!(status["local"], true);
    assert_eq!(status["peers"], 0);
    let text = daemon.run(&["status"]).code(0);
    assert!(text.text().contains("network   mine"), "{}", text.text());
}
