//! Messages, contacts, hellos and batches of stores.

use std::net::SocketAddrV6;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_routing::{Contact, NodeKey};
use qadom_wire::*;

use crate::any::*;

/// The answer with only its first records and contacts, and with the differences that `read` names.
/// Where records are missing, the cursor names the first of them.
fn shortened(answer: &Answer, read: &Answer, records: usize, contacts: usize) -> Answer {
    let mut answer = answer.clone();
    match (&mut answer, read) {
        (Answer::Contacts(list), _) => list.truncate(contacts),
        (Answer::Found(found), _) => {
            if let Some(Record::Signed(next)) = found.records.get(records) {
                found.cursor = Some(*next.id());
                found.records.truncate(records);
            }
            found.contacts.truncate(contacts);
        }
        (Answer::Digested(ranges), Answer::Digested(read)) => {
            for (range, read) in ranges.iter_mut().zip(read) {
                if *read == RangeDigest::Differs {
                    *range = RangeDigest::Differs;
                }
            }
        }
        _ => {}
    }
    answer
}

fn records_of(answer: &Answer) -> usize {
    match answer {
        Answer::Found(found) => found.records.len(),
        _ => 0,
    }
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
    fn what_is_said_of_files_arrives(entry in any_file_entry(), contact in any_contact()) {
        prop_assert_eq!(FileEntry::decode(&entry.encode()), Ok(entry));
        let provider = Provider::new(contact);
        prop_assert_eq!(Provider::decode(&provider.encode()), Ok(provider));
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
    fn a_shorter_answer_lacks_its_end_and_nothing_else(
        answer in any_answer(),
        limit in 0_usize..4500,
    ) {
        match answer.encode_within(limit) {
            Ok(body) => {
                prop_assert!(body.len() <= limit);
                let read = Answer::decode(body).expect("valid");
                let (records, contacts) = (records_of(&read), contacts_of(&read));
                prop_assert_eq!(&read, &shortened(&answer, &read, records, contacts));
                if records < records_of(&answer) {
                    prop_assert!(records > 0);
                    prop_assert!(shortened(&answer, &answer, records + 1, 0).encode().len() > limit);
                }
                if contacts < contacts_of(&answer) {
                    let longer = shortened(&answer, &read, records, contacts + 1);
                    prop_assert!(longer.encode().len() > limit);
                }
            }
            Err(BodyTooLong { needed, limit: told }) => {
                prop_assert_eq!(told, limit);
                prop_assert!(needed > limit);
                prop_assert!(needed <= shortened(&answer, &answer, usize::MAX, 0).encode().len());
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
