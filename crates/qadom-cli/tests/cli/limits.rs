//! What a daemon may use is shown everywhere beside what it uses, and holds.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::Value;

use crate::process::{Daemon, begin_through, ready_line, run, run_with};

/// What everybody asks for: bytes per second, memory, disk, sessions, files, connections.
const BUDGETS: [&str; 18] = [
    "background-bytes-per-second",
    "publication-bytes-per-second",
    "files-upload-bytes-per-second",
    "memory-bytes",
    "store-buffer-bytes",
    "disk-bytes",
    "kept-bytes",
    "records",
    "record-bytes",
    "files-held-bytes",
    "open-files",
    "sessions",
    "files-uploads",
    "control-uploads",
    "control-connections",
    "control-tcp-connections",
    "gateway-connections",
    "saved-contacts",
];

fn limits(status: &Value) -> BTreeMap<String, (u64, u64)> {
    let limits = status["limits"].as_array().unwrap().iter();
    let limits = limits.map(|limit| {
        let number = |field: &str| limit[field].as_u64().unwrap();
        let name = limit["name"].as_str().unwrap().to_owned();
        (name, (number("used"), number("limit")))
    });
    limits.collect()
}

#[test]
fn every_budget_is_shown_as_used_of_limit_in_status_json_and_metrics() {
    let daemon = Daemon::start(&[
        "--http",
        "127.0.0.1:0",
        "--gateway",
        "127.0.0.1:0",
        "--upload-rate",
        "1000000",
    ]);
    let status = daemon.run(&["status", "--json"]).code(0).object();
    let limits = limits(&status);
    let words = daemon.run(&["status"]).code(0);
    let address = daemon
        .ready
        .split(' ')
        .find_map(|word| word.strip_prefix("http="));
    let mut stream = TcpStream::connect(address.unwrap()).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    for name in BUDGETS {
        let (used, limit) = limits[name];
        assert!(used <= limit && limit > 0, "{name}: {used} of {limit}");
        let mut lines = words.text().lines().map(str::split_whitespace);
        let line = lines.find_map(|mut line| (line.next() == Some(name)).then_some(line));
        assert!(
            line.unwrap().count() >= 2,
            "{name} is not in {}",
            words.text()
        );
        for metric in ["qadom_limit_used", "qadom_limit_max"] {
            let sample = format!("{metric}{{name=\"{name}\"}} ");
            assert!(metrics.contains(&sample), "{sample} is not in {metrics}");
        }
    }
    assert_eq!(limits["files-upload-bytes-per-second"].1, 1_000_000);
    let parts = ["record-bytes", "publication-bytes", "files-held-bytes"];
    let whole = parts.iter().map(|name| limits[*name].1).sum::<u64>();
    assert_eq!(limits["kept-bytes"].1, whole);
    let doctor = daemon.run(&["doctor", "--json"]).code(0).object();
    let mut checks = doctor["checks"].as_array().unwrap().iter();
    let budgets = checks.find(|check| check["name"] == "budgets").unwrap();
    assert!(
        budgets["detail"].as_str().unwrap().starts_with("fullest: "),
        "{budgets}"
    );
}

#[test]
fn where_few_files_may_be_open_connections_leave_some_to_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let few = ["sh", "-c", "ulimit -n 96; exec \"$0\" \"$@\""];
    let mut process = begin_through(&few, &Daemon::arguments(&folder, &[]));
    ready_line(&mut process);
    let socket = folder.path().join("control.sock");
    let idle = |count| {
        let idle = (0..count).map(|_| UnixStream::connect(&socket).unwrap());
        idle.collect::<Vec<_>>()
    };
    // All places but one.
    let few = idle(23);
    let key = run_with(&["--data-dir", home, "put"], b"all the same").code(0);
    let status = run(&["--data-dir", home, "status", "--json"])
        .code(0)
        .object();
    let limits = limits(&status);
    let (used, limit) = limits["open-files"];
    assert!(
        24 < used && used <= limit && limit == 96,
        "{used} of {limit}"
    );
    assert_eq!(limits["control-connections"], (24, 24));
    // Those beyond wait outside, where they take no file of the daemon.
    let more = idle(100);
    drop((few, more));
    let got = run(&["--data-dir", home, "get", key.text()]).code(0);
    assert_eq!(got.stdout, b"all the same");
    let id = process.0.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status();
    assert!(asked.unwrap().success());
    crate::process::wait(&mut process).code(0);
}
