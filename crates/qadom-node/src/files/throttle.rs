//! A limit in bytes per second that all uploads of a node share.
//!
//! What must stay true: over any second no more goes out than the limit and one chunk, and whoever
//! waits does so without holding anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// Hands out the right to send bytes.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// None when there is no limit.
    bytes_per_second: Option<u64>,
    spent: Mutex<Spent>,
}

/// What was handed out.
#[derive(Debug, Default)]
struct Spent {
    /// When it will have been sent, counted as the clock does.
    until: Duration,
    /// Bytes since the start.
    bytes: u64,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.map(|rate| rate.max(1)),
            spent: Mutex::default(),
        }
    }

    /// The limit; none when there is none.
    pub(crate) const fn limit(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// The bytes since the start that may have been sent by now: under a limit, over any span no more
    /// come to it than the limit times the span.
    pub(crate) fn sent(&self, now: Duration) -> u64 {
        let spent = self.lock();
        let ahead = spent.until.saturating_sub(now).as_nanos();
        let rate = u128::from(self.bytes_per_second.unwrap_or(0));
        let ahead = (ahead * rate).div_ceil(1_000_000_000);
        let ahead = u64::try_from(ahead).unwrap_or(u64::MAX);
        spent.bytes.saturating_sub(ahead)
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` more may be sent.
    pub(crate) async fn take(&self, clock: &Clock, bytes: usize) {
        if let Some(wait) = self.reserve(clock.elapsed(), bytes) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a place in the line, and tells how long to wait for it.
    fn reserve(&self, now: Duration, bytes: usize) -> Option<Duration> {
        let mut spent = self.lock();
        spent.bytes = spent.bytes.saturating_add(bytes as u64);
        let rate = self.bytes_per_second?;
        let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate));
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let begin = spent.until.max(now);
        spent.until = begin.saturating_add(span);
        Some(begin.saturating_sub(now)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_nobody_waits() {
        let throttle = Throttle::new(None);
        assert_eq!(throttle.reserve(Duration::ZERO, 7), None);
        assert_eq!(throttle.sent(Duration::ZERO), 7);
    }

    #[test]
    fn each_waits_for_those_before_it_and_idle_time_is_not_saved_up() {
        let throttle = Throttle::new(Some(1000));
        let at = Duration::from_secs;
        assert_eq!(throttle.reserve(at(0), 500), None);
        assert_eq!(
            throttle.reserve(at(0), 1000),
            Some(Duration::from_millis(500))
        );
        assert_eq!(
            throttle.reserve(at(0), 1000),
            Some(Duration::from_millis(1500))
        );
        let sent = |millis| throttle.sent(Duration::from_millis(millis));
        assert_eq!([sent(0), sent(500), sent(2499)], [0, 500, 2499]);
        assert_eq!([sent(2500), sent(60_000)], [2500; 2]);
        assert_eq!(throttle.reserve(at(60), 2000), None);
        assert_eq!(throttle.reserve(at(61), 1), Some(at(1)));
    }
}
