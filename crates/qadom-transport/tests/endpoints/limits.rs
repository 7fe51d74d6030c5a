//! Limits at their edges.

use std::time::Duration;

use qadom_transport::{DropReason, Event, FailReason, Limits};

use crate::wire::{CALM, COOKIE, DATA, End, RESP, Service, Wire, address, config};

#[test]
fn a_full_queue_fails_the_next_request() {
    let mut wire = Wire::new(1, 1, CALM);
    let mut limited = config(1);
    limited.limits = Limits {
        queue: 10,
        local: true,
        ..Limits::default()
    };
    let node = wire.add(limited, address(1));
    // The first leaves in a handshake, ten wait for it.
    for token in 0..12 {
        wire.request(node, wire.outgoing(0, token, b"x", true));
    }
    assert_eq!(wire.nodes[node].endpoint.usage().queued, 10);
    assert_eq!(wire.end(node, 10), None);
    assert_eq!(
        wire.end(node, 11),
        Some(End::Failed(FailReason::Overloaded))
    );
    wire.run(Duration::from_secs(9));
    for token in 0..11 {
        assert!(matches!(wire.end(node, token), Some(End::Answer(_))));
    }
}

#[test]
fn no_more_than_the_limit_is_in_flight_and_all_peers_get_their_turn() {
    let mut wire = Wire::new(1, 6, CALM);
    let mut limited = config(6);
    limited.limits = Limits {
        in_flight: 3,
        local: true,
        ..Limits::default()
    };
    let node = wire.add(limited, address(6));
    for token in 0..60usize {
        wire.request(
            node,
            wire.outgoing(token % 6, token as u64, b"x", token % 4 == 0),
        );
        assert!(wire.nodes[node].endpoint.usage().in_flight <= 3);
    }
    for _ in 0..500 {
        wire.run(Duration::from_millis(5));
        assert!(wire.nodes[node].endpoint.usage().in_flight <= 3);
    }
    for token in 0..60 {
        assert!(
            matches!(wire.end(node, token), Some(End::Answer(_))),
            "token {token}"
        );
    }
}

#[test]
fn the_window_of_a_peer_opens_from_four() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1000, b"x");
    let before = wire.sent.len();
    for token in 0..300 {
        wire.request(0, wire.outgoing(1, token, b"x", false));
    }
    // Four, and one for the answer that the handshake brought.
    assert_eq!(wire.sent.len() - before, 5);
    wire.run(Duration::from_millis(21));
    assert_eq!(wire.nodes[0].endpoint.usage().in_flight, 10);
    wire.run(Duration::from_secs(9));
    assert!((0..300).all(|token| matches!(wire.end(0, token), Some(End::Answer(_)))));
    assert!(wire.kinds()[2..].iter().all(|kind| *kind == DATA));
}

#[test]
fn a_full_house_of_sessions_lets_the_most_silent_go() {
    let mut wire = Wire::new(1, 5, CALM);
    let mut limited = config(5);
    limited.limits = Limits {
        sessions: 3,
        local: true,
        ..Limits::default()
    };
    let node = wire.add(limited, address(5));
    for peer in 0..3 {
        wire.ask(node, peer, peer as u64, b"x");
        wire.run(Duration::from_secs(1));
    }
    let keys: Vec<_> = (0..5).map(|peer| wire.key(peer)).collect();
    wire.nodes[node].endpoint.pin(keys[0]);
    wire.ask(node, 3, 3, b"x");
    let held: Vec<_> = (0..4)
        .map(|peer| wire.nodes[node].endpoint.has_session(&keys[peer]))
        .collect();
    assert_eq!(held, [true, false, true, true]);
    wire.nodes[node].endpoint.pin(keys[2]);
    wire.nodes[node].endpoint.pin(keys[3]);
    // All are pinned: the answer counts, the session does not stay.
    assert!(matches!(wire.ask(node, 4, 4, b"x"), Some(End::Answer(_))));
    assert!(!wire.nodes[node].endpoint.has_session(&keys[4]));
    assert_eq!(
        wire.nodes[node]
            .endpoint
            .drops()
            .count(DropReason::SessionsFull),
        1
    );
}

#[test]
fn an_answer_to_nobody_is_counted() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.nodes[1].service = Service::Hold;
    wire.request(0, wire.outgoing(1, 1, b"x", true));
    wire.run(Duration::from_secs(30));
    let (now, (inbound, body)) = (wire.time(), wire.nodes[1].asked[0].clone());
    wire.nodes[1].endpoint.answer(now, inbound, body);
    assert!(wire.nodes[1].endpoint.poll_transmit().is_none());
    assert_eq!(
        wire.nodes[1]
            .endpoint
            .drops()
            .count(DropReason::StaleAnswer),
        1
    );
    assert_eq!(
        wire.nodes[1].count(|event| matches!(event, Event::Request { .. })),
        1
    );
}

#[test]
fn one_provider_of_addresses_has_at_most_a_quarter_of_the_sessions() {
    let mut wire = Wire::new(1, 0, CALM);
    let mut limited = config(0);
    limited.limits = Limits {
        sessions: 12,
        ..Limits::default()
    };
    let node = wire.add(limited, address(0));
    let other = wire.add(config(99), ([198, 51, 100, 1], 4001).into());
    wire.ask(other, node, 1, b"x");
    wire.run(Duration::from_secs(1));
    for client in 1..8u8 {
        let at = wire.add(config(client.into()), ([203, 0, client, 1], 4001).into());
        assert!(matches!(wire.ask(at, node, 1, b"x"), Some(End::Answer(_))));
        wire.run(Duration::from_secs(1));
    }
    let held: Vec<bool> = (1..wire.nodes.len())
        .map(|peer| wire.nodes[node].endpoint.has_session(&wire.key(peer)))
        .collect();
    assert_eq!(
        held,
        [true, false, false, false, false, true, true, true],
        "the silent ones of the same provider go"
    );
}

#[test]
fn peers_at_an_address_with_a_session_are_not_held_to_the_rate_of_strangers() {
    let mut wire = Wire::new(1, 0, CALM);
    let mut limited = config(0);
    limited.limits.local = false;
    limited.limits.pending_per_group = 1000;
    let node = wire.add(limited, address(0));
    let home = |port: u16| ([203, 0, 113, 1], port).into();
    let first = wire.add(config(1), home(4001));
    wire.ask(first, node, 1, b"x");
    wire.run(Duration::from_secs(1));
    for client in 2..30u8 {
        let at = wire.add(config(client.into()), home(4000 + u16::from(client)));
        wire.request(at, wire.outgoing(node, 1, b"x", true));
    }
    wire.run(Duration::from_millis(100));
    assert_eq!(
        wire.nodes[node].count(|event| matches!(event, Event::Request { .. })),
        29
    );
}

#[test]
fn dropped_datagrams_are_counted_by_the_group_they_came_from() {
    let mut wire = Wire::new(1, 1, CALM);
    for (from, count) in [
        ("203.0.113.5:9", 3),
        ("203.0.113.77:1", 2),
        ("198.51.100.1:9", 1),
    ] {
        for _ in 0..count {
            wire.inject(0, from.parse().unwrap(), b"noise");
        }
    }
    let worst: Vec<(String, u64)> = wire.nodes[0]
        .endpoint
        .drops()
        .by_group()
        .iter()
        .map(|entry| (entry.group.to_string(), entry.count - entry.error))
        .collect();
    let expected = [("203.0.113.0/24", 5), ("198.51.100.0/24", 1)];
    assert_eq!(
        worst,
        expected.map(|(group, count)| (group.to_owned(), count))
    );
}

#[test]
fn a_node_that_is_behind_turns_away_who_has_more_than_a_fair_share() {
    let mut wire = Wire::new(1, 0, CALM);
    let mut limited = config(0);
    limited.limits.requests = 8;
    limited.limits.local = false;
    let node = wire.add(limited, address(0));
    let homes = [[203, 0, 113, 1], [203, 0, 113, 2], [198, 51, 100, 1]];
    let [greedy, neighbour, other] = [1, 2, 3].map(|number: usize| {
        let peer = wire.add(config(number), (homes[number - 1], 4001).into());
        wire.ask(peer, node, 0, b"x");
        peer
    });
    wire.nodes[node].service = Service::Away;
    for token in 1..=5 {
        wire.request(greedy, wire.outgoing(node, token, b"x", true));
    }
    wire.run(Duration::from_millis(15));
    assert_eq!(wire.nodes[node].endpoint.usage().requests, 5);
    // More than half of the room is taken, and all of it by one group.
    let before = wire.sent.len();
    wire.request(neighbour, wire.outgoing(node, 1, b"x", true));
    wire.request(other, wire.outgoing(node, 1, b"x", true));
    let near = wire.add(config(4), ([203, 0, 113, 9], 4001).into());
    let far = wire.add(config(5), ([192, 0, 9, 9], 4001).into());
    wire.request(near, wire.outgoing(node, 1, b"x", true));
    wire.request(far, wire.outgoing(node, 1, b"x", true));
    wire.run(Duration::from_millis(25));
    let busy = End::Failed(FailReason::Busy {
        retry_after_ms: 100,
    });
    assert_eq!(wire.end(neighbour, 1), Some(busy));
    assert_eq!(wire.nodes[node].endpoint.usage().requests, 7);
    let answers: Vec<_> = wire.sent[before..]
        .iter()
        .filter(|sent| sent.from == address(0))
        .collect();
    assert_eq!(answers.len(), 1, "strangers are met with silence");
    assert_eq!((answers[0].bytes[0], answers[0].bytes.len()), (DATA, 64));
    let drops = wire.nodes[node].endpoint.drops();
    assert_eq!(drops.count(DropReason::Overloaded), 2);
    // Back at work, it serves all that waited, and the stranger at its next try.
    wire.nodes[node].service = Service::Echo;
    wire.run(Duration::from_secs(2));
    let asked = (1..=5).map(|token| (greedy, token));
    for (peer, token) in asked.chain([(other, 1), (near, 1), (far, 1)]) {
        assert!(
            matches!(wire.end(peer, token), Some(End::Answer(_))),
            "{peer}"
        );
    }
    assert_eq!((wire.count(COOKIE), wire.count(RESP)), (0, 5));
}
