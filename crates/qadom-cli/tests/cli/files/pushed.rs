//! Files that outlive whoever pushed them, and a random quarter of their holders after another.
//!
//! `QADOM_PUSH_RUNS=20 QADOM_PUSH_DAEMONS=40 QADOM_PUSH_MIB=100 cargo test --release -p qadom-cli --test
//! cli files::pushed -- --nocapture` is the long round. Each run says its seed; `QADOM_PUSH_SEED=N` with
//! one run kills the same daemons again.

use std::fs;

use super::{MIB, content, setting, source, text};
use crate::process::Daemon;

/// Daemons that hold chunks.
const DAEMONS: usize = 6;
/// From so many daemons on a push leaves as many copies as the long round is to have.
const MANY: usize = 40;

/// Numbers that a seed decides.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % end as u64).unwrap()
    }
}

#[test]
fn chunks_outlive_their_uploader_and_twice_a_random_quarter_of_their_holders() {
    let seed = setting("QADOM_PUSH_SEED", 1);
    for run in 0..setting("QADOM_PUSH_RUNS", 1) {
        let seed = seed + run;
        // Replays one run.
        println!("QADOM_PUSH_SEED={seed} QADOM_PUSH_RUNS=1");
        outlives(seed as u64);
        println!(
            "run {} with seed {seed}: the file came back whole twice",
            run + 1
        );
    }
}

fn outlives(seed: u64) {
    let count = setting("QADOM_PUSH_DAEMONS", DAEMONS);
    let mut draw = Draw(seed);
    let bytes = content(setting("QADOM_PUSH_MIB", 3) * MIB, seed);
    let copies = if count >= MANY { "8" } else { "4" };
    let mut daemons: Vec<Daemon> = (0..count)
        .map(|_| Daemon::start(&["--file-repair", "5s"]))
        .collect();
    let address = daemons[0].address().to_owned();
    for daemon in &daemons[1..] {
        daemon.run(&["join", &address]).code(0);
    }
    let uploader = Daemon::start(&[]);
    uploader.run(&["join", &address]).code(0);
    let folder = source("film", &bytes);
    let path = folder.path().join("film");
    let push = ["file", "push", text(&path), "--copies", copies, "--json"];
    let objects = uploader.run(&push).code(0).objects();
    let pushed = objects.last().unwrap();
    let wanted: u64 = copies.parse().unwrap();
    assert_eq!(pushed["smallest_copies"], wanted, "{pushed}");
    let id = pushed["id"].as_str().unwrap().to_owned();
    let list = uploader.run(&["file", "manifest", &id]).code(0).stdout;
    uploader.kill();

    for round in 0..2_usize {
        for _ in 0..count / 4 {
            daemons.swap_remove(draw.below(daemons.len())).kill();
        }
        let reader = Daemon::start(&["--client"]);
        reader.run(&["join", daemons[0].address()]).code(0);
        // The list of its chunks is with the holders as well.
        let manifest = reader.run(&["file", "manifest", &id]).code(0);
        assert!(manifest.stdout == list, "seed {seed}, round {round}");
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("film");
        reader
            .run(&["file", "get", &id, "-o", text(&target)])
            .code(0);
        let there = fs::read(&target).unwrap();
        assert!(there == bytes, "seed {seed}, round {round}");
        // So that what comes next depends on the holders alone.
        reader.run(&["file", "remove", &id]).code(0);
        reader.kill();
        if round == 0 {
            until_repaired(&daemons[0], &id, wanted);
        }
    }
}

/// Waits until every chunk has its copies again; the asked daemon's own count beside.
fn until_repaired(daemon: &Daemon, id: &str, copies: u64) {
    loop {
        let status = daemon
            .run(&["file", "status", id, "--json"])
            .code(0)
            .object();
        if status["smallest_copies"].as_u64().unwrap() + 1 >= copies {
            return;
        }
    }
}
