//! Load: cookies, and a node that serves its friends under a flood of well-made INITs.

use std::net::SocketAddr;
use std::time::Duration;

use qadom_transport::{DropReason, Endpoint, Event, Limits, NoiseSuite, Suite};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::wire::{CALM, COOKIE, End, INIT, RESP, Weather, Wire, address, config};

/// A node that can answer this many handshakes in a second.
fn slow(wire: &mut Wire, handshake_capacity: u32, local: bool) -> usize {
    let at = wire.nodes.len();
    let mut slow = config(at);
    slow.limits = Limits {
        handshake_capacity,
        local,
        ..Limits::default()
    };
    wire.add(slow, address(at))
}

#[test]
fn under_load_a_stranger_proves_its_address_and_is_then_served() {
    let mut wire = Wire::new(1, 0, CALM);
    let node = slow(&mut wire, 8, true);
    let clients: Vec<usize> = (1..4)
        .map(|index| wire.add(config(index), address(index)))
        .collect();
    // An eighth of a second's worth, one handshake, is done at once; two more are load.
    for &client in &clients {
        assert!(matches!(
            wire.ask(client, node, 1, b"x"),
            Some(End::Answer(_))
        ));
    }
    let kinds: Vec<u8> = wire.kinds();
    assert_eq!(kinds[..6], [INIT, RESP, INIT, COOKIE, INIT, RESP]);
    let [first, cookie, second] = [2, 3, 4].map(|at| wire.sent[at].bytes.clone());
    assert_eq!(cookie.len(), 64);
    assert_eq!(first[..496], second[..496]);
    assert_eq!(first[496..], [0; 16]);
    assert_ne!(second[496..], [0; 16]);
    let drops = wire.nodes[node].endpoint.drops();
    assert_eq!(drops.count(DropReason::UnprovenAddress), 2);

    // The load is over: no cookies any more.
    wire.run(Duration::from_secs(5));
    let last = wire.add(config(9), address(9));
    let before = wire.count(COOKIE);
    assert!(matches!(
        wire.ask(last, node, 1, b"x"),
        Some(End::Answer(_))
    ));
    assert_eq!(wire.count(COOKIE), before);
}

#[test]
fn a_cookie_of_another_address_or_another_init_is_worthless() {
    let mut wire = Wire::new(1, 0, CALM);
    let node = slow(&mut wire, 1, true);
    let clients: Vec<usize> = (1..4)
        .map(|index| wire.add(config(index), address(index)))
        .collect();
    wire.ask(clients[0], node, 1, b"x");
    wire.request(clients[1], wire.outgoing(node, 1, b"x", true));
    wire.run(Duration::from_millis(25));
    let [cookie, proven] =
        [wire.sent.len() - 2, wire.sent.len() - 1].map(|at| wire.sent[at].clone());
    assert_eq!((cookie.bytes[0], proven.bytes[0]), (COOKIE, INIT));
    // The proven INIT from elsewhere asks for a cookie again.
    let drops = |wire: &Wire, node: usize, reason| wire.nodes[node].endpoint.drops().count(reason);
    let before = drops(&wire, node, DropReason::UnprovenAddress);
    wire.inject(node, "203.0.113.5:9".parse().unwrap(), &proven.bytes);
    assert_eq!(drops(&wire, node, DropReason::UnprovenAddress), before + 1);
    // The cookie for another INIT, damaged, from elsewhere, and for nobody.
    wire.request(clients[2], wire.outgoing(node, 1, b"x", true));
    let mut renamed = cookie.bytes.to_vec();
    renamed[4..8].copy_from_slice(&wire.sent.last().unwrap().bytes[4..8]);
    let at = wire.nodes[node].address;
    let sent = wire.sent.len();
    wire.inject(clients[2], at, &renamed);
    assert_eq!(drops(&wire, clients[2], DropReason::BadCookie), 1);
    wire.inject(clients[2], "203.0.113.5:9".parse().unwrap(), &renamed);
    assert_eq!(drops(&wire, clients[2], DropReason::WrongAddress), 1);
    wire.inject(clients[2], at, &cookie.bytes);
    assert_eq!(drops(&wire, clients[2], DropReason::Unasked), 1);
    assert_eq!(wire.sent.len(), sent);
}

#[test]
fn a_handshake_follows_three_cookies_and_no_more() {
    let mut wire = Wire::new(1, 0, CALM);
    let node = slow(&mut wire, 1, true);
    let clients: Vec<usize> = (1..3)
        .map(|index| wire.add(config(index), address(index)))
        .collect();
    wire.ask(clients[0], node, 1, b"x");
    wire.request(clients[1], wire.outgoing(node, 1, b"x", true));
    wire.run(Duration::from_millis(15));
    let cookie = wire.sent.last().unwrap().clone();
    assert_eq!(cookie.bytes[0], COOKIE);
    let before = wire.count(INIT);
    for _ in 0..10 {
        wire.inject(clients[1], cookie.from, &cookie.bytes);
    }
    assert_eq!(wire.count(INIT) - before, 3);
}

/// Sends a handshake of its own; the kinds of what was sent then, and the mac of INIT's cookie.
fn probe(wire: &mut Wire, from: usize, to: usize, token: u64) -> (Vec<u8>, Vec<u8>) {
    let (began, now) = (wire.sent.len(), wire.time());
    let outgoing = wire.outgoing(to, token, b"x", true);
    wire.nodes[from].endpoint.probe(now, outgoing);
    wire.drain(from);
    let end = wire.run_to_end(from, token, Duration::from_secs(9));
    assert!(matches!(end, Some(End::Answer(_))));
    let sent = &wire.sent[began..];
    let kinds = sent.iter().map(|sent| sent.bytes[0]).collect();
    (kinds, sent[0].bytes[496..].to_vec())
}

#[test]
fn a_cookie_saves_the_next_handshakes_a_round_trip_for_two_minutes() {
    let mut wire = Wire::new(1, 0, CALM);
    let node = slow(&mut wire, 1, true);
    let [client, idle] = [1, 2].map(|index| wire.add(config(index), address(index)));
    let asking = vec![INIT, COOKIE, INIT, RESP];
    wire.ask(idle, node, 1, b"x");
    wire.request(client, wire.outgoing(node, 1, b"x", true));
    wire.run_to_end(client, 1, Duration::from_secs(9));
    assert_eq!(wire.kinds()[wire.sent.len() - 4..], asking);
    let given = wire.now;
    for token in 2..9 {
        let (kinds, mac) = probe(&mut wire, client, node, token);
        assert_eq!(kinds, [INIT, RESP]);
        assert_ne!(mac, [0; 16]);
    }
    // It is good for nobody else.
    let (_, mac) = probe(&mut wire, client, idle, 20);
    assert_eq!(mac, [0; 16]);
    // A node that has other secrets by now gives another one, which is followed.
    let mut restarted = config(node);
    restarted.seed = [99; 32];
    restarted.limits = Limits {
        handshake_capacity: 1,
        local: true,
        ..Limits::default()
    };
    wire.nodes[node].endpoint = Endpoint::new(restarted, wire.time());
    probe(&mut wire, idle, node, 21);
    let (kinds, mac) = probe(&mut wire, client, node, 22);
    assert!(kinds == asking && mac != [0; 16]);
    assert!(wire.since(given) < Duration::from_secs(10));

    wire.run(Duration::from_secs(121));
    let (_, mac) = probe(&mut wire, client, node, 23);
    assert_eq!(mac, [0; 16]);
}

/// INITs that anybody can make who knows a node's key: the macs are right, what they hold is
/// noise or, for one in sixteen, a true handshake that nobody will go on with.
struct Flood {
    random: ChaCha8Rng,
    mac1_key: [u8; 32],
    made: Vec<Vec<u8>>,
    sent: usize,
}

impl Flood {
    fn new(wire: &Wire, to: usize) -> Self {
        let made = (101..155)
            .map(|index| {
                let mut liar = Endpoint::<NoiseSuite>::new(config(index), wire.time());
                liar.request(wire.time(), wire.outgoing(to, 1, b"x", true));
                liar.poll_transmit().unwrap().bytes.to_vec()
            })
            .collect();
        Self {
            random: ChaCha8Rng::seed_from_u64(5),
            mac1_key: NoiseSuite::mac_key(b"qadom 1 mac1", &wire.key(to)),
            made,
            sent: 0,
        }
    }

    fn next(&mut self) -> (SocketAddr, Vec<u8>) {
        self.sent += 1;
        let from = SocketAddr::new(self.random.next_u32().to_be_bytes().into(), 4001);
        if self.sent.is_multiple_of(16) {
            return (from, self.made[self.sent / 16 % self.made.len()].clone());
        }
        let mut packet = self.made[0].clone();
        self.random.fill_bytes(&mut packet[16..96]);
        packet[47] &= 0x7f;
        let mac1 = NoiseSuite::mac(&self.mac1_key, &[&packet[..480]]);
        packet[480..496].copy_from_slice(&mac1);
        (from, packet)
    }
}

#[test]
fn requests_are_served_under_fifty_thousand_spoofed_inits_a_second() {
    let weather = Weather {
        latency: Duration::from_millis(10),
        ..CALM
    };
    let mut wire = Wire::new(1, 0, weather);
    let node = slow(&mut wire, 4000, false);
    let clients: Vec<usize> = (0..100u8)
        .map(|client| {
            wire.add(
                config(usize::from(client) + 1),
                ([20, client, 7, 1], 4001).into(),
            )
        })
        .collect();
    // One in two has a session before the flood.
    for &client in clients.iter().step_by(2) {
        wire.ask(client, node, 0, b"x");
    }
    let mut flood = Flood::new(&wire, node);
    for millisecond in 0..1000 {
        for _ in 0..50 {
            let (from, packet) = flood.next();
            wire.inject(node, from, &packet);
        }
        if millisecond % 10 == 0 {
            let client = clients[millisecond / 10];
            wire.request(client, wire.outgoing(node, 1, b"x", true));
        }
        wire.run(Duration::from_millis(1));
    }
    wire.run(Duration::from_millis(100));
    let served = clients
        .iter()
        .filter(|&&client| matches!(wire.end(client, 1), Some(End::Answer(_))))
        .count();
    assert!(served >= 99, "{served} of 100");

    // Curve work was done for no more than the burst and those who proved themselves.
    let node = &wire.nodes[node];
    let opened = node.count(|event| matches!(event, Event::Request { .. }));
    let curve_work = node.endpoint.drops().count(DropReason::BadHandshake) + opened as u64;
    assert!(curve_work < 500 + 200, "{curve_work} of 50 000");
    assert!(node.endpoint.drops().count(DropReason::UnprovenAddress) > 49_000);
}

/// True handshakes of liars, as they would come from these addresses.
fn spoof(wire: &mut Wire, node: usize, addresses: impl Iterator<Item = SocketAddr>) {
    for (index, from) in addresses.enumerate() {
        let mut liar = Endpoint::<NoiseSuite>::new(config(100 + index), wire.time());
        liar.request(wire.time(), wire.outgoing(node, 1, b"x", true));
        let init = liar.poll_transmit().unwrap();
        wire.inject(node, from, &init.bytes);
    }
}

#[test]
fn spoofed_handshakes_below_the_load_leave_room_for_those_who_are_there() {
    let mut wire = Wire::new(1, 0, CALM);
    let node = slow(&mut wire, 4000, false);
    let stranger: SocketAddr = ([203, 0, 113, 77], 4001).into();
    let there = wire.add(config(1), stranger);
    let far = wire.add(config(2), ([198, 51, 100, 1], 4001).into());
    // In every address of its group, its own among them, and all of that at its own once more.
    let group = (70..90).map(|last| ([203, 0, 113, last], 4001).into());
    spoof(&mut wire, node, group.chain((0..20).map(|_| stranger)));
    assert_eq!(wire.nodes[node].endpoint.usage().pending, 4);
    let began = wire.now;
    assert!(matches!(
        wire.ask(there, node, 1, b"x"),
        Some(End::Answer(_))
    ));
    assert!(wire.since(began) < Duration::from_millis(50));
    // Nobody else was asked for a cookie.
    let cookies = wire.count(COOKIE);
    assert!(matches!(wire.ask(far, node, 1, b"x"), Some(End::Answer(_))));
    assert_eq!(wire.count(COOKIE), cookies);
}

#[test]
fn the_rate_that_spoofers_use_up_is_not_that_of_the_address_itself() {
    let mut wire = Wire::new(1, 0, CALM);
    let node = slow(&mut wire, 4000, false);
    wire.nodes[node].endpoint = {
        let mut roomy = config(0);
        roomy.limits = Limits {
            pending_per_group: 1000,
            ..Limits::default()
        };
        Endpoint::new(roomy, wire.time())
    };
    let stranger: SocketAddr = ([203, 0, 113, 77], 4001).into();
    let there = wire.add(config(1), stranger);
    spoof(&mut wire, node, (0..40).map(|_| stranger));
    assert_eq!(wire.nodes[node].endpoint.usage().pending, 3);
    assert!(matches!(
        wire.ask(there, node, 1, b"x"),
        Some(End::Answer(_))
    ));
}
