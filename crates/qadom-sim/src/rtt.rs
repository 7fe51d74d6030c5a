//! The round-trip estimate of one peer, and the waits that follow from it (the form of RFC 9002,
//! sections 5 and 6.2), as the transport has them.
//!
//! What must stay true: only an answer to a request that was sent once gives a sample (Karn).

use std::time::Duration;

/// The wait for an answer while there is no sample.
pub(crate) const FIRST_TIMEOUT: Duration = Duration::from_millis(500);
/// The shortest wait for an answer.
const FLOOR: Duration = Duration::from_millis(5);
/// What timers can tell apart.
const GRANULARITY: Duration = Duration::from_millis(1);

/// Smoothed round trip and its variation.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed: Duration,
    variation: Duration,
}

/// What is known of the round trips to one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt(Option<Estimate>);

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.0 = Some(match self.0 {
            None => Estimate {
                smoothed: rtt,
                variation: rtt / 2,
            },
            Some(Estimate {
                smoothed,
                variation,
            }) => Estimate {
                smoothed: (smoothed * 7 + rtt) / 8,
                variation: (variation * 3 + smoothed.abs_diff(rtt)) / 4,
            },
        });
    }

    /// How long to wait for an answer before the first resend; doubles with each.
    pub(crate) fn timeout(&self) -> Duration {
        self.wait(4).map_or(FIRST_TIMEOUT, |wait| wait.max(FLOOR))
    }

    /// When a request counts as slow, so that a lookup may ask somebody else meanwhile.
    pub(crate) fn slow_after(&self) -> Duration {
        self.wait(2).unwrap_or(FIRST_TIMEOUT)
    }

    fn wait(&self, variations: u32) -> Option<Duration> {
        self.0
            .map(|estimate| estimate.smoothed + (estimate.variation * variations).max(GRANULARITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_rfc_9002() {
        let mut rtt = Rtt::default();
        assert_eq!(
            (rtt.timeout(), rtt.slow_after()),
            (FIRST_TIMEOUT, FIRST_TIMEOUT)
        );
        rtt.sample(Duration::from_millis(100));
        // srtt 100 ms, rttvar 50 ms.
        assert_eq!(rtt.timeout(), Duration::from_millis(300));
        assert_eq!(rtt.slow_after(), Duration::from_millis(200));
        rtt.sample(Duration::from_millis(140));
        // srtt 105 ms, rttvar 0.75 x 50 + 0.25 x 40 = 47.5 ms.
        assert_eq!(rtt.timeout(), Duration::from_millis(295));
    }
}
