//! The control API on TCP: who is answered there.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::process::{Daemon, run};

const TOKEN: &str = "a-token-of-enough-characters";

/// The address in the ready line.
fn address(daemon: &Daemon) -> &str {
    let http = daemon
        .ready
        .split(' ')
        .find_map(|word| word.strip_prefix("http="));
    http.unwrap()
}

/// The status code and the JSON body of an answer to a request with these header lines.
fn ask(address: &str, headers: &[&str]) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers = headers.iter().map(|header| format!("{header}\r\n"));
    let headers = headers.collect::<String>();
    let request = format!("GET /v1/status HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn loopback_is_answered_to_this_machine_and_not_to_pages_of_other_sites() {
    let daemon = Daemon::start(&["--memory", "--http", "127.0.0.1:0"]);
    let address = address(&daemon);
    let host = format!("Host: {address}");
    let (status, body) = ask(address, &[&host]);
    assert_eq!((status, body["mode"].as_str()), (200, Some("storing")));
    let (status, body) = ask(address, &["Host: rebound.example"]);
    assert_eq!(status, 403);
    assert!(body["type"].as_str().unwrap().ends_with(":usage"), "{body}");
    let (status, _) = ask(address, &[&host, "Origin: https://site.example"]);
    assert_eq!(status, 403);
    let (left, _) = daemon.signal(&["TERM"]);
    left.code(0);
}

#[test]
fn with_a_token_only_those_who_show_it_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let file = file.to_str().unwrap();
    let daemon = Daemon::start(&["--memory", "--http", "0.0.0.0:0", "--http-token-file", file]);
    let port = address(&daemon).rsplit(':').next().unwrap();
    let address = format!("127.0.0.1:{port}");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(ask(&address, &["Host: any.example", &bearer]).0, 200);
    assert_eq!(
        ask(&address, &["Host: any.example", &format!("{bearer}x")]).0,
        401
    );
    assert_eq!(ask(&address, &["Host: localhost"]).0, 401);
}

#[test]
fn what_would_let_anybody_command_the_node_is_refused() {
    let refused = |flags: &[&str], what: &str| {
        let folder = tempfile::tempdir().unwrap();
        let node = [
            "--data-dir",
            folder.path().to_str().unwrap(),
            "node",
            "--memory",
        ];
        let listen = ["--listen", "127.0.0.1:0"];
        let left = run(&[&node[..], &listen, flags].concat()).code(2);
        assert!(left.stderr.contains(what), "{}", left.stderr);
    };
    refused(
        &["--http", "0.0.0.0:0"],
        "nothing asks who commands the node",
    );
    refused(
        &["--http", "127.0.0.1:0", "--http-cert", "x"],
        "belong together",
    );
    refused(&["--http-token-file", "/nowhere"], "cannot read the token");
}

#[test]
fn metrics_are_told_in_the_format_of_prometheus() {
    let daemon = Daemon::start(&["--memory", "--http", "127.0.0.1:0"]);
    let address = address(&daemon);
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    for line in [
        "qadom_verdict{verdict=\"healthy\"} 1",
        "qadom_verdict{verdict=\"isolated\"} 0",
        "qadom_mode{mode=\"storing\"} 1",
        "qadom_peers 0.0",
        "# TYPE qadom_traffic_bytes counter",
        "# EOF",
    ] {
        assert!(
            answer.lines().any(|other| other == line),
            "{line} in {answer}"
        );
    }
}
