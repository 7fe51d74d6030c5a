//! What goes in from the transport and what comes out for the driver to do.
//!
//! Effects are facts about what has to happen, in order; the driver drains them after every input.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_routing::{Moment, NodeKey, Step};
use qadom_store::Ticket;
use qadom_wire::{Hello, Holds, Offer, Verified};

use crate::journal::JournalEntry;
use crate::operation::{Difference, Failure, OperationId, Outcome};
use crate::watch::WatchEvent;

/// Names a request that the engine sent, until its answer or failure came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

impl RequestId {
    /// The number as the transport carries it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl From<u64> for RequestId {
    /// Takes back the number that the transport carried.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// Names a request that a peer sent, until it is answered. The driver chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(pub u64);

/// Something that the driver has to do.
#[derive(Clone, Debug)]
#[must_use = "an effect that is not carried out stalls the engine"]
pub enum Effect {
    /// Ask who answers at an address whose node key is unknown; report with
    /// [`Engine::on_identified`](crate::Engine::on_identified) or
    /// [`Engine::on_failed`](crate::Engine::on_failed).
    Identify {
        /// Comes back with the report.
        id: RequestId,
        /// Where to ask.
        address: SocketAddr,
    },
    /// Send a request; report with [`Engine::on_answer`](crate::Engine::on_answer),
    /// [`Engine::on_slow`](crate::Engine::on_slow) and
    /// [`Engine::on_failed`](crate::Engine::on_failed).
    Request(Outgoing),
    /// Send a request in a new handshake to this very address, even if there is a session with the
    /// node; report as for [`Request`](Self::Request). The answer proves that the node is there.
    Probe(Outgoing),
    /// Say this of the node in handshakes from now on.
    Hello(Hello),
    /// Answer a peer's request.
    Answer {
        /// The request, as it came in.
        inbound: InboundId,
        /// The encoded answer.
        body: Bytes,
    },
    /// Make the store's changes up to this ticket durable, then report with
    /// [`Engine::on_committed`](crate::Engine::on_committed) or
    /// [`Engine::on_commit_failed`](crate::Engine::on_commit_failed).
    Commit(Ticket),
    /// Make this entry of the journal durable, after all earlier ones, then report with
    /// [`Engine::on_journalled`](crate::Engine::on_journalled) or
    /// [`Engine::on_journal_failed`](crate::Engine::on_journal_failed).
    Journal {
        /// Comes back with the report. The entries are numbered from 1 in their order.
        ticket: u64,
        /// What is to be read back at the next start.
        entry: JournalEntry,
    },
    /// Keep the session with this node: it stands in the routing table.
    Pin(NodeKey),
    /// The node left the routing table; its session may end when idle.
    Unpin(NodeKey),
    /// A peer wants to speak QUIC, and its session is confirmed; decide with
    /// [`Engine::answer_stream`](crate::Engine::answer_stream).
    Stream {
        /// The request, as it came in.
        inbound: InboundId,
        /// The peer.
        key: NodeKey,
        /// Where its packets come from.
        address: SocketAddr,
        /// The SHA-256 of the Ed25519 public key that it drew at its start.
        fingerprint: [u8; 32],
    },
    /// A peer, whose session is confirmed, asks this node to keep chunks of a file; decide with
    /// [`Engine::answer_offer`](crate::Engine::answer_offer).
    Offer {
        /// The request, as it came in.
        inbound: InboundId,
        /// The peer.
        key: NodeKey,
        /// Where its packets come from.
        address: SocketAddr,
        /// What it offers.
        offer: Offer,
    },
    /// A peer, whose session is confirmed, asks which chunks of a file are here; tell it with
    /// [`Engine::answer_holds`](crate::Engine::answer_holds).
    Holds {
        /// The request, as it came in.
        inbound: InboundId,
        /// What it asks for.
        holds: Holds,
    },
    /// A subscription has something to tell.
    Event {
        /// The subscription, as [`Engine::watch`](crate::Engine::watch) named it.
        operation: OperationId,
        /// What it tells.
        event: WatchEvent,
    },
    /// A bag that is listed as a stream has something to hand out.
    Items {
        /// The listing, as [`Engine::bag_stream`](crate::Engine::bag_stream) named it.
        operation: OperationId,
        /// Items, each version once, and tombstones of items that were handed out before.
        records: Vec<Verified>,
    },
    /// A lookup that is followed has gone on.
    Steps {
        /// The lookup, as [`Engine::lookup_stream`](crate::Engine::lookup_stream) named it.
        operation: OperationId,
        /// When it began.
        began: Moment,
        /// What happened since it was last told of, in order; never empty.
        steps: Vec<Step>,
    },
    /// Send this node an empty packet, if there is a session with it, so that address translators
    /// on the way go on letting it through.
    KeepAlive(NodeKey),
    /// An operation ended.
    Done {
        /// The operation, as the call that began it named it.
        operation: OperationId,
        /// How it ended.
        result: Result<Outcome, Failure>,
    },
}

/// A request for the transport to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Comes back with the answer or the failure.
    pub id: RequestId,
    /// The node that is asked.
    pub key: NodeKey,
    /// Where it is asked.
    pub address: SocketAddr,
    /// The encoded request.
    pub body: Bytes,
    /// Whether the request may travel in the first datagram of a cold session. When not, the
    /// transport first sends the engine's ping.
    pub first_ok: bool,
    /// How long the first datagram is, and with it the longest cold answer.
    pub size: Size,
    /// How long the peer may take to do what is asked, beside the round trip; zero for what is
    /// answered at once.
    pub patience: Duration,
    /// Whether no user waits for it, so that it may wait for the budget of background work.
    pub is_background: bool,
}

/// The two sizes of a first datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 512 bytes, for pings.
    Small,
    /// 1200 bytes, for lookups, whose answer carries contacts.
    Full,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Comes back with the answer.
    pub id: InboundId,
    /// The node that asks.
    pub key: NodeKey,
    /// Where it asks from.
    pub address: SocketAddr,
    /// Whether the session is confirmed: its address is proven and it may write.
    pub confirmed: bool,
    /// The encoded request.
    pub body: Bytes,
    /// The longest answer body in bytes that may go back.
    pub answer_max: usize,
}

/// Why a request ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFailure {
    /// Nothing came back after all tries.
    Timeout,
    /// The peer asks to be left alone for a while.
    Busy {
        /// How long the peer wants to be left alone.
        retry_after: Duration,
    },
    /// The operating system says that the address cannot be reached.
    Unreachable,
    /// Another node answered under this address.
    WrongKey,
    /// The node speaks for another network or with other parameters.
    Mismatch(Vec<Difference>),
    /// Too many requests are waiting in this node already.
    Overloaded,
}
