//! Datagrams on their way in.
//!
//! What must stay true: whatever arrives, nothing panics, and a datagram that leads to nothing is
//! counted by reason. Checks go from cheap to dear.

use std::net::SocketAddr;

use bytes::Bytes;
use subtle::ConstantTimeEq;

use super::Endpoint;
use super::initiate::split_macs;
use crate::address::{AddressGroup, canonical};
use crate::assembly::{AssemblyId, Noted};
use crate::config::{BODY_MAX, Time};
use crate::drops::DropReason;
use crate::event::{Event, FailReason, InboundId, Path};
use crate::frame::{Direction, Frame, Outgoing, Piece};
use crate::message::{Envelope, Message, RequestId};
use crate::packet::{self, DataHeader, InitHeader, RESET_LENGTH, Reset};
use crate::peer::Place;
use crate::suite::Suite;
use crate::timers::Timer;

/// When a peer that has more than its share of a full queue may come again: about the time in
/// which the queue is served.
const RETRY_AFTER_MS: u32 = 100;

/// Where an opened frame came from.
#[derive(Clone, Copy)]
struct Origin {
    session: u32,
    key: [u8; 32],
    address: SocketAddr,
}

/// First macs that are computed together, at most.
const MACS_AT_ONCE: usize = 32;
/// From how many on that is faster than one by one.
const MACS_FROM: usize = 4;

/// What the first mac of an INIT covers, and that mac; nothing of what is no INIT or has no length
/// of one.
fn covered_init(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    InitHeader::parse(datagram)?;
    split_macs(datagram)
}

impl<S: Suite> Endpoint<S> {
    /// Takes a datagram; it is opened in place, so its bytes are undefined afterwards. What it is
    /// answered with leaves from the own address that it came to, if `path` names it.
    pub fn handle_datagram(&mut self, now: Time, path: impl Into<Path>, datagram: &mut [u8]) {
        self.take_datagram(now, path.into(), datagram, None);
    }

    /// Takes datagrams that came together, one after the other as
    /// [`handle_datagram`](Self::handle_datagram) does. In a flood of handshakes this costs a third.
    pub fn handle_datagrams(&mut self, now: Time, datagrams: &mut [(Path, &mut [u8])]) {
        for group in datagrams.chunks_mut(MACS_AT_ONCE) {
            let mut verdicts = self.check_macs(group).into_iter();
            for (path, datagram) in group {
                self.take_datagram(now, *path, datagram, verdicts.next().flatten());
            }
        }
    }

    /// Whether the first mac of each datagram that is an INIT is right. Nothing is said when there
    /// are too few of them for saying it at once to be faster.
    fn check_macs(&self, group: &[(Path, &mut [u8])]) -> [Option<bool>; MACS_AT_ONCE] {
        let mut verdicts = [None; MACS_AT_ONCE];
        let (mut covered, mut given) = ([&[][..]; MACS_AT_ONCE], [None; MACS_AT_ONCE]);
        let mut count = 0;
        for (place, (_, datagram)) in given.iter_mut().zip(group) {
            if let Some((message, mac)) = covered_init(datagram)
                && let Some(slot) = covered.get_mut(count)
            {
                *slot = message;
                *place = Some(mac);
                count += 1;
            }
        }
        if count < MACS_FROM {
            return verdicts;
        }
        let mut macs = [[0; 16]; MACS_AT_ONCE];
        S::macs(
            &self.mac1_key,
            covered.get(..count).unwrap_or_default(),
            &mut macs,
        );
        let asked = verdicts.iter_mut().zip(given);
        let asked = asked.filter_map(|(verdict, given)| Some((verdict, given?)));
        for ((verdict, given), mac) in asked.zip(macs) {
            *verdict = Some(bool::from(mac.ct_eq(given)));
        }
        verdicts
    }

    /// `is_mac_right` is about an INIT's first mac, where that is known already.
    fn take_datagram(
        &mut self,
        now: Time,
        path: Path,
        datagram: &mut [u8],
        is_mac_right: Option<bool>,
    ) {
        self.now = now;
        self.local = self.locals.number(path.local);
        self.traffic.datagrams_in += 1;
        self.traffic.bytes_in += datagram.len() as u64;
        let from = canonical(path.remote);
        let dropped = self.drops.total();
        match datagram.first() {
            Some(&packet::DATA) => self.on_data(from, datagram),
            Some(&packet::INIT) => self.on_init(from, datagram, is_mac_right),
            Some(&packet::RESP) => self.on_resp(from, datagram),
            Some(&packet::COOKIE) => self.on_cookie(from, datagram),
            Some(&packet::RESET) => self.on_reset(from, datagram),
            Some(&packet::WHO) => self.on_who(from, datagram),
            Some(&packet::IAM) => self.on_iam(from, datagram),
            Some(&packet::MISMATCH) => self.on_mismatch(from, datagram),
            _ => self.drop_for(DropReason::UnknownKind),
        }
        if self.drops.total() > dropped {
            self.drops.note_group(AddressGroup::of(from));
        }
        self.pump_waiting();
    }

    fn on_data(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        let Some(header) = DataHeader::parse(datagram) else {
            self.drop_for(DropReason::Malformed);
            return;
        };
        let now = self.now.monotonic;
        let opened = match self.sessions.get_mut(&header.receiver) {
            Some(session) => session.open::<S>(header, from, datagram, now),
            None => match self.prove(header, from, datagram) {
                Some(opened) => opened,
                None => return self.send_reset(from, header.receiver),
            },
        };
        match opened {
            Ok(plaintext) => self.on_frame(header.receiver, from, plaintext),
            Err(reason) => self.drop_for(reason),
        }
    }

    fn on_frame(&mut self, session: u32, address: SocketAddr, plaintext: &[u8]) {
        let Some(key) = self.sessions.get(&session).map(|session| session.key) else {
            return;
        };
        let origin = Origin {
            session,
            key,
            address,
        };
        match Frame::parse(plaintext) {
            Some(Frame::Empty) => {}
            Some(Frame::Whole(message)) => {
                self.on_message(origin, &Bytes::copy_from_slice(message), true);
            }
            Some(Frame::Piece(piece)) => self.on_piece(origin, &piece),
            Some(Frame::Need {
                id,
                direction,
                bitmap,
            }) => {
                self.on_need(session, &key, (id, direction), bitmap);
            }
            None => self.drop_for(DropReason::BadFrame),
        }
    }

    fn on_message(&mut self, origin: Origin, bytes: &Bytes, is_whole: bool) {
        match Message::parse(bytes) {
            Some(Message::Request { id, body }) => self.on_request(origin, id, body),
            Some(Message::Answer {
                id,
                utc_micros,
                body,
            }) => {
                if self.is_asked(id, &origin.key) {
                    self.on_answer(id, utc_micros, body, is_whole);
                    self.pump(&origin.key);
                } else {
                    self.drop_for(DropReason::LateAnswer);
                }
            }
            Some(Message::Busy { id, retry_after_ms }) => {
                if self.is_asked(id, &origin.key) {
                    self.end_request(id, Err(FailReason::Busy { retry_after_ms }));
                    self.pump(&origin.key);
                } else {
                    self.drop_for(DropReason::LateAnswer);
                }
            }
            None => self.drop_for(DropReason::BadFrame),
        }
    }

    fn on_request(&mut self, origin: Origin, id: RequestId, body: Bytes) {
        let Origin {
            session,
            key,
            address,
        } = origin;
        if self.repeat_held(session, id) {
            self.drop_for(DropReason::DuplicateRequest);
            return;
        }
        if !self.serving.insert((session, id), self.now.monotonic) {
            self.drop_for(DropReason::DuplicateRequest);
            return;
        }
        let group = AddressGroup::of(address);
        if self.arrivals.is_too_much_of(&key, group) {
            self.drop_for(DropReason::Overloaded);
            // It may come again.
            self.serving.remove(&(session, id));
            let busy = Envelope::busy(id, RETRY_AFTER_MS);
            self.send_frame(session, &Outgoing::Whole(&busy));
            return;
        }
        let inbound = InboundId {
            session,
            request: id,
        };
        let answer_max = BODY_MAX;
        let confirmed = true;
        let request = Event::Request {
            key,
            address,
            confirmed,
            inbound,
            body,
            answer_max,
        };
        self.arrivals.push(key, group, request);
    }

    /// Whether a request of ours waits for an answer of this peer over a session.
    fn is_asked(&self, id: RequestId, key: &[u8; 32]) -> bool {
        self.requests.get(&id).is_some_and(|request| {
            request.key == *key && matches!(request.place, Place::Session(_))
        })
    }

    /// The answer to a request of ours that runs. Only a request that was sent once and whole,
    /// and answered whole, measures the round trip.
    pub(super) fn on_answer(
        &mut self,
        id: RequestId,
        utc_micros: u64,
        body: Bytes,
        is_whole: bool,
    ) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let rtt = self.now.monotonic.saturating_sub(request.last_sent);
        let is_measure =
            is_whole && request.tries == 1 && request.needs == 0 && request.patience.is_zero();
        if let Some(peer) = self.peers.get_mut(&request.key) {
            if is_measure {
                peer.rtt.sample(rtt);
            }
            peer.window.on_answer();
        }
        self.end_request(id, Ok((body, utc_micros, rtt)));
    }

    fn on_piece(&mut self, origin: Origin, piece: &Piece<'_>) {
        let session = origin.session;
        let is_wanted = match piece.direction {
            Direction::Answer => self.is_asked(piece.id, &origin.key),
            Direction::Request => !self
                .serving
                .contains(&(session, piece.id), self.now.monotonic),
        };
        if !is_wanted {
            self.drop_for(DropReason::StrayPiece);
            return;
        }
        let id = AssemblyId {
            session,
            request: piece.id,
            direction: piece.direction,
        };
        match self.assemblies.on_piece(session, piece) {
            Noted::Complete(message) => {
                self.timers.disarm(Timer::Silence(id));
                self.on_message(origin, &message, false);
                return;
            }
            Noted::Ask(bitmap) => self.ask_pieces(id, bitmap),
            Noted::Waiting => {}
            Noted::Copy | Noted::NoRoom => {
                self.drop_for(DropReason::StrayPiece);
                return;
            }
        }
        self.await_pieces(id, &origin.key);
    }

    fn ask_pieces(&mut self, id: AssemblyId, bitmap: u8) {
        let need = Outgoing::Need {
            id: id.request,
            direction: id.direction,
            bitmap,
        };
        self.send_frame(id.session, &need);
    }

    /// Waits for more pieces; while an answer arrives in pieces, its request does not time out.
    fn await_pieces(&mut self, id: AssemblyId, key: &[u8; 32]) {
        let now = self.now.monotonic;
        let silence = self
            .peers
            .get(key)
            .map(|peer| peer.rtt)
            .unwrap_or_default()
            .silence();
        self.timers.arm(Timer::Silence(id), now + silence);
        if id.direction == Direction::Answer
            && let Some(request) = self.requests.get_mut(&id.request)
        {
            request.last_sent = now;
            request.is_slow = true;
            self.timers
                .arm(Timer::Request(id.request), now + silence * 4);
        }
    }

    /// A sender of pieces was silent for a round trip: ask again, or give the message up.
    pub(super) fn on_silence_due(&mut self, id: AssemblyId) {
        let Some(key) = self.sessions.get(&id.session).map(|session| session.key) else {
            self.assemblies.remove(&id);
            return;
        };
        if id.direction == Direction::Answer && !self.is_asked(id.request, &key) {
            self.assemblies.remove(&id);
            return;
        }
        if let Some(bitmap) = self.assemblies.on_silence(&id) {
            self.ask_pieces(id, bitmap);
            self.await_pieces(id, &key);
        }
    }

    /// DATA for no session: tells its sender so, if it can prove it.
    fn send_reset(&mut self, to: SocketAddr, index: u32) {
        self.drop_for(DropReason::NoSession);
        let rate = super::REFUSALS_PER_SECOND;
        if !self.resets.take(self.now.monotonic, rate, rate) {
            return;
        }
        let reset = Reset {
            index,
            token: self.reset_token(index, to),
        };
        self.arena.clear();
        self.arena.reserve(RESET_LENGTH);
        reset.write(&mut self.arena);
        let bytes = self.arena.split().freeze();
        self.reply(to, bytes);
    }
}
