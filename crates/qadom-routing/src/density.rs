//! Whether nodes crowd round a key more than chance explains (the detector of the paper on content
//! censorship in IPFS, NDSS 2024).
//!
//! What must stay true: the figure is an alarm for people and never a rule: honest networks of any
//! size exceed it now and then, and an attacker may stay below it.

use crate::distance::Distance;

/// The figure above which the neighbourhood of a key is worth a look: exceeded by about three in a
/// thousand of honest ones.
pub const DENSITY_ALARM: f64 = 0.94;

/// The longest common prefix that is told apart, in bits.
const DEPTH: usize = 64;

/// How much the nodes nearest to a key differ from those of an honest network of `nodes` nodes, in
/// nats: the divergence between how many bits they share with the key and how many they should.
/// None when there are no nodes, or fewer than twice as many in the network.
///
/// # Examples
///
/// ```
/// use qadom_routing::{DENSITY_ALARM, Key, density};
///
/// let target = Key::ZERO;
/// // Twenty ids ground until they share 24 bits with the key, in a network of ten thousand.
/// let ground = (0..20).map(|number| {
///     let mut id = [0; 32];
///     id[3] = 0x80 | number;
///     Key::from_bytes(id).distance(&target)
/// });
/// assert!(density(ground, 10_000.0).unwrap() > DENSITY_ALARM);
/// ```
pub fn density(closest: impl IntoIterator<Item = Distance>, nodes: f64) -> Option<f64> {
    let mut counts = [0_u32; DEPTH + 1];
    let mut found = 0_u32;
    for distance in closest {
        let shared = usize::try_from(distance.shared_bits()).unwrap_or(DEPTH);
        if let Some(count) = counts.get_mut(shared.min(DEPTH)) {
            *count += 1;
        }
        found += 1;
    }
    if found == 0 || nodes < 2.0 * f64::from(found) {
        return None;
    }
    let all = f64::from(found);
    let mut divergence = 0.0;
    let mut at_least = expected(found, nodes, 0);
    for (shared, count) in (0..).zip(counts) {
        let deeper = if shared >= DEPTH {
            0.0
        } else {
            expected(found, nodes, shared + 1)
        };
        if count > 0 {
            let observed = f64::from(count) / all;
            // What can hardly be has a small probability, but none of zero.
            let model = ((at_least - deeper) / all).max(1e-12);
            divergence += observed * libm::log(observed / model);
        }
        at_least = deeper;
    }
    Some(divergence.max(0.0))
}

/// How many of the `k` nearest nodes share at least these bits with a key, on average: the smaller
/// of k and a binomial number.
fn expected(k: u32, nodes: f64, bits: usize) -> f64 {
    let share = libm::exp2(-f64::from(u32::try_from(bits).unwrap_or(u32::MAX)));
    if share >= 1.0 {
        return f64::from(k);
    }
    let odds = share / (1.0 - share);
    let mut probability = libm::exp(nodes * libm::log1p(-share));
    let mut missing = 0.0;
    for number in 0..k {
        missing += probability * f64::from(k - number);
        probability *= (nodes - f64::from(number)).max(0.0) / f64::from(number + 1) * odds;
    }
    f64::from(k) - missing
}

#[cfg(test)]
mod tests;
