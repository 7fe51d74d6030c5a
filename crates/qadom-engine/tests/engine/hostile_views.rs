//! Holders that lie to readers: what they make up never reaches a user, and every read ends.

use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{Engine, Failure, Mode, Outcome, ReadFrom, WriteOptions};
use qadom_routing::Key;
use qadom_wire::{
    Answer, DigestRange, Draft, Found, IdRange, Identity, Network, NetworkId, Position,
    RangeDigest, Reason, Record, Request, SignedRecord, dict_slot, namespace_slot,
};

use crate::namespaces::set;
use crate::one::network;
use crate::views::{BAG, add, entry, list};
use crate::world::World;

const ANY: ReadFrom = ReadFrom::Network;

fn identity() -> Identity {
    Identity::from_seed([1; 32])
}

fn sign(identity: &Identity, network: &NetworkId, draft: Draft) -> SignedRecord {
    identity.sign(network, draft).unwrap().into_inner()
}

/// A version of the entry that the tests read.
fn version(seq: u64, expiry: u64, payload: &'static str) -> SignedRecord {
    let writer = identity().writer();
    let draft = Draft::namespace_entry(&writer, BAG, payload.into(), seq, expiry);
    sign(&identity(), &network(), draft)
}

/// The same record with another signature or payload: the bytes of one with the front of another.
fn forged(world: &World) -> SignedRecord {
    let foreign = Network::new(b"another", b"").unwrap().id();
    let writer = identity().writer();
    let expiry = world.now.utc_seconds() + 3600;
    let draft = Draft::namespace_entry(&writer, BAG, "forged".into(), 1_000_000, expiry);
    sign(&identity(), &foreign, draft)
}

/// Makes nodes answer every question for records with these.
fn serve(world: &mut World, members: impl IntoIterator<Item = usize>, records: &[SignedRecord]) {
    for member in members {
        let records = records.to_vec();
        world.members[member].tamper = Some(Box::new(move |request, answer| match request {
            Request::Find(_) => Answer::Found(Found {
                records: records.iter().cloned().map(Record::Signed).collect(),
                ..Found::default()
            }),
            _ => answer,
        }));
    }
}

fn read(world: &mut World, member: usize, latest: bool) -> Result<Outcome, Failure> {
    let writer = identity().writer();
    world.run_at(member, |engine, now| {
        engine.namespace_get(now, (writer, BAG), latest, ANY)
    })
}

/// A network in which an entry was set to `true` and half of the nodes give something else.
fn lied_to(lie: impl Fn(&World) -> Vec<SignedRecord>) -> (World, usize) {
    let mut world = World::new(25);
    let writer = world.writer(24, 1);
    set(&mut world, 24, writer, "older", None).unwrap();
    set(&mut world, 24, writer, "true", None).unwrap();
    let reader = world.add(Mode::Client);
    let lies = lie(&world);
    serve(&mut world, (0..24).step_by(2), &lies);
    (world, reader)
}

fn drops(world: &World, member: usize, reason: Reason) -> u64 {
    let drops = world.members[member].engine.status().drops;
    let found = drops.iter().find(|(found, _)| *found == reason);
    found.map_or(0, |(_, count)| count)
}

#[test]
fn forged_records_never_reach_the_user_and_their_senders_are_blocked() {
    for latest in [false, true] {
        let (mut world, reader) = lied_to(|world| vec![forged(world)]);
        let read = entry(read(&mut world, reader, latest));
        assert_eq!(read.record.payload(), "true");
        if latest {
            assert!(drops(&world, reader, Reason::BadSignature) > 0);
            let now = world.now;
            assert!(!world.members[reader].engine.blocks(now).is_empty());
        }
    }
}

#[test]
fn expired_records_never_reach_the_user() {
    for latest in [false, true] {
        let end = |world: &World| world.now.utc_seconds();
        let (mut world, reader) = lied_to(|world| vec![version(9, end(world), "expired")]);
        world.pass(Duration::from_mins(2));
        let read = entry(read(&mut world, reader, latest));
        assert_eq!(read.record.payload(), "true");
        let now = world.now;
        assert!(
            world.members[reader].engine.blocks(now).is_empty(),
            "no lie"
        );
    }
}

#[test]
fn a_record_expires_at_its_second() {
    for (left, is_found) in [(1, true), (0, false)] {
        let mut world = World::new(1);
        let client = world.add(Mode::Client);
        world.pass(Duration::from_mins(2));
        let expiry = world.now.utc_seconds() + left;
        serve(&mut world, [0], &[version(1, expiry, "brief")]);
        assert_eq!(
            read(&mut world, client, true).is_ok(),
            is_found,
            "{left} s left"
        );
    }
}

#[test]
fn records_that_live_too_long_never_reach_the_user() {
    let most = 7 * 24 * 3600 + 3600;
    for (life, is_found) in [(most, true), (most + 1, false)] {
        let mut world = World::new(1);
        let client = world.add(Mode::Client);
        world.pass(Duration::from_mins(2));
        let expiry = world.now.utc_seconds() + life;
        serve(&mut world, [0], &[version(1, expiry, "long")]);
        assert_eq!(read(&mut world, client, true).is_ok(), is_found, "{life} s");
    }
}

#[test]
fn records_of_other_slots_never_reach_the_user() {
    let other = Key::from_bytes([5; 32]);
    let (mut world, reader) = lied_to(|world| {
        let writer = identity().writer();
        let expiry = world.now.utc_seconds() + 3600;
        let draft = Draft::namespace_entry(&writer, other, "elsewhere".into(), 9, expiry);
        vec![sign(&identity(), &network(), draft)]
    });
    let read = entry(read(&mut world, reader, true));
    assert_eq!(read.record.payload(), "true");
    assert_eq!(
        *read.record.slot(),
        namespace_slot(identity().writer().as_bytes(), &BAG)
    );
    assert!(drops(&world, reader, Reason::Malformed) > 0);
}

#[test]
fn lower_seqs_lose_against_the_latest() {
    let (mut world, reader) = lied_to(|world| {
        let expiry = world.now.utc_seconds() + 3600;
        vec![version(1, expiry, "older")]
    });
    assert_eq!(
        entry(read(&mut world, reader, true)).record.payload(),
        "true"
    );
    // Who has seen the latest is not shown an older one, whoever serves it.
    for _ in 0..3 {
        assert_eq!(
            entry(read(&mut world, reader, false)).record.payload(),
            "true"
        );
    }
    let expiry = world.now.utc_seconds() + 3600;
    serve(&mut world, 0..25, &[version(1, expiry, "older")]);
    for latest in [false, true] {
        let result = read(&mut world, reader, latest);
        let Err(Failure::StaleSeq {
            seq: 2,
            held: Some(held),
        }) = result
        else {
            panic!("{result:?}")
        };
        assert_eq!(held.payload(), "older");
    }
}

#[test]
fn what_was_seen_is_remembered_over_a_restart() {
    let (mut world, reader) = lied_to(|_| Vec::new());
    entry(read(&mut world, reader, true));
    let journal = std::mem::take(&mut world.members[reader].journal);
    let again = world.add(Mode::Client);
    for entry in journal {
        world.members[again].engine.restore(entry);
    }
    let expiry = world.now.utc_seconds() + 3600;
    serve(&mut world, 0..25, &[version(1, expiry, "older")]);
    let result = read(&mut world, again, false);
    assert!(
        matches!(result, Err(Failure::StaleSeq { seq: 2, .. })),
        "{result:?}"
    );
}

#[test]
fn a_conflict_is_decided_by_the_order_and_reported() {
    let expiry = |world: &World| world.now.utc_seconds() + 3600;
    let pair = |world: &World| {
        [
            version(7, expiry(world), "one"),
            version(7, expiry(world), "two"),
        ]
    };
    let mut world = World::new(25);
    let reader = world.add(Mode::Client);
    let [one, two] = pair(&world);
    let winner = if one.order(&two).is_gt() {
        "one"
    } else {
        "two"
    };
    serve(&mut world, (0..25).step_by(2), &[one]);
    serve(&mut world, (1..25).step_by(2), &[two]);
    let read = entry(read(&mut world, reader, true));
    assert_eq!(
        (read.record.payload(), read.conflict),
        (&Bytes::from(winner), true)
    );
}

#[test]
fn seqs_from_the_future_never_win_a_name() {
    let hour = 3_600_000_000;
    for (ahead, winner) in [(hour, "future"), (hour + 1, "now")] {
        let mut world = World::new(25);
        let writer = world.writer(24, 3);
        let set = |engine: &mut Engine, now| {
            engine.dict_set(now, writer, b"name", "now".into(), WriteOptions::default())
        };
        world.run_at(24, set).unwrap();
        let reader = world.add(Mode::Client);
        world.pass(Duration::from_mins(2));
        let slot = dict_slot(b"name").unwrap();
        let seq = world.now.utc_micros + ahead;
        let expiry = world.now.utc_seconds() + 3600;
        let draft = Draft::dict_cell(slot, "future".into(), seq, expiry);
        serve(&mut world, 0..5, &[sign(&identity(), &network(), draft)]);
        let find = |engine: &mut Engine, now| engine.dict_get(now, b"name", None, ANY);
        assert_eq!(entry(world.run_at(reader, find)).record.payload(), winner);
    }
}

#[test]
fn too_few_valid_answers_are_no_answer() {
    let mut world = World::new(2);
    let writer = world.writer(0, 1);
    set(&mut world, 0, writer, "true", None).unwrap();
    let reader = world.add(Mode::Client);
    let lie = forged(&world);
    serve(&mut world, [1], &[lie]);
    let result = read(&mut world, reader, true);
    let is_refused = matches!(
        result,
        Err(Failure::TooFewAnswers {
            valid: 1,
            needed: 2
        })
    );
    assert!(is_refused, "{result:?}");
}

/// Makes nodes answer comparisons with something of their own.
fn compare(
    world: &mut World,
    members: impl IntoIterator<Item = usize>,
    lie: fn(&DigestRange) -> RangeDigest,
) {
    for member in members {
        world.members[member].tamper = Some(Box::new(move |request, answer| match request {
            Request::Digest(digest) => Answer::Digested(digest.ranges.iter().map(lie).collect()),
            _ => answer,
        }));
    }
}

fn halves(range: &DigestRange) -> RangeDigest {
    let mut middle = range.start;
    let mut bytes = *middle.id.as_bytes();
    bytes[31] = bytes[31].wrapping_add(1);
    middle.id = Key::from_bytes(bytes);
    let fingerprint = [7; 32];
    RangeDigest::Split(vec![
        DigestRange {
            end: Some(middle),
            fingerprint,
            ..*range
        },
        DigestRange {
            start: middle,
            fingerprint,
            ..*range
        },
    ])
}

fn made_up(range: &DigestRange) -> RangeDigest {
    let mut id = *range.start.id.as_bytes();
    id[31] = id[31].wrapping_add(3);
    let id = Key::from_bytes(id);
    RangeDigest::Records(vec![(Position { id, ..range.start }, [9; 32])])
}

#[test]
fn every_listing_ends_and_is_right_whatever_holders_answer_to_comparisons() {
    let lies: [fn(&DigestRange) -> RangeDigest; 5] = [
        halves,
        made_up,
        |_| RangeDigest::Same,
        |_| RangeDigest::Differs,
        |_| RangeDigest::Records(Vec::new()),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut world = World::new(25);
        let writer = world.writer(24, 1);
        for item in 0..100 {
            add(&mut world, 24, writer, &format!("item {item}"));
        }
        let reader = world.add(Mode::Client);
        compare(&mut world, 0..22, lie);
        let listed = list(&mut world, reader);
        assert_eq!(listed.items.len(), 100, "lie {number}");
        // All but three of them lie: enough is left to tell.
        assert!(
            listed.messages < 30_000,
            "lie {number}: {}",
            listed.messages
        );
    }
}

#[test]
fn pages_that_lead_nowhere_end() {
    let mut world = World::new(25);
    let writer = world.writer(24, 1);
    for item in 0..100 {
        add(&mut world, 24, writer, &format!("item {item}"));
    }
    let reader = world.add(Mode::Client);
    for member in 0..12 {
        world.members[member].tamper = Some(Box::new(|request, answer| match (request, answer) {
            (Request::Find(find), Answer::Found(found)) => {
                let start = find.range.as_ref().map_or(&Key::ZERO, IdRange::start);
                let mut next = *start.as_bytes();
                next[31] = next[31].saturating_add(1);
                Answer::Found(Found {
                    records: Vec::new(),
                    cursor: Some(Key::from_bytes(next)),
                    ..found
                })
            }
            (_, answer) => answer,
        }));
    }
    let listed = list(&mut world, reader);
    assert_eq!((listed.items.len(), listed.complete), (100, true));
}
