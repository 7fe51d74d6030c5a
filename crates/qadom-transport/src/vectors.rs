//! The bytes of `tests/vectors/wire.json`, made by an independent implementation, against every
//! layout of this crate.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::address::{pack_observed, unpack_observed};
use crate::cookie;
use crate::frame::{Direction, Frame, Outgoing};
use crate::handshake::{InitPayload, RespPayload};
use crate::hello::Hello;
use crate::key::{SecretKey, is_node_key};
use crate::message::{Envelope, Message};
use crate::packet::{
    CookiePacket, DataHeader, Iam, InitHeader, MismatchPacket, Reset, RespHeader, Who, data_size,
};
use crate::reader::Reader;
use crate::session::Session;
use crate::suite::{NoiseSuite, Opening, SessionKeys, Suite};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../tests/vectors/wire.json")).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER
        .decode(value.as_str().expect("a string").as_bytes())
        .unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

fn secret(vectors: &Value, node: &str) -> SecretKey {
    SecretKey::from_bytes(array(&vectors["node"][node]["secret"]))
}

fn prologue(network_id: &Value, packet: &[u8]) -> Vec<u8> {
    [b"qadom 1", &hex(network_id)[..], &packet[..16]].concat()
}

#[test]
fn node_keys() {
    let vectors = vectors();
    for node in ["a", "b"] {
        let public = secret(&vectors, node).public();
        assert_eq!(public, array(&vectors["node"][node]["key"]));
        assert!(is_node_key(&public));
    }
    for refused in vectors["refused_keys"].as_array().unwrap() {
        assert!(!is_node_key(&array(refused)), "{refused}");
    }
}

#[test]
fn observed_addresses() {
    let observed = &vectors()["observed"];
    for (name, address) in [("v4", "192.0.2.1:4001"), ("v6", "[2001:db8::1]:4001")] {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(pack_observed(address), array(&observed[name]));
        assert_eq!(unpack_observed(&array(&observed[name])), Some(address));
    }
    let mapped = "[::ffff:192.0.2.1]:4001".parse().unwrap();
    assert_eq!(pack_observed(mapped), array(&observed["v4"]));
}

/// What the vectors' initiator says of itself; the responder says nothing.
fn dual() -> Hello {
    Hello {
        storing: true,
        v4: Some("192.0.2.1:4001".parse().unwrap()),
        v6: Some("[2001:db8::1]:4001".parse().unwrap()),
    }
}

#[test]
fn hellos() {
    for (name, hello) in [("empty", Hello::default()), ("storing, dual", dual())] {
        let expected = hex(&vectors()["hello"][name]);
        let mut packed = BytesMut::new();
        hello.pack(&mut packed);
        assert_eq!(packed, expected);
        assert_eq!(hello.length(), expected.len());
        assert_eq!(Hello::unpack(&mut Reader::new(&expected)), Some(hello));
    }
}

#[test]
fn mac_keys() {
    let vectors = vectors();
    for (section, label) in [
        ("mac1_key", "qadom 1 mac1"),
        ("cookie_key", "qadom 1 cookie"),
    ] {
        for (node, key) in vectors[section].as_object().unwrap() {
            let own = array(&vectors["node"][node]["key"]);
            assert_eq!(
                NoiseSuite::mac_key(label.as_bytes(), &own),
                array::<32>(key)
            );
        }
    }
}

/// INIT byte for byte from its fixed ephemeral key; gives its handshake message, and the
/// initiator that waits for RESP.
fn init(vectors: &Value) -> (Vec<u8>, <NoiseSuite as Suite>::Initiator) {
    let init = &vectors["init"];
    let expected = hex(&init["packet"]);
    let header = InitHeader {
        version: 1,
        class: 0,
        sender: 0x0102_0304,
        wire_tag: array(&vectors["network"][0]["wire_tag"]),
    };
    assert_eq!(InitHeader::parse(&expected), Some(header));
    let prologue = prologue(&vectors["network"][0]["network_id"], &header.bytes());
    assert_eq!(prologue, hex(&init["prologue"]));

    let (id, body) = request(vectors);
    let mut payload = BytesMut::new();
    assert!(InitPayload::write(
        &dual(),
        &Envelope::request(id, body),
        368,
        &mut payload
    ));
    let ann = NoiseSuite::new(secret(vectors, "a"));
    let ephemeral = array(&init["ephemeral_secret"]);
    let opening = Opening {
        prologue: &prologue,
        ephemeral: &ephemeral,
    };
    let bob = array(&vectors["node"]["b"]["key"]);
    let mut message = vec![0; 464];
    let initiator = ann.initiate(opening, &bob, &payload, &mut message).unwrap();
    let packet = with_macs(&header.bytes(), &message, &vectors["mac1_key"]["b"]);
    assert_eq!(HEXLOWER.encode(&packet), HEXLOWER.encode(&expected));
    (message, initiator)
}

/// RESP likewise, in answer to that message; gives its handshake message and the responder's
/// keys.
fn resp(vectors: &Value, init_message: &[u8]) -> (Vec<u8>, SessionKeys) {
    let resp = &vectors["resp"];
    let bob = NoiseSuite::new(secret(vectors, "b"));
    let prologue = hex(&vectors["init"]["prologue"]);
    let ephemeral = array(&resp["ephemeral_secret"]);
    let opening = Opening {
        prologue: &prologue,
        ephemeral: &ephemeral,
    };
    let mut opened = vec![0; 368];
    let (key, responder) = bob.accept(opening, init_message, &mut opened).unwrap();
    assert_eq!(key, secret(vectors, "a").public());
    let parsed = InitPayload::parse(&opened).unwrap();
    assert_eq!(parsed.hello, dual());
    let (id, body) = request(vectors);
    assert_eq!(parsed.message, Message::Request { id, body });

    let expected = hex(&resp["packet"]);
    let header = RespHeader {
        version: 1,
        sender: 0x0a0b_0c0d,
        receiver: 0x0102_0304,
    };
    assert_eq!(RespHeader::parse(&expected), Some(header));
    let answer = hex(&resp["message"]);
    let utc = u64::from_le_bytes(answer[9..17].try_into().unwrap());
    let answer = Envelope::answer(id, utc, Bytes::copy_from_slice(&answer[17..]));
    let token = array(&resp["reset_token"]);
    let front = (&token, "192.0.2.1:4001".parse().unwrap());
    let mut payload = BytesMut::new();
    assert!(RespPayload::write(
        front,
        &Hello::default(),
        &answer,
        512 - 92,
        &mut payload
    ));
    let mut message = vec![0; 512 - 12 - 32];
    let keys = bob.respond(responder, &payload, &mut message).unwrap();
    let packet = with_macs(&header.bytes(), &message, &vectors["mac1_key"]["a"]);
    assert_eq!(HEXLOWER.encode(&packet), HEXLOWER.encode(&expected));
    (message, keys)
}

/// The whole handshake; gives the session keys of initiator and responder.
fn handshake() -> (SessionKeys, SessionKeys) {
    let vectors = vectors();
    let (message, mut initiator) = init(&vectors);
    let (message, bob_keys) = resp(&vectors, &message);
    let ann = NoiseSuite::new(secret(&vectors, "a"));
    let mut opened = vec![0; 512 - 92];
    let mut damaged = message.clone();
    damaged[100] ^= 1;
    assert!(
        ann.complete(&mut initiator, &damaged, &mut opened)
            .is_none()
    );
    let ann_keys = ann.complete(&mut initiator, &message, &mut opened).unwrap();
    let parsed = RespPayload::parse(&opened).unwrap();
    assert_eq!(parsed.reset_token, array(&vectors["resp"]["reset_token"]));
    assert_eq!(parsed.observed, "192.0.2.1:4001".parse().unwrap());
    (ann_keys, bob_keys)
}

fn request(vectors: &Value) -> ([u8; 8], Bytes) {
    let message = hex(&vectors["init"]["message"]);
    (
        message[1..9].try_into().unwrap(),
        Bytes::copy_from_slice(&message[9..]),
    )
}

fn with_macs(header: &[u8], message: &[u8], mac1_key: &Value) -> Vec<u8> {
    let mut packet = [header, message].concat();
    packet.extend(NoiseSuite::mac(&array::<32>(mac1_key), &[&packet]));
    packet.extend([0; 16]);
    packet
}

#[test]
fn init_resp_and_split() {
    let split = &vectors()["split"];
    let (ann, bob) = handshake();
    assert_eq!(ann.send, array(&split["initiator_to_responder"]));
    assert_eq!(ann.receive, array(&split["responder_to_initiator"]));
    assert_eq!((bob.send, bob.receive), (ann.receive, ann.send));
}

#[test]
fn mac2_of_an_init() {
    let vectors = vectors();
    let packet = hex(&vectors["init"]["packet"]);
    let with = &vectors["init"]["mac2_with_cookie"];
    let mac2 = NoiseSuite::mac(&hex(&with["cookie"]), &[&packet[..496]]);
    assert_eq!(mac2, array(&with["mac2"]));
}

#[test]
fn cookies() {
    let vectors = vectors();
    let vector = &vectors["cookie"];
    let key = array(&vectors["cookie_key"]["b"]);
    let (cookie, mac1) = (array(&vector["cookie"]), array(&vector["ad"]));
    assert_eq!(mac1, array(&vectors["init"]["mac1"]));
    let sealed = cookie::seal(&key, array(&vector["nonce"]), (0x0102_0304, &mac1), &cookie);
    let sealed = sealed.unwrap();
    let mut packet = BytesMut::new();
    sealed.write(&mut packet);
    assert_eq!(packet, hex(&vector["packet"]));
    assert_eq!(CookiePacket::parse(&packet), Some(sealed));
    assert_eq!(*cookie::open(&key, &mac1, &sealed).unwrap(), cookie);
    assert!(cookie::open(&key, &[0; 16], &sealed).is_none());
}

fn session(keys: SessionKeys, remote: u32) -> Session {
    let address = "192.0.2.1:4001".parse().unwrap();
    Session::new(([0; 32], address), keys, remote, std::time::Duration::ZERO)
}

#[test]
fn data_packets() {
    let vectors = vectors();
    let (ann_keys, bob_keys) = handshake();
    let mut ann = session(ann_keys, 0x0a0b_0c0d);
    let mut bob = session(bob_keys, 0x0102_0304);
    let mut arena = BytesMut::new();
    let open = |session: &mut Session, packet: &[u8]| {
        let mut packet = packet.to_vec();
        let header = DataHeader::parse(&packet).unwrap();
        let (from, now) = (session.address(), session.heard());
        session
            .open::<NoiseSuite>(header, from, &mut packet, now)
            .map(<[u8]>::to_vec)
    };

    let expected = hex(&vectors["data"]["initiator, counter 0, empty"]);
    let sealed = ann
        .seal::<NoiseSuite>(&Outgoing::Empty, &mut arena)
        .unwrap();
    assert_eq!(sealed, expected);
    assert_eq!(
        Frame::parse(&open(&mut bob, &sealed).unwrap()),
        Some(Frame::Empty)
    );
    assert!(open(&mut bob, &sealed).is_err(), "opened twice");

    // The vector's message is whatever it holds; sealed again it gives the same packet.
    let cases = [
        ("initiator, counter 1, whole", true),
        ("responder, counter 0, whole", false),
    ];
    for (name, is_from_ann) in cases {
        let (from, to) = if is_from_ann {
            (&mut ann, &mut bob)
        } else {
            (&mut bob, &mut ann)
        };
        let expected = hex(&vectors["data"][name]);
        let plaintext = open(to, &expected).unwrap();
        let Some(Frame::Whole(message)) = Frame::parse(&plaintext) else {
            panic!("{name}")
        };
        let envelope = match Message::parse(&Bytes::copy_from_slice(message)).unwrap() {
            Message::Request { id, body } => Envelope::request(id, body),
            Message::Answer {
                id,
                utc_micros,
                body,
            } => Envelope::answer(id, utc_micros, body),
            Message::Busy { id, retry_after_ms } => Envelope::busy(id, retry_after_ms),
        };
        let sealed = from
            .seal::<NoiseSuite>(&Outgoing::Whole(&envelope), &mut arena)
            .unwrap();
        assert_eq!(
            HEXLOWER.encode(&sealed),
            HEXLOWER.encode(&expected),
            "{name}"
        );
    }
}

#[test]
fn padding_classes() {
    for (plaintext, size) in [(3, 64), (32, 64), (33, 128), (1168, 1200)] {
        assert_eq!(data_size(plaintext), Some(size));
    }
    assert_eq!(data_size(1169), None);
}

#[test]
fn frames() {
    let frames = &vectors()["frames"];
    let write = |frame: &Outgoing<'_>| {
        let mut out = BytesMut::new();
        frame.write(&mut out);
        assert_eq!(out.len(), frame.length());
        out
    };
    let packed = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
        [&length[..], bytes, &[0; 9]].concat()
    };
    // The second piece of a request of 1209 bytes that are all zero at its end.
    let id = array(&Value::from("cbe0a134f947ee5f"));
    let vector = hex(&frames["piece 1 of 2"]);
    let message = Envelope::request(id, Bytes::from(vec![0; 1209 - 9]));
    let piece = Outgoing::Piece {
        id,
        direction: Direction::Request,
        index: 1,
        of: &message,
    };
    assert_eq!(write(&piece), vector);
    assert!(matches!(Frame::parse(&packed(&vector)), Some(Frame::Piece(p)) if p.index == 1));

    let need = hex(&frames["need 2,3"]);
    let direction = if need[9] == 0 {
        Direction::Request
    } else {
        Direction::Answer
    };
    assert_eq!(
        write(&Outgoing::Need {
            id,
            direction,
            bitmap: 0b1100
        }),
        need
    );
    assert_eq!(
        Frame::parse(&packed(&need)),
        Some(Frame::Need {
            id,
            direction,
            bitmap: 0b1100
        })
    );

    let busy = Bytes::from(hex(&frames["busy 1500"]));
    assert_eq!(
        Message::parse(&busy),
        Some(Message::Busy {
            id,
            retry_after_ms: 1500
        })
    );
    let envelope = Envelope::busy(id, 1500);
    let mut written = BytesMut::new();
    envelope.write(0, envelope.length(), &mut written);
    assert_eq!(written, busy);
}

#[test]
fn who_iam_mismatch_reset() {
    let vectors = vectors();
    let (who, iam) = (hex(&vectors["who"]), hex(&vectors["iam"]));
    let (mismatch, reset) = (hex(&vectors["mismatch"]), hex(&vectors["reset"]));
    let mut out = BytesMut::new();
    Who::parse(&who).unwrap().write(&mut out);
    assert_eq!(out.split(), who);
    let parsed = Iam::parse(&iam).unwrap();
    assert_eq!(parsed.key, array(&vectors["node"]["b"]["key"]));
    parsed.write(&mut out);
    assert_eq!(out.split(), iam);
    let parsed = MismatchPacket::parse(&mismatch).unwrap();
    assert_eq!(
        (parsed.receiver, parsed.theirs.k, parsed.theirs.id_bits),
        (0x0102_0304, 20, 0)
    );
    assert_eq!(
        parsed.theirs.wire_tag,
        array(&vectors["network"][1]["wire_tag"])
    );
    parsed.write(&mut out);
    assert_eq!(out.split(), mismatch);
    let parsed = Reset::parse(&reset).unwrap();
    assert_eq!(parsed.token, array(&vectors["resp"]["reset_token"]));
    assert_eq!(parsed.index, 0x0a0b_0c0d);
    parsed.write(&mut out);
    assert_eq!(out.split(), reset);
}
