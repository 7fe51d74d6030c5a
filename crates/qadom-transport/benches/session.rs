//! Costs of the transport: the responder's side of a handshake, seals, and a request with its
//! answer through two endpoints in memory.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use qadom_transport::{
    Class, Config, DATA_HEADER, DropReason, Endpoint, Event, Hello, INITIATE_OVERHEAD, Limits,
    NoiseSuite, Opening, Outgoing, RESPOND_OVERHEAD, SecretKey, Suite, Time,
};

fn main() {
    divan::main();
}

/// What a responder does for one stranger: opens INIT, writes RESP.
#[divan::bench]
fn respond(bencher: Bencher<'_, '_>) {
    let ann = NoiseSuite::new(SecretKey::from_bytes([1; 32]));
    let bob_secret = SecretKey::from_bytes([2; 32]);
    let bob_key = bob_secret.public();
    let bob = NoiseSuite::new(bob_secret);
    let opening = Opening {
        prologue: &[0; 55],
        ephemeral: &[3; 32],
    };
    let mut message = vec![0; 368 + INITIATE_OVERHEAD];
    let initiated = ann.initiate(opening, &bob_key, &[0; 368], &mut message);
    assert!(initiated.is_some());
    let mut payload = vec![0; 368];
    let mut answer = vec![0; 420 + RESPOND_OVERHEAD];
    bencher.bench_local(|| {
        let accepted = bob.accept(opening, &message, &mut payload);
        accepted.and_then(|(_, responder)| bob.respond(responder, &[0; 420], &mut answer))
    });
}

/// What a stranger's INIT costs that does not show knowledge of our key.
#[divan::bench(args = [512, 1200])]
fn init_with_a_false_mac(bencher: Bencher<'_, '_>, length: usize) {
    let mut bob = endpoint(2);
    let mut init = first_datagram(&bob, length);
    if let Some(byte) = init.get_mut(length - 20) {
        *byte ^= 1;
    }
    let from = SocketAddr::from(([192, 0, 2, 1], 1));
    bencher.bench_local(|| bob.handle_datagram(Time::default(), from, &mut init));
    assert_eq!(bob.drops().count(DropReason::BadMac), bob.drops().total());
}

/// What 32 of them cost that came together, as they do in a flood.
#[divan::bench(args = [512, 1200])]
fn inits_32_with_a_false_mac(bencher: Bencher<'_, '_>, length: usize) {
    let mut bob = endpoint(2);
    let mut init = first_datagram(&bob, length);
    if let Some(byte) = init.get_mut(length - 20) {
        *byte ^= 1;
    }
    let from = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut inits = vec![init; 32];
    bencher.bench_local(|| {
        let inits = inits.iter_mut();
        let mut together: Vec<_> = inits.map(|init| (from.into(), &mut init[..])).collect();
        bob.handle_datagrams(Time::default(), &mut together);
    });
    assert_eq!(bob.drops().count(DropReason::BadMac), bob.drops().total());
}

/// What one costs under load that does: it is answered with a cookie.
#[divan::bench(args = [512, 1200])]
fn init_answered_with_a_cookie(bencher: Bencher<'_, '_>, length: usize) {
    let mut bob = endpoint(2);
    let init = first_datagram(&bob, length);
    let now = Time::default();
    let from = SocketAddr::from(([192, 0, 2, 1], 1));
    for _ in 0..2000 {
        bob.handle_datagram(now, from, &mut init.clone());
    }
    let mut buffer = init.clone();
    bencher.bench_local(|| {
        buffer.copy_from_slice(&init);
        bob.handle_datagram(now, from, &mut buffer);
        while bob.poll_transmit().is_some() {}
    });
    assert!(bob.drops().count(DropReason::UnprovenAddress) > 1000);
}

/// An INIT of this length to an endpoint.
fn first_datagram(to: &Endpoint, length: usize) -> Vec<u8> {
    let mut ann = endpoint(1);
    let class = if length == 512 {
        Class::Short
    } else {
        Class::Long
    };
    ann.request(
        Time::default(),
        Outgoing {
            token: 1,
            key: *to.key(),
            address: SocketAddr::from(([192, 0, 2, 2], 2)),
            body: Bytes::from_static(&[7; 40]),
            first_ok: true,
            class,
            patience: Duration::ZERO,
            is_background: false,
        },
    );
    ann.poll_transmit()
        .map(|transmit| transmit.bytes.to_vec())
        .unwrap_or_default()
}

#[divan::bench(args = [100, 1168])]
fn seal(bencher: Bencher<'_, '_>, length: usize) {
    let mut body = vec![0; length];
    let mut counter = 0;
    bencher.bench_local(|| {
        counter += 1;
        NoiseSuite::seal(&[1; 32], counter, &[0; DATA_HEADER], &mut body)
    });
}

#[divan::bench(args = [100, 1168])]
fn open(bencher: Bencher<'_, '_>, length: usize) {
    let mut sealed = vec![0; length];
    let tag = NoiseSuite::seal(&[1; 32], 1, &[0; DATA_HEADER], &mut sealed);
    sealed.extend(tag.unwrap_or_default());
    bencher
        .with_inputs(|| sealed.clone())
        .bench_local_refs(|sealed| {
            NoiseSuite::open(&[1; 32], 1, &[0; DATA_HEADER], sealed).is_some()
        });
}

#[divan::bench]
fn mac1_of_1200_bytes(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| NoiseSuite::mac(&[1; 32], &[divan::black_box(&[0; 1168])]));
}

/// A request of 40 bytes and its answer over a warm session: four passes through an endpoint.
#[divan::bench]
fn warm_request(bencher: Bencher<'_, '_>) {
    let mut pair = Pair::new();
    pair.ask(0);
    let mut token = 0;
    bencher.bench_local(|| {
        token += 1;
        assert!(pair.ask(token));
    });
}

/// First contact: all curve work of both sides.
#[divan::bench]
fn cold_request(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(Pair::new)
        .bench_local_refs(|pair| assert!(pair.ask(0)));
}

struct Pair {
    ann: Endpoint,
    bob: Endpoint,
    ann_at: SocketAddr,
    bob_at: SocketAddr,
    buffer: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        Self {
            ann: endpoint(1),
            bob: endpoint(2),
            ann_at: SocketAddr::from(([192, 0, 2, 1], 1)),
            bob_at: SocketAddr::from(([192, 0, 2, 2], 2)),
            buffer: Vec::new(),
        }
    }

    /// Asks and answers; whether the answer came.
    fn ask(&mut self, token: u64) -> bool {
        let now = Time::default();
        self.ann.request(
            now,
            Outgoing {
                token,
                key: *self.bob.key(),
                address: self.bob_at,
                body: Bytes::from_static(&[7; 40]),
                first_ok: true,
                class: Class::Short,
                patience: Duration::ZERO,
                is_background: false,
            },
        );
        while let Some(transmit) = self.ann.poll_transmit() {
            self.buffer.clear();
            self.buffer.extend_from_slice(&transmit.bytes);
            self.bob.handle_datagram(now, self.ann_at, &mut self.buffer);
        }
        while let Some(event) = self.bob.poll_event() {
            if let Event::Request { inbound, body, .. } = event {
                self.bob.answer(now, inbound, body);
            }
        }
        while let Some(transmit) = self.bob.poll_transmit() {
            self.buffer.clear();
            self.buffer.extend_from_slice(&transmit.bytes);
            self.ann.handle_datagram(now, self.bob_at, &mut self.buffer);
        }
        let mut is_answered = false;
        while let Some(event) = self.ann.poll_event() {
            is_answered |= matches!(event, Event::Answer { .. });
        }
        is_answered
    }
}

fn endpoint(secret: u8) -> Endpoint {
    let config = Config {
        secret: SecretKey::from_bytes([secret; 32]),
        network_id: [1; 32],
        wire_tag: [2; 8],
        k: 20,
        id_bits: 0,
        lowest_version: 1,
        highest_version: 1,
        hello: Hello::default(),
        ping: Bytes::new(),
        reset_secret: [secret; 32],
        seed: [secret; 32],
        limits: Limits::default(),
    };
    Endpoint::new(config, Time::default())
}
