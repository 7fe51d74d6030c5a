//! Who may speak QUIC with this node: addresses with a grant, and those of connections.
//!
//! What must stay true: both are bounded; one peer has one grant and one address has one. The time
//! is an argument.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Grant, QuicError};

/// How long a grant is good.
const GRANT_LIFE: Duration = Duration::from_secs(30);
/// How long a peer's word about its key is good for more streams.
const WORD_LIFE: Duration = Duration::from_secs(10);
/// The most grants at a time.
pub(super) const GRANTS_MAX: usize = 1024;
/// The most connections at a time, those included whose handshake is under way.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Of these, with one address.
const CONNECTIONS_PER_ADDRESS: usize = 4;

/// The grants, and how many connections there are with each address.
#[derive(Debug, Default)]
pub(super) struct Gate {
    grants: HashMap<[u8; 32], Given>,
    peers: HashMap<SocketAddr, [u8; 32]>,
    places: HashMap<SocketAddr, usize>,
    connections: usize,
}

/// A grant since it was given.
#[derive(Debug)]
struct Given {
    grant: Grant,
    at: Instant,
    is_doubted: bool,
}

impl Given {
    fn is_good(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < GRANT_LIFE
    }
}

impl Gate {
    /// Notes a grant; false when there are too many.
    pub(super) fn grant(&mut self, grant: Grant, now: Instant) -> bool {
        if let Some(before) = self.grants.remove(&grant.peer) {
            self.peers.remove(&before.grant.address);
        }
        if let Some(other) = self.peers.remove(&grant.address) {
            self.grants.remove(&other);
        }
        if self.grants.len() >= GRANTS_MAX {
            self.grants.retain(|_, given| given.is_good(now));
            let grants = &self.grants;
            self.peers.retain(|_, peer| grants.contains_key(peer));
        }
        let has_room = self.grants.len() < GRANTS_MAX;
        if has_room {
            self.peers.insert(grant.address, grant.peer);
            let given = Given {
                grant,
                at: now,
                is_doubted: false,
            };
            self.grants.insert(grant.peer, given);
        }
        has_room
    }

    /// Whether datagrams from this address are QUIC's business.
    pub(super) fn admits(&self, from: SocketAddr, now: Instant) -> bool {
        self.places.contains_key(&from) || self.granted_to(from, now).is_some()
    }

    /// Takes a place for a connection that a peer at this address begins.
    pub(super) fn begin_from(
        &mut self,
        from: SocketAddr,
        now: Instant,
    ) -> Result<Grant, QuicError> {
        let grant = self.granted_to(from, now).ok_or(QuicError::NoGrant)?;
        self.take_place(grant)
    }

    /// Takes a place for a connection to this peer.
    pub(super) fn begin_with(&mut self, peer: &[u8; 32], now: Instant) -> Result<Grant, QuicError> {
        let given = self.grants.get(peer).filter(|given| given.is_good(now));
        let grant = given.ok_or(QuicError::NoGrant)?.grant;
        self.take_place(grant)
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, address: SocketAddr) {
        if let Some(count) = self.places.get_mut(&address) {
            self.connections -= 1;
            *count -= 1;
            if *count == 0 {
                self.places.remove(&address);
            }
        }
    }

    /// Whether this peer named its key a moment ago and nothing speaks against it.
    pub(super) fn is_fresh(&self, peer: &[u8; 32], now: Instant) -> bool {
        self.grants.get(peer).is_some_and(|given| {
            !given.is_doubted && now.saturating_duration_since(given.at) < WORD_LIFE
        })
    }

    /// Takes in that a peer may have another key by now.
    pub(super) fn doubt(&mut self, peer: &[u8; 32]) {
        if let Some(given) = self.grants.get_mut(peer) {
            given.is_doubted = true;
        }
    }

    /// The number of grants that are good.
    pub(super) fn grants(&self, now: Instant) -> usize {
        let all = self.grants.values();
        all.filter(|given| given.is_good(now)).count()
    }

    pub(super) const fn connections(&self) -> usize {
        self.connections
    }

    /// Whether nobody may come in.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        self.connections == 0 && self.grants(now) == 0
    }

    fn granted_to(&self, address: SocketAddr, now: Instant) -> Option<Grant> {
        let given = self.grants.get(self.peers.get(&address)?)?;
        given.is_good(now).then_some(given.grant)
    }

    fn take_place(&mut self, grant: Grant) -> Result<Grant, QuicError> {
        let here = self.places.get(&grant.address).copied().unwrap_or_default();
        for (used, limit) in [
            (self.connections, CONNECTIONS_MAX),
            (here, CONNECTIONS_PER_ADDRESS),
        ] {
            if used >= limit {
                return Err(QuicError::Full { limit });
            }
        }
        self.connections += 1;
        self.places.insert(grant.address, here + 1);
        Ok(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(peer: u16, port: u16) -> Grant {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&peer.to_be_bytes());
        Grant {
            peer: key,
            address: ([127, 0, 0, 1], port).into(),
            fingerprint: [1; 32],
        }
    }

    #[test]
    fn a_grant_is_good_for_its_time_and_its_address_only() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        let (first, moved) = (grant(1, 1), grant(1, 2));
        assert!(!gate.admits(first.address, now));
        assert!(gate.grant(first, now));
        let last = now + GRANT_LIFE.saturating_sub(Duration::from_nanos(1));
        assert!(gate.admits(first.address, last));
        assert!(!gate.admits(first.address, now + GRANT_LIFE));
        assert!(gate.grant(moved, now));
        assert!(!gate.admits(first.address, now) && gate.admits(moved.address, now));
        let other = grant(2, 2);
        assert!(gate.grant(other, now));
        assert_eq!(gate.begin_with(&moved.peer, now), Err(QuicError::NoGrant));
        assert_eq!(gate.begin_from(other.address, now), Ok(other));
    }

    #[test]
    fn a_connection_lets_its_address_in_until_it_ends() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        let one = grant(1, 1);
        gate.grant(one, now);
        let late = now + GRANT_LIFE;
        for _ in 0..CONNECTIONS_PER_ADDRESS {
            assert_eq!(gate.begin_from(one.address, now), Ok(one));
        }
        let limit = CONNECTIONS_PER_ADDRESS;
        let full = Err(QuicError::Full { limit });
        assert_eq!(gate.begin_with(&one.peer, now), full);
        for _ in 0..CONNECTIONS_PER_ADDRESS {
            assert!(gate.admits(one.address, late) && !gate.is_shut(late));
            gate.leave(one.address);
        }
        assert!(!gate.admits(one.address, late) && gate.is_shut(late));
        gate.leave(one.address);
        assert_eq!(gate.connections(), 0);
    }

    #[test]
    fn a_peers_word_is_good_for_a_moment_and_until_it_is_doubted() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        let one = grant(1, 1);
        assert!(!gate.is_fresh(&one.peer, now));
        gate.grant(one, now);
        let last = now + WORD_LIFE.saturating_sub(Duration::from_nanos(1));
        assert!(gate.is_fresh(&one.peer, last));
        assert!(!gate.is_fresh(&one.peer, now + WORD_LIFE));
        gate.doubt(&one.peer);
        assert!(!gate.is_fresh(&one.peer, now) && gate.admits(one.address, now));
        gate.grant(one, now);
        assert!(gate.is_fresh(&one.peer, now));
    }

    #[test]
    fn grants_and_connections_are_bounded() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for number in 1..=1024 {
            assert!(gate.grant(grant(number, number), now));
        }
        assert!(!gate.grant(grant(2000, 2000), now));
        assert!(gate.grant(grant(7, 2001), now), "in place of its own");
        for number in 100..356 {
            assert!(gate.begin_with(&grant(number, number).peer, now).is_ok());
        }
        let limit = CONNECTIONS_MAX;
        let more = gate.begin_with(&grant(400, 400).peer, now);
        assert_eq!(more, Err(QuicError::Full { limit }));
        assert!(
            gate.grant(grant(2000, 2000), now + GRANT_LIFE),
            "old ones went"
        );
        assert_eq!(gate.grants(now + GRANT_LIFE), 1);
    }
}
