//! Subscriptions whose reader keeps up, falls behind, or is gone.

use qadom_wire::{Draft, Identity, Network};

use super::*;
use crate::handover::handover;
use std::sync::Arc;
use tokio::sync::oneshot;

fn feed() -> (Feed<Events>, Subscription) {
    let (caller, _) = oneshot::channel();
    let (feed, reader) = handover(&Arc::default(), caller);
    (feed, Subscription::new(reader))
}

/// The event of a writer with this number.
fn record(writer: u8, seq: u64) -> WatchEvent {
    let network = Network::new(b"test", b"").unwrap().id();
    let identity = Identity::from_seed([writer; 32]);
    let slot = qadom_routing::Key::ZERO;
    let draft = Draft::event(slot, 7, seq, "message".into(), 1);
    let record = identity.sign(&network, draft).unwrap();
    let cursor = Cursor::new();
    WatchEvent::Record { record, cursor }
}

/// What is read without waiting: `Ok` with the seq of a record, `Err` with a gap.
fn read(subscription: &Subscription) -> Option<Result<u64, (bool, u64, u64)>> {
    let event = subscription.0.pop()?;
    Some(match event {
        Event::Record { record, .. } => Ok(record.seq()),
        Event::Gap {
            writer,
            from_seq,
            to_seq,
            ..
        } => Err((writer.is_some(), from_seq, to_seq)),
    })
}

#[test]
fn a_reader_that_does_not_read_finds_its_queue_then_a_gap_then_what_is_new() {
    let (feed, subscription) = feed();
    let full = EVENTS_MAX as u64;
    for seq in 1..=full {
        feed.push(record(1, seq));
    }
    for seq in full + 1..=full + 10 {
        feed.push(record(1, seq));
    }
    // One place is free again, but what is lost comes before what is new.
    assert_eq!(read(&subscription), Some(Ok(1)));
    feed.push(record(1, full + 11));
    for seq in 2..=full {
        assert_eq!(read(&subscription), Some(Ok(seq)));
    }
    assert_eq!(read(&subscription), Some(Err((true, full + 1, full + 11))));
    feed.push(record(1, full + 12));
    assert_eq!(read(&subscription), Some(Ok(full + 12)));
    assert_eq!(read(&subscription), None);
}

#[test]
fn the_gaps_of_many_writers_are_bounded_and_count_everything() {
    let (feed, subscription) = feed();
    for seq in 1..=EVENTS_MAX as u64 {
        feed.push(record(0, seq));
    }
    let writer = Identity::from_seed([1; 32]).writer();
    for number in 0..GAPS as u64 + 20 {
        feed.push(WatchEvent::Gap {
            writer,
            stream: number,
            from_seq: 1,
            to_seq: 2,
        });
    }
    for _ in 0..EVENTS_MAX {
        assert!(matches!(read(&subscription), Some(Ok(_))));
    }
    let gaps: Vec<_> = std::iter::from_fn(|| read(&subscription)).collect();
    assert_eq!(gaps.len(), GAPS);
    let counted: u64 = gaps
        .iter()
        .map(|gap| gap.map_or_else(|(_, from, to)| to - from + 1, |_| 0))
        .sum();
    assert_eq!(counted, 2 * (GAPS as u64 + 20));
    assert_eq!(
        gaps.iter()
            .filter(|gap| matches!(gap, Err((false, ..))))
            .count(),
        1
    );
}

#[test]
fn the_reader_learns_of_the_end_and_the_driver_of_a_reader_that_is_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (feed, mut reader) = feed();
    feed.push(record(1, 1));
    drop(feed);
    assert!(runtime.block_on(reader.next()).is_some());
    assert!(runtime.block_on(reader.next()).is_none());

    let (feed, reader) = self::feed();
    assert!(!feed.is_unread());
    drop(reader);
    assert!(feed.is_unread());
}
