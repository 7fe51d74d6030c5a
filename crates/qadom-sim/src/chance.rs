//! The one source of chance of a simulated network.
//!
//! What must stay true: everything random comes from the seed, in the order it is asked for.

use std::time::Duration;

use qadom_routing::NodeKey;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A seeded generator with the few draws that a network needs.
#[derive(Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A node key that nobody has the secret of.
    pub(crate) fn node_key(&mut self) -> NodeKey {
        loop {
            if let Ok(key) = NodeKey::new(self.bytes()) {
                return key;
            }
        }
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `end`, 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let scaled = (u128::from(self.0.next_u64()) * end as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// Whether something happens that has this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// A span from `least` to `most`, evenly spread.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.unit())
    }

    /// A number above 0, up to 1.
    pub(crate) fn positive(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// A number from 0 to below 1.
    fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}
