//! Streams between nodes, on the port of the datagrams.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use qadom_node::{DataStream, Mode, Node, NodeAddress, Reason, Status, Streams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::loopback::{describe, start, until};

/// Bytes that each side sends.
const LENGTH: usize = 4 * 1024 * 1024;

fn pattern(seed: u8) -> Vec<u8> {
    let bytes = (0..LENGTH).map(|index| (index % 251).to_le_bytes()[0] ^ seed);
    bytes.collect()
}

/// Sends and receives at once, and gives what came.
async fn exchange(stream: DataStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut sender, mut receiver) = stream.split();
    let sending = tokio::spawn(async move {
        sender.write_all(&bytes).await.unwrap();
        sender.shutdown().await.unwrap();
        // Dropped only when the peer has it all.
        sender
    });
    let mut bytes_in = Vec::new();
    receiver.read_to_end(&mut bytes_in).await.unwrap();
    sending.await.unwrap();
    bytes_in
}

/// Answers the next stream with what it says.
async fn echo(streams: &mut Streams) -> qadom_node::NodeId {
    let (node, mut stream) = streams.next().await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    stream.write_all(&text).await.unwrap();
    stream.shutdown().await.unwrap();
    node
}

async fn ask(stream: &mut DataStream) -> std::io::Result<Vec<u8>> {
    stream.write_all(b"there").await?;
    stream.shutdown().await?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await?;
    Ok(back)
}

fn dropped(status: &Status, reason: &str) -> u64 {
    status.drops.get(reason).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_mebibytes_go_both_ways_while_pings_are_answered() {
    let (first, second) = (start().await, start().await);
    let mut streams = second.accept_streams();
    let opened = first.open_stream(second.address()).await.unwrap();
    let sending = tokio::spawn(exchange(opened, pattern(0)));
    let (node, accepted) = streams.next().await.unwrap();
    assert_eq!(node, first.id());
    let answering = tokio::spawn(exchange(accepted, pattern(1)));
    let mut pings = 0;
    while !(sending.is_finished() && answering.is_finished()) || pings == 0 {
        let (there, back) = (first.ping(second.address()), second.ping(first.address()));
        let (there, back) = tokio::join!(there, back);
        assert_eq!((there.is_ok(), back.is_ok()), (true, true));
        pings += 1;
    }
    assert!(sending.await.unwrap() == pattern(1));
    assert!(answering.await.unwrap() == pattern(0));
    let status = first.status().await.unwrap();
    assert_eq!(dropped(&status, "quic-no-grant"), 0);
    // What QUIC carried is told too, both ways.
    let length = LENGTH as u64;
    assert!(status.traffic.bytes_out > length && status.traffic.bytes_in > length);
    assert!(status.traffic.datagrams_out > length / 65_536);
    let mut limits = status.limits.iter();
    let connections = limits.find(|limit| limit.name == "quic-connections");
    assert_eq!(connections.unwrap().used, 1);
    // The other way over the same connection.
    let mut streams = first.accept_streams();
    let mut stream = second.open_stream(first.address()).await.unwrap();
    let (back, node) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!((&back.unwrap()[..], node), (&b"there"[..], second.id()));
}

#[tokio::test]
async fn a_client_that_only_calls_out_gets_streams_too() {
    let (node, client) = (start().await, describe().mode(Mode::Client).start().await);
    let client = client.unwrap();
    client.join(&[node.address().into()]).await.unwrap();
    let mut streams = client.accept_streams();
    let mut stream = node.open_stream(client.address()).await.unwrap();
    let (back, from) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!((&back.unwrap()[..], from), (&b"there"[..], node.id()));
}

#[tokio::test]
async fn a_node_is_reached_where_its_packets_come_from() {
    let (node, client) = (start().await, describe().mode(Mode::Client).start().await);
    let client = client.unwrap();
    client.join(&[node.address().into()]).await.unwrap();
    let mut streams = client.accept_streams();
    // A client stands in no table, and nobody need know its address.
    let mut stream = node.open_stream(client.id()).await.unwrap();
    let (back, from) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!((&back.unwrap()[..], from), (&b"there"[..], node.id()));
    // With a wrong address, as contacts of nodes behind translators may have.
    let third = start().await;
    client.join(&[third.address().into()]).await.unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let wrong = NodeAddress::new(*client.address().key(), nowhere);
    let mut stream = third.open_stream(wrong).await.unwrap();
    let (back, from) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!((&back.unwrap()[..], from), (&b"there"[..], third.id()));
}

#[tokio::test]
async fn a_stranger_is_dropped_and_counted() {
    let node = start().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = node.local_addresses()[0];
    for first in [0x40, 0x7f, 0xc0, 0xff] {
        stranger.send_to(&[first; 1200], port).unwrap();
    }
    until(&node, |status| dropped(status, "quic-no-grant") == 4).await;
    stranger.send_to(&[0x3f; 100], port).unwrap();
    until(&node, |status| dropped(status, "unknown-kind") == 1).await;
    let status = node.status().await.unwrap();
    assert_eq!(dropped(&status, "quic-no-grant"), 4);
}

#[tokio::test]
async fn a_node_that_accepts_no_streams_refuses_them() {
    let (first, second) = (start().await, start().await);
    let mut stream = first.open_stream(second.address()).await.unwrap();
    assert!(ask(&mut stream).await.is_err());
    until(&second, |status| dropped(status, "quic-streams") == 1).await;
    let mut streams = second.accept_streams();
    let mut stream = first.open_stream(second.address()).await.unwrap();
    let (back, _) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!(back.unwrap(), b"there");
}

#[tokio::test]
async fn nobody_there_is_told() {
    let (first, second) = (start().await, start().await);
    let address = second.address();
    second.shutdown().await;
    let error = first.open_stream(address).await.unwrap_err();
    assert_eq!(error.reason(), Reason::Timeout);
}

#[tokio::test]
async fn garbage_from_a_known_address_harms_neither_streams_nor_pings() {
    let (first, second) = (start().await, start().await);
    let mut streams = first.accept_streams();
    let mut stream = second.open_stream(first.address()).await.unwrap();
    let (back, _) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!(back.unwrap(), b"there");
    let place = second.local_addresses()[0];
    second.shutdown().await;
    // Its address is still let in for a while.
    let impostor = UdpSocket::bind(place).unwrap();
    let port = first.local_addresses()[0];
    for round in 0..500usize {
        let mut bytes = vec![0x40 | (round % 256).to_le_bytes()[0]; 1 + round * 2];
        if round % 2 == 0 && bytes.len() > 6 {
            bytes[..6].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8]);
        }
        impostor.send_to(&bytes, port).unwrap();
    }
    drop(impostor);
    let third = start().await;
    third.ping(first.address()).await.unwrap();
    let mut stream = third.open_stream(first.address()).await.unwrap();
    let (back, node) = tokio::join!(ask(&mut stream), echo(&mut streams));
    assert_eq!((&back.unwrap()[..], node), (&b"there"[..], third.id()));
    assert_eq!(dropped(&first.status().await.unwrap(), "quic-no-grant"), 0);
}

/// Starts a node in a folder on a runtime of its own, so that it can die without a farewell.
fn start_in(folder: &std::path::Path, listen: SocketAddr) -> (Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let describing = Node::builder().data_dir(folder).memory(true).listen(listen);
    let node = runtime.block_on(describing.start()).unwrap();
    (runtime, node)
}

#[test]
fn a_node_that_died_and_came_back_is_reached_again() {
    let folder = tempfile::tempdir().unwrap();
    let caller = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let node = caller.block_on(start());
    let (runtime, first) = start_in(folder.path(), ([127, 0, 0, 1], 0).into());
    let (address, place) = (first.address(), first.local_addresses()[0]);
    let mut streams = first.accept_streams();
    let echoing = runtime.spawn(async move { echo(&mut streams).await });
    let mut stream = caller.block_on(node.open_stream(address.clone())).unwrap();
    assert_eq!(caller.block_on(ask(&mut stream)).unwrap(), b"there");
    runtime.block_on(echoing).unwrap();
    drop((first, stream));
    runtime.shutdown_timeout(Duration::from_secs(10));

    let (runtime, second) = start_in(folder.path(), place);
    assert_eq!(second.address(), address);
    let mut streams = second.accept_streams();
    let _echoing = runtime.spawn(async move { echo(&mut streams).await });
    // The new session that this needs says that the old connection is in doubt.
    caller.block_on(node.ping(address.clone())).unwrap();
    let mut stream = caller.block_on(node.open_stream(address)).unwrap();
    assert_eq!(caller.block_on(ask(&mut stream)).unwrap(), b"there");
    caller.block_on(node.shutdown());
    runtime.block_on(second.shutdown());
}
