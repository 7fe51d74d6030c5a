//! A journal that is kept by name restores what the whole one does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use qadom_routing::{Moment, NodeKey};
use qadom_store::MemoryStore;
use qadom_wire::{Draft, Identity, Kind, Network, Value};

use qadom_routing::Key;

use super::*;
use crate::config::Config;
use crate::journal::Standing;
use crate::publications::promise::{Promise, Promised, PublicationState, Refusals};
use crate::time::Time;

/// What happens to one of few identities.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(u8),
    PublishValue,
    Renew(u8),
    Withdraw(u8),
    Sign(u8),
    Open(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_u8).prop_map(Step::Publish),
        Just(Step::PublishValue),
        (0..3_u8).prop_map(Step::Renew),
        (0..3_u8).prop_map(Step::Withdraw),
        (0..3_u8).prop_map(Step::Sign),
        (0..2_u8).prop_map(Step::Open),
    ];
    prop::collection::vec(step, 0..40)
}

fn promise(promised: Promised, number: u64) -> Promise {
    Promise {
        promised,
        ttl_seconds: 129_600,
        renewed_at: number,
        expires_at: number + 129_600,
        stored: 3,
        state: PublicationState::Active,
        refusals: Refusals::new(),
    }
}

fn signed(slot: u8, number: u64) -> Promise {
    let draft = Draft::dict_cell(Key::from_bytes([slot; 32]), "x".into(), number, number);
    let network = Network::new(b"test", b"").unwrap().id();
    let record = Identity::from_seed([7; 32]).sign(&network, draft).unwrap();
    promise(Promised::Signed(record.into_inner()), number)
}

/// Seqs and times rise, and what was signed is noted when it is withdrawn, as an engine does it.
fn entries(step: Step, number: u64) -> Vec<JournalEntry> {
    let id = |slot| signed(slot, 1).id();
    let noted = |slot| JournalEntry::Signed {
        id: id(slot),
        seq: number,
        expiry: number,
    };
    let entry = match step {
        Step::Publish(slot) => JournalEntry::Published(signed(slot, number)),
        Step::PublishValue => {
            let value = Promised::Value(Value::new("value".into()).unwrap());
            JournalEntry::Published(promise(value, number))
        }
        Step::Renew(slot) => JournalEntry::Renewed(Standing {
            id: id(slot),
            renewed_at: number,
            expires_at: number + 1000,
            stored: 5,
            state: PublicationState::Active,
        }),
        Step::Withdraw(slot) => return vec![noted(slot), JournalEntry::Withdrawn(id(slot))],
        Step::Sign(slot) => noted(slot),
        Step::Open(seed) => JournalEntry::Stream {
            writer: Identity::from_seed([seed; 32]).writer(),
            stream: number,
        },
    };
    vec![entry]
}

fn restored(entries: impl Iterator<Item = JournalEntry>) -> Engine {
    let network = Network::new(b"test", b"").unwrap().id();
    let key = NodeKey::new([9; 32]).unwrap();
    let now = Time {
        moment: Moment::ORIGIN,
        utc_micros: 1_800_000_000_000_000,
    };
    let store = Arc::new(MemoryStore::new());
    let mut engine = Engine::new(Config::new(key, network), store, [1; 32], now);
    entries.for_each(|entry| engine.restore(entry));
    engine
}

fn journal(engine: &Engine) -> Vec<JournalEntry> {
    engine.journal().collect()
}

proptest! {
    #[test]
    fn what_is_left_by_name_restores_what_the_whole_journal_does(steps in steps()) {
        let entries = (1..).zip(steps).flat_map(|(number, step)| entries(step, number));
        let entries: Vec<_> = entries.collect();
        let mut left: HashMap<Bytes, (usize, Bytes)> = HashMap::new();
        for (number, entry) in entries.iter().enumerate() {
            for (name, bytes) in entry.changes() {
                prop_assert!(name.len() <= 66);
                match bytes {
                    Some(bytes) => drop(left.insert(name, (number, bytes))),
                    None => drop(left.remove(&name)),
                }
            }
        }
        let whole = restored(entries.iter().cloned());
        for is_pruned in [false, true] {
            if is_pruned {
                let names: BTreeSet<_> = whole.journal_names().collect();
                left.retain(|name, _| names.contains(name));
                prop_assert!(left.len() <= 2 * journal(&whole).len());
            }
            let mut left: Vec<_> = left.values().collect();
            left.sort_by_key(|(number, _)| *number);
            let left = left.iter().map(|(_, bytes)| JournalEntry::from_bytes(bytes).unwrap());
            prop_assert_eq!(journal(&restored(left)), journal(&whole));
        }
    }
}

#[test]
fn every_kind_has_names_of_its_own() {
    let names = Kind::ALL.iter().map(|&kind| {
        let id = PublicationId {
            slot: Key::ZERO,
            kind,
            item: Key::ZERO,
        };
        JournalEntry::Withdrawn(id).changes()
    });
    let names: Vec<_> = names.collect();
    for (place, name) in names.iter().enumerate() {
        assert!(!names[..place].contains(name));
    }
}
