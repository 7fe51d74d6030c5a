//! The time that comes with every input.

use std::time::Duration;

use qadom_routing::Moment;
use rand_core::Rng;

/// What the driver's clocks showed when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// The monotonic clock, for timers and round trips.
    pub moment: Moment,
    /// The wall clock in microseconds of UTC since 1970, for expiry. The driver gives it as it is,
    /// the engine corrects it by the clocks of peers.
    pub utc_micros: u64,
}

impl Time {
    /// The wall clock in whole seconds.
    pub const fn utc_seconds(self) -> u64 {
        self.utc_micros / 1_000_000
    }
}

/// The span, up to a tenth shorter or longer, so that nodes do not act in step.
pub(crate) fn jittered(span: Duration, rng: &mut impl Rng) -> Duration {
    let tenths = f64::from(rng.next_u32()) / f64::from(u32::MAX);
    span.mul_f64(0.9 + 0.2 * tenths)
}
