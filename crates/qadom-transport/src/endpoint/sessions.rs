//! Confirmed sessions: how they begin, which one sends, how they end.
//!
//! What must stay true: a peer has at most one session that sends and one that only receives; the
//! number of sessions is limited, for one provider's addresses too, and pinned ones are not
//! displaced; `Gone` follows the end of a peer's last sending session.

use core::num::NonZeroU32;
use core::time::Duration;
use std::net::SocketAddr;

use subtle::ConstantTimeEq;

use super::{DropReason, Endpoint};
use crate::address::{AddressGroup, Provider};
use crate::event::Event;
use crate::frame::Outgoing;
use crate::hello::Hello;
use crate::message::RequestId;
use crate::packet::Reset;
use crate::peer::Place;
use crate::session::{IDLE, Session};
use crate::slack::Slack;
use crate::suite::{SessionKeys, Suite};
use crate::timers::Timer;

/// Two sessions of opposite directions confirmed within this time are crossing handshakes.
const CROSSING: Duration = Duration::from_secs(5);
/// The part of all sessions that peers of one /16 (IPv6 /32) may have.
const SHARE: usize = 4;

impl<S: Suite> Endpoint<S> {
    /// Keeps the session with this peer over silence, up to its 24 hours. Ignored beyond the
    /// limit of pinned peers.
    pub fn pin(&mut self, key: [u8; 32]) {
        if self.pinned.len() < self.config.limits.pinned {
            self.pinned.insert(key);
        }
    }

    /// Lets the session with this peer end after 30 minutes of silence again.
    pub fn unpin(&mut self, key: [u8; 32]) {
        if self.pinned.remove(&key)
            && let Some(index) = self.peers.get(&key).and_then(|peer| peer.session())
        {
            self.expect_end(index);
        }
    }

    /// Sends an empty packet to a peer, so that address translators on the way stay open.
    pub fn keep_alive(&mut self, key: [u8; 32]) {
        if let Some(index) = self.peers.get(&key).and_then(|peer| peer.session()) {
            self.send_frame(index, &Outgoing::Empty);
        }
    }

    /// Whether there is a confirmed session with this peer.
    pub fn has_session(&self, key: &[u8; 32]) -> bool {
        self.peers
            .get(key)
            .is_some_and(|peer| peer.current.is_some())
    }

    /// Where the packets of this peer's session come from.
    pub fn session_address(&self, key: &[u8; 32]) -> Option<SocketAddr> {
        let index = self.peers.get(key)?.session()?;
        Some(self.sessions.get(&index)?.address())
    }

    /// The peers with which there is a confirmed session, in no order.
    pub fn session_peers(&self) -> impl Iterator<Item = &[u8; 32]> {
        let peers = self.peers.iter();
        peers.filter_map(|(key, peer)| peer.current.map(|_| key))
    }

    /// The keys of the session with a peer, and the index that the peer knows it by: for liars
    /// with true keys.
    pub(crate) fn session_with(&self, key: &[u8; 32]) -> Option<(SessionKeys, u32)> {
        let index = self.peers.get(key)?.session()?;
        let session = self.sessions.get(&index)?;
        Some((session.keys.clone(), session.remote))
    }

    /// Takes a session whose other side has proven itself; false when there is no room for it.
    pub(super) fn confirm(&mut self, index: u32, mut session: Box<Session>, hello: Hello) -> bool {
        if !self.make_room(session.address()) {
            return false;
        }
        let now = self.now.monotonic;
        let (key, address) = (session.key, session.address());
        session.confirm(now);
        let peer = self.peers.entry(key).or_default();
        let former = peer.session();
        let ousted = match former {
            Some(former)
                if !is_newer_sender(
                    &self.key,
                    &session,
                    self.sessions.get(&former).map(Box::as_ref),
                ) =>
            {
                session.retire(now);
                core::mem::replace(&mut peer.older, NonZeroU32::new(index))
            }
            _ => {
                let former = core::mem::replace(&mut peer.current, NonZeroU32::new(index));
                former.and_then(|former| peer.older.replace(former))
            }
        };
        if session.is_initiator() {
            self.remotes.insert((session.remote, index));
        }
        *self.providers.entry(provider(address)).or_default() += 1;
        self.sessions.insert(index, session);
        if let Some(former) = former.filter(|former| self.is_older(&key, *former)) {
            if let Some(session) = self.sessions.get_mut(&former) {
                session.retire(now);
            }
            self.expect_end(former);
        }
        if let Some(ousted) = ousted {
            self.forget_session(ousted.get());
        }
        self.expect_end(index);
        self.events.push_back(Event::Confirmed {
            key,
            address,
            hello,
        });
        self.pump(&key);
        true
    }

    fn is_older(&self, key: &[u8; 32], index: u32) -> bool {
        self.peers
            .get(key)
            .is_some_and(|peer| peer.older.is_some_and(|older| older.get() == index))
    }

    /// Makes room for a session with a peer at this address; false when there is none. One
    /// provider of addresses has at most a quarter of all sessions.
    fn make_room(&mut self, address: SocketAddr) -> bool {
        let limits = &self.config.limits;
        let of_provider = self.providers.get(&provider(address)).copied();
        let share = (limits.sessions / SHARE).max(1);
        if !limits.local && of_provider.unwrap_or_default() >= share {
            self.displace(|session| provider(session.address()) == provider(address))
        } else {
            self.sessions.len() < limits.sessions || self.displace(|_| true)
        }
    }

    /// Ends the session among these that was silent longest and is not pinned; false when all
    /// are.
    fn displace(&mut self, is_meant: impl Fn(&Session) -> bool) -> bool {
        let silent = self
            .sessions
            .iter()
            .filter(|(_, session)| is_meant(session))
            .filter(|(_, session)| session.is_retiring() || !self.pinned.contains(&session.key))
            .min_by_key(|(index, session)| (!session.is_retiring(), session.heard(), **index))
            .map(|(&index, _)| index);
        if let Some(index) = silent {
            self.end_session(index);
        }
        silent.is_some()
    }

    /// When a session ends if nothing more is heard.
    fn end_of(&self, session: &Session) -> Duration {
        if self.pinned.contains(&session.key) {
            session.term()
        } else {
            session.term().min(session.heard() + IDLE)
        }
    }

    /// When something is to be done about a session: its renewal, or its end.
    fn due_of(&self, session: &Session) -> Duration {
        let end = self.end_of(session);
        Self::renewal_of(session).map_or(end, |renewal| renewal.min(end))
    }

    /// Sees to it that sessions are looked at when this one is to be renewed or ends.
    fn expect_end(&mut self, index: u32) {
        if let Some(session) = self.sessions.get(&index) {
            self.timers.arm_by(Timer::Sessions, self.due_of(session));
        }
    }

    /// Some session may have reached its renewal or its end; silence is measured from when it was heard last.
    pub(super) fn on_sessions_due(&mut self) {
        let now = self.now.monotonic;
        let ends = self
            .sessions
            .iter()
            .map(|(&index, session)| (self.due_of(session), index));
        let (mut due, ahead): (Vec<_>, Vec<_>) = ends.partition(|(at, _)| *at <= now);
        if let Some((at, _)) = ahead.into_iter().min() {
            self.timers.arm_by(Timer::Sessions, at);
        }
        due.sort_unstable();
        for (_, index) in due {
            let end = self
                .sessions
                .get(&index)
                .map(|session| self.end_of(session));
            if end.is_some_and(|end| end > now) {
                self.renew(index);
                self.expect_end(index);
            } else {
                self.end_session(index);
            }
        }
    }

    /// Ends a session. If it was the one that sends, requests under way over it are sent anew.
    pub(super) fn end_session(&mut self, index: u32) {
        let Some(session) = self.sessions.get(&index) else {
            return;
        };
        let key = session.key;
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.older.is_some_and(|older| older.get() == index) {
            peer.older = None;
            self.forget_session(index);
            self.pump(&key);
            return;
        }
        peer.current = None;
        if let Some(older) = peer.older.take() {
            self.forget_session(older.get());
        }
        self.forget_session(index);
        self.events.push_back(Event::Gone { key });
        let mut stranded: Vec<(Duration, RequestId)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.key == key && matches!(request.place, Place::Session(_)))
            .map(|(&id, request)| (request.first_sent, id))
            .collect();
        stranded.sort_unstable();
        for (_, id) in stranded.into_iter().rev() {
            self.requeue(id);
        }
        self.pump(&key);
    }

    fn forget_session(&mut self, index: u32) {
        if let Some(session) = self.sessions.remove(&index) {
            if session.is_initiator() {
                self.remotes.remove(&(session.remote, index));
            }
            let provider = provider(session.address());
            if let Some(count) = self.providers.get_mut(&provider) {
                *count -= 1;
                if *count == 0 {
                    self.providers.remove(&provider);
                    self.providers.release();
                }
            }
        }
        self.sessions.release();
        self.timers.disarm(Timer::Confirm(index));
    }

    /// A peer proves that it has lost a session: it is asked anew, at once.
    pub(super) fn on_reset(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(reset) = Reset::parse(datagram) else {
            self.drop_for(DropReason::Malformed);
            return;
        };
        let of_index = (reset.index, 0)..=(reset.index, u32::MAX);
        let proven = self.remotes.range(of_index).find(|(_, index)| {
            self.sessions.get(index).is_some_and(|session| {
                let is_proof = |token: &[u8; 16]| token.ct_eq(&reset.token).into();
                session.address() == from && session.reset_token.as_ref().is_some_and(is_proof)
            })
        });
        match proven {
            Some(&(_, index)) => self.end_session(index),
            None => self.drop_for(DropReason::StrayReset),
        }
    }
}

fn provider(address: SocketAddr) -> Provider {
    AddressGroup::of(address).provider()
}

/// Whether a newly confirmed session shall send instead of the one that sends. The newest does,
/// except that of two handshakes that crossed, both sides take the one that the smaller key
/// began: else each would soon forget the session that the other one sends on.
fn is_newer_sender(own: &[u8; 32], new: &Session, former: Option<&Session>) -> bool {
    let Some(former) = former else {
        return true;
    };
    let have_crossed = new.is_initiator() != former.is_initiator()
        && new.term().saturating_sub(former.term()) < CROSSING;
    let is_begun_by_smaller = new.is_initiator() == (own < &new.key);
    !have_crossed || is_begun_by_smaller
}

#[cfg(test)]
mod tests;
