//! What a writer may sign: the rules of each kind, and the lengths of payloads.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use qadom_routing::Key;
use qadom_wire::{
    BAG_ITEM_MAX, Draft, Identity, Kind, Network, Reason, RecordError, VALUE_MAX, Verified,
};

fn sign(draft: Draft) -> Result<Verified, RecordError> {
    let network = Network::new(b"test", b"").expect("a network").id();
    Identity::from_seed([1; 32]).sign(&network, draft)
}

fn entry(writer: u8, length: usize) -> Draft {
    let writer = Identity::from_seed([writer; 32]).writer();
    Draft::namespace_entry(&writer, Key::ZERO, vec![7; length].into(), 1, 2)
}

/// A record of a kind with a payload of this length.
fn draft(kind: Kind, length: usize) -> Draft {
    let payload = vec![7; length].into();
    match kind {
        Kind::BagItem => Draft::bag_item(Key::ZERO, payload, 1, 2),
        Kind::NamespaceEntry => entry(1, length),
        Kind::Event => Draft::event(Key::ZERO, 7, 1, payload, 2),
        Kind::Value | Kind::DictCell => Draft {
            kind,
            ..Draft::dict_cell(Key::ZERO, payload, 1, 2)
        },
    }
}

/// Kinds, a change that none of them allows, and the field that is refused.
type Break = (&'static [Kind], fn(&mut Draft), &'static str);

#[test]
fn a_draft_that_breaks_a_rule_is_not_signed() {
    use Kind::{BagItem, DictCell, Event, NamespaceEntry};
    let breaks: [Break; 7] = [
        (&[DictCell], |draft| draft.kind = Kind::Value, "kind"),
        (
            &[BagItem, DictCell, NamespaceEntry],
            |draft| draft.is_tombstone = true,
            "payload",
        ),
        (&[Event], |draft| draft.is_tombstone = true, "flags"),
        (
            &[BagItem, DictCell, NamespaceEntry],
            |draft| draft.stream = 1,
            "stream",
        ),
        (
            &[BagItem, DictCell, Event],
            |draft| draft.label = [1; 32],
            "label",
        ),
        (&[NamespaceEntry], |draft| draft.label = [1; 32], "slot"),
        (&[NamespaceEntry], |draft| draft.slot = Key::MAX, "slot"),
    ];
    for (kinds, change, field) in breaks {
        for kind in kinds {
            let mut changed = draft(*kind, 1);
            assert!(sign(changed.clone()).is_ok());
            change(&mut changed);
            let expected = RecordError::Malformed { field };
            assert_eq!(expected.reason(), Reason::Malformed);
            assert_eq!(sign(changed), Err(expected), "{kind:?}");
        }
    }
    let foreign = RecordError::Malformed { field: "slot" };
    assert_eq!(sign(entry(2, 1)), Err(foreign));
}

#[test]
fn a_payload_is_as_long_as_the_limit_of_its_kind() {
    assert_eq!((BAG_ITEM_MAX, VALUE_MAX), (1024, 8192));
    for kind in &Kind::ALL[1..] {
        let limit = kind.payload_max();
        let expected = if *kind == Kind::BagItem { 1024 } else { 8192 };
        assert_eq!(limit, expected);
        for length in [0, limit - 1, limit] {
            assert!(sign(draft(*kind, length)).is_ok(), "{kind:?} {length}");
        }
        for length in [limit + 1, 70_000] {
            let expected = RecordError::TooLarge { length, limit };
            assert_eq!(expected.reason(), Reason::TooLarge);
            assert_eq!(sign(draft(*kind, length)), Err(expected), "{kind:?}");
        }
    }
}

#[test]
fn tombstones_have_no_payload() {
    let writer = Identity::from_seed([1; 32]).writer();
    for tombstone in [
        Draft::bag_tombstone(Key::ZERO, [3; 32], 1, 2),
        Draft::dict_tombstone(Key::ZERO, 1, 2),
        Draft::namespace_tombstone(&writer, Key::ZERO, 1, 2),
    ] {
        let record = sign(tombstone).expect("a valid draft");
        assert!(record.is_tombstone() && record.payload().is_empty());
        assert_eq!(record.payload_hash(), blake3::hash(b"").as_bytes());
    }
}
