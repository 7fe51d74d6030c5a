//! Pieces that wait while others of the same message are wanted.

use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::session::Session;
use crate::suite::SessionKeys;
use crate::{Config, Hello, Limits, SecretKey, Time};

const SESSION: u32 = 7;
const PEER: [u8; 32] = [9; 32];

/// An endpoint with a session whose round trip takes 120 ms.
fn endpoint() -> Endpoint {
    let config = Config {
        secret: SecretKey::from_bytes([1; 32]),
        network_id: [1; 32],
        wire_tag: [2; 8],
        k: 20,
        id_bits: 0,
        lowest_version: 1,
        highest_version: 1,
        hello: Hello::default(),
        ping: Bytes::from_static(b"ping"),
        reset_secret: [1; 32],
        seed: [1; 32],
        limits: Limits::default(),
    };
    let mut endpoint = Endpoint::new(config, Time::default());
    let keys = SessionKeys {
        send: [3; 32],
        receive: [4; 32],
    };
    let at = SocketAddr::from(([192, 0, 2, 1], 4001));
    let session = Session::new((PEER, at), keys, 1, Duration::ZERO);
    assert!(endpoint.confirm(SESSION, Box::new(session), Hello::default()));
    let peer = endpoint.peers.get_mut(&PEER).unwrap();
    peer.rtt.sample(Duration::from_millis(120));
    endpoint
}

fn send(endpoint: &mut Endpoint, request: u64, bitmap: u8) {
    let id = request.to_le_bytes();
    let message = Envelope::answer(id, 0, vec![5; 8192].into());
    endpoint.send_pieces(SESSION, (id, Direction::Answer), &message, bitmap);
}

/// How many datagrams leave now.
fn leaving(endpoint: &mut Endpoint) -> usize {
    core::iter::from_fn(|| endpoint.poll_transmit()).count()
}

/// How many leave at each deadline, until nothing waits.
fn rest(endpoint: &mut Endpoint) -> Vec<(u128, usize)> {
    let mut all = Vec::new();
    while !endpoint.paced.is_empty() {
        let now = Time {
            monotonic: endpoint.next_deadline().unwrap(),
            utc_micros: 0,
        };
        endpoint.handle_timeout(now);
        all.push((now.monotonic.as_millis(), leaving(endpoint)));
    }
    all
}

#[test]
fn pieces_that_wait_are_not_sent_twice() {
    let mut endpoint = endpoint();
    send(&mut endpoint, 1, 0b1111);
    assert_eq!(leaving(&mut endpoint), 1);
    // The first is wanted again, and another one.
    send(&mut endpoint, 1, 0b1_1111);
    assert_eq!(leaving(&mut endpoint), 0);
    let rest = rest(&mut endpoint);
    assert_eq!(rest, [(10, 1), (20, 1), (30, 1), (40, 1), (50, 1)]);
    assert_eq!(endpoint.timers.len(), 1, "that of sessions");
}

#[test]
fn pieces_of_an_ended_session_are_forgotten() {
    let mut endpoint = endpoint();
    send(&mut endpoint, 1, 0b1111);
    assert_eq!(leaving(&mut endpoint), 1);
    endpoint.end_session(SESSION);
    assert_eq!(rest(&mut endpoint), [(10, 0)]);
    assert_eq!(endpoint.timers.len(), 1, "that of sessions");
}

#[test]
fn beyond_the_limit_all_pieces_leave_at_once() {
    let mut endpoint = endpoint();
    for request in 0..PACED as u64 {
        send(&mut endpoint, request, 0b1111);
    }
    assert_eq!(leaving(&mut endpoint), PACED);
    send(&mut endpoint, u64::MAX, 0b1111);
    assert_eq!(leaving(&mut endpoint), 4);
    let waited: usize = rest(&mut endpoint).iter().map(|(_, count)| count).sum();
    assert_eq!(waited, 3 * PACED);
    assert!(endpoint.paced.capacity() <= crate::slack::SMALL);
}
