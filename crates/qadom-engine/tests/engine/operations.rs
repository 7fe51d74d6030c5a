//! What becomes of a user's request, with peers that answer, refuse, lie or keep silent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::one::{One, address, node_key, value};
use bytes::Bytes;
use qadom_engine::{
    Difference, Effect, Failure, JoinProblem, Mode, Outcome, Outgoing, ReadFrom, Receipt,
    RequestFailure, Source, WriteOptions,
};
use qadom_routing::{Contact, NodeKey};
use qadom_wire::{Answer, Found, Pong, Reason, Record, Request, StoreResult, VALUE_MAX, Value};

fn contact(number: u8) -> Contact {
    Contact::at(node_key(number), address(number), true)
}

fn request(outgoing: &Outgoing) -> Request {
    Request::decode(outgoing.body.clone()).unwrap()
}

/// Answers every lookup with nobody and takes every copy.
#[expect(
    clippy::unnecessary_wraps,
    reason = "other peers of these tests keep silent"
)]
fn willing(outgoing: &Outgoing) -> Option<Answer> {
    Some(match request(outgoing) {
        Request::Ping(_) => Answer::Pong(Pong {
            storing: true,
            ..Pong::default()
        }),
        Request::FindNode(_) => Answer::Contacts(Vec::new()),
        Request::Find(_) => Answer::Found(Found::default()),
        Request::Store(_) => Answer::Stored(vec![StoreResult::Stored {
            committed: true,
            conflict: false,
        }]),
        _ => Answer::Refused(Reason::UnknownKind),
    })
}

#[test]
fn who_is_silent_for_a_moment_is_asked_once_more_before_it_counts_as_gone() {
    for silences in [1, 2] {
        let mut one = One::new(Mode::Storing);
        (1..=3).for_each(|number| one.meet(number, true));
        let mut asked = BTreeMap::new();
        one.engine
            .put(one.now, "kept".into(), WriteOptions::default());
        let result = one.outcome(|outgoing| {
            if let Request::FindNode(_) = request(outgoing) {
                let times = asked.entry(outgoing.key).or_insert(0);
                *times += 1;
                if *times <= silences {
                    return None;
                }
            }
            willing(outgoing)
        });
        let Ok(Outcome::Stored(receipt)) = result else {
            panic!("{result:?}")
        };
        let found = if silences == 1 { 4 } else { 1 };
        assert_eq!((receipt.reachable, receipt.stored), (found, found));
        assert!(asked.values().all(|times| *times == 2), "{asked:?}");
        assert_eq!(receipt.messages, 6 + (found - 1));
    }
}

/// Four and twenty nodes that all know each other, one of which keeps silent.
fn put_among_many(one: &mut One, silent: u8) -> (Receipt, Vec<(NodeKey, bool)>) {
    let nodes: Vec<Contact> = (1..=24).map(contact).collect();
    (1..=24).for_each(|number| one.meet(number, true));
    let mut order = Vec::new();
    one.engine
        .put(one.now, "kept".into(), WriteOptions::default());
    let result = one.outcome(|outgoing| {
        let is_copy = matches!(request(outgoing), Request::Store(_));
        order.push((outgoing.key, is_copy));
        match request(outgoing) {
            _ if outgoing.key == node_key(silent) => None,
            Request::FindNode(_) => Some(Answer::Contacts(nodes.clone())),
            _ => willing(outgoing),
        }
    });
    let Ok(Outcome::Stored(receipt)) = result else {
        panic!("{result:?}")
    };
    (receipt, order)
}

#[test]
fn whoever_surely_holds_a_value_gets_its_copy_while_others_are_still_asked() {
    let mut one = One::new(Mode::Client);
    let key = *Value::new("kept".into()).unwrap().key();
    let distance = |number: &u8| node_key(*number).id().key().distance(&key);
    let silent = (1..=24).min_by_key(distance).unwrap();
    let (receipt, order) = put_among_many(&mut one, silent);
    let first_copy = order.iter().position(|(_, is_copy)| *is_copy);
    let last_question = order.iter().rposition(|(_, is_copy)| !is_copy);
    assert!(first_copy < last_question, "{order:?}");
    let copies = |asked: &[(NodeKey, bool)]| asked.iter().filter(|(_, is_copy)| *is_copy).count();
    let mut takers: Vec<NodeKey> = order
        .iter()
        .filter(|(_, is_copy)| *is_copy)
        .map(|(key, _)| *key)
        .collect();
    takers.sort_unstable_by_key(|key| *key.as_bytes());
    takers.dedup();
    assert_eq!(takers.len(), copies(&order), "nobody gets two");
    // Twenty copies are what is wanted: who keeps silent is not waited for.
    assert_eq!((receipt.wanted, receipt.stored), (20, 20));
    assert!(
        receipt.took < Duration::from_millis(500),
        "{:?}",
        receipt.took
    );
}

#[test]
fn a_lone_storing_node_keeps_the_only_copy_and_says_so() {
    let mut one = One::new(Mode::Storing);
    one.engine
        .put(one.now, "only".into(), WriteOptions::default());
    let Ok(Outcome::Stored(receipt)) = one.outcome(willing) else {
        panic!("not stored")
    };
    assert_eq!(
        (receipt.wanted, receipt.reachable, receipt.stored),
        (20, 1, 1)
    );
    assert!(receipt.alone);
    assert_eq!(receipt.expires_at, one.now.utc_seconds() + 36 * 3600);
}

#[test]
fn a_client_alone_has_too_few_copies() {
    let mut one = One::new(Mode::Client);
    one.engine
        .put(one.now, "nowhere".into(), WriteOptions::default());
    let Err(Failure::TooFewCopies { receipt, needed }) = one.outcome(willing) else {
        panic!("stored nowhere")
    };
    assert_eq!((receipt.reachable, receipt.stored, needed), (0, 0, 1));
    assert!(!receipt.alone);
}

#[test]
fn a_receipt_counts_the_durable_copies_and_names_each_refusal() {
    let mut one = One::new(Mode::Storing);
    (1..=4).for_each(|number| one.meet(number, true));
    one.engine
        .put(one.now, "counted".into(), WriteOptions::default());
    let result = one.outcome(|outgoing| match request(outgoing) {
        Request::Store(_) if outgoing.key == node_key(1) => {
            Some(Answer::Stored(vec![StoreResult::Refused(Reason::Quota)]))
        }
        Request::Store(_) if outgoing.key == node_key(2) => {
            Some(Answer::Stored(vec![StoreResult::Stored {
                committed: false,
                conflict: false,
            }]))
        }
        Request::Store(_) if outgoing.key == node_key(3) => None,
        _ => willing(outgoing),
    });
    let Err(Failure::TooFewCopies { receipt, needed }) = result else {
        panic!("{result:?}")
    };
    assert_eq!((receipt.reachable, receipt.stored, needed), (5, 2, 3));
    let refused: BTreeMap<_, _> = receipt
        .refused
        .iter()
        .map(|refusal| (refusal.node, refusal.reason))
        .collect();
    let expected = [
        (1, Reason::Quota),
        (2, Reason::StorageFailed),
        (3, Reason::Timeout),
    ];
    assert_eq!(
        refused,
        expected
            .map(|(number, reason)| (node_key(number).id(), reason))
            .into()
    );
}

#[test]
fn a_put_fails_below_the_copies_that_were_asked_for() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    let options = WriteOptions {
        min_copies: Some(3),
        ..WriteOptions::default()
    };
    one.engine.put(one.now, "few".into(), options);
    let result = one.outcome(willing);
    assert!(
        matches!(result, Err(Failure::TooFewCopies { needed: 3, .. })),
        "{result:?}"
    );
}

#[test]
fn values_up_to_the_limit_are_put_and_longer_ones_refused() {
    for (length, is_taken) in [
        (0, true),
        (VALUE_MAX - 1, true),
        (VALUE_MAX, true),
        (VALUE_MAX + 1, false),
    ] {
        let mut one = One::new(Mode::Storing);
        one.engine.put(
            one.now,
            Bytes::from(vec![1; length]),
            WriteOptions::default(),
        );
        match one.outcome(willing) {
            Ok(_) => assert!(is_taken, "{length}"),
            Err(Failure::Refused {
                reason: Reason::TooLarge,
            }) => assert!(!is_taken, "{length}"),
            Err(failure) => panic!("{length}: {failure}"),
        }
    }
}

#[test]
fn a_life_that_no_holder_would_give_is_refused() {
    let cases = [
        (36, true, true),
        (37, true, false),
        (37, false, true),
        (7 * 24, false, true),
        (7 * 24 + 1, false, false),
    ];
    for (hours, once, is_taken) in cases {
        let mut one = One::new(Mode::Storing);
        let options = WriteOptions {
            ttl: Some(Duration::from_hours(hours)),
            once,
            ..WriteOptions::default()
        };
        one.engine.put(one.now, "long".into(), options);
        assert_eq!(
            one.outcome(willing).is_ok(),
            is_taken,
            "{hours} h, once: {once}"
        );
    }
}

#[test]
fn a_lie_is_counted_and_the_get_goes_on() {
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    one.meet(2, true);
    let (truth, lie) = (value(b"truth"), value(b"lie"));
    one.engine.get(one.now, *truth.key(), ReadFrom::Network);
    let mut asked = Vec::new();
    let result = one.outcome(|outgoing| {
        asked.push(outgoing.key);
        let value = if asked.len() == 1 { &lie } else { &truth };
        let records = vec![Record::Value(value.clone())];
        Some(Answer::Found(Found {
            records,
            ..Found::default()
        }))
    });
    let Ok(Outcome::Fetched(fetched)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(fetched.value, "truth");
    assert_eq!(fetched.source, Source::Node(asked[1].id()));
    let drops: Vec<_> = one.engine.status().drops.iter().collect();
    assert_eq!(drops, [(Reason::BadHash, 1)]);
}

#[test]
fn a_value_is_cached_at_the_nearest_node_that_lacked_it() {
    let mut one = One::new(Mode::Client);
    (1..=3).for_each(|number| one.meet(number, true));
    let wanted = value(b"wanted");
    let mut by_distance: Vec<u8> = vec![1, 2, 3];
    by_distance.sort_by_key(|&number| node_key(number).id().key().distance(wanted.key()));
    let holder = node_key(by_distance[2]);
    one.engine.get(one.now, *wanted.key(), ReadFrom::Network);
    let mut cached = Vec::new();
    one.run(|outgoing| match request(outgoing) {
        Request::Find(_) if outgoing.key == holder => {
            let records = vec![Record::Value(wanted.clone())];
            Some(Answer::Found(Found {
                records,
                ..Found::default()
            }))
        }
        Request::Store(_) => {
            cached.push(outgoing.key);
            willing(outgoing)
        }
        _ => willing(outgoing),
    });
    assert_eq!(cached, [node_key(by_distance[0])]);
}

#[test]
fn a_get_that_finds_nothing_says_how_many_did_not_answer() {
    let mut one = One::new(Mode::Client);
    (1..=3).for_each(|number| one.meet(number, true));
    one.engine
        .get(one.now, *value(b"unknown").key(), ReadFrom::Network);
    let result = one.outcome(|outgoing| {
        if outgoing.key == node_key(3) {
            None
        } else {
            willing(outgoing)
        }
    });
    assert!(
        matches!(
            result,
            Err(Failure::NotFound {
                answered: 2,
                unanswered: 1,
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn a_node_that_turns_out_to_be_a_client_leaves_the_table() {
    let mut one = One::new(Mode::Storing);
    one.meet(1, true);
    one.engine
        .put(one.now, "value".into(), WriteOptions::default());
    one.run(|outgoing| match request(outgoing) {
        Request::Store(_) => Some(Answer::Refused(Reason::ClientMode)),
        _ => willing(outgoing),
    });
    assert!(one.engine.contacts().is_empty());
}

#[test]
fn two_failed_requests_evict_a_contact_but_never_the_last() {
    let mut one = One::new(Mode::Client);
    (1..=3).for_each(|number| one.meet(number, true));
    for _ in 0..2 {
        one.pass(1);
        one.meet(2, true);
        one.meet(3, true);
        one.engine.ping(one.now, contact(1));
        one.run(|_| None);
    }
    assert!(one.engine.contact(&node_key(1).id()).is_none());
    for _ in 0..10 {
        one.pass(100);
        for number in [2, 3] {
            one.engine.ping(one.now, contact(number));
            one.run(|_| None);
        }
    }
    assert!(!one.engine.contacts().is_empty());
}

#[test]
fn a_join_names_each_address_that_did_not_help() {
    let mut one = One::new(Mode::Storing);
    one.engine
        .join(one.now, (1..=4).map(address).collect(), Vec::new());
    let difference = Difference {
        what: "network",
        ours: "a".into(),
        theirs: "b".into(),
    };
    let asked: Vec<_> = one.effects();
    for effect in asked {
        let Effect::Identify { id, address: asked } = effect else {
            panic!("{effect:?}")
        };
        match asked {
            _ if asked == address(1) => one.engine.on_identified(one.now, id, node_key(1)),
            _ if asked == address(2) => one.engine.on_identified(one.now, id, node_key(0)),
            _ if asked == address(3) => {
                let failure = RequestFailure::Mismatch(vec![difference.clone()]);
                one.engine.on_failed(one.now, id, &failure);
            }
            _ => one.engine.on_failed(one.now, id, &RequestFailure::Timeout),
        }
    }
    let Ok(Outcome::Joined(joined)) = one.outcome(willing) else {
        panic!("not joined")
    };
    let problems: BTreeMap<_, _> = joined.problems.into_iter().collect();
    let expected = [
        (address(2), JoinProblem::Own),
        (address(3), JoinProblem::WrongNetwork(vec![difference])),
        (address(4), JoinProblem::Unreachable),
    ];
    assert_eq!(problems, expected.into());
}

#[test]
fn a_join_that_reaches_nobody_fails() {
    let mut one = One::new(Mode::Storing);
    one.engine.join(one.now, Vec::new(), vec![contact(1)]);
    let result = one.outcome(|_| None);
    assert!(matches!(result, Err(Failure::NotJoined { ref problems }) if problems.len() == 1));
}

#[test]
fn a_cancelled_operation_is_never_heard_of_again() {
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    let operation = one.engine.lookup(one.now, *value(b"x").key());
    one.engine.cancel(operation);
    let others = one.run(willing);
    assert!(
        !others
            .iter()
            .any(|effect| matches!(effect, Effect::Done { .. })),
        "{others:?}"
    );
}

#[test]
fn a_followed_lookup_tells_each_step_once_and_then_the_same_as_a_report() {
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    one.meet(2, true);
    let operation = one.engine.lookup_stream(one.now, *value(b"x").key());
    let others = one.run(willing);
    let (mut told, mut end) = (Vec::new(), None);
    for effect in others {
        match effect {
            Effect::Steps {
                operation: whose,
                steps,
                ..
            } => {
                assert_eq!(whose, operation);
                assert!(
                    !steps.is_empty() && end.is_none(),
                    "steps come before the end"
                );
                told.extend(steps);
            }
            Effect::Done { result, .. } => end = Some(result.unwrap()),
            _ => {}
        }
    }
    let Some(Outcome::Looked(report)) = end else {
        panic!("{end:?}");
    };
    assert!(
        report.steps.len() >= 4,
        "two are asked and answer: {report:?}"
    );
    assert_eq!(told, report.steps);
}

#[test]
fn what_nobody_renewed_is_replicated_and_what_somebody_renewed_is_not() {
    let mut one = One::new(Mode::Storing);
    one.engine
        .put(one.now, "mine".into(), WriteOptions::default());
    one.run(willing);
    one.meet(1, true);
    let mut replicas = 0;
    let mut count = |outgoing: &Outgoing| {
        replicas += usize::from(matches!(request(outgoing), Request::Store(_)));
        willing(outgoing)
    };
    one.pass(30 * 60);
    one.run(&mut count);
    one.pass(45 * 60);
    one.run(&mut count);
    assert_eq!(replicas, 1);
}
