//! What moving a file costs from one process to another, from disk to disk, beside a plain copy.
//!
//! `cargo bench -p qadom-node --bench files [-- MIB]` moves a file of MIB mebibytes (1024 unless told)
//! over loopback, three times in turn by qadom and by a plain copy over quinn that hashes with BLAKE3
//! in pieces of 256 KiB on both sides, with datagrams as long as those of nodes and as long as quinn makes
//! them by itself, and prints medians: rate, CPU seconds per GiB of each side, and the peak of each side's
//! memory. Nothing is synced at the end; the disk's own rates stand beside.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, rounds and may fail"
)]

mod copy;
mod nodes;
mod process;
#[path = "../stream/quic.rs"]
mod quic;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use self::process::{Child, Cost, ROLE};

/// How often each way is measured.
const ROUNDS: usize = 3;
/// What is read, hashed and written at once.
const PIECE: usize = 256 * 1024;
/// What sendme, built on iroh-blobs, moved on the same machine, in MiB/s.
const SENDME: f64 = 156.0;

/// The roles that move the file, and what they are called.
const WAYS: [(&str, &str); 3] = [
    ("nodes", "qadom"),
    ("copy", "plain copy"),
    ("short", "the same, 1452 bytes"),
];

/// One transfer.
struct Run {
    seconds: f64,
    giver: Cost,
    taker: Cost,
}

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return process::play(&role);
    }
    let mut numbers = std::env::args().filter_map(|text| text.parse::<usize>().ok());
    let mib = numbers.next().unwrap_or(1024);
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let source = place.path().join("source");
    disk_rates(&source, mib);
    let mut runs = WAYS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((way, _), runs) in WAYS.iter().zip(&mut runs) {
            runs.push(measure(way, &source, place.path()));
        }
    }
    let mut rates = WAYS.iter().zip(runs);
    let [nodes, copy, short] = std::array::from_fn(|_| {
        rates
            .next()
            .map_or(0.0, |((_, title), runs)| report(title, mib, runs))
    });
    println!("{:<28} {:7.2}", "qadom / plain copy", nodes / copy);
    println!(
        "{:<28} {:7.2}",
        "qadom / the same, 1452 bytes",
        nodes / short
    );
    println!(
        "{:<28} {:7.2}",
        "qadom / sendme (156 MiB/s)",
        nodes / SENDME
    );
}

/// Writes the source, and says how fast the disk takes it.
fn disk_rates(source: &Path, mib: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = vec![0; 1 << 20];
    let began = Instant::now();
    let mut file = File::create(source).unwrap();
    let mut writing = 0.0;
    for _ in 0..mib {
        for word in piece.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let began = Instant::now();
        file.write_all(&piece).unwrap();
        writing += began.elapsed().as_secs_f64();
    }
    let making = began.elapsed().as_secs_f64() - writing;
    file.sync_all().unwrap();
    let synced = began.elapsed().as_secs_f64() - making;
    println!(
        "the disk takes {:.0} MiB/s, {:.0} MiB/s with a sync at the end",
        mib as f64 / writing,
        mib as f64 / synced
    );
}

/// Moves the file from one process to another.
fn measure(way: &str, source: &Path, place: &Path) -> Run {
    let folder = tempfile::tempdir_in(place).unwrap();
    let inner = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let source = source.to_str().unwrap();
    let mut giver = Child::start(&format!("{way}-give"), &[source, &inner("giver")]);
    let offer = giver.line();
    let target = inner("target");
    let mut taker = Child::start(&format!("{way}-take"), &[&offer, &target, &inner("taker")]);
    assert_eq!(taker.line(), "ready");
    giver.go();
    taker.go();
    let seconds = taker.line().parse().unwrap();
    let run = Run {
        seconds,
        taker: taker.end(),
        giver: giver.end(),
    };
    let moved = std::fs::metadata(&target).unwrap().len();
    assert_eq!(moved, std::fs::metadata(source).unwrap().len());
    run
}

/// Prints the medians of one way; gives its rate in MiB/s.
fn report(title: &str, mib: usize, mut runs: Vec<Run>) -> f64 {
    runs.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let run = &runs[runs.len() / 2];
    let rate = mib as f64 / run.seconds;
    let gib = mib as f64 / 1024.0;
    let (giver, taker) = (&run.giver, &run.taker);
    println!(
        "{title:<20} {rate:7.0} MiB/s; CPU s per GiB: giver {:.2}, taker {:.2}, both {:.2}; peak MiB: \
         giver {:.0}, taker {:.0}",
        giver.cpu / gib,
        taker.cpu / gib,
        (giver.cpu + taker.cpu) / gib,
        giver.peak_mib,
        taker.peak_mib
    );
    rate
}
