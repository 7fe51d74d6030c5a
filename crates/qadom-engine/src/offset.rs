//! How far the own wall clock is off, by the clocks of peers.
//!
//! What must stay true: one address group (in local mode one peer) has one sample, so that a few
//! machines cannot turn the clock, and a clock that is nearly right is left alone.

use std::collections::VecDeque;
use std::time::Duration;

use qadom_routing::Moment;

use crate::addresses::Voter;
use crate::time::Time;

/// Samples that count, the last ones.
const SAMPLES: usize = 64;
/// Samples below which the own clock is believed.
const ENOUGH: usize = 5;
/// The offset up to which the own clock is believed, in microseconds.
const TOLERANCE: i64 = 60_000_000;

/// The last sample of each voter: the peer's clock less the own one, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct ClockOffset {
    samples: VecDeque<(Voter, i64)>,
    /// What follows from them: every input of the engine asks for it.
    micros: i64,
}

impl ClockOffset {
    /// Takes what a peer's clock showed half a round trip ago. `now` is uncorrected.
    pub(crate) fn note(&mut self, voter: Voter, peer_micros: u64, rtt: Duration, now: Time) {
        let half = u64::try_from(rtt.as_micros() / 2).unwrap_or(u64::MAX);
        let offset = difference(peer_micros.saturating_add(half), now.utc_micros);
        self.samples.retain(|(other, _)| *other != voter);
        self.samples.push_back((voter, offset));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        self.micros = self.median();
    }

    /// Whether there are enough samples to know the time.
    pub(crate) fn is_known(&self) -> bool {
        self.samples.len() >= ENOUGH
    }

    /// What has to be added to the own clock, in microseconds: the median of the samples, or 0.
    pub(crate) const fn micros(&self) -> i64 {
        self.micros
    }

    fn median(&self) -> i64 {
        if !self.is_known() {
            return 0;
        }
        let mut offsets: Vec<i64> = self.samples.iter().map(|(_, offset)| *offset).collect();
        offsets.sort_unstable();
        let median = offsets.get(offsets.len() / 2).copied().unwrap_or_default();
        if median.abs() > TOLERANCE { median } else { 0 }
    }

    /// What is known of the true time by an engine that was started then, and for so long believes no clock alone.
    pub(crate) fn correction(&self, started: Moment, grace: Duration) -> Correction {
        Correction {
            micros: self.micros(),
            known_from: if self.is_known() {
                started
            } else {
                started + grace
            },
        }
    }
}

/// What an engine knows of the true time: what it adds to the wall clock, and from when on anything may count as
/// expired. Two that are equal say the same for all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    micros: i64,
    known_from: Moment,
}

impl Correction {
    /// The time as peers see it.
    pub(crate) fn correct(self, now: Time) -> Time {
        Time {
            utc_micros: now.utc_micros.saturating_add_signed(self.micros),
            ..now
        }
    }

    /// Whether anything may count as expired: enough clocks of peers are known, or the own one was given time to be
    /// set.
    pub(crate) fn is_time_known(self, now: Time) -> bool {
        now.moment >= self.known_from
    }
}

fn difference(one: u64, other: u64) -> i64 {
    let magnitude = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one < other { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Group;

    const NOW: Time = Time {
        moment: Moment::ORIGIN,
        utc_micros: 1_800_000_000_000_000,
    };

    fn voter(number: u8) -> Voter {
        Voter::Group(Group::of(([10, number, 0, 1], 1).into()))
    }

    fn clock(offsets: &[i64]) -> ClockOffset {
        let mut clock = ClockOffset::default();
        for (number, offset) in (0..).zip(offsets) {
            let peer = NOW.utc_micros.saturating_add_signed(*offset);
            clock.note(voter(number), peer, Duration::ZERO, NOW);
        }
        clock
    }

    #[test]
    fn five_samples_and_more_than_a_minute_are_needed() {
        assert_eq!(clock(&[TOLERANCE + 1; 4]).micros(), 0);
        assert_eq!(clock(&[TOLERANCE + 1; 5]).micros(), TOLERANCE + 1);
        assert_eq!(clock(&[TOLERANCE; 5]).micros(), 0);
        assert_eq!(clock(&[-TOLERANCE - 1; 5]).micros(), -TOLERANCE - 1);
        let off = clock(&[-TOLERANCE - 1; 5]);
        let correction = off.correction(NOW.moment, Duration::from_mins(1));
        assert_eq!(
            correction.correct(NOW).utc_micros,
            NOW.utc_micros - 60_000_001
        );
        assert!(correction.is_time_known(NOW));
    }

    #[test]
    fn the_time_is_known_by_five_clocks_or_after_the_grace() {
        let grace = Duration::from_mins(1);
        let at = |moment| Time { moment, ..NOW };
        for (clock, expected) in [
            (clock(&[0; 4]), NOW.moment + grace),
            (clock(&[0; 5]), NOW.moment),
        ] {
            let correction = clock.correction(NOW.moment, grace);
            assert!(correction.is_time_known(at(expected)));
            let before = at(expected - Duration::from_micros(1));
            assert_eq!(correction.is_time_known(before), expected == NOW.moment);
        }
    }

    #[test]
    fn the_median_counts_and_a_group_counts_once() {
        let mut clock = clock(&[0, 0, 90_000_000, 91_000_000, i64::MAX]);
        assert_eq!(clock.micros(), 90_000_000);
        for _ in 0..100 {
            clock.note(voter(9), 0, Duration::ZERO, NOW);
        }
        assert_eq!(clock.samples.len(), 6);
        assert_eq!(clock.micros(), 90_000_000);
    }

    #[test]
    fn half_a_round_trip_is_added_and_old_samples_leave() {
        let mut clock = ClockOffset::default();
        let later = NOW.utc_micros + 70_000_000;
        for number in 0..100 {
            clock.note(voter(number), later, Duration::from_secs(2), NOW);
        }
        assert_eq!(clock.samples.len(), SAMPLES);
        assert_eq!(clock.micros(), 71_000_000);
    }
}
