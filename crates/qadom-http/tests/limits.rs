//! The limits of the control API hold, and are shown beside their use.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use qadom_http::{Client, Server, ServerLimits, WriteQuery, api};
use qadom_node::Node;
use tempfile::TempDir;

/// Files that may be sent to a node at once.
const UPLOADS: u64 = 8;

struct Daemon {
    _folder: TempDir,
    path: PathBuf,
    node: Node,
    server: Server,
    client: Client,
}

impl Daemon {
    async fn start(limits: ServerLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listen = "127.0.0.1:0".parse().unwrap();
        let node = Node::builder().memory(true).listen(listen);
        let node = node.start().await.unwrap();
        let server = Server::start_with(&path, node.clone(), limits);
        let server = server.await.unwrap();
        let client = Client::new(&path);
        Self {
            _folder: folder,
            path,
            node,
            server,
            client,
        }
    }

    async fn limit(&self, name: &str) -> api::Limit {
        let limits = self.client.status().await.unwrap().limits;
        limits.into_iter().find(|limit| limit.name == name).unwrap()
    }

    async fn stop(self) {
        self.node.shutdown().await;
        self.server.close().await;
    }
}

/// Begins to send a file, and never goes on.
fn begin_upload(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(&daemon.path).unwrap();
    let head = "POST /v1/uploads?file=x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[tokio::test]
async fn so_many_files_are_sent_to_a_node_at_once_and_one_more_is_refused() {
    let daemon = Daemon::start(ServerLimits::default()).await;
    let mut begun = Vec::new();
    for _ in 0..UPLOADS {
        begun.push(begin_upload(&daemon));
    }
    while daemon.limit("control-uploads").await.used < UPLOADS {}
    let limit = daemon.limit("control-uploads").await;
    assert_eq!((limit.used, limit.limit), (UPLOADS, UPLOADS));
    let mut answer = [0; 12];
    let mut refused = begin_upload(&daemon);
    tokio::task::spawn_blocking(move || {
        refused.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 429");
    })
    .await
    .unwrap();
    begun.truncate(3);
    while daemon.limit("control-uploads").await.used > 3 {}
    drop(begun);
    daemon.stop().await;
}

#[tokio::test]
async fn thousands_of_idle_connections_keep_nobody_out() {
    const IDLE: usize = 3000;
    let limits = ServerLimits {
        head: Duration::from_millis(20),
        connections: 256,
        ..ServerLimits::default()
    };
    let daemon = Daemon::start(limits).await;
    let path = daemon.path.clone();
    let idle = tokio::task::spawn_blocking(move || {
        let idle = (0..IDLE).map(|_| UnixStream::connect(&path).unwrap());
        idle.collect::<Vec<_>>()
    });
    let mut most = 0;
    let mut idle = std::pin::pin!(idle);
    let held = loop {
        tokio::select! {
            held = &mut idle => break held.unwrap(),
            limit = daemon.limit("control-connections") => most = most.max(limit.used),
        }
    };
    assert!(most <= 256, "{most} at once");
    let once = WriteQuery::default();
    daemon.client.put("value".into(), &once).await.unwrap();
    // All of them are closed, since none has said anything.
    tokio::task::spawn_blocking(move || {
        for mut stream in held {
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    })
    .await
    .unwrap();
    let used = daemon.limit("control-connections").await.used;
    assert_eq!(used, 1, "the one that asks");
    daemon.stop().await;
}

#[tokio::test]
async fn what_the_process_takes_is_shown_beside_what_it_may() {
    let daemon = Daemon::start(ServerLimits::default()).await;
    for name in ["memory-bytes", "open-files", "disk-bytes"] {
        let limit = daemon.limit(name).await;
        assert!(0 < limit.used && limit.used <= limit.limit, "{limit:?}");
    }
    for name in [
        "background-bytes-per-second",
        "publication-bytes-per-second",
    ] {
        let limit = daemon.limit(name).await;
        assert!(limit.used <= limit.limit && limit.limit > 0, "{limit:?}");
    }
    daemon.stop().await;
}
