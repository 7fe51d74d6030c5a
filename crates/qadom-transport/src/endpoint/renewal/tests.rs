//! Sessions at the end of their counters, which no test outside can bring about.

use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::packet;
use crate::{Config, Event, Hello, Limits, Outgoing, SecretKey, Time};

fn endpoint(secret: u8) -> Endpoint {
    let config = Config {
        secret: SecretKey::from_bytes([secret; 32]),
        network_id: [1; 32],
        wire_tag: [2; 8],
        k: 20,
        id_bits: 0,
        lowest_version: 1,
        highest_version: 1,
        hello: Hello::default(),
        ping: Bytes::from_static(b"ping"),
        reset_secret: [secret; 32],
        seed: [secret; 32],
        limits: Limits::default(),
    };
    Endpoint::new(config, Time::default())
}

fn at(node: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], u16::try_from(node).unwrap() + 1))
}

/// Asks and carries everything both ways until all is quiet; how often the answer came, and
/// the kinds of the datagrams.
fn ask(nodes: &mut [Endpoint; 2], token: u64) -> (usize, Vec<u8>) {
    let outgoing = Outgoing {
        token,
        key: *nodes[1].key(),
        address: at(1),
        body: Bytes::from_static(b"x"),
        first_ok: true,
        class: crate::Class::Short,
        patience: Duration::ZERO,
        is_background: false,
    };
    nodes[0].request(Time::default(), outgoing);
    let (mut answers, mut kinds) = (0, Vec::new());
    loop {
        let before = kinds.len();
        for from in 0..2 {
            let to = 1 - from;
            while let Some(transmit) = nodes[from].poll_transmit() {
                kinds.push(transmit.bytes[0]);
                let mut bytes = transmit.bytes.to_vec();
                nodes[to].handle_datagram(Time::default(), at(from), &mut bytes);
            }
            while let Some(event) = nodes[to].poll_event() {
                match event {
                    Event::Request { inbound, body, .. } => {
                        nodes[to].answer(Time::default(), inbound, body);
                    }
                    Event::Answer { token: got, .. } if got == token => answers += 1,
                    Event::Gone { .. } | Event::Failed { .. } => panic!("{event:?}"),
                    _ => {}
                }
            }
        }
        if kinds.len() == before {
            return (answers, kinds);
        }
    }
}

#[test]
fn a_session_whose_counters_run_out_is_replaced_without_a_lost_request() {
    let mut nodes = [endpoint(1), endpoint(2)];
    assert_eq!(ask(&mut nodes, 0).0, 1);
    assert_eq!(ask(&mut nodes, 1).0, 1);
    for session in nodes[0].sessions.values_mut() {
        session.next = COUNTER_END - SPARE - 3;
    }
    let mut inits = 0;
    for token in 2..10 {
        let (answers, kinds) = ask(&mut nodes, token);
        assert_eq!(answers, 1, "token {token}");
        inits += usize::from(kinds.contains(&packet::INIT));
    }
    assert_eq!(inits, 1);
    let key = *nodes[1].key();
    let current = nodes[0].peers[&key].session().unwrap();
    assert!(nodes[0].sessions[&current].next < 10);
}

#[test]
fn a_session_at_the_end_of_its_counters_never_uses_one_more() {
    let mut nodes = [endpoint(1), endpoint(2)];
    ask(&mut nodes, 0);
    ask(&mut nodes, 1);
    for session in nodes[0].sessions.values_mut() {
        session.next = COUNTER_END;
    }
    let outgoing = Outgoing {
        token: 2,
        key: *nodes[1].key(),
        address: at(1),
        body: Bytes::from_static(b"x"),
        first_ok: true,
        class: crate::Class::Short,
        patience: Duration::ZERO,
        is_background: false,
    };
    nodes[0].request(Time::default(), outgoing);
    let sent = nodes[0].poll_transmit().unwrap();
    assert_eq!(sent.bytes[0], packet::INIT);
    assert_eq!(nodes[0].usage().in_flight, 1);
    assert!(
        nodes[0]
            .poll_event()
            .is_some_and(|event| matches!(event, Event::Gone { .. }))
    );
}
