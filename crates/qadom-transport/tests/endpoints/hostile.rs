//! Replays, damage and noise.

use std::time::Duration;

use proptest::prelude::*;
use qadom_transport::{DropReason, Event};

use crate::wire::{CALM, End, IAM, INIT, RESP, Sent, Service, Wire, address, config};

/// Two nodes that have talked: handshakes of both sides, short and long messages, WHO and IAM.
fn talked() -> Wire {
    let mut wire = Wire::new(3, 2, CALM);
    let (now, to) = (wire.time(), wire.nodes[1].address);
    wire.nodes[0].endpoint.identify(now, 100, to);
    wire.drain(0);
    wire.run_to_end(0, 100, Duration::from_secs(1));
    for token in 0..4 {
        wire.nodes[1].service = if token == 2 {
            Service::Long(8192)
        } else {
            Service::Echo
        };
        wire.ask(0, 1, token, b"question");
        wire.ask(1, 0, token, &[7; 900]);
    }
    wire.run(Duration::from_secs(1));
    wire
}

#[test]
fn replayed_datagrams_are_acted_upon_zero_times() {
    let mut wire = talked();
    wire.run(Duration::from_secs(10));
    let sent: Vec<Sent> = wire.sent.clone();
    let events: Vec<usize> = wire.nodes.iter().map(|node| node.events.len()).collect();
    let stranger = "203.0.113.5:9".parse().unwrap();
    let replays = std::env::var("QADOM_REPLAYS").map_or(1, |text| text.parse().unwrap());
    // Again and again from the latest to the first, each from its sender and from somebody else.
    for datagram in sent.iter().rev().cycle().take(sent.len().max(replays / 2)) {
        let to = wire
            .nodes
            .iter()
            .position(|node| node.address == datagram.to)
            .unwrap();
        let dropped = wire.nodes[to].endpoint.drops().total();
        for from in [datagram.from, stranger] {
            wire.inject(to, from, &datagram.bytes);
        }
        // A WHO has no state: it is answered again. All else is dropped and counted.
        let is_who = datagram.bytes[0] == crate::wire::WHO;
        let expected = if is_who { 0 } else { 2 };
        let after = wire.nodes[to].endpoint.drops().total();
        assert_eq!(after - dropped, expected, "{:#x}", datagram.bytes[0]);
    }
    let after: Vec<usize> = wire.nodes.iter().map(|node| node.events.len()).collect();
    assert_eq!(after, events);
    // So many INITs at one moment are asked for a cookie, which keeps no state either.
    let is_flood = replays > sent.len();
    assert!(
        wire.sent[sent.len()..].iter().all(|sent| {
            sent.bytes[0] == IAM || is_flood && sent.bytes[0] == crate::wire::COOKIE
        })
    );
}

#[test]
fn datagrams_that_come_back_to_their_sender_are_dropped_and_counted() {
    let mut wire = talked();
    wire.run(Duration::from_secs(10));
    let sent: Vec<Sent> = wire.sent.clone();
    let events: Vec<usize> = wire.nodes.iter().map(|node| node.events.len()).collect();
    for datagram in &sent {
        let sender = wire
            .nodes
            .iter()
            .position(|node| node.address == datagram.from)
            .unwrap();
        let dropped = wire.nodes[sender].endpoint.drops().total();
        for from in [datagram.to, datagram.from] {
            wire.inject(sender, from, &datagram.bytes);
        }
        let is_who = datagram.bytes[0] == crate::wire::WHO;
        let expected = if is_who { 0 } else { 2 };
        let after = wire.nodes[sender].endpoint.drops().total();
        assert_eq!(after - dropped, expected, "{:#x}", datagram.bytes[0]);
    }
    let after: Vec<usize> = wire.nodes.iter().map(|node| node.events.len()).collect();
    assert_eq!(after, events);
}

#[test]
fn data_from_another_address_is_not_opened() {
    let mut wire = talked();
    wire.request(0, wire.outgoing(1, 50, b"fresh", false));
    let fresh = wire.sent.last().unwrap().clone();
    let before = wire.nodes[1].events.len();
    wire.inject(1, "203.0.113.5:9".parse().unwrap(), &fresh.bytes);
    assert_eq!(wire.nodes[1].events.len(), before);
    assert_eq!(
        wire.nodes[1]
            .endpoint
            .drops()
            .count(DropReason::WrongAddress),
        1
    );
    assert!(matches!(
        wire.run_to_end(0, 50, Duration::from_secs(1)),
        Some(End::Answer(_))
    ));
}

#[test]
fn a_resp_that_does_not_open_leaves_the_handshake_alive() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.request(0, wire.outgoing(1, 1, b"x", true));
    wire.run(Duration::from_millis(15));
    let resp = wire.sent[1].clone();
    assert_eq!(resp.bytes[0], RESP);
    for at in [12, 44, 300, 490] {
        let mut damaged = resp.bytes.to_vec();
        damaged[at] ^= 1;
        wire.inject(0, resp.from, &damaged);
    }
    assert_eq!(wire.nodes[0].endpoint.drops().count(DropReason::BadMac), 4);
    let end = wire.run_to_end(0, 1, Duration::from_secs(1));
    assert!(matches!(end, Some(End::Answer(_))));
}

#[test]
fn an_init_with_a_refused_ephemeral_key_is_dropped_before_curve_work() {
    // The mac is keyed by a public key, so anybody can make it right.
    let mut wire = Wire::new(1, 2, CALM);
    wire.request(0, wire.outgoing(1, 1, b"x", true));
    let mut init = wire.sent[0].bytes.to_vec();
    init[16..48].fill(0);
    let key = <qadom_transport::NoiseSuite as qadom_transport::Suite>::mac_key(
        b"qadom 1 mac1",
        &wire.key(1),
    );
    let mac1 = <qadom_transport::NoiseSuite as qadom_transport::Suite>::mac(&key, &[&init[..480]]);
    init[480..496].copy_from_slice(&mac1);
    wire.inject(1, address(0), &init);
    assert_eq!(wire.nodes[1].endpoint.drops().count(DropReason::BadKey), 1);
}

#[test]
fn strangers_leave_a_bounded_trace() {
    let mut wire = Wire::new(1, 0, CALM);
    let mut limited = config(0);
    limited.limits.local = false;
    limited.limits.pending = 20;
    wire.add(limited, address(0));
    wire.nodes[0].service = Service::Hold;
    let mut most_of_group = 0;
    for client in 1..60u8 {
        // Sixty strangers of three groups, each with its own address.
        let from = [203, 0, client % 3, client];
        let at = wire.add(config(client.into()), (from, 4001).into());
        wire.request(at, wire.outgoing(0, 1, b"x", true));
        wire.run(Duration::from_millis(11));
        let usage = wire.nodes[0].endpoint.usage();
        assert!(usage.pending <= 20);
        most_of_group = most_of_group.max(usage.pending);
    }
    assert_eq!(most_of_group, 20);
    assert_eq!(
        wire.nodes[0].count(|event| matches!(event, Event::Request { .. })),
        20
    );
    assert!(
        wire.nodes[0]
            .endpoint
            .drops()
            .count(DropReason::PendingFull)
            > 0
    );
    wire.run(Duration::from_secs(20));
    let usage = wire.nodes[0].endpoint.usage();
    assert_eq!((usage.pending, usage.sessions, usage.assemblies), (0, 0, 0));
    assert_eq!(wire.nodes[0].endpoint.next_deadline(), None);
}

#[test]
fn one_group_of_addresses_has_at_most_eight_unproven_handshakes() {
    let mut wire = Wire::new(1, 0, CALM);
    let mut limited = config(0);
    limited.limits.local = false;
    wire.add(limited, address(0));
    wire.nodes[0].service = Service::Hold;
    for client in 1..20u8 {
        let at = wire.add(config(client.into()), ([203, 0, 113, client], 4001).into());
        wire.request(at, wire.outgoing(0, 1, b"x", true));
    }
    wire.run(Duration::from_millis(100));
    assert_eq!(wire.nodes[0].endpoint.usage().pending, 8);
    assert_eq!(
        wire.nodes[0]
            .endpoint
            .drops()
            .count(DropReason::PendingFull),
        11
    );
}

#[test]
fn one_address_begins_five_handshakes_and_then_twenty_a_second() {
    let mut wire = Wire::new(1, 0, CALM);
    let mut limited = config(0);
    limited.limits.local = false;
    limited.limits.pending_per_group = 1000;
    wire.add(limited, address(0));
    for client in 1..50u8 {
        let at = wire.add(
            config(client.into()),
            ([203, 0, 113, 1], 4000 + u16::from(client)).into(),
        );
        wire.request(at, wire.outgoing(0, 1, b"x", true));
    }
    wire.run(Duration::from_millis(100));
    assert_eq!(
        wire.nodes[0].count(|event| matches!(event, Event::Request { .. })),
        5
    );
    assert_eq!(
        wire.nodes[0]
            .endpoint
            .drops()
            .count(DropReason::HandshakeRate),
        44
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise_is_dropped_and_counted(
        kind in 0u8..16,
        mut bytes in prop::collection::vec(any::<u8>(), 0..1400),
        reserved in any::<bool>(),
    ) {
        let mut wire = Wire::new(1, 1, CALM);
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if reserved && bytes.len() > 4 {
            bytes[1..4].fill(0);
        }
        wire.inject(0, "203.0.113.5:9".parse().unwrap(), &bytes);
        prop_assert!(wire.nodes[0].events.is_empty());
        prop_assert_eq!(wire.nodes[0].endpoint.drops().total(), 1);
    }

    #[test]
    fn damaged_copies_of_real_datagrams_change_nothing(
        pick in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut wire = talked();
        wire.request(0, wire.outgoing(1, 60, b"under way", false));
        let datagram = pick.get(&wire.sent).clone();
        let mut bytes = datagram.bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let to = wire.nodes.iter().position(|node| node.address == datagram.to).unwrap();
        let (events, dropped) =
            (wire.nodes[to].events.len(), wire.nodes[to].endpoint.drops().total());
        wire.inject(to, datagram.from, &bytes);
        prop_assert_eq!(wire.nodes[to].events.len(), events);
        let is_who = bytes.first() == Some(&crate::wire::WHO) && bytes.len() == 200 && at > 11;
        let is_repeated_init = bytes.first() == Some(&INIT) && at >= 496;
        let dropped = wire.nodes[to].endpoint.drops().total() - dropped;
        prop_assert!(dropped == 1 || is_who || is_repeated_init, "{:#x} at {}", bytes[0], at);
        let end = wire.run_to_end(0, 60, Duration::from_secs(9));
        prop_assert!(matches!(end, Some(End::Answer(_))));
    }
}
