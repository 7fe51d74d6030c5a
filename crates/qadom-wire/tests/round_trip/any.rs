//! What can be said: strategies for every part of a message.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use qadom_routing::{Contact, Families, Key, NodeKey, canonical};
use qadom_wire::*;

pub(crate) fn any_key() -> impl Strategy<Value = Key> {
    any::<[u8; 32]>().prop_map(Key::from_bytes)
}

pub(crate) fn any_v4() -> impl Strategy<Value = SocketAddrV4> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port))
}

/// IPv6 addresses that stand for themselves; mapped ones have a test of their own.
pub(crate) fn any_v6() -> impl Strategy<Value = SocketAddrV6> {
    (any::<[u8; 16]>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddrV6::new(ip.into(), port, 0, 0))
        .prop_filter("mapped", |v6| canonical((*v6).into()).is_ipv6())
}

pub(crate) fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any_v4().prop_map(SocketAddr::from),
        any_v6().prop_map(SocketAddr::from)
    ]
}

pub(crate) fn any_contact() -> impl Strategy<Value = Contact> {
    let parts = (
        any::<[u8; 32]>(),
        option::of(any_v4()),
        option::of(any_v6()),
        any::<bool>(),
    );
    parts.prop_filter_map("no contact", |(mut key, v4, v6, storing)| {
        key[31] &= 0x7f;
        Contact::new(NodeKey::new(key).ok()?, v4, v6, storing)
    })
}

pub(crate) fn any_hello() -> impl Strategy<Value = Hello> {
    (any::<bool>(), option::of(any_v4()), option::of(any_v6()))
        .prop_map(|(storing, v4, v6)| Hello { storing, v4, v6 })
}

pub(crate) fn any_families() -> impl Strategy<Value = Families> {
    any::<(bool, bool)>().prop_map(|(v4, v6)| Families { v4, v6 })
}

pub(crate) fn any_record(longest: usize) -> impl Strategy<Value = Record> {
    let value = vec(any::<u8>(), 0..=longest)
        .prop_map(|bytes| Record::Value(Value::new(bytes.into()).expect("short enough")));
    let signed = any_signed(longest).prop_map(|record| Record::Signed(record.into_inner()));
    let renewal = prop_oneof![
        any_key().prop_map(Renewal::Value),
        any_signed(longest).prop_map(|record| Renewal::of(&record)),
    ];
    prop_oneof![
        5 => value,
        4 => signed,
        1 => renewal.prop_map(Record::Renewal),
        1 => Just(Record::Unknown),
    ]
}

pub(crate) fn any_signed(longest: usize) -> impl Strategy<Value = Verified> {
    let payload = vec(any::<u8>(), 0..=longest.min(BAG_ITEM_MAX));
    let numbers = any::<(u64, u64, u64)>();
    (0..7_u8, any_key(), any::<u8>(), payload, numbers).prop_map(
        |(form, slot, seed, payload, (stream, seq, expiry))| {
            let identity = Identity::from_seed([seed; 32]);
            let writer = identity.writer();
            let label = bag_label(&payload);
            let payload = payload.into();
            let draft = match form {
                0 => Draft::bag_item(slot, payload, seq, expiry),
                1 => Draft::bag_tombstone(slot, label, seq, expiry),
                2 => Draft::dict_cell(slot, payload, seq, expiry),
                3 => Draft::dict_tombstone(slot, seq, expiry),
                4 => Draft::namespace_entry(&writer, slot, payload, seq, expiry),
                5 => Draft::namespace_tombstone(&writer, slot, seq, expiry),
                _ => Draft::event(slot, stream, seq, payload, expiry),
            };
            let network = Network::new(b"test", b"").expect("a network").id();
            identity.sign(&network, draft).expect("a valid draft")
        },
    )
}

pub(crate) fn any_position() -> impl Strategy<Value = Position> {
    let id = prop_oneof![Just(Key::ZERO), any_key()];
    (any_key(), id).prop_map(|(slot, id)| Position { slot, id })
}

pub(crate) fn any_range() -> impl Strategy<Value = DigestRange> {
    (
        any_position(),
        option::of(any_position()),
        any::<[u8; 32]>(),
    )
        .prop_map(|(start, end, fingerprint)| DigestRange {
            start,
            end: end.filter(|end| start < *end),
            fingerprint,
        })
}

pub(crate) fn any_digest() -> impl Strategy<Value = Digest> {
    (any_kind(), vec(any_range(), 0..=DIGEST_RANGES_MAX))
        .prop_map(|(kind, ranges)| Digest { kind, ranges })
}

/// Parts behind one another, with an end or without.
pub(crate) fn any_split() -> impl Strategy<Value = RangeDigest> {
    let positions = btree_set(any_position(), 1..=DIGEST_SPLIT);
    (positions, option::of(Just(())), any::<[u8; 32]>()).prop_map(|(starts, end, fingerprint)| {
        let starts: Vec<Position> = starts.into_iter().collect();
        let last = end.map(|()| Position {
            slot: Key::MAX,
            id: Key::MAX,
        });
        let ends = starts.iter().skip(1).copied().map(Some).chain([last]);
        let parts = starts.iter().zip(ends).map(|(start, end)| DigestRange {
            start: *start,
            end,
            fingerprint,
        });
        RangeDigest::Split(parts.collect())
    })
}

pub(crate) fn any_range_digest() -> impl Strategy<Value = RangeDigest> {
    let records = btree_map(any_position(), any::<[u8; 32]>(), 0..=DIGEST_RECORDS_MAX)
        .prop_map(|records| RangeDigest::Records(records.into_iter().collect()));
    prop_oneof![
        Just(RangeDigest::Same),
        Just(RangeDigest::Differs),
        any_split(),
        records
    ]
}

pub(crate) fn any_cursor() -> impl Strategy<Value = Cursor> {
    btree_map(
        any::<[u8; 16]>(),
        any::<(u64, u64)>(),
        0..=CURSOR_WRITERS_MAX,
    )
    .prop_map(|entries| {
        let pack = |(tag, (stream, seq)): (&[u8; 16], &(u64, u64))| {
            [tag.as_slice(), &stream.to_be_bytes(), &seq.to_be_bytes()].concat()
        };
        let packed: Vec<u8> = entries.iter().flat_map(pack).collect();
        Cursor::from_bytes(&packed).expect("a cursor")
    })
}

/// The kinds that are watched.
pub(crate) fn any_signed_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL[1..].to_vec())
}

pub(crate) fn any_notify() -> impl Strategy<Value = Notify> {
    (any_key(), any::<(u64, u64)>(), vec(0..300_usize, 0..20)).prop_map(
        |(slot, (number, skipped), lengths)| Notify {
            slot,
            kind: Kind::Event,
            number,
            skipped,
            records: events(slot, lengths),
        },
    )
}

/// Events of one stream with payloads of these lengths.
pub(crate) fn events(slot: Key, lengths: Vec<usize>) -> Vec<SignedRecord> {
    let network = Network::new(b"test", b"").expect("a network").id();
    let identity = Identity::from_seed([7; 32]);
    let sign = |(seq, length): (u64, usize)| {
        let draft = Draft::event(slot, 1 << 50, seq, vec![7; length].into(), 1 << 31);
        identity
            .sign(&network, draft)
            .expect("a valid draft")
            .into_inner()
    };
    (1..).zip(lengths).map(sign).collect()
}

pub(crate) fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

pub(crate) fn any_item(longest: usize) -> impl Strategy<Value = StoreItem> {
    let class = prop::sample::select(vec![
        StoreClass::FirstHand,
        StoreClass::Replica,
        StoreClass::Cached,
    ]);
    let source = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
    ];
    (
        any_record(longest),
        class,
        any::<(u32, bool)>(),
        option::of(source),
    )
        .prop_map(
            |(record, class, (ttl_seconds, exclusive), source)| StoreItem {
                record,
                class,
                ttl_seconds,
                group: source.map(SourceGroup::of),
                exclusive,
            },
        )
}

pub(crate) fn any_find() -> impl Strategy<Value = Find> {
    let kind = any_kind();
    let range = (any_key(), option::of(any_key()));
    (
        any_key(),
        kind,
        option::of(range),
        any::<Option<[u8; 32]>>(),
        any_families(),
    )
        .prop_map(|(slot, kind, range, have, want)| Find {
            slot,
            kind,
            range: range.and_then(|(start, end)| IdRange::new(start, end)),
            have,
            want,
        })
}

pub(crate) fn any_stream() -> impl Strategy<Value = Stream> {
    any::<[u8; 32]>().prop_map(|fingerprint| Stream { fingerprint })
}

pub(crate) fn any_offer() -> impl Strategy<Value = Offer> {
    let chunks = btree_set(any::<u64>(), 1..=OFFER_CHUNKS_MAX);
    (any::<([u8; 32], u64, u64, u32)>(), chunks).prop_map(
        |((file, length, expiry, copies), chunks)| Offer {
            file,
            length,
            chunks: chunks.into_iter().collect(),
            expiry,
            copies,
        },
    )
}

pub(crate) fn any_offer_result() -> impl Strategy<Value = OfferResult> {
    prop_oneof![
        Just(OfferResult::Wanted),
        Just(OfferResult::Held),
        any_reason().prop_map(OfferResult::Refused),
    ]
}

pub(crate) fn any_held() -> impl Strategy<Value = Held> {
    (any::<u64>(), vec(any::<u8>(), 0..=HELD_BYTES_MAX)).prop_map(|(length, bits)| Held {
        length,
        bits: bits.into(),
    })
}

pub(crate) fn any_file_entry() -> impl Strategy<Value = FileEntry> {
    let urls = vec("https?://[a-z]{1,20}/[!-~]{0,60}", 0..=FILE_URLS_MAX);
    (any::<([u8; 32], u64)>(), "[ -~]{0,40}", urls).prop_map(|((id, size), content_type, urls)| {
        FileEntry::new(id, size, content_type, urls).expect("short enough")
    })
}

pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        option::of(any_hello()).prop_map(|hello| Request::Ping(Ping { hello })),
        (any_key(), any_families())
            .prop_map(|(target, want)| Request::FindNode(FindNode { target, want })),
        any_find().prop_map(Request::Find),
        vec(any_item(300), 0..20).prop_map(|items| Request::Store(Store { items })),
        (any_address(), any_contact()).prop_map(|(address, contact)| {
            let key = *contact.key();
            Request::DialBack(DialBack { address, key })
        }),
        any_stream().prop_map(Request::Stream),
        any_offer().prop_map(Request::Offer),
        any::<([u8; 32], u64)>().prop_map(|(file, first)| {
            Request::Holds(Holds {
                file,
                first: first & !7,
            })
        }),
        any_digest().prop_map(Request::Digest),
        (any_key(), any_signed_kind(), option::of(any_cursor()))
            .prop_map(|(slot, kind, since)| Request::Watch(Watch { slot, kind, since })),
        (any_key(), any_signed_kind())
            .prop_map(|(slot, kind)| Request::Unwatch(Unwatch { slot, kind })),
        any_notify().prop_map(Request::Notify),
    ]
}

pub(crate) fn any_found() -> impl Strategy<Value = Found> {
    let oversize = any::<(u32, [u8; 32])>().prop_map(|(size, hash)| Oversize { size, hash });
    (
        vec(any_record(600), 0..6),
        vec(any_contact(), 0..=CONTACTS_MAX),
        any::<bool>(),
        option::of(any_key()),
        option::of(oversize),
    )
        .prop_map(|(records, contacts, same, cursor, oversize)| Found {
            records,
            contacts,
            same,
            cursor,
            oversize,
        })
}

pub(crate) fn any_reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(Reason::ALL.to_vec())
}

pub(crate) fn any_answer() -> impl Strategy<Value = Answer> {
    let pong = (any::<(u32, u32, u64, bool)>(), option::of(any_address())).prop_map(
        |((lowest_version, highest_version, features, storing), observed)| Pong {
            lowest_version,
            highest_version,
            features,
            storing,
            observed,
        },
    );
    let result = prop_oneof![
        any::<(bool, bool)>().prop_map(|(committed, conflict)| StoreResult::Stored {
            committed,
            conflict
        }),
        any::<(bool, bool)>().prop_map(|(committed, conflict)| StoreResult::Renewed {
            committed,
            conflict
        }),
        any_reason().prop_map(StoreResult::Refused),
    ];
    prop_oneof![
        pong.prop_map(Answer::Pong),
        vec(any_contact(), 0..=CONTACTS_MAX).prop_map(Answer::Contacts),
        any_found().prop_map(Answer::Found),
        vec(result, 0..=ITEMS_MAX).prop_map(Answer::Stored),
        any::<bool>().prop_map(|reached| Answer::DialedBack { reached }),
        any_stream().prop_map(Answer::Stream),
        vec(any_offer_result(), 0..=OFFER_CHUNKS_MAX).prop_map(Answer::Offered),
        any_held().prop_map(Answer::Held),
        vec(any_range_digest(), 0..3).prop_map(Answer::Digested),
        (any::<u32>(), any_cursor()).prop_map(|(lease_seconds, cursor)| {
            Answer::Watched(Watched {
                lease_seconds,
                cursor,
            })
        }),
        any::<u64>().prop_map(|number| Answer::Notified { number }),
        Just(Answer::Unwatched),
        any_reason().prop_map(Answer::Refused),
    ]
}
