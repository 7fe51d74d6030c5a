//! What bulk data costs over the port of the datagrams, beside QUIC on sockets of its own.
//!
//! `cargo bench -p qadom-node --bench stream [-- MIB]` sends MIB mebibytes (1024 unless told) over
//! loopback to nowhere, in turn each way, three times, and prints the medians. While nodes send,
//! pings go to and fro beside it. Everything shares one process and its cores.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, rounds and may fail"
)]

mod plain;
mod quic;

use std::time::{Duration, Instant};

use bytes::Bytes;
use qadom_node::Node;

use self::quic::Datagrams;

/// What is written at once.
const PIECE: usize = 64 * 1024;
/// How often each way is measured.
const ROUNDS: usize = 3;

fn main() {
    let mut numbers = std::env::args().filter_map(|text| text.parse::<usize>().ok());
    let pieces = numbers.next().unwrap_or(1024) * 1024 * 1024 / PIECE;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(pieces));
}

async fn run(pieces: usize) {
    let (first, second) = (start().await, start().await);
    let mut still = Vec::new();
    for _ in 0..1000 {
        still.push(ping(&first, &second).await);
    }
    let mut spans = [Vec::new(), Vec::new(), Vec::new()];
    let mut pings = Vec::new();
    for _ in 0..ROUNDS {
        spans[0].push(plain::send(pieces, true, Datagrams::Long).await);
        spans[1].push(shared(&first, &second, pieces, &mut pings).await);
        spans[2].push(plain::send(pieces, false, Datagrams::OfEthernet).await);
    }
    let mib = (pieces * PIECE) as f64 / 1024.0 / 1024.0;
    let rates = spans.map(|mut spans| mib / percentile(&mut spans, 50).as_secs_f64());
    println!(
        "QUIC on a socket of its own, GSO      {:7.0} MiB/s",
        rates[0]
    );
    println!(
        "QUIC on the port of the datagrams     {:7.0} MiB/s",
        rates[1]
    );
    println!(
        "the same, 1452 bytes and no GSO       {:7.0} MiB/s",
        rates[2]
    );
    println!(
        "shared / own                          {:7.2}",
        rates[1] / rates[0]
    );
    for (what, pings) in [("alone", still), ("beside the data", pings)] {
        let mut spans: Vec<_> = pings.iter().copied().flatten().collect();
        let (p50, p99) = (percentile(&mut spans, 50), percentile(&mut spans, 99));
        let failed = pings.len() - spans.len();
        println!(
            "ping {what}: p50 {p50:?}, p99 {p99:?}, {failed} of {} failed",
            pings.len()
        );
    }
    let status = second.status().await.unwrap();
    println!("dropped at the receiver: {:?}", status.drops);
}

async fn start() -> Node {
    let builder = Node::builder()
        .memory(true)
        .listen(([127, 0, 0, 1], 0).into());
    builder.start().await.unwrap()
}

/// None when it was given up, which a busy machine does after 35 ms.
async fn ping(from: &Node, to: &Node) -> Option<Duration> {
    let began = Instant::now();
    match from.ping(to.address()).await {
        Ok(_) => Some(began.elapsed()),
        Err(_) => None,
    }
}

/// Sends from node to node, and pings beside it.
async fn shared(
    from: &Node,
    to: &Node,
    pieces: usize,
    pings: &mut Vec<Option<Duration>>,
) -> Duration {
    let mut streams = to.accept_streams();
    let (mut sender, mut answers) = from.open_stream(to.address()).await.unwrap().split();
    let began = Instant::now();
    let sending = tokio::spawn(async move {
        let piece = Bytes::from(vec![7; PIECE]);
        for _ in 0..pieces {
            sender.write_bytes(piece.clone()).await.unwrap();
        }
        drop(sender);
        assert_eq!(answers.read_bytes(1).await.unwrap(), None);
        began.elapsed()
    });
    let receiving = tokio::spawn(async move {
        let (_, stream) = streams.next().await.unwrap();
        let (_sender, mut receiver) = stream.split();
        let mut count = 0;
        while let Some(bytes) = receiver.read_bytes(usize::MAX).await.unwrap() {
            count += bytes.len();
        }
        assert_eq!(count, pieces * PIECE);
    });
    while !sending.is_finished() {
        pings.push(ping(from, to).await);
        // One after the other they would take a core from the data.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    receiving.await.unwrap();
    sending.await.unwrap()
}

fn percentile(spans: &mut [Duration], percent: usize) -> Duration {
    spans.sort_unstable();
    let index = (spans.len() * percent / 100).min(spans.len().saturating_sub(1));
    spans.get(index).copied().unwrap_or_default()
}
