//! What one engine passes on about files, what it asks others, and what it refuses itself.

use qadom_engine::{Blocked, Effect, Failure, Mode, Outcome};
use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, Held, Holds, Offer, OfferResult, Reason, Request};

use crate::one::{One, address, node_key};

const FILE: [u8; 32] = [7; 32];

fn offer() -> Offer {
    Offer {
        file: FILE,
        length: 600_000,
        chunks: vec![0, 2],
        expiry: 1_800_000_600,
        copies: 6,
    }
}

fn holds() -> Holds {
    Holds {
        file: FILE,
        first: 0,
    }
}

fn held() -> Held {
    Held {
        length: 600_000,
        bits: vec![5].into(),
    }
}

fn contact(number: u8) -> Contact {
    Contact::at(node_key(number), address(number), true)
}

#[test]
fn an_offer_is_passed_on_and_answered_as_the_driver_decides() {
    let mut one = One::new(Mode::Storing);
    one.ask(&Request::Offer(offer()), true);
    let effects = one.effects();
    let [
        Effect::Offer {
            inbound,
            key,
            address: from,
            offer: passed,
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((*key, *from, passed), (node_key(9), address(9), &offer()));
    let results = vec![OfferResult::Wanted, OfferResult::Held];
    one.engine.answer_offer(*inbound, Ok(results.clone()));
    assert_eq!(one.answer(), Answer::Offered(results));
}

#[test]
fn the_question_what_is_here_is_passed_on_too() {
    let mut one = One::new(Mode::Storing);
    one.ask(&Request::Holds(holds()), true);
    let effects = one.effects();
    let [Effect::Holds { inbound, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    one.engine.answer_holds(*inbound, Ok(held()));
    assert_eq!(one.answer(), Answer::Held(held()));
}

#[test]
fn strangers_and_blocked_files_are_refused_and_clients_keep_nothing() {
    let mut one = One::new(Mode::Storing);
    for request in [Request::Offer(offer()), Request::Holds(holds())] {
        one.ask(&request, false);
        assert_eq!(one.answer(), Answer::Refused(Reason::NotConfirmed));
    }
    let mut client = One::new(Mode::Client);
    client.ask(&Request::Offer(offer()), true);
    assert_eq!(client.answer(), Answer::Refused(Reason::ClientMode));
    let file = Blocked::Key(Key::from_bytes(FILE));
    one.engine.block(one.now, file, None).unwrap();
    one.ask(&Request::Offer(offer()), true);
    assert_eq!(one.answer(), Answer::Refused(Reason::Blocked));
}

#[test]
fn an_answer_that_fits_no_question_is_none() {
    let results = vec![OfferResult::Wanted, OfferResult::Refused(Reason::Quota)];
    for (answer, reason) in [
        (Answer::Offered(results.clone()), None),
        (
            Answer::Offered(results[..1].to_vec()),
            Some(Reason::Malformed),
        ),
        (Answer::Held(held()), Some(Reason::Malformed)),
        (
            Answer::Refused(Reason::ClientMode),
            Some(Reason::ClientMode),
        ),
    ] {
        let mut one = One::new(Mode::Storing);
        one.engine.offer(one.now, contact(3), offer());
        let ended = one.outcome(|_| Some(answer.clone()));
        match (ended, reason) {
            (Ok(Outcome::Offered(got)), None) => assert_eq!(got, results),
            (Err(Failure::Peer { reason: got, .. }), Some(reason)) => assert_eq!(got, reason),
            (other, _) => panic!("{other:?}"),
        }
    }
}
