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

/// Handshakes let through at once from one address without a cookie, and with one: five in all.
const UNPROVEN_BURST: u32 = 3;
const PROVEN_BURST: u32 = 2;
/// Addresses whose rate is followed, with cookies and without.
const RATES: usize = 4096;

/// What is kept about strangers as a whole, and about addresses that were busy lately.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Seals the cookies that answer INITs to this node.
    cookie_key: [u8; 32],
    secrets: CookieSecrets,
    load: Load,
    unproven: Rates,
    proven: Rates,
}

/// Handshakes that each address may ask for: its own bucket holds half of the rate.
#[derive(Debug, Default)]
struct Rates(HashMap<IpAddr, Bucket>);

impl Rates {
    /// Takes one handshake from an address's bucket; `rate` a second, `burst` at once.
    fn take(&mut self, from: IpAddr, (rate, burst): (u32, u32), now: Duration) -> bool {
        if !self.0.contains_key(&from) && self.0.len() >= RATES {
            self.0.retain(|_, bucket| !bucket.is_full(now, rate, burst));
            if self.0.len() >= RATES {
                return false;
            }
        }
        let bucket = self
            .0
            .entry(from)
            .or_insert_with(|| Bucket::full(now, rate, burst));
        bucket.take(now, rate, burst)
    }
}

impl Strangers {
    pub(super) fn new<S: Suite>(key: &[u8; 32], limits: &Limits, now: Duration) -> Self {
        Self {
            cookie_key: S::mac_key(COOKIE_LABEL, key),
            secrets: CookieSecrets::new(),
            load: Load::new(now, limits.handshake_capacity),
            unproven: Rates::default(),
            proven: Rates::default(),
        }
    }
}

impl<S: Suite> Endpoint<S> {
    /// Whether an INIT carries the cookie of its address. Under load, or when half of the room for
    /// unproven handshakes is taken, lets only those through; the others are given it.
    pub(super) fn check_cookie(
        &mut self,
        from: SocketAddr,
        sender: u32,
        datagram: &[u8],
    ) -> Result<bool, DropReason> {
        let now = self.now.monotonic;
        let limits = &self.config.limits;
        let is_loaded = self.strangers.load.note(now, limits.handshake_capacity);
        let is_demanded = is_loaded || self.pending.len() > limits.pending / 2;
        let (covered, mac2) = datagram
            .split_last_chunk::<16>()
            .ok_or(DropReason::Malformed)?;
        if *mac2 != [0; 16] {
            let mut cookies = self
                .strangers
                .secrets
                .accepted::<S>(from, now, &mut self.random);
            if cookies.any(|cookie| S::mac(&*cookie, &[covered]).ct_eq(mac2).into()) {
                return Ok(true);
            }
        }
        if !is_demanded {
            return Ok(false);
        }
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
            self.reply(to, bytes);
        }
    }

    /// Whether there is room for one more unproven handshake from this address; `init` is the
    /// INIT's sender index and first mac. An address that a confirmed peer has is not held to the
    /// rate of strangers.
    ///
    /// Anybody can write any address into a datagram. So an INIT without a cookie has only half of
    /// its group's places and half of its address's rate, and is given a cookie beyond them: who
    /// is really there finds the other half free.
    pub(super) fn check_caps(
        &mut self,
        from: SocketAddr,
        (sender, mac1): (u32, &[u8; 16]),
        is_proven: bool,
    ) -> Result<(), DropReason> {
        let limits = &self.config.limits;
        if self.pending.len() >= limits.pending {
            return Err(DropReason::PendingFull);
        }
        if limits.local {
            return Ok(());
        }
        let of_group = self.pending.of_group(AddressGroup::of(from));
        if of_group >= limits.pending_per_group {
            return Err(DropReason::PendingFull);
        }
        let (rate, now) = (
            (limits.handshakes_per_second / 2).max(1),
            self.now.monotonic,
        );
        if is_proven {
            let proven = &mut self.strangers.proven;
            let is_let_through =
                proven.take(from.ip(), (rate, PROVEN_BURST), now) || self.is_known(from);
            return is_let_through
                .then_some(())
                .ok_or(DropReason::HandshakeRate);
        }
        let has_place = of_group < limits.pending_per_group.div_ceil(2);
        let unproven = &mut self.strangers.unproven;
        if has_place
            && (unproven.take(from.ip(), (rate, UNPROVEN_BURST), now) || self.is_known(from))
        {
            return Ok(());
        }
        self.send_cookie(from, sender, mac1);
        Err(DropReason::UnprovenAddress)
    }

    /// Looks through all sessions: only for the few INITs that a bucket has refused.
    fn is_known(&self, from: SocketAddr) -> bool {
        self.sessions
            .values()
            .any(|session| session.address().ip() == from.ip())
    }
}
