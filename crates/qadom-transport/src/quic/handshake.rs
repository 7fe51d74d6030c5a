//! How connections begin, from here and from peers, and what waits on each until it ends.
//!
//! What must stay true: a connection holds its place at the gate from its first packet to its end;
//! what the library does wrong ends a task here at most, and QUIC begins anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quinn::{Connecting, Connection, Endpoint, Incoming, TokioRuntime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::identity::{self, Identity};
use super::links::{Link, Origin};
use super::rehearsal::Rehearsal;
use super::{DataStream, Grant, Quic, QuicError, lock};
use crate::address::canonical;

/// How long a handshake may take; a grant lives longer.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long an asker has to connect before the side that was asked tries it.
const ASKER_MAX: Duration = Duration::from_secs(1);
/// QUIC that nobody may use is put away after this time.
const UNUSED_MAX: Duration = Duration::from_mins(1);
/// The library wants a name for the peer, though no certificate has one.
const NAME: &str = "qadom";

/// How far QUIC is on this node.
#[derive(Debug)]
pub(super) enum Running {
    /// Not begun, or put away.
    No,
    /// There is an endpoint, and a task that accepts connections.
    Yes(Endpoint),
    /// The node is about to end.
    Closed,
}

impl Running {
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    pub(super) fn close(&mut self) -> Option<Endpoint> {
        match std::mem::replace(self, Self::Closed) {
            Self::Yes(endpoint) => Some(endpoint),
            Self::No | Self::Closed => None,
        }
    }
}

/// A connection's place at the gate; given back when it is dropped.
struct Place {
    quic: Arc<Quic>,
    address: SocketAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.quic.gate).leave(self.address);
    }
}

/// Puts QUIC away when the task that accepts ends, however it does.
struct Accepting {
    quic: Arc<Quic>,
    is_away: bool,
}

impl Accepting {
    /// Puts QUIC away if nobody may use it. Whoever is granted it meanwhile begins it anew.
    fn is_over(&mut self) -> bool {
        let mut running = lock(&self.quic.running);
        if lock(&self.quic.gate).is_shut((self.quic.clock)()) && !running.is_closed() {
            *running = Running::No;
            self.is_away = true;
        }
        self.is_away
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let mut running = lock(&self.quic.running);
        if !self.is_away && !running.is_closed() {
            *running = Running::No;
        }
    }
}

impl Quic {
    pub(super) fn identity(&self) -> Result<&Identity, QuicError> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let drawn = Identity::draw()?;
        Ok(self.identity.get_or_init(|| drawn))
    }

    /// The endpoint; it is made if there is none.
    pub(super) fn endpoint(self: &Arc<Self>) -> Result<Endpoint, QuicError> {
        let mut running = lock(&self.running);
        match &*running {
            Running::Yes(endpoint) => return Ok(endpoint.clone()),
            Running::Closed => return Err(QuicError::Closed),
            Running::No => {}
        }
        let nobody = self.identity()?.server(None)?;
        let rehearsal = Rehearsal::new(identity::endpoint()?, nobody.clone(), self.clock);
        self.port.begin(rehearsal);
        let endpoint = Endpoint::new_with_abstract_socket(
            identity::endpoint()?,
            Some(nobody),
            Arc::clone(&self.port) as _,
            Arc::new(TokioRuntime),
        );
        let endpoint = endpoint.map_err(|_| QuicError::Failed)?;
        *running = Running::Yes(endpoint.clone());
        let accepting = Accepting {
            quic: Arc::clone(self),
            is_away: false,
        };
        tokio::spawn(accept(accepting, endpoint.clone()));
        Ok(endpoint)
    }

    /// A connection with a peer that has a grant: the one that there is, else what comes first of
    /// one from here and of those that the peer begins.
    pub(super) async fn reach(self: &Arc<Self>, peer: [u8; 32]) -> Result<Link, QuicError> {
        tokio::select! {
            biased;
            link = self.links.arrival(&peer) => Ok(link),
            result = self.dial(peer) => result,
        }
    }

    /// Waits for a peer that is about to connect, and connects to it when it does not: it is enough
    /// that one side reaches the other.
    pub(super) async fn meet(self: &Arc<Self>, peer: [u8; 32]) {
        if timeout(ASKER_MAX, self.links.arrival(&peer)).await.is_err() {
            // The peer finds out by itself that there is no connection.
            let _ = self.reach(peer).await;
        }
    }

    /// Brings a connection with a peer about, when this caller's turn comes and the peer is not at
    /// it already.
    async fn dial(self: &Arc<Self>, peer: [u8; 32]) -> Result<Link, QuicError> {
        let turn = self.links.turn(peer).await;
        if let Some(link) = self.links.attempt(&peer).await {
            return Ok(link);
        }
        let quic = Arc::clone(self);
        // What has begun goes on without its caller: if each side gave its own attempt up for the
        // other's, none would be left.
        let attempt = tokio::spawn(async move {
            let _turn = turn;
            quic.connect(&peer).await
        });
        attempt.await.unwrap_or(Err(QuicError::Failed))
    }

    /// Begins a connection with a peer that has a grant.
    async fn connect(self: &Arc<Self>, peer: &[u8; 32]) -> Result<Link, QuicError> {
        let begun = (self.clock)();
        let grant = lock(&self.gate).begin_with(peer, begun)?;
        let place = self.place(&grant);
        let identity = self.identity()?;
        let connecting = self
            .endpoint()?
            .connect_with(
                identity.client(grant.fingerprint, grant.address)?,
                grant.address,
                NAME,
            )
            .map_err(|_| QuicError::Failed)?;
        let is_of_smaller = identity.fingerprint < grant.fingerprint;
        match self.shake_hands(connecting).await {
            Some(connection) => {
                let origin = self.origin(is_of_smaller, begun);
                Ok(self.enter(connection, origin, &grant, place))
            }
            // Perhaps the peer's own attempt came first.
            None => self.links.current(peer).ok_or(QuicError::NotConnected),
        }
    }

    /// Answers a connection that a peer begins.
    fn greet(self: &Arc<Self>, incoming: Incoming) {
        let (from, begun) = (canonical(incoming.remote_address()), (self.clock)());
        let allowed = lock(&self.gate).begin_from(from, begun);
        let Ok(grant) = allowed else {
            self.handshakes.fetch_add(1, Ordering::Relaxed);
            return incoming.refuse();
        };
        let place = self.place(&grant);
        let Ok(identity) = self.identity() else {
            return incoming.refuse();
        };
        let Ok(config) = identity.server(Some((grant.fingerprint, grant.address))) else {
            return incoming.refuse();
        };
        let Ok(connecting) = incoming.accept_with(Arc::new(config)) else {
            self.handshakes.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let is_of_smaller = grant.fingerprint < identity.fingerprint;
        let arriving = self.links.arriving(grant.peer);
        let quic = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(connection) = quic.shake_hands(connecting).await {
                let origin = quic.origin(is_of_smaller, begun);
                quic.enter(connection, origin, &grant, place);
            }
            drop(arriving);
        });
    }

    async fn shake_hands(&self, connecting: Connecting) -> Option<Connection> {
        let result = timeout(HANDSHAKE_MAX, connecting).await;
        let connection = result.ok().and_then(Result::ok);
        if connection.is_none() {
            self.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        connection
    }

    fn origin(&self, is_of_smaller: bool, begun: Instant) -> Origin {
        Origin {
            is_of_smaller,
            begun,
            done: (self.clock)(),
        }
    }

    fn place(self: &Arc<Self>, grant: &Grant) -> Place {
        Place {
            quic: Arc::clone(self),
            address: grant.address,
        }
    }

    /// Lets streams begin on a connection, from both sides, until it ends.
    fn enter(
        self: &Arc<Self>,
        connection: Connection,
        origin: Origin,
        grant: &Grant,
        place: Place,
    ) -> Link {
        let link = Link {
            peer: grant.peer,
            fingerprint: grant.fingerprint,
            connection,
            origin,
            failed: Arc::default(),
        };
        self.links.insert(link.clone());
        let entered = Entered {
            link: link.clone(),
            place,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = entered.serve() => {}
                () = entered.link.failed.notified() => {}
            }
        });
        link
    }

    /// Gives a peer's stream to whoever accepts them, or refuses it.
    fn hand_out(&self, peer: [u8; 32], stream: DataStream) {
        let acceptor = lock(&self.acceptor).clone();
        let refused = match acceptor {
            Some(acceptor) => match acceptor.try_send((peer, stream)) {
                Ok(()) => return,
                Err(TrySendError::Full((_, stream)) | TrySendError::Closed((_, stream))) => stream,
            },
            None => stream,
        };
        self.streams.fetch_add(1, Ordering::Relaxed);
        refused.refuse();
    }
}

/// A connection that is served; forgotten when it is dropped.
struct Entered {
    link: Link,
    place: Place,
}

impl Entered {
    async fn serve(&self) {
        while let Ok((sender, receiver)) = self.link.connection.accept_bi().await {
            let stream = DataStream::new(sender, receiver);
            self.place.quic.hand_out(self.link.peer, stream);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.place.quic.links.remove(&self.link);
    }
}

/// Accepts connections until QUIC fails, is closed, or has been of no use for a while.
async fn accept(mut accepting: Accepting, endpoint: Endpoint) {
    loop {
        match timeout(UNUSED_MAX, endpoint.accept()).await {
            Ok(Some(incoming)) => accepting.quic.greet(incoming),
            Ok(None) => break,
            Err(_) if accepting.is_over() => break,
            Err(_) => {}
        }
    }
}
