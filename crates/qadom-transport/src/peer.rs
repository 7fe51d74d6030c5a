//! What an endpoint keeps for each peer, and for each request to one.
//!
//! What must stay true: a peer is forgotten when it has no session, no handshake under way and no
//! request waiting; a request is in exactly one place.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::event::Class;
use crate::message::RequestId;
use crate::rtt::Rtt;
use crate::window::Window;

/// A peer, by its key.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The session that sends.
    pub(crate) current: Option<u32>,
    /// The session that it replaced, which still receives for a while.
    pub(crate) older: Option<u32>,
    /// The handshake under way that the queue waits for.
    pub(crate) attempt: Option<u32>,
    pub(crate) rtt: Rtt,
    pub(crate) window: Window,
    /// Requests that wait for a session or for room in the window, first come first.
    pub(crate) queue: VecDeque<RequestId>,
    /// Whether the peer stands in the line for room among all requests in flight.
    pub(crate) is_waiting: bool,
}

impl Peer {
    /// The session that sends, while the window has room.
    pub(crate) fn open_session(&self) -> Option<u32> {
        self.current.filter(|_| self.window.has_room())
    }

    /// Whether nothing is left to remember.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
            && self.older.is_none()
            && self.attempt.is_none()
            && self.queue.is_empty()
    }
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its peer's queue.
    Queued,
    /// In the line for the budget of background work.
    Background,
    /// Inside the INIT of this handshake.
    Handshake(u32),
    /// Sent over this session.
    Session(u32),
}

/// Whether a request waits for the budget of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it, so it never does.
    Foreground,
    /// It does, behind those that came before it.
    Background,
    /// It stood in line and had its turn: it goes before those in line.
    HadTurn,
}

/// A request of ours.
#[derive(Debug)]
pub(crate) struct Request {
    /// The caller's number; none for an endpoint's own ping.
    pub(crate) token: Option<u64>,
    pub(crate) key: [u8; 32],
    pub(crate) address: SocketAddr,
    pub(crate) body: Bytes,
    pub(crate) first_ok: bool,
    pub(crate) class: Class,
    pub(crate) place: Place,
    /// How long the peer may take to do what is asked.
    pub(crate) patience: Duration,
    pub(crate) first_sent: Duration,
    pub(crate) last_sent: Duration,
    /// How often it was sent where it is now.
    pub(crate) tries: u8,
    /// How often its session was lost under it.
    pub(crate) losses: u8,
    /// How often the other side asked for pieces of it.
    pub(crate) needs: u8,
    pub(crate) is_slow: bool,
    pub(crate) urgency: Urgency,
    /// Whether it goes out in a handshake of its own, whatever sessions there are.
    pub(crate) is_probe: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_takes_at_most_88_bytes() {
        assert!(size_of::<Peer>() <= 88, "{} bytes", size_of::<Peer>());
    }
}
