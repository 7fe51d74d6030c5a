//! Whatever can be said arrives as it was said, and an answer that has to be short loses the
//! farthest contacts and nothing else.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_routing::{Contact, Families, Key, NodeKey, canonical};
use qadom_wire::{
    Answer, BODY_MAX, BodyTooLong, CONTACTS_MAX, DialBack, Find, FindNode, Found, HELLO_LENGTH_MAX,
    Hello, ITEMS_MAX, IdRange, Kind, Oversize, Ping, Pong, Reason, Record, Request, SourceGroup,
    Store, StoreClass, StoreItem, StoreResult, Stream, VALUE_MAX, Value, pack_contacts,
    unpack_contacts,
};

fn any_key() -> impl Strategy<Value = Key> {
    any::<[u8; 32]>().prop_map(Key::from_bytes)
}

fn any_v4() -> impl Strategy<Value = SocketAddrV4> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port))
}

/// IPv6 addresses that stand for themselves; mapped ones have a test of their own.
fn any_v6() -> impl Strategy<Value = SocketAddrV6> {
    (any::<[u8; 16]>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddrV6::new(ip.into(), port, 0, 0))
        .prop_filter("mapped", |v6| canonical((*v6).into()).is_ipv6())
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any_v4().prop_map(SocketAddr::from),
        any_v6().prop_map(SocketAddr::from)
    ]
}

fn any_contact() -> impl Strategy<Value = Contact> {
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

fn any_hello() -> impl Strategy<Value = Hello> {
    (any::<bool>(), option::of(any_v4()), option::of(any_v6()))
        .prop_map(|(storing, v4, v6)| Hello { storing, v4, v6 })
}

fn any_families() -> impl Strategy<Value = Families> {
    any::<(bool, bool)>().prop_map(|(v4, v6)| Families { v4, v6 })
}

fn any_record(longest: usize) -> impl Strategy<Value = Record> {
    let value = vec(any::<u8>(), 0..=longest)
        .prop_map(|bytes| Record::Value(Value::new(bytes.into()).expect("short enough")));
    prop_oneof![9 => value, 1 => Just(Record::Unknown)]
}

fn any_item(longest: usize) -> impl Strategy<Value = StoreItem> {
    let class = prop::sample::select(vec![
        StoreClass::FirstHand,
        StoreClass::Replica,
        StoreClass::Cached,
    ]);
    let source = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
    ];
    (any_record(longest), class, any::<u32>(), option::of(source)).prop_map(
        |(record, class, ttl_seconds, source)| StoreItem {
            record,
            class,
            ttl_seconds,
            group: source.map(SourceGroup::of),
            exclusive: false,
        },
    )
}

fn any_find() -> impl Strategy<Value = Find> {
    let kind = prop::sample::select(vec![
        Kind::Value,
        Kind::BagItem,
        Kind::DictCell,
        Kind::NamespaceEntry,
        Kind::Event,
    ]);
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

fn any_stream() -> impl Strategy<Value = Stream> {
    any::<[u8; 32]>().prop_map(|fingerprint| Stream { fingerprint })
}

fn any_request() -> impl Strategy<Value = Request> {
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
    ]
}

fn any_found() -> impl Strategy<Value = Found> {
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

fn any_reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(Reason::ALL.to_vec())
}

fn any_answer() -> impl Strategy<Value = Answer> {
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
        any_reason().prop_map(Answer::Refused),
    ]
}

/// The answer with only its first `count` contacts.
fn with_contacts(answer: &Answer, count: usize) -> Answer {
    let mut answer = answer.clone();
    match &mut answer {
        Answer::Contacts(contacts) => contacts.truncate(count),
        Answer::Found(found) => found.contacts.truncate(count),
        _ => {}
    }
    answer
}

fn contacts_of(answer: &Answer) -> usize {
    match answer {
        Answer::Contacts(contacts) => contacts.len(),
        Answer::Found(found) => found.contacts.len(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn requests_arrive(request in any_request()) {
        prop_assert_eq!(Request::decode(request.encode()), Ok(request));
    }

    #[test]
    fn answers_arrive(answer in any_answer()) {
        prop_assert_eq!(Answer::decode(answer.encode()), Ok(answer));
    }

    #[test]
    fn hellos_arrive(hello in any_hello()) {
        let packed = hello.pack();
        prop_assert!(packed.len() <= HELLO_LENGTH_MAX);
        prop_assert_eq!(Hello::unpack(&packed), Ok(hello));
    }

    #[test]
    fn packed_contacts_are_the_longest_beginning_that_fits(
        contacts in vec(any_contact(), 0..70),
        limit in 0_usize..4000,
    ) {
        let packed = pack_contacts(&contacts, limit);
        prop_assert!(packed.len() <= limit);
        let unpacked = unpack_contacts(&packed).expect("valid");
        prop_assert_eq!(unpacked.as_slice(), &contacts[..unpacked.len()]);
        if unpacked.len() < contacts.len().min(CONTACTS_MAX) {
            let more = pack_contacts(&contacts[..=unpacked.len()], usize::MAX);
            prop_assert!(more.len() > limit);
        }
    }

    #[test]
    fn a_shorter_answer_lacks_the_last_contacts_and_nothing_else(
        answer in any_answer(),
        limit in 0_usize..4500,
    ) {
        match answer.encode_within(limit) {
            Ok(body) => {
                prop_assert!(body.len() <= limit);
                let read = Answer::decode(body).expect("valid");
                let kept = contacts_of(&read);
                prop_assert_eq!(&read, &with_contacts(&answer, kept));
                if kept < contacts_of(&answer) {
                    prop_assert!(with_contacts(&answer, kept + 1).encode().len() > limit);
                }
            }
            Err(BodyTooLong { needed, limit: told }) => {
                prop_assert_eq!(told, limit);
                prop_assert_eq!(needed, with_contacts(&answer, 0).encode().len());
                prop_assert!(needed > limit);
            }
        }
    }

    #[test]
    fn batches_hold_every_item_in_order(items in vec(any_item(VALUE_MAX), 0..12)) {
        let batches = Store::batches(items.clone());
        for batch in &batches {
            prop_assert!(Request::Store(batch.clone()).encode().len() <= BODY_MAX);
        }
        for pair in batches.windows(2) {
            let mut joined = pair[0].clone();
            joined.items.push(pair[1].items[0].clone());
            prop_assert!(Request::Store(joined).encode().len() > BODY_MAX, "room was left");
        }
        let batched: Vec<StoreItem> = batches.into_iter().flat_map(|batch| batch.items).collect();
        prop_assert_eq!(batched, items);
    }

    #[test]
    fn a_mapped_address_arrives_as_the_ipv4_address_it_stands_for(v4 in any_v4(), other in any_v4()) {
        let mapped = SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0);
        let key = NodeKey::new([9; 32]).expect("a node key");
        for (given, expected) in [(None, v4), (Some(other), other)] {
            let contact = Contact::new(key, given, Some(mapped), true).expect("it has an address");
            let unpacked = unpack_contacts(&pack_contacts([&contact], 39)).expect("valid");
            prop_assert_eq!(unpacked, vec![Contact::at(key, expected.into(), true)]);
            let hello = Hello { storing: false, v4: given, v6: Some(mapped) };
            let read = Hello::unpack(&hello.pack()).expect("valid");
            prop_assert_eq!(read, Hello { v4: Some(expected), v6: None, ..hello });
        }
        let pong = Pong { observed: Some(mapped.into()), ..Pong::default() };
        let plain = Pong { observed: Some(v4.into()), ..pong };
        prop_assert_eq!(Answer::Pong(pong).encode(), Answer::Pong(plain).encode());
        let read = Answer::decode(Answer::Pong(pong).encode());
        prop_assert_eq!(read, Ok(Answer::Pong(plain)));
    }
}

#[test]
fn many_small_items_are_split_at_the_limit_of_a_list() {
    let item = StoreItem {
        record: Record::Value(Value::new(Bytes::new()).expect("short")),
        class: StoreClass::FirstHand,
        ttl_seconds: 60,
        group: None,
        exclusive: false,
    };
    for (count, batches) in [
        (0, vec![]),
        (ITEMS_MAX, vec![ITEMS_MAX]),
        (ITEMS_MAX + 1, vec![ITEMS_MAX, 1]),
    ] {
        let lengths: Vec<usize> = Store::batches(vec![item.clone(); count])
            .iter()
            .map(|batch| batch.items.len())
            .collect();
        assert_eq!(lengths, batches);
    }
}

#[test]
fn a_batch_is_filled_to_the_last_byte() {
    let item = |length: usize| StoreItem {
        record: Record::Value(Value::new(vec![7; length].into()).expect("short enough")),
        class: StoreClass::FirstHand,
        ttl_seconds: 60,
        group: None,
        exclusive: false,
    };
    let mut longest = 0;
    for length in 800..1000 {
        let items = vec![item(8000), item(length)];
        let store = Store {
            items: items.clone(),
        };
        let whole = Request::Store(store).encode().len();
        let expected = if whole <= BODY_MAX { 1 } else { 2 };
        assert_eq!(Store::batches(items).len(), expected, "{whole} bytes");
        longest = longest.max(if expected == 1 { whole } else { 0 });
    }
    assert_eq!(longest, BODY_MAX);
}
