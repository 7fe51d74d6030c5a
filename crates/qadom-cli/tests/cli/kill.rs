//! Daemons that are killed at any moment, under a write load and while they start: what they
//! acknowledged is there, and they always start again.
//!
//! The long run, with a figure for a store of many records:
//! `QADOM_KILL_ROUNDS=1000 QADOM_RECORDS=100000 cargo test --release -p qadom-cli --test cli
//! kill_9_under -- --nocapture`. The seed is printed, `QADOM_KILL_SEED` sets it.

#![expect(
    clippy::print_stdout,
    reason = "a long run shows its seed and its figures"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use qadom_http::{Client, ReadFrom, WriteQuery};
use qadom_node::Key;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::process::{Daemon, begin};

/// Rounds of the normal suite.
const ROUNDS: usize = 25;
/// Writes under way at once.
const WRITERS: usize = 16;
/// A daemon is killed after up to this many acknowledged writes.
const WRITES_MAX: usize = 96;
/// A daemon is killed at most this long after it began to start.
const START_MAX: Duration = Duration::from_millis(120);
/// Of the writes of earlier rounds this many are read in each round; all of them at the end.
const SAMPLE: usize = 32;
/// Rounds after which a long run tells how far it is.
const TOLD_EVERY: usize = 50;

/// Draws numbers from a seed, the same ones for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % limit
    }
}

fn setting(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// Everything that was acknowledged: number of the write and key.
type Acknowledged = Arc<Mutex<Vec<(usize, Key)>>>;

/// The value of a write: told apart by its number, of all lengths up to 1000 bytes.
fn value(number: usize) -> Bytes {
    let mut value = format!("write {number} ").into_bytes();
    value.resize(value.len() + number * 37 % 1000, b'.');
    value.into()
}

fn client(daemon: &Daemon) -> Client {
    Client::new(daemon.path().join("control.sock"))
}

/// One store engine under test.
struct Trial {
    engine: &'static str,
    runtime: Runtime,
    chance: Chance,
    acknowledged: Acknowledged,
    next: Arc<AtomicUsize>,
    /// From the start of the process to its first answer, which is the last write before the kill.
    starts: Vec<Duration>,
    killed_starting: usize,
}

impl Trial {
    fn new(engine: &'static str) -> Self {
        let seed = setting("QADOM_KILL_SEED", rand_seed());
        println!("{engine}: replay with QADOM_KILL_SEED={seed}");
        Self {
            engine,
            runtime: Runtime::new().unwrap(),
            chance: Chance(seed as u64),
            acknowledged: Arc::default(),
            next: Arc::default(),
            starts: Vec::new(),
            killed_starting: 0,
        }
    }

    fn start(&mut self, folder: TempDir) -> Daemon {
        let begun = Instant::now();
        let daemon = Daemon::start_in(folder, &["--engine", self.engine]);
        let last = self.acknowledged.lock().unwrap().last().copied();
        if let Some(last) = last {
            self.check(&daemon, &[last]);
            self.starts.push(begun.elapsed());
        }
        daemon
    }

    /// Has writers at work until this many writes were acknowledged.
    fn write(&self, daemon: &Daemon, enough: usize, writers: usize) {
        let reached = Arc::new(Notify::new());
        let goal = self.acknowledged.lock().unwrap().len() + enough;
        for _ in 0..writers {
            let (client, reached) = (client(daemon), Arc::clone(&reached));
            let (acknowledged, next) = (Arc::clone(&self.acknowledged), Arc::clone(&self.next));
            self.runtime.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // Half of them are promised, and so journalled, too.
                    let write = WriteQuery {
                        once: number.is_multiple_of(2),
                        ..WriteQuery::default()
                    };
                    // The daemon is gone: whether this one was kept is not known.
                    let Ok(written) = client.put(value(number), &write).await else {
                        return;
                    };
                    let mut acknowledged = acknowledged.lock().unwrap();
                    acknowledged.push((number, written.key));
                    if acknowledged.len() == goal {
                        reached.notify_one();
                    } else if acknowledged.len() > goal + WRITES_MAX {
                        return;
                    }
                }
            });
        }
        self.runtime.block_on(reached.notified());
    }

    /// Reads these writes from the daemon's own store.
    fn check(&self, daemon: &Daemon, writes: &[(usize, Key)]) {
        let client = client(daemon);
        self.runtime.block_on(async {
            for (number, key) in writes {
                let found = client.get(key, &ReadFrom::Local).await;
                let found = found.unwrap_or_else(|error| panic!("write {number} is lost: {error}"));
                assert_eq!(found.value, value(*number), "write {number}");
            }
        });
    }

    /// Begins to start daemons and kills them before, or just when, they are ready.
    fn kill_starting(&mut self, folder: &TempDir) {
        for _ in 0..self.chance.below(3) {
            let process = begin(&Daemon::arguments(folder, &["--engine", self.engine]));
            let micros = self
                .chance
                .below(usize::try_from(START_MAX.as_micros()).unwrap());
            // The pause synchronises nothing. The moment of the kill is what is tried, so it is drawn
            // from the seed, and no check depends on how far the daemon has come by then. A kill
            // behind every single call of a start is played by `tests/power_cut`.
            thread::sleep(Duration::from_micros(micros as u64));
            drop(process);
            self.killed_starting += 1;
        }
    }

    fn round(&mut self, mut folder: TempDir) -> TempDir {
        self.kill_starting(&folder);
        let known = self.acknowledged.lock().unwrap().clone();
        let daemon = self.start(folder);
        let recent = known.len().saturating_sub(WRITES_MAX + 2 * WRITERS);
        let mut checked = known[recent..].to_vec();
        for _ in 0..SAMPLE.min(recent) {
            checked.push(known[self.chance.below(recent)]);
        }
        self.check(&daemon, &checked);
        let enough = 1 + self.chance.below(WRITES_MAX);
        self.write(&daemon, enough, WRITERS);
        folder = daemon.kill();
        folder
    }

    fn run(mut self) {
        let mut folder = tempfile::tempdir().unwrap();
        let filled = setting("QADOM_RECORDS", 0);
        if filled > 0 {
            let daemon = self.start(folder);
            self.write(&daemon, filled, 4 * WRITERS);
            folder = daemon.kill();
        }
        let rounds = setting("QADOM_KILL_ROUNDS", ROUNDS);
        for round in 1..=rounds {
            folder = self.round(folder);
            if round.is_multiple_of(TOLD_EVERY) {
                let acknowledged = self.acknowledged.lock().unwrap().len();
                println!(
                    "{}: {round} rounds, {acknowledged} writes, nothing lost",
                    self.engine
                );
            }
        }
        let daemon = self.start(folder);
        let all = self.acknowledged.lock().unwrap().clone();
        self.check(&daemon, &all);
        let folder = daemon.kill();
        assert!(
            !folder.path().join("quarantine-1").exists(),
            "a store was set aside"
        );
        self.starts.sort_unstable();
        let below = |percent: usize| {
            let start = self.starts[(self.starts.len() - 1) * percent / 100];
            start.as_millis()
        };
        let (median, p95, longest) = (below(50), below(95), below(100));
        println!(
            "{}: {} of {} acknowledged writes are there after {rounds} kills under load and {} while \
             starting; start to first answer: median {median} ms, p95 {p95} ms, longest {longest} ms",
            self.engine,
            all.len(),
            all.len(),
            self.killed_starting,
        );
    }
}

fn rand_seed() -> usize {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    usize::try_from(since.subsec_nanos()).unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_under_load_on_sled() {
    Trial::new("sled").run();
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_under_load_on_redb() {
    Trial::new("redb").run();
}
