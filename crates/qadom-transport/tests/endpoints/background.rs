//! Background requests: the budget holds over every span, and nobody who waits pays for it.

use std::time::Duration;

use proptest::prelude::*;
use qadom_transport::{FailReason, Limits, Outgoing};

use crate::wire::{CALM, COOKIE, DATA, End, INIT, Weather, Wire, address, config};

const RATE: u32 = 64_000;
const BURST: usize = 16 * 1024;

fn background(wire: &Wire, to: usize, token: u64, body: &[u8], first_ok: bool) -> Outgoing {
    Outgoing {
        is_background: true,
        ..wire.outgoing(to, token, body, first_ok)
    }
}

/// What a node sent for its requests: everything but empty packets, questions for pieces and what
/// answers others.
fn sent_by(wire: &Wire, node: usize) -> Vec<(Duration, usize)> {
    let from = wire.nodes[node].address;
    let sent = wire.sent.iter().filter(|sent| sent.from == from);
    sent.filter(|sent| sent.bytes[0] == INIT || sent.bytes[0] == DATA && sent.bytes.len() > 64)
        .map(|sent| (sent.at, sent.bytes.len()))
        .collect()
}

/// By how much the worst span exceeds the budget, and the burst that it may have.
fn excess(sent: &[(Duration, usize)]) -> Option<usize> {
    let spans = (0..sent.len()).flat_map(|from| {
        let mut sum = 0;
        sent[from..].iter().map(move |(at, bytes)| {
            sum += bytes;
            let allowed = at.saturating_sub(sent[from].0).as_secs_f64() * f64::from(RATE);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes of a test"
            )]
            let allowed = allowed.ceil() as usize + BURST;
            sum.saturating_sub(allowed)
        })
    });
    spans.max().filter(|excess| *excess > 0)
}

proptest! {
    #[test]
    fn no_span_exceeds_the_budget_and_every_request_ends(
        seed: u64,
        loss in 0..40u32,
        copies in 0..10u32,
        requests in prop::collection::vec((1..6usize, 1..8900usize, any::<bool>(), 0..400u64), 1..60),
    ) {
        let jitter = Duration::from_millis(15);
        let mut wire = Wire::new(seed, 5, Weather { jitter, loss, copies, ..CALM });
        // One of them asks for cookies, and one address is silent.
        let mut loaded = config(5);
        loaded.limits = Limits { handshake_capacity: 1, local: true, ..Limits::default() };
        wire.add(loaded, address(5));
        wire.silent.insert(address(4));
        for (token, (to, length, first_ok, pause)) in requests.iter().enumerate() {
            let body = vec![7; *length];
            let outgoing = background(&wire, *to, token as u64, &body, *first_ok);
            let (began, paid) = (wire.now, wire.nodes[0].endpoint.background_bytes(wire.time()));
            wire.request(0, outgoing);
            wire.run(Duration::from_millis(*pause));
            let paid = wire.nodes[0].endpoint.background_bytes(wire.time()) - paid;
            let most = wire.since(began).as_micros() * u128::from(RATE) / 1_000_000 + 1;
            prop_assert!(u128::from(paid) <= most, "{} bytes were told of {}", paid, most);
        }
        wire.run(Duration::from_mins(3));
        prop_assert_eq!(excess(&sent_by(&wire, 0)), None);
        for token in 0..requests.len() as u64 {
            prop_assert!(wire.end(0, token).is_some(), "token {}", token);
        }
        prop_assert_eq!(wire.nodes[0].endpoint.usage().background, 0);
        prop_assert_eq!(wire.nodes[0].endpoint.usage().in_flight, 0);
    }
}

#[test]
fn a_request_that_somebody_waits_for_goes_first() {
    let mut wire = Wire::new(1, 3, CALM);
    wire.ask(0, 1, 1000, b"x");
    for token in 0..100 {
        wire.request(
            0,
            background(&wire, 1 + usize::from(token > 50), token, &[1; 8000], false),
        );
    }
    assert!(wire.nodes[0].endpoint.usage().background > 80);
    let began = wire.now;
    // With a session, and without one while a background request waits for the handshake.
    for (to, token) in [(1, 2000), (2, 2001)] {
        assert!(matches!(wire.ask(0, to, token, b"x"), Some(End::Answer(_))));
    }
    assert!(
        wire.since(began) < Duration::from_millis(200),
        "{:?}",
        wire.since(began)
    );
    wire.run(Duration::from_secs(40));
    assert!((0..100).all(|token| matches!(wire.end(0, token), Some(End::Answer(_)))));
    assert_eq!(wire.count(COOKIE), 0);
}

#[test]
fn a_long_line_fails_the_next_background_request_alone() {
    let mut wire = Wire::new(1, 1, CALM);
    let mut limited = config(1);
    limited.limits.background_queue = 3;
    let node = wire.add(limited, address(1));
    wire.ask(node, 0, 1000, b"x");
    for token in 0..30 {
        wire.request(node, background(&wire, 0, token, &[1; 8000], false));
    }
    assert_eq!(wire.nodes[node].endpoint.usage().background, 3);
    assert_eq!(
        wire.end(node, 29),
        Some(End::Failed(FailReason::Overloaded))
    );
    assert!(matches!(
        wire.ask(node, 0, 1001, b"x"),
        Some(End::Answer(_))
    ));
}

#[test]
fn a_probe_of_the_background_waits_too() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1000, b"x");
    for token in 0..30 {
        wire.request(0, background(&wire, 1, token, &[1; 8000], false));
    }
    let inits = wire.count(INIT);
    let outgoing = background(&wire, 1, 30, b"x", true);
    let now = wire.time();
    wire.nodes[0].endpoint.probe(now, outgoing);
    wire.drain(0);
    assert_eq!(wire.count(INIT), inits);
    wire.run(Duration::from_secs(20));
    assert_eq!(wire.count(INIT), inits + 1);
    assert!(matches!(wire.end(0, 30), Some(End::Answer(_))));
}
