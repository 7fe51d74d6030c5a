//! What an endpoint keeps in memory when a burst is over.

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::config::Limits;
use crate::event::{Class, Outgoing, Path};
use crate::key::SecretKey;
use crate::packet;
use crate::slack::SMALL;

const PEERS: u8 = 60;
const EACH: u64 = 30;

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1000 + u16::from(number)))
}

fn endpoint(number: u8) -> Endpoint {
    let config = Config {
        secret: SecretKey::from_bytes([number + 1; 32]),
        network_id: [1; 32],
        wire_tag: [2; 8],
        k: 20,
        id_bits: 0,
        lowest_version: 1,
        highest_version: 1,
        hello: Hello::default(),
        ping: Bytes::new(),
        reset_secret: [number; 32],
        seed: [number; 32],
        limits: Limits {
            local: true,
            ..Limits::default()
        },
    };
    Endpoint::new(config, Time::default())
}

fn ask(from: &mut Endpoint, to: u8, token: u64) {
    let outgoing = Outgoing {
        token,
        key: SecretKey::from_bytes([to + 1; 32]).public(),
        address: address(to),
        body: Bytes::from_static(b"a question"),
        first_ok: true,
        class: Class::Short,
        patience: Duration::ZERO,
        is_background: false,
    };
    from.request(Time::default(), outgoing);
}

/// Carries datagrams and answers requests until nothing moves; how many answers came.
fn settle(nodes: &mut HashMap<SocketAddr, Endpoint>) -> u64 {
    let now = Time::default();
    let mut answers = 0;
    loop {
        let mut flying = Vec::new();
        for (&from, node) in &mut *nodes {
            while let Some(event) = node.poll_event() {
                match event {
                    Event::Request { inbound, body, .. } => node.answer(now, inbound, body),
                    Event::Answer { .. } => answers += 1,
                    _ => {}
                }
            }
            while let Some(transmit) = node.poll_transmit() {
                flying.push((from, transmit));
            }
        }
        if flying.is_empty() {
            return answers;
        }
        for (from, transmit) in flying {
            let node = nodes.get_mut(&transmit.to).unwrap();
            node.handle_datagram(now, from, &mut transmit.bytes.to_vec());
        }
    }
}

#[test]
fn a_burst_of_handshakes_and_requests_leaves_sessions_and_no_room_behind() {
    let mut nodes: HashMap<_, _> = (0..PEERS).map(|n| (address(n), endpoint(n))).collect();
    for peer in 1..PEERS {
        for token in 0..EACH {
            ask(nodes.get_mut(&address(0)).unwrap(), peer, token);
            if peer % 2 == 0 {
                ask(nodes.get_mut(&address(peer)).unwrap(), 0, token);
            }
        }
    }
    let hub = &nodes[&address(0)];
    assert!(hub.transmits.capacity() > SMALL && hub.requests.capacity() > SMALL);
    let asked = u64::from(PEERS - 1) * EACH + u64::from((PEERS - 1) / 2) * EACH;
    assert_eq!(settle(&mut nodes), asked);

    // Handshakes that crossed leave a second session behind, which receives for a minute.
    let hub = nodes.get_mut(&address(0)).unwrap();
    let mut now = Time::default();
    now.monotonic += crate::session::RETIRING;
    hub.handle_timeout(now);
    while hub.poll_transmit().is_some() || hub.poll_event().is_some() {}
    let rooms = [
        ("transmits", hub.transmits.capacity()),
        ("events", hub.events.capacity()),
        ("requests", hub.requests.capacity()),
        ("attempts", hub.attempts.capacity()),
        ("waiting", hub.waiting.capacity()),
        ("searches", hub.searches.capacity()),
        ("pending", hub.pending.capacity()),
        ("serving", hub.serving.capacity()),
        ("timers", hub.timers.capacity()),
    ];
    for (what, room) in rooms {
        assert!(room <= SMALL, "{what} keep room for {room}");
    }
    assert_eq!(hub.sessions.len(), usize::from(PEERS - 1));
    assert!(hub.peers.values().all(|peer| peer.queue.is_nothing()));
    assert!(hub.arena.capacity() <= ARENA);
}

#[test]
fn sessions_are_looked_at_by_one_timer() {
    let mut nodes: HashMap<_, _> = (0..PEERS).map(|n| (address(n), endpoint(n))).collect();
    for peer in 1..PEERS {
        ask(nodes.get_mut(&address(0)).unwrap(), peer, 0);
    }
    settle(&mut nodes);
    let hub = nodes.get_mut(&address(0)).unwrap();
    let mut now = Time::default();
    now.monotonic += Duration::from_secs(10);
    hub.handle_timeout(now);
    assert_eq!(hub.timers.len(), 1);
    assert_eq!(hub.next_deadline(), Some(crate::session::IDLE));
    now.monotonic = crate::session::IDLE;
    hub.handle_timeout(now);
    assert_eq!((hub.sessions.len(), hub.remotes.len()), (0, 0));
    assert_eq!((hub.timers.len(), hub.peers.len()), (0, 0));
    assert!(hub.sessions.capacity() <= SMALL && hub.peers.capacity() <= SMALL);
}

/// INITs of many strangers to node 0, every third one damaged where its first mac covers it, and
/// some other datagrams among them.
fn strangers(count: u8) -> Vec<(Path, Vec<u8>)> {
    let mut datagrams = Vec::new();
    for number in 1..=count {
        let mut stranger = endpoint(number);
        ask(&mut stranger, 0, 1);
        let mut bytes = stranger.poll_transmit().unwrap().bytes.to_vec();
        if number % 3 == 0 {
            bytes[100] ^= 1;
        }
        datagrams.push((address(number).into(), bytes));
        if number % 5 == 0 {
            datagrams.push((address(number).into(), vec![number; 100]));
            datagrams.push((address(number).into(), vec![packet::INIT; 500]));
        }
    }
    datagrams
}

#[test]
fn datagrams_that_come_together_are_taken_as_if_one_by_one() {
    // Beside where macs are computed together, and where they no longer all are.
    for count in [1, 3, 4, 7, 8, 9, 26, 27, 60] {
        let (mut together, mut alone) = (strangers(count), strangers(count));
        let (mut one, mut other) = (endpoint(0), endpoint(0));
        let now = Time::default();
        let slices = together.iter_mut();
        let mut slices: Vec<_> = slices
            .map(|(path, bytes)| (*path, &mut bytes[..]))
            .collect();
        one.handle_datagrams(now, &mut slices);
        for (path, bytes) in &mut alone {
            other.handle_datagram(now, *path, bytes);
        }
        let (drops, expected) = (one.drops(), other.drops());
        assert_eq!(drops.count(DropReason::BadMac), u64::from(count) / 3);
        assert_eq!(format!("{drops:?}"), format!("{expected:?}"));
        let mut requests = 0;
        while let Some(event) = one.poll_event() {
            assert_eq!(Some(event), other.poll_event());
            requests += 1;
        }
        assert_eq!(requests, usize::from(count - count / 3));
        assert_eq!(other.poll_event(), None);
    }
}
