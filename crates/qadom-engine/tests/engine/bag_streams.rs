//! Bags that are handed out item by item while they are listed.

use std::collections::BTreeMap;

use bytes::Bytes;
use qadom_engine::{Effect, Failure, Mode, Outcome, ReadFrom};
use qadom_routing::{Contact, Key};
use qadom_wire::{
    Answer, Draft, Found, Kind, MAX_TTL, Pong, Record, Request, Verified, fingerprint,
};

use crate::one::{One, address, node_key};
use crate::signed::{identity, sign, slot, start};

/// An item of a writer.
fn item(writer: u16, text: &'static str, seq: u64) -> Verified {
    let draft = Draft::bag_item(
        slot(),
        Bytes::from_static(text.as_bytes()),
        seq,
        start() + 60,
    );
    sign(&identity(writer), draft)
}

/// The removal of an item.
fn grave(of: &Verified, writer: u16) -> Verified {
    let expiry = start() + MAX_TTL.as_secs();
    let draft = Draft::bag_tombstone(slot(), *of.label(), of.seq() + 1, expiry);
    sign(&identity(writer), draft)
}

/// What was handed out, step by step, and the end.
fn stream(
    one: &mut One,
    from: ReadFrom,
    held: &BTreeMap<u8, Vec<Verified>>,
) -> (Vec<Verified>, Result<Outcome, Failure>) {
    let listing = one.engine.bag_stream(one.now, slot(), from);
    let effects = one.run(|outgoing| {
        let mut holders = held.iter();
        let (_, records) = holders.find(|(number, _)| node_key(**number) == outgoing.key)?;
        Some(match Request::decode(outgoing.body.clone()).unwrap() {
            Request::Ping(_) => Answer::Pong(Pong::default()),
            Request::Find(find) => {
                assert_eq!((find.slot, find.kind), (slot(), Kind::BagItem));
                let mut hashes: Vec<_> = records.iter().map(|record| *record.hash()).collect();
                let same = find.have == Some(fingerprint(&mut hashes));
                let records = records.iter().filter(|_| !same);
                let records = records.map(|record| Record::Signed(record.clone().into_inner()));
                Answer::Found(Found {
                    records: records.collect(),
                    same,
                    ..Found::default()
                })
            }
            Request::Store(_) => Answer::Stored(Vec::new()),
            other => panic!("{other:?}"),
        })
    });
    let (mut records, mut end) = (Vec::new(), None);
    for effect in effects {
        match effect {
            Effect::Items {
                operation,
                records: more,
            } => {
                assert_eq!(operation, listing);
                assert!(!more.is_empty() && end.is_none());
                records.extend(more);
            }
            Effect::Done { operation, result } => {
                assert_eq!(operation, listing);
                assert!(end.replace(result).is_none(), "it ends once");
            }
            _ => {}
        }
    }
    (records, end.expect("an end"))
}

/// Who wrote what, and whether it is a removal, in the order of ids.
fn ids(records: &[Verified]) -> Vec<(Key, bool)> {
    let mut ids: Vec<_> = records
        .iter()
        .map(|record| (*record.id(), record.is_tombstone()))
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn each_item_is_handed_out_once_and_the_end_has_none() {
    let all = [item(1, "a", 1), item(2, "a", 1), item(1, "b", 2)];
    let held = (1..=3).map(|number| (number, all.to_vec())).collect();
    let mut one = One::new(Mode::Client);
    (1..=3).for_each(|number| one.meet(number, true));
    let (records, end) = stream(&mut one, ReadFrom::Network, &held);
    assert_eq!(ids(&records), ids(&all));
    let Ok(Outcome::Listed(listed)) = end else {
        panic!("{end:?}")
    };
    assert!(listed.items.is_empty() && listed.complete);
}

#[test]
fn a_removal_that_comes_late_takes_the_item_back_and_one_that_comes_first_is_silent() {
    let kept = item(1, "kept", 1);
    let removed = item(1, "removed", 1);
    let grave = grave(&removed, 1);
    let stale = vec![kept.clone(), removed.clone()];
    let fresh = vec![kept.clone(), grave.clone()];
    let run = |first: &Vec<Verified>, second: &Vec<Verified>| {
        let mut one = One::new(Mode::Client);
        // Everybody is asked at once, and answers in this order.
        (1..=2).for_each(|number| one.meet(number, true));
        let mut order = [1, 2];
        order.sort_by_key(|number| node_key(*number).id().key().distance(&slot()));
        let [near, far] = order;
        let held = BTreeMap::from([(near, first.clone()), (far, second.clone())]);
        stream(&mut one, ReadFrom::Network, &held).0
    };
    let late = run(&stale, &fresh);
    assert_eq!(
        ids(&late),
        ids(&[kept.clone(), removed.clone(), grave.clone()])
    );
    let at = |is: &Verified| late.iter().position(|record| record.hash() == is.hash());
    assert!(at(&removed) < at(&grave), "the item comes first");
    assert_eq!(ids(&run(&fresh, &stale)), ids(&[kept]));
}

#[test]
fn a_newer_version_of_an_item_follows_the_older_one() {
    let (old, new) = (item(1, "a", 1), item(1, "a", 2));
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    let held = BTreeMap::from([(1, vec![old.clone(), new.clone()])]);
    let (records, _) = stream(&mut one, ReadFrom::Network, &held);
    let seqs: Vec<_> = records.iter().map(|record| record.seq()).collect();
    assert_eq!(seqs, [1, 2]);
}

#[test]
fn what_this_node_holds_is_handed_out_without_asking_anybody() {
    let mut one = One::trusting();
    let held = item(1, "a", 1);
    one.store(crate::signed::signed(&held));
    let buried = item(1, "b", 1);
    one.store(crate::signed::signed(&grave(&buried, 1)));
    let (records, end) = stream(&mut one, ReadFrom::Local, &BTreeMap::new());
    assert_eq!(ids(&records), ids(&[held]));
    assert!(matches!(end, Ok(Outcome::Listed(listed)) if !listed.complete));
}

#[test]
fn one_node_that_does_not_answer_is_told_at_the_end() {
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    let contact = Contact::at(node_key(1), address(1), true);
    let from = ReadFrom::Node(Box::new(contact));
    let (records, end) = stream(&mut one, from.clone(), &BTreeMap::new());
    assert!(records.is_empty());
    assert!(matches!(end, Err(Failure::Peer { .. })), "{end:?}");
    let held = BTreeMap::from([(1, vec![item(1, "a", 1)])]);
    let (records, end) = stream(&mut one, from, &held);
    assert_eq!(records.len(), 1);
    assert!(matches!(end, Ok(Outcome::Listed(listed)) if !listed.complete));
}
