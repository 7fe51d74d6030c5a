//! The routing table against a model that keeps everything in two flat lists and finds each answer
//! by looking at all of it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test panic as the test does"
)]

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_routing::{
    Contact, Key, Moment, NodeId, NodeKey, Observation, Removal, RoutingTable, TableConfig, closest,
};

const CONFIG: TableConfig = TableConfig {
    k: 3,
    replacements: 2,
    bits_per_level: 1,
    check_min: Duration::from_secs(10),
    check_max: Duration::from_secs(40),
    outage_window: Duration::from_secs(20),
    is_local: true,
};

#[derive(Clone, Debug)]
struct Row {
    contact: Contact,
    last_seen: Moment,
    /// When the first failure was told, which request failed last, how many failed.
    silence: Option<(Moment, u64, u32)>,
}

/// What is known of all nodes, from the least to the most recently heard from.
#[derive(Debug)]
struct Model {
    own: NodeId,
    members: Vec<Row>,
    waiting: Vec<Row>,
    heard_at: Moment,
}

impl Model {
    fn bucket(&self, id: &NodeId) -> u32 {
        self.own.key().distance(id.key()).shared_bits()
    }

    fn members_of(&self, bucket: u32) -> Vec<&Row> {
        let members = self.members.iter();
        members
            .filter(|row| self.bucket(row.contact.id()) == bucket)
            .collect()
    }

    fn is_member(&self, id: &NodeId) -> bool {
        self.members.iter().any(|row| row.contact.id() == id)
    }

    fn observe(&mut self, contact: &Contact, now: Moment) -> Observation {
        let id = contact.id();
        if id == &self.own {
            return Observation::Ignored;
        }
        self.heard_at = now;
        let row = Row {
            contact: contact.clone(),
            last_seen: now,
            silence: None,
        };
        let bucket = self.bucket(id);
        if self.is_member(id) {
            self.members.retain(|row| row.contact.id() != id);
            self.members.push(row);
            return Observation::Refreshed;
        }
        self.waiting.retain(|row| row.contact.id() != id);
        let nearer = |row: &&Row| {
            let own = self.own.key();
            own.distance(row.contact.id().key()) < own.distance(id.key())
        };
        let is_near = self.members.iter().filter(nearer).count() < CONFIG.k;
        let room = if is_near { 2 * CONFIG.k } else { CONFIG.k };
        if self.members_of(bucket).len() < room {
            self.members.push(row);
            return Observation::Inserted;
        }
        let same: Vec<usize> = (0..self.waiting.len())
            .filter(|&index| self.bucket(self.waiting[index].contact.id()) == bucket)
            .collect();
        if same.len() == CONFIG.replacements {
            self.waiting.remove(same[0]);
        }
        self.waiting.push(row);
        Observation::Waiting
    }

    fn fail(&mut self, id: &NodeId, request: u64, now: Moment) -> Removal {
        let heard_at = self.heard_at;
        let Some(row) = self.members.iter_mut().find(|row| row.contact.id() == id) else {
            self.waiting.retain(|row| row.contact.id() != id);
            return Removal::Unknown;
        };
        match &mut row.silence {
            Some((_, last, _)) if *last == request => return Removal::Kept,
            Some((since, last, count)) if *since < heard_at => {
                *last = request;
                *count += 1;
            }
            silence => {
                *silence = Some((now, request, 1));
                return Removal::Kept;
            }
        }
        let fell = |row: &&Row| {
            let silence = row.silence;
            silence.is_some_and(|(since, ..)| now.since(since) <= CONFIG.outage_window)
        };
        let fell = self.members.iter().filter(fell).count();
        let bucket = self.bucket(id);
        let waits = |row: &Row| self.bucket(row.contact.id()) == bucket;
        let replacement = self.waiting.iter().rposition(waits);
        let is_last = self.members.iter().all(|row| row.silence.is_some());
        if 2 * fell > self.members.len() || (replacement.is_none() && is_last) {
            return Removal::Kept;
        }
        self.members.retain(|row| row.contact.id() != id);
        // Beyond k only who is one of the k nearest now has a place.
        let has_place = |row: &Row| {
            let own = self.own.key();
            let distance = own.distance(row.contact.id().key());
            let nearer = |other: &&Row| own.distance(other.contact.id().key()) < distance;
            let is_near = self.members.iter().filter(nearer).count() < CONFIG.k;
            let room = if is_near { 2 * CONFIG.k } else { CONFIG.k };
            self.members_of(bucket).len() < room
        };
        let placed = self
            .waiting
            .iter()
            .rposition(|row| self.bucket(row.contact.id()) == bucket && has_place(row));
        let Some(replacement) = placed else {
            return Removal::Removed;
        };
        let row = self.waiting.remove(replacement);
        let by = row.contact.clone();
        self.members.push(row);
        self.members.sort_by_key(|row| row.last_seen);
        Removal::Replaced { by }
    }

    fn remove(&mut self, id: &NodeId) -> bool {
        let before = self.members.len() + self.waiting.len();
        self.members.retain(|row| row.contact.id() != id);
        self.waiting.retain(|row| row.contact.id() != id);
        self.members.len() + self.waiting.len() < before
    }
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Observe(u8),
    /// A request to this node failed, by a number that is often one used before.
    Fail(u8, u64),
    Remove(u8),
    /// Seconds pass.
    Pass(u64),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (0_u8..48).prop_map(Input::Observe),
        6 => (0_u8..48, 0_u64..4).prop_map(|(node, request)| Input::Fail(node, request)),
        1 => (0_u8..48).prop_map(Input::Remove),
        2 => (1_u64..30).prop_map(Input::Pass),
    ]
}

/// Node `number`, reached at an address that tells the moment of its last sign of life.
fn contact(number: u8, now: Moment) -> Contact {
    let port = u16::try_from(now.as_micros() / 1_000_000).unwrap();
    let key = NodeKey::new([number + 3; 32]).unwrap();
    Contact::at(key, ([192, 0, 2, 1], port).into(), true)
}

fn assert_same(table: &RoutingTable, model: &Model, target: &Key) {
    let held: Vec<_> = table
        .entries()
        .map(|entry| (entry.bucket, entry.contact, entry.last_seen, entry.failures))
        .collect();
    let mut expected: Vec<_> = model
        .members
        .iter()
        .map(|row| {
            let failures = row.silence.map_or(0, |(_, _, failures)| failures);
            (
                model.bucket(row.contact.id()),
                &row.contact,
                row.last_seen,
                failures,
            )
        })
        .collect();
    expected.sort_by_key(|(bucket, ..)| *bucket);
    assert_eq!(held, expected);
    assert_eq!(table.len(), expected.len());
    let contacts = || model.members.iter().map(|row| &row.contact);
    for n in [0, 1, 5, 100] {
        assert_eq!(table.closest(target, n), closest(contacts(), target, n));
    }
    let accept = |contact: &Contact| contact.v4().is_some_and(|address| address.port() % 2 == 0);
    let accepted = contacts().filter(|contact| accept(contact));
    assert_eq!(
        table.closest_where(target, 4, accept),
        closest(accepted, target, 4)
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        rng_seed: RngSeed::Fixed(21),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_table_does_what_the_model_does(
        own in 0_u8..48,
        target in any::<[u8; 32]>(),
        inputs in prop::collection::vec(input(), 1..150),
    ) {
        let mut now = Moment::ORIGIN;
        let own = *contact(own, now).id();
        let target = Key::from_bytes(target);
        let mut table = RoutingTable::new(own, CONFIG);
        let mut model = Model {
            own,
            members: Vec::new(),
            waiting: Vec::new(),
            heard_at: now,
        };
        for input in inputs {
            // Every input has a moment of its own, so that the order of signs of life is clear.
            now = now + Duration::from_millis(1);
            match input {
                Input::Observe(node) => {
                    let contact = contact(node, now);
                    prop_assert_eq!(table.observe(contact.clone(), now), model.observe(&contact, now));
                    let found = table.contact(contact.id());
                    prop_assert_eq!(found.is_some(), model.is_member(contact.id()));
                }
                Input::Fail(node, request) => {
                    let id = *contact(node, now).id();
                    let removal = table.on_failure(&id, request, now);
                    prop_assert_eq!(removal, model.fail(&id, request, now));
                }
                Input::Remove(node) => {
                    let id = *contact(node, now).id();
                    prop_assert_eq!(table.remove(&id), model.remove(&id));
                }
                Input::Pass(seconds) => now = now + Duration::from_secs(seconds),
            }
            assert_same(&table, &model, &target);
        }
    }
}
