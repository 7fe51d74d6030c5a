//! What an engine takes in of signed records, and what it gives out of them.

use std::time::Duration;

use crate::one::{One, network};
use bytes::Bytes;
use qadom_engine::{BlockCause, Blocked, Mode};
use qadom_routing::{Families, Key};
use qadom_wire::{
    Answer, Draft, Find, Found, IdRange, Identity, Kind, Network, Reason, Record, Renewal, Request,
    Store, StoreClass, StoreItem, StoreResult, Verified, fingerprint,
};

pub(crate) const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

pub(crate) const STORED: StoreResult = StoreResult::Stored {
    committed: true,
    conflict: false,
};
pub(crate) const RENEWED: StoreResult = StoreResult::Renewed {
    committed: true,
    conflict: false,
};

pub(crate) fn slot() -> Key {
    Key::from_bytes([5; 32])
}

pub(crate) fn identity(number: u16) -> Identity {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

pub(crate) fn sign(identity: &Identity, draft: Draft) -> Verified {
    identity.sign(&network(), draft).unwrap()
}

pub(crate) fn item(record: impl Into<Record>) -> StoreItem {
    StoreItem {
        record: record.into(),
        class: StoreClass::FirstHand,
        ttl_seconds: 0,
        group: None,
        exclusive: false,
    }
}

pub(crate) fn signed(record: &Verified) -> StoreItem {
    item(Record::Signed(record.clone().into_inner()))
}

/// The seconds of UTC that the clock of these tests shows at the start.
pub(crate) fn start() -> u64 {
    One::new(Mode::Client).now.utc_seconds()
}

/// A namespace entry of writer 1 that lives for these seconds.
fn entry(seq: u64, payload: &'static str, lives: u64) -> Verified {
    let writer = identity(1);
    let payload = Bytes::from_static(payload.as_bytes());
    let draft = Draft::namespace_entry(&writer.writer(), slot(), payload, seq, start() + lives);
    sign(&writer, draft)
}

impl One {
    /// An engine whose clock is trusted.
    pub(crate) fn trusting() -> Self {
        Self::limited(|_| ())
    }

    pub(crate) fn limited(configure: impl FnOnce(&mut qadom_engine::Limits)) -> Self {
        Self::with(|config| {
            config.expiry_grace = Duration::ZERO;
            configure(&mut config.limits);
        })
    }

    /// Lets node 9 store one record.
    pub(crate) fn store(&mut self, item: StoreItem) -> StoreResult {
        self.store_from([10, 0, 9, 1], item)
    }

    /// Lets a node at an address store one record.
    pub(crate) fn store_from(&mut self, ip: [u8; 4], item: StoreItem) -> StoreResult {
        let store = Request::Store(Store { items: vec![item] });
        self.ask_from(9, (ip, 7236).into(), &store);
        let results = match self.committed_answer_or_refusal() {
            Answer::Stored(results) => results,
            _ => Vec::new(),
        };
        assert!(results.len() <= 1, "one record has one result");
        results.first().copied().expect("a result")
    }

    /// Commits what was buffered and takes the one answer, whether it waited for that or not.
    fn committed_answer_or_refusal(&mut self) -> Answer {
        let ticket = qadom_store::Store::commit(&*self.store).unwrap();
        self.engine.on_committed(self.now, ticket);
        self.answer()
    }

    pub(crate) fn find(&mut self, find: Find, confirmed: bool) -> Found {
        self.ask(&Request::Find(find), confirmed);
        let found = match self.answer() {
            Answer::Found(found) => Some(found),
            _ => None,
        };
        found.expect("an answer to a find")
    }

    /// Everything of a kind in a slot, page by page.
    pub(crate) fn all(&mut self, slot: Key, kind: Kind) -> Vec<Record> {
        let mut all = Vec::new();
        let mut range = None;
        loop {
            let find = Find {
                range,
                ..whole(slot, kind)
            };
            let found = self.find(find, true);
            assert!(!found.records.is_empty() || found.cursor.is_none());
            all.extend(found.records);
            let Some(cursor) = found.cursor else {
                return all;
            };
            range = IdRange::new(cursor, None);
        }
    }

    fn drops(&self, reason: Reason) -> u64 {
        let drops = self.engine.status().drops;
        let count = drops.iter().find(|(is, _)| *is == reason);
        count.map_or(0, |(_, count)| count)
    }
}

pub(crate) fn whole(slot: Key, kind: Kind) -> Find {
    Find {
        slot,
        kind,
        range: None,
        have: None,
        want: Families::BOTH,
    }
}

fn entries(one: &mut One) -> Vec<Record> {
    one.all(*entry(1, "", 1).slot(), Kind::NamespaceEntry)
}

fn refused(reason: Reason) -> StoreResult {
    StoreResult::Refused(reason)
}

#[test]
fn a_signed_record_is_kept_and_given_out() {
    let mut one = One::trusting();
    let record = entry(1, "one", DAY);
    assert_eq!(one.store(signed(&record)), STORED);
    assert_eq!(one.store(signed(&record)), RENEWED);
    assert_eq!(entries(&mut one), [Record::Signed(record.into_inner())]);
}

#[test]
fn a_later_version_replaces_an_earlier_one_which_never_comes_back() {
    let mut one = One::trusting();
    let (first, second) = (entry(1, "one", 2 * DAY), entry(2, "two", DAY));
    assert_eq!(one.store(signed(&first)), STORED);
    assert_eq!(one.store(signed(&second)), STORED);
    assert_eq!(one.store(signed(&first)), refused(Reason::StaleSeq));
    assert_eq!(entries(&mut one), [Record::Signed(second.into_inner())]);
    // The second is over before the first would be: until then it is the floor.
    one.pass(2 * DAY - 1);
    one.effects();
    assert_eq!(entries(&mut one), []);
    assert_eq!(one.store(signed(&first)), refused(Reason::StaleSeq));
    one.pass(HOUR + 1);
    one.effects();
    assert_eq!(one.store(signed(&first)), refused(Reason::Expired));
    assert_eq!(one.engine.status().records, 0);
    assert_eq!(one.drops(Reason::StaleSeq), 2);
}

#[test]
fn a_record_is_served_until_its_end_and_taken_an_hour_longer() {
    for (waits, is_served, result) in [
        (DAY - 1, true, RENEWED),
        (DAY, false, RENEWED),
        (DAY + HOUR - 1, false, RENEWED),
        (DAY + HOUR, false, refused(Reason::Expired)),
    ] {
        let mut one = One::trusting();
        let record = entry(1, "one", DAY);
        assert_eq!(one.store(signed(&record)), STORED);
        one.pass(waits);
        one.effects();
        assert_eq!(entries(&mut one).len(), usize::from(is_served), "{waits}");
        assert_eq!(one.store(signed(&record)), result, "{waits}");
    }
}

#[test]
fn nobody_lives_longer_than_seven_days_and_an_hour() {
    for (lives, result) in [
        (7 * DAY + HOUR - 1, STORED),
        (7 * DAY + HOUR, STORED),
        (7 * DAY + HOUR + 1, refused(Reason::LifetimeTooLong)),
        (u64::MAX - start(), refused(Reason::LifetimeTooLong)),
    ] {
        let mut one = One::trusting();
        assert_eq!(one.store(signed(&entry(1, "one", lives))), result);
        assert_eq!(entries(&mut one).len(), usize::from(result == STORED));
    }
}

#[test]
fn versions_of_bags_and_dicts_lie_no_more_than_an_hour_ahead() {
    let hour_ahead = (start() + HOUR) * 1_000_000;
    for (seq, result) in [
        (hour_ahead, STORED),
        (hour_ahead + 1, refused(Reason::SeqFromFuture)),
    ] {
        let writer = identity(1);
        let payload = || Bytes::from_static(b"payload");
        let expiry = start() + DAY;
        for draft in [
            Draft::bag_item(slot(), payload(), seq, expiry),
            Draft::dict_cell(slot(), payload(), seq, expiry),
        ] {
            let mut one = One::trusting();
            assert_eq!(one.store(signed(&sign(&writer, draft))), result);
        }
        // Those of namespaces and topics are no clocks.
        let mut one = One::trusting();
        let event = Draft::event(slot(), 1, seq, payload(), expiry);
        assert_eq!(one.store(signed(&sign(&writer, event))), STORED);
    }
}

#[test]
fn as_long_as_the_time_is_not_known_nothing_is_refused_for_it() {
    let mut one = One::new(Mode::Storing);
    let (old, eternal) = (entry(1, "old", 0), entry(2, "eternal", 900 * DAY));
    one.now.utc_micros += 10 * DAY * 1_000_000;
    assert_eq!(one.store(signed(&old)), STORED);
    assert_eq!(entries(&mut one).len(), 1);
    assert_eq!(one.store(signed(&eternal)), STORED);
    assert_eq!(entries(&mut one).len(), 1);
    // Once it is known, the life that nobody may give is none.
    one.pass(60);
    one.effects();
    assert_eq!(entries(&mut one), []);
    assert_eq!(one.store(signed(&old)), refused(Reason::Expired));
    // The next sweep drops it.
    one.meet(1, true);
    assert_eq!(one.engine.status().records, 1);
    one.pass(66 * 60);
    one.effects();
    assert_eq!(one.engine.status().records, 0);
}

#[test]
fn who_forges_a_signature_is_blocked() {
    let mut one = One::trusting();
    let foreign = Network::new(b"another", b"").unwrap().id();
    let writer = identity(1);
    let draft = Draft::bag_item(slot(), "x".into(), 1, start() + DAY);
    let forged = writer.sign(&foreign, draft).unwrap();
    assert_eq!(one.store(signed(&forged)), refused(Reason::BadSignature));
    assert_eq!(one.all_blocks(), [BlockCause::Lies(1)]);
    assert_eq!(one.drops(Reason::BadSignature), 1);
    assert_eq!(one.engine.status().records, 0);
}

impl One {
    fn all_blocks(&self) -> Vec<BlockCause> {
        let blocks = self.engine.blocks(self.now);
        blocks.into_iter().map(|block| block.cause).collect()
    }
}

#[test]
fn what_clocks_and_versions_refuse_is_no_lie() {
    let mut one = One::trusting();
    assert_eq!(one.store(signed(&entry(3, "c", DAY))), STORED);
    one.store(signed(&entry(2, "b", DAY)));
    one.store(signed(&entry(4, "d", 8 * DAY)));
    assert_eq!(one.all_blocks(), []);
}

#[test]
fn of_two_payloads_under_one_version_the_larger_wins_and_that_is_told() {
    let (a, b) = (entry(1, "one", DAY), entry(1, "other", DAY));
    let (low, high) = if a.order(&b).is_lt() { (a, b) } else { (b, a) };
    let mut one = One::trusting();
    assert_eq!(one.store(signed(&low)), STORED);
    let conflict = StoreResult::Stored {
        committed: true,
        conflict: true,
    };
    assert_eq!(one.store(signed(&high)), conflict);
    assert_eq!(one.store(signed(&low)), refused(Reason::Conflict));
    assert_eq!(entries(&mut one), [Record::Signed(high.into_inner())]);
}

#[test]
fn a_renewal_needs_no_payload_where_the_record_is_held() {
    let mut one = One::trusting();
    let (first, later) = (entry(1, "one", DAY), entry(1, "one", 2 * DAY));
    let renewal = || item(Record::Renewal(Renewal::of(&later)));
    assert_eq!(one.store(renewal()), refused(Reason::NotFound));
    assert_eq!(one.store(signed(&first)), STORED);
    assert_eq!(one.store(renewal()), RENEWED);
    assert_eq!(
        entries(&mut one),
        [Record::Signed(later.clone().into_inner())]
    );
    // Of another version it is the renewal of something that is not here.
    assert_eq!(one.store(signed(&entry(2, "two", DAY))), STORED);
    assert_eq!(one.store(renewal()), refused(Reason::NotFound));
    assert_eq!(one.all_blocks(), []);
}

#[test]
fn the_renewal_of_a_value_prolongs_it_where_it_is_held() {
    let mut one = One::trusting();
    let value = crate::one::value(b"value");
    let renewal = || StoreItem {
        ttl_seconds: 7200,
        ..item(Record::Renewal(Renewal::Value(*value.key())))
    };
    assert_eq!(one.store(renewal()), refused(Reason::NotFound));
    let first = StoreItem {
        ttl_seconds: 3600,
        ..item(Record::Value(value.clone()))
    };
    assert_eq!(one.store(first), STORED);
    assert_eq!(one.store(renewal()), RENEWED);
    one.pass(7199);
    one.effects();
    let found = one.find(whole(*value.key(), Kind::Value), true);
    assert_eq!(found.records.len(), 1);
}

#[test]
fn an_exclusive_record_needs_a_version_above_all_that_is_there() {
    let exclusive = |record: &Verified| StoreItem {
        exclusive: true,
        ..signed(record)
    };
    let mut one = One::trusting();
    let held = entry(2, "two", DAY);
    assert_eq!(one.store(exclusive(&held)), STORED);
    assert_eq!(one.store(exclusive(&held)), RENEWED);
    let lower = entry(1, "one", DAY);
    assert_eq!(one.store(exclusive(&lower)), refused(Reason::StaleSeq));
    for other in ["other", "another", "a third"] {
        let result = one.store(exclusive(&entry(2, other, DAY)));
        assert_eq!(result, refused(Reason::Conflict));
    }
    assert_eq!(one.store(exclusive(&entry(3, "three", DAY))), STORED);
}

#[test]
fn nothing_is_told_twice_to_who_has_it() {
    let mut one = One::trusting();
    let record = entry(1, "one", DAY);
    let slot = *record.slot();
    one.store(signed(&record));
    let have = Find {
        have: Some(fingerprint(&mut [*record.hash()])),
        ..whole(slot, Kind::NamespaceEntry)
    };
    let found = one.find(have, true);
    assert!(found.same && found.records.is_empty());
    let other = Find {
        have: Some([0; 32]),
        ..whole(slot, Kind::NamespaceEntry)
    };
    let found = one.find(other, true);
    assert!(!found.same && found.records.len() == 1);
}

#[test]
fn a_bag_is_read_page_by_page_and_a_stranger_is_told_how_long_it_is() {
    let mut one = One::trusting();
    let expiry = start() + DAY;
    let mut hashes = Vec::new();
    for number in 0..40_u16 {
        let payload = Bytes::from(vec![u8::try_from(number).unwrap(); 600]);
        let draft = Draft::bag_item(slot(), payload, u64::from(number) + 1, expiry);
        let record = sign(&identity(number % 7), draft);
        hashes.push(*record.hash());
        assert_eq!(one.store(signed(&record)), STORED);
    }
    let all = one.all(slot(), Kind::BagItem);
    assert_eq!(all.len(), 40);
    assert!(all.is_sorted_by_key(Record::id));
    let cold = one.find(whole(slot(), Kind::BagItem), false);
    assert_eq!(cold.records, []);
    let oversize = cold.oversize.unwrap();
    assert_eq!(oversize.hash, fingerprint(&mut hashes));
    assert!(oversize.size > 1000);
    // A part of it is asked for by ids.
    let (first, fourth) = (all[1].id(), all[4].id());
    let find = Find {
        range: IdRange::new(first, Some(fourth)),
        ..whole(slot(), Kind::BagItem)
    };
    assert_eq!(one.find(find, true).records, all[1..4]);
}

#[test]
fn what_is_labelled_with_a_blocked_key_is_not_given_out() {
    let mut one = One::trusting();
    let record = entry(1, "one", HOUR);
    assert_eq!(one.store(signed(&record)), STORED);
    for (is_blocked, count) in [(false, 1), (true, 0), (false, 1)] {
        let (now, key) = (one.now, Blocked::Key(slot()));
        if is_blocked {
            one.engine.block(now, key, None).unwrap();
        } else {
            one.engine.unblock(now, &key);
        }
        let all = one.all(*record.slot(), Kind::NamespaceEntry);
        assert_eq!(all.len(), count);
    }
}
