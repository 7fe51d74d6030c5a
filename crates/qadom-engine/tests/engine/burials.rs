//! What was withdrawn is buried until enough holders have the tombstone, whatever comes between, and
//! what cannot be renewed says so in the list.

use std::collections::BTreeSet;
use std::sync::Arc;

use qadom_engine::{Effect, JournalEntry, Outcome, Promised, PublicationState};
use qadom_routing::Key;
use qadom_wire::{Draft, Identity, Reason, Record, SignedRecord};

use crate::one::{One, network, node_key, value};
use crate::publications::{HOUR, Holders, TTL, one, pass, publish};

fn record(one: &One, identity: &Identity) -> SignedRecord {
    let expiry = one.now.utc_seconds() + TTL;
    let draft = Draft::dict_cell(Key::from_bytes([1; 32]), "cell".into(), 5, expiry);
    identity.sign(&network(), draft).unwrap().into_inner()
}

fn identity() -> Identity {
    Identity::from_seed([7; 32])
}

fn states(one: &One) -> Vec<PublicationState> {
    let promises = one.engine.publications();
    promises.map(|promise| promise.state).collect()
}

fn tombstones(holders: &Holders) -> usize {
    let is_tombstone =
        |record: &&Record| matches!(record, Record::Signed(record) if record.is_tombstone());
    holders.held.values().filter(is_tombstone).count()
}

#[test]
fn a_withdrawal_cut_short_by_a_crash_is_gone_on_with_after_it() {
    let mut first = one(3);
    let signed = record(&first, &identity());
    let slot = *signed.slot();
    publish(&mut first, Promised::Signed(signed));
    let mut journal: Vec<JournalEntry> = first.engine.journal().collect();
    first.engine.withdraw(first.now, slot);
    for effect in first.effects() {
        match effect {
            Effect::Journal { entry, .. } => journal.push(entry),
            Effect::Request(outgoing) => panic!("sent before the journal had it: {outgoing:?}"),
            _ => {}
        }
    }
    // It was journalled, and the node crashed before anything was sent.
    let mut second = one(3);
    for entry in &journal {
        let bytes = entry.to_bytes();
        second
            .engine
            .restore(JournalEntry::from_bytes(&bytes).unwrap());
    }
    assert_eq!(states(&second), [PublicationState::Withdrawn]);
    let mut holders = Holders::default();
    pass(&mut second, &mut holders, 1);
    assert_eq!(tombstones(&holders), 3);
    assert_eq!(states(&second), []);
    let after: Vec<JournalEntry> = second.engine.journal().collect();
    let is_bound =
        |entry: &JournalEntry| matches!(entry, JournalEntry::Signed { seq, .. } if *seq > 5);
    assert!(after.iter().any(is_bound), "its seq still binds: {after:?}");
}

#[test]
fn a_tombstone_that_too_few_holders_took_is_sent_again_and_the_list_says_why() {
    let mut one = one(3);
    let mut holders = Holders {
        full: (1..=2).map(node_key).collect(),
        ..Holders::default()
    };
    let signed = record(&one, &identity());
    let slot = *signed.slot();
    publish(&mut one, Promised::Signed(signed));
    one.engine.withdraw(one.now, slot);
    let result = one.outcome(|outgoing| Some(holders.answer(outgoing)));
    let Ok(Outcome::Withdrawn(withdrawn)) = result else {
        panic!("{result:?}")
    };
    assert_eq!((withdrawn.buried, withdrawn.smallest_copies), (1, 1));
    assert_eq!(states(&one), [PublicationState::Withdrawn]);
    let refusals = &one.engine.publications().next().unwrap().refusals;
    assert_eq!(refusals.iter().collect::<Vec<_>>(), [(&Reason::Quota, &2)]);
    holders.full = BTreeSet::new();
    pass(&mut one, &mut holders, 1);
    assert_eq!((tombstones(&holders), states(&one)), (3, vec![]));
}

#[test]
fn what_is_written_anew_is_not_buried_any_more() {
    let mut one = one(3);
    let mut holders = Holders {
        full: (1..=3).map(node_key).collect(),
        ..Holders::default()
    };
    let signed = record(&one, &identity());
    let slot = *signed.slot();
    publish(&mut one, Promised::Signed(signed));
    one.engine.withdraw(one.now, slot);
    one.run(|outgoing| Some(holders.answer(outgoing)));
    assert_eq!(states(&one), [PublicationState::Withdrawn]);
    let draft = Draft::dict_cell(
        slot,
        "anew".into(),
        u64::MAX / 4,
        one.now.utc_seconds() + TTL,
    );
    let anew = identity().sign(&network(), draft).unwrap().into_inner();
    publish(&mut one, Promised::Signed(anew));
    holders.full = BTreeSet::new();
    pass(&mut one, &mut holders, 14);
    assert_eq!(tombstones(&holders), 0);
    assert_eq!(states(&one), [PublicationState::Active]);
}

#[test]
fn a_record_that_is_over_without_its_secret_is_listed_as_expired_until_the_secret_is_back() {
    let mut first = one(3);
    let mut holders = Holders::default();
    let stranger = Arc::new(Identity::from_seed([8; 32]));
    let signed = record(&first, &stranger);
    let slot = *signed.slot();
    publish(&mut first, Promised::Signed(signed));
    // Also when its last renewal comes just before it is over.
    pass(&mut first, &mut holders, 50);
    assert_eq!(states(&first), [PublicationState::Expired]);
    let drops = first.engine.status().drops;
    let expired = drops.iter().find(|(reason, _)| *reason == Reason::Expired);
    assert_eq!(expired.map(|(_, count)| count), Some(1), "counted once");
    // A restart knows it, and goes on once the secret is there.
    let journal: Vec<JournalEntry> = first.engine.journal().collect();
    for has_secret in [false, true] {
        let mut second = one(3);
        second.now = first.now;
        if has_secret {
            second.engine.add_identity(Arc::clone(&stranger));
        }
        for entry in &journal {
            second.engine.restore(entry.clone());
        }
        let state = if has_secret {
            PublicationState::Active
        } else {
            PublicationState::Expired
        };
        assert_eq!(states(&second), [state]);
    }
    // Nothing is left that a tombstone would bury.
    first.engine.withdraw(first.now, slot);
    let result = first.outcome(|outgoing| panic!("nothing is to be sent: {outgoing:?}"));
    assert!(matches!(result, Ok(Outcome::Withdrawn(withdrawn)) if withdrawn.buried == 0));
    assert_eq!(states(&first), []);
}

#[test]
fn the_list_says_why_holders_did_not_take_a_renewal() {
    let mut one = one(3);
    let mut holders = Holders {
        full: [node_key(1)].into(),
        ..Holders::default()
    };
    publish(&mut one, Promised::Value(value(b"value")));
    pass(&mut one, &mut holders, 14);
    let promise = one.engine.publications().next().unwrap();
    assert_eq!(promise.stored, 2);
    let refusals = promise.refusals.iter().collect::<Vec<_>>();
    assert_eq!(refusals, [(&Reason::Quota, &1)]);
    holders.full = BTreeSet::new();
    pass(&mut one, &mut holders, 14);
    let promise = one.engine.publications().next().unwrap();
    assert!(promise.stored == 3 && promise.refusals.is_empty());
    assert!(promise.expires_at > one.now.utc_seconds() + 20 * HOUR);
}
