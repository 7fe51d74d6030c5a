//! What one engine answers its peers, and what it refuses.

use crate::one::{One, node_key, value};
use bytes::Bytes;
use qadom_engine::{Effect, Mode};
use qadom_routing::Families;
use qadom_store::Store as _;
use qadom_wire::{
    Answer, Find, FindNode, Kind, Ping, Reason, Record, Request, Store, StoreClass, StoreItem,
    StoreResult, Value,
};

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

fn store(value: &Value, class: StoreClass, ttl_seconds: u32) -> Request {
    let record = Record::Value(value.clone());
    Request::Store(Store {
        items: vec![StoreItem {
            record,
            class,
            ttl_seconds,
            group: None,
            exclusive: false,
        }],
    })
}

fn stored() -> Answer {
    Answer::Stored(vec![StoreResult::Stored {
        committed: true,
        conflict: false,
    }])
}

#[test]
fn a_copy_is_acknowledged_only_after_the_commit() {
    let mut one = One::new(Mode::Storing);
    let value = value(b"kept");
    one.ask(&store(&value, StoreClass::FirstHand, 60), true);
    let effects = one.effects();
    assert!(matches!(effects[..], [Effect::Commit(_)]), "{effects:?}");
    let ticket = one.store.commit().unwrap();
    one.engine.on_committed(one.now, ticket);
    assert_eq!(one.answer(), stored());
}

#[test]
fn a_failed_commit_is_told_to_everybody_who_waited_for_it() {
    let mut one = One::new(Mode::Storing);
    let value = value(b"lost");
    one.ask(&store(&value, StoreClass::FirstHand, 60), true);
    let effects = one.effects();
    let [Effect::Commit(ticket)] = effects[..] else {
        panic!("{effects:?}")
    };
    one.engine
        .on_commit_failed(one.now, ticket, Reason::DiskFull);
    let refused = Answer::Stored(vec![StoreResult::Refused(Reason::DiskFull)]);
    assert_eq!(one.answer(), refused);
}

#[test]
fn nothing_is_written_for_an_unconfirmed_session() {
    let mut one = One::new(Mode::Storing);
    let value = value(b"stranger");
    one.ask(&store(&value, StoreClass::FirstHand, 60), false);
    assert_eq!(one.answer(), Answer::Refused(Reason::NotConfirmed));
    assert_eq!(one.engine.status().records, 0);
}

#[test]
fn a_client_stores_for_nobody() {
    let mut one = One::new(Mode::Client);
    one.ask(&store(&value(b"v"), StoreClass::FirstHand, 60), true);
    assert_eq!(one.answer(), Answer::Refused(Reason::ClientMode));
}

#[test]
fn a_record_that_is_too_long_for_a_cold_answer_is_announced() {
    let mut one = One::new(Mode::Storing);
    let long = value(&[7; 8192]);
    one.ask(&store(&long, StoreClass::FirstHand, 60), true);
    assert_eq!(one.committed_answer(), stored());
    one.ask(&find(&long), false);
    let Answer::Found(found) = one.answer() else {
        panic!("no Found")
    };
    assert!(found.records.is_empty());
    assert!(found.oversize.unwrap().size > 8192);
    one.ask(&find(&long), true);
    let Answer::Found(found) = one.answer() else {
        panic!("no Found")
    };
    assert_eq!(found.records, [Record::Value(long)]);
}

#[test]
fn a_value_is_gone_when_its_life_is_over() {
    let mut one = One::new(Mode::Storing);
    let short = value(b"short");
    one.ask(&store(&short, StoreClass::FirstHand, 600), true);
    one.committed_answer();
    one.pass(599);
    one.ask(&find(&short), true);
    assert!(matches!(one.answer(), Answer::Found(found) if found.records.len() == 1));
    one.pass(1);
    one.ask(&find(&short), true);
    assert!(matches!(one.answer(), Answer::Found(found) if found.records.is_empty()));
    one.pass(120);
    one.effects();
    assert_eq!(one.engine.status().records, 0);
}

#[test]
fn a_cached_copy_never_shortens_a_real_one() {
    let mut one = One::new(Mode::Storing);
    let value = value(b"real");
    one.ask(&store(&value, StoreClass::Replica, 3600), true);
    one.committed_answer();
    one.ask(&store(&value, StoreClass::Cached, 5), true);
    let renewed = Answer::Stored(vec![StoreResult::Renewed {
        committed: true,
        conflict: false,
    }]);
    assert_eq!(one.committed_answer(), renewed);
    one.pass(3000);
    one.ask(&find(&value), true);
    assert!(matches!(one.answer(), Answer::Found(found) if found.records.len() == 1));
}

#[test]
fn a_full_node_takes_a_value_in_place_of_another_but_no_cached_copy() {
    let mut one = One::with(|config| config.limits.records = 2);
    one.ask(&store(&value(b"first"), StoreClass::FirstHand, 60), true);
    assert_eq!(one.committed_answer(), stored());
    one.ask(&store(&value(b"copy"), StoreClass::Cached, 60), true);
    assert_eq!(one.committed_answer(), stored());
    for bytes in [b"second", b"third "] {
        one.ask(&store(&value(bytes), StoreClass::FirstHand, 60), true);
        assert_eq!(one.committed_answer(), stored());
        assert_eq!(one.engine.status().records, 2);
        assert_eq!(one.store.stats().cached, 0, "the copy leaves first");
    }
    one.ask(&store(&value(b"copy"), StoreClass::Cached, 60), true);
    let refused = Answer::Stored(vec![StoreResult::Refused(Reason::Quota)]);
    assert_eq!(one.answer(), refused);
}

#[test]
fn the_asker_is_never_told_of_itself_and_clients_are_told_to_nobody() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    one.meet(2, true);
    one.meet(3, false);
    let target = *node_key(1).id().key();
    one.ask_as(
        1,
        &Request::FindNode(FindNode {
            target,
            want: Families::BOTH,
        }),
        true,
    );
    let Answer::Contacts(contacts) = one.answer() else {
        panic!("no contacts")
    };
    let keys: Vec<_> = contacts.iter().map(|contact| *contact.key()).collect();
    assert_eq!(keys, [node_key(2)]);
}

#[test]
fn bytes_that_make_no_sense_are_refused_and_counted() {
    let mut one = One::new(Mode::Storing);
    for body in [&b""[..], &[0xff; 40], &[0x0a, 0x05, 0x01]] {
        one.ask_bytes(Bytes::copy_from_slice(body), true);
        assert!(matches!(one.answer(), Answer::Refused(_)));
    }
    let dropped: u64 = one
        .engine
        .status()
        .drops
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(dropped, 3);
}

#[test]
fn a_ping_tells_the_asker_where_it_comes_from() {
    let mut one = One::new(Mode::Client);
    one.ask(&Request::Ping(Ping::default()), false);
    let Answer::Pong(pong) = one.answer() else {
        panic!("no pong")
    };
    assert!(!pong.storing);
    assert_eq!(pong.observed, Some(crate::one::address(9)));
}

#[test]
fn a_contact_is_told_once_in_a_session_where_it_comes_from() {
    let mut one = One::new(Mode::Storing);
    let observed = |one: &mut One, confirmed| {
        one.ask(&Request::Ping(Ping::default()), confirmed);
        match one.answer() {
            Answer::Pong(pong) => pong.observed,
            other => panic!("{other:?}"),
        }
    };
    let address = Some(crate::one::address(9));
    // Who is no contact is told each time, and so is a first datagram, whose answer is padded anyway.
    assert_eq!(
        [observed(&mut one, true), observed(&mut one, true)],
        [address; 2]
    );
    one.meet(9, true);
    assert_eq!(
        [observed(&mut one, false), observed(&mut one, true)],
        [address; 2]
    );
    assert_eq!(observed(&mut one, true), None);
    one.meet(9, true);
    assert_eq!(
        [observed(&mut one, true), observed(&mut one, true)],
        [address, None]
    );
}
