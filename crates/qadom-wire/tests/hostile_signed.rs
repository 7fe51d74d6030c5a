//! Messages about signed records that no honest node sends: each field of each of them is refused
//! for the right reason when it is wrong.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_routing::Key;
use qadom_wire::{
    Answer, BAG_ITEM_MAX, BODY_MAX, CURSOR_WRITERS_MAX, CursorError, DIGEST_RANGES_MAX,
    DIGEST_RECORDS_MAX, DIGEST_SPLIT, DecodeError, Draft, ITEMS_MAX, Identity, Kind, Network,
    Reason, Record, RecordError, Request, SignedRecord, VALUE_MAX, Verified, WeakKey, bag_label,
};

/// A field of a message, by its number.
#[derive(Clone)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(0x80 | u8::try_from(number & 0x7f).expect("seven bits"));
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
    bytes
}

fn field(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [
        varint(number << 3 | 2),
        varint(content.len() as u64),
        content.to_vec(),
    ]
    .concat()
}

fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// A message of fields, of which one can be exchanged.
#[derive(Clone)]
struct Message(Vec<(u64, Field)>);

impl Message {
    fn with(&self, at: u64, value: Field) -> Self {
        let mut fields = self.0.clone();
        fields.retain(|(number, _)| *number != at);
        fields.push((at, value));
        Self(fields)
    }

    fn without(&self, at: u64) -> Self {
        let mut fields = self.0.clone();
        fields.retain(|(number, _)| *number != at);
        Self(fields)
    }

    fn encode(&self) -> Vec<u8> {
        let fields = self.0.iter().map(|(at, value)| match value {
            Field::Number(value) => number(*at, *value),
            Field::Bytes(bytes) => field(*at, bytes),
        });
        fields.collect::<Vec<_>>().concat()
    }
}

fn sign(draft: Draft) -> Verified {
    let network = Network::new(b"test", b"").expect("a network").id();
    let signed = Identity::from_seed([1; 32]).sign(&network, draft);
    signed.expect("a valid draft")
}

/// The record as its fields.
fn fields(record: &SignedRecord, has_label: bool) -> Message {
    let mut fields = vec![
        (1, Field::Number(record.kind().number().into())),
        (2, Field::Number(record.is_tombstone().into())),
        (3, Field::Bytes(record.slot().as_bytes().to_vec())),
        (5, Field::Bytes(record.writer().as_bytes().to_vec())),
        (6, Field::Number(record.stream())),
        (7, Field::Number(record.seq())),
        (8, Field::Number(record.expiry())),
        (9, Field::Bytes(record.payload().to_vec())),
        (10, Field::Bytes(record.signature().to_vec())),
    ];
    if has_label {
        fields.push((4, Field::Bytes(record.label().to_vec())));
    }
    Message(fields)
}

/// One of each kind with a label of its own sent or not, and a tombstone.
fn records() -> Vec<(Message, Verified)> {
    let writer = Identity::from_seed([1; 32]).writer();
    let slot = Key::MAX;
    [
        (Draft::bag_item(slot, "x".into(), 5, 9), false),
        (Draft::bag_tombstone(slot, bag_label(b"x"), 5, 9), true),
        (Draft::dict_cell(slot, "x".into(), 5, 9), false),
        (
            Draft::namespace_entry(&writer, slot, "x".into(), 5, 9),
            true,
        ),
        (Draft::event(slot, 7, 5, "x".into(), 9), false),
    ]
    .into_iter()
    .map(|(draft, has_label)| {
        let record = sign(draft);
        (fields(&record, has_label), record)
    })
    .collect()
}

fn decode(message: &Message) -> Result<SignedRecord, DecodeError> {
    SignedRecord::from_bytes(message.encode().into())
}

fn request(number: u64, body: impl AsRef<[u8]>) -> Result<Request, DecodeError> {
    Request::decode(field(number, body).into())
}

fn answer(number: u64, body: impl AsRef<[u8]>) -> Result<Answer, DecodeError> {
    Answer::decode(field(number, body).into())
}

fn wrong<T>(field: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError::Field { field })
}

fn malformed<T>(field: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError::Record(RecordError::Malformed { field }))
}

fn found(records: &[Vec<u8>]) -> Result<Vec<Record>, DecodeError> {
    let records: Vec<_> = records.iter().map(|record| field(1, record)).collect();
    match answer(3, records.concat())? {
        Answer::Found(found) => Ok(found.records),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_of_the_wrong_length_are_malformed() {
    for (message, record) in records() {
        assert_eq!(decode(&message).as_ref(), Ok(&*record));
        for (at, name, length) in [(3, "slot", 32), (5, "writer", 32), (10, "signature", 64)] {
            for length in [0, length - 1, length + 1] {
                let changed = message.with(at, Field::Bytes(vec![9; length]));
                assert_eq!(decode(&changed), wrong(name));
            }
            assert_eq!(decode(&message.without(at)), wrong(name));
        }
        for flags in [2, 3, 0x81, u64::from(u32::MAX)] {
            let changed = message.with(2, Field::Number(flags));
            assert_eq!(decode(&changed), wrong("flags"));
        }
    }
}

#[test]
fn labels_are_sent_where_they_do_not_follow_and_nowhere_else() {
    for (message, record) in records() {
        let is_sent = record.kind() == Kind::NamespaceEntry || record.is_tombstone();
        for length in [0, 31, 32, 33] {
            let changed = decode(&message.with(4, Field::Bytes(vec![9; length])));
            match (is_sent, length, record.kind()) {
                (true, 32, Kind::NamespaceEntry) => assert_eq!(changed, malformed("slot")),
                (true, 32, _) => assert_ne!(changed.expect("another item").id(), record.id()),
                (false, 0, _) => assert_eq!(changed.as_ref(), Ok(&*record)),
                _ => assert_eq!(changed, wrong("label")),
            }
        }
    }
}

#[test]
fn the_rules_of_the_kinds_hold_for_what_comes() {
    let bytes = |length: usize| Field::Bytes(vec![7; length]);
    for (message, record) in records() {
        let kind = record.kind();
        let limit = kind.payload_max();
        if record.is_tombstone() {
            assert_eq!(decode(&message.with(9, bytes(1))), malformed("payload"));
        } else {
            for length in [0, limit - 1, limit] {
                assert!(decode(&message.with(9, bytes(length))).is_ok(), "{kind:?}");
            }
            let length = limit + 1;
            let refused = DecodeError::Record(RecordError::TooLarge { length, limit });
            assert_eq!(refused.reason(), Reason::TooLarge);
            assert_eq!(decode(&message.with(9, bytes(length))), Err(refused));
        }
        let with_stream = decode(&message.with(6, Field::Number(u64::MAX)));
        if kind == Kind::Event {
            assert!(with_stream.is_ok());
            let buried = message.with(2, Field::Number(1));
            assert_eq!(decode(&buried.without(9)), malformed("flags"));
        } else {
            assert_eq!(with_stream, malformed("stream"));
        }
        assert_eq!(
            decode(&message.with(1, Field::Number(0)).without(4)),
            malformed("kind")
        );
        assert_eq!(
            decode(&message.with(1, Field::Number(5))),
            Err(DecodeError::UnknownKind)
        );
        for weak in [[0; 32], [0xff; 32]] {
            let refused = DecodeError::Record(RecordError::WeakKey(WeakKey));
            assert_eq!(refused.reason(), Reason::WeakKey);
            assert_eq!(
                decode(&message.with(5, Field::Bytes(weak.to_vec()))),
                Err(refused)
            );
        }
        if kind == Kind::NamespaceEntry {
            assert_eq!(decode(&message.with(3, bytes(32))), malformed("slot"));
        }
    }
    assert_eq!((BAG_ITEM_MAX, VALUE_MAX), (1024, 8192));
}

#[test]
fn a_later_kind_of_record_keeps_its_place() {
    let (message, record) = records().swap_remove(0);
    let later = message.with(1, Field::Number(5));
    let renewal = later.with(9, Field::Number(1));
    let list = [
        field(2, message.encode()),
        field(2, later.encode()),
        field(4, renewal.encode()),
        field(2, message.encode()),
    ];
    let known = Record::Signed(record.into_inner());
    assert_eq!(
        found(&list),
        Ok(vec![known.clone(), Record::Unknown, Record::Unknown, known])
    );
}

#[test]
fn renewals_are_as_strict_as_records() {
    let refused = |message: &Message| found(&[field(4, message.encode())]).map(|_| ());
    for (message, record) in records() {
        let length = record.payload().len() as u64;
        let renewal = message
            .with(9, Field::Number(length))
            .with(10, Field::Bytes(record.payload_hash().to_vec()))
            .with(11, Field::Bytes(record.signature().to_vec()));
        assert_eq!(refused(&renewal), Ok(()));
        for length in [0, 31, 33] {
            let changed = renewal.with(10, Field::Bytes(vec![9; length]));
            assert_eq!(refused(&changed), wrong("payload_hash"));
        }
        assert_eq!(refused(&renewal.without(11)), wrong("signature"));
        let limit = record.kind().payload_max();
        for length in [limit + 1, 65_536, 0xffff_ffff] {
            let changed = renewal.with(9, Field::Number(length as u64));
            let too_large = RecordError::TooLarge { length, limit };
            assert_eq!(refused(&changed), Err(too_large.into()));
        }
        // A length of nothing has one hash, and that hash one length.
        let other = Field::Number(u64::from(length == 0));
        assert_eq!(refused(&renewal.with(9, other)), malformed("payload"));
    }
    assert_eq!(found(&[field(3, [1; 31])]), wrong("value_renewal"));
}

#[test]
fn digests_are_bounded_and_whole() {
    let range = |start: &[u8], end: Option<&[u8]>, fingerprint: &[u8]| {
        let end = end.map(|end| field(2, end)).unwrap_or_default();
        let body = [field(1, start), end, field(3, fingerprint)].concat();
        request(5, field(1, body)).map(|_| ())
    };
    let hash = [7; 32];
    for length in [0, 31, 33, 63, 65, 96] {
        let position = vec![1; length];
        assert_eq!(range(&position, None, &hash), wrong("start"));
        assert_eq!(range(&[1; 32], Some(&position), &hash), wrong("end"));
    }
    for length in [32, 64] {
        assert_eq!(range(&vec![1; length], Some(&[2; 32]), &hash), Ok(()));
        assert_eq!(range(&[1; 64], Some(&vec![1; length]), &hash), wrong("end"));
    }
    assert_eq!(range(&[1; 32], None, &[7; 31]), wrong("fingerprint"));
    assert_eq!(request(5, number(2, 5)), Err(DecodeError::UnknownKind));

    let one = field(1, [field(1, [1; 32]), field(3, hash)].concat());
    assert!(request(5, one.repeat(DIGEST_RANGES_MAX)).is_ok());
    assert_eq!(
        request(5, one.repeat(DIGEST_RANGES_MAX + 1)),
        wrong("ranges")
    );
    let same = field(1, number(1, 1));
    assert!(answer(5, same.repeat(DIGEST_RANGES_MAX)).is_ok());
    assert_eq!(
        answer(5, same.repeat(DIGEST_RANGES_MAX + 1)),
        wrong("ranges")
    );
    let count = ITEMS_MAX + 1;
    let too_many = DecodeError::TooManyItems { count };
    assert_eq!(
        request(5, field(1, []).repeat(count)),
        Err(too_many.clone())
    );
    assert_eq!(answer(5, field(1, []).repeat(count)), Err(too_many));
    assert_eq!(answer(5, field(1, [])), Err(DecodeError::UnknownKind));
}

#[test]
fn splits_and_lists_are_bounded_and_ascend() {
    let hashed = |index: usize| {
        let mut bytes = vec![0; 96];
        bytes[31] = u8::try_from(index).expect("a byte");
        bytes
    };
    let many = |count: usize| (0..count).flat_map(hashed).collect::<Vec<u8>>();
    let arm = |at: u64, bytes: &[u8]| answer(5, field(1, field(at, bytes))).map(|_| ());
    for (at, name, least, most) in [
        (2, "split", 1, DIGEST_SPLIT),
        (3, "records", 0, DIGEST_RECORDS_MAX),
    ] {
        for count in [least, most - 1, most] {
            assert_eq!(arm(at, &many(count)), Ok(()));
        }
        assert_eq!(arm(at, &many(most + 1)), wrong(name));
        for odd in [1, 32, 63, 65, 95] {
            assert_eq!(arm(at, &[many(2), vec![9; odd]].concat()), wrong(name));
        }
        assert_eq!(arm(at, &[hashed(2), hashed(1)].concat()), wrong(name));
        assert_eq!(arm(at, &[hashed(1), hashed(1)].concat()), wrong(name));
    }
    assert_eq!(arm(2, &[]), wrong("split"));
    let end = vec![9; 64];
    assert_eq!(arm(2, &[many(2), end.clone()].concat()), Ok(()));
    assert_eq!(arm(3, &[many(2), end].concat()), wrong("records"));
    assert_eq!(arm(2, &[many(2), vec![0; 64]].concat()), wrong("split"));
}

#[test]
fn watches_name_a_signed_kind_and_a_whole_cursor() {
    let slot = field(1, [1; 32]);
    for at in [6, 12] {
        for kind in 1..=4 {
            assert!(request(at, [slot.clone(), number(2, kind)].concat()).is_ok());
        }
        assert_eq!(request(at, &slot), wrong("kind"));
        let later = [slot.clone(), number(2, 5)].concat();
        assert_eq!(request(at, later), Err(DecodeError::UnknownKind));
        assert_eq!(request(at, field(1, [1; 31])), wrong("slot"));
    }
    let entry = |index: usize| {
        [
            &[0; 14][..],
            &u16::try_from(index).expect("16 bits").to_be_bytes(),
            &[0xff; 16],
        ]
        .concat()
    };
    let cursor = |count: usize| (0..count).flat_map(entry).collect::<Vec<u8>>();
    let watch = |cursor: &[u8]| {
        let body = [slot.clone(), number(2, 1), field(3, cursor)].concat();
        request(6, body).map(|_| ())
    };
    let watched = |cursor: &[u8]| answer(6, field(2, cursor)).map(|_| ());
    for count in [0, 1, CURSOR_WRITERS_MAX - 1, CURSOR_WRITERS_MAX] {
        assert_eq!(
            (watch(&cursor(count)), watched(&cursor(count))),
            (Ok(()), Ok(()))
        );
    }
    let swapped = [entry(1), entry(0)].concat();
    let twice = [entry(1), entry(1)].concat();
    for (bytes, error) in [
        (cursor(257), CursorError::TooMany { count: 257 }),
        (vec![0; 31], CursorError::Length { length: 31 }),
        (vec![0; 33], CursorError::Length { length: 33 }),
        (swapped, CursorError::Order { index: 1 }),
        (twice, CursorError::Order { index: 1 }),
    ] {
        let refused = DecodeError::Cursor(error);
        assert_eq!(refused.reason(), Reason::Malformed);
        assert_eq!(watch(&bytes), Err(refused.clone()));
        assert_eq!(watched(&bytes), Err(refused));
    }
}

#[test]
fn a_notification_brings_only_its_slot_and_kind() {
    let notify = |slot: u8, kind: u64, records: &[u8]| {
        let body = [records, &field(2, [slot; 32]), &number(3, kind)].concat();
        request(7, body).map(|_| ())
    };
    let record = |index: usize| field(1, records().swap_remove(index).0.encode());
    assert_eq!(notify(0xff, 4, &record(4)), Ok(()));
    assert_eq!(notify(0xff, 4, &[]), Ok(()));
    assert_eq!(notify(0xff, 1, &record(4)), wrong("records"));
    assert_eq!(notify(0xfe, 4, &record(4)), wrong("records"));
    let mixed = [record(4), record(0)].concat();
    assert_eq!(notify(0xff, 4, &mixed), wrong("records"));
    assert_eq!(notify(0xff, 0, &[]), wrong("kind"));
    assert_eq!(notify(0xff, 5, &[]), Err(DecodeError::UnknownKind));
    let count = ITEMS_MAX + 1;
    assert_eq!(
        notify(0xff, 4, &field(1, []).repeat(count)),
        Err(DecodeError::TooManyItems { count })
    );
}

#[test]
fn payloads_are_not_copied_out_of_the_body() {
    let record = sign(Draft::dict_cell(Key::MAX, vec![5; VALUE_MAX].into(), 5, 9));
    let message = fields(&record, false);
    let body = Bytes::from(field(3, field(1, field(2, message.encode()))));
    let Ok(Answer::Found(found)) = Answer::decode(body.clone()) else {
        panic!("a record is refused");
    };
    let [Record::Signed(record)] = found.records.as_slice() else {
        panic!("no record");
    };
    assert!(body.as_ptr_range().contains(&record.payload().as_ptr()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn random_fields_of_known_messages_do_no_harm(
        kind in prop::sample::select(vec![3_u64, 4, 5, 6, 7, 12]),
        outer in 1..5_u64,
        parts in prop::collection::vec((1..12_u64, any::<u64>(), prop::sample::select(vec![0_usize, 1, 16, 32, 64, 96, 160]), any::<u8>()), 0..12),
        depth in 0..3_usize,
    ) {
        let parts: Vec<_> = parts.into_iter().flat_map(|(at, value, length, byte)| {
            if byte % 2 == 0 { number(at, value % 7) } else { field(at, vec![byte; length]) }
        }).collect();
        let body = (0..depth).fold(parts, |inner, level| field(if level == 0 { outer } else { 1 }, inner));
        let body = Bytes::from(field(kind, body));
        prop_assert!(body.len() <= BODY_MAX);
        if let Ok(request) = Request::decode(body.clone()) {
            prop_assert_eq!(Request::decode(request.encode()), Ok(request));
        }
        if let Ok(answer) = Answer::decode(body.clone()) {
            prop_assert_eq!(Answer::decode(answer.encode()), Ok(answer));
        }
        if let Ok(record) = SignedRecord::from_bytes(body) {
            prop_assert_eq!(SignedRecord::from_bytes(record.to_bytes()), Ok(record));
        }
    }

    #[test]
    fn changed_records_are_refused_or_fail_their_signature(
        index in 0..5_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let (message, record) = records().swap_remove(index);
        let mut bytes = message.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let network = Network::new(b"test", b"").expect("a network").id();
        if let Ok(changed) = SignedRecord::from_bytes(bytes.into()) {
            // A bit of an unknown field's number can leave the record as it was.
            let is_whole = changed == *record;
            prop_assert_eq!(changed.verify(&network).is_ok(), is_whole);
        }
    }
}
