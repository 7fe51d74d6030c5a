//! Other networks, other parameters, other revisions.

use std::time::Duration;

use bytes::Bytes;
use qadom_transport::{Config, DropReason, Event, FailReason};

use crate::wire::{CALM, End, INIT, MISMATCH, RESP, WHO, Wire, address, config};

fn foreign(index: usize) -> Config {
    Config {
        wire_tag: [9; 8],
        network_id: [8; 32],
        k: 8,
        id_bits: 16,
        ..config(index)
    }
}

#[test]
fn a_node_of_another_network_says_what_it_is() {
    let mut wire = Wire::new(1, 1, CALM);
    let other = wire.add(foreign(1), address(1));
    let begin = wire.now;
    let end = wire.ask(0, other, 1, b"x");
    assert_eq!(end, Some(End::Failed(FailReason::Mismatch)));
    assert_eq!(wire.since(begin), Duration::from_millis(2020));
    assert_eq!(wire.sent[1].bytes[0], MISMATCH);
    assert_eq!(wire.sent[1].bytes.len(), 32);
    let seen = wire.nodes[0].events.iter().find_map(|event| match event {
        Event::Mismatch {
            token: Some(1),
            address,
            theirs,
        } => Some((*address, *theirs)),
        _ => None,
    });
    let (at, theirs) = seen.expect("a mismatch");
    assert_eq!(at, address(1));
    assert_eq!((theirs.wire_tag, theirs.network_prefix), ([9; 8], [8; 4]));
    assert_eq!((theirs.k, theirs.id_bits), (8, 16));
    assert_eq!(
        wire.nodes[other]
            .endpoint
            .drops()
            .count(DropReason::ForeignNetwork),
        3
    );
}

#[test]
fn a_mismatch_of_the_ping_ahead_names_the_request_behind_it() {
    let mut wire = Wire::new(1, 1, CALM);
    let other = wire.add(foreign(1), address(1));
    wire.request(0, wire.outgoing(other, 5, b"x", false));
    let end = wire.run_to_end(0, 5, Duration::from_secs(9));
    assert_eq!(end, Some(End::Failed(FailReason::Mismatch)));
    let is_named = |event: &Event| matches!(event, Event::Mismatch { token: Some(5), .. });
    assert_eq!(wire.nodes[0].count(is_named), 1);
}

#[test]
fn a_who_to_another_network_meets_a_mismatch_too() {
    let mut wire = Wire::new(1, 1, CALM);
    let other = wire.add(foreign(1), address(1));
    let (now, to) = (wire.time(), wire.nodes[other].address);
    wire.nodes[0].endpoint.identify(now, 1, to);
    wire.drain(0);
    let end = wire.run_to_end(0, 1, Duration::from_secs(9));
    assert_eq!(end, Some(End::Failed(FailReason::Mismatch)));
    assert_eq!(wire.kinds(), [WHO, MISMATCH]);
}

#[test]
fn revisions_meet_at_the_highest_common_one() {
    let mut wire = Wire::new(1, 0, CALM);
    wire.add(
        Config {
            highest_version: 3,
            ..config(0)
        },
        address(0),
    );
    wire.add(
        Config {
            highest_version: 2,
            ..config(1)
        },
        address(1),
    );
    let end = wire.ask(0, 1, 1, b"x");
    assert_eq!(end, Some(End::Answer(Bytes::from_static(b"x"))));
    let last = wire.sent.len() - 2;
    assert_eq!(wire.kinds()[last..], [INIT, RESP]);
    assert_eq!(
        (wire.sent[last].bytes[1], wire.sent[last + 1].bytes[1]),
        (2, 2)
    );
    let usage = wire.nodes[0].endpoint.usage();
    assert_eq!((usage.in_flight, usage.attempts), (0, 0));
}

#[test]
fn revisions_without_a_common_one_fail() {
    let mut wire = Wire::new(1, 0, CALM);
    wire.add(
        Config {
            lowest_version: 3,
            highest_version: 3,
            ..config(0)
        },
        address(0),
    );
    wire.add(config(1), address(1));
    assert_eq!(
        wire.ask(0, 1, 1, b"x"),
        Some(End::Failed(FailReason::Mismatch))
    );
}

#[test]
fn a_forged_mismatch_does_not_stop_a_handshake() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.request(0, wire.outgoing(1, 1, b"x", true));
    let init = wire.sent[0].bytes.clone();
    let mut forged = vec![MISMATCH, 1, 1, 20];
    forged.extend(&init[4..8]);
    forged.extend(&init[16..24]);
    forged.extend([9; 8]);
    forged.extend([9; 4]);
    forged.extend([0; 4]);
    wire.inject(0, address(1), &forged);
    let end = wire.run_to_end(0, 1, Duration::from_secs(9));
    assert_eq!(end, Some(End::Answer(Bytes::from_static(b"x"))));
    wire.run(Duration::from_secs(9));
    assert_eq!(
        wire.nodes[0].count(|event| matches!(event, Event::Mismatch { .. })),
        0
    );
}

#[test]
fn no_more_than_twenty_mismatches_are_sent_in_a_second() {
    let mut wire = Wire::new(1, 1, CALM);
    let other = wire.add(foreign(1), address(1));
    for token in 0..50 {
        let (now, to) = (wire.time(), wire.nodes[other].address);
        wire.nodes[0].endpoint.identify(now, token, to);
        wire.drain(0);
    }
    wire.run(Duration::from_millis(100));
    let sent = wire.count(MISMATCH);
    assert_eq!(sent, 20);
    assert_eq!(
        wire.nodes[other]
            .endpoint
            .drops()
            .count(DropReason::MismatchRate),
        30
    );
}
