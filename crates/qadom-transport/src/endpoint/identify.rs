//! WHO and IAM: which key answers at an address.
//!
//! What must stay true: an IAM is shorter than its WHO; what it says is not believed until a
//! handshake with the named key succeeds; its observed address is not used.

use core::time::Duration;
use std::net::SocketAddr;

use super::{DropReason, Endpoint};
use crate::address::{canonical, pack_observed};
use crate::config::Time;
use crate::event::{Event, FailReason, Mismatch};
use crate::key::is_node_key;
use crate::packet::{Iam, MismatchPacket, WHO_LENGTH, Who};
use crate::rtt::FIRST_TIMEOUT;
use crate::slack::Slack;
use crate::suite::Suite;
use crate::timers::Timer;

/// How often a WHO is sent.
const TRIES: u8 = 3;
/// How long a MISMATCH waits for an IAM that proves it wrong.
const DISBELIEF: Duration = Duration::from_secs(2);

/// A question for the key at an address.
#[derive(Debug)]
pub(crate) struct Search {
    token: u64,
    address: SocketAddr,
    tries: u8,
    mismatch: Option<Mismatch>,
}

impl<S: Suite> Endpoint<S> {
    /// Asks whoever answers at an address for its key. Ends in one
    /// [`Identified`](Event::Identified) or [`Failed`](Event::Failed) with this token.
    pub fn identify(&mut self, now: Time, token: u64, address: SocketAddr) {
        self.now = now;
        if self.searches.len() >= self.config.limits.in_flight {
            self.events.push_back(Event::Failed {
                token,
                reason: FailReason::Overloaded,
            });
            return;
        }
        let nonce = self.random_bytes();
        let search = Search {
            token,
            address: canonical(address),
            tries: 0,
            mismatch: None,
        };
        self.searches.insert(nonce, search);
        self.on_search_due(nonce);
    }

    /// A question has waited long enough: once more, or its end.
    pub(super) fn on_search_due(&mut self, nonce: [u8; 16]) {
        let Some(search) = self.searches.get_mut(&nonce) else {
            return;
        };
        let (token, address) = (search.token, search.address);
        let reason = match search.mismatch {
            Some(theirs) => {
                self.events.push_back(Event::Mismatch {
                    token: Some(token),
                    address,
                    theirs,
                });
                FailReason::Mismatch
            }
            None if search.tries >= TRIES => FailReason::Timeout,
            None => {
                let wait = FIRST_TIMEOUT * (1 << search.tries);
                search.tries += 1;
                self.send_who(nonce, address);
                self.timers
                    .arm(Timer::Search(nonce), self.now.monotonic + wait);
                return;
            }
        };
        self.searches.remove(&nonce);
        self.searches.release();
        self.events.push_back(Event::Failed { token, reason });
    }

    fn send_who(&mut self, nonce: [u8; 16], to: SocketAddr) {
        self.arena.clear();
        self.arena.reserve(WHO_LENGTH);
        Who {
            wire_tag: self.config.wire_tag,
            nonce,
        }
        .write(&mut self.arena);
        let bytes = self.arena.split().freeze();
        self.transmit(to, bytes);
    }

    pub(super) fn on_who(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(who) = Who::parse(datagram) else {
            self.drop_for(DropReason::Malformed);
            return;
        };
        if who.wire_tag != self.config.wire_tag {
            let echo = who.nonce.first_chunk().copied().unwrap_or_default();
            self.send_mismatch(from, 0, echo);
            self.drop_for(DropReason::ForeignNetwork);
            return;
        }
        let iam = Iam {
            wire_tag: who.wire_tag,
            nonce: who.nonce,
            key: self.key,
            observed: pack_observed(from),
        };
        self.arena.clear();
        iam.write(&mut self.arena);
        let bytes = self.arena.split().freeze();
        self.reply(from, bytes);
    }

    pub(super) fn on_iam(&mut self, from: SocketAddr, datagram: &[u8]) {
        if let Err(reason) = self.take_iam(from, datagram) {
            self.drop_for(reason);
        }
    }

    fn take_iam(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let iam = Iam::parse(datagram).ok_or(DropReason::Malformed)?;
        let search = self.searches.get(&iam.nonce).ok_or(DropReason::Unasked)?;
        if search.address != from {
            return Err(DropReason::WrongAddress);
        }
        if iam.wire_tag != self.config.wire_tag {
            return Err(DropReason::ForeignNetwork);
        }
        if !is_node_key(&iam.key) {
            return Err(DropReason::BadKey);
        }
        let token = search.token;
        self.searches.remove(&iam.nonce);
        self.searches.release();
        self.timers.disarm(Timer::Search(iam.nonce));
        self.events.push_back(Event::Identified {
            token,
            address: from,
            key: iam.key,
        });
        Ok(())
    }

    /// A MISMATCH to a WHO; only a foreign tag is one.
    pub(super) fn on_search_mismatch(&mut self, from: SocketAddr, packet: &MismatchPacket) {
        let found = self
            .searches
            .iter_mut()
            .find(|(nonce, search)| search.address == from && nonce.starts_with(&packet.echo));
        match found {
            Some((&nonce, search)) if packet.theirs.wire_tag != self.config.wire_tag => {
                if search.mismatch.is_none() {
                    search.mismatch = Some(packet.theirs);
                    let due = self.now.monotonic + DISBELIEF;
                    self.timers.arm(Timer::Search(nonce), due);
                }
            }
            _ => self.drop_for(DropReason::Unasked),
        }
    }
}
