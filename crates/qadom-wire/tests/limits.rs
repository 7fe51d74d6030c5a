//! What fits into a message, at each limit, one below and one above it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use bytes::Bytes;
use qadom_routing::{Contact, Families, Key, NodeKey};
use qadom_wire::{
    Answer, BODY_MAX, BodyTooLong, CONTACTS_MAX, CURSOR_WRITERS_MAX, ContactsError, Cursor,
    DIGEST_RANGES_MAX, Digest, DigestRange, Draft, ENVELOPE_LENGTH, FIRST_RECORD_MAX, Found,
    Identity, K, Kind, MAX_TTL, MESSAGE_MAX, NameError, Network, NetworkError, Oversize, Position,
    Record, Request, VALUE_MAX, VALUE_TTL_MAX, Value, ValueError, Watch, Watched, dict_slot,
    file_name_slot, pack_contacts, unpack_contacts,
};

/// The longest answer to a cold request of 1200 bytes, at the least.
const COLD_BODY: usize = 1028;

const IPV4_ONLY: Families = Families {
    v4: true,
    v6: false,
};
const IPV6_ONLY: Families = Families {
    v4: false,
    v6: true,
};

fn contacts(count: usize, families: Families) -> Vec<Contact> {
    (0..count)
        .map(|index| {
            let mut key = [9; 32];
            key[..8].copy_from_slice(&index.to_be_bytes());
            let v4 = families
                .v4
                .then(|| "192.0.2.1:7236".parse().expect("an address"));
            let v6 = families
                .v6
                .then(|| "[2001:db8::1]:7236".parse().expect("an address"));
            let key = NodeKey::new(key).expect("a node key");
            Contact::new(key, v4, v6, true).expect("it has an address")
        })
        .collect()
}

fn value(length: usize) -> Record {
    Record::Value(Value::new(vec![7; length].into()).expect("short enough"))
}

/// How many of the contacts the answer keeps within a limit, and its length.
fn kept(answer: &Answer, limit: usize) -> (usize, usize) {
    let body = answer
        .encode_within(limit)
        .expect("it fits without contacts");
    let length = body.len();
    match Answer::decode(body).expect("valid") {
        Answer::Contacts(contacts) => (contacts.len(), length),
        Answer::Found(found) => (found.contacts.len(), length),
        other => panic!("{other:?} has no contacts"),
    }
}

#[test]
fn a_cold_answer_holds_k_contacts_of_one_family() {
    for (families, packed) in [(IPV4_ONLY, 780), (IPV6_ONLY, 1020)] {
        let contacts = contacts(K, families);
        assert_eq!(pack_contacts(&contacts, usize::MAX).len(), packed);
        let found = Found {
            contacts: contacts.clone(),
            ..Found::default()
        };
        for answer in [Answer::Contacts(contacts), Answer::Found(found)] {
            let (count, length) = kept(&answer, COLD_BODY);
            assert_eq!(count, K);
            assert!(
                length - packed <= 8,
                "{} bytes of overhead",
                length - packed
            );
            assert_eq!(kept(&answer, length), (K, length));
            assert_eq!(kept(&answer, length - 1).0, K - 1);
        }
    }
}

#[test]
fn a_cold_answer_holds_seventeen_contacts_of_both_families() {
    let answer = Answer::Contacts(contacts(K, Families::BOTH));
    assert_eq!(kept(&answer, COLD_BODY).0, 17);
}

#[test]
fn a_cold_answer_names_the_oversized_record_and_most_contacts() {
    let answer = Answer::Found(Found {
        contacts: contacts(K, IPV6_ONLY),
        oversize: Some(Oversize {
            size: 8195,
            hash: [1; 32],
        }),
        ..Found::default()
    });
    assert_eq!(kept(&answer, COLD_BODY).0, 19);
}

#[test]
fn the_longest_value_fits_with_contacts_beside_it() {
    assert_eq!((MESSAGE_MAX, ENVELOPE_LENGTH, BODY_MAX), (8960, 17, 8943));
    for (families, expected) in [(IPV4_ONLY, 18), (IPV6_ONLY, 14), (Families::BOTH, 12)] {
        let answer = Answer::Found(Found {
            records: vec![value(VALUE_MAX)],
            contacts: contacts(K, families),
            ..Found::default()
        });
        let (count, length) = kept(&answer, BODY_MAX);
        assert!(length <= BODY_MAX);
        assert_eq!(count, expected);
    }
}

#[test]
fn a_record_is_never_left_out() {
    let answer = Answer::Found(Found {
        records: vec![value(VALUE_MAX)],
        contacts: contacts(K, IPV4_ONLY),
        ..Found::default()
    });
    let needed = answer.encode_within(BODY_MAX).expect("it fits").len() - 18 * 39 - 3;
    assert_eq!(kept(&answer, needed), (0, needed));
    let limit = needed - 1;
    assert_eq!(
        answer.encode_within(limit),
        Err(BodyTooLong { needed, limit })
    );
}

#[test]
fn the_length_of_a_record_decides_whether_it_is_handed_out_at_once() {
    // Tag and a length of two bytes stand in front of the payload.
    assert_eq!(
        value(FIRST_RECORD_MAX - 3).encoded_length(),
        FIRST_RECORD_MAX
    );
    assert_eq!(value(VALUE_MAX).encoded_length(), VALUE_MAX + 3);
    assert_eq!(value(0).encoded_length(), 2);
    let answer = Answer::Found(Found {
        records: vec![value(FIRST_RECORD_MAX - 3)],
        ..Found::default()
    });
    assert!(answer.encode_within(COLD_BODY).is_ok());
}

#[test]
fn the_longest_signed_record_fits_with_contacts_beside_it() {
    let entry = |length: usize| {
        let identity = Identity::from_seed([7; 32]);
        let payload = vec![7; length].into();
        let draft = Draft::namespace_entry(&identity.writer(), Key::MAX, payload, 1, 1 << 35);
        let network = Network::new(b"n", b"").expect("a network").id();
        let signed = identity.sign(&network, draft).expect("a valid draft");
        Record::Signed(signed.into_inner())
    };
    assert_eq!(entry(VALUE_MAX).encoded_length(), VALUE_MAX + 185);
    let answer = Answer::Found(Found {
        records: vec![entry(VALUE_MAX)],
        contacts: contacts(K, IPV4_ONLY),
        ..Found::default()
    });
    assert_eq!(kept(&answer, BODY_MAX).0, 14);
    let mut found = Found::default();
    assert_eq!(found.fill([entry(700), entry(100)], COLD_BODY), 1);
    assert_eq!(found.records_length(), entry(700).encoded_length());
}

#[test]
fn a_digest_of_whole_slots_fits_into_one_message() {
    let range = |index: usize| {
        let slot = |index: usize| {
            let mut slot = [9; 32];
            slot[..8].copy_from_slice(&index.to_be_bytes());
            Position::first_of(Key::from_bytes(slot))
        };
        let (start, end) = (slot(index), Some(slot(index + 1)));
        DigestRange {
            start,
            end,
            fingerprint: [7; 32],
        }
    };
    let batches = |count| Digest::batches(Kind::BagItem, (0..count).map(range)).len();
    assert_eq!(batches(0), 0);
    assert_eq!(batches(DIGEST_RANGES_MAX), 1);
    assert_eq!(batches(DIGEST_RANGES_MAX + 1), 2);
}

#[test]
fn a_full_cursor_keeps_no_further_writer_but_goes_on_with_its_own() {
    let writer = |seed: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Identity::from_seed(bytes).writer()
    };
    let mut cursor = Cursor::new();
    for seed in 0..CURSOR_WRITERS_MAX {
        cursor.note(&writer(seed), 1, 5);
    }
    assert_eq!(cursor.len(), CURSOR_WRITERS_MAX);
    let full = cursor.clone();
    cursor.note(&writer(CURSOR_WRITERS_MAX), 1, 5);
    assert_eq!(cursor, full);
    assert_eq!(cursor.seen(&writer(CURSOR_WRITERS_MAX)), None);
    cursor.note(&writer(0), 1, 4);
    cursor.note(&writer(0), 0, 9);
    assert_eq!(cursor.seen(&writer(0)), Some((1, 5)));
    cursor.note(&writer(0), 2, 1);
    assert_eq!(cursor.seen(&writer(0)), Some((2, 1)));
    cursor.merge(&full);
    assert_eq!(cursor.seen(&writer(0)), Some((2, 1)));
    // It fits into both messages beside the longest of all else.
    let watch = Watch {
        slot: Key::MAX,
        kind: Kind::Event,
        since: Some(cursor.clone()),
    };
    assert!(Request::Watch(watch).encode().len() <= BODY_MAX);
    let watched = Answer::Watched(Watched {
        lease_seconds: u32::MAX,
        cursor,
    });
    assert!(watched.encode_within(BODY_MAX).is_ok());
}

#[test]
fn a_cursor_covers_what_was_seen() {
    let identity = Identity::from_seed([7; 32]);
    let network = Network::new(b"n", b"").expect("a network").id();
    let covers = |cursor: &Cursor, stream, seq| {
        let draft = Draft::event(Key::MAX, stream, seq, Bytes::new(), 9);
        cursor.covers(&identity.sign(&network, draft).expect("a valid draft"))
    };
    let mut cursor = Cursor::new();
    assert!(!covers(&cursor, 0, 0));
    cursor.note(&identity.writer(), 5, 7);
    for (stream, seq, is_covered) in [(5, 6, true), (5, 7, true), (5, 8, false)] {
        assert_eq!(covers(&cursor, stream, seq), is_covered);
    }
    assert!(covers(&cursor, 4, u64::MAX) && !covers(&cursor, 6, 0));
    let entry = cursor.entries().next().expect("one entry");
    assert_eq!((entry.stream, entry.seq), (5, 7));
    assert_eq!(entry.tag, identity.writer().tag());
    for text in ["", "1", "00", "AAAA", "=", "AA=="] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}

#[test]
fn a_value_is_as_long_as_its_limit() {
    for length in [0, VALUE_MAX - 1, VALUE_MAX] {
        assert!(Value::new(vec![0; length].into()).is_ok());
    }
    let length = VALUE_MAX + 1;
    let refused = Value::new(vec![0; length].into());
    assert_eq!(refused, Err(ValueError::TooLarge { length }));
}

#[test]
fn an_answer_names_as_many_contacts_as_a_put_reaches() {
    let most = contacts(CONTACTS_MAX + 1, IPV4_ONLY);
    let packed = pack_contacts(&most, usize::MAX);
    assert_eq!(packed.len(), CONTACTS_MAX * 39);
    assert_eq!(
        unpack_contacts(&packed).map(|list| list.len()),
        Ok(CONTACTS_MAX)
    );
    let one_more = [&packed[..], &pack_contacts(&most[CONTACTS_MAX..], 39)].concat();
    assert_eq!(unpack_contacts(&one_more), Err(ContactsError::TooMany));
    assert_eq!(unpack_contacts(&[]), Ok(Vec::new()));
    let (one, two) = (pack_contacts(&most, 39 + 38), pack_contacts(&most, 39 + 39));
    assert_eq!((one.len(), two.len()), (39, 78));
    assert_eq!(pack_contacts(&most, 38), Bytes::new());
}

#[test]
fn names_and_secrets_have_their_lengths() {
    for length in [1, 255, 256] {
        assert!(Network::new(&vec![b'n'; length], b"").is_ok());
        assert!(dict_slot(&vec![0; length]).is_ok());
        assert!(file_name_slot(&vec![0; length]).is_ok());
    }
    for length in [0, 257] {
        let name = vec![b'n'; length];
        assert_eq!(
            Network::new(&name, b""),
            Err(NetworkError::NameLength { length })
        );
        assert_eq!(dict_slot(&name), Err(NameError { length }));
        assert_eq!(file_name_slot(&name), Err(NameError { length }));
    }
    assert_eq!(
        Network::new(b"a\0b", b""),
        Err(NetworkError::NameZero { position: 1 })
    );
    for length in [0, 32, 33] {
        assert!(Network::new(b"n", &vec![0; length]).is_ok());
    }
    for length in [1, 31] {
        let refused = Network::new(b"n", &vec![0; length]);
        assert_eq!(refused, Err(NetworkError::SecretLength { length }));
    }
}

#[test]
fn only_the_default_network_has_a_puzzle_by_default() {
    for (name, secret, bits) in [
        ("qadom", &[][..], 16),
        ("qadom", &[1; 32], 16),
        ("qadom2", &[], 0),
        ("local", &[], 0),
    ] {
        let network = Network::new(name.as_bytes(), secret).expect("a network");
        assert_eq!(network.default_id_bits(), bits, "{name}");
        assert!(
            !format!("{network:?}").contains("1, 1, 1"),
            "the secret is shown"
        );
    }
}

#[test]
fn lifetimes_are_those_of_the_protocol() {
    assert_eq!(MAX_TTL.as_secs(), 604_800);
    assert_eq!(VALUE_TTL_MAX.as_secs(), 129_600);
}
