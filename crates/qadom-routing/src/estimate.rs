//! How many nodes the network has, told from the distances at which lookups find them.
//!
//! What must stay true: only lookups for targets that nobody else could choose are told, since
//! whoever knows a target can place nodes round it; and after the first samples the estimate at most
//! doubles in an hour, so that nobody shrinks a region by making the network look larger.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::config::DEFAULT_K;
use crate::moment::Moment;

/// Samples that count, the last ones.
const SAMPLES: usize = 64;
/// Samples before the estimate is held back, and that count however old they are.
const ENOUGH: usize = 16;
/// For how long further samples count.
const MAX_AGE: Duration = Duration::from_hours(24);
/// So many of the newest samples are looked at apart, and by so many of their standard errors they
/// have to tell of another size than all together do for these to be forgotten.
const OUTGROWN: [usize; 2] = [1, 4];
const ERRORS: f64 = 5.0;
/// The time in which the estimate may double.
const DOUBLING: Duration = Duration::from_hours(1);

/// What lookups tell of the number of nodes.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Moment, SizeEstimator};
///
/// let mut estimator = SizeEstimator::new();
/// // The 20th nearest node lay at a hundredth of the key space: about 19 / 0.01 nodes.
/// estimator.note(20, 0.01, 20, Moment::ORIGIN);
/// let size = estimator.estimate().unwrap();
/// assert_eq!(size.nodes.round(), 1900.0);
/// assert!(size.error > 0.2 && size.error < 0.25);
/// // All that answered were 7: with this node, these are all.
/// estimator.note(7, 0.9, 20, Moment::ORIGIN);
/// assert_eq!(estimator.estimate().unwrap().nodes, 8.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SizeEstimator {
    samples: VecDeque<Sample>,
    /// Nodes found by the samples taken since the network was last seen whole.
    taken: usize,
    held: Option<(f64, Moment)>,
    /// All other nodes, when the last lookup found fewer than it looked for.
    whole: Option<usize>,
}

/// About how many nodes a network has.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Moment, NetworkSize, SizeEstimator};
///
/// let mut estimator = SizeEstimator::new();
/// estimator.note(7, 0.9, 20, Moment::ORIGIN);
/// let size: Option<NetworkSize> = estimator.estimate();
/// assert_eq!(size.map(|size| size.nodes), Some(8.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkSize {
    /// Storing nodes, this one among them.
    pub nodes: f64,
    /// The relative standard error: 0.1 stands for ten percent.
    pub error: f64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Moment,
    k: usize,
    /// The distance of the k-th nearest node as a fraction of the key space.
    width: f64,
}

impl SizeEstimator {
    /// Knows nothing.
    pub const fn new() -> Self {
        Self {
            samples: VecDeque::new(),
            taken: 0,
            held: None,
            whole: None,
        }
    }

    /// Takes in what a lookup for a random target found: how many nodes answered of the `k` that it
    /// looked for, and how far the farthest of them is, as a fraction of the key space.
    pub fn note(&mut self, answers: usize, width: f64, k: usize, now: Moment) {
        if answers < k || k < 3 {
            self.samples.clear();
            self.taken = 0;
            self.held = None;
            self.whole = Some(answers);
            return;
        }
        self.whole = None;
        let at = now;
        self.samples.push_back(Sample { at, k, width });
        self.taken += k;
        let is_over = |samples: &VecDeque<Sample>| {
            let oldest = samples.front();
            samples.len() > SAMPLES
                || (samples.len() > ENOUGH
                    && oldest.is_some_and(|oldest| now.since(oldest.at) > MAX_AGE))
        };
        while is_over(&self.samples) {
            self.samples.pop_front();
        }
        self.forget_outgrown();
        let raw = self.raw(self.samples.len());
        let value = match self.held {
            Some((before, then)) if self.taken > ENOUGH * DEFAULT_K => {
                let doublings = now.since(then).as_secs_f64() / DOUBLING.as_secs_f64();
                raw.min(before * libm::exp2(doublings))
            }
            _ => raw,
        };
        self.held = Some((value, now));
    }

    /// The estimate; none before the first lookup.
    pub fn estimate(&self) -> Option<NetworkSize> {
        if let Some(others) = self.whole {
            return Some(NetworkSize {
                nodes: number(others) + 1.0,
                error: 0.0,
            });
        }
        let (nodes, _) = self.held?;
        let error = self.error();
        Some(NetworkSize { nodes, error })
    }

    /// How many lookups the estimate rests on.
    pub fn samples(&self) -> usize {
        self.samples.len() + usize::from(self.whole.is_some())
    }

    /// How many nodes the lookups found that the estimate rests on, all together: it is the surer the
    /// more there are. None when all nodes are known.
    pub fn found(&self) -> usize {
        self.samples.iter().map(|sample| sample.k).sum()
    }

    fn error(&self) -> f64 {
        let weight = self.weight(self.samples.len());
        1.0 / libm::sqrt((weight - 2.0).max(1.0))
    }

    /// How many nodes the newest samples found.
    fn weight(&self, newest: usize) -> f64 {
        let samples = self.samples.iter().rev().take(newest);
        samples.map(|sample| number(sample.k)).sum()
    }

    /// Forgets what was taken of a network that was so much smaller or larger than now that chance
    /// hardly explains it.
    fn forget_outgrown(&mut self) {
        for newest in OUTGROWN {
            let before = self.samples.len().saturating_sub(newest);
            if before == 0 {
                continue;
            }
            let times = libm::exp(ERRORS / libm::sqrt(self.weight(newest)));
            let ratio = self.raw(newest) / self.raw(self.samples.len());
            if !(1.0 / times..=times).contains(&ratio) {
                self.samples.drain(..before);
            }
        }
    }

    /// The most likely number by the newest samples together, made free of bias: each k-th distance is the
    /// sum of k gaps, each about the key space through the number of nodes.
    fn raw(&self, newest: usize) -> f64 {
        let samples = self.samples.iter().rev().take(newest);
        let width: f64 = samples.map(|sample| sample.width).sum();
        // No two ids are nearer than this.
        (self.weight(newest) - 1.0) / width.max(f64::MIN_POSITIVE)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of nodes in one answer are far below 2^53"
)]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
