//! What strangers may cost: cookies under load, handshakes per address, unproven ones per group.
//!
//! What must stay true: under load no curve work is done for an address that has not proven
//! itself; a cookie is shorter than the INIT it answers; peers with a session are no strangers.

use core::time::Duration;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use subtle::ConstantTimeEq;

use super::{Endpoint, Limits};
use crate::address::AddressGroup;
use crate::cookie::{self, COOKIE_LABEL, CookieSecrets, Load};
use crate::drops::DropReason;
use crate::rate::Bucket;
use crate::suite::Suite;

/// Handshakes let through at once from one address.
const BURST: u32 = 5;
/// Addresses whose rate is followed.
const RATES: usize = 4096;

/// What is kept about strangers as a whole, and about addresses that were busy lately.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Seals the cookies that answer INITs to this node.
    cookie_key: [u8; 32],
    secrets: CookieSecrets,
    load: Load,
    rates: HashMap<IpAddr, Bucket>,
}

impl Strangers {
    pub(super) fn new<S: Suite>(key: &[u8; 32], limits: &Limits, now: Duration) -> Self {
        Self {
            cookie_key: S::mac_key(COOKIE_LABEL, key),
            secrets: CookieSecrets::new(),
            load: Load::new(now, limits.handshake_capacity),
            rates: HashMap::new(),
        }
    }

    /// Takes one handshake from an address's bucket.
    fn take_rate(&mut self, from: IpAddr, rate: u32, now: Duration) -> bool {
        if !self.rates.contains_key(&from) && self.rates.len() >= RATES {
            self.rates
                .retain(|_, bucket| !bucket.is_full(now, rate, BURST));
            if self.rates.len() >= RATES {
                return false;
            }
        }
        let bucket = self
            .rates
            .entry(from)
            .or_insert_with(|| Bucket::full(now, rate, BURST));
        bucket.take(now, rate, BURST)
    }
}

impl<S: Suite> Endpoint<S> {
    /// Under load, or when half of the room for unproven handshakes is taken, lets only INITs
    /// through that carry the cookie of their address; the others are given it.
    pub(super) fn check_cookie(
        &mut self,
        from: SocketAddr,
        sender: u32,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let now = self.now.monotonic;
        let limits = &self.config.limits;
        let is_loaded = self.strangers.load.note(now, limits.handshake_capacity);
        if !is_loaded && self.pending.len() <= limits.pending / 2 {
            return Ok(());
        }
        let (covered, mac2) = datagram
            .split_last_chunk::<16>()
            .ok_or(DropReason::Malformed)?;
        let mut cookies = self
            .strangers
            .secrets
            .accepted::<S>(from, now, &mut self.random);
        if cookies.any(|cookie| S::mac(&*cookie, &[covered]).ct_eq(mac2).into()) {
            return Ok(());
        }
        drop(cookies);
        let (_, mac1) = covered
            .split_last_chunk::<16>()
            .ok_or(DropReason::Malformed)?;
        self.send_cookie(from, sender, mac1);
        Err(DropReason::UnprovenAddress)
    }

    fn send_cookie(&mut self, to: SocketAddr, receiver: u32, mac1: &[u8; 16]) {
        let nonce = self.random_bytes();
        let strangers = &mut self.strangers;
        let cookie = strangers
            .secrets
            .cookie::<S>(to, self.now.monotonic, &mut self.random);
        if let Some(packet) = cookie::seal(&strangers.cookie_key, nonce, (receiver, mac1), &cookie)
        {
            self.arena.clear();
            packet.write(&mut self.arena);
            let bytes = self.arena.split().freeze();
            self.transmit(to, bytes);
        }
    }

    /// Whether there is room for one more unproven handshake from this address. An address that
    /// a confirmed peer has is not held to the rate of strangers.
    pub(super) fn check_caps(&mut self, from: SocketAddr) -> Result<(), DropReason> {
        let limits = &self.config.limits;
        let of_group = self.pending.of_group(AddressGroup::of(from));
        let is_group_full = !limits.local && of_group >= limits.pending_per_group;
        if self.pending.len() >= limits.pending || is_group_full {
            return Err(DropReason::PendingFull);
        }
        let (rate, now) = (limits.handshakes_per_second, self.now.monotonic);
        let is_let_through =
            limits.local || self.strangers.take_rate(from.ip(), rate, now) || self.is_known(from);
        is_let_through
            .then_some(())
            .ok_or(DropReason::HandshakeRate)
    }

    /// Looks through all sessions: only for the few INITs that a bucket has refused.
    fn is_known(&self, from: SocketAddr) -> bool {
        self.sessions
            .values()
            .any(|session| session.address.ip() == from.ip())
    }
}
