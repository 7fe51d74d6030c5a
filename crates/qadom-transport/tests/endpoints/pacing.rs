//! Pieces of long messages leave over a quarter of a round trip.

use std::time::Duration;

use qadom_transport::Event;

use crate::wire::{CALM, End, Service, Weather, Wire, long};

/// Two nodes that know the round trip to each other.
fn acquainted(latency: Duration) -> Wire {
    let mut wire = Wire::new(1, 2, Weather { latency, ..CALM });
    for token in 0..20 {
        wire.ask(0, 1, token, b"x");
        wire.ask(1, 0, token, b"x");
    }
    wire.run(Duration::from_secs(1));
    wire
}

/// When a node sent its datagrams since then, and how long they were.
fn sent_by(wire: &Wire, node: usize, since: usize) -> Vec<(u128, usize)> {
    let from = wire.nodes[node].address;
    let sent: Vec<_> = wire.sent[since..]
        .iter()
        .filter(|sent| sent.from == from)
        .collect();
    let first = sent.first().map_or(Duration::ZERO, |first| first.at);
    let after = |at: Duration| at.saturating_sub(first).as_millis();
    sent.iter()
        .map(|sent| (after(sent.at), sent.bytes.len()))
        .collect()
}

#[test]
fn pieces_of_an_answer_are_spread_and_none_is_asked_for_again() {
    let mut wire = acquainted(Duration::from_millis(60));
    wire.nodes[1].service = Service::Long(8192);
    let since = wire.sent.len();
    let end = wire.ask(0, 1, 100, b"x");
    assert_eq!(end, Some(End::Answer(long(b"x", 8192))));
    // The first four within 30 ms; the others when they were asked for, a round trip later.
    let pieces = [0, 10, 20, 30, 150, 160, 170, 180].map(|at| (at, 1200));
    let mut sent = sent_by(&wire, 1, since);
    sent[7].1 = 1200;
    assert_eq!(sent, pieces);
    assert_eq!(sent_by(&wire, 0, since), [(0, 64), (150, 64)]);
}

#[test]
fn a_request_in_pieces_counts_as_sent_when_the_last_one_has_left() {
    let mut wire = acquainted(Duration::from_millis(60));
    let since = wire.sent.len();
    let body = long(b"y", 4000);
    wire.request(0, wire.outgoing(1, 100, &body, false));
    wire.run_to_end(0, 100, Duration::from_secs(5));
    let sent = sent_by(&wire, 0, since);
    let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
    // The answer comes in four pieces, too: nothing is asked for, and nothing sent twice.
    assert_eq!(times, [0, 10, 20, 30]);
    assert_eq!(wire.end(0, 100), Some(End::Answer(body)));
    let is_slow = |event: &Event| matches!(event, Event::Slow { .. });
    assert_eq!(wire.nodes[0].count(is_slow), 0);
}

#[test]
fn on_a_short_way_all_pieces_leave_at_once() {
    let mut wire = acquainted(Duration::from_millis(5));
    wire.nodes[1].service = Service::Long(4000);
    let since = wire.sent.len();
    wire.ask(0, 1, 100, b"x");
    let times: Vec<_> = sent_by(&wire, 1, since).iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0; 4]);
}
