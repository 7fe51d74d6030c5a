//! A limit in bytes per second that all uploads of a node share.
//!
//! What must stay true: over any second no more goes out than the limit and one chunk, and whoever
//! waits does so without holding anything.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// Hands out the right to send bytes.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// None when there is no limit.
    bytes_per_second: Option<u64>,
    /// When what was handed out will have been sent, counted as the clock does.
    spent_until: Mutex<Duration>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.map(|rate| rate.max(1)),
            spent_until: Mutex::default(),
        }
    }

    /// Waits until `bytes` more may be sent.
    pub(crate) async fn take(&self, clock: &Clock, bytes: usize) {
        if let Some(wait) = self.reserve(clock.elapsed(), bytes) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a place in the line, and tells how long to wait for it.
    fn reserve(&self, now: Duration, bytes: usize) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(rate);
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut spent = self
            .spent_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let begin = (*spent).max(now);
        *spent = begin.saturating_add(span);
        Some(begin.saturating_sub(now)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_nobody_waits() {
        let throttle = Throttle::new(None);
        assert_eq!(throttle.reserve(Duration::ZERO, usize::MAX), None);
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
        assert_eq!(throttle.reserve(at(60), 2000), None);
        assert_eq!(throttle.reserve(at(61), 1), Some(at(1)));
    }
}
