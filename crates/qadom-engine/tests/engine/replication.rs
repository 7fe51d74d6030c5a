//! How holders bring each other to the same records, and what that costs.

use std::collections::BTreeSet;

use crate::neighbours::Neighbours;
use crate::one::{One, far, value};
use crate::signed::{HOUR, STORED, identity, item, sign, signed, slot, start, whole};
use bytes::Bytes;
use qadom_engine::ReadFrom;
use qadom_routing::Key;
use qadom_store::Store as _;
use qadom_wire::{
    Answer, Digest, DigestRange, Draft, Found, Kind, Position, RangeDigest, Reason, Record,
    Renewal, Request, SourceGroup, StoreItem, Verified, fingerprint,
};

const DAY: u64 = 24 * HOUR;

fn bag_item(number: u16, length: usize) -> Verified {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(length, 0);
    let seq = u64::from(number) + 1;
    let draft = Draft::bag_item(slot(), Bytes::from(payload), seq, start() + DAY);
    sign(&identity(number % 5), draft)
}

fn entry(seq: u64, payload: &'static [u8], expiry: u64) -> Verified {
    let writer = identity(1);
    let payload = Bytes::from_static(payload);
    let draft = Draft::namespace_entry(&writer.writer(), slot(), payload, seq, expiry);
    sign(&writer, draft)
}

fn bag(one: &mut One) -> BTreeSet<Key> {
    let all = one.all(slot(), Kind::BagItem);
    all.iter().map(Record::id).collect()
}

/// The payload bytes that travelled since the last call, by store and by find.
fn asked(world: &mut Neighbours, is: impl Fn(&Request) -> bool) -> usize {
    let asked = std::mem::take(&mut world.asked);
    asked.iter().filter(|(_, _, request)| is(request)).count()
}

#[test]
fn holders_of_a_bag_come_to_the_union_in_both_directions() {
    let mut world = Neighbours::new(3, |_| ());
    for number in 0..120_u16 {
        let record = bag_item(number, 300);
        // Most are everywhere, some are at one node alone.
        for node in 0..3 {
            if number % 20 != 7 || usize::from(number / 20) % 3 == node {
                assert_eq!(world.nodes[node].store(signed(&record)), STORED);
            }
        }
    }
    world.asked.clear();
    world.live(0, 2 * HOUR);
    for node in 0..3 {
        assert_eq!(bag(&mut world.nodes[node]).len(), 120, "{node}");
    }
    let stores = world
        .asked
        .iter()
        .filter_map(|(_, _, request)| match request {
            Request::Store(store) => Some(store.items.len()),
            _ => None,
        });
    // Each of the two others lacked four, of which one round brings what the second found.
    assert_eq!(stores.sum::<usize>(), 8);
}

#[test]
fn where_all_have_the_same_one_digest_to_each_holder_is_all_that_travels() {
    let mut world = Neighbours::new(3, |_| ());
    for number in 0..40 {
        for node in &mut world.nodes {
            node.store(signed(&bag_item(number, 1000)));
            node.store(signed(&entry(1, b"one", start() + DAY)));
        }
    }
    world.asked.clear();
    // Up to the end of the first sweep in which anything is due.
    world.live(0, 77 * 60);
    let is_digest = |request: &Request| matches!(request, Request::Digest(_));
    let moves = |request: &Request| matches!(request, Request::Store(_) | Request::Find(_));
    let all = world.asked.clone();
    assert_eq!(
        all.iter()
            .filter(|(_, _, request)| is_digest(request))
            .count(),
        4
    );
    assert_eq!(asked(&mut world, moves), 0);
    // Whom it was compared with does not compare it again as long as it is not due.
    world.live(1, 59 * 60);
    let about_own = |request: &Request| is_digest(request);
    assert_eq!(asked(&mut world, about_own), 0);
}

#[test]
fn a_value_is_renewed_where_it_is_and_brought_where_it_is_not() {
    let mut world = Neighbours::new(3, |_| ());
    let held = value(&[3; 5000]);
    let copy = |ttl_seconds| StoreItem {
        ttl_seconds,
        ..item(Record::Value(held.clone()))
    };
    world.nodes[0].store(copy(36 * 3600));
    world.nodes[1].store(copy(2 * 3600));
    world.asked.clear();
    world.live(0, 2 * HOUR);
    let mut brought = Vec::new();
    for (_, to, request) in &world.asked {
        if let Request::Store(store) = request {
            let whole = store
                .items
                .iter()
                .filter(|item| matches!(item.record, Record::Value(_)));
            brought.extend(whole.map(|_| *to));
            assert!(store.items.iter().all(|item| matches!(
                item.record,
                Record::Value(_) | Record::Renewal(Renewal::Value(_))
            )));
        }
    }
    assert_eq!(brought, [2], "only the one that lacked it gets the payload");
    for node in 1..3 {
        world.nodes[node].pass(20 * HOUR);
        world.nodes[node].effects();
        let found = world.nodes[node].find(whole(*held.key(), Kind::Value), true);
        assert_eq!(found.records.len(), 1, "it lives as long as at the first");
    }
}

#[test]
fn later_versions_and_renewals_win_wherever_they_are() {
    let day = start() + DAY;
    for (here, there, expected) in [
        (
            entry(1, b"one", day),
            entry(2, b"two", day),
            entry(2, b"two", day),
        ),
        (
            entry(2, b"two", day),
            entry(1, b"one", day),
            entry(2, b"two", day),
        ),
        (
            entry(1, b"one", day),
            entry(1, b"one", day + 9),
            entry(1, b"one", day + 9),
        ),
        (
            entry(1, b"one", day + 9),
            entry(1, b"one", day),
            entry(1, b"one", day + 9),
        ),
    ] {
        let mut world = Neighbours::new(2, |_| ());
        world.nodes[0].store(signed(&here));
        world.nodes[1].store(signed(&there));
        world.live(0, 2 * HOUR);
        for node in &mut world.nodes {
            let all = node.all(*expected.slot(), Kind::NamespaceEntry);
            assert_eq!(all, [Record::Signed(expected.clone().into_inner())]);
        }
    }
}

#[test]
fn a_newcomer_is_brought_a_whole_bag() {
    let mut world = Neighbours::new(2, |_| ());
    for number in 0..200 {
        world.nodes[0].store(signed(&bag_item(number, 1000)));
    }
    world.live(0, 2 * HOUR);
    assert_eq!(bag(&mut world.nodes[1]).len(), 200);
    world.asked.clear();
    // And the other way round: who has less fetches.
    let mut world = Neighbours::new(2, |_| ());
    for number in 0..200 {
        world.nodes[0].store(signed(&bag_item(number, 1000)));
    }
    world.nodes[1].store(signed(&bag_item(0, 1000)));
    world.live(1, 2 * HOUR);
    assert_eq!(bag(&mut world.nodes[1]).len(), 200);
}

fn digest(one: &mut One, kind: Kind, ranges: Vec<DigestRange>, confirmed: bool) -> Answer {
    one.ask(&Request::Digest(Digest { kind, ranges }), confirmed);
    one.answer()
}

#[test]
fn a_digest_tells_what_is_held_to_who_is_confirmed() {
    let mut one = One::trusting();
    let record = bag_item(1, 20);
    one.store(signed(&record));
    let at = |id: Key| Position { slot: slot(), id };
    let range = |fingerprint| DigestRange {
        start: at(Key::ZERO),
        end: Some(at(Key::MAX)),
        fingerprint,
    };
    let refused = digest(&mut one, Kind::BagItem, vec![range([0; 32])], false);
    assert_eq!(refused, Answer::Refused(Reason::NotConfirmed));
    let same = range(fingerprint(&mut [*record.hash()]));
    let listed = RangeDigest::Records(vec![(at(*record.id()), *record.hash())]);
    assert_eq!(
        digest(&mut one, Kind::BagItem, vec![same, range([0; 32])], true),
        Answer::Digested(vec![RangeDigest::Same, listed])
    );
    let none = RangeDigest::Records(Vec::new());
    assert_eq!(
        digest(&mut one, Kind::DictCell, vec![range([0; 32])], true),
        Answer::Digested(vec![none])
    );
}

#[test]
fn a_digest_across_slots_lists_values_and_does_not_show_blocked_ones() {
    let mut one = One::trusting();
    let mut values: Vec<_> = (0..3_u8).map(|number| value(&[number])).collect();
    values.sort_by_key(|value| *value.key());
    for value in &values {
        one.store(StoreItem {
            ttl_seconds: 3600,
            ..item(Record::Value(value.clone()))
        });
    }
    let everything = || DigestRange {
        start: Position::first_of(Key::ZERO),
        end: None,
        fingerprint: [0; 32],
    };
    let line =
        |value: &qadom_wire::Value| (Position::first_of(*value.key()), *value.key().as_bytes());
    let all = RangeDigest::Records(values.iter().map(line).collect());
    assert_eq!(
        digest(&mut one, Kind::Value, vec![everything()], true),
        Answer::Digested(vec![all])
    );
    let blocked = qadom_engine::Blocked::Key(*values[1].key());
    one.engine.block(one.now, blocked, None).unwrap();
    let rest = RangeDigest::Records(vec![line(&values[0]), line(&values[2])]);
    assert_eq!(
        digest(&mut one, Kind::Value, vec![everything()], true),
        Answer::Digested(vec![rest])
    );
}

/// Lets the one neighbour of a node that holds one item answer everything.
fn replicate(answer: impl Fn(&Request) -> Answer) -> (One, usize) {
    let mut one = One::trusting();
    one.store(signed(&bag_item(1, 20)));
    one.meet_far([1]);
    one.pass(66 * 60);
    let mut requests = 0;
    one.run(|outgoing| {
        requests += 1;
        Some(answer(&Request::decode(outgoing.body.clone()).unwrap()))
    });
    (one, requests)
}

#[test]
fn who_gives_forged_records_to_another_holder_is_blocked() {
    let foreign = qadom_wire::Network::new(b"another", b"").unwrap().id();
    let draft = Draft::bag_item(slot(), "forged".into(), 1, start() + DAY);
    let forged = identity(2).sign(&foreign, draft).unwrap();
    let (mut one, _) = replicate(|request| match request {
        Request::Digest(_) => {
            let position = Position {
                slot: slot(),
                id: *forged.id(),
            };
            let records = RangeDigest::Records(vec![(position, *forged.hash())]);
            Answer::Digested(vec![records])
        }
        Request::Find(_) => Answer::Found(Found {
            records: vec![Record::Signed(forged.clone().into_inner())],
            ..Found::default()
        }),
        Request::FindNode(_) => Answer::Contacts(Vec::new()),
        _ => Answer::Refused(Reason::UnknownKind),
    });
    assert_eq!(one.engine.blocks(one.now).len(), 1);
    assert_eq!(bag(&mut one).len(), 1);
}

#[test]
fn a_holder_that_splits_for_ever_is_given_up() {
    let (_, requests) = replicate(|request| match request {
        Request::Digest(digest) => {
            let split = |range: &DigestRange| {
                let mut id = *range.start.id.as_bytes();
                let middle = id.iter_mut().rev().find(|byte| **byte < 0xff);
                *middle.unwrap() += 1;
                let middle = Position {
                    slot: slot(),
                    id: Key::from_bytes(id),
                };
                let first = DigestRange {
                    end: Some(middle),
                    fingerprint: [1; 32],
                    ..*range
                };
                let second = DigestRange {
                    start: middle,
                    fingerprint: [2; 32],
                    ..*range
                };
                RangeDigest::Split(vec![first, second])
            };
            let (last, others) = digest.ranges.split_last().unwrap();
            let mut answers = vec![RangeDigest::Same; others.len()];
            answers.push(split(last));
            Answer::Digested(answers)
        }
        Request::FindNode(_) => Answer::Contacts(Vec::new()),
        _ => Answer::Refused(Reason::UnknownKind),
    });
    assert!((4000..5000).contains(&requests), "{requests}");
}

/// A question about a whole bag by somebody who has exactly this of it.
fn same(records: &[Verified]) -> Request {
    let mut hashes: Vec<_> = records.iter().map(|record| *record.hash()).collect();
    Request::Digest(Digest {
        kind: Kind::BagItem,
        ranges: vec![DigestRange {
            start: Position::first_of(slot()),
            end: Some(Position {
                slot: slot_behind(),
                id: Key::ZERO,
            }),
            fingerprint: fingerprint(&mut hashes),
        }],
    })
}

fn slot_behind() -> Key {
    let mut bytes = *slot().as_bytes();
    bytes[31] += 1;
    Key::from_bytes(bytes)
}

#[test]
fn only_who_should_hold_a_bag_can_spare_others_its_replication() {
    for (asker, is_spared) in [(9, false), (1, true)] {
        let mut world = Neighbours::new(3, |_| ());
        let record = bag_item(1, 10);
        assert_eq!(world.nodes[0].store(signed(&record)), STORED);
        world.live(0, 50 * 60);
        world.nodes[0].ask_as(asker, &same(&[record]), true);
        let answer = world.nodes[0].answer();
        assert_eq!(answer, Answer::Digested(vec![RangeDigest::Same]));
        world.asked.clear();
        world.live(0, 27 * 60);
        let is_digest = |request: &Request| matches!(request, Request::Digest(_));
        assert_eq!(asked(&mut world, is_digest) == 0, is_spared, "{asker}");
    }
}

#[test]
fn what_is_due_waits_a_quarter_of_the_interval_at_most_and_has_its_round_once() {
    let mut world = Neighbours::new(3, |_| ());
    world.live(0, 10 * 60);
    let held = value(&[3; 50]);
    let copy = StoreItem {
        ttl_seconds: 36 * 3600,
        ..item(Record::Value(held.clone()))
    };
    assert_eq!(world.nodes[0].store(copy), STORED);
    let is_store = |request: &Request| matches!(request, Request::Store(_));
    world.asked.clear();
    world.live(0, 59 * 60);
    assert_eq!(asked(&mut world, is_store), 0);
    world.live(0, 18 * 60);
    let renewed_and_brought = 2 * 2;
    assert_eq!(asked(&mut world, is_store), renewed_and_brought);
    world.asked.clear();
    world.live(0, 42 * 60);
    assert_eq!(asked(&mut world, is_store), 0);
}

#[test]
fn what_is_due_soon_goes_along_with_what_is_due() {
    let mut world = Neighbours::new(3, |_| ());
    for number in [1, 2] {
        let copy = StoreItem {
            ttl_seconds: 36 * 3600,
            ..item(Record::Value(value(&[number; 50])))
        };
        assert_eq!(world.nodes[0].store(copy), STORED);
        world.live(0, 10 * 60);
    }
    world.asked.clear();
    world.live(0, 98 * 60);
    world.asked.retain(|(_, to, _)| *to == 1);
    let items = world
        .asked
        .iter()
        .filter_map(|(_, _, request)| match request {
            Request::Store(store) => Some(store.items.len()),
            _ => None,
        });
    let renewed_and_brought = [2, 2];
    assert!(items.eq(renewed_and_brought), "{:?}", world.asked);
}

#[test]
fn a_stranger_that_renews_a_value_does_not_spare_it_its_replication() {
    let mut world = Neighbours::new(3, |_| ());
    let held = value(&[3; 50]);
    let copy = StoreItem {
        ttl_seconds: 36 * 3600,
        ..item(Record::Value(held.clone()))
    };
    assert_eq!(world.nodes[0].store(copy), STORED);
    // It is due after an hour, and an hour after the sweep of at most 17 minutes later that finds it.
    world.live(0, 118 * 60);
    let renewal = StoreItem {
        ttl_seconds: 1,
        ..item(Record::Renewal(Renewal::Value(*held.key())))
    };
    world.nodes[0].store(renewal);
    world.asked.clear();
    world.live(0, 36 * 60);
    world.asked.retain(|(_, to, _)| *to == 1);
    let is_store = |request: &Request| matches!(request, Request::Store(_));
    assert!(asked(&mut world, is_store) > 0);
}

#[test]
fn a_holder_that_only_says_that_it_differs_is_soon_left_alone() {
    let mut one = One::trusting();
    one.meet_far([1]);
    assert_eq!(one.store(signed(&bag_item(1, 10))), STORED);
    let mut questions = 0;
    for _ in 0..67 {
        one.pass(60);
        one.run(|outgoing| match Request::decode(outgoing.body.clone()) {
            Ok(Request::Digest(digest)) => {
                questions += 1;
                let differs = vec![RangeDigest::Differs; digest.ranges.len()];
                Some(Answer::Digested(differs))
            }
            Ok(Request::FindNode(_)) => Some(Answer::Contacts(Vec::new())),
            _ => None,
        });
    }
    assert_eq!(questions, 1);
}

#[test]
fn ranges_that_overlap_cost_no_more_than_those_that_do_not() {
    let mut one = One::trusting();
    for number in 0..200 {
        assert_eq!(one.store(signed(&bag_item(number, 10))), STORED);
    }
    let Request::Digest(mut digest) = same(&[]) else {
        panic!("a digest");
    };
    digest.ranges = vec![digest.ranges[0]; 3];
    one.ask(&Request::Digest(digest), true);
    let Answer::Digested(answers) = one.answer() else {
        panic!("an answer");
    };
    assert!(matches!(&answers[0], RangeDigest::Split(_)));
    assert_eq!(answers[1..], [RangeDigest::Differs, RangeDigest::Differs]);
}

#[test]
fn a_version_from_the_future_is_not_shown_once_the_time_is_known() {
    let mut one = One::new(qadom_engine::Mode::Storing);
    let draft = Draft::dict_cell(slot(), "late".into(), u64::MAX - 1, start() + DAY);
    let record = sign(&identity(1), draft);
    assert_eq!(one.store(signed(&record)), STORED);
    assert_eq!(one.all(slot(), Kind::DictCell).len(), 1);
    one.pass(61);
    one.effects();
    assert_eq!(one.all(slot(), Kind::DictCell).len(), 0);
    let asked = DigestRange {
        start: Position::first_of(slot()),
        end: Some(Position::first_of(slot_behind())),
        fingerprint: [1; 32],
    };
    let kind = Kind::DictCell;
    let ranges = vec![asked];
    one.ask(&Request::Digest(Digest { kind, ranges }), true);
    let nothing = RangeDigest::Records(Vec::new());
    assert_eq!(one.answer(), Answer::Digested(vec![nothing]));
}

#[test]
fn what_a_reader_keeps_counts_for_the_address_group_that_gave_it() {
    let mut one = One::trusting();
    one.meet_far([1, 2]);
    let record = bag_item(1, 10);
    let now = one.now;
    one.engine.bag_list(now, slot(), ReadFrom::Network);
    one.run(|outgoing| match Request::decode(outgoing.body.clone()) {
        Ok(Request::Find(_)) => Some(Answer::Found(Found {
            records: vec![Record::Signed(record.clone().into_inner())],
            ..Found::default()
        })),
        Ok(Request::FindNode(_)) => Some(Answer::Contacts(Vec::new())),
        _ => None,
    });
    let entries = one.store.scan_slot(&slot(), None, None, 10).unwrap();
    let groups: Vec<_> = entries.iter().map(|entry| entry.columns.group).collect();
    let of = |number| *SourceGroup::of(far(number).ip()).of_replicas().as_bytes();
    assert_eq!(groups.len(), 1);
    assert!([of(1), of(2)].contains(&groups[0]), "{groups:?}");
}
