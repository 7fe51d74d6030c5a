//! Packets of every kind, from noise to those that only a liar with true keys can make.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::input::{Input, NETWORK_ID, WIRE_TAG, address, check_limits, endpoint, secret};
use crate::config::Time;
use crate::cookie::{self, COOKIE_LABEL};
use crate::endpoint::Endpoint;
use crate::event::{Class, Event, InboundId, Mismatch, Outgoing};
use crate::packet::{
    COOKIE, CookiePacket, DATA, DATA_OVERHEAD, DataHeader, IAM, INIT, INIT_HEADER, InitHeader,
    MACS, MISMATCH, MISMATCH_LENGTH, MismatchPacket, RESET, RESP, RESP_HEADER, RespHeader, WHO,
    WHO_LENGTH,
};
use crate::suite::{INITIATE_OVERHEAD, NoiseSuite, Opening, RESPOND_OVERHEAD, SessionKeys, Suite};

const MAC1_LABEL: &[u8] = b"qadom 1 mac1";
/// The fuzzed node.
const BOB: u8 = 2;
/// A peer with a session.
const ANN: u8 = 1;
/// A node that was asked and has not answered.
const CAROL: u8 = 3;
/// Where a key is asked for.
const NOWHERE: u8 = 4;
/// The first of four addresses of those who make true handshakes with false contents.
const LIARS: u8 = 16;
/// The longest datagram that is made.
const LONGEST: usize = 1300;
/// The most datagrams that are given together.
const TOGETHER: usize = 40;

/// Gives packets to an endpoint that has a session, a handshake of its own, a search and a request
/// under way: noise, packets with true macs, and sealed ones with false contents.
///
/// # Panics
///
/// When the endpoint passes a limit, answers more than it was sent to an address that has proven
/// nothing, or stands still.
pub fn packets(data: &[u8]) {
    let mut input = Input::new(data);
    let mut target = Target::new();
    assert!(target.is_some(), "the node cannot be set up");
    while let Some(target) = &mut target
        && target.step(&mut input).is_some()
    {
        target.check();
    }
}

struct Target {
    now: Time,
    bob: Endpoint,
    bob_key: [u8; 32],
    /// The keys of the session with Ann, from her side, and the index at Bob's.
    ann: (SessionKeys, u32),
    counter: u32,
    /// Bob's INIT to Carol, and what she was sent inside.
    to_carol: Bytes,
    carol: NoiseSuite,
    /// The nonce of Bob's WHO.
    nonce: [u8; 16],
    /// The request that Bob sent to Ann.
    request: [u8; 8],
    /// mac1 of the last INIT that a liar made.
    mac1: [u8; 16],
    /// What liars were given for their addresses.
    cookies: HashMap<SocketAddr, [u8; 16]>,
    held: Vec<(InboundId, usize)>,
    /// Datagrams that are given together with the next one.
    waiting: Vec<(SocketAddr, Vec<u8>)>,
    proven: HashSet<SocketAddr>,
    received: HashMap<SocketAddr, usize>,
    sent: HashMap<SocketAddr, usize>,
}

impl Target {
    fn new() -> Option<Self> {
        let now = Time {
            monotonic: Duration::from_secs(1000),
            utc_micros: 1,
        };
        let mut bob = endpoint(BOB, 0, now);
        let mut ann = endpoint(ANN, 0, now);
        let (ann_key, bob_key) = (*ann.key(), *bob.key());
        ann.request(now, outgoing(bob_key, BOB));
        let mut init = ann.poll_transmit()?.bytes.to_vec();
        bob.handle_datagram(now, address(ANN), &mut init);
        let Event::Request { inbound, .. } = bob.poll_event()? else {
            return None;
        };
        bob.answer(now, inbound, Bytes::from_static(b"answer"));
        let mut resp = bob.poll_transmit()?.bytes.to_vec();
        ann.handle_datagram(now, address(BOB), &mut resp);
        ann.keep_alive(bob_key);
        let mut data = ann.poll_transmit()?.bytes.to_vec();
        bob.handle_datagram(now, address(ANN), &mut data);
        bob.request(now, outgoing(ann_key, ANN));
        let mut data = bob.poll_transmit()?.bytes.to_vec();
        ann.handle_datagram(now, address(BOB), &mut data);
        let request = core::iter::from_fn(|| ann.poll_event()).find_map(|event| match event {
            Event::Request { inbound, .. } => Some(inbound.request),
            _ => None,
        })?;
        bob.request(now, outgoing(secret(CAROL).public(), CAROL));
        let to_carol = bob.poll_transmit()?.bytes;
        bob.identify(now, 9, address(NOWHERE));
        let who = bob.poll_transmit()?.bytes;
        let mut target = Self {
            now,
            bob,
            bob_key,
            ann: ann.session_with(&bob_key)?,
            counter: 1,
            to_carol,
            carol: NoiseSuite::new(secret(CAROL)),
            nonce: *who.get(12..)?.first_chunk()?,
            request,
            mac1: [0; 16],
            cookies: HashMap::new(),
            held: Vec::new(),
            waiting: Vec::new(),
            proven: HashSet::new(),
            received: HashMap::new(),
            sent: HashMap::new(),
        };
        target.take_events();
        assert!(target.proven.contains(&address(ANN)));
        Some(target)
    }

    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (from, datagram) = match input.choice(12)? {
            0 => (input.byte()?, input.bytes(LONGEST)?.to_vec()),
            1 => (input.byte()?, shaped(input)?),
            2 => {
                let from = LIARS + input.byte()? % 4;
                (from, self.init_of_noise(from, input)?)
            }
            3 => {
                let from = LIARS + input.byte()? % 4;
                (from, self.init(from, input)?)
            }
            4 | 5 => (ANN, self.data(input)?),
            6 => (CAROL, self.resp(input)?),
            7 => (CAROL, self.cookie(input)?),
            8 => (CAROL, self.mismatch(input)?),
            9 => (NOWHERE, self.iam(input)),
            10 => {
                let step = Duration::from_millis(u64::from(input.byte()?).pow(2));
                self.now.monotonic += step;
                self.bob.handle_timeout(self.now);
                let next = self.bob.next_deadline();
                assert!(
                    next.is_none_or(|at| at > self.now.monotonic),
                    "stands still"
                );
                return Some(());
            }
            _ => return self.answer(input),
        };
        self.give(address(from), &datagram);
        Some(())
    }

    /// Gives a datagram and those that wait, together. Odd ones wait for the next.
    fn give(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.waiting.push((from, datagram.to_vec()));
        let is_odd = datagram.last().is_some_and(|byte| byte % 2 == 1);
        if is_odd && self.waiting.len() < TOGETHER {
            return;
        }
        for (from, datagram) in &self.waiting {
            *self.received.entry(*from).or_default() += datagram.len();
        }
        let waiting = self.waiting.iter_mut();
        let mut together: Vec<_> = waiting
            .map(|(from, datagram)| ((*from).into(), &mut datagram[..]))
            .collect();
        self.bob.handle_datagrams(self.now, &mut together);
        self.waiting.clear();
    }

    /// Drains everything and checks what must stay true.
    fn check(&mut self) {
        self.take_events();
        while let Some(transmit) = self.bob.poll_transmit() {
            assert!(transmit.bytes.len() <= 1200);
            self.note_cookie(transmit.to, &transmit.bytes);
            let is_own_accord = matches!(transmit.bytes.first(), Some(&INIT | &WHO));
            if is_own_accord || self.proven.contains(&transmit.to) {
                continue;
            }
            let sent = self.sent.entry(transmit.to).or_default();
            *sent += transmit.bytes.len();
            let received = self.received.get(&transmit.to).copied();
            assert!(*sent <= received.unwrap_or_default(), "amplifies");
        }
        check_limits(&self.bob);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.bob.poll_event() {
            match event {
                Event::Confirmed { address, .. } => {
                    self.proven.insert(address);
                }
                Event::Request {
                    inbound,
                    answer_max,
                    ..
                } => self.held.push((inbound, answer_max)),
                _ => {}
            }
        }
    }

    fn answer(&mut self, input: &mut Input<'_>) -> Option<()> {
        let length = input.choice(256)? * 36;
        if !self.held.is_empty() {
            let at = input.choice(self.held.len())?;
            let (inbound, most) = self.held.swap_remove(at);
            let body = Bytes::from(vec![7; length.min(most)]);
            self.bob.answer(self.now, inbound, body);
        }
        Some(())
    }

    /// An INIT with a true mac around noise.
    fn init_of_noise(&mut self, from: u8, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let (header, length) = init_header(input)?;
        let mut packet = header.bytes().to_vec();
        packet.extend(input.filled(length - INIT_HEADER - MACS));
        // Not every key of noise is one, most bytes are.
        packet
            .get_mut(47)
            .into_iter()
            .for_each(|high| *high &= 0x7f);
        self.proven_init(packet, from, input)
    }

    /// An INIT with a true handshake around false contents.
    fn init(&mut self, from: u8, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let (header, length) = init_header(input)?;
        let mut packet = header.bytes().to_vec();
        let liar = NoiseSuite::new(secret(5 + input.byte()? % 4));
        let mut ephemeral = [9; 32];
        ephemeral[0] = input.byte()?;
        let prologue = prologue(&header.bytes());
        let opening = Opening {
            prologue: &prologue,
            ephemeral: &ephemeral,
        };
        let message_length = length - INIT_HEADER - MACS;
        let payload = content(input, message_length - INITIATE_OVERHEAD)?;
        packet.resize(INIT_HEADER + message_length, 0);
        let message = packet.get_mut(INIT_HEADER..)?;
        liar.initiate(opening, &self.bob_key, &payload, message)?;
        self.proven_init(packet, from, input)
    }

    /// Puts the macs behind an INIT: the second one is true if the liar was given a cookie at this
    /// address, and uses it.
    fn proven_init(&mut self, packet: Vec<u8>, from: u8, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let mut packet = with_macs(packet, &self.bob_key, input);
        let (covered, mac2) = packet.split_last_chunk_mut::<16>()?;
        let (_, mac1) = covered.split_last_chunk::<16>()?;
        self.mac1 = *mac1;
        if let Some(cookie) = self.cookies.get(&address(from))
            && input.byte()? > 63
        {
            *mac2 = NoiseSuite::mac(cookie, &[covered]);
        }
        Some(packet)
    }

    /// A cookie that Bob gave for the last INIT.
    fn note_cookie(&mut self, to: SocketAddr, bytes: &[u8]) {
        let key = NoiseSuite::mac_key(COOKIE_LABEL, &self.bob_key);
        let cookie =
            CookiePacket::parse(bytes).and_then(|packet| cookie::open(&key, &self.mac1, &packet));
        if let Some(cookie) = cookie {
            self.cookies.insert(to, *cookie);
        }
    }

    /// DATA from Ann with false contents, some of them about requests that run.
    fn data(&mut self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let size = *[64, 128, 256, 512, 1200].get(input.choice(5)?)?;
        let kind = input.byte()?;
        let counter = if kind & 0xc0 == 0xc0 {
            u32::from(input.byte()?)
        } else {
            self.counter
        };
        self.counter = self.counter.max(counter) + 1;
        let header = DataHeader {
            receiver: self.ann.1,
            counter,
        };
        let mut body = match kind % 4 {
            0 => input.filled(size - DATA_OVERHEAD),
            1 => content(input, size - DATA_OVERHEAD)?,
            _ => self.frame(kind, input, size - DATA_OVERHEAD)?,
        };
        let tag = NoiseSuite::seal(&self.ann.0.send, counter.into(), &header.bytes(), &mut body)?;
        Some([&header.bytes()[..], &body, &tag].concat())
    }

    /// A frame that names Bob's own request, or a new one.
    fn frame(&self, kind: u8, input: &mut Input<'_>, length: usize) -> Option<Vec<u8>> {
        let id = if kind & 4 == 0 {
            self.request
        } else {
            [input.byte()? % 8; 8]
        };
        let mut frame = BytesMut::new();
        frame.put_u16_le(u16::try_from(length.saturating_sub(2)).ok()?);
        let counted = input.byte()?;
        match kind % 4 {
            2 => {
                // A whole message.
                frame.put_slice(&[1, counted % 3]);
                frame.put_slice(&id);
            }
            _ if kind & 8 == 0 => {
                frame.put_u8(2);
                frame.put_slice(&id);
                let count = 2 + counted % 7;
                frame.put_slice(&[kind >> 4 & 1, counted / 7 % count, count]);
                frame.put_u16_le(u16::from(count) * 1120 - u16::from(kind >> 5 & 1));
                if length == 1168 {
                    // The one length that a true piece has.
                    let whole = u16::try_from(14 + 1120).ok()?;
                    frame.get_mut(..2)?.copy_from_slice(&whole.to_le_bytes());
                }
            }
            _ => {
                frame.get_mut(..2)?.copy_from_slice(&11u16.to_le_bytes());
                frame.put_u8(3);
                frame.put_slice(&id);
                frame.put_slice(&[kind >> 4 & 1, counted]);
            }
        }
        let rest = input.filled(length.checked_sub(frame.len())?);
        frame.put_slice(&rest);
        Some(frame.to_vec())
    }

    /// A RESP of Carol's with a true handshake around false contents.
    fn resp(&self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let header = InitHeader::parse(&self.to_carol)?;
        let length = self.to_carol.len() - usize::from(input.byte()?);
        let prologue = prologue(&header.bytes());
        let opening = Opening {
            prologue: &prologue,
            ephemeral: &[8; 32],
        };
        let message = self.to_carol.get(INIT_HEADER..self.to_carol.len() - MACS)?;
        let mut opened = vec![0; message.len() - INITIATE_OVERHEAD];
        let (bob, responder) = self.carol.accept(opening, message, &mut opened)?;
        let mut packet = RespHeader {
            version: header.version,
            sender: u32::from(input.byte()?),
            receiver: header.sender,
        }
        .bytes()
        .to_vec();
        packet.resize(length - MACS, 0);
        let message = packet.get_mut(RESP_HEADER..)?;
        let mut payload = vec![7; 16];
        payload.extend(input.filled(19));
        payload.extend(content(input, message.len() - RESPOND_OVERHEAD - 35)?);
        self.carol.respond(responder, &payload, message)?;
        Some(with_macs(packet, &bob, input))
    }

    fn cookie(&self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let header = InitHeader::parse(&self.to_carol)?;
        let macs = self.to_carol.get(self.to_carol.len() - MACS..)?;
        let key = NoiseSuite::mac_key(COOKIE_LABEL, &secret(CAROL).public());
        let cookie = [input.byte()?; 16];
        let nonce = [input.byte()?; 24];
        let packet = cookie::seal(&key, nonce, (header.sender, macs.first_chunk()?), &cookie)?;
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes);
        Some(bytes.to_vec())
    }

    fn mismatch(&self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let header = InitHeader::parse(&self.to_carol)?;
        let is_to_who = input.byte()? > 128;
        let ephemeral = self.to_carol.get(INIT_HEADER..)?;
        let packet = MismatchPacket {
            receiver: if is_to_who { 0 } else { header.sender },
            echo: if is_to_who {
                *self.nonce.first_chunk()?
            } else {
                *ephemeral.first_chunk()?
            },
            theirs: Mismatch {
                lowest_version: input.byte()?,
                highest_version: input.byte()?,
                k: 20,
                id_bits: 0,
                wire_tag: [input.byte()? % 4; 8],
                network_prefix: [0; 4],
            },
        };
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes);
        Some(bytes.to_vec())
    }

    fn iam(&self, input: &mut Input<'_>) -> Vec<u8> {
        let key = input.filled(32);
        let front = [IAM, 0, 0, 0];
        [&front[..], &WIRE_TAG, &self.nonce, &key, &[4; 19]].concat()
    }
}

fn outgoing(key: [u8; 32], to: u8) -> Outgoing {
    Outgoing {
        token: to.into(),
        key,
        address: address(to),
        body: Bytes::from_static(b"question"),
        first_ok: true,
        class: Class::Long,
        patience: Duration::ZERO,
        is_background: false,
    }
}

/// Noise behind the front of a packet of some kind, of that kind's length.
fn shaped(input: &mut Input<'_>) -> Option<Vec<u8>> {
    let kinds = [
        (INIT, 512),
        (INIT, 1200),
        (RESP, 512),
        (COOKIE, 64),
        (DATA, 64),
        (DATA, 1200),
        (RESET, 24),
        (WHO, WHO_LENGTH),
        (IAM, 79),
        (MISMATCH, MISMATCH_LENGTH),
    ];
    let &(kind, length) = kinds.get(input.choice(kinds.len())?)?;
    let mut packet = input.filled(length);
    let mut front = [kind, 0, 0, 0];
    if kind == INIT {
        front = [kind, 1, u8::from(length > 512), 0];
    } else if kind == RESP {
        front[1] = 1;
    }
    packet.get_mut(..4)?.copy_from_slice(&front);
    Some(packet)
}

/// A header of an INIT to this network, and the packet's length.
fn init_header(input: &mut Input<'_>) -> Option<(InitHeader, usize)> {
    let class = input.byte()? & 1;
    let version = input.byte()?;
    let header = InitHeader {
        version: if version > 16 { 1 } else { version },
        class,
        sender: input.byte()?.into(),
        wire_tag: WIRE_TAG,
    };
    Some((header, if class == 0 { 512 } else { 1200 }))
}

/// A plaintext of false contents behind a length that may be true, or a true request.
fn content(input: &mut Input<'_>, length: usize) -> Option<Vec<u8>> {
    let choice = input.byte()?;
    let mut content = vec![0; 2];
    if choice > 100 {
        // hello: nothing; message: a request, its id and body.
        content.extend([1, choice & 1, 0]);
        content.extend([input.byte()?; 8]);
    }
    content.extend(input.filled(length.checked_sub(content.len())?));
    let counted = if choice > 100 {
        11 + u16::from(choice)
    } else {
        u16::from_le_bytes([input.byte()?, input.byte()? & 3])
    };
    content
        .get_mut(..2)?
        .copy_from_slice(&counted.to_le_bytes());
    Some(content)
}

fn with_macs(mut packet: Vec<u8>, receiver: &[u8; 32], input: &mut Input<'_>) -> Vec<u8> {
    let key = NoiseSuite::mac_key(MAC1_LABEL, receiver);
    packet.extend(NoiseSuite::mac(&key, &[&packet]));
    packet.extend([input.byte().unwrap_or_default(); 16]);
    packet
}

fn prologue(header: &[u8; INIT_HEADER]) -> Vec<u8> {
    [b"qadom 1", &NETWORK_ID[..], header].concat()
}
