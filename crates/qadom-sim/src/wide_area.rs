//! The delays of a network that spans the world.
//!
//! What must stay true: a pair of nodes keeps its delay for ever, in both directions, and every
//! figure is the same on every machine (see `lengths.rs`).

use std::time::Duration;

use crate::chance::Chance;

/// How far round trips of pairs are spread: the logarithm's standard deviation. A tenth of the
/// pairs then takes 2.8 medians and more, one in a hundred 6.4, as between continents and over bad
/// lines.
const SPREAD: f64 = 0.8;
/// The shortest and the longest round trip of a pair, in medians.
const SHORTEST: f64 = 0.05;
const LONGEST: f64 = 15.0;
/// How much single messages differ: the scale of their extra delay, in one-way delays.
const JITTER: f64 = 0.03;
/// The longest extra delay of a message, in one-way delays.
const JITTER_MOST: f64 = 10.0;

/// Delays of pairs that are spread log-normally, so that few pairs are far slower than most, and of
/// single messages, few of which are far slower than others of their pair.
///
/// # Examples
///
/// ```
/// use qadom_sim::{Network, Settings, WideArea};
///
/// let settings = Settings { nodes: 3, wide_area: Some(WideArea::default()), ..Settings::default() };
/// assert_eq!(Network::new(settings).living().count(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WideArea {
    /// Half of the pairs have a shorter round trip (80 ms).
    pub median_round_trip: Duration,
}

impl Default for WideArea {
    fn default() -> Self {
        Self {
            median_round_trip: Duration::from_millis(80),
        }
    }
}

impl WideArea {
    /// How long a message travels one way between two nodes. `pair` is a random number that belongs
    /// to the two.
    pub(crate) fn delay(&self, pair: u64, chance: &mut Chance) -> Duration {
        let one_way = self.median_round_trip.as_secs_f64() / 2.0 * medians(pair);
        // A Pareto tail of index 2: one message in a hundred takes 9 scales, one in 10 000 takes 99.
        let extra = JITTER * (1.0 / libm::sqrt(chance.positive()) - 1.0);
        Duration::from_secs_f64(one_way * (1.0 + extra.min(JITTER_MOST)))
    }
}

/// A pair's round trip in medians.
fn medians(pair: u64) -> f64 {
    let half =
        |bits: u64| (f64::from(u32::try_from(bits & 0xffff_ffff).unwrap_or(0)) + 1.0) / TWO_32;
    let (radius, angle) = (half(pair >> 32), half(pair));
    // Box and Muller's way to a normally distributed number.
    let normal = libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(core::f64::consts::TAU * angle);
    libm::exp(SPREAD * normal).clamp(SHORTEST, LONGEST)
}

const TWO_32: f64 = 4_294_967_296.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_have_their_median_and_a_heavy_tail() {
        let mut chance = Chance::new(5);
        let area = WideArea::default();
        let mut delays: Vec<_> = (0..20_000)
            .map(|_| {
                let pair = u64::from_le_bytes(chance.bytes()[..8].try_into().unwrap());
                (area.delay(pair, &mut chance) + area.delay(pair, &mut chance)).as_secs_f64()
            })
            .collect();
        delays.sort_unstable_by(f64::total_cmp);
        let at = |share: usize| delays[share * 200];
        assert!((0.078..0.092).contains(&at(50)), "{}", at(50));
        assert!((0.2..0.28).contains(&at(90)), "{}", at(90));
        assert!(at(99) > 0.45, "{}", at(99));
    }

    #[test]
    fn a_pair_keeps_its_delay_but_for_a_little() {
        let mut chance = Chance::new(5);
        let area = WideArea::default();
        let mut delays: Vec<_> = (0..1000).map(|_| area.delay(77, &mut chance)).collect();
        delays.sort_unstable();
        assert!(delays[900] < delays[0] * 11 / 10);
    }
}
