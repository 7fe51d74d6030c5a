//! One committed body for every kind of message: what is encoded equals it, byte for byte, and
//! decoding it gives the message back. The bodies were written from the schema by hand, not by the
//! code under test.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use qadom_routing::{Contact, Families, Key, NodeKey};
use qadom_wire::{
    Answer, DialBack, Find, FindNode, Found, Hello, IdRange, Kind, Oversize, Ping, Pong, Reason,
    Record, Request, SourceGroup, Store, StoreClass, StoreItem, StoreResult, Stream, Value,
};

fn body(hex: &str) -> Bytes {
    HEXLOWER
        .decode(hex.trim_end().as_bytes())
        .expect("the file is hexadecimal")
        .into()
}

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn record(text: &'static str) -> Record {
    Record::Value(Value::new(text.into()).expect("the value is short"))
}

fn contact(families: Families, storing: bool) -> Contact {
    let key = "52163340af62b70053477e95d7b81a2859132c60029fc7677014664552d24349";
    let key = HEXLOWER.decode(key.as_bytes()).expect("hexadecimal");
    let key = NodeKey::new(key.try_into().expect("32 bytes")).expect("a node key");
    let v4 = families
        .v4
        .then(|| "192.0.2.1:4001".parse().expect("an address"));
    let v6 = families
        .v6
        .then(|| "[2001:db8::1]:4001".parse().expect("an address"));
    Contact::new(key, v4, v6, storing).expect("it has an address")
}

const IPV4_ONLY: Families = Families {
    v4: true,
    v6: false,
};
const IPV6_ONLY: Families = Families {
    v4: false,
    v6: true,
};

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
fn pings() {
    let plain = Request::Ping(Ping { hello: None });
    check_request(&plain, include_str!("vectors/messages/request_ping.hex"));
    let hello = Hello {
        storing: true,
        v4: contact(Families::BOTH, true).v4(),
        v6: contact(Families::BOTH, true).v6(),
    };
    let changed = Request::Ping(Ping { hello: Some(hello) });
    check_request(
        &changed,
        include_str!("vectors/messages/request_ping_hello.hex"),
    );
}

#[test]
fn find_node() {
    let request = Request::FindNode(FindNode {
        target: key(0x11),
        want: Families::BOTH,
    });
    check_request(
        &request,
        include_str!("vectors/messages/request_find_node.hex"),
    );
}

#[test]
fn finds() {
    let plain = Request::Find(Find {
        slot: key(0x22),
        kind: Kind::Value,
        range: None,
        have: None,
        want: IPV4_ONLY,
    });
    check_request(&plain, include_str!("vectors/messages/request_find.hex"));
    let ranged = Request::Find(Find {
        slot: key(0x22),
        kind: Kind::BagItem,
        range: IdRange::new(key(0x30), Some(key(0x40))),
        have: Some([0x55; 32]),
        want: IPV6_ONLY,
    });
    check_request(
        &ranged,
        include_str!("vectors/messages/request_find_range.hex"),
    );
}

#[test]
fn store() {
    let item = |text, class, ttl_seconds, source: Option<&str>| StoreItem {
        record: record(text),
        class,
        ttl_seconds,
        group: source.map(|source| SourceGroup::of(source.parse().expect("an address"))),
        exclusive: false,
    };
    let items = vec![
        item("sudo python", StoreClass::FirstHand, 129_600, None),
        item("", StoreClass::Replica, 60, Some("192.0.2.7")),
        item("v", StoreClass::Cached, 600, Some("2001:db8:1:2::3")),
    ];
    let request = Request::Store(Store { items });
    check_request(&request, include_str!("vectors/messages/request_store.hex"));
}

#[test]
fn dial_back() {
    let address = "192.0.2.1:4001".parse().expect("an address");
    let key = *contact(IPV4_ONLY, true).key();
    check_request(
        &Request::DialBack(DialBack { address, key }),
        include_str!("vectors/messages/request_dial_back.hex"),
    );
    for (reached, body) in [
        (
            true,
            include_str!("vectors/messages/answer_dialed_back.hex"),
        ),
        (
            false,
            include_str!("vectors/messages/answer_dialed_back_not.hex"),
        ),
    ] {
        check_answer(&Answer::DialedBack { reached }, body);
    }
}

#[test]
fn pong() {
    let observed: SocketAddr = "[2001:db8::1]:4001".parse().expect("an address");
    let answer = Answer::Pong(Pong {
        lowest_version: 1,
        highest_version: 3,
        features: 1 << 63 | 1,
        storing: true,
        observed: Some(observed),
    });
    check_answer(&answer, include_str!("vectors/messages/answer_pong.hex"));
}

#[test]
fn contacts() {
    let answer = Answer::Contacts(vec![
        contact(IPV4_ONLY, true),
        contact(IPV6_ONLY, false),
        contact(Families::BOTH, true),
    ]);
    check_answer(
        &answer,
        include_str!("vectors/messages/answer_contacts.hex"),
    );
}

#[test]
fn founds() {
    let full = Answer::Found(Found {
        records: vec![record("sudo python")],
        contacts: vec![contact(IPV4_ONLY, true), contact(Families::BOTH, true)],
        cursor: Some(key(0x66)),
        ..Found::default()
    });
    check_answer(&full, include_str!("vectors/messages/answer_found.hex"));
    let same = Answer::Found(Found {
        same: true,
        ..Found::default()
    });
    check_answer(
        &same,
        include_str!("vectors/messages/answer_found_same.hex"),
    );
    let oversize = Answer::Found(Found {
        contacts: vec![contact(IPV6_ONLY, false)],
        oversize: Some(Oversize {
            size: 8201,
            hash: [0x77; 32],
        }),
        ..Found::default()
    });
    check_answer(
        &oversize,
        include_str!("vectors/messages/answer_found_oversize.hex"),
    );
}

#[test]
fn stored() {
    let answer = Answer::Stored(vec![
        StoreResult::Stored {
            committed: true,
            conflict: false,
        },
        StoreResult::Renewed {
            committed: false,
            conflict: false,
        },
        StoreResult::Refused(Reason::TooLarge),
    ]);
    check_answer(&answer, include_str!("vectors/messages/answer_stored.hex"));
}

#[test]
fn stream() {
    let stream = Stream {
        fingerprint: [0xab; 32],
    };
    let body = include_str!("vectors/messages/stream.hex");
    check_request(&Request::Stream(stream), body);
    check_answer(&Answer::Stream(stream), body);
}

#[test]
fn refused() {
    let answer = Answer::Refused(Reason::NotConfirmed);
    check_answer(&answer, include_str!("vectors/messages/answer_refused.hex"));
}
