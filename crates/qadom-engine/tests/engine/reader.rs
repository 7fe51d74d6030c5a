//! Reading the store beside the engine: the same answers, at all times.

use std::time::Duration;

use qadom_engine::{Fetched, Mode, Outcome, ReadFrom, WriteOptions};
use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, Pong};

use crate::one::{One, far, node_key};

/// What the engine answers a user, beside what a reader that was made just now does; both are the same.
fn read(one: &mut One, key: Key) -> Option<Fetched> {
    let beside = one.engine.value_reader().get(one.now, &key);
    one.engine.get(one.now, key, ReadFrom::Local);
    let told = match one.outcome(|_| None) {
        Ok(Outcome::Fetched(fetched)) => Some(fetched),
        _ => None,
    };
    assert_eq!(beside, told);
    told
}

/// Keeps a value for so long, and gives its key.
fn keep(one: &mut One, value: &'static str, ttl: Duration) -> Key {
    let options = WriteOptions {
        ttl: Some(ttl),
        once: true,
        ..WriteOptions::default()
    };
    one.engine.put(one.now, value.into(), options);
    match one.outcome(|_| None) {
        Ok(Outcome::Stored(receipt)) => receipt.key,
        other => panic!("{other:?}"),
    }
}

/// Lets five nodes in address groups of their own answer with clocks that far ahead.
fn turn_clock(one: &mut One, micros: u64) {
    for number in 1..=5 {
        let contact = Contact::at(node_key(number), far(number), true);
        one.engine.ping(one.now, contact);
        let sent = one.sent(false);
        let (outgoing, _) = sent.last().unwrap();
        let body = Answer::Pong(Pong::default()).encode();
        let utc = Some(one.now.utc_micros + micros);
        one.engine
            .on_answer(one.now, outgoing.id, body, Duration::ZERO, utc);
        one.effects();
    }
}

#[test]
fn a_reader_gives_what_the_engine_gives_until_it_is_over() {
    let mut one = One::new(Mode::Storing);
    let key = keep(&mut one, "brief", Duration::from_mins(2));
    assert_eq!(read(&mut one, Key::ZERO), None);
    one.pass(119);
    let fetched = read(&mut one, key).unwrap();
    assert_eq!((&fetched.value[..], fetched.key), (&b"brief"[..], key));
    assert_eq!(fetched.age, Duration::from_secs(119));
    // Nothing runs the timers here, so that the entry is still in the store.
    one.now.utc_micros += 1_000_000;
    one.now.moment = one.now.moment + Duration::from_secs(1);
    assert_eq!(one.engine.status().records, 1);
    assert_eq!(read(&mut one, key), None);
}

#[test]
fn nothing_is_over_for_a_reader_before_the_time_is_known() {
    let mut one = One::new(Mode::Storing);
    let key = keep(&mut one, "brief", Duration::from_mins(1));
    // The wall clock jumps in the first minute.
    one.now.utc_micros += 3_600_000_000;
    assert!(read(&mut one, key).is_some());
    one.now.moment = one.now.moment + Duration::from_mins(1);
    assert_eq!(read(&mut one, key), None);
}

#[test]
fn a_reader_is_made_anew_when_the_clock_is_corrected() {
    let mut one = One::new(Mode::Storing);
    let key = keep(&mut one, "brief", Duration::from_hours(1));
    let before = one.engine.correction();
    assert!(read(&mut one, key).is_some());
    turn_clock(&mut one, 2 * 3_600_000_000);
    assert_ne!(one.engine.correction(), before);
    assert_eq!(read(&mut one, key), None, "its hour is over");
}
