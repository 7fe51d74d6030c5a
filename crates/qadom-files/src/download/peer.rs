//! One holder in a download: what it has, what it was asked for, how fast it is.
//!
//! What must stay true: how much a peer is asked for ahead follows what it was measured to deliver,
//! never what it says. Time is an argument.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::{CHUNK_SIZE, ChunkSet};

/// Chunks that a peer may be asked for at a time.
pub(super) const REQUESTS_PER_PEER_MAX: usize = 32;

/// Chunks that a peer is asked for at a time until one of them verified.
const FIRST_REQUESTS: usize = 2;

/// How long a peer shall be busy with what it was asked for, beyond a round trip.
const AHEAD: Duration = Duration::from_millis(200);

/// The least time over which a rate is measured.
const RATE_INTERVAL: Duration = Duration::from_millis(100);

/// After so long without a byte a peer that was asked has stalled; longer on slow lines.
const STALL_AFTER: Duration = Duration::from_secs(3);

/// The longest silence that a slow line excuses.
const STALL_AFTER_MAX: Duration = Duration::from_secs(15);

/// A request that brings nothing for so long is given up, though its peer delivers others.
const REQUEST_STALL: Duration = Duration::from_secs(30);

/// Within so long a peer that was asked brings at least [`TRICKLE_BYTES`].
const TRICKLE_INTERVAL: Duration = Duration::from_secs(10);

/// What a peer brings in [`TRICKLE_INTERVAL`] at least: 1 KiB/s.
const TRICKLE_BYTES: u64 = 10 * 1024;

/// Failures in a row after which a peer is given up.
pub(super) const STRIKES_MAX: u32 = 3;

/// Chunks that a peer may lack though it said that it has them: what it had may have given way.
pub(super) const FALSE_CLAIMS_MAX: u32 = 64;

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a holder has of the file.
#[derive(Clone, Debug)]
pub enum Availability {
    /// All of it.
    All,
    /// These chunks.
    Some(ChunkSet),
}

/// A chunk that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) sent: Duration,
    pub(super) last: Duration,
    pub(super) received: u64,
}

/// Bytes per second, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    since: Duration,
    bytes: u64,
    per_second: u64,
}

impl Rate {
    /// Begins to measure after a time that does not count.
    pub(super) fn resume(&mut self, now: Duration) {
        self.since = now;
        self.bytes = 0;
    }

    /// Counts bytes that came.
    pub(super) fn count(&mut self, now: Duration, bytes: u64) {
        self.bytes += bytes;
        let took = now.saturating_sub(self.since);
        if took >= RATE_INTERVAL {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let sample = self.bytes.saturating_mul(1_000_000) / micros.max(1);
            self.per_second = match self.per_second {
                0 => sample,
                old => old / 4 * 3 + sample / 4,
            };
            self.resume(now);
        }
    }

    /// Zero until measured.
    pub(super) const fn per_second(&self) -> u64 {
        self.per_second
    }

    /// How long so many bytes take; `None` when that is not known.
    pub(super) fn time_for(&self, bytes: u64) -> Option<Duration> {
        let micros = bytes
            .saturating_mul(1_000_000)
            .checked_div(self.per_second)?;
        Some(Duration::from_micros(micros))
    }
}

/// Why a peer's work is taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lateness {
    Stalled,
    Trickling,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) availability: Availability,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) rate: Rate,
    /// Where it goes on when all chunks are as rare.
    pub(super) cursor: u64,
    /// Nothing more to ask it for until something changes.
    pub(super) is_dry: bool,
    pub(super) strikes: u32,
    pub(super) false_claims: u32,
    pub(super) paused_until: Duration,
    window: usize,
    /// The shortest time from a request to its first byte.
    latency: Option<Duration>,
    last_byte: Duration,
    /// When the present trickle interval began, and what came in it.
    interval: (Duration, u64),
}

impl Peer {
    pub(super) fn new(
        now: Duration,
        availability: Availability,
        latency: Option<Duration>,
        cursor: u64,
    ) -> Self {
        Self {
            availability,
            flights: BTreeMap::new(),
            rate: Rate::default(),
            cursor,
            is_dry: false,
            strikes: 0,
            false_claims: 0,
            paused_until: Duration::ZERO,
            window: FIRST_REQUESTS,
            latency,
            last_byte: now,
            interval: (now, 0),
        }
    }

    /// Whether it says that it has a chunk.
    pub(super) fn has(&self, chunk: u64) -> bool {
        match &self.availability {
            Availability::All => true,
            Availability::Some(chunks) => chunks.contains(chunk),
        }
    }

    /// The 64 chunks of a word that it says it has.
    pub(super) fn word(&self, word: u64) -> u64 {
        match &self.availability {
            Availability::All => u64::MAX,
            Availability::Some(chunks) => chunks.word(word),
        }
    }

    /// Takes back that it has a chunk.
    pub(super) fn lacks(&mut self, chunk: u64, chunks: u64) {
        if let Availability::All = self.availability {
            self.availability = Availability::Some(ChunkSet::full(chunks));
        }
        if let Availability::Some(set) = &mut self.availability {
            set.remove(chunk);
        }
    }

    /// Whether it may be asked for one more.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        now >= self.paused_until && self.flights.len() < self.window
    }

    /// Notes a request.
    pub(super) fn ask(&mut self, now: Duration, chunk: u64) {
        if self.flights.is_empty() {
            self.rate.resume(now);
            self.last_byte = now;
            self.interval = (now, 0);
        }
        let flight = Flight {
            sent: now,
            last: now,
            received: 0,
        };
        self.flights.insert(chunk, flight);
    }

    /// Counts bytes of a chunk; how many of them count as received.
    pub(super) fn receive(&mut self, now: Duration, chunk: u64, bytes: u64) -> u64 {
        let Some(flight) = self.flights.get_mut(&chunk) else {
            return 0;
        };
        if flight.received == 0 {
            let latency = now.saturating_sub(flight.sent);
            self.latency = Some(self.latency.map_or(latency, |known| known.min(latency)));
        }
        flight.received += bytes;
        flight.last = now;
        self.last_byte = now;
        self.interval.1 += bytes;
        self.rate.count(now, bytes);
        bytes
    }

    /// A chunk of it verified: it may be asked for as much as keeps it busy.
    pub(super) fn verified(&mut self) {
        self.strikes = 0;
        self.false_claims = self.false_claims.saturating_sub(1);
        let target = self.target();
        if self.window < target {
            self.window += 1;
        } else if self.window > target {
            self.window -= 1;
        }
    }

    /// How many chunks keep it busy for a round trip and [`AHEAD`].
    fn target(&self) -> usize {
        let rate = self.rate.per_second();
        if rate == 0 {
            return REQUESTS_PER_PEER_MAX;
        }
        let ahead = self.latency.unwrap_or_default() + AHEAD;
        let millis = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
        let bytes = rate.saturating_mul(millis) / 1000;
        let chunks = usize::try_from(bytes / u64::from(CHUNK_SIZE)).unwrap_or(usize::MAX);
        chunks.saturating_add(2).min(REQUESTS_PER_PEER_MAX)
    }

    /// Puts it aside for a while; whether it failed too often.
    pub(super) fn strike(&mut self, now: Duration) -> bool {
        self.paused_until = now + FIRST_PAUSE * 2_u32.saturating_pow(self.strikes);
        self.strikes += 1;
        self.window = FIRST_REQUESTS;
        self.strikes >= STRIKES_MAX
    }

    /// How long until a chunk that it was asked for should be here, behind what it was asked for
    /// before. Of whom nothing is known, it is expected to take as long again as it took.
    pub(super) fn remaining(&self, now: Duration, flight: &Flight, length: u64) -> Duration {
        let before = self
            .flights
            .values()
            .filter(|other| other.sent <= flight.sent);
        let queued: u64 = before
            .map(|other| length.saturating_sub(other.received))
            .sum();
        let waited = now.saturating_sub(flight.sent);
        let silent = now.saturating_sub(flight.last);
        self.rate.time_for(queued).unwrap_or(waited).max(silent)
    }

    /// How long it would take for one chunk more.
    pub(super) fn time_for_next(&self, length: u64) -> Option<Duration> {
        let queued: u64 = self
            .flights
            .values()
            .map(|flight| length.saturating_sub(flight.received))
            .sum();
        Some(self.latency? + self.rate.time_for(queued + length)?)
    }

    /// Whether it has stalled, or brings too little to go on with.
    pub(super) fn lateness(&mut self, now: Duration) -> Option<Lateness> {
        if self.flights.is_empty() {
            return None;
        }
        if now >= self.last_byte + self.patience() {
            return Some(Lateness::Stalled);
        }
        if now >= self.interval.0 + TRICKLE_INTERVAL {
            if self.interval.1 < TRICKLE_BYTES {
                return Some(Lateness::Trickling);
            }
            self.interval = (now, 0);
        }
        None
    }

    /// Requests that bring nothing while others do.
    pub(super) fn stuck(&self, now: Duration) -> Vec<u64> {
        let is_stuck = |flight: &Flight| now >= flight.last + REQUEST_STALL;
        let stuck = self.flights.iter().filter(|(_, flight)| is_stuck(flight));
        stuck.map(|(chunk, _)| *chunk).collect()
    }

    /// When it has to be looked at again; `None` when nothing is asked of it.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let pause = (self.paused_until > now).then_some(self.paused_until);
        let oldest = self.flights.values().map(|flight| flight.last).min();
        let late = oldest.map(|oldest| {
            (self.last_byte + self.patience())
                .min(self.interval.0 + TRICKLE_INTERVAL)
                .min(oldest + REQUEST_STALL)
        });
        [pause, late].into_iter().flatten().min()
    }

    fn patience(&self) -> Duration {
        let latency = self.latency.unwrap_or_default();
        (latency * 8).clamp(STALL_AFTER, STALL_AFTER_MAX)
    }
}
