//! What an endpoint is told once, and its limits.
//!
//! What must stay true: each limit that a peer could push against has a name here.

use core::time::Duration;

use bytes::Bytes;

use crate::hello::Hello;
use crate::key::SecretKey;

/// The longest message, its envelope included: eight pieces.
pub const MESSAGE_MAX: usize = 8960;

/// The longest body of a request or an answer: the longest message less kind (1), request id (8)
/// and, in answers, time (8).
pub const BODY_MAX: usize = MESSAGE_MAX - 17;

/// Time as a driver measures it, given with every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Since an origin that the driver chose; never goes back.
    pub monotonic: Duration,
    /// The raw wall clock, microseconds since 1970; goes out with answers.
    pub utc_micros: u64,
}

/// What an endpoint is told when it begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's secret key.
    pub secret: SecretKey,
    /// Names the network; goes into the prologue of every handshake.
    pub network_id: [u8; 32],
    /// Eight bytes that tell networks and parameters apart before any curve work.
    pub wire_tag: [u8; 8],
    /// The network's k, told in MISMATCH.
    pub k: u8,
    /// The network's puzzle bits, told in MISMATCH.
    pub id_bits: u8,
    /// The lowest protocol revision that this node speaks, from 1.
    pub lowest_version: u8,
    /// The highest protocol revision that this node speaks; handshakes begin with it.
    pub highest_version: u8,
    /// What this node says of itself in handshakes.
    pub hello: Hello,
    /// The body that is sent first to a cold peer when the request itself may not be, at most
    /// 300 bytes.
    pub ping: Bytes,
    /// Keys the reset tokens; must survive a restart, else a restarted node cannot tell its
    /// peers so.
    pub reset_secret: [u8; 32],
    /// Seeds the endpoint's generator, which draws ephemeral keys too: 32 bytes from the
    /// operating system, except in tests.
    pub seed: [u8; 32],
    /// The limits.
    pub limits: Limits,
}

/// The limits of an endpoint. The defaults are the protocol's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Confirmed sessions; a new one displaces the one that was silent longest and is not pinned.
    /// Peers of one /16 (IPv6 /32) have at most a quarter of them, except in local mode.
    pub sessions: usize,
    /// Handshakes that were answered, or wait for their answer, but whose initiator has not
    /// proven itself.
    pub pending: usize,
    /// Of these, from one /24 (IPv6 /48).
    pub pending_per_group: usize,
    /// Handshakes let through from one address in a second, after a burst of five.
    pub handshakes_per_second: u32,
    /// Handshakes that this node can answer in a second, on one core. Above half of that,
    /// counted by the INITs that show knowledge of its key, strangers must first prove their
    /// address with a cookie. The default is what the bench `respond` shows on a slow core.
    pub handshake_capacity: u32,
    /// Requests sent and unanswered, over all peers.
    pub in_flight: usize,
    /// Requests that wait for room in a window or for a session, over all peers; one more fails.
    pub queue: usize,
    /// Confirmed peers whose session stays over 30 minutes of silence.
    pub pinned: usize,
    /// Messages that arrive in pieces, over all peers; seven in one session.
    pub assemblies: usize,
    /// Requests of peers that wait for the node to take them. Above half of that, peers with more
    /// than a fair share are told that the node is busy, and strangers nothing.
    pub requests: usize,
    /// Bytes of datagrams that carry background requests, their handshakes and copies included,
    /// in a second: over any span no more than this times the span and 16 KiB. At least 1.
    pub background: u32,
    /// Background requests that wait for their turn; one more fails.
    pub background_queue: usize,
    /// Local mode: everybody shares few addresses, so rules per address or group are lifted.
    pub local: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 4096,
            pending: 1024,
            pending_per_group: 8,
            handshakes_per_second: 20,
            handshake_capacity: 4000,
            in_flight: 4096,
            queue: 16_384,
            pinned: 4096,
            assemblies: 448,
            requests: 2048,
            background: 64_000,
            background_queue: 1024,
            local: false,
        }
    }
}
