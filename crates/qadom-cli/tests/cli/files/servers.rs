//! Files that plain HTTP servers have, beside nodes or alone, from the shell.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use qadom_node::FileId;

use super::{KIB, add, content, source, text};
use crate::process::Daemon;

/// What a server was asked for: path and range.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A server that gives ranges of the content; it ends with the tests.
fn server(content: Vec<u8>) -> (SocketAddr, Asked) {
    serving(move |range| {
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
            return answer("200 OK", &content);
        };
        let first: usize = first.parse().unwrap();
        let end = last.parse().map_or(content.len(), |last: usize| last + 1);
        let place = format!("content-range: bytes {first}-{}/{}", end - 1, content.len());
        answer(
            &format!("206 Partial Content\r\n{place}"),
            &content[first..end],
        )
    })
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn serving(answer: impl Fn(Option<&str>) -> Vec<u8> + Send + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
                continue;
            };
            let range = lines.iter().find_map(|line| {
                let line = line.to_lowercase();
                Some(line.strip_prefix("range: bytes=")?.to_owned())
            });
            notes.lock().unwrap().push((path.to_owned(), range.clone()));
            // Whoever asked may have seen enough.
            let _ = stream.write_all(&answer(range.as_deref()));
        }
    });
    (address, asked)
}

/// Two daemons that know what a third said under a name, which is gone.
fn told_by_one_that_is_gone(path: &std::path::Path, flags: &[&str], more: &[&str]) -> [Daemon; 2] {
    let gone = Daemon::start(flags);
    let daemons = [Daemon::start(&[]), Daemon::start(&[])];
    for daemon in &daemons {
        daemon.run(&["join", gone.address()]).code(0);
    }
    daemons[1].run(&["join", daemons[0].address()]).code(0);
    add(&gone, path, &[&["--name", "film"], more].concat()).code(0);
    gone.kill();
    daemons
}

#[test]
fn what_only_a_server_has_is_fetched_by_the_name_that_tells_of_it() {
    let bytes = content(700 * KIB, 31);
    let folder = source("film", &bytes);
    let (address, asked) = server(bytes.clone());
    let (wrong, _) = server(content(700 * KIB, 32));
    let urls = [wrong, address].map(|address| format!("http://{address}/a/film"));
    let more = ["--url", &urls[0], "--url", &urls[1]];
    let [one, two] = told_by_one_that_is_gone(&folder.path().join("film"), &[], &more);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("film");
    let get = ["file", "get", "film", "-o", text(&target)];
    let fetched = one.run(&[&get[..], &["--json"]].concat()).code(0);
    assert_eq!(fetched.objects().last().unwrap()["verified"], true);
    assert!(fs::read(&target).unwrap() == bytes);
    assert!(!asked.lock().unwrap().is_empty());

    // The other one gets it from the first, which shares it now, and from the server.
    let again = place.path().join("again");
    two.run(&["file", "get", "film", "-o", text(&again)])
        .code(0);
    assert!(fs::read(&again).unwrap() == bytes);
}

#[test]
fn the_gateway_that_a_daemon_tells_of_is_one_of_the_servers() {
    let bytes = content(300 * KIB, 33);
    let folder = source("film", &bytes);
    let (address, asked) = server(bytes.clone());
    let url = format!("http://{address}/public/");
    let flags = ["--gateway", "127.0.0.1:0", "--gateway-url", &url];
    let path = folder.path().join("film");
    let [one, _two] = told_by_one_that_is_gone(&path, &flags, &[]);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("film");
    one.run(&["file", "get", "film", "-o", text(&target)])
        .code(0);
    assert!(fs::read(&target).unwrap() == bytes);
    let path = asked.lock().unwrap()[0].0.clone();
    assert_eq!(path, format!("/public/files/{}", FileId::of(&bytes)));

    for bad in ["ftp://example.org", "example.org", "http://a b"] {
        let arguments = ["node", "--gateway", "127.0.0.1:0", "--gateway-url", bad];
        crate::process::run(&arguments).code(2);
    }
    crate::process::run(&["node", "--gateway-url", &url]).code(2);
}

#[test]
fn servers_that_bring_nothing_are_told_with_their_reasons() {
    let bytes = content(300 * KIB, 34);
    let folder = source("film", &bytes);
    let path = folder.path().join("film");
    let (missing, _) = serving(|_| answer("404 Not Found", b""));
    let (circle, circled) = serving(|_| answer("302 Found\r\nlocation: /again", b""));
    let urls = [missing, circle].map(|address| format!("http://{address}/film"));
    let more = ["--url", &urls[0], "--url", &urls[1]];
    let [one, _two] = told_by_one_that_is_gone(&path, &[], &more);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("film");
    let get = ["file", "get", "film", "-o", text(&target), "--json"];
    let failed = one.run(&get).code(3);
    for part in ["not-found", "status 404", &urls[0], &urls[1]] {
        assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
    }
    assert!(!target.exists());
    // Three redirects are followed.
    assert_eq!(circled.lock().unwrap().len(), 4);

    // A URL that is none is refused when it is told, and one without a name is of no use.
    for bad in ["ftp://example.org/film", "http://a b/film", "film"] {
        add(&one, &path, &["--name", "film", "--url", bad]).code(2);
    }
    add(&one, &path, &["--url", &urls[0]]).code(2);
}

#[test]
fn a_daemon_in_the_public_network_asks_no_server_of_its_own_surroundings() {
    let bytes = content(300 * KIB, 35);
    let folder = source("film", &bytes);
    let (address, asked) = server(bytes.clone());
    let url = format!("http://{address}/film");
    let public = ["--listen", "0.0.0.0:0", "--network", "of this test"];
    let one = Daemon::start(&public);
    let path = folder.path().join("film");
    add(&one, &path, &["--name", "film", "--url", &url]).code(0);
    // The name stays when the file is no longer here.
    fs::remove_file(&path).unwrap();
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("film");
    let failed = one.run(&["file", "get", "film", "-o", text(&target)]);
    let failed = failed.code(3);
    assert!(
        failed.stderr.contains("public Internet"),
        "{}",
        failed.stderr
    );
    assert!(asked.lock().unwrap().is_empty(), "nothing was asked");
}

#[test]
fn unverified_bytes_come_only_when_they_are_asked_for() {
    let bytes = content(300 * KIB, 36);
    let (address, _) = server(bytes.clone());
    let one = Daemon::start(&[]);
    let url = format!("http://{address}/film");
    one.run(&["bag", "add", "name:film", &url]).code(0);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("film");
    let get = ["file", "get", "film", "-o", text(&target)];
    let refused = one.run(&get).code(3);
    assert!(refused.stderr.contains("film"), "{}", refused.stderr);
    let limited = ["--unverified", "--max-size", "299KiB", "--json"];
    let refused = one.run(&[&get[..], &limited].concat()).code(2);
    for part in ["too-large", "299 KiB", "307200 bytes", "--max-size"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert!(!target.exists());
    one.run(&[&get[..], &["--max-size", "much"]].concat())
        .code(2);
    let taken = one.run(&[&get[..], &["--unverified"]].concat()).code(0);
    assert!(taken.stderr.contains("NOT verified"), "{}", taken.stderr);
    assert!(fs::read(&target).unwrap() == bytes);
    // It is shared with nobody, and never written over what is there.
    let list = one.run(&["file", "list", "--json"]).code(0).object();
    assert_eq!(list["items"].as_array().unwrap().len(), 0);
    one.run(&[&get[..], &["--unverified"]].concat()).code(1);
}
