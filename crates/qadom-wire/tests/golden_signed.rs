//! One committed body for every message about signed records, as in `golden.rs`: written from the
//! schema by hand, with the records and signatures of the protocol's own vectors.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use data_encoding::HEXLOWER;
use qadom_routing::Key;
use qadom_wire::{
    Answer, Cursor, Digest, DigestRange, Draft, Found, Identity, Kind, Network, NetworkId, Notify,
    Position, RangeDigest, Record, Renewal, Request, Store, StoreClass, StoreItem, StoreResult,
    Unwatch, Verified, Watch, Watched, bag_label,
};

const SEQ: u64 = 1_700_000_000_000_000;
const EXPIRY: u64 = 1_700_129_600;

fn body(hex: &str) -> Bytes {
    HEXLOWER
        .decode(hex.trim_end().as_bytes())
        .expect("the file is hexadecimal")
        .into()
}

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn position(slot: u8, id: u8) -> Position {
    Position {
        slot: key(slot),
        id: key(id),
    }
}

fn network() -> NetworkId {
    Network::new(b"qadom", b"").expect("a network").id()
}

/// The user's key under which the vectors lie.
fn slot() -> Key {
    Key::from_name(b"key").expect("a name")
}

fn identity() -> Identity {
    let seed = b"3ecffe73978f8a91a30b01b56badfb956a49ebce76d2e991ea3fe1a205ed3765";
    let seed = HEXLOWER.decode(seed).expect("hexadecimal");
    Identity::from_seed(seed.try_into().expect("32 bytes"))
}

fn sign(draft: Draft) -> Verified {
    identity().sign(&network(), draft).expect("a valid draft")
}

fn bag_item() -> Verified {
    sign(Draft::bag_item(slot(), "item".into(), SEQ, EXPIRY))
}

fn bag_tombstone() -> Verified {
    let label = bag_label(b"item");
    sign(Draft::bag_tombstone(slot(), label, SEQ + 1, 1_700_604_800))
}

fn namespace_entry() -> Verified {
    let writer = identity().writer();
    sign(Draft::namespace_entry(
        &writer,
        slot(),
        "entry".into(),
        1,
        EXPIRY,
    ))
}

fn event() -> Verified {
    sign(Draft::event(slot(), SEQ, 1, "event".into(), EXPIRY))
}

#[track_caller]
fn check_request(request: &Request, hex: &str) {
    assert_eq!(HEXLOWER.encode(&request.encode()), hex.trim_end());
    assert_eq!(Request::decode(body(hex)).as_ref(), Ok(request));
}

#[track_caller]
fn check_answer(answer: &Answer, hex: &str) {
    assert_eq!(HEXLOWER.encode(&answer.encode()), hex.trim_end());
    assert_eq!(Answer::decode(body(hex)).as_ref(), Ok(answer));
}

#[test]
fn store() {
    let item = |record| StoreItem {
        record,
        class: StoreClass::FirstHand,
        ttl_seconds: 0,
        group: None,
        exclusive: false,
    };
    let signed = |record: Verified| item(Record::Signed(record.into_inner()));
    let renewal = |record: &Verified| item(Record::Renewal(Renewal::of(record)));
    let dict_slot = qadom_wire::dict_slot(b"d").expect("a name");
    let items = vec![
        signed(bag_item()),
        StoreItem {
            class: StoreClass::Replica,
            ..signed(bag_tombstone())
        },
        signed(sign(Draft::dict_cell(
            dict_slot,
            "cell".into(),
            SEQ,
            EXPIRY,
        ))),
        StoreItem {
            exclusive: true,
            ..signed(namespace_entry())
        },
        signed(event()),
        StoreItem {
            class: StoreClass::Replica,
            ttl_seconds: 60,
            ..item(Record::Renewal(Renewal::Value(key(0x11))))
        },
        renewal(&namespace_entry()),
        renewal(&bag_tombstone()),
    ];
    check_request(
        &Request::Store(Store { items }),
        include_str!("vectors/messages/request_store_signed.hex"),
    );
}

#[test]
fn stored() {
    let answer = Answer::Stored(vec![
        StoreResult::Stored {
            committed: true,
            conflict: true,
        },
        StoreResult::Renewed {
            committed: false,
            conflict: true,
        },
    ]);
    check_answer(
        &answer,
        include_str!("vectors/messages/answer_stored_conflict.hex"),
    );
}

#[test]
fn found() {
    let answer = Answer::Found(Found {
        records: vec![Record::Signed(bag_item().into_inner())],
        cursor: Some(key(0x66)),
        ..Found::default()
    });
    check_answer(
        &answer,
        include_str!("vectors/messages/answer_found_signed.hex"),
    );
}

#[test]
fn digests() {
    let ranges = vec![
        DigestRange {
            start: Position::first_of(key(0x11)),
            end: Some(position(0x11, 0x22)),
            fingerprint: [0x33; 32],
        },
        DigestRange {
            start: position(0x44, 0x55),
            end: None,
            fingerprint: [0x66; 32],
        },
    ];
    let kind = Kind::BagItem;
    check_request(
        &Request::Digest(Digest { kind, ranges }),
        include_str!("vectors/messages/request_digest.hex"),
    );
    let part = |start, end, fingerprint| DigestRange {
        start,
        end,
        fingerprint: [fingerprint; 32],
    };
    let middle = position(1, 2);
    let answer = Answer::Digested(vec![
        RangeDigest::Same,
        RangeDigest::Split(vec![
            part(position(1, 0), Some(middle), 3),
            part(middle, Some(position(5, 6)), 4),
        ]),
        RangeDigest::Split(vec![part(position(1, 0), None, 3)]),
        RangeDigest::Records(vec![(position(1, 1), [7; 32]), (middle, [8; 32])]),
        RangeDigest::Records(Vec::new()),
        RangeDigest::Differs,
    ]);
    check_answer(
        &answer,
        include_str!("vectors/messages/answer_digested.hex"),
    );
}

#[test]
fn watches() {
    let cursor = [
        [1; 16].as_slice(),
        &SEQ.to_be_bytes(),
        &1_u64.to_be_bytes(),
        &[2; 16],
        &0_u64.to_be_bytes(),
        &9_u64.to_be_bytes(),
    ];
    let cursor = Cursor::from_bytes(&cursor.concat()).expect("a cursor");
    for (kind, since, hex) in [
        (
            Kind::Event,
            Some(cursor.clone()),
            include_str!("vectors/messages/request_watch.hex"),
        ),
        (
            Kind::BagItem,
            None,
            include_str!("vectors/messages/request_watch_now.hex"),
        ),
        (
            Kind::BagItem,
            Some(Cursor::new()),
            include_str!("vectors/messages/request_watch_all.hex"),
        ),
    ] {
        let slot = key(0x11);
        check_request(&Request::Watch(Watch { slot, kind, since }), hex);
    }
    let watched = Watched {
        lease_seconds: 600,
        cursor,
    };
    check_answer(
        &Answer::Watched(watched),
        include_str!("vectors/messages/answer_watched.hex"),
    );
    let unwatch = Unwatch {
        slot: key(0x11),
        kind: Kind::DictCell,
    };
    check_request(
        &Request::Unwatch(unwatch),
        include_str!("vectors/messages/request_unwatch.hex"),
    );
    check_answer(
        &Answer::Unwatched,
        include_str!("vectors/messages/answer_unwatched.hex"),
    );
}

#[test]
fn notify() {
    let request = Request::Notify(Notify {
        slot: slot(),
        kind: Kind::Event,
        number: 7,
        skipped: 3,
        records: vec![event().into_inner()],
    });
    check_request(
        &request,
        include_str!("vectors/messages/request_notify.hex"),
    );
    check_answer(
        &Answer::Notified { number: 7 },
        include_str!("vectors/messages/answer_notified.hex"),
    );
}
