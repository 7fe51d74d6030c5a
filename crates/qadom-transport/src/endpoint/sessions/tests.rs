//! What a full house of sessions takes, counted by sizes and capacities.

use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::peer::Peer;
use crate::replay::ReplayWindow;
use crate::{Config, Limits, SecretKey, Time};

const SESSIONS: u32 = 4096;

/// Bytes of the table of a hash map with this capacity and entries of this size.
fn table(capacity: usize, entry: usize) -> usize {
    (capacity * 8 / 7).next_power_of_two() * (entry + 1)
}

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
    Endpoint::new(config, Time::default())
}

/// Sessions that this node began, each of which has seen enough to have its whole window.
fn session(number: u32) -> Box<Session> {
    let [_, a, b, c] = number.to_be_bytes();
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    let mut replay = ReplayWindow::default();
    (0..100).for_each(|counter| replay.note(counter));
    let address = SocketAddr::from(([10, c, b, a], 4001));
    let keys = SessionKeys {
        send: key,
        receive: key,
    };
    let mut session = Session::new((key, address), keys, number, Duration::ZERO);
    session.replay = replay;
    session.reset_token = Some([1; 16]);
    Box::new(session)
}

#[test]
fn all_4096_sessions_and_their_peers_take_at_most_two_megabytes() {
    let mut endpoint = endpoint();
    for number in 1..=SESSIONS {
        assert!(endpoint.confirm(number, session(number), Hello::default()));
        while endpoint.poll_event().is_some() {}
    }
    assert_eq!(endpoint.usage().sessions, 4096);
    let whole_window = 1024 / 8;
    let sessions = 4096 * (size_of::<Session>() + whole_window)
        + table(endpoint.sessions.capacity(), size_of::<(u32, Box<Session>)>())
        // Nodes of a B-tree are at least half full.
        + endpoint.remotes.len() * 2 * size_of::<(u32, u32)>()
        + table(endpoint.providers.capacity(), size_of::<(Provider, usize)>());
    let peers = 4096 * size_of::<Peer>()
        + table(
            endpoint.peers.capacity(),
            size_of::<([u8; 32], Box<Peer>)>(),
        );
    println!("sessions {sessions} bytes, peers {peers} bytes");
    let both = sessions + peers;
    assert!(both <= 2_000_000, "{both} bytes");
}
