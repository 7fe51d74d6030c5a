//! How a node comes back to its records after its store was lost.

use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{Outcome, ReadFrom, WriteOptions};
use qadom_routing::Key;
use qadom_store::{Entry, Store};
use qadom_wire::{
    Answer, Digest, DigestRange, Draft, Found, Identity, Kind, Position, RangeDigest, Reason,
    Record, Request, StoreItem, Verified, fingerprint,
};

use crate::neighbours::Neighbours;
use crate::one::{One, value};
use crate::signed::{HOUR, STORED, identity, item, sign, signed, start};
use crate::world::World;

const DAY: u64 = 24 * HOUR;

fn every(store: &dyn Store) -> Vec<Entry> {
    store
        .scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX)
        .unwrap()
}

/// Empties a store, as one that was set aside is.
fn lose(store: &dyn Store) -> usize {
    let all = every(store);
    for entry in &all {
        assert!(store.remove(&entry.slot, &entry.id).unwrap());
    }
    all.len()
}

/// Where entries lie, and what they are: not how long they live.
fn places(store: &dyn Store) -> Vec<(Key, Vec<u8>)> {
    let all = every(store).into_iter();
    all.map(|entry| (entry.slot, entry.id.as_bytes().to_vec()))
        .collect()
}

fn slot(number: u16) -> Key {
    let mut bytes = [number.to_be_bytes()[1]; 32];
    bytes[1] = number.to_be_bytes()[0];
    Key::from_bytes(bytes)
}

fn records(count: u16) -> Vec<StoreItem> {
    let mut items = Vec::new();
    for number in 0..count {
        let payload = Bytes::from(vec![number.to_be_bytes()[1]; 100 + usize::from(number)]);
        let writer: Identity = identity(number % 3);
        let (seq, expiry) = (u64::from(number) + 1, start() + DAY);
        let drafts = [
            Draft::bag_item(slot(number % 4), payload.clone(), seq, expiry),
            Draft::namespace_entry(&writer.writer(), slot(number), payload.clone(), seq, expiry),
        ];
        items.extend(drafts.map(|draft| signed(&sign(&writer, draft))));
        items.push(StoreItem {
            ttl_seconds: 36 * 3600,
            ..item(Record::Value(value(&payload)))
        });
    }
    items
}

fn store_everywhere(world: &mut Neighbours, items: &[StoreItem]) {
    for node in &mut world.nodes {
        for item in items {
            assert_eq!(node.store(item.clone()), STORED);
        }
    }
    world.asked.clear();
}

#[test]
fn everything_that_neighbours_hold_comes_back_within_a_minute() {
    let mut world = Neighbours::new(4, |_| ());
    store_everywhere(&mut world, &records(150));
    let before = places(&*world.nodes[0].store);
    assert_eq!(lose(&*world.nodes[0].store), 450);
    let node = &mut world.nodes[0];
    node.engine.refill(node.now);
    assert!(node.engine.status().refill.is_under_way);
    world.live(0, 60);
    assert_eq!(places(&*world.nodes[0].store), before);
    let refill = world.nodes[0].engine.status().refill;
    assert!(!refill.is_under_way && refill.fetched > 0, "{refill:?}");
    let brings = |(from, _, request): &(usize, usize, Request)| {
        *from == 0 && matches!(request, Request::Store(_))
    };
    assert!(
        !world.asked.iter().any(brings),
        "nothing is brought to others"
    );
    // Values live on when their holders have told how long: within two of their intervals, which
    // grow beyond an hour where nobody leaves.
    world.live(1, 3 * HOUR);
    let refilled = &mut world.nodes[0];
    refilled.pass(20 * HOUR);
    let values = every(&*refilled.store);
    let now = refilled.now.utc_seconds();
    let alive = values.iter().filter(|entry| entry.columns.expires_at > now);
    assert_eq!(alive.count(), 450);
}

#[test]
fn what_one_holder_lacks_another_one_gives() {
    let mut world = Neighbours::new(4, |_| ());
    let items = records(30);
    for (number, item) in items.iter().enumerate() {
        let holder = &mut world.nodes[1 + number % 3];
        assert_eq!(holder.store(item.clone()), STORED);
    }
    let node = &mut world.nodes[0];
    node.engine.refill(node.now);
    world.live(0, 60);
    assert_eq!(every(&*world.nodes[0].store).len(), items.len());
}

#[test]
fn nothing_but_a_round_of_digests_is_asked_where_nothing_is_missing() {
    let mut world = Neighbours::new(4, |_| ());
    store_everywhere(&mut world, &records(40));
    let node = &mut world.nodes[0];
    node.engine.refill(node.now);
    world.live(0, 60);
    let is_find = |(_, _, request): &(usize, usize, Request)| matches!(request, Request::Find(_));
    assert!(!world.asked.iter().any(is_find));
    let asked = world.asked.iter();
    let digests = asked.filter(|(_, _, request)| matches!(request, Request::Digest(_)));
    assert!((5..=3 * 5 * 3).contains(&digests.count()));
}

#[test]
fn a_node_that_is_alone_finds_in_its_journal_what_it_has_promised() {
    let mut world = World::new(1);
    let writer = world.writer(0, 3);
    let put = world.run_at(0, |engine, now| {
        engine.put(now, "kept".into(), WriteOptions::default())
    });
    let Ok(Outcome::Stored(receipt)) = put else {
        panic!("{put:?}");
    };
    world
        .run_at(0, |engine, now| {
            engine.bag_add(now, writer, slot(1), "item".into(), WriteOptions::default())
        })
        .unwrap();
    assert_eq!(lose(world.store(0)), 2);
    let lost = world.run_at(0, |engine, now| {
        engine.get(now, receipt.key, ReadFrom::Local)
    });
    assert!(lost.is_err());
    let now = world.now;
    world.members[0].engine.refill(now);
    world.pass(Duration::from_secs(1));
    assert_eq!(every(world.store(0)).len(), 2);
    let found = world.run_at(0, |engine, now| {
        engine.get(now, receipt.key, ReadFrom::Local)
    });
    assert!(matches!(found, Ok(Outcome::Fetched(found)) if found.value == "kept"));
    assert_eq!(world.members[0].engine.status().refill.own, 2);
}

/// What a holder says to a node that asks to be refilled, until nothing is under way.
fn refill_from(node: &mut One, mut holder: impl FnMut(&Request) -> Answer) -> usize {
    node.engine.refill(node.now);
    let mut asked = 0;
    for _ in 0..40 {
        node.pass(1);
        node.run(|outgoing| {
            let request = Request::decode(outgoing.body.clone()).unwrap();
            Some(match &request {
                Request::FindNode(_) => Answer::Contacts(Vec::new()),
                Request::Digest(_) | Request::Find(_) => {
                    asked += 1;
                    holder(&request)
                }
                _ => return None,
            })
        });
    }
    asked
}

fn met() -> One {
    let mut node = One::trusting();
    node.meet_far([1]);
    node
}

#[test]
fn a_holder_that_leads_on_without_giving_anything_is_given_up() {
    let (mut node, mut step) = (met(), 0_u64);
    let asked = refill_from(&mut node, |request| match request {
        Request::Digest(digest) => {
            // Ever smaller parts, all of which differ.
            let ranges = digest.ranges.iter().map(|range| {
                step += 1;
                let mut middle = range.start;
                let mut bytes = *middle.id.as_bytes();
                bytes[24..].copy_from_slice(&(u64::MAX - 500_000 + step).to_be_bytes());
                middle.id = Key::from_bytes(bytes);
                if middle <= range.start || range.end.is_some_and(|end| end <= middle) {
                    return RangeDigest::Same;
                }
                let mut parts = [*range, *range];
                (parts[0].end, parts[1].start) = (Some(middle), middle);
                parts[0].fingerprint = [1; 32];
                parts[1].fingerprint = [2; 32];
                RangeDigest::Split(parts.to_vec())
            });
            Answer::Digested(ranges.collect())
        }
        _ => Answer::Found(Found::default()),
    });
    assert!((4000..10_000).contains(&asked), "{asked}");
    assert!(!node.engine.status().refill.is_under_way);
}

#[test]
fn a_lie_is_not_kept_and_ends_it() {
    let promised: Verified = {
        let draft = Draft::bag_item(slot(1), "true".into(), 1, start() + DAY);
        sign(&identity(1), draft)
    };
    let other = Draft::bag_item(slot(1), "other".into(), 2, start() + DAY);
    let other = sign(&identity(2), other);
    let mut node = met();
    let asked = refill_from(&mut node, |request| match request {
        Request::Digest(digest) => {
            let position = Position {
                slot: *promised.slot(),
                id: *promised.id(),
            };
            let is_there = digest.kind == Kind::BagItem;
            let ranges = digest.ranges.iter().map(|range| {
                if is_there && range.contains(&position) {
                    RangeDigest::Records(vec![(position, [3; 32])])
                } else {
                    RangeDigest::Same
                }
            });
            Answer::Digested(ranges.collect())
        }
        _ => Answer::Found(Found {
            records: vec![Record::Signed(other.clone().into_inner())],
            ..Found::default()
        }),
    });
    assert!(asked > 0 && every(&*node.store).is_empty());
}

#[test]
fn a_holder_that_has_too_much_to_compare_at_once_is_asked_for_parts() {
    let mut node = met();
    let held = value(b"held");
    let mut refused = 0;
    refill_from(&mut node, |request| match request {
        Request::Digest(digest) => {
            let first = &digest.ranges[0];
            let is_wide = first.start.slot == Key::ZERO && first.end.is_none();
            let is_whole = is_wide || digest.ranges.len() > 1;
            if is_whole {
                refused += 1;
                return Answer::Refused(Reason::TooLarge);
            }
            let position = Position::first_of(*held.key());
            let ranges = digest.ranges.iter().map(|range| {
                if digest.kind == Kind::Value && range.contains(&position) {
                    RangeDigest::Records(vec![(position, *held.key().as_bytes())])
                } else {
                    RangeDigest::Same
                }
            });
            Answer::Digested(ranges.collect())
        }
        _ => Answer::Found(Found {
            records: vec![Record::Value(held.clone())],
            ..Found::default()
        }),
    });
    assert!(refused > 0);
    assert_eq!(every(&*node.store).len(), 1);
}

#[test]
fn what_the_store_lost_by_a_failed_commit_is_not_claimed_any_more() {
    let mut node = One::trusting();
    let records: Vec<Verified> = (0..80_u64)
        .map(|number| {
            let payload = Bytes::copy_from_slice(&number.to_be_bytes());
            let draft = Draft::bag_item(slot(1), payload, number + 1, start() + DAY);
            sign(&identity(1), draft)
        })
        .collect();
    for record in &records {
        assert_eq!(node.store(signed(record)), STORED);
    }
    let compare = |node: &mut One, held: &[Verified]| {
        let at = |id| Position { slot: slot(1), id };
        let mut hashes: Vec<_> = held.iter().map(|record| *record.hash()).collect();
        let range = DigestRange {
            start: at(Key::ZERO),
            end: Some(at(Key::MAX)),
            fingerprint: fingerprint(&mut hashes),
        };
        let digest = Digest {
            kind: Kind::BagItem,
            ranges: vec![range],
        };
        node.ask(&Request::Digest(digest), true);
        node.answer() == Answer::Digested(vec![RangeDigest::Same])
    };
    // So many are remembered as they were listed.
    assert!(compare(&mut node, &records));
    let (lost, kept) = records.split_at(10);
    for entry in every(&*node.store) {
        let is_it = |record: &Verified| entry.id.as_bytes().ends_with(record.id().as_bytes());
        if lost.iter().any(is_it) {
            assert!(node.store.remove(&entry.slot, &entry.id).unwrap());
        }
    }
    assert_eq!(every(&*node.store).len(), 70);
    let ticket = node.store.ticket();
    node.engine
        .on_commit_failed(node.now, ticket, Reason::StorageFailed);
    assert!(compare(&mut node, kept));
    assert!(!compare(&mut node, &records));
}
