//! Drives the fuzzing entry points from a seed: a second each, or `QADOM_FUZZ_SECONDS`. What a
//! failure prints, as `QADOM_FUZZ_SEED`, replays it at once.

#![cfg(test)]

use std::time::{Duration, Instant};

use qadom_transport::fuzz;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Seeds of inputs on which `operations` once failed; they go first.
const KEPT: [u64; 1] = [
    // A side that restarts, and a replayed RESP that begins the session of before.
    66065,
];

/// The longest input.
const LONGEST: u64 = 4096;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells the seed of an input that a panic ends on.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay with QADOM_FUZZ_SEED={}", self.0);
        }
    }
}

/// The input that a seed stands for.
fn input(seed: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let length = random.next_u64() % (LONGEST >> (random.next_u64() % 6));
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    random.fill_bytes(&mut bytes);
    // Small numbers are small choices: many inputs have few high bytes.
    let mask = [0xff, 0xff, 0x3f, 0x0f][usize::try_from(random.next_u64() % 4).unwrap()];
    for byte in &mut bytes {
        if random.next_u32().is_multiple_of(2) {
            *byte &= mask;
        }
    }
    bytes
}

fn drive(target: fn(&[u8]), kept: &[u64]) {
    for &seed in kept {
        let _replay = Replay(seed);
        target(&input(seed));
    }
    let first = variable("QADOM_FUZZ_SEED").unwrap_or(1);
    let span = Duration::from_secs(variable("QADOM_FUZZ_SECONDS").unwrap_or(1));
    let begin = Instant::now();
    let mut replay = Replay(first);
    // At least these many, however slow the machine is.
    while replay.0 - first < 20 || begin.elapsed() < span {
        target(&input(replay.0));
        replay.0 += 1;
    }
    println!("{} inputs from seed {first}", replay.0 - first);
}

#[test]
fn packets() {
    drive(fuzz::packets, &[]);
}

#[test]
fn operations() {
    drive(fuzz::operations, &KEPT);
}

#[test]
fn pieces() {
    drive(fuzz::pieces, &[]);
}
