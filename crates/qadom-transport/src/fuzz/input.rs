//! A fuzzer's bytes, taken apart; and endpoints with fixed keys and narrow limits.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::config::{Config, Limits, Time};
use crate::endpoint::Endpoint;
use crate::hello::Hello;
use crate::key::SecretKey;

/// Bytes that choices are made of; at the end there are no more choices.
#[derive(Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// One of `count` things, from 0.
    pub(crate) fn choice(&mut self, count: usize) -> Option<usize> {
        usize::from(self.byte()?).checked_rem(count)
    }

    /// Up to `most` bytes; how many, the first byte says: mostly few, so that much is left for
    /// later choices.
    pub(crate) fn bytes(&mut self, most: usize) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            short @ ..=191 => usize::from(short / 4),
            long => usize::from(long - 191) * 20,
        };
        let length = length.min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// So many bytes, with zeros where there are no more.
    pub(crate) fn filled(&mut self, length: usize) -> Vec<u8> {
        let mut filled = self.bytes(length).unwrap_or_default().to_vec();
        filled.resize(length, 0);
        filled
    }
}

/// The wire tag of the fuzzed network.
pub(crate) const WIRE_TAG: [u8; 8] = [2; 8];
/// Its id.
pub(crate) const NETWORK_ID: [u8; 32] = [1; 32];

/// The node with this number at its n-th start, from 0. As in a node, keys survive a restart and
/// the generator begins anew: one that drew the same numbers again would repeat its ephemeral keys
/// and request ids, and take replays for answers.
pub(crate) fn endpoint(number: u8, start: u32, now: Time) -> Endpoint {
    let mut seed = [number; 32];
    seed.iter_mut()
        .zip(start.to_le_bytes())
        .for_each(|(byte, of_start)| *byte ^= of_start);
    let config = Config {
        secret: secret(number),
        network_id: NETWORK_ID,
        wire_tag: WIRE_TAG,
        k: 20,
        id_bits: 0,
        lowest_version: 1,
        highest_version: 2 - number % 2,
        hello: Hello::default(),
        ping: Bytes::from_static(b"ping"),
        reset_secret: [number; 32],
        seed,
        limits: limits(),
    };
    Endpoint::new(config, now)
}

/// Limits that a few packets reach.
pub(crate) fn limits() -> Limits {
    Limits {
        sessions: 8,
        pending: 4,
        pending_per_group: 3,
        handshakes_per_second: 20,
        handshake_capacity: 32,
        in_flight: 6,
        queue: 8,
        pinned: 1,
        assemblies: 3,
        requests: 4,
        background: 20_000,
        background_queue: 4,
        local: false,
    }
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32])
}

/// The address with this number.
pub(crate) fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, number, 1], 4001))
}

/// Panics when an endpoint is beyond its limits.
pub(crate) fn check_limits(endpoint: &Endpoint) {
    let (usage, limits) = (endpoint.usage(), limits());
    assert!(usage.sessions <= limits.sessions, "{usage:?}");
    assert!(usage.pending <= limits.pending, "{usage:?}");
    assert!(usage.in_flight <= limits.in_flight, "{usage:?}");
    assert!(usage.queued <= limits.queue + limits.in_flight, "{usage:?}");
    assert!(usage.pinned <= limits.pinned, "{usage:?}");
    assert!(usage.assemblies <= limits.assemblies, "{usage:?}");
}
