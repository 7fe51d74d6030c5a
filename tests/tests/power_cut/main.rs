//! Cuts of the power at any call that a store or a node makes to its files.
//!
//! A child process, this test binary again, works and says what it acknowledged, while `strace`
//! records its calls. Then, at many of these calls, the files are made as a cut there may leave
//! them, and opened: nothing that was acknowledged may be missing. What is done and checked is in
//! `work`. Linux only; without `strace`, or without the right to trace, a test says so and is
//! skipped.
//!
//! `QADOM_CUTS` is how many remains are tried of each work (24), chosen by `QADOM_CUT_SEED`. With
//! `QADOM_CUTS=all` the power is cut behind every call, and of what was not synced then nothing is
//! left, or all, or all but one change, for each of them, or parts by chance.

#![cfg(test)]
#![cfg(target_os = "linux")]

use std::env;
use std::path::Path;
use std::process::Command;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

mod disk;
mod tape;
mod work;

use disk::{Disk, Left};
use tape::{Act, Step};
use work::Work;

const FOLDER: &str = "QADOM_CUT_FOLDER";
const WORK: &str = "QADOM_CUT_WORK";
/// Remains by chance that are tried at each call, when all are.
const CHANCES: usize = 2;

/// Not a test of its own: the process whose calls are recorded.
#[test]
fn child() {
    if let (Some(folder), Ok(work)) = (env::var_os(FOLDER), env::var(WORK)) {
        Work::named(&work).run(Path::new(&folder));
    }
}

/// How many remains are tried.
#[derive(Clone, Copy, Debug)]
enum Cuts {
    All,
    Some(usize),
}

impl Cuts {
    fn wanted() -> Self {
        match env::var("QADOM_CUTS").as_deref() {
            Ok("all") => Self::All,
            Ok(count) => Self::Some(count.parse().unwrap()),
            Err(_) => Self::Some(24),
        }
    }

    /// What to try behind each of so many calls: how many of the remains there, all when none is
    /// said.
    fn choose(self, calls: usize, chance: &mut ChaCha8Rng) -> Vec<Option<usize>> {
        match self {
            Self::All => vec![None; calls],
            Self::Some(count) => {
                let mut chosen = vec![Some(0); calls];
                for _ in 0..count {
                    let call = below(chance, calls);
                    chosen[call] = chosen[call].map(|count| count + 1);
                }
                chosen
            }
        }
    }
}

/// What may be left when so much is in doubt.
fn remains(in_doubt: usize, count: Option<usize>, chance: &mut ChaCha8Rng) -> Vec<Left> {
    let Some(count) = count else {
        let single = (0..in_doubt).map(Left::Without);
        let mut all: Vec<Left> = [Left::Nothing, Left::All]
            .into_iter()
            .chain(single)
            .collect();
        all.extend([Left::Some; CHANCES]);
        return all;
    };
    let one = |_| match below(chance, 6) {
        0 => Left::Nothing,
        1 => Left::All,
        2 | 3 if in_doubt > 0 => Left::Without(below(chance, in_doubt)),
        _ => Left::Some,
    };
    (0..count).map(one).collect()
}

fn below(chance: &mut ChaCha8Rng, limit: usize) -> usize {
    usize::try_from(chance.next_u64() % limit as u64).unwrap()
}

/// Records a work, then cuts the power at many of its calls.
fn play(work: &Work) {
    let seed = env::var("QADOM_CUT_SEED").map_or(1, |seed| seed.parse().unwrap());
    let cuts = Cuts::wanted();
    println!("{}: {cuts:?} cuts, QADOM_CUT_SEED={seed}", work.name);
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, root.path())
        .env(WORK, work.name);
    let Some(steps) = tape::record(&mut command, root.path()) else {
        return;
    };
    let is_said = |step: &Step| matches!(step.act, Act::Acknowledge(_));
    assert!(steps.iter().any(is_said), "{} acknowledges", work.name);
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let chosen = cuts.choose(steps.len(), &mut chance);
    let mut disk = Disk::new(root.path());
    let (mut acknowledged, mut played) = (0, 0);
    for (number, (step, count)) in steps.iter().zip(chosen).enumerate() {
        disk.take(step);
        if let Act::Acknowledge(by_now) = step.act {
            acknowledged = by_now;
        }
        for left in remains(disk.in_doubt(), count, &mut chance) {
            // A folder in memory, whose syncs cost nothing.
            let place = tempfile::Builder::new().tempdir_in(memory()).unwrap();
            disk.cut(place.path(), left, &mut chance);
            println!("cut behind call {number}, {left:?} of {}", disk.in_doubt());
            work.check(place.path(), acknowledged);
            played += 1;
        }
    }
    println!(
        "{}: {played} remains of cuts in {} calls, nothing acknowledged was lost",
        work.name,
        steps.len()
    );
}

fn memory() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        Path::new("/tmp")
    }
}

#[test]
fn a_cut_of_the_power_costs_redb_nothing_that_was_acknowledged() {
    play(&Work::named("redb"));
}

#[test]
fn a_cut_of_the_power_costs_sled_nothing_that_was_acknowledged() {
    play(&Work::named("sled"));
}

#[test]
fn a_cut_of_the_power_leaves_the_old_store_or_the_imported_one() {
    play(&Work::named("import"));
}

#[test]
fn a_cut_of_the_power_while_a_damaged_store_is_set_aside_makes_nobody_forget_it() {
    play(&Work::named("recovery"));
}

#[test]
fn a_cut_of_the_power_costs_a_node_no_promise_no_identity_no_block_and_no_value() {
    play(&Work::named("node"));
}
