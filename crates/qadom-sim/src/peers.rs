//! What one node's transport knows of others: sessions and round trips.
//!
//! What must stay true: a session that neither side used for 30 minutes is over, unless the engine
//! wants it kept, and what is known of a peer is forgotten with it, so that a node that meets others
//! for days does not grow.

use std::time::Duration;

use qadom_routing::{Moment, NodeKey};

use crate::exchange::ExchangeId;
use crate::map::Map;
use crate::rtt::Rtt;

/// After so long without a message a session ends that is not pinned.
const IDLE: Duration = Duration::from_mins(30);
/// Peers below which nobody is forgotten.
const FEW: usize = 64;

/// What one node's transport knows of another.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) link: Link,
    /// The other one opened a session and has not confirmed it yet.
    pub(crate) is_pending: bool,
    /// The engine wants the session kept.
    pub(crate) is_pinned: bool,
    /// When the session was confirmed here last.
    pub(crate) opened_at: Moment,
    /// When anything last went between the two.
    used_at: Moment,
    pub(crate) rtt: Rtt,
}

/// Whether requests can be sent inside a session.
#[derive(Debug, Default)]
pub(crate) enum Link {
    /// The next request opens a session.
    #[default]
    Cold,
    /// A first datagram is under way, and these requests wait for its answer.
    Opening { waiting: Vec<ExchangeId> },
    /// Requests are sent at once.
    Open,
}

impl Peer {
    fn is_kept(&self, now: Moment) -> bool {
        let is_opening = matches!(self.link, Link::Opening { .. });
        self.is_pinned || is_opening || now.since(self.used_at) <= IDLE
    }
}

/// Everything that one node's transport knows of others.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Map<NodeKey, Peer>,
    /// At how many the idle ones are forgotten next.
    forget_at: usize,
}

impl Peers {
    /// What is known of a peer, for use now.
    pub(crate) fn of(&mut self, key: NodeKey, now: Moment) -> &mut Peer {
        if self.known.len() > self.forget_at {
            self.known.retain(|_, peer| peer.is_kept(now));
            self.known.shrink_to(2 * self.known.len());
            self.forget_at = FEW.max(2 * self.known.len());
        }
        let peer = self.known.entry(key).or_default();
        if !peer.is_kept(now) {
            *peer = Peer::default();
        }
        peer.used_at = now;
        peer
    }

    /// Whether there is a session with this peer.
    pub(crate) fn has_session(&self, key: &NodeKey, now: Moment) -> bool {
        let peer = self.known.get(key);
        peer.is_some_and(|peer| matches!(peer.link, Link::Open) && peer.is_kept(now))
    }

    /// Peers whose sessions the engine wants kept.
    pub(crate) fn pinned(&self) -> usize {
        self.known.values().filter(|peer| peer.is_pinned).count()
    }

    /// Forgets everything, as a crash does.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> NodeKey {
        NodeKey::new([number.max(2); 32]).unwrap()
    }

    #[test]
    fn an_idle_session_ends_unless_it_is_pinned() {
        let mut peers = Peers::default();
        let at = |minutes| Moment::ORIGIN + Duration::from_mins(minutes);
        for number in [3, 4] {
            peers.of(key(number), at(0)).link = Link::Open;
        }
        peers.of(key(4), at(0)).is_pinned = true;
        assert!(peers.has_session(&key(3), at(30)) && peers.has_session(&key(4), at(30)));
        assert!(!peers.has_session(&key(3), at(31)) && peers.has_session(&key(4), at(31)));
        assert!(matches!(peers.of(key(3), at(31)).link, Link::Cold));
        assert!(matches!(peers.of(key(4), at(31)).link, Link::Open));
    }

    #[test]
    fn a_node_that_meets_others_for_days_does_not_grow() {
        let mut peers = Peers::default();
        for number in 0..10_000_u64 {
            let mut bytes = [9; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let now = Moment::ORIGIN + Duration::from_mins(number);
            peers.of(NodeKey::new(bytes).unwrap(), now).link = Link::Open;
        }
        assert!(peers.known.len() < 200, "{}", peers.known.len());
    }
}
