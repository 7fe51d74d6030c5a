//! Namespaces in a small network of engines.

use std::sync::Arc;

use bytes::Bytes;
use qadom_engine::{Effect, Failure, JournalEntry, Mode, Outcome, ReadFrom, WriteOptions};
use qadom_wire::{
    Answer, Draft, Found, Identity, Reason, Record, Request, StoreResult, Writer, namespace_slot,
};

use crate::one::{One, network};
use crate::views::{ANY, BAG, entry, written};
use crate::world::World;

pub(crate) fn set(
    world: &mut World,
    member: usize,
    writer: Writer,
    value: &'static str,
    if_seq: Option<u64>,
) -> Result<Outcome, Failure> {
    world.run_at(member, |engine, now| {
        let entry = (BAG, Bytes::from(value));
        engine.namespace_set(now, writer, entry, if_seq, WriteOptions::default())
    })
}

fn get(world: &mut World, member: usize, writer: Writer, latest: bool) -> Result<Outcome, Failure> {
    world.run_at(member, |engine, now| {
        engine.namespace_get(now, (writer, BAG), latest, ANY)
    })
}

#[test]
fn a_namespace_counts_and_reads_back_by_its_signature() {
    let mut world = World::new(25);
    let writer = world.writer(1, 1);
    for (seq, value) in ["one", "two", "three"].into_iter().enumerate() {
        let written = written(set(&mut world, 1, writer, value, None));
        assert_eq!(written.record.seq(), seq as u64 + 1);
        let signature = written.content_signature.unwrap();
        for latest in [false, true] {
            let read = entry(get(&mut world, 24, writer, latest));
            assert_eq!(read.record.payload(), value);
            assert!(read.record.verify_content(&network(), &signature));
        }
    }
}

#[test]
fn a_compare_and_swap_that_lost_says_what_is_there() {
    let mut world = World::new(25);
    let writer = world.writer(1, 1);
    assert_eq!(world.writer(2, 1), writer);
    assert!(matches!(
        set(&mut world, 1, writer, "x", Some(1)),
        Err(Failure::StaleSeq { seq: 1, held: None })
    ));
    assert!(set(&mut world, 1, writer, "first", Some(0)).is_ok());
    let lost = set(&mut world, 2, writer, "other", Some(0));
    let Err(Failure::StaleSeq {
        held: Some(held), ..
    }) = lost
    else {
        panic!("{lost:?}")
    };
    assert_eq!(held.payload(), "first");
    let seq = held.seq();
    let second = written(set(&mut world, 2, writer, "second", Some(seq)));
    assert!(second.record.seq() > seq);
    assert!(set(&mut world, 1, writer, "late", Some(seq)).is_err());
    assert_eq!(
        entry(get(&mut world, 5, writer, true)).record.payload(),
        "second"
    );
}

#[test]
fn of_two_that_swap_at_once_not_both_succeed() {
    let mut world = World::new(25);
    let writer = world.writer(1, 1);
    assert_eq!(world.writer(2, 1), writer);
    let begin = |world: &mut World, member, value: &'static str| {
        world.begin_at(member, |engine, now| {
            let entry = (BAG, Bytes::from(value));
            engine.namespace_set(now, writer, entry, Some(0), WriteOptions::default())
        })
    };
    let one = begin(&mut world, 1, "one");
    let two = begin(&mut world, 2, "two");
    world.run();
    let results = [world.ended(1, one).unwrap(), world.ended(2, two).unwrap()];
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert!(won <= 1, "{results:?}");
    for result in results {
        let stale = |failure: &Failure| failure.reason() == Reason::StaleSeq;
        assert!(result.as_ref().err().is_none_or(stale), "{result:?}");
    }
}

/// Answers all that is asked, while the journal takes its time. Gives the tickets of what was
/// signed, how many copies were sent, and how the write ended.
fn unjournalled(one: &mut One) -> (Vec<u64>, usize, Option<Result<Outcome, Failure>>) {
    let (mut tickets, mut copies, mut ended) = (Vec::new(), 0, None);
    while let Some(effect) = one.engine.poll_effect() {
        match effect {
            Effect::Request(outgoing) => {
                let (committed, conflict) = (true, false);
                let answer = match Request::decode(outgoing.body.clone()).unwrap() {
                    Request::Store(_) => {
                        copies += 1;
                        Answer::Stored(vec![StoreResult::Stored {
                            committed,
                            conflict,
                        }])
                    }
                    Request::Find(_) => Answer::Found(Found::default()),
                    _ => Answer::Contacts(Vec::new()),
                };
                one.reply(&outgoing, &answer);
            }
            Effect::Journal { ticket, entry } => {
                if matches!(entry, JournalEntry::Signed { seq: 1, .. }) {
                    tickets.push(ticket);
                } else {
                    one.engine.on_journalled(one.now, ticket);
                }
            }
            Effect::Done { result, .. } => ended = Some(result),
            _ => {}
        }
    }
    (tickets, copies, ended)
}

#[test]
fn a_compare_and_swap_is_sent_once_the_journal_knows_that_it_was_signed() {
    for is_journalled in [true, false] {
        let mut one = One::new(Mode::Client);
        let identity = Arc::new(Identity::from_seed([7; 32]));
        let writer = identity.writer();
        one.engine.add_identity(identity);
        (1..=3).for_each(|number| one.meet(number, true));
        let (now, entry) = (one.now, (BAG, Bytes::from("swapped")));
        one.engine
            .namespace_set(now, writer, entry, Some(0), WriteOptions::default());
        let (tickets, copies, ended) = unjournalled(&mut one);
        assert_eq!((tickets.len(), copies, ended.is_none()), (1, 0, true));
        if is_journalled {
            one.engine.on_journalled(now, tickets[0]);
        } else {
            let reason = Reason::DiskFull;
            one.engine.on_journal_failed(now, tickets[0], reason);
        }
        let (_, copies, ended) = unjournalled(&mut one);
        let ended = ended.expect("a write that ended");
        if is_journalled {
            assert_eq!((copies, ended.is_ok()), (3, true), "{ended:?}");
        } else {
            let is_said = matches!(ended, Err(Failure::Journal { receipt: None, .. }));
            assert!(is_said && copies == 0, "{ended:?}");
        }
    }
}

#[test]
fn latest_repairs_holders_that_are_behind() {
    let mut world = World::new(25);
    let writer = world.writer(24, 1);
    set(&mut world, 24, writer, "old", None).unwrap();
    let down: Vec<usize> = (0..10).collect();
    for &member in &down {
        world.members[member].is_down = true;
    }
    // Some of the holders miss it.
    let result = set(&mut world, 24, writer, "new", None);
    assert!(result.is_ok(), "{result:?}");
    for &member in &down {
        world.members[member].is_down = false;
    }
    assert_eq!(
        entry(get(&mut world, 20, writer, true)).record.payload(),
        "new"
    );
    for member in down {
        let local = world.run_at(member, |engine, now| {
            engine.namespace_get(now, (writer, BAG), true, ReadFrom::Local)
        });
        if let Ok(Outcome::Entry(read)) = local {
            assert_eq!(
                read.record.payload(),
                "new",
                "member {member} was left behind"
            );
        }
    }
}

#[test]
fn a_reader_never_goes_back() {
    let mut world = World::new(25);
    let writer = world.writer(24, 1);
    set(&mut world, 24, writer, "old", None).unwrap();
    let reader = world.add(Mode::Client);
    // All but one of the holders miss the second one.
    for member in 1..24 {
        world.members[member].is_down = true;
    }
    set(&mut world, 24, writer, "new", None).ok();
    assert_eq!(
        entry(get(&mut world, reader, writer, false))
            .record
            .payload(),
        "new"
    );
    for member in 1..24 {
        world.members[member].is_down = false;
    }
    for latest in [false, true] {
        assert_eq!(
            entry(get(&mut world, reader, writer, latest))
                .record
                .payload(),
            "new"
        );
    }
}

#[test]
fn a_write_that_others_are_ahead_of_says_what_is_there() {
    let mut world = World::new(25);
    let identity = Identity::from_seed([1; 32]);
    let writer = world.writer(24, 1);
    let expiry = world.now.utc_seconds() + 3600;
    let draft = Draft::namespace_entry(&writer, BAG, "theirs".into(), 9, expiry);
    let theirs = identity.sign(&network(), draft).unwrap().into_inner();

    for member in 0..24 {
        let theirs = theirs.clone();
        world.members[member].tamper = Some(Box::new(move |request, answer| match request {
            Request::Store(_) => Answer::Stored(vec![StoreResult::Refused(Reason::StaleSeq)]),
            // Nobody shows it before the write.
            Request::Find(find) if find.range.is_some() => Answer::Found(Found {
                records: vec![Record::Signed(theirs.clone())],
                ..Found::default()
            }),
            _ => answer,
        }));
    }
    let result = set(&mut world, 24, writer, "mine", None);
    let Err(Failure::StaleSeq {
        seq: 1,
        held: Some(held),
    }) = result
    else {
        panic!("{result:?}")
    };
    assert_eq!((held.payload(), held.seq()), (&Bytes::from("theirs"), 9));
    assert_eq!(world.members[24].engine.publications().count(), 0);
}

#[test]
fn a_tombstone_that_a_holder_kept_too_long_hides_nothing_newer() {
    let mut world = World::new(25);
    let writer = world.writer(24, 1);
    set(&mut world, 24, writer, "old", None).unwrap();
    let deleted = world.run_at(24, |engine, now| {
        engine.namespace_delete(now, writer, BAG, None, WriteOptions::default())
    });
    deleted.unwrap();
    let slot = namespace_slot(writer.as_bytes(), &BAG);
    let mut nearest: Vec<usize> = (0..24).collect();
    nearest.sort_by_key(|&member| world.members[member].engine.id().key().distance(&slot));
    for is_down in [true, false] {
        for &member in &nearest[..8] {
            world.members[member].is_down = is_down;
        }
        if is_down {
            set(&mut world, 24, writer, "new", None).unwrap();
        }
    }
    for _ in 0..8 {
        let reader = world.add(Mode::Client);
        let read = entry(get(&mut world, reader, writer, false));
        assert_eq!(read.record.payload(), "new");
    }
}
