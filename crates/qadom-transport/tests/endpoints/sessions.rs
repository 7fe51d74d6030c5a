//! How sessions live and end.

use std::time::Duration;

use bytes::Bytes;
use qadom_transport::{Endpoint, Event, FailReason};

use crate::wire::{CALM, DATA, End, INIT, RESET, RESP, Wire, config};

fn gone(event: &Event) -> bool {
    matches!(event, Event::Gone { .. })
}

fn restart(wire: &mut Wire, node: usize, config: qadom_transport::Config) {
    wire.nodes[node].endpoint = Endpoint::new(config, wire.time());
}

#[test]
fn a_restarted_peer_is_joined_anew_at_once() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(1));
    let mut config = config(1);
    config.seed = [99; 32];
    restart(&mut wire, 1, config);
    let (begin, before) = (wire.now, wire.sent.len());
    assert_eq!(
        wire.ask(0, 1, 2, b"y"),
        Some(End::Answer(Bytes::from_static(b"y")))
    );
    // One round trip to learn of it, two for what may travel in a first datagram or not.
    assert_eq!(wire.since(begin), Duration::from_millis(40));
    assert_eq!(wire.kinds()[before..], [DATA, RESET, INIT, RESP]);
    assert_eq!(wire.nodes[0].count(gone), 1);
}

#[test]
fn a_reset_with_a_wrong_token_is_ignored() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(1));
    let index: [u8; 4] = wire.sent[2].bytes[4..8].try_into().unwrap();
    let mut forged = vec![RESET, 0, 0, 0];
    forged.extend(index);
    forged.extend([5; 16]);
    let bob = wire.nodes[1].address;
    wire.inject(0, bob, &forged);
    assert_eq!(wire.nodes[0].count(gone), 0);
    assert!(wire.nodes[0].endpoint.has_session(&wire.key(1)));
}

#[test]
fn a_peer_that_lost_everything_is_joined_anew_by_the_next_request() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(1));
    let mut config = config(1);
    config.reset_secret = [99; 32];
    restart(&mut wire, 1, config);
    assert_eq!(
        wire.ask(0, 1, 2, b"y"),
        Some(End::Failed(FailReason::Timeout))
    );
    assert_eq!(
        wire.ask(0, 1, 3, b"z"),
        Some(End::Answer(Bytes::from_static(b"z")))
    );
}

#[test]
fn handshakes_that_cross_leave_sessions_that_last() {
    for seed in 0..20 {
        let mut wire = Wire::new(seed, 2, CALM);
        wire.weather.jitter = Duration::from_millis(8);
        wire.request(0, wire.outgoing(1, 1, b"x", true));
        wire.request(1, wire.outgoing(0, 1, b"y", true));
        wire.run(Duration::from_mins(5));
        assert!(matches!(wire.end(0, 1), Some(End::Answer(_))));
        assert!(matches!(wire.end(1, 1), Some(End::Answer(_))));
        let before = wire.sent.len();
        for token in 2..10 {
            assert!(matches!(wire.ask(0, 1, token, b"x"), Some(End::Answer(_))));
            assert!(matches!(wire.ask(1, 0, token, b"y"), Some(End::Answer(_))));
        }
        assert!(
            wire.kinds()[before..].iter().all(|kind| *kind == DATA),
            "seed {seed}"
        );
        for node in &wire.nodes {
            assert_eq!(node.endpoint.usage().sessions, 1);
            assert_eq!(node.count(gone), 0);
        }
    }
}

#[test]
fn the_newest_session_sends_and_the_older_receives_a_minute_more() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(10));
    // A request over the first session is under way while a second one is made.
    wire.request(0, wire.outgoing(1, 2, b"late", false));
    let late = wire.sent.last().unwrap().clone();
    let bob = wire.nodes[1].address;
    wire.silent.insert(bob);
    wire.run(Duration::from_millis(11));
    wire.silent.clear();
    let (now, probe) = (wire.time(), wire.outgoing(1, 3, b"probe", true));
    wire.nodes[0].endpoint.probe(now, probe);
    wire.drain(0);
    wire.run(Duration::from_secs(30));
    assert_eq!(wire.nodes[1].endpoint.usage().sessions, 2);
    let before = wire.nodes[1].count(|event| matches!(event, Event::Request { .. }));
    wire.inject(1, late.from, &late.bytes);
    let after = wire.nodes[1].count(|event| matches!(event, Event::Request { .. }));
    assert_eq!(after, before + 1, "the older session does not receive");
    let begin = wire.sent.len();
    wire.ask(0, 1, 4, b"new");
    assert_ne!(
        wire.sent[begin].bytes[4..8],
        late.bytes[4..8],
        "the older session sends"
    );
    wire.run(Duration::from_secs(31));
    assert_eq!(wire.nodes[1].endpoint.usage().sessions, 1);
    assert_eq!(wire.nodes[1].count(gone), 0);
}

#[test]
fn a_silent_session_ends_after_half_an_hour_unless_it_is_pinned() {
    let mut wire = Wire::new(1, 3, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.ask(0, 2, 2, b"x");
    let (one, two) = (wire.key(1), wire.key(2));
    wire.nodes[0].endpoint.pin(two);
    wire.run(Duration::from_mins(29));
    assert!(wire.nodes[0].endpoint.has_session(&one));
    wire.run(Duration::from_mins(2));
    assert!(!wire.nodes[0].endpoint.has_session(&one));
    assert!(wire.nodes[0].endpoint.has_session(&two));
    let at = wire.nodes[2].address;
    wire.silent.insert(at);
    wire.run(Duration::from_hours(23));
    assert!(wire.nodes[0].endpoint.has_session(&two));
    wire.run(Duration::from_mins(40));
    assert!(
        !wire.nodes[0].endpoint.has_session(&two),
        "a day is the end when nobody answers"
    );
    assert_eq!(wire.nodes[0].count(gone), 2);
}

#[test]
fn traffic_keeps_a_session_and_an_unpinned_one_ends_again() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    for token in 2..8 {
        wire.run(Duration::from_mins(20));
        wire.ask(0, 1, token, b"x");
    }
    assert_eq!(wire.count(INIT), 1);
    let key = wire.key(1);
    wire.nodes[0].endpoint.pin(key);
    wire.run(Duration::from_hours(1));
    assert!(wire.nodes[0].endpoint.has_session(&key));
    wire.nodes[0].endpoint.unpin(key);
    wire.run(Duration::from_secs(1));
    assert!(!wire.nodes[0].endpoint.has_session(&key));
}

#[test]
fn keep_alive_sends_an_empty_packet() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(1));
    let (before, key) = (wire.sent.len(), wire.key(1));
    wire.nodes[0].endpoint.keep_alive(key);
    wire.drain(0);
    assert_eq!(wire.sent.len(), before + 1);
    assert_eq!(wire.sent[before].bytes.len(), 64);
}

#[test]
fn two_runs_of_one_seed_send_the_same_bytes() {
    let run = || {
        let mut wire = Wire::new(9, 3, CALM);
        wire.weather.loss = 20;
        for token in 0..30 {
            let (from, to) = (token % 3, (token + 1) % 3);
            wire.request(from, wire.outgoing(to, token as u64, &[1; 2000], false));
        }
        wire.run(Duration::from_mins(2));
        wire.sent
            .iter()
            .map(|sent| (sent.at, sent.bytes.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
