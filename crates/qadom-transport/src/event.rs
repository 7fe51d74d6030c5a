//! What goes over an endpoint's upper edge: requests down, events up.
//!
//! What must stay true: every request that was taken ends in exactly one `Answer` (or
//! `Identified`) or `Failed`; `Slow` may come once before. Bodies are opaque.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::hello::Hello;

/// A request that the node wants to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The caller's number for it; comes back in the events about it. Unique while it runs.
    pub token: u64,
    /// Whom it is for.
    pub key: [u8; 32],
    /// Where the peer is reached when there is no session with it.
    pub address: SocketAddr,
    /// The body, at most [`BODY_MAX`](crate::BODY_MAX) bytes.
    pub body: Bytes,
    /// Whether it may travel inside a first datagram, where it has no forward secrecy and may be
    /// replayed: reading requests only.
    pub first_ok: bool,
    /// How long that first datagram is, and so how long a cold answer may be.
    pub class: Class,
    /// How long the peer may take to do what is asked, beside the round trip: the request is not
    /// given up before this has passed since it was first sent, and measures no round trip. Zero
    /// for what is answered at once.
    pub patience: Duration,
    /// Whether nobody waits for it: then it leaves only as far as
    /// [`Limits::background`](crate::Limits::background) allows.
    pub is_background: bool,
}

/// The size of a handshake's datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// 512 bytes: short questions with short answers.
    Short,
    /// 1200 bytes: requests whose answers carry contacts.
    Long,
}

impl Class {
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Short => 512,
            Self::Long => 1200,
        }
    }

    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Short => 0,
            Self::Long => 1,
        }
    }
}

/// Names a request of a peer until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId {
    pub(crate) session: u32,
    pub(crate) request: [u8; 8],
}

/// Where a datagram came from, and which of the own addresses it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its sender.
    pub remote: SocketAddr,
    /// The own address, for a socket that has several; none when that is not known or there is one.
    pub local: Option<IpAddr>,
}

impl From<SocketAddr> for Path {
    fn from(remote: SocketAddr) -> Self {
        Self {
            remote,
            local: None,
        }
    }
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The own address that it shall come from, because what it answers came to it; none where the
    /// system may choose.
    pub from: Option<IpAddr>,
    /// The UDP payload, at most 1200 bytes.
    pub bytes: Bytes,
}

/// What an endpoint tells the node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session with this peer was confirmed: the key is its own and the address is where its
    /// packets come from. Comes again with each new session, so the newest `hello` counts.
    Confirmed {
        /// The peer.
        key: [u8; 32],
        /// Where its packets come from.
        address: SocketAddr,
        /// What it says of itself.
        hello: Hello,
    },
    /// The last confirmed session with this peer ended.
    Gone {
        /// The peer.
        key: [u8; 32],
    },
    /// A peer asks. Answer with [`Endpoint::answer`](crate::Endpoint::answer).
    Request {
        /// Who asks; proven only when `confirmed`.
        key: [u8; 32],
        /// Where the request came from.
        address: SocketAddr,
        /// Whether the asker has proven its key and address. If not, the request may be a replay.
        confirmed: bool,
        /// Names the request for the answer.
        inbound: InboundId,
        /// The request's body.
        body: Bytes,
        /// The longest body that an answer may have.
        answer_max: usize,
    },
    /// A request was answered.
    Answer {
        /// The request.
        token: u64,
        /// The answer's body.
        body: Bytes,
        /// The peer's raw wall clock, microseconds since 1970.
        utc_micros: u64,
        /// From the last sending to the answer.
        rtt: Duration,
    },
    /// A request takes longer than usual for its peer; the answer may still come.
    Slow {
        /// The request.
        token: u64,
    },
    /// A request failed for good.
    Failed {
        /// The request.
        token: u64,
        /// Why.
        reason: FailReason,
    },
    /// Somebody at an address named its key; a session has still to prove it.
    Identified {
        /// The question's number.
        token: u64,
        /// Where the answer came from.
        address: SocketAddr,
        /// The key it names.
        key: [u8; 32],
    },
    /// A node of another network, or with other parameters or revisions, refused us.
    Mismatch {
        /// The request that met it; it fails too.
        token: Option<u64>,
        /// Where.
        address: SocketAddr,
        /// What the other node is.
        theirs: Mismatch,
    },
    /// A peer with a proven key tells which address it sees us at.
    Observed {
        /// Who says so.
        key: [u8; 32],
        /// The address it sees.
        address: SocketAddr,
    },
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailReason {
    /// Three tries without an answer.
    Timeout,
    /// The peer has too much to do.
    Busy {
        /// When to come again, in milliseconds.
        retry_after_ms: u32,
    },
    /// The key is our own or no node key: nothing was sent.
    WrongKey,
    /// The peer belongs to another network or speaks none of our revisions.
    Mismatch,
    /// Too many requests wait here already: nothing was sent.
    Overloaded,
    /// The body is longer than [`BODY_MAX`](crate::BODY_MAX): nothing was sent.
    TooLong,
    /// The session was lost twice while the request was under way.
    Unreachable,
    /// No answer, and the system refused to send to the peer: an interface, an own address or a
    /// route is missing, or the datagram is longer than the way takes.
    Refused,
}

/// What a node that refused a handshake says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The lowest revision it speaks.
    pub lowest_version: u8,
    /// The highest revision it speaks.
    pub highest_version: u8,
    /// Its k.
    pub k: u8,
    /// Its puzzle bits.
    pub id_bits: u8,
    /// Its wire tag.
    pub wire_tag: [u8; 8],
    /// The first four bytes of its network's id.
    pub network_prefix: [u8; 4],
}
