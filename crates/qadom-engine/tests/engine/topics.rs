//! Topics among several engines: whatever is lost, delayed, repeated or dies, each subscriber is
//! told each event once and in order.

use std::time::Duration;

use crate::lossy::Lossy;
use crate::signed::{identity, sign, signed, slot, start};
use qadom_engine::{OperationId, Since, WatchEvent, WatchSlot};
use qadom_wire::{Cursor, Draft, Kind, Request, Store, Verified};

const TOPIC: Kind = Kind::Event;
const SECOND: Duration = Duration::from_secs(1);

/// An event of a stream that was opened after the tests began.
fn event(writer: u16, seq: u64) -> Verified {
    let stream = start() * 1_000_000 + 10_000_000;
    let draft = Draft::event(slot(), stream, seq, "news".into(), start() + 36 * 3600);
    sign(&identity(writer), draft)
}

fn seqs(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

struct Topic {
    world: Lossy,
    storing: u8,
    subscribers: Vec<(u8, OperationId)>,
}

impl Topic {
    /// Storing nodes, and clients that subscribe.
    fn new(storing: u8, clients: u8, seed: u64) -> Self {
        let mut topic = Self {
            world: Lossy::new(storing, clients, seed),
            storing,
            subscribers: Vec::new(),
        };
        for number in storing + 1..=storing + clients {
            topic.subscribe(number, Since::Now);
        }
        topic.world.run(10 * SECOND);
        topic
    }

    fn subscribe(&mut self, number: u8, since: Since) {
        let (slot, kind) = (slot(), TOPIC);
        let now = self.world.now;
        let engine = self.world.engine(number);
        let operation = engine.watch(now, WatchSlot { slot, kind }, since);
        self.subscribers.push((number, operation));
    }

    /// Stores an event at every storing node that lives; some miss it.
    fn publish(&mut self, event: &Verified, missed: u32) {
        let items = vec![signed(event)];
        let request = Request::Store(Store { items });
        let mut kept = 0;
        for number in 1..=self.storing {
            let is_missed = self.world.happens(missed) && kept > 0;
            if self.world.living().contains(&number) && !is_missed {
                self.world.send(number, &request);
                kept += 1;
            }
        }
        self.world.run(Duration::from_millis(20));
    }

    /// The seqs that a subscriber was told of a writer; no gap is allowed.
    fn told(&self, subscriber: usize, writer: u16) -> Vec<u64> {
        let writer = identity(writer).writer();
        let told = self.world.told.get(&self.subscribers[subscriber]);
        let told = told.into_iter().flatten().map(|event| match event {
            WatchEvent::Record { record, .. } => record,
            other => panic!("{other:?}"),
        });
        told.filter(|record| *record.writer() == writer)
            .map(|record| record.seq())
            .collect()
    }

    fn cursor(&self, subscriber: usize) -> Cursor {
        match self.world.told[&self.subscribers[subscriber]].last() {
            Some(WatchEvent::Record { cursor, .. }) => cursor.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn everything_arrives_once_and_in_order_though_a_quarter_of_the_holders_dies() {
    for seed in 0..4 {
        let mut topic = Topic::new(16, 6, seed);
        topic.world.loss = 50;
        for seq in 1..=100 {
            topic.publish(&event(1, seq), 50);
            if seq % 2 == 0 {
                topic.publish(&event(2, seq / 2), 50);
            }
            if seq == 50 {
                (1..=4).for_each(|number| topic.world.kill(number * 4));
            }
        }
        // Whose three holders all died finds new ones when it renews its leases.
        topic.world.run(400 * SECOND);
        for subscriber in 0..6 {
            assert_eq!(topic.told(subscriber, 1), seqs(1..=100), "seed {seed}");
            assert_eq!(topic.told(subscriber, 2), seqs(1..=50), "seed {seed}");
        }
    }
}

#[test]
fn a_subscriber_that_comes_back_goes_on_where_it_stood() {
    let mut topic = Topic::new(16, 1, 9);
    for seq in 1..=20 {
        topic.publish(&event(1, seq), 100);
    }
    topic.world.run(10 * SECOND);
    let cursor = topic.cursor(0);
    let (client, operation) = topic.subscribers[0];
    topic.world.engine(client).cancel(operation);
    for seq in 21..=300 {
        topic.publish(&event(1, seq), 100);
    }
    topic.subscribe(client, Since::Cursor(cursor));
    topic.subscribe(client, Since::Cursor(Cursor::new()));
    topic.subscribe(client, Since::Now);
    topic.world.run(10 * SECOND);
    for seq in 301..=310 {
        topic.publish(&event(1, seq), 100);
    }
    topic.world.run(10 * SECOND);
    assert_eq!(topic.told(0, 1), seqs(1..=20));
    assert_eq!(topic.told(1, 1), seqs(21..=310));
    assert_eq!(topic.told(2, 1), seqs(1..=310));
    assert_eq!(topic.told(3, 1), seqs(301..=310));
}

#[test]
fn holders_subscribe_too() {
    let mut topic = Topic::new(4, 0, 3);
    (1..=4).for_each(|number| topic.subscribe(number, Since::Now));
    topic.world.run(10 * SECOND);
    for seq in 1..=30 {
        topic.publish(&event(1, seq), 200);
    }
    topic.world.run(10 * SECOND);
    for subscriber in 0..4 {
        assert_eq!(topic.told(subscriber, 1), seqs(1..=30));
    }
}
