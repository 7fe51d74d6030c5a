//! Round-trip estimate of one peer, and the waits that follow from it (the form of RFC 9002,
//! sections 5 and 6.2).
//!
//! What must stay true: only an answer to a request that was sent once gives a sample (Karn).

use core::time::Duration;

/// The wait for an answer while there is no sample.
pub(crate) const FIRST_TIMEOUT: Duration = Duration::from_millis(500);

/// The shortest wait for an answer.
const FLOOR: Duration = Duration::from_millis(5);

/// The longest time that pieces of a message are spread over: between two of them the other side
/// never waits as long as it does without a sample.
const SPREAD: Duration = Duration::from_millis(50);

/// What timers can tell apart.
const GRANULARITY: Duration = Duration::from_millis(1);

/// Smoothed round trip and its variation, kept in microseconds to stay small; no sample yet when
/// `smoothed` is zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smoothed: u32,
    variation: u32,
}

impl Rtt {
    /// Takes a measured round trip.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let sample = u32::try_from(rtt.as_micros())
            .unwrap_or(u32::MAX / 8)
            .clamp(1, u32::MAX / 8);
        if self.smoothed == 0 {
            self.smoothed = sample;
            self.variation = sample / 2;
        } else {
            let difference = self.smoothed.abs_diff(sample);
            self.variation = (3 * self.variation + difference) / 4;
            self.smoothed = ((7 * self.smoothed + sample) / 8).max(1);
        }
    }

    /// How long to wait for an answer before the first resend; doubles with each.
    pub(crate) fn timeout(self) -> Duration {
        self.wait(4).map_or(FIRST_TIMEOUT, |wait| wait.max(FLOOR))
    }

    /// When a request counts as slow, so that a lookup may ask somebody else meanwhile; never
    /// after the timeout.
    pub(crate) fn slow_after(self) -> Duration {
        self.wait(2)
            .map_or(FIRST_TIMEOUT, |wait| wait.min(self.timeout()))
    }

    /// How long silence lasts before missing pieces are asked for.
    pub(crate) fn silence(self) -> Duration {
        if self.smoothed == 0 {
            Duration::from_millis(100)
        } else {
            self.timeout()
        }
    }

    /// How far apart this many pieces of a message leave: they are spread over a quarter of a round
    /// trip. `None` when they leave at once: there is one, or no sample, or they would be closer
    /// than timers can tell apart.
    pub(crate) fn gap(self, pieces: u32) -> Option<Duration> {
        let spread = (self.smoothed()? / 4).min(SPREAD);
        let gap = spread.checked_div(pieces.saturating_sub(1))?;
        (gap >= GRANULARITY).then_some(gap)
    }

    /// The smoothed round trip, if there was a sample.
    pub(crate) fn smoothed(self) -> Option<Duration> {
        (self.smoothed != 0).then(|| Duration::from_micros(self.smoothed.into()))
    }

    fn wait(self, variations: u32) -> Option<Duration> {
        let spread = Duration::from_micros(self.variation.into()) * variations;
        self.smoothed()
            .map(|smoothed| smoothed + spread.max(GRANULARITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_rfc_9002() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), Duration::from_millis(500));
        rtt.sample(Duration::from_millis(100));
        // srtt 100 ms, rttvar 50 ms.
        assert_eq!(rtt.timeout(), Duration::from_millis(300));
        assert_eq!(rtt.slow_after(), Duration::from_millis(200));
        rtt.sample(Duration::from_millis(140));
        // srtt 105 ms, rttvar 0.75 x 50 + 0.25 x 40 = 47.5 ms.
        assert_eq!(rtt.timeout(), Duration::from_millis(295));
    }

    #[test]
    fn pieces_are_spread_over_a_quarter_of_a_round_trip() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.gap(4), None);
        rtt.sample(Duration::from_millis(120));
        assert_eq!(rtt.gap(1), None);
        assert_eq!(rtt.gap(2), Some(Duration::from_millis(30)));
        assert_eq!(rtt.gap(4), Some(Duration::from_millis(10)));
        assert!(rtt.gap(2) < Some(rtt.silence()));
        let sampled = |millis| {
            let mut rtt = Rtt::default();
            rtt.sample(Duration::from_millis(millis));
            rtt
        };
        assert_eq!(sampled(2000).gap(6), Some(Duration::from_millis(10)));
        assert!(sampled(2000).gap(2) < Some(Rtt::default().silence()));
        assert_eq!(sampled(11).gap(4), None);
    }

    #[test]
    fn the_timeout_never_falls_below_five_milliseconds() {
        let mut rtt = Rtt::default();
        for _ in 0..100 {
            rtt.sample(Duration::from_micros(80));
        }
        assert_eq!(rtt.timeout(), Duration::from_millis(5));
        assert!(rtt.slow_after() <= rtt.timeout());
    }

    #[test]
    fn absurd_samples_do_not_overflow() {
        let mut rtt = Rtt::default();
        for _ in 0..100 {
            rtt.sample(Duration::MAX);
            rtt.sample(Duration::ZERO);
        }
        assert!(rtt.timeout() < Duration::from_mins(40));
    }
}
