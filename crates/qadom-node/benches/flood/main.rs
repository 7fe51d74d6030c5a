//! A node under a flood of handshakes from spoofed addresses: how many calls of its friends, and
//! of strangers who are really there, it serves meanwhile, and how fast.
//!
//! `cargo bench -p qadom-node --bench flood [-- SECONDS [KEY@HOST:PORT NETWORK]]` floods a node on
//! loopback with 50 000 INITs a second, each from another address of 127.0.0.0/8, for SECONDS (5
//! unless told) in each phase: none, with a wrong first mac, with a right one. Without an address
//! the node runs in this process, on a thread of its own; a daemon's address is what
//! `qadom status` shows, and its network is `local` on loopback. Everything shares one machine.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, rounds and may fail"
)]

mod spoof;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qadom_node::{Mode, Node, NodeAddress, NodeName};
use tokio::runtime::Builder;

use self::spoof::{Mac, Spoofer};

/// INITs a second.
const RATE: u64 = 50_000;
/// Clients with a session.
const FRIENDS: usize = 8;
/// The pause of each friend between two calls.
const PAUSE: Duration = Duration::from_millis(10);
/// The pause between two strangers.
const STRANGERS_EVERY: Duration = Duration::from_millis(50);

/// Calls of one kind, each with its time, or none if it failed.
type Calls = Vec<Option<Duration>>;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let seconds = arguments.first().map_or(5, |text| text.parse().unwrap());
    let span = Duration::from_secs(seconds);
    let network = arguments.get(2).map_or("local", String::as_str).to_owned();
    let address: NodeAddress = match arguments.get(1) {
        Some(text) => text.parse().unwrap(),
        None => serve(),
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "{:<34}{:>9}{:>10}{:>10}{:>10}",
        "calls", "count", "served %", "p50 ms", "p99 ms"
    );
    for (name, mac) in [
        ("no flood", None),
        ("50 000 INITs/s, wrong mac", Some(Mac::Wrong)),
        ("50 000 INITs/s, right mac", Some(Mac::Right)),
    ] {
        let is_over = Arc::new(AtomicBool::new(false));
        let spoofer = mac.map(|mac| {
            let spoofer = Spoofer::new(&address, network.as_bytes(), mac);
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || spoofer.run(RATE, &is_over))
        });
        let (friends, strangers) = runtime.block_on(call(&address, &network, span));
        is_over.store(true, Ordering::Relaxed);
        let sent = spoofer.map_or(0, |thread| thread.join().unwrap());
        print(&format!("friends, {name}"), friends);
        print(&format!("strangers, {name}"), strangers);
        println!(
            "{:<34}{:>9.0}",
            "  INITs a second",
            sent as f64 / span.as_secs_f64()
        );
    }
}

/// Starts a node on a thread of its own, which ends with the process.
fn serve() -> NodeAddress {
    let (reply, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = start("local", Mode::Storing).await;
            reply.send(node.address()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    address.recv().unwrap()
}

async fn start(network: &str, mode: Mode) -> Node {
    Node::builder()
        .memory(true)
        .mode(mode)
        .network(network)
        .listen("127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap()
}

/// Calls the node for a while: friends over their sessions, strangers in a first datagram.
async fn call(address: &NodeAddress, network: &str, span: Duration) -> (Calls, Calls) {
    let name = NodeName::Address(address.clone());
    let mut friends = tokio::task::JoinSet::new();
    for _ in 0..FRIENDS {
        let (node, name) = (start(network, Mode::Client).await, name.clone());
        node.ping(name.clone()).await.unwrap();
        friends.spawn(async move {
            let (began, mut calls) = (Instant::now(), Vec::new());
            while began.elapsed() < span {
                calls.push(ping(&node, &name).await);
                tokio::time::sleep(PAUSE).await;
            }
            node.shutdown().await;
            calls
        });
    }
    let (began, mut strangers) = (Instant::now(), Vec::new());
    while began.elapsed() < span {
        let node = start(network, Mode::Client).await;
        strangers.push(ping(&node, &name).await);
        node.shutdown().await;
        tokio::time::sleep(STRANGERS_EVERY).await;
    }
    let friends = friends.join_all().await;
    (friends.concat(), strangers)
}

async fn ping(node: &Node, name: &NodeName) -> Option<Duration> {
    let began = Instant::now();
    let pong = node.ping(name.clone()).await;
    pong.is_ok().then(|| began.elapsed())
}

fn print(name: &str, calls: Calls) {
    let count = calls.len();
    let mut served: Vec<Duration> = calls.into_iter().flatten().collect();
    served.sort_unstable();
    let at = |percent: usize| {
        let index = (served.len() * percent / 100).min(served.len().saturating_sub(1));
        served
            .get(index)
            .map_or(f64::NAN, |span| span.as_secs_f64() * 1e3)
    };
    let share = served.len() as f64 * 100.0 / count.max(1) as f64;
    println!(
        "{name:<34}{count:>9}{share:>10.2}{:>10.2}{:>10.2}",
        at(50),
        at(99)
    );
}
