//! QUIC on the port of the datagrams, for bulk data.
//!
//! What must stay true: nothing of QUIC exists before the first grant; only addresses with a grant
//! or a connection reach it; a peer is who the session says, proven by the key that it named there;
//! whatever goes wrong in QUIC stays in tasks of its own, and so does a panic on a connection.
//! Nothing of the library that speaks QUIC is seen outside. How grants are agreed upon is the node's
//! business. A panic where the library hands datagrams to connections could not be kept in, so first
//! packets are tried out before.
//!
//! `gate` knows who may come in, `port` lies between the shared sockets and the library, `rehearsal` tries
//! first packets out, `identity` has keys, checks and settings, `congestion` how much a connection begins
//! with, `handshake` begins connections, `links` has those that there are, `stream` is what users hold.

mod congestion;
mod gate;
mod handshake;
mod identity;
mod links;
mod port;
mod rehearsal;
mod stream;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::gate::{CONNECTIONS_MAX, GRANTS_MAX, Gate};
use self::handshake::Running;
use self::identity::Identity;
use self::links::Links;
use self::port::Port;
use crate::address::canonical;
use crate::socket::{QuicDatagrams, Socket};

pub use self::stream::{DataReceiver, DataSender, DataStream};

/// How long the end of all connections may take.
const CLOSE_MAX: Duration = Duration::from_millis(500);
/// Streams that wait for whoever accepts them; one more is refused.
const STREAMS_QUEUED: usize = 64;

/// A permission to speak QUIC: what both sides of a confirmed session told each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The peer's node key.
    pub peer: [u8; 32],
    /// Where its packets come from.
    pub address: SocketAddr,
    /// The SHA-256 of the Ed25519 public key that it drew at its start.
    pub fingerprint: [u8; 32],
}

/// Why there is no stream to a peer.
///
/// # Examples
///
/// ```
/// use qadom_transport::QuicError;
///
/// /// Whether it may work when it is tried again.
/// fn is_passing(error: &QuicError) -> bool {
///     matches!(error, QuicError::Full { .. } | QuicError::Lost)
/// }
/// assert!(is_passing(&QuicError::Lost) && !is_passing(&QuicError::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuicError {
    /// Nothing was agreed with the peer, or that was more than 30 s ago. The caller is at fault.
    #[error("there is no grant for the peer")]
    NoGrant,
    /// As many grants or connections as there may be; retrying later helps.
    #[error("{limit} connections or grants are in use")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The peer did not answer in time, refused, or is not who it said.
    #[error("no connection came about")]
    NotConnected,
    /// The connection ended before it gave a stream.
    #[error("the connection was lost")]
    Lost,
    /// QUIC could not be started, or failed by a defect; the next attempt starts it anew.
    #[error("QUIC failed on this node")]
    Failed,
    /// The node is about to end.
    #[error("QUIC is closed")]
    Closed,
}

/// What QUIC dropped or refused, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuicDrops {
    /// Datagrams from addresses without a grant and without a connection.
    pub no_grant: u64,
    /// Datagrams that came faster than they were read.
    pub queue_full: u64,
    /// Handshakes that failed or were refused.
    pub handshakes: u64,
    /// First packets by which the library would have failed: each one is a defect worth a report.
    pub defects: u64,
    /// Streams that nobody here accepts.
    pub streams: u64,
}

/// What QUIC uses of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuicUsage {
    /// Grants that are good now.
    pub grants: usize,
    /// The most there may be.
    pub grants_max: usize,
    /// Connections.
    pub connections: usize,
    /// The most there may be.
    pub connections_max: usize,
}

/// A stream that a peer opened, with the peer's node key.
pub type Accepted = ([u8; 32], DataStream);

/// The QUIC side of a node's port: cheap until the first grant.
///
/// The node gives it the QUIC datagrams of its sockets and the grants that it agreed upon; streams
/// come out on both sides of a connection.
#[derive(Debug)]
pub struct Quic {
    port: Arc<Port>,
    gate: Mutex<Gate>,
    links: Arc<Links>,
    identity: OnceLock<Identity>,
    running: Mutex<Running>,
    acceptor: Mutex<Option<mpsc::Sender<Accepted>>>,
    /// Peers that asked to connect and have a moment to do so.
    meetings: Mutex<HashSet<[u8; 32]>>,
    clock: fn() -> Instant,
    no_grant: AtomicU64,
    handshakes: AtomicU64,
    streams: AtomicU64,
}

impl Quic {
    /// QUIC over these sockets, one for each address family at most. It does not keep them open.
    /// `clock` tells the time, by which grants end.
    pub fn new(sockets: &[&Arc<Socket>], clock: fn() -> Instant) -> Arc<Self> {
        Arc::new(Self {
            clock,
            port: Arc::new(Port::new(sockets)),
            gate: Mutex::default(),
            links: Arc::default(),
            identity: OnceLock::new(),
            running: Mutex::new(Running::No),
            acceptor: Mutex::new(None),
            meetings: Mutex::default(),
            no_grant: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            streams: AtomicU64::new(0),
        })
    }

    /// The SHA-256 of this node's Ed25519 public key, which is drawn at the first call.
    ///
    /// # Errors
    ///
    /// [`QuicError::Failed`] when the operating system gives no random bytes.
    pub fn fingerprint(&self) -> Result<[u8; 32], QuicError> {
        self.identity().map(|identity| identity.fingerprint)
    }

    /// Takes QUIC datagrams in, those of peers that may come; never waits.
    pub fn receive(&self, datagrams: &QuicDatagrams<'_>) {
        if lock(&self.gate).admits(datagrams.from, (self.clock)()) {
            self.port.push(datagrams);
        } else {
            let count = datagrams.count() as u64;
            self.no_grant.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Lets a peer in for 30 s, in place of its grant before. A connection of this peer under
    /// another key ends: the peer has started anew. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`QuicError::Full`] when there are too many grants, [`QuicError::Closed`] at the end.
    pub fn grant(self: &Arc<Self>, grant: Grant) -> Result<(), QuicError> {
        if lock(&self.running).is_closed() {
            return Err(QuicError::Closed);
        }
        let address = canonical(grant.address);
        let grant = Grant { address, ..grant };
        if !lock(&self.gate).grant(grant, (self.clock)()) {
            return Err(QuicError::Full { limit: GRANTS_MAX });
        }
        let outdated = self.links.take_others(&grant.peer, &grant.fingerprint);
        let quic = Arc::clone(self);
        // Code of the library runs in a task of its own.
        tokio::spawn(async move {
            for link in outdated {
                link.end();
            }
            // Whoever opens a stream is told why there is none.
            let _ = quic.endpoint();
        });
        Ok(())
    }

    /// Lets a peer in as [`grant`](Self::grant) does, because it asked to connect. When it has not
    /// connected after 1 s, this side tries to connect to it: what keeps the one side out may let
    /// the other one through.
    ///
    /// # Errors
    ///
    /// Those of [`grant`](Self::grant).
    pub fn grant_asker(self: &Arc<Self>, grant: Grant) -> Result<(), QuicError> {
        self.grant(grant)?;
        let peer = grant.peer;
        let mut meetings = lock(&self.meetings);
        // Those beyond have to connect by themselves.
        if meetings.len() < CONNECTIONS_MAX && meetings.insert(peer) {
            let meeting = Meeting {
                quic: Arc::clone(self),
                peer,
            };
            tokio::spawn(async move { meeting.quic.meet(meeting.peer).await });
        }
        Ok(())
    }

    /// Whether a stream to this peer needs no new grant: there is a connection and the peer named
    /// its key within the last 10 s.
    pub fn is_fresh(&self, peer: &[u8; 32]) -> bool {
        let is_fresh = lock(&self.gate).is_fresh(peer, (self.clock)());
        is_fresh && self.links.current(peer).is_some()
    }

    /// Takes in that a peer may have started anew, as a new session with it may mean: before more
    /// streams it is asked for its key again.
    pub fn doubt(&self, peer: &[u8; 32]) {
        lock(&self.gate).doubt(peer);
    }

    /// Opens a stream to a peer that has a grant, over the connection that there is, whoever began
    /// it, or over the first new one that either side brings about. The peer learns of the stream
    /// with the first bytes.
    ///
    /// # Errors
    ///
    /// Why not; nothing remains.
    pub async fn open(self: &Arc<Self>, peer: [u8; 32]) -> Result<DataStream, QuicError> {
        let quic = Arc::clone(self);
        // A defect in QUIC ends this task and not whoever asks.
        let mut opening = Opening(tokio::spawn(async move {
            let link = quic.reach(peer).await?;
            link.open().await
        }));
        (&mut opening.0).await.unwrap_or_else(|_| {
            self.links.abandon(&peer);
            Err(QuicError::Failed)
        })
    }

    /// From now on streams that peers open come out here, each with its peer's node key; whoever
    /// accepted before gets no more. While nobody accepts, or 64 streams wait, peers are refused.
    pub fn accept(&self) -> mpsc::Receiver<Accepted> {
        let (sender, receiver) = mpsc::channel(STREAMS_QUEUED);
        *lock(&self.acceptor) = Some(sender);
        receiver
    }

    /// Tells the peer that nobody here takes a stream, and counts it.
    pub fn refuse(&self, stream: DataStream) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        stream.refuse();
    }

    /// What was dropped or refused.
    pub fn drops(&self) -> QuicDrops {
        QuicDrops {
            no_grant: self.no_grant.load(Ordering::Relaxed),
            queue_full: self.port.dropped(),
            defects: self.port.defects(),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            streams: self.streams.load(Ordering::Relaxed),
        }
    }

    /// What is in use.
    pub fn usage(&self) -> QuicUsage {
        let gate = lock(&self.gate);
        QuicUsage {
            grants: gate.grants((self.clock)()),
            grants_max: GRANTS_MAX,
            connections: gate.connections(),
            connections_max: CONNECTIONS_MAX,
        }
    }

    /// Ends all connections, tells the peers so, and begins no more.
    pub async fn close(self: &Arc<Self>) {
        *lock(&self.acceptor) = None;
        let endpoint = lock(&self.running).close();
        if let Some(endpoint) = endpoint {
            let closing = tokio::spawn(async move {
                endpoint.close(links::ENDING, b"");
                endpoint.wait_idle().await;
            });
            // Peers that are not told find out by themselves.
            let _ = timeout(CLOSE_MAX, closing).await;
        }
    }
}

/// A wait for a peer that asked to connect.
struct Meeting {
    quic: Arc<Quic>,
    peer: [u8; 32],
}

impl Drop for Meeting {
    fn drop(&mut self) {
        lock(&self.quic.meetings).remove(&self.peer);
    }
}

/// A stream that is being opened; given up when nobody waits for it.
struct Opening(JoinHandle<Result<DataStream, QuicError>>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Locks what no panic can leave half done: each holder makes one small change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
