//! The connections that there are, and whose turn it is to begin one.
//!
//! What must stay true: a peer has one connection on which new streams begin, the newest; one
//! caller at a time begins another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

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
    /// Told when the library has failed on this connection.
    pub(super) failed: Arc<Notify>,
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

/// The newest connection with each peer.
#[derive(Debug, Default)]
pub(super) struct Links {
    newest: Mutex<HashMap<[u8; 32], Link>>,
    turns: Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>,
}

impl Links {
    pub(super) fn insert(&self, link: Link) {
        lock(&self.newest).insert(link.peer, link);
    }

    /// Forgets a connection that ended.
    pub(super) fn remove(&self, ended: &Link) {
        let mut newest = lock(&self.newest);
        let is_newest = newest
            .get(&ended.peer)
            .is_some_and(|link| link.connection.stable_id() == ended.connection.stable_id());
        if is_newest {
            newest.remove(&ended.peer);
        }
    }

    /// The connection on which new streams to this peer begin.
    pub(super) fn current(&self, peer: &[u8; 32]) -> Option<Link> {
        lock(&self.newest).get(peer).cloned()
    }

    /// Forgets the connection with this peer, on which the library panicked. One handle is lost for
    /// good: where the last one is dropped, the library would look behind its poisoned lock.
    pub(super) fn abandon(&self, peer: &[u8; 32]) {
        let failed = lock(&self.newest).remove(peer);
        if let Some(link) = failed {
            link.failed.notify_one();
            std::mem::forget(link);
        }
    }

    /// Takes out the connection with this peer if it goes by another key.
    pub(super) fn take_other(&self, peer: &[u8; 32], fingerprint: &[u8; 32]) -> Option<Link> {
        let mut newest = lock(&self.newest);
        let link = newest.get(peer)?;
        let is_other = link.fingerprint != *fingerprint;
        is_other.then(|| newest.remove(peer)).flatten()
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
}
