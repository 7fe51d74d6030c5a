//! Local reads of a value over the control socket, beside a bare axum "hello" in the same run: how many
//! per second, with 32 connections, where the server has one thread and so one core at most.
//!
//! `cargo bench -p qadom-http --bench reads`; `QADOM_READ_SECONDS` says how long each round takes (3).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement fails by panicking, and prints what it found"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use qadom_http::Server;
use qadom_node::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// Connections that ask at once.
const CONNECTIONS: usize = 32;

/// Rounds of each, in turn; the median counts.
const ROUNDS: usize = 3;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (hello, control) = (folder.path().join("hello"), folder.path().join("control"));
    let path = serve(hello.clone(), control.clone());
    let seconds = std::env::var("QADOM_READ_SECONDS").ok();
    let seconds = seconds.map_or(3, |text| text.parse().unwrap());
    let (mut bare, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(per_second(&hello, "/", seconds));
        reads.push(per_second(&control, &path, seconds));
    }
    let (bare, reads) = (median(bare), median(reads));
    let share = f64::from(reads) / f64::from(bare);
    println!("bare axum hello           {bare:>8} per second");
    println!("local reads of 1 KiB      {reads:>8} per second");
    println!("share of the bare one     {share:>8.2}");
}

/// Serves both on one thread, and gives the path of a value.
fn serve(hello: PathBuf, control: PathBuf) -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listen = "127.0.0.1:0".parse().unwrap();
            let node = Node::builder().memory(true).listen(listen);
            let node = node.start().await.unwrap();
            let receipt = node.put(vec![7_u8; 1024]).await.unwrap();
            let _server = Server::start(&control, node.clone()).await.unwrap();
            let router = Router::new().route("/", get(async || "hello"));
            let listener = tokio::net::UnixListener::bind(&hello).unwrap();
            sender
                .send(format!("/v1/values/{}?local=1", receipt.key))
                .unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

/// Requests that are answered in a second, over all connections. One thread asks on all of them, so
/// that it is awake when an answer comes: what waking it costs is not the server's.
fn per_second(socket: &Path, path: &str, seconds: u64) -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let count = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    runtime.block_on(async {
        let mut asking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (request, count) = (request.clone(), Arc::clone(&count));
            let mut stream = UnixStream::connect(socket).await.unwrap();
            asking.spawn(async move {
                let mut buffer = [0; 4096];
                loop {
                    stream.write_all(request.as_bytes()).await.unwrap();
                    answer(&mut stream, &mut buffer).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let time = Duration::from_secs(seconds);
        let ended = tokio::time::timeout(time, asking.join_next()).await;
        assert!(ended.is_err(), "a connection failed");
    });
    let (count, elapsed) = (count.load(Ordering::Relaxed), begun.elapsed());
    let millis = u64::try_from(elapsed.as_millis()).unwrap().max(1);
    u32::try_from(count * 1000 / millis).unwrap()
}

/// Reads one answer to its end, by its length.
async fn answer(stream: &mut UnixStream, buffer: &mut [u8; 4096]) {
    let mut filled = 0;
    loop {
        let (_, rest) = buffer.split_at_mut(filled);
        let length = stream.read(rest).await.unwrap();
        assert!(length > 0, "the server is gone");
        filled += length;
        let (text, _) = buffer.split_at(filled);
        let Some(head) = text.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let (lines, _) = text.split_at(head);
        let lines = std::str::from_utf8(lines).unwrap();
        assert!(lines.starts_with("HTTP/1.1 200"), "{lines}");
        let body = lines.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        });
        if filled >= head + 4 + body.unwrap_or(0) {
            return;
        }
    }
}

fn median(mut figures: Vec<u32>) -> u32 {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or(0)
}
