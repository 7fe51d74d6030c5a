//! How often each place in the program may say something.
//!
//! What must stay true: time is an argument; what is left out is counted until it is told; there are no
//! more entries than places in the program.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Lines that a place may say at once.
const BURST: u32 = 20;

/// How long until it may say one more.
const EVERY: Duration = Duration::from_secs(1);

/// Whether a line is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is, and so many of the same place before it were not.
    Told {
        /// Lines left out since the last one that was told.
        left_out: u64,
    },
    /// It is not.
    LeftOut,
}

/// Counts the lines of each place.
#[derive(Debug)]
pub(super) struct Limiter<P> {
    places: HashMap<P, Place>,
}

impl<P> Default for Limiter<P> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Lines that it may say now.
    left: u32,
    /// When the last one was added.
    since: Duration,
    left_out: u64,
}

impl<P: Eq + Hash> Limiter<P> {
    /// Decides on a line of a place.
    pub(super) fn admit(&mut self, place: P, now: Duration) -> Verdict {
        let place = self.places.entry(place).or_insert(Place {
            left: BURST,
            since: now,
            left_out: 0,
        });
        let passed = now.saturating_sub(place.since).as_secs() / EVERY.as_secs();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(u32::MAX);
            place.left = place.left.saturating_add(more).min(BURST);
            place.since = now;
        }
        if place.left == 0 {
            place.left_out += 1;
            return Verdict::LeftOut;
        }
        place.left -= 1;
        Verdict::Told {
            left_out: std::mem::take(&mut place.left_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_a_burst_then_a_line_a_second_and_tells_what_was_left_out() {
        let mut limiter = Limiter::default();
        let now = Duration::from_secs(7);
        for _ in 0..BURST {
            assert_eq!(limiter.admit('a', now), Verdict::Told { left_out: 0 });
        }
        for _ in 0..5 {
            assert_eq!(limiter.admit('a', now), Verdict::LeftOut);
        }
        assert_eq!(limiter.admit('b', now), Verdict::Told { left_out: 0 });
        let later = now + EVERY;
        assert_eq!(limiter.admit('a', later), Verdict::Told { left_out: 5 });
        assert_eq!(limiter.admit('a', later), Verdict::LeftOut);
        let much_later = later + EVERY * 1000;
        for left_out in [1, 0] {
            assert_eq!(limiter.admit('a', much_later), Verdict::Told { left_out });
        }
    }
}
