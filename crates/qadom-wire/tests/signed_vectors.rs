//! The protocol's own test vectors for signed records (`vectors/wire.json`, made by an independent
//! implementation): what is signed, the signatures, the slots and the ids.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use bytes::Bytes;
use data_encoding::HEXLOWER;
use qadom_routing::Key;
use qadom_wire::{
    ContentSignature, Draft, Identity, Kind, Network, NetworkId, RecordError, Verified, Writer,
    event_id, item_id, namespace_slot,
};
use serde_json::Value as Json;

fn bytes(json: &Json) -> Vec<u8> {
    let text = json.as_str().expect("a vector is text");
    HEXLOWER
        .decode(text.as_bytes())
        .expect("a vector is hexadecimal")
}

fn array<const LENGTH: usize>(json: &Json) -> [u8; LENGTH] {
    bytes(json).try_into().expect("a vector of this length")
}

fn network() -> NetworkId {
    Network::new(b"qadom", b"").expect("a network").id()
}

/// Each vector: its name, itself, and the record that is signed from its fields.
fn records() -> Vec<(String, Json, Verified)> {
    let vectors: Json =
        serde_json::from_str(include_str!("vectors/wire.json")).expect("the vectors are JSON");
    let records = vectors["records"].as_object().expect("an object");
    assert_eq!(records.len(), 5);
    let sign = |(name, vector): (&String, &Json)| {
        let number = |field: &str| vector[field].as_u64().expect("a number");
        let kind = u8::try_from(number("kind")).expect("a byte");
        let draft = Draft {
            kind: Kind::from_number(kind).expect("a kind"),
            is_tombstone: vector["tombstone"].as_bool().expect("a bool"),
            slot: Key::from_bytes(array(&vector["slot"])),
            label: array(&vector["label"]),
            stream: number("stream"),
            seq: number("seq"),
            expiry: number("expiry"),
            payload: bytes(&vector["payload"]).into(),
        };
        let identity = Identity::from_seed(array(&vector["seed"]));
        let record = identity.sign(&network(), draft).expect("a valid draft");
        (name.clone(), vector.clone(), record)
    };
    records.iter().map(sign).collect()
}

#[test]
fn records_are_signed_as_written() {
    for (name, vector, record) in records() {
        assert_eq!(
            record.writer().as_bytes(),
            &array(&vector["writer"]),
            "{name}"
        );
        // Ed25519 is deterministic: the same signature means the same 188 bytes and digest.
        assert_eq!(record.signature(), &array(&vector["signature"]), "{name}");
        let signed = bytes(&vector["signed_bytes"]);
        assert_eq!(signed.len(), 188);
        assert_eq!(
            blake3::derive_key("qadom 1 record", &signed),
            array(&vector["digest"]),
            "{name}"
        );
        let hash = blake3::hash(&[signed.as_slice(), record.signature()].concat());
        assert_eq!(record.hash(), hash.as_bytes(), "{name}");
        let again = record.clone().into_inner().verify(&network());
        assert_eq!(again, Ok(record), "{name}");
    }
}

#[test]
fn contents_are_signed_as_written() {
    for (name, vector, record) in records() {
        let identity = Identity::from_seed(array(&vector["seed"]));
        let signature = ContentSignature::from_bytes(array(&vector["content_signature"]));
        assert_eq!(
            identity.sign_content(&network(), &record),
            signature,
            "{name}"
        );
        assert!(record.verify_content(&network(), &signature), "{name}");
        assert_eq!(signature.to_string().parse(), Ok(signature), "{name}");
        let content = bytes(&vector["content_bytes"]);
        assert_eq!(content.len(), 180);
        assert_eq!(
            blake3::derive_key("qadom 1 content", &content),
            array(&vector["content_digest"]),
            "{name}"
        );
        let mut wrong = *signature.as_bytes();
        wrong[63] ^= 1;
        assert!(!record.verify_content(&network(), &ContentSignature::from_bytes(wrong)));
    }
}

#[test]
fn ids_follow_from_the_vectors() {
    for (name, vector, record) in records() {
        let writer = Writer::new(array(&vector["writer"])).expect("a writer");
        let label = array(&vector["label"]);
        let id = match record.kind() {
            Kind::BagItem => item_id(&writer, &label),
            Kind::DictCell => Key::from_bytes(array(&vector["writer"])),
            Kind::NamespaceEntry => {
                let slot = namespace_slot(writer.as_bytes(), &Key::from_bytes(label));
                assert_eq!(record.slot(), &slot);
                Key::ZERO
            }
            Kind::Event => {
                let id = event_id(&writer, record.stream(), record.seq());
                assert_eq!(
                    id.as_bytes()[..16],
                    blake3::hash(writer.as_bytes()).as_bytes()[..16]
                );
                assert_eq!(id.as_bytes()[24..], [0, 0, 0, 0, 0, 0, 0, 1]);
                id
            }
            Kind::Value => panic!("a signed value"),
        };
        assert_eq!(record.id(), &id, "{name}");
    }
}

#[test]
fn a_record_of_another_network_fails_its_signature() {
    let other = Network::new(b"other", b"").expect("a network").id();
    for (name, _, record) in records() {
        let refused = record.clone().into_inner().verify(&other);
        assert_eq!(refused, Err(RecordError::BadSignature), "{name}");
        assert_ne!(
            Verified::from_own_store(record.clone().into_inner(), &other).hash(),
            record.hash()
        );
    }
}

#[test]
fn the_store_form_keeps_everything() {
    for (name, _, record) in records() {
        let kept: Bytes = record.to_bytes();
        let read = qadom_wire::SignedRecord::from_bytes(kept).expect("a record");
        assert_eq!(Verified::from_own_store(read, &network()), record, "{name}");
    }
}
