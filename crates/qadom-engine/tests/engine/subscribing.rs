//! What a subscription asks of holders, and what it tells, whatever they do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::one::{One, node_key};
use crate::signed::{identity, sign, slot, start};
use crate::watched::{event, seen};
use qadom_engine::{
    Effect, Failure, Mode, OperationId, Outgoing, Reachability, RequestFailure, Since, WatchEvent,
    WatchSlot,
};
use qadom_routing::NodeKey;
use qadom_wire::{
    Answer, Cursor, Draft, Find, Found, Kind, Notify, Pong, Reason, Record, Request, SignedRecord,
    Verified, Watch, Watched,
};

const TOPIC: Kind = Kind::Event;

pub(crate) fn topic() -> WatchSlot {
    let (slot, kind) = (slot(), TOPIC);
    WatchSlot { slot, kind }
}

/// What the nodes around the subscriber hold and do.
#[derive(Default)]
pub(crate) struct Nodes {
    /// Who watches at whom, since what.
    pub(crate) watched: BTreeMap<NodeKey, Option<Cursor>>,
    unwatched: BTreeSet<NodeKey>,
    held: Vec<Verified>,
    asked: Vec<(NodeKey, Find)>,
    pub(crate) silent: BTreeSet<NodeKey>,
    busy: BTreeSet<NodeKey>,
    /// What they say they have when they are watched, and what some say in its place.
    had: Cursor,
    pub(crate) claimed: BTreeMap<NodeKey, Cursor>,
}

impl Nodes {
    fn answer(&mut self, outgoing: &Outgoing) -> Option<Answer> {
        if self.silent.contains(&outgoing.key) {
            return None;
        }
        Some(match Request::decode(outgoing.body.clone()).unwrap() {
            Request::Ping(_) => Answer::Pong(Pong::default()),
            Request::FindNode(_) => Answer::Contacts(Vec::new()),
            Request::Watch(_) if self.busy.contains(&outgoing.key) => Answer::Refused(Reason::Busy),
            Request::Watch(Watch { since, .. }) => {
                self.watched.insert(outgoing.key, since);
                Answer::Watched(Watched {
                    lease_seconds: 600,
                    cursor: self.claimed.get(&outgoing.key).unwrap_or(&self.had).clone(),
                })
            }
            Request::Unwatch(_) => {
                self.unwatched.insert(outgoing.key);
                Answer::Unwatched
            }
            Request::Find(find) => {
                let range = find.range.unwrap();
                self.asked.push((outgoing.key, find));
                let held = self.held.iter().filter(|record| {
                    record.id() >= range.start() && range.end().is_none_or(|end| record.id() < end)
                });
                let records = held.map(|record| Record::Signed(record.clone().into_inner()));
                Answer::Found(Found {
                    records: records.collect(),
                    ..Found::default()
                })
            }
            _ => Answer::Refused(Reason::UnknownKind),
        })
    }
}

/// A subscriber among storing nodes.
pub(crate) struct Subscriber {
    one: One,
    pub(crate) nodes: Nodes,
    operation: OperationId,
    told: Vec<WatchEvent>,
    kept_alive: Vec<NodeKey>,
    ended: Option<Failure>,
    number: u64,
}

impl Subscriber {
    pub(crate) fn new(since: Since) -> Self {
        Self::with(since, Nodes::default())
    }

    pub(crate) fn with(since: Since, nodes: Nodes) -> Self {
        Self::of(One::new(Mode::Client), 6, topic(), since, nodes)
    }

    fn of(mut one: One, count: u8, slot: WatchSlot, since: Since, nodes: Nodes) -> Self {
        (1..=count).for_each(|number| one.meet(number, true));
        let operation = one.engine.watch(one.now, slot, since);
        let mut subscriber = Self {
            one,
            nodes,
            operation,
            told: Vec::new(),
            kept_alive: Vec::new(),
            ended: None,
            number: 0,
        };
        subscriber.settle();
        subscriber
    }

    fn settle(&mut self) {
        let nodes = &mut self.nodes;
        for effect in self.one.run(|outgoing| nodes.answer(outgoing)) {
            match effect {
                Effect::Event { operation, event } => {
                    assert_eq!(operation, self.operation);
                    self.told.push(event);
                }
                Effect::KeepAlive(key) => self.kept_alive.push(key),
                Effect::Done { result, .. } => self.ended = result.err(),
                _ => {}
            }
        }
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        let span = Duration::from_millis(millis);
        self.one.now.moment = self.one.now.moment + span;
        self.one.now.utc_micros += millis * 1000;
        self.one.engine.on_deadline(self.one.now);
        self.settle();
    }

    pub(crate) fn holders(&self) -> Vec<NodeKey> {
        self.nodes.watched.keys().copied().collect()
    }

    /// Lets a node push records; gives its answer.
    pub(crate) fn push(&mut self, from: NodeKey, records: &[Verified]) -> Answer {
        let records = records.iter().map(|record| record.clone().into_inner());
        self.push_raw(from, records.collect(), 0)
    }

    fn push_raw(&mut self, from: NodeKey, records: Vec<SignedRecord>, skipped: u64) -> Answer {
        self.number += 1;
        let number = self.number;
        let (slot, kind) = records
            .first()
            .map_or((slot(), TOPIC), |record| (*record.slot(), record.kind()));
        let notify = Notify {
            slot,
            kind,
            number,
            skipped,
            records,
        };
        let mut who = 1;
        while node_key(who) != from {
            who += 1;
        }
        self.one.ask_as(who, &Request::Notify(notify), true);
        let mut answer = None;
        for effect in self.one.effects() {
            match effect {
                Effect::Answer { body, .. } => answer = Some(Answer::decode(body).unwrap()),
                Effect::Event { event, .. } => self.told.push(event),
                Effect::Request(outgoing) => {
                    if let Some(answer) = self.nodes.answer(&outgoing) {
                        self.one.reply(&outgoing, &answer);
                    } else {
                        let (id, now) = (outgoing.id, self.one.now);
                        self.one.engine.on_failed(now, id, &RequestFailure::Timeout);
                    }
                }
                _ => {}
            }
        }
        self.settle();
        answer.expect("an answer")
    }

    /// What was told since the last time: seqs, and gaps as pairs.
    pub(crate) fn take_told(&mut self) -> Vec<(u64, u64)> {
        let told = self.told.drain(..).map(|event| match event {
            WatchEvent::Record { record, .. } => (record.seq(), 0),
            WatchEvent::Gap {
                from_seq, to_seq, ..
            } => (from_seq, to_seq),
            _ => (0, 0),
        });
        told.collect()
    }

    fn drops(&self, reason: Reason) -> u64 {
        let drops = self.one.engine.status().drops;
        let found = drops.iter().find(|(is, _)| *is == reason);
        found.map_or(0, |(_, count)| count)
    }
}

#[test]
fn three_holders_are_asked_and_what_each_pushes_is_told_once() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    assert_eq!(holders.len(), 3);
    assert!(subscriber.nodes.watched.values().all(Option::is_none));
    for holder in &holders {
        let answer = subscriber.push(*holder, &[event(1, 1), event(1, 2)]);
        assert!(matches!(answer, Answer::Notified { .. }), "{answer:?}");
    }
    assert_eq!(subscriber.take_told(), [(1, 0), (2, 0)]);
    assert_eq!(subscriber.one.engine.status().subscriptions, 1);
}

#[test]
fn the_cursor_of_an_event_says_all_that_was_told() {
    let nodes = Nodes {
        had: seen(&[(1, 4), (2, 7)]),
        ..Nodes::default()
    };
    let mut subscriber = Subscriber::with(Since::Now, nodes);
    let holder = subscriber.holders()[0];
    subscriber.push(holder, &[event(1, 4), event(1, 5)]);
    let [WatchEvent::Record { record, cursor }] = &subscriber.told[..] else {
        panic!("{:?}", subscriber.told)
    };
    assert_eq!(record.seq(), 5);
    assert_eq!(*cursor, seen(&[(1, 5), (2, 7)]));
}

#[test]
fn a_hole_is_filled_by_another_holder() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holder = subscriber.holders()[0];
    subscriber.push(holder, &[event(1, 1), event(1, 4)]);
    assert_eq!(subscriber.take_told(), [(1, 0)]);
    assert!(subscriber.nodes.asked.is_empty(), "it may be on its way");
    subscriber.nodes.held = vec![event(1, 2), event(1, 3), event(1, 4)];
    subscriber.pass(200);
    assert_eq!(subscriber.take_told(), [(2, 0), (3, 0), (4, 0)]);
    assert_eq!(subscriber.nodes.asked.len(), 3);
    let (_, find) = &subscriber.nodes.asked[0];
    let range = find.range.unwrap();
    assert_eq!(range.start(), event(1, 2).id());
    assert_eq!(range.end(), Some(event(1, 4).id()));
}

#[test]
fn what_nobody_has_is_reported_after_five_seconds() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holder = subscriber.holders()[0];
    subscriber.push(holder, &[event(1, 1), event(1, 4)]);
    subscriber.take_told();
    for _ in 0..49 {
        subscriber.pass(100);
    }
    assert_eq!(subscriber.take_told(), []);
    let asked: BTreeSet<_> = subscriber
        .nodes
        .asked
        .iter()
        .map(|(node, _)| *node)
        .collect();
    assert_eq!(asked.len(), 6, "all that are near");
    subscriber.pass(100);
    assert_eq!(subscriber.take_told(), [(2, 3), (4, 0)]);
    subscriber.push(holder, &[event(1, 3)]);
    assert_eq!(subscriber.take_told(), [], "what was passed stays so");
}

#[test]
fn a_backlog_begins_with_the_oldest_that_is_held() {
    let cursor = Since::Cursor(Cursor::new());
    let mut subscriber = Subscriber::with(cursor, Nodes::default());
    let since = subscriber
        .nodes
        .watched
        .values()
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(since, vec![Some(Cursor::new()); 3]);
    let holder = subscriber.holders()[0];
    // Three of the others say that there is nothing before, and that is that.
    subscriber.push(holder, &[event_before(7), event_before(8)]);
    assert_eq!(subscriber.take_told(), [(7, 0), (8, 0)]);
    assert_eq!(subscriber.nodes.asked.len(), 3);
}

/// An event of a stream that was opened a second before the tests begin.
fn event_before(seq: u64) -> Verified {
    let draft = Draft::event(
        slot(),
        start() * 1_000_000 - 1,
        seq,
        "old".into(),
        start() + 60,
    );
    sign(&identity(1), draft)
}

#[test]
fn a_holder_that_dies_is_replaced_and_nothing_is_missed() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    subscriber.push(holders[0], &[event(1, 1)]);
    let dead = holders[1];
    subscriber.nodes.silent.insert(dead);
    subscriber.nodes.watched.clear();
    subscriber.pass(300_000);
    let now = subscriber.holders();
    assert_eq!(now.len(), 3);
    assert!(!now.contains(&dead));
    for since in subscriber.nodes.watched.values() {
        assert_eq!(*since, Some(seen(&[(1, 1)])));
    }
    let answer = subscriber.push(dead, &[event(1, 2)]);
    assert_eq!(answer, Answer::Refused(Reason::NotFound));
}

#[test]
fn a_holder_that_keeps_silent_about_what_another_tells_is_asked_at_once() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    subscriber.pass(30_000);
    subscriber.nodes.silent.insert(holders[1]);
    subscriber.nodes.watched.clear();
    subscriber.push(holders[0], &[event(1, 1)]);
    subscriber.push(holders[2], &[event(1, 1)]);
    subscriber.pass(4_999);
    assert!(subscriber.nodes.watched.is_empty());
    subscriber.pass(1);
    let new = subscriber.holders();
    assert!(new.iter().any(|key| !holders.contains(key)), "{new:?}");
}

#[test]
fn a_busy_holder_is_passed_over() {
    let all = Subscriber::new(Since::Now);
    let busy: BTreeSet<_> = all.holders().into_iter().collect();
    let nodes = Nodes {
        busy: busy.clone(),
        ..Nodes::default()
    };
    let subscriber = Subscriber::with(Since::Now, nodes);
    let holders: BTreeSet<_> = subscriber.holders().into_iter().collect();
    assert_eq!(holders.len(), 3);
    assert!(holders.is_disjoint(&busy));
}

#[test]
fn a_forged_event_is_a_lie_and_never_told() {
    let mut subscriber = Subscriber::new(Since::Now);
    let liar = subscriber.holders()[0];
    let forged = {
        let other = qadom_wire::Network::new(b"another", b"").unwrap().id();
        let draft = Draft::event(
            slot(),
            start() * 1_000_000,
            1,
            "forged".into(),
            start() + 60,
        );
        identity(1).sign(&other, draft).unwrap()
    };
    subscriber.push(liar, &[forged]);
    assert_eq!(subscriber.take_told(), []);
    assert_eq!(subscriber.drops(Reason::BadSignature), 1);
    assert_eq!(subscriber.one.engine.blocks(subscriber.one.now).len(), 1);
    assert_eq!(subscriber.holders().len(), 4, "another one takes its place");
    subscriber.push(liar, &[event(1, 1)]);
    assert_eq!(subscriber.take_told(), []);
}

#[test]
fn only_who_was_asked_may_push() {
    let mut subscriber = Subscriber::new(Since::Now);
    let stranger = (1..=6)
        .map(node_key)
        .find(|key| !subscriber.nodes.watched.contains_key(key));
    let answer = subscriber.push(stranger.unwrap(), &[event(1, 1)]);
    assert_eq!(answer, Answer::Refused(Reason::NotFound));
    assert_eq!(subscriber.take_told(), []);
}

#[test]
fn who_cancels_tells_the_holders_and_hears_nothing_more() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    subscriber.one.engine.cancel(subscriber.operation);
    subscriber.settle();
    assert_eq!(
        subscriber.nodes.unwatched,
        holders.iter().copied().collect()
    );
    let answer = subscriber.push(holders[0], &[event(1, 1)]);
    assert_eq!(answer, Answer::Refused(Reason::NotFound));
    assert!(subscriber.told.is_empty() && subscriber.ended.is_none());
    assert_eq!(subscriber.one.engine.status().subscriptions, 0);
}

#[test]
fn two_subscriptions_share_their_holders() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    let first = subscriber.operation;
    let now = subscriber.one.now;
    subscriber.operation = subscriber.one.engine.watch(now, topic(), Since::Now);
    subscriber.settle();
    subscriber.one.engine.cancel(first);
    subscriber.settle();
    assert!(subscriber.nodes.unwatched.is_empty());
    subscriber.push(holders[0], &[event(1, 1)]);
    assert_eq!(subscriber.take_told(), [(1, 0)]);
}

#[test]
fn leases_are_renewed_every_five_minutes_in_turn_from_where_the_telling_stands() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    for holder in &holders {
        subscriber.push(*holder, &[event(1, 1)]);
    }
    let mut renewed = Vec::new();
    for hundred in [1, 2, 3, 4, 5, 6] {
        subscriber.nodes.watched.clear();
        subscriber.pass(100_000);
        assert_eq!(subscriber.holders().len(), 1, "after {hundred}00 s");
        for since in subscriber.nodes.watched.values() {
            assert_eq!(*since, Some(seen(&[(1, 1)])));
        }
        renewed.extend(subscriber.holders());
    }
    assert_eq!(renewed[..3], renewed[3..]);
    assert_eq!(renewed.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn the_way_to_the_holders_is_kept_open_unless_others_reach_this_node() {
    let mut subscriber = Subscriber::new(Since::Now);
    assert_eq!(
        subscriber.one.engine.status().reachability,
        Reachability::Unknown
    );
    subscriber.pass(19_999);
    assert!(subscriber.kept_alive.is_empty());
    subscriber.pass(1);
    subscriber.kept_alive.sort_unstable();
    assert_eq!(subscriber.kept_alive, subscriber.holders());
}

#[test]
fn a_bag_is_watched_item_by_item_and_a_slow_one_is_to_be_read_anew() {
    let slot = WatchSlot {
        slot: slot(),
        kind: Kind::BagItem,
    };
    let one = One::new(Mode::Client);
    let mut subscriber = Subscriber::of(one, 6, slot, Since::Now, Nodes::default());
    let holder = subscriber.holders()[0];
    let item = |text: &'static str, seq, expiry| {
        let draft = Draft::bag_item(slot.slot, text.into(), seq, start() + expiry);
        sign(&identity(1), draft)
    };
    subscriber.push(holder, &[item("b", 2, 60), item("a", 1, 60)]);
    assert_eq!(
        subscriber.take_told(),
        [(2, 0), (1, 0)],
        "items have no order"
    );
    subscriber.push(holder, &[item("a", 1, 90)]);
    assert_eq!(subscriber.take_told(), [], "a renewal is nothing new");
    let grave = Draft::bag_tombstone(slot.slot, *item("a", 1, 60).label(), 3, start() + 60);
    let grave = sign(&identity(1), grave).into_inner();
    subscriber.push_raw(holder, vec![grave], 9);
    let [
        WatchEvent::Skipped { records: 9 },
        WatchEvent::Record { record, .. },
    ] = &subscriber.told[..]
    else {
        panic!("{:?}", subscriber.told)
    };
    assert!(record.is_tombstone());
}

#[test]
fn a_node_without_peers_goes_on_looking_for_holders() {
    let mut subscriber = Subscriber::of(
        One::new(Mode::Client),
        0,
        topic(),
        Since::Now,
        Nodes::default(),
    );
    assert!(subscriber.holders().is_empty());
    subscriber.one.meet(1, true);
    subscriber.pass(10_000);
    assert_eq!(subscriber.holders(), [node_key(1)]);
}

#[test]
fn versions_from_the_future_are_not_told() {
    let kind = Kind::DictCell;
    let name = WatchSlot { slot: slot(), kind };
    let since = Since::Cursor(Cursor::new());
    let one = One::trusting();
    let mut subscriber = Subscriber::of(one, 6, name, since, Nodes::default());
    let ahead = subscriber.one.now.utc_micros + 3600 * 1_000_000;
    let cells = [ahead, ahead + 1].map(|seq| {
        let draft = Draft::dict_cell(slot(), "x".into(), seq, start() + 3600);
        sign(&identity(1), draft)
    });
    let from = *subscriber
        .holders()
        .iter()
        .find(|key| **key != node_key(0))
        .unwrap();
    subscriber.push(from, &cells);
    assert_eq!(subscriber.take_told(), [(ahead, 0)]);
    assert_eq!(subscriber.drops(Reason::SeqFromFuture), 1);
}

#[test]
fn a_holder_cannot_hide_a_writer_behind_events_from_the_future() {
    let mut nodes = Nodes::default();
    nodes.had.note(&identity(1).writer(), u64::MAX, 1);
    let mut subscriber = Subscriber::of(One::trusting(), 6, topic(), Since::Now, nodes);
    let holder = subscriber.holders()[0];
    subscriber.push(holder, &[event(1, 1)]);
    subscriber.pass(200);
    assert_eq!(subscriber.take_told(), [(1, 0)]);
}
