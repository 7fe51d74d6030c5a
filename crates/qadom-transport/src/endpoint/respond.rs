//! The responder's side of a handshake: INIT in, RESP out, and the wait for proof.
//!
//! What must stay true: the order of checks of the protocol's section 6, so that what is cheap
//! comes first and curve work last; a RESP is as long as its INIT; an unproven handshake never
//! touches a confirmed session.

use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use subtle::ConstantTimeEq;

use super::initiate::split_macs;
use super::{Endpoint, SEEN_FOR, SEEN_INITS};
use crate::address::{AddressGroup, pack_observed};
use crate::drops::DropReason;
use crate::event::{Event, InboundId, Mismatch};
use crate::handshake::{InitPayload, RespPayload, resp_room};
use crate::hello::Hello;
use crate::key::is_node_key;
use crate::locals::LocalId;
use crate::message::{ANSWER_HEAD, Envelope, Message, RequestId};
use crate::packet::{
    DataHeader, INIT_HEADER, InitHeader, MACS, MISMATCH_LENGTH, MismatchPacket, RESP_HEADER,
    RESP_OVERHEAD, RespHeader,
};
use crate::recent::Recent;
use crate::session::Session;
use crate::slack::Slack;
use crate::suite::{INITIATE_OVERHEAD, Opening, Suite};
use crate::timers::Timer;

/// How long a responder waits for the first DATA, which proves the initiator.
const PENDING_FOR: Duration = Duration::from_secs(5);

/// Handshakes that others began and have not proven.
#[derive(Debug)]
pub(crate) struct Pending<S: Suite> {
    all: HashMap<u32, Box<Unproven<S>>>,
    by_mac1: HashMap<[u8; 16], u32>,
    groups: HashMap<AddressGroup, usize>,
    /// INITs that were opened, by mac1, which covers all that matters of them.
    seen: Recent<[u8; 16]>,
}

/// One such handshake.
#[derive(Debug)]
struct Unproven<S: Suite> {
    mac1: [u8; 16],
    key: [u8; 32],
    address: SocketAddr,
    /// The own address that INIT came to.
    local: LocalId,
    hello: Hello,
    version: u8,
    remote: u32,
    /// INIT's length, which RESP may not exceed.
    length: usize,
    request: RequestId,
    stage: Stage<S>,
}

/// How far it is.
#[derive(Debug)]
enum Stage<S: Suite> {
    /// The node has the request and has not answered.
    Asked(S::Responder),
    /// RESP was sent; kept for copies of the INIT. The session waits for its first DATA.
    Answered(Bytes, Box<Session>),
}

impl<S: Suite> Pending<S> {
    pub(super) fn new() -> Self {
        Self {
            all: HashMap::new(),
            by_mac1: HashMap::new(),
            groups: HashMap::new(),
            seen: Recent::new(SEEN_FOR, SEEN_INITS),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Room for handshakes, in the largest of its collections that they come and go in.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let (all, by_mac1) = (self.all.capacity(), self.by_mac1.capacity());
        all.max(by_mac1).max(self.groups.capacity())
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        self.all.contains_key(&index)
    }

    fn insert(&mut self, index: u32, unproven: Box<Unproven<S>>) {
        self.by_mac1.insert(unproven.mac1, index);
        *self
            .groups
            .entry(AddressGroup::of(unproven.address))
            .or_default() += 1;
        self.all.insert(index, unproven);
    }

    fn remove(&mut self, index: u32) -> Option<Box<Unproven<S>>> {
        let unproven = self.all.remove(&index)?;
        self.all.release();
        self.by_mac1.remove(&unproven.mac1);
        self.by_mac1.release();
        let group = AddressGroup::of(unproven.address);
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
                self.groups.release();
            }
        }
        Some(unproven)
    }

    /// How many are from one group of addresses.
    pub(super) fn of_group(&self, group: AddressGroup) -> usize {
        self.groups.get(&group).copied().unwrap_or_default()
    }
}

impl<S: Suite> Endpoint<S> {
    pub(super) fn on_init(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        is_mac_right: Option<bool>,
    ) {
        if let Err(reason) = self.take_init(from, datagram, is_mac_right) {
            self.drop_for(reason);
        }
    }

    fn take_init(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        is_mac_right: Option<bool>,
    ) -> Result<(), DropReason> {
        let header = InitHeader::parse(datagram).ok_or(DropReason::Malformed)?;
        let (covered, mac1) = split_macs(datagram).ok_or(DropReason::Malformed)?;
        let mac1: [u8; 16] = mac1.try_into().map_err(|_| DropReason::Malformed)?;
        let is_mac_right =
            is_mac_right.unwrap_or_else(|| S::mac(&self.mac1_key, &[covered]).ct_eq(&mac1).into());
        if !is_mac_right {
            return Err(DropReason::BadMac);
        }
        let (header_bytes, message) = covered
            .split_first_chunk::<INIT_HEADER>()
            .ok_or(DropReason::Malformed)?;
        let ephemeral = message.first_chunk::<32>().ok_or(DropReason::Malformed)?;
        self.check_parameters(from, &header, ephemeral)?;
        let is_proven = self.check_cookie(from, header.sender, datagram)?;
        if self.is_repeat(from, mac1)? {
            return Ok(());
        }
        let group = AddressGroup::of(from);
        if self.arrivals.is_too_much_of_strangers(group) {
            return Err(DropReason::Overloaded);
        }
        self.check_caps(from, (header.sender, &mac1), is_proven)?;
        if !is_node_key(ephemeral) {
            return Err(DropReason::BadKey);
        }
        let (key, responder, payload) = self.open_init(header_bytes, message)?;
        let Message::Request { id, body } = payload.message else {
            return Err(DropReason::BadFrame);
        };
        let now = self.now.monotonic;
        self.pending.seen.insert(mac1, now);
        let index = self.fresh_index();
        let unproven = Box::new(Unproven {
            mac1,
            key,
            address: from,
            local: self.local,
            hello: payload.hello,
            version: header.version,
            remote: header.sender,
            length: datagram.len(),
            request: id,
            stage: Stage::Asked(responder),
        });
        self.pending.insert(index, unproven);
        self.timers.arm(Timer::Pending(index), now + PENDING_FOR);
        let request = Event::Request {
            key,
            address: from,
            confirmed: false,
            inbound: InboundId {
                session: index,
                request: id,
            },
            body,
            answer_max: resp_room(datagram.len(), &self.config.hello).saturating_sub(ANSWER_HEAD),
        };
        self.arrivals.push(key, group, request);
        Ok(())
    }

    /// Refuses another network, other parameters and unknown revisions, and says so.
    fn check_parameters(
        &mut self,
        from: SocketAddr,
        header: &InitHeader,
        ephemeral: &[u8; 32],
    ) -> Result<(), DropReason> {
        let versions = self.config.lowest_version..=self.config.highest_version;
        let reason = if header.wire_tag != self.config.wire_tag {
            DropReason::ForeignNetwork
        } else if versions.contains(&header.version) {
            return Ok(());
        } else {
            DropReason::ForeignVersion
        };
        let echo = ephemeral.first_chunk::<8>().copied().unwrap_or_default();
        self.send_mismatch(from, header.sender, echo);
        Err(reason)
    }

    /// Whether the INIT came before: then its RESP goes out again while it waits for proof.
    fn is_repeat(&mut self, from: SocketAddr, mac1: [u8; 16]) -> Result<bool, DropReason> {
        let Some(index) = self.pending.by_mac1.get(&mac1) else {
            let is_late_copy = self.pending.seen.contains(&mac1, self.now.monotonic);
            return if is_late_copy {
                Err(DropReason::Repeated)
            } else {
                Ok(false)
            };
        };
        let unproven = self.pending.all.get(index).ok_or(DropReason::Repeated)?;
        if unproven.address != from {
            return Err(DropReason::Repeated);
        }
        match &unproven.stage {
            Stage::Asked(_) => Err(DropReason::DuplicateRequest),
            Stage::Answered(resp, _) => {
                let resp = resp.clone();
                self.reply(from, resp);
                Ok(true)
            }
        }
    }

    /// The curve work of an INIT.
    fn open_init(
        &mut self,
        header: &[u8; INIT_HEADER],
        message: &[u8],
    ) -> Result<([u8; 32], S::Responder, InitPayload), DropReason> {
        let ephemeral = zeroize::Zeroizing::new(self.random_bytes::<32>());
        let prologue = self.prologue(header);
        let opening = Opening {
            prologue: &prologue,
            ephemeral: &ephemeral,
        };
        let length = message
            .len()
            .checked_sub(INITIATE_OVERHEAD)
            .ok_or(DropReason::Malformed)?;
        self.arena.clear();
        self.arena.resize(length, 0);
        let (key, responder) = self
            .suite
            .accept(opening, message, &mut self.arena)
            .ok_or(DropReason::BadHandshake)?;
        if key == self.key {
            return Err(DropReason::BadKey);
        }
        let payload = InitPayload::parse(&self.arena).ok_or(DropReason::BadFrame)?;
        Ok((key, responder, payload))
    }

    /// Answers the request of an INIT; false when no such handshake waits for an answer.
    pub(super) fn answer_init(&mut self, inbound: InboundId, message: &Envelope) -> bool {
        let Some(unproven) = self.pending.all.get(&inbound.session) else {
            return false;
        };
        let is_waiting = matches!(unproven.stage, Stage::Asked(_));
        let fits = message.length() <= resp_room(unproven.length, &self.config.hello);
        if !is_waiting || !fits || unproven.request != inbound.request {
            return false;
        }
        let index = inbound.session;
        let Some(mut unproven) = self.pending.remove(index) else {
            return false;
        };
        let Stage::Asked(responder) = unproven.stage else {
            return false;
        };
        let front = (unproven.version, index, unproven.remote);
        let peer = (&unproven.key, unproven.address, unproven.local);
        let written = self.write_resp(front, peer, (responder, message), unproven.length);
        let Some((resp, session)) = written else {
            self.timers.disarm(Timer::Pending(index));
            return false;
        };
        self.transmit_from(unproven.local, unproven.address, resp.clone());
        unproven.stage = Stage::Answered(resp, Box::new(session));
        self.pending.insert(index, unproven);
        true
    }

    fn write_resp(
        &mut self,
        (version, sender, receiver): (u8, u32, u32),
        (key, address, local): (&[u8; 32], SocketAddr, LocalId),
        (responder, message): (S::Responder, &Envelope),
        length: usize,
    ) -> Option<(Bytes, Session)> {
        let token = self.reset_token(sender, address);
        let hello = self.config.hello;
        self.arena.clear();
        let plaintext = length.checked_sub(RESP_OVERHEAD)?;
        let front = (&token, address);
        if !RespPayload::write(front, &hello, message, plaintext, &mut self.arena) {
            return None;
        }
        let mut packet = BytesMut::zeroed(length);
        packet.get_mut(..RESP_HEADER)?.copy_from_slice(
            &RespHeader {
                version,
                sender,
                receiver,
            }
            .bytes(),
        );
        let handshake = packet.get_mut(RESP_HEADER..length - MACS)?;
        let keys = self.suite.respond(responder, &self.arena, handshake)?;
        packet.truncate(length - MACS);
        let mac1 = Self::mac1(key, &packet);
        packet.put_slice(&mac1);
        packet.put_bytes(0, 16);
        let now = self.now.monotonic;
        let mut session = Session::new((*key, address), keys, receiver, now);
        session.local = local;
        Some((packet.freeze(), session))
    }

    /// Proves to the peer at `address`, after a restart, that a session is lost.
    pub(super) fn reset_token(&self, index: u32, address: SocketAddr) -> [u8; 16] {
        let observed = pack_observed(address);
        S::mac(
            &self.config.reset_secret,
            &[&index.to_le_bytes(), &observed],
        )
    }

    /// DATA for a handshake that waits for proof: the first that opens confirms it. Gives the
    /// plaintext, or `None` when no handshake has this index.
    pub(super) fn prove<'a>(
        &mut self,
        header: DataHeader,
        from: SocketAddr,
        datagram: &'a mut [u8],
    ) -> Option<Result<&'a [u8], DropReason>> {
        let unproven = self.pending.all.get_mut(&header.receiver)?;
        let Stage::Answered(_, session) = &mut unproven.stage else {
            return Some(Err(DropReason::NoSession));
        };
        let opened = session.open::<S>(header, from, datagram, self.now.monotonic);
        if opened.is_ok()
            && let Some(unproven) = self.pending.remove(header.receiver)
            && let Stage::Answered(_, session) = unproven.stage
        {
            self.timers.disarm(Timer::Pending(header.receiver));
            if !self.confirm(header.receiver, session, unproven.hello) {
                return Some(Err(DropReason::SessionsFull));
            }
        }
        Some(opened)
    }

    /// No proof came in time.
    pub(super) fn on_pending_due(&mut self, index: u32) {
        self.pending.remove(index);
    }

    /// Tells somebody of another network, or with another revision, what we are.
    pub(super) fn send_mismatch(&mut self, to: SocketAddr, receiver: u32, echo: [u8; 8]) {
        let rate = super::REFUSALS_PER_SECOND;
        if !self.mismatches.take(self.now.monotonic, rate, rate) {
            self.drop_for(DropReason::MismatchRate);
            return;
        }
        let config = &self.config;
        let packet = MismatchPacket {
            receiver,
            echo,
            theirs: Mismatch {
                lowest_version: config.lowest_version,
                highest_version: config.highest_version,
                k: config.k,
                id_bits: config.id_bits,
                wire_tag: config.wire_tag,
                network_prefix: config.network_id.first_chunk().copied().unwrap_or_default(),
            },
        };
        self.arena.clear();
        self.arena.reserve(MISMATCH_LENGTH);
        packet.write(&mut self.arena);
        let bytes = self.arena.split().freeze();
        self.reply(to, bytes);
    }
}
