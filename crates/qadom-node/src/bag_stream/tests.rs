//! Listings whose reader keeps up, falls behind, or is gone.

use std::time::Duration;

use qadom_engine::Listed;
use qadom_wire::{BAG_ITEM_MAX, Draft, Identity, Network, Reason};

use super::*;
use crate::handover::handover;
use std::sync::Arc;
use tokio::sync::oneshot;

fn feed() -> (Feed<Items>, BagStream) {
    let (caller, _) = oneshot::channel();
    let (mut feed, reader) = handover(&Arc::default(), caller);
    let stream = BagStream::new(reader);
    feed.begin();
    (feed, stream)
}

fn sign(draft: Draft) -> Verified {
    let network = Network::new(b"test", b"").unwrap().id();
    Identity::from_seed([1; 32]).sign(&network, draft).unwrap()
}

fn item(value: impl Into<Bytes>, seq: u64, expiry: u64) -> Verified {
    sign(Draft::bag_item(Key::ZERO, value.into(), seq, expiry))
}

fn ended(complete: bool) -> Outcome {
    Outcome::Listed(Listed {
        items: Vec::new(),
        complete,
        hops: 0,
        messages: 0,
        took: Duration::ZERO,
    })
}

/// What can be read at once, in words.
fn read(stream: &BagStream) -> Vec<String> {
    let events = std::iter::from_fn(|| stream.0.pop());
    let words = events.map(|event| match event {
        BagEvent::Added {
            value, expires_at, ..
        } => format!("{} until {expires_at}", String::from_utf8_lossy(&value)),
        BagEvent::Removed { .. } => "removed".to_owned(),
        BagEvent::End { complete } => format!("complete: {complete}"),
        BagEvent::Failed(_) => "failed".to_owned(),
    });
    words.collect()
}

#[test]
fn of_each_item_the_newest_version_waits_in_its_place() {
    let (feed, stream) = feed();
    let (a, b) = (item("a", 1, 10), item("b", 1, 10));
    let grave = sign(Draft::bag_tombstone(Key::ZERO, *b.label(), 2, 20));
    feed.push(vec![a, b, item("c", 1, 10), item("a", 2, 30)]);
    feed.push(vec![grave.clone()]);
    assert_eq!(read(&stream), ["a until 30", "removed", "c until 10"]);
    feed.push(vec![item("d", 1, 10)]);
    assert_eq!(read(&stream), ["d until 10"]);
    assert_eq!(stream.0.look(|items| items.bytes), 0);
    feed.end(Ok(ended(true)));
    assert_eq!(read(&stream), ["complete: true"]);
    assert_eq!(read(&stream), [""; 0]);
}

#[test]
fn what_is_read_is_taken_back_by_its_label_and_writer() {
    let (feed, stream) = feed();
    let a = item("a", 1, 10);
    let pop = || stream.0.pop();
    feed.push(vec![a.clone()]);
    let Some(BagEvent::Added { label, writer, .. }) = pop() else {
        panic!("nothing was added")
    };
    feed.push(vec![sign(Draft::bag_tombstone(Key::ZERO, label, 2, 20))]);
    let Some(BagEvent::Removed {
        label: gone,
        writer: whose,
    }) = pop()
    else {
        panic!("nothing was removed")
    };
    assert_eq!((gone, whose), (label, writer));
}

#[test]
fn a_reader_that_does_not_read_finds_the_bag_up_to_its_cap_and_learns_of_the_rest() {
    for (over, complete) in [(0, true), (1, false)] {
        let (feed, stream) = feed();
        // As if as many full items waited as there may be, but one.
        feed.change(|items| items.bytes = QUEUE_BYTES - BAG_ITEM_MAX);
        feed.push(vec![item(vec![b'x'; BAG_ITEM_MAX - 1], 1, 10)]);
        feed.push(vec![item(vec![b'y'; 1 + over], 1, 10)]);
        feed.end(Ok(ended(true)));
        let read = read(&stream);
        assert_eq!(read.len(), 3 - over);
        assert_eq!(read.last().unwrap(), &format!("complete: {complete}"));
    }
}

#[test]
fn a_failure_is_told_to_the_caller_before_the_beginning_and_to_the_reader_after_it() {
    let failure = || {
        let reason = Reason::Busy;
        Err(Failure::Refused { reason })
    };
    let (caller, mut begun) = oneshot::channel();
    let (early, reader) = handover(&Arc::default(), caller);
    let stream = BagStream::new(reader);
    early.end(failure());
    assert!(begun.try_recv().unwrap().is_err());
    assert_eq!(read(&stream), [""; 0]);
    let (late, stream) = feed();
    late.end(failure());
    assert_eq!(read(&stream), ["failed"]);
    assert!(stream.0.is_ended());
}

#[test]
fn what_ends_at_once_has_begun() {
    let (caller, mut begun) = oneshot::channel();
    let (feed, reader) = handover(&Arc::default(), caller);
    let stream = BagStream::new(reader);
    feed.end(Ok(ended(false)));
    assert!(begun.try_recv().unwrap().is_ok());
    assert_eq!(read(&stream), ["complete: false"]);
}

#[test]
fn for_a_reader_that_is_gone_nothing_is_kept() {
    let (feed, stream) = feed();
    assert!(!feed.is_unread());
    drop(stream);
    assert!(feed.is_unread());
    feed.push(vec![item("a", 1, 10)]);
    assert!(feed.look(|items| items.waiting.is_empty()));
}
