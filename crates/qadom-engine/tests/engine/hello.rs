//! What an engine says of itself, and what it believes of what others say of themselves.

use std::net::SocketAddr;
use std::time::Duration;

use qadom_engine::{Addresses, Effect, Mode, ReadFrom, RequestFailure};
use qadom_routing::{Contact, Families, Key};
use qadom_wire::{Answer, Found, Hello, Ping, Pong, Request};

use crate::one::{One, STORING, far, node_key};

fn seen() -> SocketAddr {
    SocketAddr::from(([70, 0, 0, 1], 7236))
}

/// Lets a numbered node tell which address it sees.
fn vote(one: &mut One, number: u8, observed: SocketAddr) {
    let key = node_key(number);
    one.confirm(number, far(number), &STORING);
    one.engine.on_observed(one.now, &key, observed);
}

fn hellos(effects: &[Effect]) -> Vec<Hello> {
    let hellos = effects.iter().filter_map(|effect| match effect {
        Effect::Hello(hello) => Some(*hello),
        _ => None,
    });
    hellos.collect()
}

fn advertising(address: SocketAddr) -> Hello {
    let Addresses { v4, v6 } = Addresses::at(address);
    Hello { v4, v6, ..STORING }
}

/// Where the engine finds a numbered node.
fn place(one: &One, number: u8) -> Contact {
    one.engine.contact(&node_key(number).id()).unwrap()
}

#[test]
fn three_address_groups_that_agree_change_the_hello() {
    let mut one = One::new(Mode::Storing);
    vote(&mut one, 1, seen());
    vote(&mut one, 2, seen());
    // A second node of a group that has voted.
    one.confirm(9, SocketAddr::from(([60, 2, 9, 9], 1)), &STORING);
    one.engine.on_observed(one.now, &node_key(9), seen());
    assert!(hellos(&one.effects()).is_empty());
    vote(&mut one, 3, seen());
    assert_eq!(hellos(&one.effects()), [advertising(seen())]);
    assert_eq!(one.engine.hello(), advertising(seen()));
    let status = one.engine.status();
    assert_eq!(status.addresses, Addresses::at(seen()));
    assert_eq!(status.observed, Addresses::at(seen()));
}

#[test]
fn in_local_mode_one_peer_is_enough() {
    let mut one = One::with(|config| config.local = true);
    vote(&mut one, 1, seen());
    assert_eq!(hellos(&one.effects()), [advertising(seen())]);
}

#[test]
fn an_advertised_address_overrides_what_peers_observe() {
    let told = SocketAddr::from(([80, 0, 0, 1], 1));
    for is_local in [false, true] {
        let mut one = One::with(|config| {
            config.local = is_local;
            config.advertised = Addresses::at(told);
        });
        assert_eq!(one.engine.hello(), advertising(told));
        (1..10).for_each(|number| vote(&mut one, number, seen()));
        assert!(hellos(&one.effects()).is_empty());
        assert_eq!(one.engine.status().observed, Addresses::at(seen()));
    }
}

#[test]
fn a_pong_tells_the_address_too() {
    let mut one = One::with(|config| config.local = true);
    one.meet_far([1]);
    one.engine.ping(one.now, place(&one, 1));
    let sent = one.sent(false);
    let observed = Some(seen());
    let pong = Pong {
        observed,
        ..Pong::default()
    };
    one.reply(&sent[0].0, &Answer::Pong(pong));
    assert_eq!(one.engine.status().observed, Addresses::at(seen()));
}

#[test]
fn contacts_are_told_of_a_change_one_after_the_other() {
    let mut one = One::new(Mode::Storing);
    one.meet_far(1..=5);
    one.engine.set_mode(one.now, Mode::Client);
    let mut told = Vec::new();
    for _ in 0..5 {
        one.engine.on_deadline(one.now);
        let sent = one.sent(false);
        assert_eq!(sent.len(), 1);
        let hello = Some(Hello::default());
        assert_eq!(sent[0].1, Request::Ping(Ping { hello }));
        told.push(sent[0].0.key);
        // Too early for the next one.
        one.engine.on_deadline(one.now);
        assert!(one.sent(false).is_empty());
        one.now.moment = one.now.moment + Duration::from_millis(50);
        let due = one.engine.next_deadline().unwrap();
        assert_eq!(due == one.now.moment, told.len() < 5);
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 5);
    one.engine.on_deadline(one.now);
    assert!(one.sent(false).is_empty());
}

#[test]
fn a_ping_with_a_hello_is_believed_in_a_confirmed_session_alone() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    let client = Request::Ping(Ping {
        hello: Some(Hello::default()),
    });
    one.ask_as(1, &client, false);
    assert_eq!(one.engine.status().peers, 1);
    one.ask_as(1, &client, true);
    assert_eq!(one.engine.status().peers, 0);
    let storing = Request::Ping(Ping {
        hello: Some(STORING),
    });
    one.ask_as(1, &storing, false);
    assert_eq!(one.engine.status().peers, 0);
    one.ask_as(1, &storing, true);
    assert_eq!(one.engine.status().peers, 1);
}

#[test]
fn an_advertised_address_counts_once_the_node_has_answered_there() {
    let mut one = One::new(Mode::Storing);
    let six: SocketAddr = "[2001:db8::1]:7".parse().unwrap();
    for (number, named, is_there) in [(1, seen(), true), (2, seen(), false), (3, six, true)] {
        one.confirm(number, far(number), &advertising(named));
        let probes = one.sent(true);
        assert_eq!(probes.len(), 1);
        let (probe, request) = &probes[0];
        assert_eq!((probe.key, probe.address), (node_key(number), named));
        assert_eq!(*request, Request::Ping(Ping::default()));
        let at_first = Contact::at(node_key(number), far(number), true);
        assert_eq!(place(&one, number), at_first);
        if is_there {
            one.reply(probe, &Answer::Pong(Pong::default()));
        } else {
            let failure = RequestFailure::Timeout;
            one.engine.on_failed(one.now, probe.id, &failure);
        }
        let mut expected = Addresses::at(far(number));
        if is_there {
            expected.set(named);
        }
        let Addresses { v4, v6 } = expected;
        let contact = Contact::new(node_key(number), v4, v6, true).unwrap();
        assert_eq!(place(&one, number), contact);
    }
    // A proven address stays, wherever packets come from, and is not tried again.
    one.confirm(1, far(1), &advertising(seen()));
    assert!(one.sent(true).is_empty());
    assert_eq!(place(&one, 1), Contact::at(node_key(1), seen(), true));
    // It goes with the advertisement.
    one.confirm(1, far(1), &STORING);
    assert_eq!(place(&one, 1), Contact::at(node_key(1), far(1), true));
}

#[test]
fn an_address_is_tried_once_in_ten_minutes() {
    let mut one = One::new(Mode::Storing);
    let mut tries = |seconds: u64, port: u16| {
        one.now.moment = one.now.moment + Duration::from_secs(seconds);
        let named = SocketAddr::from(([70, 0, 0, 1], port));
        one.confirm(1, far(1), &advertising(named));
        one.sent(true).len()
    };
    assert_eq!([tries(0, 1), tries(599, 2), tries(1, 2)], [1, 0, 1]);
}

#[test]
fn nobody_is_sent_into_the_private_network_of_this_node() {
    let private = SocketAddr::from(([192, 168, 0, 1], 7));
    for (is_local, from, tried) in [
        (false, far(1), 0),
        (false, SocketAddr::from(([10, 0, 0, 1], 7)), 1),
        (true, far(1), 1),
    ] {
        let mut one = One::with(|config| config.local = is_local);
        one.confirm(1, from, &advertising(private));
        assert_eq!(one.sent(true).len(), tried, "{from}");
    }
}

#[test]
fn an_address_that_the_engine_cannot_reach_is_not_tried() {
    let mut one = One::with(|config| {
        config.families = Families {
            v4: true,
            v6: false,
        };
    });
    let six: SocketAddr = "[2001:db8::1]:7".parse().unwrap();
    one.confirm(1, far(1), &advertising(six));
    assert!(one.sent(true).is_empty());
}

#[test]
fn an_answer_does_not_prove_the_address_that_somebody_else_told() {
    let mut one = One::new(Mode::Storing);
    one.meet_far([1]);
    let lie = Contact::at(node_key(1), seen(), true);
    one.engine
        .get(one.now, Key::ZERO, ReadFrom::Node(Box::new(lie)));
    let sent = one.sent(false);
    one.reply(&sent[0].0, &Answer::Found(Found::default()));
    assert_eq!(place(&one, 1), Contact::at(node_key(1), far(1), true));
}
