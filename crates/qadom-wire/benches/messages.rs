//! What it costs to write and read the messages that nodes exchange most, with allocations.

#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use qadom_routing::{Contact, Families, Key, NodeKey};
use qadom_wire::{Answer, FindNode, Found, K, Record, Request, VALUE_MAX, Value};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn contacts() -> Answer {
    let contact = |index: usize| {
        let mut key = [9; 32];
        key[..8].copy_from_slice(&index.to_be_bytes());
        let key = NodeKey::new(key).expect("a node key");
        Contact::at(key, "192.0.2.1:7236".parse().expect("an address"), true)
    };
    Answer::Contacts((0..K).map(contact).collect())
}

fn found() -> Answer {
    let value = Value::new(vec![7; VALUE_MAX].into()).expect("short enough");
    Answer::Found(Found {
        records: vec![Record::Value(value)],
        ..Found::default()
    })
}

fn find_node() -> Request {
    Request::FindNode(FindNode {
        target: Key::MAX,
        want: Families::BOTH,
    })
}

#[divan::bench]
fn encode_20_contacts(bencher: Bencher<'_, '_>) {
    let answer = contacts();
    bencher.bench_local(|| black_box(&answer).encode_within(1028));
}

#[divan::bench]
fn decode_20_contacts(bencher: Bencher<'_, '_>) {
    let body: Bytes = contacts().encode();
    bencher.bench_local(|| Answer::decode(black_box(body.clone())));
}

#[divan::bench]
fn decode_longest_value(bencher: Bencher<'_, '_>) {
    let body: Bytes = found().encode();
    bencher.bench_local(|| Answer::decode(black_box(body.clone())));
}

#[divan::bench]
fn encode_find_node(bencher: Bencher<'_, '_>) {
    let request = find_node();
    bencher.bench_local(|| black_box(&request).encode());
}

#[divan::bench]
fn decode_find_node(bencher: Bencher<'_, '_>) {
    let body: Bytes = find_node().encode();
    bencher.bench_local(|| Request::decode(black_box(body.clone())));
}
