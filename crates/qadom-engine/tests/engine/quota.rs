//! What gives way when a slot, a writer or the node has too much, and who cannot make it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::one::{One, value};
use crate::signed::{HOUR, STORED, identity, item, sign, signed, slot, start};
use bytes::Bytes;
use qadom_engine::{Limits, WriteOptions};
use qadom_routing::Key;
use qadom_wire::{
    Draft, Kind, Reason, Record, SignedRecord, SourceGroup, StoreClass, StoreItem, StoreResult,
    Verified, dict_slot,
};

const QUOTA: StoreResult = StoreResult::Refused(Reason::Quota);

/// A payload that is told apart by a number.
pub(crate) fn payload(number: u16, length: usize) -> Bytes {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(length, 0);
    payload.into()
}

/// A bag item of a numbered writer, the younger the higher its number.
fn bag_item(writer: u16, number: u16, length: usize) -> Verified {
    let seq = u64::from(number) + 1;
    let draft = Draft::bag_item(slot(), payload(number, length), seq, start() + HOUR);
    sign(&identity(writer), draft)
}

fn dict_cell(writer: u16, length: usize) -> Verified {
    let seq = u64::from(writer) + 1;
    let draft = Draft::dict_cell(slot(), payload(writer, length), seq, start() + HOUR);
    sign(&identity(writer), draft)
}

fn event(writer: u16, seq: u16, length: usize) -> Verified {
    let draft = Draft::event(slot(), 1, seq.into(), payload(seq, length), start() + HOUR);
    sign(&identity(writer), draft)
}

/// The address of a numbered group.
pub(crate) fn group(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [60, high, low, 1]
}

pub(crate) fn records(one: &mut One, kind: Kind) -> Vec<SignedRecord> {
    let records = one.all(slot(), kind).into_iter();
    let signed = records.filter_map(|record| match record {
        Record::Signed(record) => Some(record),
        _ => None,
    });
    signed.collect()
}

/// Stores records one after the other and tells which of them are there in the end.
fn stored(limits: impl FnOnce(&mut Limits), all: &[Verified]) -> Vec<bool> {
    let mut one = One::limited(limits);
    for record in all {
        assert_eq!(one.store(signed(record)), STORED);
    }
    let kind = all.first().unwrap().kind();
    let there: BTreeSet<_> = records(&mut one, kind)
        .iter()
        .map(|record| *record.id())
        .collect();
    all.iter()
        .map(|record| there.contains(record.id()))
        .collect()
}

#[test]
fn the_limits_are_those_of_the_protocol() {
    let limits = Limits::default();
    assert_eq!((limits.bag_items, limits.bag_bytes), (16_384, 16 << 20));
    assert_eq!((limits.dict_cells, limits.dict_bytes), (64, 512 << 10));
    let topic = (limits.topic_events, limits.topic_writer_bytes);
    assert_eq!((topic, limits.topic_bytes), ((1024, 1 << 20), 8 << 20));
    assert_eq!((limits.records, limits.record_bytes), (250_000, 256 << 20));
}

#[test]
fn a_bag_has_so_many_items_and_then_the_oldest_leaves() {
    let items: Vec<_> = (0..4).map(|number| bag_item(1, number, 10)).collect();
    for (limit, expected) in [
        (3, [false, true, true, true]),
        (4, [true; 4]),
        (5, [true; 4]),
    ] {
        assert_eq!(stored(|limits| limits.bag_items = limit, &items), expected);
    }
}

#[test]
fn a_bag_has_so_many_bytes_and_then_the_oldest_leaves() {
    let items: Vec<_> = (0..4).map(|number| bag_item(1, number, 100)).collect();
    for (limit, expected) in [
        (399, [false, true, true, true]),
        (400, [true; 4]),
        (401, [true; 4]),
    ] {
        assert_eq!(stored(|limits| limits.bag_bytes = limit, &items), expected);
    }
}

#[test]
fn a_dict_name_has_so_many_cells_and_bytes() {
    let cells: Vec<_> = (0..4).map(|writer| dict_cell(writer, 100)).collect();
    for (limit, kept) in [(3, 3), (4, 4), (5, 4)] {
        let there = stored(|limits| limits.dict_cells = limit, &cells);
        assert_eq!(there.iter().filter(|is_there| **is_there).count(), kept);
    }
    for (limit, kept) in [(399, 3), (400, 4), (401, 4)] {
        let there = stored(|limits| limits.dict_bytes = limit, &cells);
        assert_eq!(there.iter().filter(|is_there| **is_there).count(), kept);
    }
}

#[test]
fn a_writer_has_so_many_events_in_a_topic_and_then_the_oldest_leaves() {
    let mut events: Vec<_> = (1..=4).map(|seq| event(1, seq, 100)).collect();
    events.push(event(2, 1, 100));
    let first_left = [false, true, true, true, true];
    for (limit, expected) in [(3, first_left), (4, [true; 5]), (5, [true; 5])] {
        assert_eq!(
            stored(|limits| limits.topic_events = limit, &events),
            expected
        );
    }
    for (limit, expected) in [(399, first_left), (400, [true; 5]), (401, [true; 5])] {
        let there = stored(|limits| limits.topic_writer_bytes = limit, &events);
        assert_eq!(there, expected);
    }
}

#[test]
fn a_topic_has_so_many_bytes_and_then_who_wrote_most_loses_the_oldest() {
    let mut events: Vec<_> = (1..=4).map(|seq| event(1, seq, 100)).collect();
    events.push(event(2, 1, 100));
    for (limit, is_there) in [(499, false), (500, true), (501, true)] {
        let expected = [is_there, true, true, true, true];
        assert_eq!(
            stored(|limits| limits.topic_bytes = limit, &events),
            expected
        );
    }
}

#[test]
fn a_node_has_so_many_records_and_so_much_charge() {
    let items: Vec<_> = (0..4).map(|number| bag_item(1, number, 100)).collect();
    let oldest_left = [false, true, true, true];
    for (limit, expected) in [(3, oldest_left), (4, [true; 4]), (5, [true; 4])] {
        assert_eq!(stored(|limits| limits.records = limit, &items), expected);
    }
    let full = 4 * (100 + 512);
    for (limit, expected) in [
        (full - 1, oldest_left),
        (full, [true; 4]),
        (full + 1, [true; 4]),
    ] {
        assert_eq!(
            stored(|limits| limits.record_bytes = limit, &items),
            expected
        );
    }
}

#[test]
fn of_values_the_farthest_gives_way_and_a_farther_one_is_refused() {
    let mut values: Vec<_> = (0..8_u8).map(|number| value(&[number; 64])).collect();
    let own = *crate::one::node_key(0).id().key();
    values.sort_by_key(|value| own.distance(value.key()).shared_bits());
    let put = |one: &mut One, index: usize| {
        let record = Record::Value(values[index].clone());
        one.store(StoreItem {
            ttl_seconds: 3600,
            ..item(record)
        })
    };
    let mut one = One::limited(|limits| limits.records = 2);
    // The last are the nearest.
    assert_eq!(put(&mut one, 6), STORED);
    assert_eq!(put(&mut one, 0), STORED);
    assert_eq!(put(&mut one, 7), STORED);
    assert_eq!(put(&mut one, 1), QUOTA);
    let is_held = |index: usize| {
        let id = qadom_store::EntryId::new(&[0]).unwrap();
        let held = qadom_store::Store::get(&*one.store, values[index].key(), &id);
        held.unwrap().is_some()
    };
    assert_eq!([0, 1, 6, 7].map(is_held), [false, false, true, true]);
}

#[test]
fn a_version_that_does_not_fit_leaves_the_earlier_one() {
    let mut one = One::limited(|limits| limits.dict_bytes = 100);
    let first = dict_cell(1, 100);
    assert_eq!(one.store(signed(&first)), STORED);
    let longer = Draft::dict_cell(slot(), payload(1, 101), 9, start() + HOUR);
    let longer = sign(&identity(1), longer);
    assert_eq!(one.store(signed(&longer)), QUOTA);
    assert_eq!(records(&mut one, Kind::DictCell), [first.into_inner()]);
}

#[test]
fn a_flood_from_few_groups_leaves_what_others_brought() {
    let mut one = One::limited(|limits| limits.bag_items = 500);
    let honest = |one: &mut One, numbers: std::ops::Range<u16>| {
        for number in numbers {
            // 50 groups with a writer each.
            let record = bag_item(number % 50, number, 20);
            one.store_from(group(number % 50), signed(&record));
        }
    };
    honest(&mut one, 0..200);
    for number in 0..2000_u16 {
        // 1000 writers from 10 groups, each item younger than all before.
        let record = bag_item(1000 + number % 1000, 1000 + number, 20);
        one.store_from(group(1000 + number % 10), signed(&record));
    }
    honest(&mut one, 200..400);
    let honest_writers: BTreeSet<_> = (0..50).map(|number| identity(number).writer()).collect();
    let all = records(&mut one, Kind::BagItem);
    let honest = all
        .iter()
        .filter(|record| honest_writers.contains(record.writer()));
    // Above 450 items each honest one takes the place of one that floods, until all groups that
    // flood have their share of 500 among 60 groups.
    assert_eq!((all.len(), honest.count()), (480, 400));
}

#[test]
fn shares_bind_above_nine_tenths() {
    let large = |number: u16| (group(1), bag_item(number, number, 20));
    let small = |number: u16| (group(2), bag_item(number, number, 20));
    // One more than 90 takes the place of an item of the group that has most.
    for (items, expected) in [(89, 90), (90, 90), (91, 91)] {
        let mut one = One::limited(|limits| limits.bag_items = 100);
        for number in 0..items {
            let (from, record) = large(number);
            one.store_from(from, signed(&record));
        }
        let (from, record) = small(200);
        assert_eq!(one.store_from(from, signed(&record)), STORED);
        let all = records(&mut one, Kind::BagItem);
        assert_eq!(all.len(), expected, "{items}");
        assert!(all.contains(&record));
    }
    // Who is alone has all of it.
    let mut one = One::limited(|limits| limits.bag_items = 100);
    for number in 0..100 {
        let (from, record) = large(number);
        one.store_from(from, signed(&record));
    }
    assert_eq!(records(&mut one, Kind::BagItem).len(), 100);
    // Whoever else comes gets half, one by one.
    for number in 200..260 {
        let (from, record) = small(number);
        assert_eq!(one.store_from(from, signed(&record)), STORED);
    }
    let of_small = groups(&one)
        .iter()
        .filter(|held| **held == *SourceGroup::of(group(2).into()).as_bytes())
        .count();
    assert_eq!(of_small, 50);
}

#[test]
fn a_tombstone_outlives_what_else_its_writer_has_in_a_full_bag() {
    let mut one = One::limited(|limits| limits.bag_items = 10);
    let removed = bag_item(1, 0, 20);
    one.store(signed(&removed));
    let grave = Draft::bag_tombstone(slot(), *removed.label(), 2, start() + HOUR);
    let grave = sign(&identity(1), grave);
    one.store(signed(&grave));
    for number in 10..40 {
        assert_eq!(one.store(signed(&bag_item(1, number, 20))), STORED);
    }
    let all = records(&mut one, Kind::BagItem);
    assert_eq!((all.len(), all.contains(&grave)), (10, true));
    let back = one.store(signed(&removed));
    assert_eq!(back, StoreResult::Refused(Reason::StaleSeq));
}

#[test]
fn what_a_replicator_brought_is_not_held_against_it_once_it_is_over() {
    let mut one = One::limited(|limits| limits.bag_items = 80);
    let bringer = group(7000);
    let bring = |one: &mut One, numbers: std::ops::Range<u16>, seconds: u64| {
        let now = start() + seconds;
        for number in numbers {
            let seq = now * 1_000_000 + u64::from(number);
            let draft = Draft::bag_item(slot(), payload(number, 20), seq, now + 6 * 24 * HOUR);
            let record = sign(&identity(number), draft);
            one.store_from(bringer, replica(&record, group(number)));
        }
        let own = *SourceGroup::of(bringer.into()).of_replicas().as_bytes();
        groups(one).iter().filter(|group| **group != own).count()
    };
    assert_eq!(bring(&mut one, 0..40, 0), 20);
    let days = 10;
    for _ in 0..days {
        one.pass(24 * HOUR);
        one.effects();
    }
    assert!(records(&mut one, Kind::BagItem).is_empty());
    assert_eq!(bring(&mut one, 100..140, days * 24 * HOUR), 20);
}

/// A replica that its bringer says to be from another group.
fn replica(record: &Verified, from: [u8; 4]) -> StoreItem {
    StoreItem {
        class: StoreClass::Replica,
        group: Some(SourceGroup::of(from.into())),
        ..signed(record)
    }
}

/// The groups that the items of the bag count for.
fn groups(one: &One) -> Vec<[u8; 8]> {
    let found = qadom_store::Store::scan_slot(&*one.store, &slot(), None, None, 1000);
    let entries = found.unwrap().into_iter();
    entries.map(|entry| entry.columns.group).collect()
}

#[test]
fn a_replicator_fills_no_more_than_a_quarter_under_the_names_of_others() {
    for (count, believed) in [(19, 19), (20, 20), (21, 20), (80, 20)] {
        let mut one = One::limited(|limits| limits.bag_items = 80);
        let bringer = group(7000);
        for number in 0..count {
            let record = bag_item(number, number, 20);
            one.store_from(bringer, replica(&record, group(number)));
        }
        let own = *SourceGroup::of(bringer.into()).of_replicas().as_bytes();
        let named = groups(&one).iter().filter(|group| **group != own).count();
        assert_eq!(named, believed, "{count}");
        // Another holder has a quarter of its own.
        let record = bag_item(900, 900, 20);
        one.store_from(group(7001), replica(&record, group(900)));
        let named = groups(&one).iter().filter(|group| **group != own).count();
        assert_eq!(named, believed + 1);
    }
}

#[test]
fn what_a_replicator_brought_beyond_its_quarter_gives_way_first() {
    let mut one = One::limited(|limits| limits.bag_items = 80);
    for number in 0..80 {
        let record = bag_item(number, number, 20);
        one.store_from(group(7000), replica(&record, group(number)));
    }
    for number in 100..160 {
        let record = bag_item(number, number, 20);
        assert_eq!(one.store_from(group(number), signed(&record)), STORED);
    }
    let honest: BTreeSet<_> = (100..160).map(|number| identity(number).writer()).collect();
    let all = records(&mut one, Kind::BagItem);
    let kept = all.iter().filter(|record| honest.contains(record.writer()));
    assert_eq!((all.len(), kept.count()), (80, 60));
}

#[test]
fn what_a_replicator_brings_does_not_drive_out_what_is_written_next_to_it() {
    let mut one = One::limited(|limits| limits.bag_items = 40);
    let neighbours = group(7000);
    let written = bag_item(1, 1, 20);
    one.store_from(neighbours, signed(&written));
    for number in 100..200 {
        let record = bag_item(number, number, 20);
        one.store_from(neighbours, replica(&record, group(number)));
    }
    let all = records(&mut one, Kind::BagItem);
    // Nine tenths, since its replicas have more than their share.
    assert_eq!((all.len(), all.contains(&written)), (36, true));
}

#[test]
fn a_version_that_does_not_fit_leaves_the_earlier_one_among_the_replicas() {
    let mut one = One::limited(|limits| limits.dict_bytes = 100);
    let brought = StoreItem {
        group: None,
        ..replica(&dict_cell(1, 100), group(1))
    };
    assert_eq!(one.store_from(group(7000), brought), STORED);
    let replicas = *SourceGroup::of(group(7000).into()).of_replicas().as_bytes();
    assert_eq!(groups(&one), [replicas]);
    let longer = Draft::dict_cell(slot(), payload(1, 101), 9, start() + HOUR);
    assert_eq!(one.store(signed(&sign(&identity(1), longer))), QUOTA);
    assert_eq!(groups(&one), [replicas]);
}

#[test]
fn an_own_record_stays_out_of_the_group_of_who_renews_it() {
    let mut one = One::trusting();
    let writer = Arc::new(identity(1));
    one.engine.add_identity(Arc::clone(&writer));
    let (now, options) = (one.now, WriteOptions::default());
    let id = writer.writer();
    one.engine
        .dict_set(now, id, b"name", payload(1, 20), options);
    one.run(|_| None);
    let place = dict_slot(b"name").unwrap();
    let Some(Record::Signed(own)) = one.all(place, Kind::DictCell).pop() else {
        panic!("no own record")
    };
    let longer = own.expiry() + HOUR;
    let renewal = Draft::dict_cell(place, own.payload().clone(), own.seq(), longer);
    let result = one.store_from(group(1), signed(&sign(&writer, renewal)));
    assert!(matches!(result, StoreResult::Renewed { .. }), "{result:?}");
    let held = qadom_store::Store::scan_slot(&*one.store, &place, None, None, 10).unwrap();
    assert_eq!(held[0].columns.group, [0; 8]);

    let own = value(b"own");
    let now = one.now;
    one.engine.put(now, own.bytes().clone(), options);
    one.run(|_| None);
    let renewal = StoreItem {
        ttl_seconds: 3600,
        ..item(Record::Value(own.clone()))
    };
    one.store_from(group(1), renewal);
    let id = qadom_store::EntryId::new(&[0]).unwrap();
    let held = qadom_store::Store::get(&*one.store, own.key(), &id).unwrap();
    assert_eq!(held.unwrap().columns.group, [0; 8]);
}

#[test]
fn a_group_is_noted_when_a_record_first_comes_and_told_to_nobody_in_local_mode() {
    let mut one = One::trusting();
    let record = bag_item(1, 1, 20);
    one.store_from(group(1), signed(&record));
    let later = Draft::bag_item(slot(), record.payload().clone(), 3, start() + 2 * HOUR);
    let renewal = Draft::bag_item(slot(), record.payload().clone(), 3, start() + 3 * HOUR);
    one.store_from(group(2), signed(&sign(&identity(1), later)));
    one.store_from(group(3), signed(&sign(&identity(1), renewal)));
    let second = *SourceGroup::of(group(2).into()).as_bytes();
    assert_eq!(groups(&one), [second], "a renewal takes up no room");
    let mut local = One::with(|config| config.local = true);
    local.store_from(group(1), signed(&record));
    assert_eq!(groups(&local), [[0; 8]]);
}

#[test]
fn kinds_in_one_slot_have_their_limits_apart() {
    let mut one = One::limited(|limits| (limits.bag_items, limits.dict_cells) = (1, 1));
    assert_eq!(one.store(signed(&bag_item(1, 1, 20))), STORED);
    assert_eq!(one.store(signed(&dict_cell(1, 20))), STORED);
    assert_eq!(one.store(signed(&event(1, 1, 20))), STORED);
    for kind in [Kind::BagItem, Kind::DictCell, Kind::Event] {
        assert_eq!(records(&mut one, kind).len(), 1);
    }
    assert_eq!(one.all(Key::ZERO, Kind::BagItem), []);
}

#[test]
fn a_topic_has_as_many_events_as_sixteen_full_writers() {
    for count in [15, 16, 17] {
        let events: Vec<_> = (0..count).map(|writer| event(writer, 1, 0)).collect();
        let there = stored(|limits| limits.topic_events = 1, &events);
        let kept = there.iter().filter(|is_there| **is_there).count();
        assert_eq!(kept, usize::from(count).min(16), "{count}");
    }
}
