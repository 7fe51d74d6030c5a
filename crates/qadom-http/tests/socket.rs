//! The server and the client on a real unix socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use qadom_http::api::LookupNews;
use qadom_http::{Client, ClientError, ReadFrom, Server, ServerLimits, SocketError, WriteQuery};
use qadom_node::Node;
use tempfile::TempDir;

struct Daemon {
    folder: TempDir,
    node: Node,
    server: Server,
    client: Client,
}

async fn node() -> Node {
    let listen = "127.0.0.1:0".parse().unwrap();
    Node::builder()
        .memory(true)
        .listen(listen)
        .start()
        .await
        .unwrap()
}

impl Daemon {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = node().await;
        let server = Server::start(&folder.path().join("s"), node.clone())
            .await
            .unwrap();
        let client = Client::new(server.path());
        Self {
            folder,
            node,
            server,
            client,
        }
    }

    async fn stop(self) {
        self.node.shutdown().await;
        self.server.close().await;
        assert_eq!(std::fs::read_dir(&self.folder).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn the_client_gets_what_it_put() {
    let daemon = Daemon::start().await;
    for value in [&b""[..], b"sudo python", &[0xff; 8192]] {
        let value = bytes::Bytes::copy_from_slice(value);
        let write = WriteQuery {
            ttl: Some(Duration::from_hours(1)),
            min_copies: Some(1),
            ..WriteQuery::default()
        };
        let written = daemon.client.put(value.clone(), &write).await.unwrap();
        let fetched = daemon
            .client
            .get(&written.key, &ReadFrom::Anywhere)
            .await
            .unwrap();
        assert_eq!(fetched.value, value);
    }
    let absent = "name:absent".parse().unwrap();
    let error = daemon
        .client
        .get(&absent, &ReadFrom::Local)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "not-found");
    let error = daemon
        .client
        .put(vec![0; 8193].into(), &WriteQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "too-large");
    daemon.stop().await;
}

#[tokio::test]
async fn two_daemons_reach_each_other() {
    let (one, two) = (Daemon::start().await, Daemon::start().await);
    let address = two.node.address().to_string();
    assert_eq!(
        one.client
            .join(std::slice::from_ref(&address))
            .await
            .unwrap()
            .peers,
        1
    );
    assert_eq!(
        one.client.peers().await.unwrap().items[0].node.0,
        two.node.id()
    );
    assert_eq!(
        one.client.ping(&address).await.unwrap().node.0,
        two.node.id()
    );
    let written = two
        .client
        .put("from two".into(), &WriteQuery::default())
        .await
        .unwrap();
    let from = ReadFrom::Node(address);
    assert_eq!(
        one.client.get(&written.key, &from).await.unwrap().value,
        "from two"
    );
    let mut lookup = one.client.lookup(&written.key).await.unwrap();
    let mut steps = 0;
    let end = loop {
        match lookup.next().await.unwrap().unwrap() {
            LookupNews::Step(_) => steps += 1,
            LookupNews::End(end) => break end,
        }
    };
    assert_eq!(end.closest[0].node.0, two.node.id());
    assert!(steps >= 2, "it is asked and answers");
    assert!(lookup.next().await.unwrap().is_none());
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn random_bytes_are_counted_and_harm_nobody() {
    let daemon = Daemon::start().await;
    let path = daemon.server.path().to_owned();
    let hostile: Vec<Vec<u8>> = vec![
        (0..=255).cycle().take(100_000).collect(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
    ];
    let count = hostile.len() as u64;
    tokio::task::spawn_blocking(move || {
        for bytes in hostile {
            let mut stream = UnixStream::connect(&path).unwrap();
            // The server may close while we still write.
            let _ = stream.write_all(&bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    })
    .await
    .unwrap();
    let status = daemon.client.status().await.unwrap();
    assert_eq!(
        status.drops.get("malformed"),
        Some(&count),
        "{:?}",
        status.drops
    );
    assert!(
        status
            .limits
            .iter()
            .any(|limit| limit.name == "control-connections")
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let limits = ServerLimits {
        head: Duration::from_millis(50),
        connections: 1,
        ..ServerLimits::default()
    };
    let node = node().await;
    let server = Server::start_with(&path, node.clone(), limits)
        .await
        .unwrap();
    let silent = UnixStream::connect(&path).unwrap();
    // The only place is taken: the answer comes when the silent connection was closed.
    let client = Client::new(&path);
    let answer = tokio::time::timeout(Duration::from_mins(1), client.status()).await;
    let status = answer.expect("the silent connection stays open").unwrap();
    let places = status
        .limits
        .iter()
        .find(|limit| limit.name == "control-connections")
        .unwrap();
    assert_eq!((places.used, places.limit), (1, 1));
    assert_eq!(status.drops.get("malformed"), None, "silence is no junk");
    drop(silent);
    node.shutdown().await;
    server.close().await;
}

#[tokio::test]
async fn the_beginning_of_a_request_that_never_goes_on_is_closed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let limits = ServerLimits {
        head: Duration::from_millis(50),
        connections: 1,
        ..ServerLimits::default()
    };
    let node = node().await;
    let server = Server::start_with(&path, node.clone(), limits)
        .await
        .unwrap();
    let mut stuck = UnixStream::connect(&path).unwrap();
    stuck
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost:")
        .unwrap();
    let status = Client::new(&path).status().await.unwrap();
    assert_eq!(status.drops.get("malformed"), Some(&1));
    node.shutdown().await;
    server.close().await;
}

#[tokio::test]
async fn followers_leave_places_to_others_and_give_theirs_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let limits = ServerLimits {
        connections: 4,
        ..ServerLimits::default()
    };
    let node = node().await;
    let server = Server::start_with(&path, node.clone(), limits)
        .await
        .unwrap();
    let client = Client::new(&path);
    let mut followers = Vec::new();
    for topic in ["a", "b", "c"] {
        followers.push(client.subscribe(topic, "now").await.unwrap());
    }
    let refused = client.subscribe("d", "now").await.unwrap_err();
    assert_eq!(refused.reason(), "busy");
    client.status().await.unwrap();
    followers.pop();
    let mut again = client.subscribe("d", "now").await;
    while again.is_err() {
        again = client.subscribe("d", "now").await;
    }
    drop(again);
    node.shutdown().await;
    server.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_whole_gives_its_place_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let limits = ServerLimits {
        body: Duration::from_millis(50),
        connections: 1,
        ..ServerLimits::default()
    };
    let node = node().await;
    let server = Server::start_with(&path, node.clone(), limits)
        .await
        .unwrap();
    for route in ["values", "join"] {
        let mut half = UnixStream::connect(&path).unwrap();
        let request = format!("POST /v1/{route} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n");
        half.write_all(request.as_bytes()).unwrap();
        half.write_all(b"half").unwrap();
        // The only place is taken: the answer comes when the half body was given up.
        Client::new(&path).status().await.unwrap();
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("reason:timeout"), "{answer}");
    }
    node.shutdown().await;
    server.close().await;
}

#[tokio::test]
async fn a_daemon_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listens_and_never_accepts = UnixListener::bind(&path).unwrap();
    let client = Client::new(&path).with_patience(Duration::from_millis(50));
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error}");
    assert_eq!(error.reason(), "timeout");
}

#[tokio::test]
async fn a_daemon_with_a_full_queue_is_alive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let _listens_and_never_accepts = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        match tokio::net::UnixStream::connect(&path).await {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let node = node().await;
    let error = Server::start(&path, node.clone()).await.unwrap_err();
    assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    assert!(
        path.exists(),
        "the socket of a daemon that lives was removed"
    );
    let client = Client::new(&path).with_patience(Duration::from_millis(50));
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error}");
    node.shutdown().await;
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_replaces_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(
        Client::new(&path).status().await,
        Err(ClientError::NoDaemon { .. })
    ));
    let node = node().await;
    let server = Server::start(&path, node.clone()).await.unwrap();
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let second = Server::start(&path, node.clone()).await;
    assert!(matches!(second, Err(SocketError::InUse { .. })));
    node.shutdown().await;
    server.close().await;
    assert_eq!(
        std::fs::metadata(&path).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(matches!(
        Client::new(&path).status().await,
        Err(ClientError::NoDaemon { .. })
    ));
}

#[tokio::test]
async fn a_file_in_the_way_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    std::fs::write(&path, "precious").unwrap();
    let node = node().await;
    let error = Server::start(&path, node.clone()).await.unwrap_err();
    assert!(matches!(error, SocketError::NotASocket { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    node.shutdown().await;
}

#[tokio::test]
async fn a_path_of_107_bytes_is_taken_and_one_of_108_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |length: usize| -> PathBuf {
        let name = length - folder.path().as_os_str().len() - 1;
        folder.path().join("s".repeat(name))
    };
    let node = node().await;
    let server = Server::start(&path(107), node.clone()).await.unwrap();
    assert!(Client::new(path(107)).status().await.is_ok());
    server.close().await;
    let error = Server::start(&path(108), node.clone()).await.unwrap_err();
    assert!(matches!(
        error,
        SocketError::PathTooLong { length: 108, .. }
    ));
    assert!(error.advice().contains("--socket"));
    assert!(matches!(
        Client::new(path(108)).status().await,
        Err(ClientError::Path(_))
    ));
    node.shutdown().await;
}

#[tokio::test]
async fn what_is_under_way_ends_well_when_the_server_closes_and_followers_are_let_go() {
    let daemon = Daemon::start().await;
    let mut follower = daemon.client.subscribe("a", "now").await.unwrap();
    let mut half = UnixStream::connect(daemon.server.path()).unwrap();
    half.write_all(b"POST /v1/values HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf")
        .unwrap();
    // The answer says that the daemon has the first half: requests are taken in turn.
    daemon.client.status().await.unwrap();
    let Daemon { node, server, .. } = daemon;
    let closing = tokio::spawn(async move {
        server.drain().await;
        node.shutdown().await;
        server.close().await;
    });
    assert!(follower.next().await.unwrap().is_none());
    half.write_all(b"half").unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    closing.await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_is_answered() {
    let daemon = Daemon::start().await;
    let mut half = UnixStream::connect(daemon.server.path()).unwrap();
    half.write_all(b"POST /v1/values HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf")
        .unwrap();
    daemon.client.status().await.unwrap();
    let client = daemon.client.clone();
    let stop = tokio::spawn(async move { client.stop().await });
    // Nobody is let in any more once the daemon stops.
    while daemon.client.status().await.is_ok() {}
    half.write_all(b"half").unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 201"));
    assert!(stop.await.unwrap().unwrap().stopped);
    daemon.stop().await;
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_off_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let limits = ServerLimits {
        read: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let node = node().await;
    let server = Server::start_with(&path, node.clone(), limits)
        .await
        .unwrap();
    let mut stuck = UnixStream::connect(&path).unwrap();
    // More answers than the socket takes on the way.
    let requests = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n".repeat(300);
    stuck.write_all(&requests).unwrap();
    let client = Client::new(&path);
    while client.status().await.unwrap().drops.get("timeout") != Some(&1) {}
    node.shutdown().await;
    server.close().await;
}
