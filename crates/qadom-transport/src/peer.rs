//! What an endpoint keeps for each peer, and for each request to one.
//!
//! What must stay true: a peer is forgotten when it has no session, no handshake under way and no
//! request waiting; a request is in exactly one place. No session and no handshake has index 0.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::event::Class;
use crate::message::RequestId;
use crate::rtt::Rtt;
use crate::slack::Slack;
use crate::window::Window;

/// A peer, by its key.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The session that sends.
    pub(crate) current: Option<NonZeroU32>,
    /// The session that it replaced, which still receives for a while.
    pub(crate) older: Option<NonZeroU32>,
    /// The handshake under way that the queue waits for.
    pub(crate) attempt: Option<NonZeroU32>,
    pub(crate) rtt: Rtt,
    pub(crate) window: Window,
    /// Requests that wait for a session or for room in the window, first come first.
    pub(crate) queue: Queue,
    /// Whether the peer stands in the line for room among all requests in flight.
    pub(crate) is_waiting: bool,
}

impl Peer {
    /// The session that sends, while the window has room.
    pub(crate) fn open_session(&self) -> Option<u32> {
        self.session().filter(|_| self.window.has_room())
    }

    /// The session that sends.
    pub(crate) fn session(&self) -> Option<u32> {
        self.current.map(NonZeroU32::get)
    }

    /// Whether nothing is left to remember.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
            && self.older.is_none()
            && self.attempt.is_none()
            && self.queue.is_empty()
    }
}

/// Requests that wait, first come first; takes a pointer, and more only while some do.
#[derive(Debug, Default)]
pub(crate) struct Queue(
    #[expect(
        clippy::box_collection,
        reason = "the queues of most peers are empty: 8 bytes instead of 32"
    )]
    Option<Box<VecDeque<RequestId>>>,
);

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.len())
    }

    pub(crate) fn front(&self) -> Option<RequestId> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RequestId> {
        self.0.iter().flat_map(|waiting| waiting.iter()).copied()
    }

    pub(crate) fn push_back(&mut self, id: RequestId) {
        self.0.get_or_insert_default().push_back(id);
    }

    pub(crate) fn push_front(&mut self, id: RequestId) {
        self.0.get_or_insert_default().push_front(id);
    }

    pub(crate) fn pop_front(&mut self) -> Option<RequestId> {
        let first = self.0.as_mut()?.pop_front();
        self.release();
        first
    }

    /// Takes a request out, wherever it stands; gives how many there were.
    pub(crate) fn remove(&mut self, id: RequestId) -> usize {
        let before = self.len();
        if let Some(waiting) = &mut self.0 {
            waiting.retain(|queued| *queued != id);
        }
        self.release();
        before - self.len()
    }

    fn release(&mut self) {
        match &mut self.0 {
            Some(waiting) if !waiting.is_empty() => waiting.release(),
            emptied => *emptied = None,
        }
    }

    /// Whether it has no room that it does not need.
    #[cfg(test)]
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.is_none()
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
    fn a_peer_takes_at_most_40_bytes() {
        assert!(size_of::<Peer>() <= 40, "{} bytes", size_of::<Peer>());
    }

    #[test]
    fn a_queue_keeps_its_order_and_no_room_when_it_is_empty() {
        let mut queue = Queue::default();
        assert_eq!((queue.pop_front(), queue.remove([9; 8])), (None, 0));
        queue.push_back([1; 8]);
        queue.push_back([2; 8]);
        queue.push_front([0; 8]);
        assert_eq!((queue.remove([1; 8]), queue.remove([1; 8])), (1, 0));
        assert_eq!((queue.len(), queue.front()), (2, Some([0; 8])));
        assert_eq!(queue.pop_front(), Some([0; 8]));
        assert_eq!(queue.remove([2; 8]), 1);
        assert!(queue.is_nothing());
    }
}
