//! Entries read back as they were written, and nothing else reads back at all.

use std::time::Duration;

use proptest::prelude::*;
use qadom_routing::Moment;
use qadom_wire::{Draft, Identity, Network, NetworkId};

use super::*;
use crate::time::Time;

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL)
}

fn ids() -> impl Strategy<Value = PublicationId> {
    let keys = || any::<[u8; 32]>().prop_map(Key::from_bytes);
    let parts = (keys(), kinds(), keys());
    parts.prop_map(|(slot, kind, item)| PublicationId { slot, kind, item })
}

fn states() -> impl Strategy<Value = PublicationState> {
    prop::sample::select(vec![
        PublicationState::Active,
        PublicationState::Superseded,
        PublicationState::Withdrawn,
        PublicationState::Expired,
    ])
}

fn promised() -> impl Strategy<Value = Promised> {
    let payloads = || prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let values = payloads().prop_map(|payload| Promised::Value(Value::new(payload).unwrap()));
    let parts = (payloads(), any::<([u8; 32], u64, u64)>());
    let signed = parts.prop_map(|(payload, (slot, seq, expiry))| {
        let draft = Draft::dict_cell(Key::from_bytes(slot), payload, seq, expiry);
        let identity = Identity::from_seed([7; 32]);
        Promised::Signed(identity.sign(&network(), draft).unwrap().into_inner())
    });
    prop_oneof![values, signed]
}

fn network() -> NetworkId {
    Network::new(b"test", b"").unwrap().id()
}

fn promises() -> impl Strategy<Value = Promise> {
    let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>());
    (promised(), numbers, states()).prop_map(|(promised, numbers, state)| Promise {
        promised,
        ttl_seconds: numbers.0,
        renewed_at: numbers.1,
        expires_at: numbers.2,
        stored: numbers.3,
        state,
        refusals: Refusals::new(),
    })
}

fn blocked() -> impl Strategy<Value = Blocked> {
    let keys = any::<[u8; 32]>().prop_map(Key::from_bytes);
    prop_oneof![
        keys.clone()
            .prop_map(|key| Blocked::Node(NodeId::from(key))),
        keys.prop_map(Blocked::Key),
        any::<[u8; 4]>().prop_map(|octets| Blocked::Group(SourceGroup::of(octets.into()))),
    ]
}

fn entries() -> impl Strategy<Value = JournalEntry> {
    let renewals = (ids(), any::<(u64, u64, u32)>(), states()).prop_map(|(id, numbers, state)| {
        JournalEntry::Renewed(Standing {
            id,
            renewed_at: numbers.0,
            expires_at: numbers.1,
            stored: numbers.2,
            state,
        })
    });
    let signed = (ids(), any::<(u64, u64)>());
    let streams = any::<([u8; 32], u64)>();
    let streams = streams.prop_map(|(seed, stream)| (Identity::from_seed(seed).writer(), stream));
    prop_oneof![
        promises().prop_map(JournalEntry::Published),
        renewals,
        ids().prop_map(JournalEntry::Withdrawn),
        signed.prop_map(|(id, (seq, expiry))| JournalEntry::Signed { id, seq, expiry }),
        streams.prop_map(|(writer, stream)| JournalEntry::Stream { writer, stream }),
        (blocked(), prop::option::of(0..u64::MAX))
            .prop_map(|(what, until)| JournalEntry::Blocked { what, until }),
        blocked().prop_map(JournalEntry::Unblocked),
    ]
}

proptest! {
    #[test]
    fn entries_read_back_as_they_were_written(entry in entries()) {
        prop_assert_eq!(JournalEntry::from_bytes(&entry.to_bytes()), Ok(entry));
    }

    #[test]
    fn any_bytes_are_an_entry_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        if let Ok(entry) = JournalEntry::from_bytes(&bytes) {
            prop_assert_eq!(entry.to_bytes(), bytes);
        }
    }

    #[test]
    fn an_entry_that_is_cut_or_lengthened_is_none(entry in entries(), cut in 1_usize..40) {
        // The payload of a value ends where the entry does.
        if !matches!(entry, JournalEntry::Published(_)) {
            let bytes = entry.to_bytes();
            let length = bytes.len();
            let short = bytes.slice(..length.saturating_sub(cut));
            prop_assert!(JournalEntry::from_bytes(&short).is_err());
            let long = Bytes::from([&bytes[..], &[0]].concat());
            let malformed = JournalError::Malformed { length: length + 1 };
            prop_assert_eq!(JournalEntry::from_bytes(&long), Err(malformed));
        }
    }
}

#[test]
fn an_entry_of_a_newer_version_is_named_as_such() {
    let bytes = Bytes::from_static(&[2, 1, 2, 3]);
    let error = JournalEntry::from_bytes(&bytes).unwrap_err();
    assert_eq!(error, JournalError::VersionTooNew { version: 2 });
}

#[test]
fn the_longest_value_makes_an_entry_within_the_limit() {
    let value = Value::new(vec![7; qadom_wire::VALUE_MAX].into()).unwrap();
    let now = Time {
        moment: Moment::ORIGIN,
        utc_micros: u64::MAX / 2,
    };
    let promise = Promise::new(Promised::Value(value), Duration::from_hours(36), now);
    let bytes = JournalEntry::Published(promise).to_bytes();
    assert!(bytes.len() <= JOURNAL_ENTRY_MAX, "{}", bytes.len());
}
