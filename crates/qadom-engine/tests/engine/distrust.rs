//! What an engine believes of what others tell it: about nodes, addresses, lives and promises.

use std::time::Duration;

use crate::one::{One, address, node_key, value};
use qadom_engine::{
    Effect, Failure, Mode, Outcome, Outgoing, ReadFrom, RequestFailure, WriteOptions,
};
use qadom_routing::{Contact, Families};
use qadom_store::Store as _;
use qadom_wire::{
    Answer, Find, Found, Kind, Oversize, Pong, Reason, Record, Request, Store, StoreClass,
    StoreItem, StoreResult, Value,
};

fn request(outgoing: &Outgoing) -> Request {
    Request::decode(outgoing.body.clone()).unwrap()
}

fn contact(number: u8) -> Contact {
    Contact::at(node_key(number), address(number), true)
}

fn store(value: &Value, class: StoreClass, ttl_seconds: u32) -> Request {
    let record = Record::Value(value.clone());
    let item = StoreItem {
        record,
        class,
        ttl_seconds,
        group: None,
        exclusive: false,
    };
    Request::Store(Store { items: vec![item] })
}

fn find(value: &Value) -> Request {
    let (slot, kind, want) = (*value.key(), Kind::Value, Families::BOTH);
    Request::Find(Find {
        slot,
        kind,
        range: None,
        have: None,
        want,
    })
}

fn found(one: &mut One, value: &Value) -> bool {
    one.ask(&find(value), true);
    matches!(one.answer(), Answer::Found(found) if !found.records.is_empty())
}

#[test]
fn a_client_that_others_take_for_a_storing_node_enters_no_table() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    one.engine.lookup(one.now, *value(b"x").key());
    // Node 1 names node 2 as storing; its own session says that it is a client.
    while let Some(effect) = one.engine.poll_effect() {
        let Effect::Request(outgoing) = effect else {
            continue;
        };
        if outgoing.key == node_key(2) {
            one.engine.on_confirmed(
                one.now,
                node_key(2),
                address(2),
                &qadom_wire::Hello::default(),
            );
        }
        one.answer_with(&outgoing, &Answer::Contacts(vec![contact(2)]));
    }
    let known: Vec<_> = one
        .engine
        .contacts()
        .iter()
        .map(|known| *known.key())
        .collect();
    assert_eq!(known, [node_key(1)]);
}

#[test]
fn an_address_that_a_stranger_told_costs_a_contact_nothing() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    one.meet(2, true);
    for _ in 0..4 {
        one.pass(1);
        one.meet(2, true);
        one.engine
            .ping(one.now, Contact::at(node_key(1), address(77), true));
        one.run(|_| None);
    }
    assert!(one.engine.contact(&node_key(1).id()).is_some());
}

#[test]
fn a_lookup_asks_a_contact_where_this_node_knows_it() {
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    one.meet(2, true);
    one.engine.lookup(one.now, *value(b"x").key());
    let mut asked = Vec::new();
    one.run(|outgoing| {
        asked.push((outgoing.key, outgoing.address));
        let elsewhere = Contact::at(node_key(2), address(77), true);
        Some(Answer::Contacts(vec![elsewhere]))
    });
    assert!(asked.contains(&(node_key(2), address(2))), "{asked:?}");
    assert!(!asked.iter().any(|(_, at)| *at == address(77)), "{asked:?}");
}

#[test]
fn a_copy_without_life_is_refused() {
    let mut one = One::new(Mode::Storing);
    one.ask(&store(&value(b"dead"), StoreClass::FirstHand, 0), true);
    let refused = Answer::Stored(vec![StoreResult::Refused(Reason::Expired)]);
    assert_eq!(one.answer(), refused);
}

#[test]
fn a_cached_copy_lives_ten_minutes_whatever_is_asked_for() {
    let mut one = One::new(Mode::Storing);
    let cached = value(b"cached");
    one.ask(&store(&cached, StoreClass::Cached, 36 * 3600), true);
    one.committed_answer();
    one.pass(599);
    assert!(found(&mut one, &cached));
    one.pass(1);
    assert!(!found(&mut one, &cached));
}

#[test]
fn nothing_counts_as_expired_in_the_first_minute() {
    let mut one = One::new(Mode::Storing);
    let held = value(b"held");
    one.ask(&store(&held, StoreClass::FirstHand, 30), true);
    one.committed_answer();
    one.pass(45);
    assert!(found(&mut one, &held));
    one.pass(16);
    assert!(!found(&mut one, &held));
}

#[test]
fn a_value_that_was_promised_is_waited_for() {
    let mut one = One::new(Mode::Client);
    (1..=3).for_each(|number| one.meet(number, true));
    let long = value(&[3; 4000]);
    one.engine.get(one.now, *long.key(), ReadFrom::Network);
    let mut held = None;
    let mut asked_again = false;
    while let Some(effect) = one.engine.poll_effect() {
        let Effect::Request(outgoing) = effect else {
            continue;
        };
        if outgoing.key != node_key(1) {
            one.answer_with(&outgoing, &Answer::Found(Found::default()));
        } else if asked_again {
            // Slow, while all others have answered.
            one.engine.on_slow(one.now, outgoing.id);
            held = Some(outgoing);
        } else {
            asked_again = true;
            let oversize = Some(Oversize {
                size: 4000,
                hash: *long.key().as_bytes(),
            });
            one.answer_with(
                &outgoing,
                &Answer::Found(Found {
                    oversize,
                    ..Found::default()
                }),
            );
        }
    }
    let records = vec![Record::Value(long.clone())];
    let answer = Answer::Found(Found {
        records,
        ..Found::default()
    });
    one.answer_with(&held.unwrap(), &answer);
    let result = one.outcome(|_| None);
    assert!(matches!(result, Ok(Outcome::Fetched(_))), "{result:?}");
}

#[test]
fn a_put_whose_own_disk_fails_tells_what_the_others_hold() {
    let mut one = One::new(Mode::Storing);
    (1..=4).for_each(|number| one.meet(number, true));
    one.engine
        .put(one.now, "shared".into(), WriteOptions::default());
    let mut result = None;
    while let Some(effect) = one.engine.poll_effect() {
        match effect {
            Effect::Commit(ticket) => {
                one.engine
                    .on_commit_failed(one.now, ticket, Reason::DiskFull);
            }
            Effect::Journal { ticket, .. } => one.engine.on_journalled(one.now, ticket),
            Effect::Request(outgoing) => {
                let answer = match request(&outgoing) {
                    Request::Store(_) => Answer::Stored(vec![StoreResult::Stored {
                        committed: true,
                        conflict: false,
                    }]),
                    _ => Answer::Contacts(Vec::new()),
                };
                one.answer_with(&outgoing, &answer);
            }
            Effect::Done { result: done, .. } => result = Some(done),
            _ => {}
        }
    }
    let Some(Ok(Outcome::Stored(receipt))) = result else {
        panic!("{result:?}")
    };
    assert_eq!((receipt.reachable, receipt.stored), (5, 4));
    assert_eq!(receipt.refused[0].reason, Reason::DiskFull);
}

#[test]
fn a_longer_life_that_the_value_had_before_shows_in_the_receipt() {
    let mut one = One::new(Mode::Storing);
    one.engine
        .put(one.now, "twice".into(), WriteOptions::default());
    one.outcome(|_| None).unwrap();
    let ttl = Some(Duration::from_mins(1));
    one.engine.put(
        one.now,
        "twice".into(),
        WriteOptions {
            ttl,
            ..WriteOptions::default()
        },
    );
    let Ok(Outcome::Stored(receipt)) = one.outcome(|_| None) else {
        panic!("not stored")
    };
    assert_eq!(receipt.expires_at, one.now.utc_seconds() + 36 * 3600);
}

#[test]
fn a_join_through_a_client_finds_the_nodes_that_it_knows() {
    let mut one = One::new(Mode::Storing);
    one.engine.join(one.now, vec![address(1)], Vec::new());
    while let Some(effect) = one.engine.poll_effect() {
        match effect {
            Effect::Identify { id, .. } => one.engine.on_identified(one.now, id, node_key(1)),
            Effect::Request(outgoing) => {
                let storing = outgoing.key != node_key(1);
                let hello = qadom_wire::Hello {
                    storing,
                    ..Default::default()
                };
                one.engine
                    .on_confirmed(one.now, outgoing.key, outgoing.address, &hello);
                let answer = match request(&outgoing) {
                    Request::Ping(_) => Answer::Pong(Pong {
                        storing,
                        ..Pong::default()
                    }),
                    _ => Answer::Contacts(vec![contact(2)]),
                };
                one.answer_with(&outgoing, &answer);
            }
            Effect::Done { result, .. } => {
                let Ok(Outcome::Joined(joined)) = result else {
                    panic!("{result:?}")
                };
                assert_eq!(joined.peers, 1);
            }
            _ => {}
        }
    }
    assert!(one.engine.contact(&node_key(2).id()).is_some());
}

#[test]
fn replicas_are_waited_for_before_the_next_value_is_brought() {
    let mut one = One::new(Mode::Storing);
    // More than go together in one round of replication.
    for number in 0..600_u16 {
        let payload = number.to_be_bytes().to_vec();
        one.engine
            .put(one.now, payload.into(), WriteOptions::default());
        one.outcome(|_| None).unwrap();
    }
    (1..=3).for_each(|number| one.meet(number, true));
    one.pass(66 * 60);
    let mut under_way = 0;
    let limit = one.engine.status().limits.background * 3;
    let mut replicas = Vec::new();
    while let Some(effect) = one.engine.poll_effect() {
        let Effect::Request(outgoing) = effect else {
            continue;
        };
        if matches!(request(&outgoing), Request::Store(_)) {
            replicas.push(outgoing);
        } else {
            one.answer_with(&outgoing, &Answer::Contacts(Vec::new()));
        }
        under_way = under_way.max(replicas.len());
    }
    assert!(
        under_way > 0 && under_way <= limit,
        "{under_way} of {limit}"
    );
    let failure = RequestFailure::Busy {
        retry_after: Duration::ZERO,
    };
    for outgoing in &replicas {
        one.engine.on_failed(one.now, outgoing.id, &failure);
    }
    let goes_on = one
        .effects()
        .iter()
        .any(|effect| matches!(effect, Effect::Request(_)));
    assert!(goes_on, "the sweep stopped");
}

#[test]
fn a_sweep_that_finds_nothing_reads_one_page_at_a_time() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    one.pass(54 * 60);
    for number in 0..1000_u16 {
        let fresh = value(&number.to_be_bytes());
        one.ask(&store(&fresh, StoreClass::Replica, 36 * 3600), true);
        let ticket = one.store.ticket();
        one.engine.on_committed(one.now, ticket);
        one.effects();
    }
    one.pass(17 * 60);
    one.effects();
    // A page read lets the next one wait for its own deadline.
    let next = one.engine.next_deadline().unwrap();
    assert!(next.since(one.now.moment) <= Duration::from_millis(1));
    let mut pages = 0;
    while one.engine.next_deadline().unwrap().since(one.now.moment) <= Duration::from_millis(1) {
        one.now.moment = one.now.moment + Duration::from_millis(1);
        one.engine.on_deadline(one.now);
        one.effects();
        pages += 1;
    }
    assert!(pages >= 1000 / 64, "{pages} pages");
}

#[test]
fn a_failure_of_the_own_store_before_anything_was_sent_is_named() {
    let mut one = One::new(Mode::Storing);
    let options = WriteOptions {
        min_copies: Some(1),
        ..WriteOptions::default()
    };
    one.engine.put(one.now, "alone".into(), options);
    let effects = one.effects();
    let [
        Effect::Commit(ticket),
        Effect::Journal { ticket: entry, .. },
    ] = effects[..]
    else {
        panic!("{effects:?}")
    };
    one.engine.on_journalled(one.now, entry);
    one.engine
        .on_commit_failed(one.now, ticket, Reason::StorageFailed);
    let result = one.outcome(|_| None);
    let Err(Failure::TooFewCopies { receipt, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(receipt.refused[0].reason, Reason::StorageFailed);
}
