//! What an engine does by itself about its neighbours: signs of life by the clock alone, what a
//! newcomer and those who stay are brought, and what all that costs.

use std::time::Duration;

use crate::neighbours::Neighbours;
use crate::one::{One, value};
use crate::signed::{STORED, item};
use qadom_engine::{Cause, Effect, Mode, Outcome, Outgoing, WriteOptions};
use qadom_routing::Contact;
use qadom_store::Store as _;
use qadom_wire::{Answer, Reason, Record, Request, StoreItem, StoreResult};

fn request(outgoing: &Outgoing) -> Request {
    Request::decode(outgoing.body.clone()).unwrap()
}

fn pings(one: &mut One) -> usize {
    let mut pings = 0;
    one.run(|outgoing| {
        pings += usize::from(matches!(request(outgoing), Request::Ping(_)));
        None
    });
    pings
}

#[test]
fn no_packet_of_a_stranger_makes_a_node_ask_anybody() {
    let mut one = One::trusting();
    one.meet_far(1..120);
    // Whatever the first contacts led to.
    one.pass(120);
    one.run(|_| Some(Answer::Contacts(Vec::new())));
    one.pass(120);
    one.run(|_| Some(Answer::Contacts(Vec::new())));
    one.meet_far(120..250);
    assert_eq!(pings(&mut one), 0);
}

#[test]
fn contacts_are_asked_for_signs_of_life_when_they_have_been_silent() {
    let mut one = One::trusting();
    one.meet_far([1, 2]);
    one.pass(4 * 60);
    assert_eq!(pings(&mut one), 0);
    for _ in 0..3 {
        one.pass(60);
    }
    assert!(pings(&mut one) >= 2);
    let costs = one.engine.status().costs;
    let line = costs.iter().find(|line| line.cause == Cause::Revalidation);
    assert!(line.unwrap().cost.bytes_out >= 2 * 92);
}

#[test]
fn a_newcomer_is_brought_what_it_is_to_hold() {
    for hands_over in [true, false] {
        let mut world = Neighbours::new(3, |config| config.hands_over = hands_over);
        let copy = StoreItem {
            ttl_seconds: 36 * 3600,
            ..item(Record::Value(value(b"held")))
        };
        assert_eq!(world.nodes[0].store(copy), STORED);
        world.live(0, 61);
        let held = |world: &Neighbours| {
            let nodes = world.nodes.iter();
            nodes.filter(|one| one.store.stats().records > 0).count()
        };
        assert_eq!(held(&world), if hands_over { 3 } else { 1 });
    }
}

/// Takes all that is brought and knows nobody.
fn taking(outgoing: &Outgoing, brought: &mut usize) -> Option<Answer> {
    match request(outgoing) {
        Request::FindNode(_) => Some(Answer::Contacts(Vec::<Contact>::new())),
        Request::Store(store) => {
            *brought += store.items.len();
            let stored = StoreResult::Stored {
                committed: true,
                conflict: false,
            };
            Some(Answer::Stored(vec![stored; store.items.len()]))
        }
        _ => None,
    }
}

#[test]
fn a_node_that_becomes_a_client_brings_what_it_holds_to_others_and_stores_no_more() {
    let mut one = One::trusting();
    one.meet_far([1, 2]);
    let copy = |payload: &[u8]| StoreItem {
        ttl_seconds: 36 * 3600,
        ..item(Record::Value(value(payload)))
    };
    for payload in [&b"one"[..], b"two", b"three"] {
        assert_eq!(one.store(copy(payload)), STORED);
    }
    one.engine.set_mode(one.now, Mode::Client);
    one.pass(1);
    let mut brought = 0;
    one.run(|outgoing| taking(outgoing, &mut brought));
    assert_eq!(brought, 2 * 3);
    let held = one.store.stats().records;
    assert_eq!(held, 3, "its own copies stay");
}

#[test]
fn a_node_that_ends_says_when_others_have_everything() {
    let mut one = One::trusting();
    one.meet_far([1, 2]);
    one.engine
        .put(one.now, "mine".into(), WriteOptions::default());
    one.run(|_| Some(Answer::Refused(Reason::Busy)));
    let left = one.engine.leave(one.now);
    let mut brought = 0;
    let others = one.run(|outgoing| taking(outgoing, &mut brought));
    assert_eq!(brought, 2);
    let is_left = |effect: &Effect| {
        matches!(effect, Effect::Done { operation, result: Ok(Outcome::HandedOver(handed)) }
            if *operation == left && handed.slots == 1)
    };
    assert!(others.iter().any(is_left), "{others:?}");
    let alone = &mut One::trusting();
    alone.engine.leave(alone.now);
    let result = alone.outcome(|_| None);
    assert!(matches!(result, Ok(Outcome::HandedOver(handed)) if handed.slots == 0));
}

#[test]
fn a_node_that_ends_among_dead_neighbours_waits_no_longer_than_an_answer_takes() {
    let is_left = |effects: Vec<Effect>| {
        let mut outcomes = effects.into_iter().filter_map(|effect| match effect {
            Effect::Done { result, .. } => Some(result),
            _ => None,
        });
        let outcome = outcomes.next();
        outcome.map(|result| matches!(result, Ok(Outcome::HandedOver(handed)) if handed.slots == 0))
    };
    let mut one = One::trusting();
    one.meet_far([1, 2]);
    one.engine
        .put(one.now, "mine".into(), WriteOptions::default());
    one.run(|_| Some(Answer::Refused(Reason::Busy)));
    one.engine.leave(one.now);
    let asked = one.sent(false);
    assert!(!asked.is_empty(), "somebody is asked");
    one.pass(2);
    let (first, _) = &asked[0];
    one.answer_with(first, &Answer::Contacts(Vec::new()));
    one.pass(2);
    assert_eq!(is_left(one.effects()), None, "somebody answered 2 s ago");
    let due = one.engine.next_deadline().unwrap();
    assert!(due <= one.now.moment + Duration::from_secs(1));
    one.pass(1);
    assert_eq!(is_left(one.effects()), Some(true));
    one.pass(10);
    assert_eq!(is_left(one.effects()), None, "it ends once");
}

#[test]
fn a_network_that_is_known_whole_is_counted() {
    let mut world = Neighbours::new(5, |_| ());
    let size = world.nodes[0].engine.status().network_size;
    assert!((size.nodes - 5.0).abs() < f64::EPSILON);
    world.live(0, 3 * 60);
    let size = world.nodes[0].engine.status().network_size;
    assert_eq!((size.nodes.round(), size.error), (5.0, 0.0));
    assert!(world.nodes[0].engine.status().replicate_every <= Duration::from_hours(1));
}
