//! The estimate against networks of known size, its error, and how fast it may rise.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts of nodes need no more than 53 bits"
)]

use std::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

const K: usize = 20;

/// The distance of the k-th nearest of `nodes` random ids.
fn width(nodes: usize, rng: &mut ChaCha8Rng) -> f64 {
    // The gaps of a random process: exact for any number of nodes, and fast for ten millions.
    let uniform = |rng: &mut ChaCha8Rng| (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0;
    let mut below = 0.0;
    for taken in 0..K {
        let left = (nodes - taken) as f64;
        let gap = 1.0 - uniform(rng).powf(1.0 / left);
        below += (1.0 - below) * gap;
    }
    below
}

fn estimate(nodes: usize, lookups: usize, rng: &mut ChaCha8Rng) -> f64 {
    let mut estimator = SizeEstimator::new();
    for _ in 0..lookups {
        estimator.note(K, width(nodes, rng), K, Moment::ORIGIN);
    }
    estimator.estimate().unwrap().nodes
}

#[test]
fn sixteen_lookups_are_right_within_eight_percent() {
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    for nodes in [50, 1000, 1_000_000, 10_000_000] {
        let runs: Vec<f64> = (0..400).map(|_| estimate(nodes, 16, &mut rng)).collect();
        // This node is one more.
        let ratios = runs.iter().map(|run| run / (nodes + 1) as f64 - 1.0);
        let bias = ratios.clone().sum::<f64>() / 400.0;
        let deviation = (ratios.map(|ratio| ratio * ratio).sum::<f64>() / 400.0).sqrt();
        std::println!("{nodes} nodes: bias {bias:+.4}, deviation {deviation:.4}");
        assert!(bias.abs() < 0.02, "{nodes}: {bias}");
        assert!(deviation < 0.08, "{nodes}: {deviation}");
    }
}

#[test]
fn one_lookup_is_told_as_unsure_and_many_as_sure() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut estimator = SizeEstimator::new();
    assert_eq!(estimator.estimate(), None);
    let mut errors = Vec::new();
    for _ in 0..100 {
        estimator.note(K, width(5000, &mut rng), K, Moment::ORIGIN);
        errors.push(estimator.estimate().unwrap().error);
    }
    assert!((errors[0] - 0.2357).abs() < 1e-3);
    assert!((errors[15] - 0.0561).abs() < 1e-3);
    assert!(errors.is_sorted_by(|one, other| one >= other));
    assert_eq!(
        (estimator.samples(), estimator.found()),
        (SAMPLES, SAMPLES * K)
    );
}

#[test]
fn a_network_that_answers_whole_is_counted() {
    for others in 0..K {
        let mut estimator = SizeEstimator::new();
        estimator.note(others, 0.5, K, Moment::ORIGIN);
        let size = estimator.estimate().unwrap();
        assert_eq!((size.nodes, size.error), (others as f64 + 1.0, 0.0));
        assert_eq!(estimator.found(), 0);
    }
}

#[test]
fn it_falls_at_once_and_doubles_in_an_hour_at_most() {
    let mut estimator = SizeEstimator::new();
    let at = |minutes| Moment::ORIGIN + Duration::from_mins(minutes);
    for _ in 0..16 {
        estimator.note(K, 0.01, K, at(0));
    }
    let before = estimator.estimate().unwrap().nodes;
    // Somebody makes the network look ten thousand times as large.
    for minute in 1..=60 {
        for _ in 0..4 {
            estimator.note(K, 1e-6, K, at(minute));
        }
        let now = estimator.estimate().unwrap().nodes;
        let most = before * (minute as f64 / 60.0).exp2();
        assert!(now <= most * 1.0001, "{minute}: {now} of {most}");
    }
    let hour = estimator.estimate().unwrap().nodes;
    assert!(hour > before * 1.9, "{hour}");
    for _ in 0..64 {
        estimator.note(K, 0.1, K, at(60));
    }
    assert!(estimator.estimate().unwrap().nodes < 200.0);
}

#[test]
fn a_network_that_grew_is_seen_as_it_is_now() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut estimator = SizeEstimator::new();
    for nodes in [30, 30, 1000] {
        estimator.note(K, width(nodes, &mut rng), K, Moment::ORIGIN);
    }
    let size = estimator.estimate().unwrap();
    assert!((500.0..2000.0).contains(&size.nodes), "{size:?}");
}

#[test]
fn what_is_older_than_a_day_leaves_when_there_is_enough() {
    let mut estimator = SizeEstimator::new();
    let at = |hours| Moment::ORIGIN + Duration::from_hours(hours);
    for _ in 0..40 {
        estimator.note(K, 0.1, K, at(0));
    }
    for hour in 25..30 {
        estimator.note(K, 0.1, K, at(hour));
    }
    assert_eq!(estimator.samples(), ENOUGH);
}
