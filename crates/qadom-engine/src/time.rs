//! The time that comes with every input.

use qadom_routing::Moment;

/// What the driver's clocks showed when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// The monotonic clock, for timers and round trips.
    pub moment: Moment,
    /// The wall clock in microseconds of UTC since 1970, uncorrected, for expiry.
    pub utc_micros: u64,
}

impl Time {
    /// The wall clock in whole seconds.
    pub const fn utc_seconds(self) -> u64 {
        self.utc_micros / 1_000_000
    }
}
