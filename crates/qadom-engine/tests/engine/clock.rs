//! How an engine follows the clocks of its peers.

use std::time::Duration;

use qadom_engine::{Mode, Outcome, ReadFrom, WriteOptions};
use qadom_wire::{Answer, Pong};

use crate::one::{One, far, node_key};
use qadom_routing::Contact;

const HOUR: u64 = 3_600_000_000;

/// Lets a numbered node answer with its clock this far ahead.
fn answer_ahead(one: &mut One, contact: Contact, micros: u64) {
    one.engine.ping(one.now, contact);
    let sent = one.sent(false);
    let (outgoing, _) = sent.last().unwrap();
    let body = Answer::Pong(Pong::default()).encode();
    let utc = Some(one.now.utc_micros + micros);
    one.engine
        .on_answer(one.now, outgoing.id, body, Duration::ZERO, utc);
    one.effects();
}

#[test]
fn five_address_groups_correct_the_clock_and_expiry_follows_it() {
    let mut one = One::new(Mode::Storing);
    let ttl = Some(Duration::from_hours(1));
    let options = WriteOptions {
        ttl,
        ..WriteOptions::default()
    };
    one.engine.put(one.now, "brief".into(), options);
    let outcome = one.outcome(|_| None).unwrap();
    let Outcome::Stored(receipt) = outcome else {
        panic!("{outcome:?}")
    };
    for number in 1..=5 {
        assert_eq!(one.engine.status().clock_offset, 0);
        let contact = Contact::at(node_key(number), far(number), true);
        answer_ahead(&mut one, contact, 2 * HOUR);
    }
    assert_eq!(one.engine.status().clock_offset, 7_200_000_000);
    one.engine.get(one.now, receipt.key, ReadFrom::Local);
    assert!(one.outcome(|_| None).is_err(), "its hour is over");
    // With five clocks known nobody has to wait for a minute.
    one.pass(60);
    one.effects();
    assert_eq!(one.engine.status().records, 0);
}

#[test]
fn one_address_group_cannot_turn_the_clock_except_in_local_mode() {
    for (is_local, expected) in [(false, 0), (true, 7_200_000_000)] {
        let mut one = One::with(|config| config.local = is_local);
        for number in 1..=5 {
            let contact = Contact::at(node_key(number), crate::one::address(number), true);
            answer_ahead(&mut one, contact, 2 * HOUR);
        }
        assert_eq!(one.engine.status().clock_offset, expected);
    }
}
