//! What a node promised: renewed in time and without payloads, spread after a restart, superseded
//! only by what is later, withdrawn, and never promised when the journal fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Effect, Failure, JournalEntry, Mode, Outcome, Outgoing, Promise, Promised, PublicationId,
    PublicationState, Refusals, RequestFailure,
};
use qadom_routing::{Key, NodeKey};
use qadom_store::Store;
use qadom_wire::{
    Answer, Draft, Found, Identity, Kind, Pong, Reason, Record, Relation, Request, SignedRecord,
    StoreItem, StoreResult, Value, relation,
};

use crate::one::{One, network, node_key, value};

pub(crate) const HOUR: u64 = 3600;
pub(crate) const TTL: u64 = 36 * HOUR;

fn identity() -> Identity {
    Identity::from_seed([7; 32])
}

/// Nodes that hold what they are given, as holders do.
#[derive(Default)]
pub(crate) struct Holders {
    pub(crate) held: BTreeMap<(NodeKey, PublicationId), Record>,
    /// Every item that was brought, with the hour at which it came.
    pub(crate) brought: Vec<(u64, NodeKey, StoreItem)>,
    pub(crate) lookups: usize,
    /// Who has no room.
    pub(crate) full: BTreeSet<NodeKey>,
    pub(crate) now: u64,
}

impl Holders {
    pub(crate) fn answer(&mut self, outgoing: &Outgoing) -> Answer {
        match Request::decode(outgoing.body.clone()).unwrap() {
            Request::Store(store) => {
                let results = store
                    .items
                    .into_iter()
                    .map(|item| self.store(outgoing.key, &item));
                Answer::Stored(results.collect())
            }
            Request::Find(find) => {
                let item = find.range.map_or(Key::ZERO, |range| *range.start());
                let (slot, kind) = (find.slot, find.kind);
                let id = PublicationId { slot, kind, item };
                let held = self.held.get(&(outgoing.key, id)).cloned();
                Answer::Found(Found {
                    records: held.into_iter().collect(),
                    ..Found::default()
                })
            }
            Request::FindNode(_) => {
                self.lookups += 1;
                Answer::Contacts(Vec::new())
            }
            _ => Answer::Pong(Pong::default()),
        }
    }

    fn store(&mut self, key: NodeKey, item: &StoreItem) -> StoreResult {
        if self.full.contains(&key) {
            return StoreResult::Refused(Reason::Quota);
        }
        self.brought.push((self.now, key, item.clone()));
        let id = match &item.record {
            Record::Renewal(renewal) => PublicationId {
                slot: *renewal.slot(),
                kind: renewal.kind(),
                item: renewal.id(),
            },
            Record::Value(value) => Promised::Value(value.clone()).id(),
            Record::Signed(record) => PublicationId::of(record),
            Record::Unknown => return StoreResult::Refused(Reason::UnknownKind),
        };
        let held = self.held.get(&(key, id));
        let is_new = held.is_none();
        match (&item.record, held) {
            (Record::Renewal(_), None) => return StoreResult::Refused(Reason::NotFound),
            (Record::Renewal(renewal), Some(Record::Signed(held)))
                if renewal.apply(held, &network()).is_err() =>
            {
                return StoreResult::Refused(Reason::NotFound);
            }
            (Record::Signed(new), Some(Record::Signed(held)))
                if relation(held, new) == Relation::Stale =>
            {
                return StoreResult::Refused(Reason::StaleSeq);
            }
            (Record::Renewal(_), _) => {}
            (record, _) => {
                self.held.insert((key, id), record.clone());
            }
        }
        let (committed, conflict) = (true, false);
        if is_new {
            StoreResult::Stored {
                committed,
                conflict,
            }
        } else {
            StoreResult::Renewed {
                committed,
                conflict,
            }
        }
    }

    fn payloads(&self) -> usize {
        let whole = |record: &Record| matches!(record, Record::Value(_) | Record::Signed(_));
        self.brought
            .iter()
            .filter(|(_, _, item)| whole(&item.record))
            .count()
    }
}

/// An engine that knows these many nodes, and its writer.
pub(crate) fn one(nodes: u8) -> One {
    let mut one = One::with(|config| {
        config.mode = Mode::Client;
        // No lookups but those for publications.
        config.refresh_after = Some(Duration::from_hours(10_000));
    });
    one.engine.add_identity(Arc::new(identity()));
    (1..=nodes).for_each(|number| one.meet(number, true));
    one
}

fn promise(one: &One, promised: Promised) -> Promise {
    Promise {
        expires_at: one.now.utc_seconds() + TTL,
        promised,
        ttl_seconds: u32::try_from(TTL).unwrap(),
        renewed_at: one.now.utc_seconds(),
        stored: 0,
        state: PublicationState::Active,
        refusals: Refusals::new(),
    }
}

fn cell(one: &One, slot: u8, seq: u64, payload: &'static str) -> SignedRecord {
    let expiry = one.now.utc_seconds() + TTL;
    let slot = Key::from_bytes([slot; 32]);
    let draft = Draft::dict_cell(slot, Bytes::from(payload), seq, expiry);
    identity().sign(&network(), draft).unwrap().into_inner()
}

pub(crate) fn publish(one: &mut One, promised: Promised) {
    let promise = promise(one, promised);
    one.engine.restore(JournalEntry::Published(promise));
}

/// Lets time pass, from one deadline to the next.
pub(crate) fn pass(one: &mut One, holders: &mut Holders, hours: u64) -> Vec<Effect> {
    let end = one.now.moment + Duration::from_hours(hours);
    let begin = one.now;
    let mut others = Vec::new();
    loop {
        holders.now = one.now.moment.as_micros() / 3_600_000_000;
        others.extend(one.run(|outgoing| Some(holders.answer(outgoing))));
        let next = one.engine.next_deadline().unwrap();
        if next > end {
            break;
        }
        one.now.moment = next;
        let passed = next.since(begin.moment);
        one.now.utc_micros = begin.utc_micros + u64::try_from(passed.as_micros()).unwrap();
        one.engine.on_deadline(one.now);
    }
    one.now.moment = end;
    one.now.utc_micros = begin.utc_micros + hours * HOUR * 1_000_000;
    one.engine.on_deadline(one.now);
    others
}

#[test]
fn what_holders_lack_is_brought_whole_and_what_they_have_is_renewed_without_payload() {
    let mut one = one(5);
    let mut holders = Holders::default();
    publish(&mut one, Promised::Value(value(b"value")));
    let record = cell(&one, 1, 1, "cell");
    publish(&mut one, Promised::Signed(record.clone()));
    pass(&mut one, &mut holders, 14);
    assert_eq!(holders.payloads(), 2 * 5);
    assert_eq!(holders.brought.len(), 2 * 2 * 5);
    holders.brought.clear();
    pass(&mut one, &mut holders, 12);
    assert_eq!((holders.payloads(), holders.brought.len()), (0, 2 * 5));
    let now = one.now.utc_seconds();
    for promise in one.engine.publications() {
        assert_eq!(promise.stored, 5, "{promise:?}");
        assert!(promise.expires_at > now + 30 * HOUR, "{promise:?}");
    }
    for (_, _, item) in &holders.brought {
        if let Record::Renewal(renewal) = &item.record
            && renewal.kind() == Kind::DictCell
        {
            let renewed = renewal.apply(&record, &network()).unwrap();
            assert!(renewed.expiry() > now + 20 * HOUR);
        }
    }
}

#[test]
fn each_is_renewed_every_third_of_its_life() {
    let mut one = one(1);
    let mut holders = Holders::default();
    publish(&mut one, Promised::Value(value(b"value")));
    pass(&mut one, &mut holders, 120);
    // Ten rounds of 12 h, and the payload once.
    assert!(
        (9..=12).contains(&(holders.brought.len() - 1)),
        "{}",
        holders.brought.len()
    );
    let hours: Vec<u64> = holders.brought.iter().map(|(hour, ..)| *hour).collect();
    assert!(
        hours.windows(2).all(|pair| pair[1] - pair[0] <= 14),
        "{hours:?}"
    );
}

#[test]
fn those_of_a_region_go_together_and_cost_one_lookup() {
    let mut one = one(15);
    let mut holders = Holders::default();
    for number in 0..200_u8 {
        publish(&mut one, Promised::Value(value(&[number])));
    }
    pass(&mut one, &mut holders, 14);
    assert_eq!(holders.held.len(), 200 * 15);
    // Three rounds may lie in a spread of 20 %: the window is a quarter.
    assert!(
        holders.lookups <= 3 * 15,
        "{} requests of lookups",
        holders.lookups
    );
}

#[test]
fn a_later_record_of_the_same_identity_ends_a_publication() {
    let mut one = one(3);
    let mut holders = Holders::default();
    let ours = cell(&one, 1, 5, "ours");
    let id = PublicationId::of(&ours);
    let theirs = Record::Signed(cell(&one, 1, 6, "theirs"));
    holders.held.insert((node_key(2), id), theirs);
    publish(&mut one, Promised::Signed(ours));
    let effects = pass(&mut one, &mut holders, 14);
    let promise = one.engine.publications().next().unwrap();
    assert_eq!(promise.state, PublicationState::Superseded);
    let is_said = |effect: &Effect| {
        matches!(effect, Effect::Journal { entry: JournalEntry::Renewed(standing), .. }
            if standing.state == PublicationState::Superseded && standing.id == id)
    };
    assert!(effects.iter().any(is_said));
    holders.brought.clear();
    pass(&mut one, &mut holders, 48);
    assert!(holders.brought.is_empty());
    // Withdrawn it is forgotten, and what is later is not buried.
    one.engine.withdraw(one.now, id.slot);
    let Ok(Outcome::Withdrawn(withdrawn)) = one.outcome(|_| None) else {
        panic!("not withdrawn")
    };
    assert_eq!((withdrawn.withdrawn, withdrawn.buried), (1, 0));
}

#[test]
fn a_refusal_without_a_later_record_ends_nothing() {
    let mut one = one(3);
    let mut holders = Holders::default();
    let ours = cell(&one, 1, 5, "ours");
    publish(&mut one, Promised::Signed(ours.clone()));
    // One only says so; another shows a record that somebody else signed.
    let forged = {
        let draft = Draft::dict_cell(*ours.slot(), "forged".into(), 9, ours.expiry());
        let forger = Identity::from_seed([8; 32]);
        forger.sign(&network(), draft).unwrap().into_inner()
    };
    let end = one.now.moment + Duration::from_hours(14);
    while let Some(next) = one.engine.next_deadline().filter(|next| *next < end) {
        let passed = next.since(one.now.moment);
        one.now.moment = next;
        one.now.utc_micros += u64::try_from(passed.as_micros()).unwrap();
        one.engine.on_deadline(one.now);
        one.run(|outgoing| {
            let request = Request::decode(outgoing.body.clone()).unwrap();
            Some(match request {
                Request::Store(store) => {
                    let refused = StoreResult::Refused(Reason::StaleSeq);
                    Answer::Stored(vec![refused; store.items.len()])
                }
                Request::Find(_) if outgoing.key == node_key(1) => Answer::Found(Found {
                    records: vec![Record::Signed(forged.clone())],
                    ..Found::default()
                }),
                _ => holders.answer(outgoing),
            })
        });
    }
    let promise = one.engine.publications().next().unwrap();
    assert_eq!(promise.state, PublicationState::Active);
}

#[test]
fn withdrawing_stops_values_and_buries_records_after_the_journal_has_it() {
    let mut one = one(3);
    let mut holders = Holders::default();
    let record = cell(&one, 1, 5, "cell");
    let slot = *record.slot();
    publish(&mut one, Promised::Signed(record.clone()));
    let stays = value(b"stays");
    publish(&mut one, Promised::Value(stays.clone()));
    one.engine.withdraw(one.now, slot);
    let mut tickets = Vec::new();
    for effect in one.effects() {
        match effect {
            Effect::Journal { ticket, .. } => tickets.push(ticket),
            Effect::Request(outgoing) => panic!("sent before the journal had it: {outgoing:?}"),
            _ => {}
        }
    }
    one.engine.on_journalled(one.now, *tickets.last().unwrap());
    let Ok(Outcome::Withdrawn(withdrawn)) = one.outcome(|outgoing| Some(holders.answer(outgoing)))
    else {
        panic!("not withdrawn")
    };
    assert_eq!((withdrawn.withdrawn, withdrawn.buried), (1, 1));
    assert_eq!(withdrawn.smallest_copies, 3);
    let tombstones = holders.held.values().filter_map(|record| match record {
        Record::Signed(record) => Some(record),
        _ => None,
    });
    let mut count = 0;
    for tombstone in tombstones {
        count += 1;
        assert!(tombstone.is_tombstone() && tombstone.seq() > record.seq());
        assert_eq!(tombstone.expiry(), one.now.utc_seconds() + 7 * 24 * HOUR);
    }
    assert_eq!(count, 3);
    let left: Vec<Key> = one
        .engine
        .publications()
        .map(|left| left.id().slot)
        .collect();
    assert_eq!(left, [*stays.key()]);
    // Twice is once too often.
    one.engine.withdraw(one.now, slot);
    let result = one.outcome(|_| None);
    assert!(matches!(result, Err(Failure::NotFound { key, .. }) if key == slot));
}

#[test]
fn a_withdrawal_that_the_journal_refuses_changes_nothing() {
    let mut one = one(3);
    let record = cell(&one, 1, 5, "cell");
    let slot = *record.slot();
    publish(&mut one, Promised::Signed(record));
    one.engine.withdraw(one.now, slot);
    let ticket = one.effects().iter().filter_map(ticket_of).max().unwrap();
    one.engine
        .on_journal_failed(one.now, ticket, Reason::DiskFull);
    let result = one.outcome(|_| panic!("nothing is to be sent"));
    let is_said = |failure: &Failure| {
        matches!(
            failure,
            Failure::Journal {
                reason: Reason::DiskFull,
                receipt: None
            }
        )
    };
    assert!(result.as_ref().is_err_and(is_said), "{result:?}");
    assert_eq!(one.engine.publications().count(), 1);
}

fn ticket_of(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Journal { ticket, .. } => Some(*ticket),
        _ => None,
    }
}

#[test]
fn a_replayed_journal_gives_the_same_promises() {
    let mut first = one(3);
    let mut holders = Holders::default();
    let record = cell(&first, 1, 5, "cell");
    let mut journal = vec![
        JournalEntry::Published(promise(&first, Promised::Signed(record.clone()))),
        JournalEntry::Published(promise(&first, Promised::Value(value(b"stays")))),
        JournalEntry::Published(promise(&first, Promised::Value(value(b"goes")))),
    ];
    for entry in &journal {
        first.engine.restore(entry.clone());
    }
    let journalled = |effect: Effect| match effect {
        Effect::Journal { entry, .. } => Some(entry),
        _ => None,
    };
    journal.extend(
        pass(&mut first, &mut holders, 14)
            .into_iter()
            .filter_map(journalled),
    );
    first.engine.withdraw(first.now, *value(b"goes").key());
    journal.extend(
        pass(&mut first, &mut holders, 1)
            .into_iter()
            .filter_map(journalled),
    );

    let whole: Vec<JournalEntry> = first.engine.journal().collect();
    for entries in [&journal, &whole] {
        let mut second = one(0);
        for entry in entries {
            let bytes = entry.to_bytes();
            second
                .engine
                .restore(JournalEntry::from_bytes(&bytes).unwrap());
        }
        let known = |one: &One| -> Vec<(PublicationId, u64, u64, u32, u64)> {
            let promises = one.engine.publications();
            let parts = promises.map(|promise| {
                let standing = (promise.renewed_at, promise.expires_at, promise.stored);
                let seq = promise.promised.seq();
                (promise.id(), standing.0, standing.1, standing.2, seq)
            });
            parts.collect()
        };
        assert_eq!(known(&second), known(&first));
        assert_eq!(known(&second).len(), 2);
    }
    assert!(whole.len() < journal.len());
}

#[test]
fn what_is_overdue_after_a_restart_comes_paced() {
    let mut one = one(20);
    let mut holders = Holders::default();
    let payload = vec![1; 1000];
    for number in 0..300_u32 {
        let value = Value::new([&number.to_be_bytes()[..], &payload].concat().into()).unwrap();
        let mut promise = promise(&one, Promised::Value(value));
        promise.renewed_at -= 30 * HOUR;
        promise.expires_at -= 30 * HOUR;
        one.engine.restore(JournalEntry::Published(promise));
    }
    let begin = one.now.moment;
    let mut sent: Vec<(u64, usize)> = Vec::new();
    let end = begin + Duration::from_hours(4);
    while let Some(next) = one.engine.next_deadline().filter(|next| *next < end) {
        let passed = next.since(one.now.moment);
        one.now.moment = one.now.moment.max(next);
        one.now.utc_micros += u64::try_from(passed.as_micros()).unwrap();
        one.engine.on_deadline(one.now);
        let seconds = one.now.moment.since(begin).as_secs();
        one.run(|outgoing| {
            sent.push((seconds, outgoing.body.len()));
            Some(holders.answer(outgoing))
        });
    }
    assert_eq!(holders.held.len(), 300 * 20);
    for (start, _) in &sent {
        let within = sent
            .iter()
            .filter(|(at, _)| (*start..start + 10).contains(at));
        let bytes: usize = within.map(|(_, bytes)| bytes).sum();
        // Ten seconds of 32 kB, a burst of one, and the small lookups.
        assert!(
            bytes <= 11 * 32_000 + 20_000,
            "{bytes} bytes from second {start} on"
        );
    }
}

#[test]
fn a_busy_holder_is_asked_again_after_a_while() {
    let mut one = one(1);
    let mut holders = Holders::default();
    publish(&mut one, Promised::Value(value(b"value")));
    let mut busy = Vec::new();
    let end = one.now.moment + Duration::from_hours(14);
    while let Some(next) = one.engine.next_deadline().filter(|next| *next < end) {
        let passed = next.since(one.now.moment);
        one.now.moment = one.now.moment.max(next);
        one.now.utc_micros += u64::try_from(passed.as_micros()).unwrap();
        one.engine.on_deadline(one.now);
        for (outgoing, request) in one.sent(false) {
            if busy.len() < 3 && matches!(request, Request::Store(_)) {
                busy.push(one.now.moment);
                let retry_after = Duration::from_secs(7);
                let failure = RequestFailure::Busy { retry_after };
                one.engine.on_failed(one.now, outgoing.id, &failure);
            } else {
                let answer = holders.answer(&outgoing);
                one.reply(&outgoing, &answer);
            }
        }
    }
    let pauses: Vec<_> = busy
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs())
        .collect();
    assert_eq!(pauses, [7, 7]);
    assert_eq!(holders.held.len(), 1);
}

#[test]
fn the_own_copy_of_a_storing_node_is_renewed_too() {
    let mut one = One::new(Mode::Storing);
    one.engine.add_identity(Arc::new(identity()));
    (1..=3).for_each(|number| one.meet(number, true));
    let mut holders = Holders::default();
    let record = cell(&one, 1, 5, "cell");
    let kept = value(b"value");
    publish(&mut one, Promised::Signed(record.clone()));
    publish(&mut one, Promised::Value(kept.clone()));
    pass(&mut one, &mut holders, 14);
    let until = one.now.utc_seconds() + 30 * HOUR;
    for slot in [record.slot(), kept.key()] {
        let entries = one.store.scan_slot(slot, None, None, 10).unwrap();
        assert_eq!(entries.len(), 1);
        assert!(entries[0].columns.expires_at > until);
    }
    // Three others, and the own one.
    assert!(one.engine.publications().all(|promise| promise.stored == 4));
}
