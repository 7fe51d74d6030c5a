//! What a holder grants to watchers, and what it pushes to them.

use std::time::Duration;

use crate::one::{One, node_key};
use crate::signed::{identity, sign, signed, slot, start};
use bytes::Bytes;
use qadom_engine::{Effect, Mode, Outgoing, RequestFailure};
use qadom_routing::Key;
use qadom_store::Store as _;
use qadom_wire::{
    Answer, BODY_MAX, Cursor, Draft, Kind, Notify, Reason, Request, SignedRecord, Store, Unwatch,
    Verified, Watch, Watched,
};

const STREAM: u64 = 1_800_000_000_000_000;

pub(crate) fn event(writer: u16, seq: u64) -> Verified {
    long_event(writer, seq, 8)
}

fn long_event(writer: u16, seq: u64, length: usize) -> Verified {
    let payload = Bytes::from(vec![7; length]);
    let draft = Draft::event(slot(), STREAM, seq, payload, start() + 36 * 3600);
    sign(&identity(writer), draft)
}

/// What a watcher has seen: of each of these writers everything up to a seq.
pub(crate) fn seen(writers: &[(u16, u64)]) -> Cursor {
    let mut cursor = Cursor::new();
    for (writer, seq) in writers {
        cursor.note(&identity(*writer).writer(), STREAM, *seq);
    }
    cursor
}

/// A holder, with what it said and what it pushed.
struct Holder {
    one: One,
    answers: Vec<Answer>,
    pushed: Vec<(Outgoing, Notify)>,
}

impl Holder {
    fn new() -> Self {
        Self::of(One::trusting())
    }

    fn of(one: One) -> Self {
        let (answers, pushed) = (Vec::new(), Vec::new());
        Self {
            one,
            answers,
            pushed,
        }
    }

    fn drain(&mut self) {
        for effect in self.one.effects() {
            match effect {
                Effect::Answer { body, .. } => self.answers.push(Answer::decode(body).unwrap()),
                Effect::Request(outgoing) => {
                    let request = Request::decode(outgoing.body.clone()).unwrap();
                    if let Request::Notify(batch) = request {
                        self.pushed.push((outgoing, batch));
                    }
                }
                Effect::Commit(_) => {
                    let ticket = self.one.store.commit().unwrap();
                    self.one.engine.on_committed(self.one.now, ticket);
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, number: u8, request: &Request) -> Answer {
        self.one.ask_as(number, request, true);
        self.drain();
        self.answers.pop().expect("an answer")
    }

    fn watch(&mut self, number: u8, since: Option<Cursor>) -> Answer {
        let (slot, kind) = (slot(), Kind::Event);
        self.ask(number, &Request::Watch(Watch { slot, kind, since }))
    }

    fn store(&mut self, records: &[Verified]) {
        for store in Store::batches(records.iter().map(signed)) {
            self.one.ask(&Request::Store(store), true);
            self.drain();
        }
        self.drain();
        self.answers.clear();
    }

    /// The oldest batch that was pushed, as seqs.
    fn batch(&mut self) -> (Outgoing, Vec<u64>) {
        let (outgoing, batch) = self.pushed.remove(0);
        let seqs = batch.records.iter().map(SignedRecord::seq).collect();
        (outgoing, seqs)
    }

    fn receive(&mut self, outgoing: &Outgoing, number: u64) {
        self.one.reply(outgoing, &Answer::Notified { number });
        self.drain();
    }

    /// Takes everything that is pushed, as seqs.
    fn receive_all(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        loop {
            while let Some((_, batch)) = self.pushed.first() {
                let length = Request::Notify(batch.clone()).encode().len();
                assert!(length <= BODY_MAX, "{length} bytes");
                let number = batch.number;
                let (outgoing, seqs) = self.batch();
                all.extend(seqs);
                self.receive(&outgoing, number);
            }
            self.one.now.moment = self.one.now.moment + Duration::from_millis(1);
            self.one.engine.on_deadline(self.one.now);
            self.drain();
            if self.pushed.is_empty() {
                return all;
            }
        }
    }

    fn fail(&mut self, outgoing: &Outgoing, failure: &RequestFailure) {
        self.one
            .engine
            .on_failed(self.one.now, outgoing.id, failure);
        self.drain();
    }

    fn pass(&mut self, seconds: u64) {
        self.one.pass(seconds);
        self.drain();
    }
}

fn watched(cursor: Cursor) -> Answer {
    Answer::Watched(Watched {
        lease_seconds: 600,
        cursor,
    })
}

#[test]
fn a_watcher_is_told_what_is_stored_after_it_came() {
    let mut holder = Holder::new();
    holder.store(&[event(1, 1)]);
    assert_eq!(holder.watch(1, None), watched(seen(&[(1, 1)])));
    assert!(holder.pushed.is_empty());
    holder.store(&[event(1, 2)]);
    let (outgoing, batch) = holder.pushed[0].clone();
    assert_eq!(outgoing.key, node_key(1));
    assert_eq!((batch.number, batch.skipped), (1, 0));
    assert_eq!(batch.records, [event(1, 2).into_inner()]);
}

#[test]
fn what_was_there_already_is_not_told_again() {
    let mut holder = Holder::new();
    holder.watch(1, None);
    holder.store(&[event(1, 1), event(1, 1)]);
    holder.store(&[event(1, 1)]);
    assert_eq!(holder.receive_all(), [1]);
}

#[test]
fn one_batch_is_under_way_and_the_next_takes_what_came_meanwhile() {
    let mut holder = Holder::new();
    holder.watch(1, None);
    for seq in 1..=4 {
        holder.store(&[event(1, seq)]);
    }
    let (outgoing, seqs) = holder.batch();
    assert_eq!(seqs, [1]);
    assert!(holder.pushed.is_empty());
    holder.receive(&outgoing, 1);
    let (_, seqs) = holder.batch();
    assert_eq!(seqs, [2, 3, 4]);
}

#[test]
fn a_backlog_begins_behind_the_cursor_and_goes_on_live() {
    let mut holder = Holder::new();
    let mut all: Vec<_> = (1..=60).map(|seq| long_event(1, seq, 600)).collect();
    all.extend((1..=60).map(|seq| long_event(2, seq, 600)));
    holder.store(&all);
    let had = seen(&[(1, 60), (2, 60)]);
    assert_eq!(
        holder.watch(1, Some(seen(&[(1, 50), (2, 20)]))),
        watched(had)
    );
    holder.store(&[event(1, 61)]);
    let mut told = holder.receive_all();
    told.sort_unstable();
    let mut expected: Vec<u64> = (51..=61).chain(21..=60).collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn the_longest_events_come_one_by_one() {
    let mut holder = Holder::new();
    holder.store(&[1, 2, 3].map(|seq| long_event(1, seq, 8192)));
    holder.watch(1, Some(Cursor::new()));
    assert_eq!(holder.receive_all(), [1, 2, 3]);
}

#[test]
fn a_slow_watcher_loses_the_oldest_and_is_told_how_many() {
    let mut holder = Holder::new();
    holder.watch(1, None);
    let all: Vec<_> = (1..=1026).map(|seq| event(1, seq)).collect();
    holder.store(&all[..1]);
    holder.store(&all[1..1025]);
    let (outgoing, _) = holder.batch();
    holder.receive(&outgoing, 1);
    assert_eq!(holder.pushed[0].1.skipped, 0, "1024 wait");
    let (outgoing, first) = holder.batch();
    let rest = 1025 - 1 - first.len();
    let more: Vec<_> = (1026..=1026 + (1024 - rest) as u64)
        .map(|seq| event(1, seq))
        .collect();
    holder.store(&more);
    holder.receive(&outgoing, 2);
    assert_eq!(holder.pushed[0].1.skipped, 1);
}

#[test]
fn a_batch_is_sent_again_and_three_failures_end_the_lease() {
    let mut holder = Holder::new();
    holder.watch(1, None);
    holder.store(&[event(1, 1)]);
    let busy = RequestFailure::Busy {
        retry_after: Duration::from_secs(2),
    };
    let (outgoing, _) = holder.batch();
    holder.fail(&outgoing, &busy);
    holder.pass(1);
    assert!(holder.pushed.is_empty());
    holder.pass(1);
    for _ in 0..2 {
        let (outgoing, seqs) = holder.batch();
        assert_eq!(seqs, [1]);
        holder.fail(&outgoing, &RequestFailure::Timeout);
        holder.pass(1);
    }
    let (outgoing, _) = holder.batch();
    assert_eq!(holder.one.engine.status().leases, 1);
    holder.fail(&outgoing, &RequestFailure::Timeout);
    assert_eq!(holder.one.engine.status().leases, 0);
}

#[test]
fn who_does_not_watch_any_more_is_told_nothing() {
    let (slot, kind) = (slot(), Kind::Event);
    let mut holder = Holder::new();
    holder.watch(1, None);
    let answer = holder.ask(1, &Request::Unwatch(Unwatch { slot, kind }));
    assert_eq!(answer, Answer::Unwatched);
    holder.store(&[event(1, 1)]);
    assert!(holder.pushed.is_empty());

    holder.watch(2, None);
    holder.store(&[event(1, 2)]);
    let (outgoing, _) = holder.batch();
    holder
        .one
        .reply(&outgoing, &Answer::Refused(Reason::NotFound));
    assert_eq!(holder.one.engine.status().leases, 0);
}

#[test]
fn a_lease_runs_for_ten_minutes() {
    let mut holder = Holder::new();
    holder.watch(1, None);
    holder.pass(599);
    holder.store(&[event(1, 1)]);
    let (outgoing, _) = holder.batch();
    holder.receive(&outgoing, 1);
    holder.pass(1);
    holder.store(&[event(1, 2)]);
    assert!(holder.pushed.is_empty());
    assert_eq!(holder.one.engine.status().leases, 0);
}

#[test]
fn strangers_clients_and_blocked_slots_give_no_lease() {
    let (slot, kind, since) = (slot(), Kind::Event, None);
    let watch = Request::Watch(Watch { slot, kind, since });
    let mut holder = Holder::new();
    holder.one.ask(&watch, false);
    holder.drain();
    assert_eq!(holder.answers, [Answer::Refused(Reason::NotConfirmed)]);
    let mut client = Holder::of(One::new(Mode::Client));
    assert_eq!(client.ask(1, &watch), Answer::Refused(Reason::ClientMode));
    let (now, blocked) = (holder.one.now, qadom_engine::Blocked::Key(slot));
    holder.one.engine.block(now, blocked, None).unwrap();
    assert_eq!(holder.ask(1, &watch), Answer::Refused(Reason::Blocked));
}

#[test]
fn every_signed_kind_is_watched() {
    let mut holder = Holder::new();
    let (slot, kind, since) = (slot(), Kind::BagItem, None);
    holder.ask(1, &Request::Watch(Watch { slot, kind, since }));
    let expiry = start() + 3600;
    let item = |slot: Key, seq: u64| {
        let payload = Bytes::from(seq.to_be_bytes().to_vec());
        sign(&identity(1), Draft::bag_item(slot, payload, seq, expiry))
    };
    let (one, other) = (item(slot, 1), item(Key::from_bytes([6; 32]), 1));
    holder.store(&[one.clone(), other, event(1, 1)]);
    assert_eq!(holder.pushed.len(), 1);
    assert_eq!(holder.pushed[0].1.records, [one.into_inner()]);
    // A bag's backlog lies across its writers.
    holder.store(&[item(slot, 2), item(slot, 3)]);
    let since = {
        let mut cursor = Cursor::new();
        cursor.note(&identity(1).writer(), 0, 2);
        Some(cursor)
    };
    holder.pushed.clear();
    holder.ask(2, &Request::Watch(Watch { slot, kind, since }));
    assert_eq!(holder.receive_all(), [3]);
}
