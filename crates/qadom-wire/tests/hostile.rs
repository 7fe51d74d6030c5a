//! Bytes that no honest node sends: they never cause a panic, never get more memory than a small
//! multiple of their length, and are refused for the right reason.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_wire::{
    Answer, BODY_MAX, ContactsError, DecodeError, Hello, HelloError, ITEMS_MAX, Reason, Record,
    Request, StoreResult, VALUE_MAX, ValueError, unpack_contacts,
};

/// The committed bodies of `golden.rs`, by name.
fn bodies() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/messages");
    let mut bodies: Vec<_> = fs::read_dir(folder)
        .expect("the vectors are there")
        .map(|entry| {
            let path = entry.expect("an entry is readable").path();
            let text = fs::read_to_string(&path).expect("a vector is text");
            let body = HEXLOWER
                .decode(text.trim_end().as_bytes())
                .expect("hexadecimal");
            (path.display().to_string(), body)
        })
        .collect();
    bodies.sort();
    assert_eq!(bodies.len(), 34);
    bodies
}

/// Decodes bytes in every way there is. What decodes has to be valid: it can be encoded again, and
/// reads back as the same.
fn decode_every_way(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(request) = Request::decode(body.clone()) {
        assert_eq!(Request::decode(request.encode()), Ok(request));
    }
    if let Ok(answer) = Answer::decode(body) {
        assert_eq!(Answer::decode(answer.encode()), Ok(answer));
    }
    if let Ok(hello) = Hello::unpack(bytes) {
        assert_eq!(Hello::unpack(&hello.pack()), Ok(hello));
    }
    if let Ok(contacts) = unpack_contacts(bytes) {
        assert!(contacts.len() * 39 <= bytes.len());
    }
}

/// A field that is delimited by its length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 127 {
        field.push(0x80 | u8::try_from(length & 0x7f).expect("seven bits"));
        length >>= 7;
    }
    field.push(u8::try_from(length).expect("seven bits"));
    [field.as_slice(), content].concat()
}

fn request(body: impl AsRef<[u8]>) -> Result<Request, DecodeError> {
    Request::decode(Bytes::copy_from_slice(body.as_ref()))
}

fn answer(body: impl AsRef<[u8]>) -> Result<Answer, DecodeError> {
    Answer::decode(Bytes::copy_from_slice(body.as_ref()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..BODY_MAX + 100)) {
        decode_every_way(&bytes);
    }

    #[test]
    fn random_bytes_inside_a_known_kind_do_no_harm(
        number in 1_u8..16,
        inner in 1_u8..7,
        bytes in vec(any::<u8>(), 0..200),
    ) {
        decode_every_way(&field(number, &bytes));
        decode_every_way(&field(number, &field(inner, &bytes)));
    }

    #[test]
    fn spliced_messages_do_no_harm(
        first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bodies = bodies();
        let (first, second) = (&first.get(&bodies).1, &second.get(&bodies).1);
        let mut spliced = first.clone();
        spliced.truncate(cut.index(first.len() + 1));
        spliced.push(byte);
        spliced.extend_from_slice(second);
        decode_every_way(&spliced);
    }
}

#[test]
fn every_truncation_does_no_harm() {
    for (_, body) in bodies() {
        for length in 0..body.len() {
            decode_every_way(&body[..length]);
        }
    }
}

#[test]
fn every_flipped_bit_does_no_harm() {
    for (_, mut body) in bodies() {
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            decode_every_way(&body);
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_body_above_the_limit_is_not_read() {
    // One unknown field that fills the body to the byte, beside a ping.
    let filled = |length: usize| [vec![0x0a, 0x00], field(14, &vec![0; length - 5])].concat();
    for length in [BODY_MAX - 1, BODY_MAX] {
        assert_eq!(filled(length).len(), length);
        assert!(request(filled(length)).is_ok());
    }
    let length = BODY_MAX + 1;
    let refused = DecodeError::TooLong { length };
    assert_eq!(refused.reason(), Reason::TooLarge);
    assert_eq!(request(filled(length)), Err(refused.clone()));
    assert_eq!(answer(filled(length)), Err(refused));
}

#[test]
fn lists_are_bounded_before_they_are_decoded() {
    let list = |count: usize| field(1, &[]).repeat(count);
    let too_many = |count| DecodeError::TooManyItems { count };
    assert_eq!(too_many(300).reason(), Reason::TooLarge);
    for count in [ITEMS_MAX - 1, ITEMS_MAX] {
        let Ok(Request::Store(store)) = request(field(4, &list(count))) else {
            panic!("{count} items are refused");
        };
        assert_eq!(store.items.len(), count);
        let Ok(Answer::Found(found)) = answer(field(3, &list(count))) else {
            panic!("{count} records are refused");
        };
        assert_eq!(found.records, vec![Record::Unknown; count]);
        let Ok(Answer::Stored(results)) = answer(field(4, &list(count))) else {
            panic!("{count} results are refused");
        };
        assert_eq!(results, vec![StoreResult::Refused(Reason::Internal); count]);
    }
    for count in [ITEMS_MAX + 1, BODY_MAX / 2 - 2] {
        assert_eq!(request(field(4, &list(count))), Err(too_many(count)));
        assert_eq!(answer(field(3, &list(count))), Err(too_many(count)));
        assert_eq!(answer(field(4, &list(count))), Err(too_many(count)));
    }
    // Protobuf merges what comes twice.
    let twice = [field(4, &list(ITEMS_MAX)), field(4, &list(1))].concat();
    assert_eq!(request(&twice), Err(too_many(ITEMS_MAX + 1)));
}

#[test]
fn records_and_contacts_are_not_copied_out_of_the_body() {
    let payload = vec![5; VALUE_MAX];
    let body = Bytes::from(field(3, &field(1, &field(1, &payload))));
    let Ok(Answer::Found(found)) = Answer::decode(body.clone()) else {
        panic!("a value is refused");
    };
    let [Record::Value(value)] = found.records.as_slice() else {
        panic!("no value");
    };
    assert!(body.as_ptr_range().contains(&value.bytes().as_ptr()));
}

#[test]
fn unknown_fields_are_ignored() {
    // A number, 8 bytes, a text, a group, 4 bytes; all under numbers that nothing uses.
    let unknown: [&[u8]; 5] = [
        &[0xf0, 0x07, 0x96, 0x01],
        &[0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xfa, 0x07, 2, b'h', b'i'],
        &[0xfb, 0x07, 0x08, 0x01, 0xfc, 0x07],
        &[0xfd, 0x07, 1, 2, 3, 4],
    ];
    for (name, body) in bodies() {
        let inside = |extra: &[u8]| {
            let content = match body.len() {
                0..=129 => &body[2..],
                _ => &body[3..],
            };
            field(body[0] >> 3, &[content, extra].concat())
        };
        for extra in unknown {
            let around = [
                [extra, &body].concat(),
                [&body, extra].concat(),
                inside(extra),
            ];
            for longer in around {
                if name.contains("request_") {
                    assert_eq!(request(&longer), request(&body), "{name}");
                } else {
                    assert_eq!(answer(&longer), answer(&body), "{name}");
                }
            }
        }
    }
}

#[test]
fn unknown_kinds_are_named_as_such() {
    assert_eq!(DecodeError::UnknownKind.reason(), Reason::UnknownKind);
    assert_eq!(request([]), Err(DecodeError::UnknownKind));
    assert_eq!(answer([]), Err(DecodeError::UnknownKind));
    for number in 13..15 {
        assert_eq!(
            request(field(number, b"later")),
            Err(DecodeError::UnknownKind),
            "{number}"
        );
        assert_eq!(
            answer(field(number, b"later")),
            Err(DecodeError::UnknownKind),
            "{number}"
        );
    }
    // A Find for records of kind 5.
    let find = field(3, &[field(1, &[1; 32]), vec![0x10, 5]].concat());
    assert_eq!(request(find), Err(DecodeError::UnknownKind));
}

#[test]
fn a_record_of_an_unknown_kind_keeps_its_place() {
    let known = field(1, &field(1, &field(1, b"v")));
    let unknown = field(1, &field(1, &field(9, b"later")));
    let body = field(4, &[known.clone(), unknown, known].concat());
    let Ok(Request::Store(store)) = request(body) else {
        panic!("the store is refused");
    };
    let is_known: Vec<bool> = store
        .items
        .iter()
        .map(|item| matches!(item.record, Record::Value(_)))
        .collect();
    assert_eq!(is_known, [true, false, true]);
}

#[test]
fn fields_of_the_wrong_length_are_malformed() {
    let wrong = |field| Err(DecodeError::Field { field });
    assert_eq!(
        DecodeError::Field { field: "slot" }.reason(),
        Reason::Malformed
    );
    for length in [0, 31, 33] {
        let bytes = vec![1; length];
        assert_eq!(request(field(2, &field(1, &bytes))), wrong("target"));
        assert_eq!(request(field(3, &field(1, &bytes))), wrong("slot"));
        let slot = field(1, &[1; 32]);
        let find = |rest: &[u8]| request(field(3, &[slot.as_slice(), rest].concat()));
        assert_eq!(find(&field(4, &bytes)), wrong("have"));
        assert_eq!(find(&field(3, &field(1, &bytes))), wrong("start"));
        assert_eq!(
            find(&field(3, &[slot.clone(), field(2, &bytes)].concat())),
            wrong("end")
        );
        assert_eq!(
            find(&field(3, &[slot.clone(), field(2, &[1; 32])].concat())),
            wrong("range")
        );
        assert_eq!(
            answer(field(3, &field(4, &bytes))),
            Err(DecodeError::Field { field: "cursor" })
        );
        assert_eq!(
            answer(field(3, &field(5, &field(2, &bytes)))),
            Err(DecodeError::Field { field: "hash" })
        );
    }
    for group in [
        &[][..],
        &[4, 1, 1, 1, 0, 0, 0],
        &[4, 1, 1, 1, 1, 0, 0, 0],
        &[5; 8],
    ] {
        assert_eq!(
            request(field(4, &field(1, &field(4, group)))),
            wrong("group")
        );
    }
    assert_eq!(request(field(4, &field(1, &[0x10, 3]))), wrong("class"));
    for observed in [vec![], vec![4; 18], vec![4; 19], vec![5; 19], vec![6; 20]] {
        assert_eq!(
            answer(field(1, &field(5, &observed))),
            Err(DecodeError::Field { field: "observed" })
        );
    }
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let store = |length| request(field(4, &field(1, &field(1, &field(1, &vec![0; length])))));
    assert!(store(VALUE_MAX).is_ok());
    let length = VALUE_MAX + 1;
    let refused = DecodeError::Value(ValueError::TooLarge { length });
    assert_eq!(refused.reason(), Reason::TooLarge);
    assert_eq!(store(length), Err(refused));
}

#[test]
fn one_bad_contact_refuses_the_field() {
    let good = [&[3][..], &[9; 32], &[192, 0, 2, 1, 1, 1]].concat();
    let bad = |tail: &[u8]| unpack_contacts(&[good.as_slice(), tail].concat());
    assert_eq!(bad(&[]).map(|contacts| contacts.len()), Ok(1));
    for flags in [8, 0x0a, 0x82] {
        let expected = ContactsError::Flags { index: 1, flags };
        assert_eq!(bad(&[&[flags][..], &good[1..]].concat()), Err(expected));
    }
    for flags in [0, 1] {
        let tail = [&[flags][..], &good[1..33]].concat();
        assert_eq!(bad(&tail), Err(ContactsError::NoAddress { index: 1 }));
    }
    for length in 1..good.len() {
        let expected = ContactsError::Truncated { index: 1 };
        assert_eq!(bad(&good[..length]), Err(expected), "{length}");
    }
    for kind in [2, 3] {
        let number = if kind == 2 { 1 } else { 2 };
        let refused = answer(field(kind, &field(number, &good[..38])));
        let expected = DecodeError::Contacts(ContactsError::Truncated { index: 0 });
        assert_eq!(expected.reason(), Reason::Malformed);
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn a_hello_of_a_later_revision_is_read_and_a_broken_one_is_not() {
    let later = [&[9, 0xfb][..], &[192, 0, 2, 1, 1, 1], b"x"].concat();
    assert_eq!(Hello::unpack(&later), Err(HelloError::Length));
    let later = [&[8, 0xfb][..], &[192, 0, 2, 1, 1, 1], b"x"].concat();
    let hello = Hello::unpack(&later).expect("the known part is complete");
    assert_eq!(hello.v4, Some("192.0.2.1:257".parse().expect("an address")));
    assert!(hello.storing && hello.v6.is_none());
    for (bytes, error) in [
        (&[][..], HelloError::Length),
        (&[0], HelloError::Truncated),
        (&[1], HelloError::Length),
        (&[1, 0, 0], HelloError::Length),
        (&[1, 2], HelloError::Truncated),
        (&[6, 2, 1, 1, 1, 1, 1], HelloError::Truncated),
        (&[7, 4, 1, 1, 1, 1, 1, 1], HelloError::Truncated),
    ] {
        assert_eq!(Hello::unpack(bytes), Err(error), "{bytes:?}");
        let refused = request(field(1, &field(1, bytes)));
        assert_eq!(refused, Err(DecodeError::Hello(error)));
    }
}
