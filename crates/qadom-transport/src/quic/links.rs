//! The connections that there are, which of them new streams begin on, and whose turn it is to begin
//! another.
//!
//! What must stay true: new streams with a peer begin on its newest connection, but of two that both
//! sides began at once on the one that the side with the smaller fingerprint began, so that both
//! sides take the same; one caller at a time begins another, and none while the peer is about to.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use quinn::{Connection, VarInt};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::{DataStream, QuicError, lock};

/// Told to peers when the node ends, or when they have started anew.
pub(super) const ENDING: VarInt = VarInt::from_u32(0);

/// A connection whose peer has proven itself.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) peer: [u8; 32],
    /// By which the peer has proven itself.
    pub(super) fingerprint: [u8; 32],
    pub(super) connection: Connection,
    /// How it came about, for the order between connections.
    pub(super) origin: Origin,
    /// Told when the library has failed on this connection.
    pub(super) failed: Arc<Notify>,
}

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Whether the side with the smaller fingerprint began it.
    pub(super) is_of_smaller: bool,
    /// When its first packet was seen here.
    pub(super) begun: Instant,
    /// When the peer had proven itself.
    pub(super) done: Instant,
}

impl Origin {
    /// Whether new streams go on beginning on this connection now that a later one is there.
    ///
    /// A side that knows of a connection, or of an attempt of the other side, begins none. So both
    /// judge alike whether the two attempts crossed.
    fn outranks(&self, later: &Self) -> bool {
        let crossed = later.begun <= self.done;
        crossed && self.is_of_smaller && !later.is_of_smaller
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The last handle would look behind a lock that the panic may have poisoned, and panic
        // again: one is lost instead.
        if std::thread::panicking() {
            std::mem::forget(self.connection.clone());
        }
    }
}

impl Link {
    pub(super) async fn open(&self) -> Result<DataStream, QuicError> {
        let opened = self.connection.open_bi().await;
        let (sender, receiver) = opened.map_err(|_| QuicError::Lost)?;
        Ok(DataStream::new(sender, receiver))
    }

    pub(super) fn end(&self) {
        self.connection.close(ENDING, b"");
    }
}

/// What there is with one peer.
#[derive(Debug, Default)]
struct Peer {
    /// New streams begin on the last one.
    links: Vec<Link>,
    /// Attempts of the peer that are under way.
    arriving: usize,
}

/// The connections with each peer.
#[derive(Debug, Default)]
pub(super) struct Links {
    peers: Mutex<HashMap<[u8; 32], Peer>>,
    turns: Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>,
    /// Told when a connection has come about and when an attempt of a peer has ended.
    changed: Notify,
}

impl Links {
    pub(super) fn insert(&self, link: Link) {
        let mut peers = lock(&self.peers);
        let links = &mut peers.entry(link.peer).or_default().links;
        let is_below = links.last().is_some_and(|newest| {
            newest.fingerprint == link.fingerprint && newest.origin.outranks(&link.origin)
        });
        links.insert(links.len() - usize::from(is_below), link);
        drop(peers);
        self.changed.notify_waiters();
    }

    /// Forgets a connection that ended.
    pub(super) fn remove(&self, ended: &Link) {
        let id = ended.connection.stable_id();
        self.take(&ended.peer, |link| link.connection.stable_id() == id);
    }

    /// The connection on which new streams to this peer begin.
    pub(super) fn current(&self, peer: &[u8; 32]) -> Option<Link> {
        lock(&self.peers).get(peer)?.links.last().cloned()
    }

    /// Forgets the connection with this peer, on which the library panicked. One handle is lost for
    /// good: where the last one is dropped, the library would look behind its poisoned lock.
    pub(super) fn abandon(&self, peer: &[u8; 32]) {
        let current = self.current(peer);
        if let Some(failed) = current {
            failed.failed.notify_one();
            self.remove(&failed);
            std::mem::forget(failed);
        }
    }

    /// Takes out the connections with this peer that go by another key.
    pub(super) fn take_others(&self, peer: &[u8; 32], fingerprint: &[u8; 32]) -> Vec<Link> {
        self.take(peer, |link| link.fingerprint != *fingerprint)
    }

    /// Notes that the peer is about to connect, until what it gives is dropped.
    pub(super) fn arriving(self: &Arc<Self>, peer: [u8; 32]) -> Arriving {
        lock(&self.peers).entry(peer).or_default().arriving += 1;
        Arriving {
            links: Arc::clone(self),
            peer,
        }
    }

    /// The connection with this peer, once there is one.
    pub(super) async fn arrival(&self, peer: &[u8; 32]) -> Link {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(link) = self.current(peer) {
                return link;
            }
            changed.await;
        }
    }

    /// What comes of attempts of the peer that are under way; nothing when there are none.
    pub(super) async fn attempt(&self, peer: &[u8; 32]) -> Option<Link> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let current = self.current(peer);
            if current.is_some() || !self.is_arriving(peer) {
                return current;
            }
            changed.await;
        }
    }

    /// Waits until no other caller begins a connection with this peer.
    pub(super) async fn turn(&self, peer: [u8; 32]) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = lock(&self.turns);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(peer).or_default())
        };
        turn.lock_owned().await
    }

    fn is_arriving(&self, peer: &[u8; 32]) -> bool {
        let peers = lock(&self.peers);
        peers.get(peer).is_some_and(|peer| peer.arriving > 0)
    }

    fn take(&self, key: &[u8; 32], is_taken: impl Fn(&Link) -> bool) -> Vec<Link> {
        self.change(key, |peer| {
            let (taken, kept) = peer.links.drain(..).partition(is_taken);
            peer.links = kept;
            taken
        })
        .unwrap_or_default()
    }

    /// Changes what there is with a peer, and forgets the peer when nothing is left.
    fn change<T>(&self, key: &[u8; 32], change: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        let mut peers = lock(&self.peers);
        let peer = peers.get_mut(key)?;
        let result = change(peer);
        if peer.links.is_empty() && peer.arriving == 0 {
            peers.remove(key);
        }
        Some(result)
    }
}

/// A peer's attempt to connect, while it is under way.
#[derive(Debug)]
pub(super) struct Arriving {
    links: Arc<Links>,
    peer: [u8; 32],
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.links.change(&self.peer, |peer| peer.arriving -= 1);
        self.links.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A connection that was begun and done at these milliseconds.
    fn origin(start: Instant, is_of_smaller: bool, begun: u64, done: u64) -> Origin {
        Origin {
            is_of_smaller,
            begun: start + Duration::from_millis(begun),
            done: start + Duration::from_millis(done),
        }
    }

    #[test]
    fn of_two_that_crossed_both_sides_take_the_same_and_else_the_newest() {
        let start = Instant::now();
        // Attempts of both sides, 30 ms apart, each packet on its way for 50 ms: as the smaller one
        // sees them, and as the other one does.
        let (own, others) = (origin(start, true, 0, 100), origin(start, false, 80, 180));
        assert!(own.outranks(&others));
        let (own, others) = (origin(start, false, 30, 130), origin(start, true, 50, 150));
        assert!(!own.outranks(&others), "the later one is taken");
        // The smaller one's connection was lost at the other side, which begins another.
        let again = origin(start, false, 101, 200);
        assert!(!origin(start, true, 0, 100).outranks(&again));
        // One side alone begins a second one: the first is of no use to it any more.
        let again = origin(start, true, 50, 200);
        assert!(!origin(start, true, 0, 100).outranks(&again));
    }
}
