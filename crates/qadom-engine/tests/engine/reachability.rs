//! What an engine makes of the tests whether it is reached.

use std::net::SocketAddr;
use std::time::Duration;

use qadom_engine::{Addresses, Config, Effect, Mode, Outgoing, Reachability, RequestFailure};
use qadom_wire::{Answer, DialBack, Reason, Request, Store, StoreClass, StoreItem};

use crate::one::{One, far, node_key, value};

fn own() -> SocketAddr {
    SocketAddr::from(([70, 0, 0, 1], 7236))
}

/// An engine that knows its address and some peers.
fn engine(peers: u8, configure: impl FnOnce(&mut Config)) -> One {
    let mut one = One::with(|config| {
        config.advertised = Addresses::at(own());
        configure(config);
    });
    one.meet_far(1..=peers);
    one
}

/// Lets at most this much time pass until the engine has itself tested.
fn helper(one: &mut One, at_most: Duration) -> Option<Outgoing> {
    let until = one.now.moment + at_most;
    while let Some(due) = one.engine.next_deadline().filter(|due| *due <= until) {
        let passed = due.since(one.now.moment);
        one.now.moment = due;
        one.now.utc_micros += u64::try_from(passed.as_micros()).unwrap();
        one.engine.on_deadline(one.now);
        let sent = one.sent(false).into_iter();
        let mut tests = sent.filter(|(_, request)| matches!(request, Request::DialBack(_)));
        if let Some((outgoing, request)) = tests.next() {
            let (address, key) = (own(), node_key(0));
            assert_eq!(request, Request::DialBack(DialBack { address, key }));
            return Some(outgoing);
        }
    }
    one.now.moment = until;
    None
}

/// Lets the next test say something, and gives who helped.
fn test(one: &mut One, answer: &Answer) -> Outgoing {
    let outgoing = helper(one, Duration::from_mins(17)).expect("a test");
    one.reply(&outgoing, answer);
    outgoing
}

const REACHED: Answer = Answer::DialedBack { reached: true };
const NOT_REACHED: Answer = Answer::DialedBack { reached: false };

#[test]
fn fewer_than_three_peers_say_nothing() {
    let mut one = engine(2, |_| {});
    assert!(helper(&mut one, Duration::from_hours(1)).is_none());
    let status = one.engine.status();
    assert_eq!(status.reachability, Reachability::Unknown);
    assert!(status.tested_at.is_some());
    assert_eq!(status.mode, Mode::Storing);
    one.meet_far([3]);
    assert!(helper(&mut one, Duration::from_mins(17)).is_some());
}

#[test]
fn a_reachable_node_is_tested_every_quarter_of_an_hour() {
    let mut one = engine(3, |_| {});
    let first = helper(&mut one, Duration::from_secs(34)).unwrap();
    one.reply(&first, &REACHED);
    let status = one.engine.status();
    assert_eq!(status.reachability, Reachability::Reachable);
    assert_eq!(status.tested_at, Some(one.now.moment));
    assert!(helper(&mut one, Duration::from_mins(13)).is_none());
    assert!(helper(&mut one, Duration::from_mins(4)).is_some());
}

#[test]
fn two_peers_that_do_not_reach_a_node_make_it_a_client_until_one_does() {
    for is_local in [false, true] {
        let mut one = engine(5, |config| config.local = is_local);
        let first = test(&mut one, &NOT_REACHED);
        let status = one.engine.status();
        assert_eq!(status.reachability, Reachability::Unreachable);
        assert_eq!(status.mode, Mode::Storing);
        let second = helper(&mut one, Duration::from_secs(80)).expect("a second opinion");
        assert_ne!(first.key, second.key);
        one.reply(&second, &NOT_REACHED);
        assert_eq!(one.engine.status().mode, Mode::Client);
        let hello = one.effects().into_iter().find_map(|effect| match effect {
            Effect::Hello(hello) => Some(hello),
            _ => None,
        });
        assert!(!hello.unwrap().storing);
        test(&mut one, &NOT_REACHED);
        assert_eq!(one.engine.status().mode, Mode::Client);
        test(&mut one, &REACHED);
        assert_eq!(one.engine.status().mode, Mode::Storing);
        assert!(one.engine.hello().storing);
    }
}

#[test]
fn a_success_between_two_failures_keeps_the_mode() {
    let mut one = engine(5, |_| {});
    for answer in [&NOT_REACHED, &REACHED, &NOT_REACHED] {
        test(&mut one, answer);
        assert_eq!(one.engine.status().mode, Mode::Storing);
    }
}

#[test]
fn the_second_opinion_comes_from_another_address_group_except_in_local_mode() {
    for is_local in [false, true] {
        let mut one = engine(0, |config| config.local = is_local);
        for number in 1..=4 {
            let near = SocketAddr::from(([60, 1, number, 1], 7236));
            one.confirm(number, near, &crate::one::STORING);
        }
        one.effects();
        test(&mut one, &NOT_REACHED);
        let second = helper(&mut one, Duration::from_secs(80));
        assert_eq!(second.is_some(), is_local);
    }
}

#[test]
fn a_mode_that_was_set_stays() {
    for fix in [true, false] {
        let mut one = engine(5, |config| config.mode_is_fixed = fix);
        if !fix {
            one.engine.set_mode(one.now, Mode::Storing);
        }
        for _ in 0..4 {
            test(&mut one, &NOT_REACHED);
        }
        assert_eq!(one.engine.status().mode, Mode::Storing);
        assert_eq!(one.engine.status().reachability, Reachability::Unreachable);
    }
}

#[test]
fn who_asked_to_be_a_client_stays_one_when_reached() {
    let mut one = engine(5, |config| config.mode = Mode::Client);
    test(&mut one, &REACHED);
    assert_eq!(one.engine.status().mode, Mode::Client);
}

#[test]
fn a_test_that_says_nothing_changes_nothing_and_is_made_again() {
    let mut one = engine(5, |_| {});
    test(&mut one, &NOT_REACHED);
    let busy = Answer::Refused(Reason::Busy);
    test(&mut one, &busy);
    let outgoing = helper(&mut one, Duration::from_mins(17)).unwrap();
    one.engine
        .on_failed(one.now, outgoing.id, &RequestFailure::Timeout);
    let status = one.engine.status();
    assert_eq!(status.reachability, Reachability::Unreachable);
    assert_eq!(status.mode, Mode::Storing);
    test(&mut one, &NOT_REACHED);
    assert_eq!(one.engine.status().mode, Mode::Client);
}

#[test]
fn a_new_address_is_tested_at_once_and_the_old_result_is_void() {
    let mut one = One::with(|config| config.local = true);
    one.meet_far(1..=4);
    let new = SocketAddr::from(([71, 0, 0, 1], 7236));
    let observe = |one: &mut One, seen| {
        for number in 1..=4 {
            one.confirm(number, far(number), &crate::one::STORING);
            one.engine.on_observed(one.now, &node_key(number), seen);
        }
        one.effects();
    };
    observe(&mut one, own());
    test(&mut one, &REACHED);
    observe(&mut one, new);
    let status = one.engine.status();
    assert_eq!(status.reachability, Reachability::Unknown);
    assert_eq!(status.tested_at, None);
    one.pass(6);
    let sent = one.sent(false);
    let (address, key) = (new, node_key(0));
    let question = Request::DialBack(DialBack { address, key });
    assert!(sent.iter().any(|(_, request)| *request == question));
}

#[test]
fn a_node_that_became_a_client_stores_for_nobody() {
    let mut one = One::new(Mode::Storing);
    one.meet_far([9]);
    one.engine.set_mode(one.now, Mode::Client);
    one.effects();
    let item = StoreItem {
        record: qadom_wire::Record::Value(value(b"v")),
        class: StoreClass::FirstHand,
        ttl_seconds: 60,
        group: None,
        exclusive: false,
    };
    one.ask(&Request::Store(Store { items: vec![item] }), true);
    assert_eq!(one.answer(), Answer::Refused(Reason::ClientMode));
    assert_eq!(one.engine.status().peers, 1, "it still knows its peers");
}
