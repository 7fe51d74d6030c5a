//! Time as an argument.
//!
//! What must stay true: nothing in this crate asks a clock. A driver measures, everything below it
//! is told.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a monotonic clock, in microseconds since an origin that the driver chose.
///
/// # Examples
///
/// ```
/// use qadom_routing::Moment;
/// use std::time::Duration;
///
/// let later = Moment::ORIGIN + Duration::from_secs(5);
/// assert_eq!(later.since(Moment::ORIGIN), Duration::from_secs(5));
/// assert_eq!(later.as_micros(), 5_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The origin of the driver's clock.
    pub const ORIGIN: Self = Self(0);

    /// Takes microseconds since the driver's origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the driver's origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time that passed since `earlier`, zero when `earlier` lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at the end of time, some 584 000 years after the origin.
    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// Saturates at the origin.
    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}
