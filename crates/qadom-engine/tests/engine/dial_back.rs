//! How an engine tests for others whether they are reached.

use std::net::SocketAddr;

use qadom_engine::{Outgoing, RequestFailure};
use qadom_wire::{Answer, DialBack, Ping, Pong, Reason, Request};

use crate::one::{One, far, node_key};

fn engine(is_local: bool) -> One {
    One::with(|config| config.local = is_local)
}

/// The question of a numbered node, or about it.
fn dial(number: u8, address: SocketAddr) -> Request {
    let key = node_key(number);
    Request::DialBack(DialBack { address, key })
}

fn refused(reason: Reason) -> Answer {
    Answer::Refused(reason)
}

/// Lets node 9 ask, and gives to whom the question was passed.
fn pass(one: &mut One) -> Option<Outgoing> {
    let question = dial(9, far(9));
    one.ask_from(9, far(9), &question);
    let sent = one.sent(false);
    assert!(sent.len() <= 1);
    sent.into_iter().next().map(|(outgoing, request)| {
        assert_eq!(request, question);
        outgoing
    })
}

#[test]
fn what_the_third_node_found_is_reported() {
    for is_local in [false, true] {
        for reached in [false, true] {
            let mut one = engine(is_local);
            one.meet_far([1]);
            let third = pass(&mut one).unwrap();
            assert_eq!(third.key, node_key(1));
            one.reply(&third, &Answer::DialedBack { reached });
            assert_eq!(one.answer(), Answer::DialedBack { reached });
        }
    }
}

#[test]
fn the_address_has_to_be_where_the_question_comes_from() {
    for is_local in [false, true] {
        let mut one = engine(is_local);
        one.meet_far([1]);
        one.ask_from(9, far(9), &dial(9, far(8)));
        assert_eq!(one.answer(), refused(Reason::NotYours));
        // Another port of the same IP is the asker's own affair.
        let mut port = far(9);
        port.set_port(1);
        one.ask_from(9, far(9), &dial(9, port));
        assert_eq!(one.sent(false).len(), 1);
    }
}

#[test]
fn an_unconfirmed_session_and_nonsense_are_refused() {
    let mut one = engine(false);
    one.meet_far([1]);
    one.ask_as(9, &dial(9, crate::one::address(9)), false);
    assert_eq!(one.answer(), refused(Reason::NotConfirmed));
    one.pass(700);
    one.effects();
    for (number, address) in [
        (0, far(0)),
        (8, SocketAddr::from(([0, 0, 0, 0], 7))),
        (8, SocketAddr::from(([60, 8, 0, 1], 0))),
        (8, SocketAddr::from(([192, 168, 0, 1], 7))),
    ] {
        one.ask_from(9, far(9), &dial(number, address));
        assert_eq!(one.answer(), refused(Reason::Malformed), "{address}");
    }
}

#[test]
fn the_third_node_stands_in_another_address_group_except_in_local_mode() {
    let near = SocketAddr::from(([60, 9, 7, 7], 7236));
    for is_local in [false, true] {
        let mut one = engine(is_local);
        one.confirm(1, near, &crate::one::STORING);
        // The asker itself is no third node.
        one.confirm(9, far(9), &crate::one::STORING);
        one.effects();
        assert_eq!(pass(&mut one).is_some(), is_local);
    }
}

#[test]
fn who_is_not_willing_is_replaced_three_times() {
    let mut one = engine(false);
    one.meet_far(1..=4);
    let mut third = pass(&mut one).unwrap();
    let mut asked = vec![third.key];
    for _ in 0..2 {
        one.reply(&third, &refused(Reason::Busy));
        third = one.sent(false).remove(0).0;
        asked.push(third.key);
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 3);
    one.reply(&third, &refused(Reason::Busy));
    assert_eq!(one.answer(), refused(Reason::Busy));
}

#[test]
fn a_silent_third_node_says_nothing_about_the_asker() {
    let mut one = engine(false);
    one.meet_far([1]);
    let third = pass(&mut one).unwrap();
    let failure = RequestFailure::Timeout;
    one.engine.on_failed(one.now, third.id, &failure);
    assert_eq!(one.answer(), refused(Reason::Timeout));
}

#[test]
fn nobody_is_tested_twice_in_a_minute() {
    for is_local in [false, true] {
        let mut one = engine(is_local);
        one.meet_far([1]);
        let mut ask = |seconds| {
            one.now.moment = one.now.moment + std::time::Duration::from_secs(seconds);
            one.ask_from(9, far(9), &dial(9, far(9)));
            let effects = one.effects();
            let passed = |effect| matches!(effect, qadom_engine::Effect::Request(_));
            effects.into_iter().any(passed)
        };
        assert_eq!([ask(0), ask(59), ask(1)], [true, false, true]);
    }
}

#[test]
fn sixty_four_nodes_are_tested_in_a_minute() {
    let mut one = engine(false);
    one.meet_far([1]);
    for number in 100..164 {
        one.ask_from(number, far(number), &dial(number, far(number)));
        assert_eq!(one.sent(false).len(), 1, "{number}");
    }
    one.ask_from(164, far(164), &dial(164, far(164)));
    assert_eq!(one.answer(), refused(Reason::RateLimited));
}

#[test]
fn as_third_node_the_engine_calls_and_says_what_came_of_it() {
    let busy = RequestFailure::Busy {
        retry_after: std::time::Duration::from_secs(1),
    };
    let ends = [
        (None, Answer::DialedBack { reached: true }),
        (Some(busy), Answer::DialedBack { reached: true }),
        (
            Some(RequestFailure::Timeout),
            Answer::DialedBack { reached: false },
        ),
        (
            Some(RequestFailure::WrongKey),
            Answer::DialedBack { reached: false },
        ),
        (Some(RequestFailure::Overloaded), refused(Reason::Busy)),
    ];
    for (failure, expected) in ends {
        let mut one = engine(true);
        one.ask_from(9, far(9), &dial(8, far(8)));
        let (probe, request) = one.sent(true).remove(0);
        assert_eq!((probe.key, probe.address), (node_key(8), far(8)));
        assert_eq!(request, Request::Ping(Ping::default()));
        match failure {
            None => one.reply(&probe, &Answer::Pong(Pong::default())),
            Some(failure) => one.engine.on_failed(one.now, probe.id, &failure),
        }
        assert_eq!(one.answer(), expected);
    }
}

#[test]
fn who_was_heard_from_in_the_last_ten_minutes_is_not_called() {
    for (silence, is_local, is_called) in [(599, false, false), (600, false, true), (0, true, true)]
    {
        let mut one = engine(is_local);
        one.pass(1000);
        one.confirm(8, far(8), &crate::one::STORING);
        one.effects();
        one.pass(silence);
        one.effects();
        one.ask_from(9, far(9), &dial(8, far(8)));
        assert_eq!(one.sent(true).len() == 1, is_called, "{silence} s");
    }
}

#[test]
fn an_engine_that_just_began_does_not_know_whom_it_heard() {
    for (age, is_called) in [(599, false), (600, true)] {
        let mut one = engine(false);
        one.pass(age);
        one.effects();
        one.ask_from(9, far(9), &dial(8, far(8)));
        assert_eq!(one.sent(true).len() == 1, is_called);
    }
}

#[test]
fn an_ip_address_is_called_once_a_minute_whatever_the_keys_except_in_local_mode() {
    for is_local in [false, true] {
        let mut one = engine(is_local);
        one.pass(600);
        one.effects();
        one.ask_from(9, far(9), &dial(8, far(8)));
        assert_eq!(one.sent(true).len(), 1);
        one.ask_from(9, far(9), &dial(7, far(8)));
        assert_eq!(one.sent(true).len() == 1, is_local);
    }
}
