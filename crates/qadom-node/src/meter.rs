//! How fast a count rises.
//!
//! What must stay true: a count that never rises by more than a rate times a span is never told as
//! more than that rate. Time is told; nothing here reads a clock.

use std::time::Duration;

/// The shortest span that a rate is taken over, so that whoever looks often sees no spikes.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Two earlier looks at a count, the later one at least [`SPAN_MIN`] after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    before: (Duration, u64),
    last: (Duration, u64),
}

impl Meter {
    /// A count that is 0 as yet.
    pub(crate) const fn new(now: Duration) -> Self {
        Self {
            before: (now, 0),
            last: (now, 0),
        }
    }

    /// How much a second the count has risen since an earlier look that is at least [`SPAN_MIN`] ago,
    /// rounded down. This is a look, too.
    pub(crate) fn per_second(&mut self, now: Duration, count: u64) -> u64 {
        if now.saturating_sub(self.last.0) >= SPAN_MIN {
            self.before = std::mem::replace(&mut self.last, (now, count));
        }
        let (at, counted) = self.before;
        let span = now.saturating_sub(at).max(SPAN_MIN);
        let risen = u128::from(count.saturating_sub(counted)) * 1_000_000_000;
        u64::try_from(risen / span.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_since_an_earlier_look() {
        let at = Duration::from_millis;
        let mut meter = Meter::new(at(5000));
        assert_eq!(meter.per_second(at(5000), 0), 0);
        assert_eq!(meter.per_second(at(5500), 100), 100, "of one second");
        assert_eq!(meter.per_second(at(7000), 200), 100);
        assert_eq!(meter.per_second(at(7100), 210), 100, "since 5.0 s");
        assert_eq!(meter.per_second(at(8000), 210), 10, "since 7.0 s");
        assert_eq!(meter.per_second(at(68_000), 210), 0);
    }

    #[test]
    fn no_rate_is_told_that_never_was() {
        // Ten a millisecond, whenever somebody looks.
        let mut meter = Meter::new(Duration::ZERO);
        let mut millis = 0;
        for pause in (1..3000).chain([0, 1, 999, 1, 1000, 1]) {
            millis += pause;
            let told = meter.per_second(Duration::from_millis(millis), 10 * millis);
            assert!(told <= 10_000, "{told}");
        }
    }
}
