//! Two endpoints over a wire that drops, copies, delays, reorders, damages, replays and forges.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use bytes::Bytes;

use super::input::{Input, address, check_limits, endpoint};
use crate::config::{BODY_MAX, Time};
use crate::endpoint::Endpoint;
use crate::event::{Class, Event, InboundId, Outgoing, Transmit};
use crate::hello::Hello;
use crate::packet::{INIT, WHO};

/// How many datagrams the wire remembers for replays.
const REMEMBERED: usize = 64;
/// After the last operation the wire is calm for so long; all requests have ended by then.
const CALM: Duration = Duration::from_mins(10);

/// Does what the bytes say to two endpoints and the wire between them, then leaves them in peace
/// until every request has ended.
///
/// # Panics
///
/// When a request ends twice or never, an answer belongs to another request, a limit is passed,
/// or an address that has proven nothing is sent more than it sent.
pub fn operations(data: &[u8]) {
    let mut world = World::new();
    let mut input = Input::new(data);
    while world.operation(&mut input).is_some() {
        world.check();
    }
    world.calm();
}

struct World {
    now: Time,
    sides: [Side; 2],
    flying: Vec<Datagram>,
    /// What was delivered, for replays.
    past: Vec<Datagram>,
    next_token: u64,
}

struct Side {
    endpoint: Endpoint,
    restarts: u32,
    address: SocketAddr,
    /// Running requests: what they asked, if the answer follows from it.
    asked: HashMap<u64, Option<u8>>,
    held: Vec<(InboundId, u8, usize)>,
    proven: HashSet<SocketAddr>,
    received: HashMap<SocketAddr, usize>,
    sent: HashMap<SocketAddr, usize>,
}

#[derive(Clone)]
struct Datagram {
    to: usize,
    from: SocketAddr,
    bytes: Bytes,
}

impl World {
    fn new() -> Self {
        let now = Time {
            monotonic: Duration::from_secs(1000),
            utc_micros: 1,
        };
        let sides = [1, 2].map(|number| Side {
            endpoint: endpoint(number, 0, now),
            restarts: 0,
            address: address(number),
            asked: HashMap::new(),
            held: Vec::new(),
            proven: HashSet::new(),
            received: HashMap::new(),
            sent: HashMap::new(),
        });
        Self {
            now,
            sides,
            flying: Vec::new(),
            past: Vec::new(),
            next_token: 0,
        }
    }

    fn operation(&mut self, input: &mut Input<'_>) -> Option<()> {
        let operation = input.choice(16)?;
        match operation {
            0..=4 => {
                let datagram = self.take_flying(input.byte()?);
                self.deliver(datagram);
            }
            5 => drop(self.take_flying(input.byte()?)),
            6 => {
                let at = input.choice(self.flying.len().max(1))?;
                let copy = self.flying.get(at).cloned();
                if let Some(datagram) = copy {
                    self.deliver(datagram);
                }
            }
            7 => {
                let mut datagram = self.take_flying(input.byte()?);
                datagram.bytes = damage(&datagram.bytes, input)?;
                self.deliver(datagram);
            }
            8 => {
                let mut datagram = self.take_flying(input.byte()?);
                datagram.from = address(input.byte()?);
                self.deliver(datagram);
            }
            9 => {
                let at = input.choice(self.past.len().max(1))?;
                let copy = self.past.get(at).cloned();
                if let Some(datagram) = copy {
                    self.deliver(datagram);
                }
            }
            10 | 11 => self.ask(input)?,
            12 => {
                let step = Duration::from_millis(u64::from(input.byte()?));
                let factor = one_of(input, [1, 10, 1000, 60_000])?;
                self.pass(step * factor);
            }
            13 | 14 => self.answer(input)?,
            _ => self.setting(input)?,
        }
        self.drain();
        Some(())
    }

    /// A datagram under way; an empty wire is no end of the operations.
    fn take_flying(&mut self, choice: u8) -> Datagram {
        if self.flying.is_empty() {
            return Datagram {
                to: usize::from(choice) % 2,
                from: address(9),
                bytes: Bytes::new(),
            };
        }
        let at = usize::from(choice) % self.flying.len();
        self.flying.swap_remove(at)
    }

    fn deliver(&mut self, datagram: Datagram) {
        let now = self.now;
        let Some(side) = self.sides.get_mut(datagram.to) else {
            return;
        };
        *side.received.entry(datagram.from).or_default() += datagram.bytes.len();
        let mut bytes = datagram.bytes.to_vec();
        side.endpoint
            .handle_datagram(now, datagram.from, &mut bytes);
        if self.past.len() < REMEMBERED {
            self.past.push(datagram);
        }
    }

    fn ask(&mut self, input: &mut Input<'_>) -> Option<()> {
        let from = input.choice(2)?;
        let kind = input.byte()?;
        let length = input.choice(256)? * one_of(input, [1, 4, 35, 36])?;
        let token = self.next_token;
        self.next_token += 1;
        let mark = kind.wrapping_mul(31);
        let now = self.now;
        let other = self.sides.get(1 - from)?;
        let key = *other.endpoint.key();
        let address = if kind & 0x30 == 0x30 {
            address(9)
        } else {
            other.address
        };
        let side = self.sides.get_mut(from)?;
        if kind & 0b111 == 0b111 {
            side.asked.insert(token, None);
            side.endpoint.identify(now, token, address);
            return Some(());
        }
        side.asked.insert(token, Some(mark));
        let outgoing = Outgoing {
            token,
            key,
            address,
            body: pattern(mark, length.max(1)),
            first_ok: kind & 1 == 0,
            class: if kind & 2 == 0 {
                Class::Short
            } else {
                Class::Long
            },
            patience: Duration::from_secs(u64::from(kind >> 6)),
            is_background: kind & 0b11_0000 == 0b11_0000,
        };
        if kind & 0b1100 == 0b1100 {
            side.endpoint.probe(now, outgoing);
        } else {
            side.endpoint.request(now, outgoing);
        }
        Some(())
    }

    fn answer(&mut self, input: &mut Input<'_>) -> Option<()> {
        let side = self.sides.get_mut(input.choice(2)?)?;
        let length = input.choice(256)? * one_of(input, [1, 4, 35, 36])?;
        if side.held.is_empty() {
            return Some(());
        }
        let at = input.choice(side.held.len())?;
        let (inbound, mark, most) = side.held.swap_remove(at);
        if length == 7 {
            side.endpoint.answer_busy(self.now, inbound, 100);
        } else {
            let body = pattern(mark, length.min(most));
            side.endpoint.answer(self.now, inbound, body);
        }
        Some(())
    }

    fn setting(&mut self, input: &mut Input<'_>) -> Option<()> {
        let which = input.choice(2)?;
        let key = *self.sides.get(1 - which)?.endpoint.key();
        let address = self.sides.get(which)?.address;
        let side = self.sides.get_mut(which)?;
        match input.choice(6)? {
            0 => side.endpoint.pin(key),
            1 => side.endpoint.unpin(key),
            2 => side.endpoint.keep_alive(key),
            3 => {
                let v4 = match address {
                    SocketAddr::V4(v4) => Some(v4),
                    SocketAddr::V6(_) => None,
                };
                side.endpoint.set_hello(Hello {
                    storing: true,
                    v4,
                    v6: None,
                });
            }
            // The node restarts, with its keys and none of its state.
            4 if input.byte()? > 200 => {
                let number = u8::try_from(which + 1).ok()?;
                side.restarts += 1;
                side.endpoint = endpoint(number, side.restarts, self.now);
                side.asked.clear();
                side.held.clear();
            }
            _ => {}
        }
        Some(())
    }

    /// Time passes, timers fire.
    fn pass(&mut self, span: Duration) {
        let until = self.now.monotonic + span;
        loop {
            let deadlines = self.sides.iter().map(|side| side.endpoint.next_deadline());
            let next = deadlines.flatten().min().filter(|at| *at <= until);
            let Some(next) = next else {
                break;
            };
            self.now.monotonic = self.now.monotonic.max(next);
            for side in &mut self.sides {
                side.endpoint.handle_timeout(self.now);
                let next = side.endpoint.next_deadline();
                assert!(
                    next.is_none_or(|at| at > self.now.monotonic),
                    "stands still"
                );
            }
            self.drain();
        }
        self.now.monotonic = until;
        for side in &mut self.sides {
            side.endpoint.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) {
        for from in 0..2 {
            let Some(side) = self.sides.get_mut(from) else {
                return;
            };
            let address = side.address;
            side.take_events();
            for transmit in side.take_transmits() {
                self.fly(address, transmit);
            }
        }
    }

    fn fly(&mut self, from: SocketAddr, transmit: Transmit) {
        let to = self
            .sides
            .iter()
            .position(|side| side.address == transmit.to);
        if let Some(to) = to {
            self.flying.push(Datagram {
                to,
                from,
                bytes: transmit.bytes,
            });
        }
    }

    fn check(&self) {
        for side in &self.sides {
            check_limits(&side.endpoint);
        }
    }

    /// Delivers and answers everything until all is quiet; every request must have ended then.
    fn calm(&mut self) {
        let until = self.now.monotonic + CALM;
        while self.now.monotonic < until {
            self.drain();
            while !self.flying.is_empty() {
                let datagram = self.flying.swap_remove(0);
                self.deliver(datagram);
                self.drain();
            }
            let mut is_quiet = true;
            for side in &mut self.sides {
                for (inbound, mark, most) in core::mem::take(&mut side.held) {
                    is_quiet = false;
                    let body = pattern(mark, most.min(100));
                    side.endpoint.answer(self.now, inbound, body);
                }
                is_quiet &= side.asked.is_empty();
            }
            self.drain();
            self.check();
            if is_quiet && self.flying.is_empty() {
                break;
            }
            if self.flying.is_empty() {
                self.pass(Duration::from_millis(200));
            }
        }
        for side in &self.sides {
            assert!(side.asked.is_empty(), "never ended: {:?}", side.asked);
        }
    }
}

impl Side {
    fn take_events(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Confirmed { address, .. } => {
                    self.proven.insert(address);
                }
                Event::Request {
                    inbound,
                    body,
                    answer_max,
                    ..
                } => {
                    assert!(body.len() <= BODY_MAX && answer_max <= BODY_MAX);
                    let mark = body.first().copied().unwrap_or_default();
                    self.held.push((inbound, mark, answer_max));
                }
                Event::Answer { token, body, .. } => {
                    let mark = self.asked.remove(&token).flatten();
                    assert!(mark.is_some(), "request {token} ended twice");
                    assert!(mark.is_some_and(|mark| body == pattern(mark, body.len())));
                }
                Event::Failed { token, .. } | Event::Identified { token, .. } => {
                    let asked = self.asked.remove(&token);
                    assert!(asked.is_some(), "request {token} ended twice");
                }
                _ => {}
            }
        }
    }

    fn take_transmits(&mut self) -> Vec<Transmit> {
        let mut all = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            assert!(transmit.bytes.len() <= 1200);
            let is_own_accord = matches!(transmit.bytes.first(), Some(&INIT | &WHO));
            if !is_own_accord && !self.proven.contains(&transmit.to) {
                let sent = self.sent.entry(transmit.to).or_default();
                *sent += transmit.bytes.len();
                let received = self.received.get(&transmit.to).copied();
                assert!(*sent <= received.unwrap_or_default(), "amplifies");
            }
            all.push(transmit);
        }
        all
    }
}

fn one_of<T: Copy>(input: &mut Input<'_>, all: [T; 4]) -> Option<T> {
    all.get(input.choice(4)?).copied()
}

fn damage(bytes: &[u8], input: &mut Input<'_>) -> Option<Bytes> {
    let mut bytes = bytes.to_vec();
    let at = usize::from(u16::from_le_bytes([input.byte()?, input.byte()?]));
    let change = input.byte()?;
    let length = bytes.len().max(1);
    if change == 0 {
        bytes.truncate(at % length);
    } else if let Some(byte) = bytes.get_mut(at % length) {
        *byte ^= change;
    }
    Some(bytes.into())
}

/// Bytes that begin with a mark and follow from it.
fn pattern(mark: u8, length: usize) -> Bytes {
    (0..251u8)
        .cycle()
        .map(|step| step.wrapping_add(mark))
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::INIT_HEADER;

    #[test]
    fn a_restarted_side_repeats_no_ephemeral_key() {
        let ask = [10, 0, 0, 10, 0];
        let restart = [15, 0, 4, 201];
        let bytes = [ask.as_slice(), &restart, &ask].concat();
        let mut input = Input::new(&bytes);
        let mut world = World::new();
        while world.operation(&mut input).is_some() {}
        let ephemeral = |datagram: &Datagram| datagram.bytes.slice(INIT_HEADER..INIT_HEADER + 32);
        let drawn: Vec<_> = world.flying.iter().map(ephemeral).collect();
        assert_eq!(drawn.len(), 2);
        assert_ne!(drawn.first(), drawn.last());
    }
}
