//! First contact: how many datagrams and round trips it takes, and what may travel in it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_transport::{Class, Event, FailReason, Path};

use crate::wire::{CALM, DATA, End, IAM, INIT, RESET, RESP, Service, WHO, Wire, address};

const TRIP: Duration = Duration::from_millis(20);

#[test]
fn a_known_key_is_asked_and_answers_in_one_round_trip_of_two_datagrams() {
    for class in [Class::Short, Class::Long] {
        let mut wire = Wire::new(1, 2, CALM);
        let begin = wire.now;
        let body = b"a question nobody else can read";
        let mut outgoing = wire.outgoing(1, 7, body, true);
        outgoing.class = class;
        wire.request(0, outgoing);
        let end = wire.run_to_end(0, 7, Duration::from_secs(9));
        assert_eq!(end, Some(End::Answer(Bytes::from_static(body))));
        assert_eq!(wire.since(begin), TRIP);
        assert_eq!(wire.kinds(), [INIT, RESP]);
        let size = if class == Class::Short { 512 } else { 1200 };
        for sent in &wire.sent {
            assert_eq!(sent.bytes.len(), size);
            assert!(
                !sent.bytes.windows(8).any(|window| window == &body[..8]),
                "in the clear"
            );
        }
    }
}

#[test]
fn an_address_without_a_key_is_joined_in_two_round_trips() {
    let mut wire = Wire::new(1, 2, CALM);
    let (begin, now, address) = (wire.now, wire.time(), wire.nodes[1].address);
    wire.nodes[0].endpoint.identify(now, 1, address);
    wire.drain(0);
    let end = wire.run_to_end(0, 1, Duration::from_secs(9));
    assert_eq!(end, Some(End::Identified(wire.key(1))));
    assert!(matches!(wire.ask(0, 1, 2, b"x"), Some(End::Answer(_))));
    assert_eq!(wire.since(begin), TRIP * 2);
    assert_eq!(wire.kinds(), [WHO, IAM, INIT, RESP]);
}

#[test]
fn what_may_not_travel_first_follows_a_ping() {
    let mut wire = Wire::new(1, 2, CALM);
    let begin = wire.now;
    wire.request(0, wire.outgoing(1, 1, b"store this", false));
    let end = wire.run_to_end(0, 1, Duration::from_secs(9));
    assert_eq!(end, Some(End::Answer(Bytes::from_static(b"store this"))));
    assert_eq!(wire.since(begin), TRIP * 2);
    assert_eq!(wire.kinds(), [INIT, RESP, DATA, DATA]);
    let asked: Vec<_> = wire.nodes[1]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Request {
                body, confirmed, ..
            } => Some((body.clone(), *confirmed)),
            _ => None,
        })
        .collect();
    let expected = [
        (Bytes::from_static(b"ping"), false),
        (Bytes::from_static(b"store this"), true),
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_cold_answer_of_1200_bytes_holds_20_ipv6_contacts() {
    let mut wire = Wire::new(1, 2, CALM);
    let hello = qadom_transport::Hello {
        storing: true,
        v4: Some("192.0.2.9:1".parse().unwrap()),
        v6: Some("[2001:db8::9]:1".parse().unwrap()),
    };
    wire.nodes[1].endpoint.set_hello(hello);
    wire.nodes[1].service = Service::Long(9000);
    let mut outgoing = wire.outgoing(1, 1, b"x", true);
    outgoing.class = Class::Long;
    wire.request(0, outgoing);
    let Some(End::Answer(body)) = wire.run_to_end(0, 1, Duration::from_secs(9)) else {
        panic!()
    };
    assert_eq!(body.len(), 20 * 51 + 8);
    assert!(wire.nodes[0].events.iter().any(|event| {
        matches!(event, Event::Confirmed { hello: heard, .. } if *heard == hello)
    }));
}

#[test]
fn the_initiator_proves_itself_within_a_second_and_only_then_the_responder_believes() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    let is_confirmed = |event: &Event| matches!(event, Event::Confirmed { .. });
    assert_eq!(wire.nodes[0].count(is_confirmed), 1);
    assert_eq!(wire.nodes[1].count(is_confirmed), 0);
    assert!(!wire.nodes[1].endpoint.has_session(&wire.key(0)));
    wire.run(Duration::from_secs(1));
    assert_eq!(wire.kinds(), [INIT, RESP, DATA]);
    assert_eq!(wire.sent[2].bytes.len(), 64);
    assert_eq!(wire.nodes[1].count(is_confirmed), 1);
}

#[test]
fn a_responder_sends_no_data_before_it_opened_some() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.request(1, wire.outgoing(0, 2, b"y", true));
    assert_eq!(wire.kinds(), [INIT, RESP, INIT]);
    let end = wire.run_to_end(1, 2, Duration::from_secs(9));
    assert_eq!(end, Some(End::Answer(Bytes::from_static(b"y"))));
}

#[test]
fn warm_requests_take_one_round_trip_in_padded_packets() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    for (token, length, size) in [(2, 20, 64), (3, 21, 128), (4, 300, 512), (5, 1156, 1200)] {
        let (begin, before) = (wire.now, wire.sent.len());
        wire.nodes[1].service = Service::Long(1);
        wire.request(0, wire.outgoing(1, token, &vec![9; length], false));
        assert!(wire.run_to_end(0, token, Duration::from_secs(9)).is_some());
        assert_eq!(wire.since(begin), TRIP, "{length} bytes");
        assert_eq!(wire.sent.len() - before, 2);
        assert_eq!(wire.sent[before].bytes.len(), size, "{length} bytes");
    }
}

#[test]
fn both_sides_learn_how_they_are_seen() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    let (key, address) = (wire.key(1), wire.nodes[0].address);
    assert!(
        wire.nodes[0]
            .events
            .contains(&Event::Observed { key, address })
    );
}

#[test]
fn what_cannot_be_sent_fails_at_once() {
    let mut wire = Wire::new(1, 2, CALM);
    let own = wire.outgoing(0, 1, b"x", true);
    wire.request(0, own);
    let mut no_key = wire.outgoing(1, 2, b"x", true);
    no_key.key = [0; 32];
    wire.request(0, no_key);
    wire.request(
        0,
        wire.outgoing(1, 3, &[0; qadom_transport::BODY_MAX + 1], false),
    );
    assert_eq!(wire.end(0, 1), Some(End::Failed(FailReason::WrongKey)));
    assert_eq!(wire.end(0, 2), Some(End::Failed(FailReason::WrongKey)));
    assert_eq!(wire.end(0, 3), Some(End::Failed(FailReason::TooLong)));
    assert!(wire.sent.is_empty());
    wire.request(
        0,
        wire.outgoing(1, 4, &[0; qadom_transport::BODY_MAX], false),
    );
    let end = wire.run_to_end(0, 4, Duration::from_secs(9));
    assert_eq!(
        end,
        Some(End::Answer(Bytes::from(vec![0; qadom_transport::BODY_MAX])))
    );
}

#[test]
fn busy_reaches_the_asker_cold_and_warm() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.nodes[1].service = Service::Busy(1500);
    let busy = Some(End::Failed(FailReason::Busy {
        retry_after_ms: 1500,
    }));
    assert_eq!(wire.ask(0, 1, 1, b"x"), busy);
    assert_eq!(wire.ask(0, 1, 2, b"x"), busy);
    assert_eq!(wire.kinds(), [INIT, RESP, DATA, DATA]);
}

#[test]
fn a_probe_uses_a_handshake_although_there_is_a_session() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(1));
    let (now, probe) = (wire.time(), wire.outgoing(1, 2, b"there?", true));
    wire.nodes[0].endpoint.probe(now, probe);
    wire.drain(0);
    let end = wire.run_to_end(0, 2, Duration::from_secs(9));
    assert_eq!(end, Some(End::Answer(Bytes::from_static(b"there?"))));
    assert_eq!(wire.kinds()[3..], [INIT, RESP]);
}

#[test]
fn an_endpoint_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<qadom_transport::Endpoint>();
}

#[test]
fn a_node_answers_from_the_address_that_it_was_asked_at() {
    let mut wire = Wire::new(1, 2, CALM);
    let now = wire.time();
    let home: IpAddr = [192, 0, 2, 2].into();
    let path = Path {
        remote: address(0),
        local: Some(home),
    };
    let exchange = |wire: &mut Wire, datagram: &[u8]| {
        let server = &mut wire.nodes[1].endpoint;
        server.handle_datagram(now, path, &mut datagram.to_vec());
        while let Some(event) = server.poll_event() {
            if let Event::Request { inbound, body, .. } = event {
                server.answer(now, inbound, body);
            }
        }
        server.poll_transmit().unwrap()
    };
    // INIT and its copy, DATA, WHO, and DATA of no session.
    let outgoing = wire.outgoing(1, 1, b"x", true);
    wire.nodes[0].endpoint.request(now, outgoing);
    let init = wire.nodes[0].endpoint.poll_transmit().unwrap();
    assert_eq!(init.from, None, "the asker's system chooses");
    let resp = exchange(&mut wire, &init.bytes);
    assert_eq!((resp.bytes[0], resp.from), (RESP, Some(home)));
    assert_eq!(exchange(&mut wire, &init.bytes), resp);
    wire.inject(0, address(1), &resp.bytes);
    let outgoing = wire.outgoing(1, 2, b"x", false);
    wire.nodes[0].endpoint.request(now, outgoing);
    let data = wire.nodes[0].endpoint.poll_transmit().unwrap();
    let answer = exchange(&mut wire, &data.bytes);
    assert_eq!((answer.bytes[0], answer.from), (DATA, Some(home)));
    wire.nodes[0].endpoint.identify(now, 3, address(1));
    let who = wire.nodes[0].endpoint.poll_transmit().unwrap();
    let iam = exchange(&mut wire, &who.bytes);
    assert_eq!((iam.bytes[0], iam.from), (IAM, Some(home)));
    let mut stray = data.bytes.to_vec();
    stray[4..8].fill(9);
    let reset = exchange(&mut wire, &stray);
    assert_eq!((reset.bytes[0], reset.from), (RESET, Some(home)));
}

#[test]
fn a_request_whose_way_is_missing_fails_for_that_reason_and_succeeds_when_it_is_back() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.silent.insert(address(1));
    let refuse = |wire: &mut Wire| {
        let now = wire.time();
        wire.nodes[0].endpoint.on_refused(now, address(1));
    };
    // Cold: one of its INITs was refused.
    wire.request(0, wire.outgoing(1, 1, b"x", true));
    refuse(&mut wire);
    wire.run(Duration::from_secs(5));
    assert_eq!(wire.end(0, 1), Some(End::Failed(FailReason::Refused)));
    // Merely silent later on.
    wire.request(0, wire.outgoing(1, 2, b"x", true));
    wire.run(Duration::from_secs(5));
    assert_eq!(wire.end(0, 2), Some(End::Failed(FailReason::Timeout)));
    // Warm, and for a while only.
    wire.silent.clear();
    assert!(matches!(wire.ask(0, 1, 3, b"x"), Some(End::Answer(_))));
    wire.silent.insert(address(1));
    wire.request(0, wire.outgoing(1, 4, b"x", true));
    refuse(&mut wire);
    wire.run(Duration::from_millis(30));
    wire.silent.clear();
    wire.run(Duration::from_secs(2));
    assert!(matches!(wire.end(0, 4), Some(End::Answer(_))));
    wire.silent.insert(address(1));
    wire.request(0, wire.outgoing(1, 5, b"x", true));
    refuse(&mut wire);
    wire.run(Duration::from_secs(5));
    assert_eq!(wire.end(0, 5), Some(End::Failed(FailReason::Refused)));
}
