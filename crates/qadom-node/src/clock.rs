//! The one file of the repository that reads clocks: the monotonic one for timers, the wall clock
//! for expiry.
//!
//! What must stay true: the monotonic one never goes back, and the wall clock never shows less than
//! the last time that an earlier run saved. Everything below the driver is told the time.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use qadom_engine::Time;
use qadom_routing::Moment;

/// The moments begin this long before the start, so that what was before it has one too: since when
/// saved contacts have been known.
const BEFORE: Duration = Duration::from_hours(24 * 400);

/// Measures the time since a node's start. Copies of one clock agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// The last time that an earlier run saved: the wall clock at the origin is taken as no less.
    floor: Duration,
}

impl Clock {
    /// Starts now; `saved_utc_micros` is the last time that an earlier run wrote down, or 0.
    pub(crate) fn start(saved_utc_micros: u64) -> Self {
        Self {
            origin: Instant::now(),
            floor: Duration::from_micros(saved_utc_micros),
        }
    }

    /// What both clocks show.
    pub(crate) fn now(&self) -> Time {
        let elapsed = self.origin.elapsed();
        Time {
            moment: Moment::ORIGIN + BEFORE + elapsed,
            utc_micros: micros(wall_clock().max(self.floor + elapsed)),
        }
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The instant of a moment, to sleep until.
    pub(crate) fn instant(&self, moment: Moment) -> tokio::time::Instant {
        (self.origin + moment.since(Moment::ORIGIN + BEFORE)).into()
    }
}

/// The wall clock as it is in seconds of UTC, for notes to people.
pub(crate) fn utc_seconds() -> u64 {
    wall_clock().as_secs()
}

/// The monotonic clock as it is, for what counts time by itself.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The time since this was first asked, for what has no node and so no clock of its own, such as a log.
pub fn since_start() -> Duration {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
