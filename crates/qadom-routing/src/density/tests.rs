//! The figure in honest networks and round keys that are under attack.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fractions of the key space and counts of nodes need no more than 53 bits"
)]

use std::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::key::Key;

/// Ids at these fractions of the key space from key 0.
fn at(fractions: &[f64]) -> Vec<Distance> {
    let distance = |fraction: &f64| {
        let mut bytes = [0; 32];
        let top = (fraction * 18_446_744_073_709_551_616.0) as u64;
        bytes[..8].copy_from_slice(&top.to_be_bytes());
        Key::from_bytes(bytes).distance(&Key::ZERO)
    };
    fractions.iter().map(distance).collect()
}

fn nearest(nodes: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut below = 0.0;
    let mut found = Vec::new();
    for taken in 0..20 {
        let uniform = (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0;
        below += (1.0 - below) * (1.0 - uniform.powf(1.0 / (nodes - taken) as f64));
        found.push(below);
    }
    found
}

#[test]
fn honest_networks_of_any_size_hardly_ever_alarm() {
    let mut rng = ChaCha8Rng::seed_from_u64(94);
    for nodes in [1000, 15_000, 1_000_000] {
        let mut figures: Vec<f64> = (0..4000)
            .map(|_| density(at(&nearest(nodes, &mut rng)), nodes as f64).unwrap())
            .collect();
        figures.sort_by(f64::total_cmp);
        let alarms = figures
            .iter()
            .filter(|figure| **figure > DENSITY_ALARM)
            .count();
        let (median, high) = (figures[2000], figures[3960]);
        std::println!("{nodes} nodes: p50 {median:.2}, p99 {high:.2}, {alarms} of 4000 alarm");
        assert!((0.1..0.35).contains(&median), "{median}");
        assert!(high < DENSITY_ALARM && alarms < 40, "{high}, {alarms}");
    }
}

#[test]
fn twenty_ground_ids_alarm_and_few_do_not() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let nodes = 15_000;
    let mut alarms = [0, 0];
    for _ in 0..200 {
        let honest = nearest(nodes, &mut rng);
        for (count, alarm) in [2, 20].into_iter().zip(&mut alarms) {
            let ground = (1..=count).map(|number| f64::from(number) * 1e-6);
            let mut all: Vec<f64> = ground.chain(honest.iter().copied()).collect();
            all.truncate(20);
            let figure = density(at(&all), nodes as f64).unwrap();
            *alarm += usize::from(figure > DENSITY_ALARM);
        }
    }
    assert!(alarms[0] < 100 && alarms[1] == 200, "{alarms:?}");
}

#[test]
fn small_networks_have_no_figure() {
    assert_eq!(density([], 1000.0), None);
    let twenty: Vec<f64> = (1..=20).map(|number| f64::from(number) / 21.0).collect();
    assert_eq!(density(at(&twenty), 20.0), None);
    assert!(density(at(&twenty), 40.0).is_some());
}

#[test]
fn what_is_expected_adds_up() {
    for nodes in [100.0, 5000.0, 1e7] {
        assert!((expected(20, nodes, 0) - 20.0).abs() < 1e-9);
        let falling: Vec<f64> = (0..40).map(|bits| expected(20, nodes, bits)).collect();
        assert!(
            falling.is_sorted_by(|one, other| one >= other),
            "{falling:?}"
        );
        assert!(falling[39] < 0.01);
    }
}
