//! What the library makes of a peer's first packets, tried before it gets them.
//!
//! What must stay true: the library takes first packets in, and makes connections of them, under a
//! lock whose holder ends the process by a panic: it panics again while it unwinds. So each such
//! packet goes first to an endpoint of its own that is thrown away, where a panic is caught, and the
//! library never sees a packet that caused one. What comes later on a connection is handled in the
//! connection's own task, where a panic is kept in anyway. Rehearsals are few a second, since each
//! costs what the answer to a handshake does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn::{EndpointConfig, ServerConfig};
use quinn_proto::{DatagramEvent, Endpoint};
use quinn_udp::RecvMeta;

use crate::rate::Bucket;

/// First packets a second, and at once: all connections that there may be begin with a few each.
const PER_SECOND: u32 = 400;
const BURST: u32 = 400;
/// Set in packets whose header names both connection ids, as those of handshakes do (RFC 9000, 17.2).
const LONG_HEADER: u8 = 0x80;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The library may have it.
    Fine,
    /// There were too many in this moment to try it.
    TooMany,
    /// The library panicked.
    Defect,
}

/// Tries packets as an endpoint of this node would take them.
#[derive(Debug)]
pub(super) struct Rehearsal {
    config: Arc<EndpointConfig>,
    server: Arc<ServerConfig>,
    clock: fn() -> Instant,
    start: Instant,
    bucket: Bucket,
}

impl Rehearsal {
    pub(super) fn new(
        config: EndpointConfig,
        server: ServerConfig,
        clock: fn() -> Instant,
    ) -> Self {
        Self {
            config: Arc::new(config),
            server: Arc::new(server),
            clock,
            start: clock(),
            bucket: Bucket::full(Duration::ZERO, PER_SECOND, BURST),
        }
    }

    /// Whether a datagram has to be tried; those of connections that there are have not.
    pub(super) fn concerns(datagram: &[u8]) -> bool {
        datagram
            .first()
            .is_some_and(|first| first & LONG_HEADER != 0)
    }

    /// Tries one datagram that came as `meta` says. `fault` happens with it, for tests.
    pub(super) fn try_out(
        &mut self,
        meta: &RecvMeta,
        datagram: &[u8],
        fault: impl FnOnce(),
    ) -> Outcome {
        let now = (self.clock)();
        if !self.bucket.take(now - self.start, PER_SECOND, BURST) {
            return Outcome::TooMany;
        }
        let tried = catch_unwind(AssertUnwindSafe(|| {
            fault();
            let (config, server) = (Arc::clone(&self.config), Arc::clone(&self.server));
            let mut endpoint = Endpoint::new(config, Some(server), true, Some([0; 32]));
            let mut reply = Vec::new();
            let bytes = BytesMut::from(datagram);
            let event = endpoint.handle(now, meta.addr, meta.dst_ip, None, bytes, &mut reply);
            if let Some(DatagramEvent::NewConnection(incoming)) = event {
                reply.clear();
                // Neither the connection nor the reason why there is none matters here.
                let _ = endpoint.accept(incoming, now, &mut reply, None);
            }
        }));
        match tried {
            Ok(()) => Outcome::Fine,
            Err(_) => Outcome::Defect,
        }
    }
}
