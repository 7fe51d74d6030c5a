//! A token bucket: so many a second, with a burst.
//!
//! What must stay true: over any span no more than `burst + rate x span` are let through.

use core::time::Duration;

/// A bucket that fills at a rate up to a burst; both are given with each call, so that a table of
/// buckets stays small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// The level, as the time that filled it.
    credit: Duration,
    at: Duration,
}

impl Bucket {
    /// A full bucket that lets `burst` through at once and then `rate` a second.
    pub(crate) fn full(now: Duration, rate: u32, burst: u32) -> Self {
        Self {
            credit: interval(rate) * burst,
            at: now,
        }
    }

    /// Takes one token; `false` when there is none.
    pub(crate) fn take(&mut self, now: Duration, rate: u32, burst: u32) -> bool {
        self.take_many(now, (rate, burst), 1)
    }

    /// Takes this many tokens, or none and gives `false` when there are fewer.
    pub(crate) fn take_many(
        &mut self,
        now: Duration,
        (rate, burst): (u32, u32),
        count: u32,
    ) -> bool {
        let filled = self.credit + now.saturating_sub(self.at);
        self.at = now;
        self.credit = filled.min(interval(rate) * burst);
        let price = interval(rate) * count;
        let is_there = self.credit >= price;
        if is_there {
            self.credit -= price;
        }
        is_there
    }

    /// When there will be this many tokens, if none is taken before; more than the burst never are.
    pub(crate) fn ready_at(
        &self,
        now: Duration,
        (rate, burst): (u32, u32),
        count: u32,
    ) -> Duration {
        let filled = (self.credit + now.saturating_sub(self.at)).min(interval(rate) * burst);
        now + (interval(rate) * count).saturating_sub(filled)
    }

    /// The tokens that are missing until it is full, of one begun the whole.
    pub(crate) fn missing(&self, now: Duration, (rate, burst): (u32, u32)) -> u32 {
        let filled = self.credit + now.saturating_sub(self.at);
        let missing = (interval(rate) * burst).saturating_sub(filled);
        let tokens = missing.as_nanos().div_ceil(interval(rate).as_nanos());
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Whether the bucket has filled up, so that forgetting it changes nothing.
    pub(crate) fn is_full(&self, now: Duration, rate: u32, burst: u32) -> bool {
        self.credit + now.saturating_sub(self.at) >= interval(rate) * burst
    }
}

/// Rounded up, so that the rate is never exceeded.
fn interval(rate: u32) -> Duration {
    Duration::from_nanos(1_000_000_000_u64.div_ceil(rate.max(1).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_the_burst_through_and_then_the_rate() {
        let start = Duration::from_secs(9);
        let mut bucket = Bucket::full(start, 20, 5);
        let taken = |bucket: &mut Bucket, at| (0..100).filter(|_| bucket.take(at, 20, 5)).count();
        assert_eq!(taken(&mut bucket, start), 5);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(49)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(100)), 2);
        let missing = |bucket: &Bucket, at| bucket.missing(at, (20, 5));
        assert_eq!(missing(&bucket, start + Duration::from_millis(100)), 5);
        assert_eq!(missing(&bucket, start + Duration::from_millis(151)), 4);
        assert_eq!(missing(&bucket, start + Duration::from_secs(1)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(100)), 5);
    }
}
