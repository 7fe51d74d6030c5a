//! What signed records cost: the check of a signature beside the bare one, the merging of pages, and
//! fingerprints.

#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use ed25519_dalek::{Signer, SigningKey};
use qadom_routing::Key;
use qadom_wire::{Draft, Identity, Network, NetworkId, SignedRecord, Verified, fingerprint, merge};

/// How many records a page of the benches has.
const PAGE: usize = 1000;

fn main() {
    divan::main();
}

fn network() -> NetworkId {
    Network::new(b"qadom", b"").expect("a network").id()
}

fn item(length: usize) -> Verified {
    let draft = Draft::bag_item(Key::MAX, vec![7; length].into(), 5, 9);
    let signed = Identity::from_seed([7; 32]).sign(&network(), draft);
    signed.expect("a valid draft")
}

/// A page of bag items, of which every second is in the other page too.
fn page(first: usize) -> Vec<Verified> {
    let identity = Identity::from_seed([7; 32]);
    let network = network();
    let mut page: Vec<Verified> = (first..first + PAGE)
        .map(|index| {
            let payload = Bytes::copy_from_slice(&index.to_be_bytes());
            let draft = Draft::bag_item(Key::MAX, payload, 5, 9);
            identity.sign(&network, draft).expect("a valid draft")
        })
        .collect();
    page.sort_by(|a, b| a.id().cmp(b.id()));
    page
}

/// The measure: one bare check over 32 bytes, with a key that is ready.
#[divan::bench]
fn verify_strict_of_32_bytes(bencher: Bencher<'_, '_>) {
    let secret = SigningKey::from_bytes(&[7; 32]);
    let message = [9; 32];
    let signature = secret.sign(&message);
    let key = secret.verifying_key();
    bencher.bench_local(|| black_box(&key).verify_strict(black_box(&message), &signature));
}

#[divan::bench]
fn verify_record_of_1_kib(bencher: Bencher<'_, '_>) {
    let (network, record) = (network(), item(1024).into_inner());
    bencher
        .with_inputs(|| record.clone())
        .bench_local_values(|record| black_box(record).verify(&network));
}

/// As a holder gets it: the payload is hashed while the record is read.
#[divan::bench]
fn read_and_verify_record_of_1_kib(bencher: Bencher<'_, '_>) {
    let (network, bytes) = (network(), item(1024).to_bytes());
    bencher.bench_local(|| {
        SignedRecord::from_bytes(black_box(bytes.clone())).map(|record| record.verify(&network))
    });
}

#[divan::bench]
fn sign_record_of_1_kib(bencher: Bencher<'_, '_>) {
    let (network, identity) = (network(), Identity::from_seed([7; 32]));
    let draft = Draft::bag_item(Key::MAX, vec![7; 1024].into(), 5, 9);
    bencher
        .with_inputs(|| draft.clone())
        .bench_local_values(|draft| identity.sign(&network, draft));
}

#[divan::bench]
fn merge_two_pages_of_1000(bencher: Bencher<'_, '_>) {
    let (left, right) = (page(0), page(PAGE / 2));
    bencher
        .with_inputs(|| (left.clone(), right.clone()))
        .bench_local_values(|(left, right)| merge(left, right));
}

#[divan::bench]
fn fingerprint_of_1000(bencher: Bencher<'_, '_>) {
    let hashes: Vec<[u8; 32]> = page(0).iter().map(|record| *record.hash()).collect();
    bencher
        .with_inputs(|| hashes.clone())
        .bench_local_refs(|hashes| fingerprint(hashes));
}
