//! Dict names, bags and namespaces in a small network of engines.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{Failure, Listed, Mode, Outcome, ReadFrom, SignedRead, WriteOptions, Written};
use qadom_routing::Key;
use qadom_wire::{Reason, Writer};

use crate::world::{World, contact_of};

pub(crate) const BAG: Key = Key::from_bytes([0x77; 32]);
pub(crate) const ANY: ReadFrom = ReadFrom::Network;

pub(crate) fn written(result: Result<Outcome, Failure>) -> Written {
    match result {
        Ok(Outcome::Written(written)) => written,
        other => panic!("not written: {other:?}"),
    }
}

pub(crate) fn listed(result: Result<Outcome, Failure>) -> Listed {
    match result {
        Ok(Outcome::Listed(listed)) => listed,
        other => panic!("not listed: {other:?}"),
    }
}

pub(crate) fn entry(result: Result<Outcome, Failure>) -> SignedRead {
    match result {
        Ok(Outcome::Entry(read)) => read,
        other => panic!("not found: {other:?}"),
    }
}

pub(crate) fn add(world: &mut World, member: usize, writer: Writer, item: &str) -> Written {
    let item = Bytes::from(item.to_owned());
    written(world.run_at(member, |engine, now| {
        engine.bag_add(now, writer, BAG, item, WriteOptions::default())
    }))
}

pub(crate) fn list(world: &mut World, member: usize) -> Listed {
    listed(world.run_at(member, |engine, now| engine.bag_list(now, BAG, ANY)))
}

fn payloads(listed: &Listed) -> BTreeSet<Bytes> {
    let items = listed.items.iter();
    items.map(|item| item.payload().clone()).collect()
}

fn remove(
    world: &mut World,
    member: usize,
    writer: Writer,
    item: &str,
) -> Result<Outcome, Failure> {
    let item = Bytes::from(item.to_owned());
    world.run_at(member, |engine, now| {
        engine.bag_remove(now, writer, BAG, item, WriteOptions::default())
    })
}

#[test]
fn a_dict_name_is_set_found_and_deleted_by_anyone() {
    let mut world = World::new(25);
    let (one, two) = (world.writer(1, 1), world.writer(2, 2));
    let find = |world: &mut World, pinned| {
        world.run_at(9, |engine, now| engine.dict_get(now, b"name", pinned, ANY))
    };
    assert!(matches!(
        find(&mut world, None),
        Err(Failure::NotFound { .. })
    ));
    let put = |world: &mut World, member, writer, value: &'static str| {
        written(world.run_at(member, |engine, now| {
            engine.dict_set(now, writer, b"name", value.into(), WriteOptions::default())
        }))
    };
    let first = put(&mut world, 1, one, "first");
    assert!(first.receipt.stored >= 20 && first.receipt.stored == first.receipt.reachable);
    assert_eq!(
        first.receipt.expires_at,
        world.now.utc_seconds() + 36 * 3600
    );
    let read = entry(find(&mut world, None));
    assert_eq!(
        (read.record.payload(), read.record.writer()),
        (&"first".into(), &one)
    );
    // At the very same moment: what was seen loses.
    put(&mut world, 2, two, "second");
    let read = entry(find(&mut world, None));
    assert_eq!(
        (read.record.payload(), read.conflict),
        (&"second".into(), false)
    );
    assert_eq!(entry(find(&mut world, Some(one))).record.payload(), "first");
    written(world.run_at(1, |engine, now| {
        engine.dict_delete(now, one, b"name", WriteOptions::default())
    }));
    assert!(matches!(
        find(&mut world, None),
        Err(Failure::NotFound { .. })
    ));
    assert!(matches!(
        find(&mut world, Some(one)),
        Err(Failure::NotFound { .. })
    ));
    assert_eq!(
        entry(find(&mut world, Some(two))).record.payload(),
        "second"
    );
    put(&mut world, 1, one, "third");
    assert_eq!(entry(find(&mut world, None)).record.payload(), "third");
}

#[test]
fn names_of_no_bytes_or_too_many_are_refused() {
    let mut world = World::new(1);
    let writer = world.writer(0, 1);
    for (length, is_taken) in [(0, false), (1, true), (256, true), (257, false)] {
        let name = vec![b'n'; length];
        let result = world.run_at(0, |engine, now| {
            engine.dict_set(now, writer, &name, "v".into(), WriteOptions::default())
        });
        assert_eq!(result.is_ok(), is_taken, "{length}: {result:?}");
    }
}

#[test]
fn items_up_to_the_limit_are_added() {
    let mut world = World::new(1);
    let writer = world.writer(0, 1);
    for (length, is_taken) in [(0, true), (1023, true), (1024, true), (1025, false)] {
        let result = world.run_at(0, |engine, now| {
            engine.bag_add(
                now,
                writer,
                BAG,
                vec![7; length].into(),
                WriteOptions::default(),
            )
        });
        match result {
            Ok(_) => assert!(is_taken, "{length}"),
            Err(failure) => {
                assert_eq!(
                    (failure.reason(), is_taken),
                    (Reason::TooLarge, false),
                    "{length}"
                );
            }
        }
    }
}

#[test]
fn a_bag_is_the_union_of_its_writers_and_an_item_is_there_once() {
    let mut world = World::new(25);
    let (one, two) = (world.writer(1, 1), world.writer(2, 2));
    let empty = list(&mut world, 3);
    assert!(empty.items.is_empty() && empty.complete);
    add(&mut world, 1, one, "shared");
    add(&mut world, 1, one, "shared");
    add(&mut world, 1, one, "mine");
    add(&mut world, 2, two, "shared");
    let listed = list(&mut world, 24);
    assert!(listed.complete);
    assert_eq!(
        payloads(&listed),
        ["mine", "shared"].map(Bytes::from).into()
    );
    let grouped = listed.by_payload();
    assert_eq!(grouped.len(), 2);
    let shared = grouped
        .iter()
        .find(|(payload, _)| *payload == "shared")
        .unwrap();
    let writers: BTreeSet<_> = shared.1.iter().map(|item| *item.writer()).collect();
    assert_eq!(writers, [one, two].into());
}

#[test]
fn who_removes_an_item_has_to_have_written_it() {
    let mut world = World::new(25);
    let (one, two) = (world.writer(1, 1), world.writer(2, 2));
    add(&mut world, 1, one, "item");
    assert!(matches!(
        remove(&mut world, 2, two, "item"),
        Err(Failure::NotYours { key: BAG })
    ));
    assert!(matches!(
        remove(&mut world, 2, two, "none"),
        Err(Failure::NotFound { .. })
    ));
    assert_eq!(list(&mut world, 5).items.len(), 1);
    let removed = written(remove(&mut world, 1, one, "item"));
    assert_eq!(
        removed.receipt.expires_at,
        world.now.utc_seconds() + 7 * 24 * 3600
    );
    assert!(list(&mut world, 5).items.is_empty());
    assert!(matches!(
        remove(&mut world, 1, one, "item"),
        Err(Failure::NotFound { .. })
    ));
    add(&mut world, 1, one, "item");
    assert_eq!(list(&mut world, 5).items.len(), 1);
}

#[test]
fn reads_go_to_one_node_or_stay_here_when_they_are_asked_to() {
    let mut world = World::new(3);
    let writer = world.writer(0, 1);
    world.members[2].is_down = true;
    add(&mut world, 0, writer, "item");
    world.members[2].is_down = false;
    let from = |world: &mut World, from: ReadFrom| {
        listed(world.run_at(2, |engine, now| engine.bag_list(now, BAG, from)))
    };
    assert!(from(&mut world, ReadFrom::Local).items.is_empty());
    let there = from(&mut world, ReadFrom::Node(Box::new(contact_of(1))));
    assert_eq!(
        (there.items.len(), there.complete, there.hops),
        (1, false, 1),
        "one node does not know what others have"
    );
    world.members[1].is_down = true;
    let result = world.run_at(2, |engine, now| {
        engine.bag_list(now, BAG, ReadFrom::Node(Box::new(contact_of(1))))
    });
    assert!(
        matches!(
            result,
            Err(Failure::Peer {
                reason: Reason::Timeout,
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn a_client_alone_writes_nothing() {
    let mut world = World::new(0);
    let client = world.add(Mode::Client);
    let writer = world.writer(client, 1);
    let item = Bytes::from("item");
    let result = world.run_at(client, |engine, now| {
        engine.bag_add(now, writer, BAG, item, WriteOptions::default())
    });
    assert!(
        matches!(result, Err(Failure::TooFewCopies { needed: 1, .. })),
        "{result:?}"
    );
}

#[test]
fn a_lone_node_keeps_the_only_copy_and_reads_it_back() {
    let mut world = World::new(1);
    let writer = world.writer(0, 1);
    let receipt = add(&mut world, 0, writer, "item").receipt;
    assert!(receipt.alone);
    assert_eq!(
        (receipt.wanted, receipt.reachable, receipt.stored),
        (20, 1, 1)
    );
    let listed = list(&mut world, 0);
    assert_eq!((listed.items.len(), listed.complete), (1, true));
}

#[test]
fn a_writer_without_its_secret_is_refused() {
    let mut world = World::new(2);
    let writer = world.writer(0, 1);
    let result = world.run_at(1, |engine, now| {
        engine.bag_add(now, writer, BAG, "x".into(), WriteOptions::default())
    });
    assert!(
        matches!(result, Err(Failure::UnknownWriter { .. })),
        "{result:?}"
    );
}

#[test]
fn what_the_journal_cannot_take_is_not_written() {
    let mut world = World::new(3);
    let writer = world.writer(0, 1);
    world.members[0].journal_failure = Some(Reason::DiskFull);
    let result = world.run_at(0, |engine, now| {
        engine.bag_add(now, writer, BAG, "x".into(), WriteOptions::default())
    });
    let failed = matches!(
        result,
        Err(Failure::Journal {
            reason: Reason::DiskFull,
            receipt: None,
        })
    );
    assert!(failed, "{result:?}");
    assert!(!world.sent.contains_key("store"), "nothing was sent");
    assert_eq!(world.members[0].engine.publications().count(), 0);
}

#[test]
fn two_thousand_items_of_a_hundred_writers_are_listed_completely() {
    let mut world = World::new(6);
    let writers: Vec<Writer> = (0..100)
        .map(|seed| world.writer(usize::from(seed) % 6, seed))
        .collect();
    for number in 0..2000_usize {
        let which = number % 100;
        add(
            &mut world,
            which % 6,
            writers[which],
            &format!("item {number}"),
        );
    }
    let reader = world.add(Mode::Client);
    world.forget_sessions();
    world.sent.clear();
    let listed = list(&mut world, reader);
    assert!(listed.complete);
    assert_eq!(payloads(&listed).len(), 2000);
    // 2000 records of 250 bytes fill 60 messages.
    let finds = world.sent["find"];
    assert!(finds < 400, "{:?}", world.sent);
}

#[test]
fn from_the_second_event_on_nobody_is_looked_up() {
    let mut world = World::new(25);
    let writer = world.writer(1, 1);
    let publish = |world: &mut World, message: &'static str| {
        written(world.run_at(1, |engine, now| {
            engine.publish(now, writer, BAG, message.into(), WriteOptions::default())
        }))
    };
    let first = publish(&mut world, "one");
    assert!(first.record.seq() == 1 && first.receipt.stored >= 20);
    world.sent.clear();
    let second = publish(&mut world, "two");
    assert!(second.record.seq() == 2 && second.receipt.stored >= 20);
    assert_eq!(second.record.stream(), first.record.stream());
    assert_eq!(
        (world.sent.get("find node"), world.sent.get("find")),
        (None, None)
    );
    // A dead holder is noticed, and others are looked up beside the next event.
    let holder = (2..25).find(|&member| {
        let local = world.run_at(member, |engine, now| {
            engine.dict_get(now, b"nothing", None, ReadFrom::Local)
        });
        local.is_err()
    });
    world.members[holder.unwrap()].is_down = true;
    for _ in 0..2 {
        publish(&mut world, "three");
    }
    world.pass(Duration::from_mins(5));
    world.sent.clear();
    publish(&mut world, "four");
    assert!(world.sent.contains_key("find node"), "{:?}", world.sent);
}

#[test]
fn holders_that_miss_items_are_told_apart_and_filled() {
    let mut world = World::new(25);
    let writer = world.writer(24, 1);
    for number in 0..120 {
        // Each item misses another handful of the holders.
        let missing: Vec<usize> = (0..8).map(|step| (number + 3 * step) % 24).collect();
        for &member in &missing {
            world.members[member].is_down = true;
        }
        add(&mut world, 24, writer, &format!("item {number}"));
        for &member in &missing {
            world.members[member].is_down = false;
        }
        // Whoever was silent is known again.
        world.forget_sessions();
    }
    let reader = world.add(Mode::Client);
    let listed = list(&mut world, reader);
    assert_eq!((listed.items.len(), listed.complete), (120, true));
}

#[test]
fn a_node_that_is_asked_for_the_first_time_gives_all_it_has() {
    let mut world = World::new(2);
    let writer = world.writer(0, 1);
    for number in 0..40 {
        add(&mut world, 0, writer, &format!("{number:0500}"));
    }
    let reader = world.add(Mode::Client);
    world.forget_sessions();
    let there = listed(world.run_at(reader, |engine, now| {
        engine.bag_list(now, BAG, ReadFrom::Node(Box::new(contact_of(1))))
    }));
    assert_eq!((there.items.len(), there.complete), (40, false));
}

#[test]
fn an_event_that_nobody_took_leaves_no_hole() {
    let mut world = World::new(3);
    let client = world.add(Mode::Client);
    let writer = world.writer(client, 1);
    let publish = |world: &mut World| {
        world.run_at(client, |engine, now| {
            engine.publish(now, writer, BAG, "event".into(), WriteOptions::default())
        })
    };
    let first = written(publish(&mut world));
    for member in 0..3 {
        world.members[member].is_down = true;
    }
    assert!(publish(&mut world).is_err());
    for member in 0..3 {
        world.members[member].is_down = false;
    }
    let next = written(publish(&mut world));
    assert!(next.record.stream() > first.record.stream());
    assert_eq!(next.record.seq(), 1);
}
