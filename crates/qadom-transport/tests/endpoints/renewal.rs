//! Sessions that come to their term, and revisions that are remembered.

use std::time::Duration;

use qadom_transport::{Config, Event};

use crate::wire::{CALM, End, INIT, MISMATCH, Wire, address, config};

fn gone(event: &Event) -> bool {
    matches!(event, Event::Gone { .. })
}

#[test]
fn a_session_in_use_is_replaced_before_its_day_ends() {
    let mut wire = Wire::new(1, 2, CALM);
    for token in 0..1500 {
        let (from, to) = if token % 2 == 0 { (0, 1) } else { (1, 0) };
        let begin = wire.now;
        let end = wire.ask(from, to, token, b"x");
        assert!(
            matches!(end, Some(End::Answer(_))),
            "token {token}: {end:?}"
        );
        assert_eq!(wire.since(begin), Duration::from_millis(20));
        wire.run(Duration::from_mins(1));
    }
    assert_eq!(wire.count(INIT), 2);
    for node in 0..2 {
        assert_eq!(wire.nodes[node].count(gone), 0);
        assert_eq!(wire.nodes[node].endpoint.usage().sessions, 1);
    }
}

#[test]
fn a_renewal_that_fails_is_tried_by_the_other_side() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 0, b"x");
    let keys = [wire.key(0), wire.key(1)];
    wire.nodes[0].endpoint.pin(keys[1]);
    wire.nodes[1].endpoint.pin(keys[0]);
    wire.run(Duration::from_mins(23 * 60 + 25));
    let bob = wire.nodes[1].address;
    wire.silent.insert(bob);
    wire.run(Duration::from_mins(10));
    assert_eq!(wire.count(INIT), 1 + 3);
    wire.silent.clear();
    wire.run(Duration::from_hours(2));
    let last = wire
        .sent
        .iter()
        .rfind(|sent| sent.bytes[0] == INIT)
        .unwrap();
    assert_eq!((last.from, wire.count(INIT)), (bob, 5));
    for node in 0..2 {
        assert_eq!(wire.nodes[node].count(gone), 0);
        assert_eq!(wire.nodes[node].endpoint.usage().sessions, 1);
    }
}

#[test]
fn the_revision_of_an_older_peer_is_remembered_for_a_day() {
    let mut wire = Wire::new(1, 0, CALM);
    let new = Config {
        highest_version: 3,
        ..config(0)
    };
    wire.add(new, address(0));
    wire.add(config(1), address(1));
    wire.ask(0, 1, 0, b"x");
    let refused = wire.count(MISMATCH);
    assert!(refused > 0);
    for token in 1..40 {
        wire.run(Duration::from_mins(35));
        let begin = (wire.now, wire.sent.len());
        let end = wire.ask(0, 1, token, b"x");
        assert!(matches!(end, Some(End::Answer(_))));
        assert_eq!(wire.sent[begin.1].bytes[..2], [INIT, 1]);
        assert_eq!(wire.since(begin.0), Duration::from_millis(20));
    }
    assert_eq!(wire.count(MISMATCH), refused);
    wire.run(Duration::from_hours(2));
    let begin = wire.sent.len();
    wire.ask(0, 1, 99, b"x");
    assert_eq!(wire.sent[begin].bytes[..2], [INIT, 3]);
}
