//! The initiator's side of a handshake: INIT with a request inside, RESP with its answer.
//!
//! What must stay true: an INIT is sent again byte for byte, but for the mac that a cookie asks
//! for, and carries that mac from the start if its receiver gave a cookie lately; an attempt survives a RESP that does not open; a MISMATCH is believed only when no RESP
//! came within two seconds, and leads to at most one more INIT, with a revision that both sides
//! speak.

use core::num::NonZeroU32;
use core::time::Duration;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use subtle::ConstantTimeEq;

use super::Endpoint;
use crate::cookie::{self, COOKIE_LABEL};
use crate::drops::DropReason;
use crate::event::{Class, Event, FailReason, Mismatch};
use crate::handshake::{InitPayload, RespPayload, init_room};
use crate::message::{Envelope, Message, REQUEST_HEAD, RequestId};
use crate::packet::{
    CookiePacket, INIT_HEADER, InitHeader, MACS, MismatchPacket, RESP_HEADER, RespHeader,
};
use crate::peer::{Place, Request, Urgency};
use crate::session::Session;
use crate::slack::Slack;
use crate::suite::{INITIATE_OVERHEAD, Opening, RESPOND_OVERHEAD, Suite};
use crate::timers::Timer;

/// How long a RESP may still prove a MISMATCH wrong.
const DISBELIEF: Duration = Duration::from_secs(2);
/// How many cookies one handshake follows: one, and a few for a secret renewed meanwhile.
const COOKIES: u8 = 3;
/// When a session that has sent nothing yet sends an empty packet to prove itself; the protocol
/// allows a second.
const CONFIRM_AFTER: Duration = Duration::from_millis(200);

/// A handshake that this node began.
#[derive(Debug)]
pub(crate) struct Attempt<S: Suite> {
    pub(super) key: [u8; 32],
    pub(super) address: SocketAddr,
    /// The request inside the INIT.
    pub(super) request: RequestId,
    pub(super) packet: Bytes,
    version: u8,
    handshake: S::Initiator,
    pub(super) mismatch: Option<Mismatch>,
    /// Cookies that were taken.
    cookies: u8,
    /// Whether this is the second INIT, after a MISMATCH of revisions.
    is_second: bool,
    /// Whether it was asked for although there may be a session: the peer's queue does not wait
    /// for it.
    is_probe: bool,
}

impl<S: Suite> Endpoint<S> {
    /// Begins a handshake for the request at the head of a peer's queue, or with our own ping
    /// when that request may not travel in a first datagram.
    pub(super) fn begin_attempt(&mut self, key: &[u8; 32]) {
        let version = self.revision_of(key);
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(head) = peer.queue.front() else {
            return;
        };
        let room = init_room(Class::Long.length(), &self.config.hello);
        let Some(request) = self.requests.get(&head) else {
            return;
        };
        if request.first_ok && REQUEST_HEAD + request.body.len() <= room {
            peer.queue.pop_front();
            self.queued -= 1;
            self.launch(head, version, false);
        } else {
            let (address, urgency) = (request.address, request.urgency);
            let ping = Request {
                urgency,
                ..self.own_ping(*key, address)
            };
            let id = self.fresh_request_id();
            self.requests.insert(id, ping);
            if !self.launch(id, version, false) {
                self.end_request(head, Err(FailReason::TooLong));
            }
        }
    }

    /// The request that an endpoint sends of its own accord.
    pub(super) fn own_ping(&self, key: [u8; 32], address: SocketAddr) -> Request {
        Request {
            token: None,
            key,
            address,
            body: self.config.ping.clone(),
            first_ok: true,
            class: Class::Short,
            patience: Duration::ZERO,
            place: Place::Queued,
            first_sent: Duration::ZERO,
            last_sent: Duration::ZERO,
            tries: 0,
            losses: 0,
            needs: 0,
            is_slow: true,
            urgency: Urgency::Foreground,
            is_probe: false,
        }
    }

    /// Sends an INIT with this request, which is in no queue; ends it and gives false when it
    /// does not fit.
    pub(super) fn launch(&mut self, id: RequestId, version: u8, is_probe: bool) -> bool {
        let written = self.write_init(id, version);
        let now = self.now.monotonic;
        let (Some((index, packet, handshake)), Some(request)) =
            (written, self.requests.get_mut(&id))
        else {
            self.end_request(id, Err(FailReason::TooLong));
            return false;
        };
        request.place = Place::Handshake(index);
        request.tries = 1;
        request.first_sent = now;
        request.last_sent = now;
        let (key, address) = (request.key, request.address);
        let attempt = Attempt {
            key,
            address,
            request: id,
            packet: packet.clone(),
            version,
            handshake,
            mismatch: None,
            cookies: 0,
            is_second: false,
            is_probe,
        };
        self.attempts.insert(index, Box::new(attempt));
        if !is_probe && let Some(peer) = self.peers.get_mut(&key) {
            peer.attempt = NonZeroU32::new(index);
        }
        self.in_flight += 1;
        self.transmit(address, packet);
        self.arm_request(id);
        true
    }

    fn write_init(&mut self, id: RequestId, version: u8) -> Option<(u32, Bytes, S::Initiator)> {
        let index = self.fresh_index();
        let ephemeral = zeroize::Zeroizing::new(self.random_bytes::<32>());
        let request = self.requests.get(&id)?;
        let message = Envelope::request(id, request.body.clone());
        let hello = self.config.hello;
        let fits = message.length() <= init_room(request.class.length(), &hello);
        let class = if fits { request.class } else { Class::Long };
        let header = InitHeader {
            version,
            class: class.byte(),
            sender: index,
            wire_tag: self.config.wire_tag,
        };
        let header = header.bytes();
        let prologue = self.prologue(&header);
        let opening = Opening {
            prologue: &prologue,
            ephemeral: &ephemeral,
        };

        let handshake_length = class.length() - INIT_HEADER - MACS;
        let payload_length = handshake_length - INITIATE_OVERHEAD;
        self.arena.clear();
        if !InitPayload::write(&hello, &message, payload_length, &mut self.arena) {
            return None;
        }
        let mut packet = BytesMut::zeroed(class.length());
        let (front, rest) = packet.split_at_mut_checked(INIT_HEADER)?;
        front.copy_from_slice(&header);
        let handshake = self.suite.initiate(
            opening,
            &request.key,
            &self.arena,
            rest.get_mut(..handshake_length)?,
        )?;
        packet.truncate(INIT_HEADER + handshake_length);
        let mac1 = Self::mac1(&request.key, &packet);
        packet.put_slice(&mac1);
        let giver = (request.key, request.address);
        let mac2 = self
            .cookies
            .of(&giver, self.now.monotonic)
            .map_or([0; 16], |cookie| S::mac(cookie, &[&packet]));
        packet.put_slice(&mac2);
        Some((index, packet.freeze(), handshake))
    }

    pub(super) fn on_resp(&mut self, from: SocketAddr, datagram: &[u8]) {
        if let Err(reason) = self.take_resp(from, datagram) {
            self.drop_for(reason);
        }
    }

    fn take_resp(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let header = RespHeader::parse(datagram).ok_or(DropReason::Malformed)?;
        let index = header.receiver;
        let attempt = self.attempts.get_mut(&index).ok_or(DropReason::Unasked)?;
        if attempt.address != from {
            return Err(DropReason::WrongAddress);
        }
        if datagram.len() > attempt.packet.len() {
            return Err(DropReason::Malformed);
        }
        let (covered, macs) = split_macs(datagram).ok_or(DropReason::Malformed)?;
        if !bool::from(S::mac(&self.mac1_key, &[covered]).ct_eq(macs)) {
            return Err(DropReason::BadMac);
        }
        if header.version != attempt.version {
            return Err(DropReason::ForeignVersion);
        }
        let message = covered.get(RESP_HEADER..).ok_or(DropReason::Malformed)?;
        let length = message
            .len()
            .checked_sub(RESPOND_OVERHEAD)
            .ok_or(DropReason::Malformed)?;
        self.arena.clear();
        self.arena.resize(length, 0);
        let keys = self
            .suite
            .complete(&mut attempt.handshake, message, &mut self.arena)
            .ok_or(DropReason::BadHandshake)?;
        let payload = RespPayload::parse(&self.arena).ok_or(DropReason::BadFrame)?;
        let now = self.now.monotonic;
        let mut session = Session::new((attempt.key, from), keys, header.sender, now);
        session.reset_token = Some(payload.reset_token);
        self.on_opened(index, Box::new(session), payload);
        Ok(())
    }

    pub(super) fn on_cookie(&mut self, from: SocketAddr, datagram: &[u8]) {
        if let Err(reason) = self.take_cookie(from, datagram) {
            self.drop_for(reason);
        }
    }

    /// The other side wants our address proven: the same INIT again, with the cookie's mac, at
    /// once. The wait for its answer begins anew.
    fn take_cookie(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let packet = CookiePacket::parse(datagram).ok_or(DropReason::Malformed)?;
        let attempt = self
            .attempts
            .get_mut(&packet.receiver)
            .ok_or(DropReason::Unasked)?;
        if attempt.address != from {
            return Err(DropReason::WrongAddress);
        }
        let length = attempt.packet.len();
        let (covered, _) = attempt
            .packet
            .split_last_chunk::<16>()
            .ok_or(DropReason::Malformed)?;
        let (_, mac1) = covered
            .split_last_chunk::<16>()
            .ok_or(DropReason::Malformed)?;
        let key = S::mac_key(COOKIE_LABEL, &attempt.key);
        let cookie = cookie::open(&key, mac1, &packet)
            .filter(|_| attempt.cookies < COOKIES)
            .ok_or(DropReason::BadCookie)?;
        attempt.cookies += 1;
        let mut init = BytesMut::with_capacity(length);
        init.put_slice(covered);
        init.put_slice(&S::mac(&*cookie, &[covered]));
        attempt.packet = init.freeze();
        let giver = (attempt.key, attempt.address);
        self.cookies.keep(giver, cookie, self.now.monotonic);
        let (id, packet) = (attempt.request, attempt.packet.clone());
        if let Some(request) = self.requests.get_mut(&id) {
            request.last_sent = self.now.monotonic;
        }
        if self.may_repeat(id) {
            self.transmit(from, packet);
            self.arm_request(id);
        }
        Ok(())
    }

    /// The handshake is done: the session is confirmed, the request inside has its answer.
    fn on_opened(&mut self, index: u32, session: Box<Session>, payload: RespPayload) {
        let key = session.key;
        let Some(attempt) = self.remove_attempt(index) else {
            return;
        };
        self.note_revision(key, attempt.version);
        let is_kept = self.confirm(index, session, payload.hello);
        self.events.push_back(Event::Observed {
            key,
            address: payload.observed,
        });
        match payload.message {
            Message::Answer {
                id,
                utc_micros,
                body,
            } if id == attempt.request => {
                self.on_answer(id, utc_micros, body, true);
            }
            Message::Busy { id, retry_after_ms } if id == attempt.request => {
                self.end_request(id, Err(FailReason::Busy { retry_after_ms }));
            }
            _ => {
                self.drop_for(DropReason::BadFrame);
                self.end_request(attempt.request, Err(FailReason::Timeout));
            }
        }
        if is_kept {
            self.timers
                .arm(Timer::Confirm(index), self.now.monotonic + CONFIRM_AFTER);
        } else {
            self.drop_for(DropReason::SessionsFull);
        }
        self.pump(&key);
    }

    /// A session's first packet is due: when nothing was sent yet, an empty one.
    pub(super) fn on_confirm_due(&mut self, index: u32) {
        if self
            .sessions
            .get(&index)
            .is_some_and(|session| session.next == 0)
        {
            self.send_frame(index, &crate::frame::Outgoing::Empty);
        }
    }

    /// Takes a handshake of ours away, with its timer; the request inside stays.
    fn remove_attempt(&mut self, index: u32) -> Option<Box<Attempt<S>>> {
        let attempt = self.attempts.remove(&index)?;
        self.attempts.release();
        self.timers.disarm(Timer::Mismatch(index));
        if let Some(peer) = self.peers.get_mut(&attempt.key)
            && peer.attempt == NonZeroU32::new(index)
        {
            peer.attempt = None;
        }
        Some(attempt)
    }

    /// A handshake of ours failed: so does the request inside, and those that wait for the same
    /// address. Requests that name another address try that.
    pub(super) fn fail_attempt(&mut self, index: u32, reason: FailReason) {
        let Some(attempt) = self.remove_attempt(index) else {
            return;
        };
        self.end_request(attempt.request, Err(reason));
        let has_session = self.has_session(&attempt.key);
        if !attempt.is_probe && !has_session {
            let stranded: Vec<RequestId> = self
                .peers
                .get(&attempt.key)
                .into_iter()
                .flat_map(|peer| peer.queue.iter())
                .filter(|id| {
                    self.requests
                        .get(id)
                        .is_none_or(|request| request.address == attempt.address)
                })
                .collect();
            for id in stranded {
                self.end_request(id, Err(reason));
            }
        }
        self.pump(&attempt.key);
    }

    pub(super) fn on_mismatch(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(packet) = MismatchPacket::parse(datagram) else {
            self.drop_for(DropReason::Malformed);
            return;
        };
        if packet.receiver == 0 {
            self.on_search_mismatch(from, &packet);
            return;
        }
        let index = packet.receiver;
        let is_asked = self.attempts.get(&index).is_some_and(|attempt| {
            attempt.address == from
                && attempt.packet.get(INIT_HEADER..INIT_HEADER + 8) == Some(&packet.echo)
        });
        match self.attempts.get_mut(&index) {
            Some(attempt) if is_asked && attempt.mismatch.is_none() => {
                attempt.mismatch = Some(packet.theirs);
                self.timers
                    .arm(Timer::Mismatch(index), self.now.monotonic + DISBELIEF);
            }
            Some(_) if is_asked => {}
            _ => self.drop_for(DropReason::Unasked),
        }
    }

    /// Two seconds passed since a MISMATCH and no RESP came.
    pub(super) fn on_mismatch_due(&mut self, index: u32) {
        let Some(attempt) = self.attempts.get(&index) else {
            return;
        };
        let Some(theirs) = attempt.mismatch else {
            return;
        };
        let common = theirs.highest_version.min(self.config.highest_version);
        let is_common = common >= theirs.lowest_version.max(self.config.lowest_version);
        let is_same_network = theirs.wire_tag == self.config.wire_tag;
        let (request, address) = (attempt.request, attempt.address);
        let may_retry = !attempt.is_second && common != attempt.version;
        if is_common && is_same_network && may_retry {
            let is_probe = attempt.is_probe;
            self.remove_attempt(index);
            self.timers.disarm(Timer::Request(request));
            self.in_flight -= 1;
            if let Some(request) = self.requests.get_mut(&request) {
                request.place = Place::Queued;
            }
            self.launch(request, common, is_probe);
            if let Some(Place::Handshake(second)) = self.requests.get(&request).map(|r| r.place)
                && let Some(attempt) = self.attempts.get_mut(&second)
            {
                attempt.is_second = true;
            }
            return;
        }
        // A ping of our own went ahead of the caller's request.
        let head = self
            .peers
            .get(&attempt.key)
            .and_then(|peer| peer.queue.front());
        let token = [Some(request), head]
            .into_iter()
            .flatten()
            .find_map(|id| self.requests.get(&id).and_then(|request| request.token));
        self.events.push_back(Event::Mismatch {
            token,
            address,
            theirs,
        });
        self.fail_attempt(index, FailReason::Mismatch);
    }
}

/// Splits INIT or RESP into what mac1 covers and mac1.
pub(super) fn split_macs(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (covered, macs) = datagram.split_at_checked(datagram.len().checked_sub(MACS)?)?;
    Some((covered, macs.get(..16)?))
}
