//! The life of a daemon: its start, its refusals to start, its end.

use std::fs::Permissions;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

/// Starts a daemon in a folder that it must refuse; gives what it said on its last line.
fn refused(folder: &Path, flags: &[&str]) -> serde_json::Value {
    let path = folder.to_str().unwrap();
    let arguments = ["node", "--json", "--data-dir", path, "--listen"];
    let left = run(&[&arguments[..], &["127.0.0.1:0"], flags].concat()).code(1);
    assert!(left.stdout.is_empty(), "{}", left.text());
    let error = left.stderr.lines().last().unwrap();
    let error = serde_json::from_str::<serde_json::Value>(error).unwrap()["error"].take();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(path), "{message} does not name the folder");
    assert!(error["advice"].is_string(), "{error}");
    error
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "precious").unwrap();
    let error = refused(folder.path(), &[]);
    assert_eq!(error["type"], "folder-unusable");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("not empty and is no data folder"),
        "{message}"
    );
    let names = std::fs::read_dir(&folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["letter.txt"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // Nobody makes a folder there, not even root.
    let error = refused(Path::new("/proc/qadom-data"), &[]);
    assert_eq!(error["type"], "folder-unusable");

    let folder = tempfile::tempdir().unwrap();
    let closed = Permissions::from_mode(0o500);
    std::fs::set_permissions(&folder, closed).unwrap();
    if std::fs::write(folder.path().join("lock"), "").is_ok() {
        println!("skipped: permissions do not bind this user");
        return;
    }
    let error = refused(folder.path(), &[]);
    assert_eq!(error["type"], "folder-unusable");
}

#[test]
fn a_node_key_that_is_too_weak_for_the_network_is_refused() {
    let (left, folder) = Daemon::start(&["--id-bits", "0"]).signal(&["INT"]);
    left.code(0);
    // No key of a test's life solves 32 bits by chance.
    let error = refused(folder.path(), &["--id-bits", "32"]);
    assert_eq!(error["type"], "weak-key");
}

#[test]
fn with_json_every_line_of_the_standard_error_is_an_object() {
    // Bound and never read: packets to it are lost without an error.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let daemon = Daemon::start(&["--memory", "--json", "-vv", "--join", &address]);
    daemon.run(&["status"]).code(0);
    let (left, _) = daemon.signal(&["INT"]);
    let left = left.code(0);
    assert!(!left.stderr.is_empty(), "nothing was logged");
    for line in left.stderr.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(
            object["level"].is_string() && object["message"].is_string(),
            "{line}"
        );
    }
}

/// The most memory that an idle daemon may hold, in KiB, with the pages of its program.
#[cfg(target_os = "linux")]
const IDLE_KIB: u64 = 30 * 1024;

/// The most of it that an idle daemon may have allocated, in KiB.
#[cfg(target_os = "linux")]
const IDLE_ALLOCATED_KIB: u64 = 14 * 1024;

/// The whole is bounded for the program as people run it. Without optimisation the code alone is some
/// 22 MB of clean pages of the file, three times its size in a release, and grows with what is
/// compiled in, not with what the daemon holds.
#[cfg(target_os = "linux")]
#[test]
fn an_idle_daemon_holds_less_than_30_megabytes() {
    let daemon = Daemon::start(&[]);
    daemon.run(&["status"]).code(0);
    let facts = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = facts.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    };
    let (resident, allocated) = (kib("VmRSS:"), kib("RssAnon:"));
    println!("an idle daemon holds {resident} KiB, of which it allocated {allocated} KiB");
    assert!(allocated < IDLE_ALLOCATED_KIB, "{allocated} KiB allocated");
    if !cfg!(debug_assertions) {
        assert!(resident < IDLE_KIB, "{resident} KiB");
    }
}

#[test]
fn random_bytes_on_the_port_are_counted_and_the_daemon_goes_on() {
    let daemon = Daemon::start(&["--memory"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = daemon.address().rsplit('@').next().unwrap();
    let junk: Vec<u8> = (0..=255).cycle().take(1200).collect();
    let lengths = [1, 2, 15, 16, 17, 31, 64, 255, 1199, 1200];
    for length in lengths {
        socket.send_to(&junk[..length], address).unwrap();
    }
    let drops = || {
        let status = daemon.run(&["status", "--json"]).code(0).object();
        let drops = status["drops"].as_object().unwrap().clone();
        drops
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum::<u64>()
    };
    // The packets are in the socket's buffer when the first question is asked; the daemon reads
    // them in its own time.
    assert!(
        (0..100).any(|_| drops() >= lengths.len() as u64),
        "{} of {} packets were counted",
        drops(),
        lengths.len()
    );
    let put = daemon.run_with(&["put"], b"after the junk").code(0);
    daemon.run(&["get", put.text()]).code(0);
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
