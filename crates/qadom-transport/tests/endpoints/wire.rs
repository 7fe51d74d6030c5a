//! A virtual network of endpoints: time that jumps, and latency, loss, copies and disorder that
//! follow from a seed. It keeps a ledger of what unproven addresses sent and were sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_transport::{
    Class, Config, Endpoint, Event, FailReason, Hello, InboundId, Limits, Outgoing, SecretKey, Time,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

pub(crate) const INIT: u8 = 0x04;
pub(crate) const RESP: u8 = 0x05;
pub(crate) const COOKIE: u8 = 0x06;
pub(crate) const DATA: u8 = 0x07;
pub(crate) const RESET: u8 = 0x08;
pub(crate) const WHO: u8 = 0x09;
pub(crate) const IAM: u8 = 0x0a;
pub(crate) const MISMATCH: u8 = 0x0b;

/// How the network treats datagrams; chances are of 100.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) latency: Duration,
    /// Up to this much is added at random, which changes the order.
    pub(crate) jitter: Duration,
    pub(crate) loss: u32,
    pub(crate) copies: u32,
}

pub(crate) const CALM: Weather = Weather {
    latency: Duration::from_millis(10),
    jitter: Duration::ZERO,
    loss: 0,
    copies: 0,
};

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answer(Bytes),
    Failed(FailReason),
    Identified([u8; 32]),
}

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Bytes,
}

/// What a node does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Answers with the request's own body, cut to what an answer may hold.
    Echo,
    /// Answers with this many bytes that follow from the request.
    Long(usize),
    /// Says that it is busy.
    Busy(u32),
    /// Leaves the request in `asked`.
    Hold,
    /// Takes no request from the endpoint.
    Away,
}

pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) service: Service,
    pub(crate) events: Vec<Event>,
    pub(crate) asked: Vec<(InboundId, Bytes)>,
    pub(crate) ends: HashMap<u64, Vec<(Duration, End)>>,
    /// What may still be sent to an address, while unproven, for the last datagram from it.
    credit: HashMap<SocketAddr, usize>,
    proven: HashSet<SocketAddr>,
}

pub(crate) struct Wire {
    pub(crate) now: Duration,
    pub(crate) weather: Weather,
    pub(crate) nodes: Vec<Node>,
    /// Everything that was sent, lost datagrams included.
    pub(crate) sent: Vec<Sent>,
    /// Addresses that swallow what they are sent.
    pub(crate) silent: HashSet<SocketAddr>,
    random: ChaCha8Rng,
    flying: BTreeMap<(Duration, u64), Sent>,
    launched: u64,
}

/// The configuration of node number `index`.
pub(crate) fn config(index: usize) -> Config {
    let index = u8::try_from(index).unwrap();
    Config {
        secret: SecretKey::from_bytes([index + 1; 32]),
        network_id: [1; 32],
        wire_tag: [2; 8],
        k: 20,
        id_bits: 0,
        lowest_version: 1,
        highest_version: 1,
        hello: Hello {
            storing: true,
            v4: None,
            v6: None,
        },
        ping: Bytes::from_static(b"ping"),
        reset_secret: [index; 32],
        seed: [index + 101; 32],
        limits: Limits {
            local: true,
            ..Limits::default()
        },
    }
}

pub(crate) fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(index).unwrap() + 1], 4001))
}

impl Wire {
    pub(crate) fn new(seed: u64, nodes: usize, weather: Weather) -> Self {
        let mut wire = Self {
            now: Duration::from_secs(1000),
            weather,
            nodes: Vec::new(),
            sent: Vec::new(),
            silent: HashSet::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            flying: BTreeMap::new(),
            launched: 0,
        };
        for index in 0..nodes {
            wire.add(config(index), address(index));
        }
        wire
    }

    pub(crate) fn add(&mut self, config: Config, address: SocketAddr) -> usize {
        self.nodes.push(Node {
            endpoint: Endpoint::new(config, self.time()),
            address,
            service: Service::Echo,
            events: Vec::new(),
            asked: Vec::new(),
            ends: HashMap::new(),
            credit: HashMap::new(),
            proven: HashSet::new(),
        });
        self.nodes.len() - 1
    }

    pub(crate) fn time(&self) -> Time {
        let utc_micros = 1_700_000_000_000_000 + u64::try_from(self.now.as_micros()).unwrap();
        Time {
            monotonic: self.now,
            utc_micros,
        }
    }

    pub(crate) fn key(&self, node: usize) -> [u8; 32] {
        *self.nodes[node].endpoint.key()
    }

    pub(crate) fn outgoing(&self, to: usize, token: u64, body: &[u8], first_ok: bool) -> Outgoing {
        Outgoing {
            token,
            key: self.key(to),
            address: self.nodes[to].address,
            body: Bytes::copy_from_slice(body),
            first_ok,
            class: Class::Short,
            patience: Duration::ZERO,
            is_background: false,
        }
    }

    pub(crate) fn request(&mut self, from: usize, outgoing: Outgoing) {
        let now = self.time();
        self.nodes[from].endpoint.request(now, outgoing);
        self.drain(from);
    }

    /// Asks and runs until the answer is there or `limit` has passed.
    pub(crate) fn ask(&mut self, from: usize, to: usize, token: u64, body: &[u8]) -> Option<End> {
        self.request(from, self.outgoing(to, token, body, true));
        self.run_to_end(from, token, Duration::from_mins(1))
    }

    pub(crate) fn run_to_end(&mut self, node: usize, token: u64, limit: Duration) -> Option<End> {
        let until = self.now + limit;
        while self.end(node, token).is_none() && self.step(until) {}
        self.end(node, token)
    }

    pub(crate) fn end(&self, node: usize, token: u64) -> Option<End> {
        let ends = self.nodes[node].ends.get(&token)?;
        assert_eq!(
            ends.len(),
            1,
            "token {token} ended more than once: {ends:?}"
        );
        Some(ends[0].1.clone())
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// Gives a node a datagram, whoever made it.
    pub(crate) fn inject(&mut self, to: usize, from: SocketAddr, bytes: &[u8]) {
        let now = self.time();
        let node = &mut self.nodes[to];
        // What an earlier datagram allowed and was not used is gone: the rule holds for each.
        node.credit.insert(from, bytes.len());
        node.endpoint
            .handle_datagram(now, from, &mut bytes.to_vec());
        self.drain(to);
    }

    /// Does what happens next, if that is before `until`.
    fn step(&mut self, until: Duration) -> bool {
        let arrival = self.flying.first_key_value().map(|(&(at, _), _)| at);
        let due = self.nodes.iter().enumerate();
        let due = due.filter_map(|(index, node)| Some((node.endpoint.next_deadline()?, index)));
        let timer = due.min();
        let next = [arrival, timer.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next.filter(|&next| next <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, datagram) = self.flying.pop_first().unwrap();
            self.deliver(&datagram);
        } else if let Some((_, index)) = timer {
            let now = self.time();
            self.nodes[index].endpoint.handle_timeout(now);
            self.drain(index);
        }
        true
    }

    fn deliver(&mut self, datagram: &Sent) {
        if self.silent.contains(&datagram.to) {
            return;
        }
        let to = self
            .nodes
            .iter()
            .position(|node| node.address == datagram.to);
        if let Some(to) = to {
            self.inject(to, datagram.from, &datagram.bytes);
        }
    }

    pub(crate) fn drain(&mut self, index: usize) {
        let now = self.time();
        let node = &mut self.nodes[index];
        // Events first: they tell which addresses the datagram at hand has proven.
        while let Some(event) = match node.service {
            Service::Away => node.endpoint.poll_own_event(),
            _ => node.endpoint.poll_event(),
        } {
            node.take(now, event);
        }
        let mut out = Vec::new();
        while let Some(transmit) = node.endpoint.poll_transmit() {
            node.check_amplification(transmit.to, &transmit.bytes);
            out.push(transmit);
        }
        for transmit in out {
            let from = self.nodes[index].address;
            self.launch(&Sent {
                at: self.now,
                from,
                to: transmit.to,
                bytes: transmit.bytes,
            });
        }
    }

    fn launch(&mut self, datagram: &Sent) {
        assert!(datagram.bytes.len() <= 1200);
        self.sent.push(datagram.clone());
        let copies = 1 + u32::from(self.chance(self.weather.copies));
        for _ in 0..copies {
            if self.chance(self.weather.loss) {
                continue;
            }
            let jitter = u64::try_from(self.weather.jitter.as_micros()).unwrap();
            let late = Duration::from_micros(self.random.next_u64() % (jitter + 1));
            self.launched += 1;
            let key = (self.now + self.weather.latency + late, self.launched);
            self.flying.insert(key, datagram.clone());
        }
    }

    fn chance(&mut self, of_100: u32) -> bool {
        self.random.next_u32() % 100 < of_100
    }

    pub(crate) fn since(&self, begin: Duration) -> Duration {
        self.now.saturating_sub(begin)
    }

    /// How many datagrams of a kind were sent so far.
    pub(crate) fn count(&self, kind: u8) -> usize {
        self.sent
            .iter()
            .filter(|sent| sent.bytes[0] == kind)
            .count()
    }

    /// The first bytes of all datagrams sent so far.
    pub(crate) fn kinds(&self) -> Vec<u8> {
        self.sent.iter().map(|sent| sent.bytes[0]).collect()
    }
}

impl Node {
    /// An address that has proven nothing is sent no more than it sent. What a node sends of its
    /// own accord, INIT and WHO, answers nobody.
    fn check_amplification(&mut self, to: SocketAddr, bytes: &[u8]) {
        if matches!(bytes[0], INIT | WHO) || self.proven.contains(&to) {
            return;
        }
        let credit = self.credit.entry(to).or_default();
        assert!(
            bytes.len() <= *credit,
            "{} bytes of {:#x} amplify",
            bytes.len(),
            bytes[0]
        );
        *credit -= bytes.len();
    }

    fn take(&mut self, now: Time, event: Event) {
        let at = now.monotonic;
        match event.clone() {
            Event::Confirmed { address, .. } => {
                self.proven.insert(address);
            }
            Event::Request {
                inbound,
                body,
                answer_max,
                ..
            } => {
                let answer = match self.service {
                    Service::Echo => body.slice(..body.len().min(answer_max)),
                    Service::Long(length) => long(&body, length.min(answer_max)),
                    Service::Busy(retry_after_ms) => {
                        self.endpoint.answer_busy(now, inbound, retry_after_ms);
                        self.events.push(event);
                        return;
                    }
                    Service::Hold | Service::Away => {
                        self.asked.push((inbound, body));
                        self.events.push(event);
                        return;
                    }
                };
                self.endpoint.answer(now, inbound, answer);
            }
            Event::Answer { token, body, .. } => {
                self.ends
                    .entry(token)
                    .or_default()
                    .push((at, End::Answer(body)));
            }
            Event::Failed { token, reason } => {
                self.ends
                    .entry(token)
                    .or_default()
                    .push((at, End::Failed(reason)));
            }
            Event::Identified { token, key, .. } => {
                self.ends
                    .entry(token)
                    .or_default()
                    .push((at, End::Identified(key)));
            }
            _ => {}
        }
        self.events.push(event);
    }

    pub(crate) fn count(&self, is_counted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_counted(event)).count()
    }
}

/// Bytes that follow from a body.
pub(crate) fn long(body: &[u8], length: usize) -> Bytes {
    let first = body.first().copied().unwrap_or_default();
    (0..251)
        .cycle()
        .take(length)
        .map(|step| first.wrapping_add(step))
        .collect()
}
