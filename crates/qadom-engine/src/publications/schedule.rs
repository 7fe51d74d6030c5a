//! When publications are renewed, and how fast: pure functions of time and chance.
//!
//! What must stay true: each record is renewed about twice before it expires, nodes and records do
//! not act in step, and after a restart what is overdue comes spread over time.

use std::time::Duration;

use qadom_routing::{Key, Moment};
use rand_core::Rng;

use crate::publications::promise::Promise;
use crate::time::{Time, jittered};

/// Nodes that a region should hold at the least: enough for the k closest of every slot in it, and
/// so few that some lookups find them all.
const REGION_NODES: f64 = 40.0;
/// The deepest region.
const REGION_BITS_MAX: u32 = 32;
/// The shortest time after which something is tried again.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// How far ahead of its rate the renewal may send.
const BURST: Duration = Duration::from_secs(1);

/// The time between two renewals of a record that lives this long.
pub(crate) fn interval(ttl: Duration) -> Duration {
    ttl / 3
}

/// How much earlier than its time a record is renewed along with others of its region.
pub(crate) fn window(ttl: Duration) -> Duration {
    ttl / 12
}

/// When a record is due that was renewed now.
pub(crate) fn next(ttl: Duration, now: Moment, rng: &mut impl Rng) -> Moment {
    now + jittered(interval(ttl), rng)
}

/// When a record is due that could not be renewed now.
pub(crate) fn retry(ttl: Duration, now: Moment, rng: &mut impl Rng) -> Moment {
    now + jittered((interval(ttl) / 8).max(RETRY_MIN), rng)
}

/// When a promise that the journal kept is due. What would be due already comes at random within
/// [`window`], and within half of the life that is left.
pub(crate) fn after_restart(promise: &Promise, now: Time, rng: &mut impl Rng) -> Moment {
    let longest = interval(promise.ttl()) + interval(promise.ttl()) / 10;
    let planned = Duration::from_secs(promise.renewed_at) + jittered(interval(promise.ttl()), rng);
    let left = planned.saturating_sub(Duration::from_micros(now.utc_micros));
    if !left.is_zero() {
        return now.moment + left.min(longest);
    }
    let life = promise.expires_at.saturating_sub(now.utc_seconds());
    let half = Duration::from_secs(life) / 2;
    let spread = match window(promise.ttl()) {
        window if life == 0 => window,
        window => window.min(half),
    };
    now.moment + spread.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX))
}

/// The first bits that the slots of one region share, in a network of about this many nodes.
pub(crate) fn region_bits(nodes: f64) -> u32 {
    let mut bits = 0;
    let mut inside = nodes / 2.0;
    while inside >= REGION_NODES && bits < REGION_BITS_MAX {
        inside /= 2.0;
        bits += 1;
    }
    bits
}

/// The first and the last key that share these many bits with a key.
pub(crate) fn region(key: &Key, bits: u32) -> (Key, Key) {
    let (mut start, mut end) = (*key.as_bytes(), *key.as_bytes());
    for (first_bit, (start, end)) in (0..).step_by(8).zip(start.iter_mut().zip(&mut end)) {
        let shared = bits.saturating_sub(first_bit);
        let free = 0xff_u8.checked_shr(shared).unwrap_or(0);
        *start &= !free;
        *end |= free;
    }
    (Key::from_bytes(start), Key::from_bytes(end))
}

/// How fast renewals may be sent: bytes for each second, and a burst of one second.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// Until when the rate is used up.
    spent_until: Moment,
    /// Bytes that were sent.
    sent: u64,
}

impl Pace {
    /// A pace of this many bytes for each second, at least 1.
    pub(crate) const fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: if bytes_per_second == 0 {
                1
            } else {
                bytes_per_second
            },
            spent_until: Moment::ORIGIN,
            sent: 0,
        }
    }

    /// When the next message may be sent, at the earliest.
    pub(crate) fn free_at(&self) -> Moment {
        self.spent_until - BURST
    }

    /// Notes a message that is sent now.
    pub(crate) fn spend(&mut self, bytes: usize, now: Moment) {
        let micros = (bytes as u64).saturating_mul(1_000_000);
        let micros = micros.div_ceil(self.bytes_per_second);
        self.spent_until = self.spent_until.max(now) + Duration::from_micros(micros);
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// The bytes that were sent and that the rate has made up for: over any span no more of them come
    /// than the rate times the span.
    pub(crate) fn paid(&self, now: Moment) -> u64 {
        let ahead = self.spent_until.since(now).as_micros() * u128::from(self.bytes_per_second);
        let ahead = u64::try_from(ahead.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.sent.saturating_sub(ahead)
    }
}

#[cfg(test)]
mod tests;
