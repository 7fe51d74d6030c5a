//! How long sessions last: distributions with a stated median.
//!
//! What must stay true: a draw is the same on every machine. Logarithms and powers come from `libm`,
//! which computes them by additions and multiplications alone, not from the system.

use std::time::Duration;

use crate::chance::Chance;

/// A distribution of spans of time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use qadom_sim::Lengths;
///
/// let lengths = Lengths::Exponential { median: Duration::from_hours(2) };
/// assert_eq!(lengths.median(), Duration::from_hours(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lengths {
    /// Without memory: who stayed long is as likely to leave in the next hour as who came just now.
    Exponential {
        /// Half of the draws are below it.
        median: Duration,
    },
    /// With a shape below 1, as measured in file-sharing networks: many leave soon, and who stayed
    /// long is likely to stay.
    Weibull {
        /// Half of the draws are below it.
        median: Duration,
        /// 1 is exponential; taken as at least 0.1.
        shape: f64,
    },
}

/// The longest draw: what would outlast every simulation anyway.
const LONGEST: Duration = Duration::from_hours(24 * 365);

impl Lengths {
    /// Half of the draws are below it.
    pub const fn median(&self) -> Duration {
        match self {
            Self::Exponential { median } | Self::Weibull { median, .. } => *median,
        }
    }

    /// One span, at most a year.
    pub(crate) fn draw(&self, chance: &mut Chance) -> Duration {
        // In units of the median: the inverse of the distribution at a random point.
        let halves = -libm::log2(chance.positive());
        let medians = match self {
            Self::Exponential { .. } => halves,
            Self::Weibull { shape, .. } => libm::pow(halves, 1.0 / shape.max(0.1)),
        };
        let seconds = self.median().as_secs_f64() * medians;
        Duration::try_from_secs_f64(seconds).map_or(LONGEST, |span| span.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(lengths: Lengths) -> Vec<Duration> {
        let mut chance = Chance::new(3);
        let mut draws: Vec<_> = (0..20_001).map(|_| lengths.draw(&mut chance)).collect();
        draws.sort_unstable();
        draws
    }

    #[test]
    fn half_of_the_draws_are_below_the_median() {
        let median = Duration::from_hours(2);
        for lengths in [
            Lengths::Exponential { median },
            Lengths::Weibull { median, shape: 0.5 },
            Lengths::Weibull { median, shape: 2.0 },
        ] {
            let middle = draws(lengths)[10_000].as_secs_f64();
            let ratio = middle / median.as_secs_f64();
            assert!((0.95..1.05).contains(&ratio), "{lengths:?}: {ratio}");
        }
    }

    #[test]
    fn a_shape_below_one_has_more_short_and_more_long_sessions() {
        let median = Duration::from_hours(2);
        let (even, heavy) = (
            draws(Lengths::Exponential { median }),
            draws(Lengths::Weibull { median, shape: 0.5 }),
        );
        assert!(heavy[2_000] < even[2_000] / 2);
        assert!(heavy[18_000] > 2 * even[18_000]);
    }
}
