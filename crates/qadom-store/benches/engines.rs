//! sled and redb beside each other: what a write, a read and a start cost, and what they take.
//!
//! `cargo bench -p qadom-store --features redb --bench engines` prints a table for entries of 100 B
//! and of 1 KiB, and one for a node whose quota is full; `-- 1000000` for so many entries. Each
//! column comes from processes of its own, so that memory is told apart. Gets and scans are random,
//! commits are those of a flusher: one at a time, each taking along what waits. Where the machine does
//! other work, compare the CPU time of a call, all threads of the engine together.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a bench panics as a test does, prints, and deals in small numbers"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use qadom_routing::Key;
use qadom_store::{Class, Columns, Durability, Entry, EntryId, Options, Store, StoreEngine, open};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const RECORDS: u64 = 200_000;
/// The quota of a node, in records and in bytes, 512 B of which each record costs beside its own.
const QUOTA_RECORDS: u64 = 250_000;
const QUOTA_BYTES: u64 = 256 << 20;
const EXPIRED: u64 = 100_000;

type Figures = BTreeMap<String, f64>;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [child, task, engine, size, records, folder] = args.as_slice()
        && child == "--child"
    {
        let entries = Entries {
            size: size.parse().unwrap(),
            records: records.parse().unwrap(),
        };
        run(task, engine.parse().unwrap(), entries, Path::new(folder));
        return;
    }
    let records = args.iter().find_map(|arg| arg.parse().ok());
    let records = records.unwrap_or(RECORDS);
    for size in [100, 1024] {
        println!("\n{records} entries of {size} B");
        compare(&["measure", "reopen"], Entries { size, records });
    }
    let size = (QUOTA_BYTES / QUOTA_RECORDS - 512) as usize;
    println!("\na full quota: {QUOTA_RECORDS} entries of {size} B, 50 000 of them replaced");
    compare(
        &["fill", "reopen"],
        Entries {
            size,
            records: QUOTA_RECORDS,
        },
    );
}

/// Runs the tasks on every engine and prints what each has found.
fn compare(tasks: &[&str], entries: Entries) {
    let engines = StoreEngine::ALL.into_iter();
    let engines: Vec<StoreEngine> = engines.filter(|engine| engine.is_built_in()).collect();
    let mut columns = Vec::new();
    for engine in &engines {
        let folder = tempfile::tempdir().unwrap();
        let mut figures = Figures::new();
        for (number, task) in tasks.iter().enumerate() {
            let output = Command::new(env::current_exe().unwrap())
                .args(["--child", task, engine.name()])
                .args([entries.size.to_string(), entries.records.to_string()])
                .arg(folder.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            for line in text.lines() {
                let (figure, name) = line.split_once(' ').unwrap();
                figures.insert(format!("{number}{name}"), figure.parse().unwrap());
            }
        }
        columns.push(figures);
    }
    let names = engines
        .iter()
        .map(|engine| format!("{:>10}", engine.name()));
    println!("{:<44}{}", "", names.collect::<String>());
    for name in columns
        .iter()
        .flat_map(Figures::keys)
        .collect::<std::collections::BTreeSet<_>>()
    {
        let values = columns.iter().map(|figures| match figures.get(name) {
            Some(value) => format!("{value:>10.1}"),
            None => format!("{:>10}", "-"),
        });
        println!("{:<44}{}", &name[3..], values.collect::<String>());
    }
}

/// Prints a figure; `order` sorts the table.
fn tell(order: u32, name: &str, value: f64) {
    println!("{value} {order:02}{name}");
}

#[derive(Clone, Copy)]
struct Entries {
    size: usize,
    records: u64,
}

impl Entries {
    fn slot(number: u64) -> Key {
        let mut bytes = [0; 32];
        ChaCha8Rng::seed_from_u64(number).fill_bytes(&mut bytes);
        Key::from_bytes(bytes)
    }

    fn entry(self, number: u64) -> Entry {
        let mut bytes = vec![0; self.size];
        ChaCha8Rng::seed_from_u64(!number).fill_bytes(&mut bytes);
        let group = (number % 1000).to_be_bytes();
        Entry {
            slot: Self::slot(number),
            id: EntryId::new(&[0]).unwrap(),
            bytes: bytes.into(),
            columns: Columns {
                expires_at: if number < EXPIRED { 1 } else { 2 },
                charge: self.size as u32 + 512,
                group,
                owner: [0; 32],
                rank: number,
                class: Class::Record,
            },
        }
    }

    /// Puts entries, a thousand to a commit.
    fn load(self, store: &dyn Store, numbers: std::ops::Range<u64>) {
        for number in numbers {
            store.put(self.entry(number)).unwrap();
            if number % 1000 == 999 {
                store.commit().unwrap();
            }
        }
        store.commit().unwrap();
    }
}

fn run(task: &str, engine: StoreEngine, entries: Entries, folder: &Path) {
    let open = |durability| {
        let options = Options {
            engine: Some(engine),
            durability,
        };
        open(folder, options).unwrap()
    };
    let begun = Instant::now();
    let store = open(Durability::Kill);
    let opened = begun.elapsed();
    match task {
        "measure" => {
            measure(&*store, entries);
            drop(store);
            measure_power(&*open(Durability::Power), entries);
            tell(40, "disk, MiB", disk_use(folder) as f64 / 1_048_576.0);
        }
        "fill" => {
            entries.load(&*store, 0..entries.records);
            tell(41, "resident when full, MiB", memory("VmRSS:"));
            // As a full node does: each record that comes costs an old one its place.
            for number in 0..50_000 {
                let gone = entries.entry(number);
                store.remove(&gone.slot, &gone.id).unwrap();
                store.put(entries.entry(entries.records + number)).unwrap();
                if number % 64 == 63 {
                    store.commit().unwrap();
                }
            }
            store.commit().unwrap();
            tell(42, "resident after replacing, MiB", memory("VmRSS:"));
            tell(43, "peak memory, MiB", memory("VmHWM:"));
            tell(44, "disk, MiB", disk_use(folder) as f64 / 1_048_576.0);
        }
        "reopen" => {
            tell(50, "reopen, ms", millis(opened));
            tell(
                51,
                "entries per second of reopening, k",
                store.stats().records as f64 / millis(opened),
            );
            tell(52, "resident after reopening, MiB", memory("VmRSS:"));
            tell(53, "peak memory of reopening, MiB", memory("VmHWM:"));
        }
        other => panic!("no task {other}"),
    }
}

fn measure(store: &dyn Store, entries: Entries) {
    let phase = Phase::begin();
    entries.load(store, 0..entries.records);
    tell(
        1,
        "load, groups of 1000, k/s",
        phase.rate(entries.records) / 1000.0,
    );
    tell(2, "load, CPU us each", phase.cpu_each(entries.records));
    tell(41, "peak memory of the load, MiB", memory("VmHWM:"));

    let base = entries.records;
    let times = commit_times(store, entries, base..base + 1000);
    tell(
        10,
        "durable put alone, p50, us",
        micros(times[times.len() / 2]),
    );
    tell(
        11,
        "durable put alone, p99, us",
        micros(times[times.len() * 99 / 100]),
    );
    let (count, phase) = (20_000, Phase::begin());
    put_with_waiters(store, entries, base..base + count, 64);
    tell(
        12,
        "durable puts, 64 waiting, k/s",
        phase.rate(count) / 1000.0,
    );

    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let mut random = || chance.next_u64() % entries.records;
    let id = EntryId::new(&[0]).unwrap();
    let (count, phase) = (50_000, Phase::begin());
    for _ in 0..count {
        assert!(store.get(&Entries::slot(random()), &id).unwrap().is_some());
    }
    tell(20, "random get, us", 1e6 / phase.rate(count));
    tell(21, "random get, CPU us", phase.cpu_each(count));
    let (count, phase) = (2000, Phase::begin());
    for _ in 0..count {
        let found = store.scan_keys(&Entries::slot(random()), &Key::MAX, None, 100);
        found.unwrap();
    }
    tell(22, "scan of 100 entries, us", 1e6 / phase.rate(count));
    tell(23, "scan of 100 entries, CPU us", phase.cpu_each(count));

    let phase = Phase::begin();
    let mut expired = 0;
    let mut longest = Duration::ZERO;
    loop {
        let step = Instant::now();
        let removed = store.expire(1, 1000).unwrap();
        longest = longest.max(step.elapsed());
        expired += removed as u64;
        store.commit().unwrap();
        if removed < 1000 {
            break;
        }
    }
    tell(
        30,
        &format!("expiry of {expired}, ms"),
        millis(phase.begun.elapsed()),
    );
    tell(32, "expiry, CPU us each", phase.cpu_each(expired));
    tell(31, "longest step of it for the caller, ms", millis(longest));
    store.sync().unwrap();
}

fn measure_power(store: &dyn Store, entries: Entries) {
    let base = entries.records;
    let times = commit_times(store, entries, base..base + 300);
    tell(
        13,
        "the same for power, alone, p50, us",
        micros(times[times.len() / 2]),
    );
    let (count, phase) = (10_000, Phase::begin());
    put_with_waiters(store, entries, base..base + count, 64);
    tell(
        14,
        "the same for power, 64 waiting, k/s",
        phase.rate(count) / 1000.0,
    );
}

/// How long each of these takes from the put to the end of its commit, the shortest first.
fn commit_times(
    store: &dyn Store,
    entries: Entries,
    numbers: std::ops::Range<u64>,
) -> Vec<Duration> {
    let times = numbers.map(|number| {
        let entry = entries.entry(number);
        let begun = Instant::now();
        store.put(entry).unwrap();
        store.commit().unwrap();
        begun.elapsed()
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

/// Puts entries of which so many wait for their commits at a time, while another thread commits.
fn put_with_waiters(
    store: &dyn Store,
    entries: Entries,
    numbers: std::ops::Range<u64>,
    waiting: u64,
) {
    let (put, done) = (AtomicU64::new(0), Mutex::new(0));
    let all = numbers.end - numbers.start;
    let progress = Condvar::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut committed = 0;
            while committed < all {
                let now = put.load(Ordering::Acquire);
                if now == committed {
                    thread::yield_now();
                    continue;
                }
                store.commit().unwrap();
                committed = now;
                *done.lock().unwrap() = committed;
                progress.notify_one();
            }
        });
        for (count, number) in numbers.enumerate() {
            let behind = done.lock().unwrap();
            drop(progress.wait_while(behind, |done| count as u64 - *done >= waiting));
            store.put(entries.entry(number)).unwrap();
            put.fetch_add(1, Ordering::Release);
        }
    });
}

/// What is measured from here on: the time, and that of the CPUs.
struct Phase {
    begun: Instant,
    cpu: f64,
}

impl Phase {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            cpu: cpu_seconds(),
        }
    }

    /// So many calls, per second.
    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.begun.elapsed().as_secs_f64()
    }

    /// The CPU time of each of so many calls, in microseconds.
    fn cpu_each(&self, count: u64) -> f64 {
        (cpu_seconds() - self.cpu) * 1e6 / count as f64
    }
}

/// What this process took of the CPUs so far, to a hundredth; NaN where it cannot be told.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // In user mode and in the kernel, in ticks.
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    match ticks[..] {
        [user, kernel] => (user + kernel) / 100.0,
        _ => f64::NAN,
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A line of `/proc/self/status` in MiB; NaN where there is none.
fn memory(line: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kibibytes = found.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.map_or(f64::NAN, |kibibytes| kibibytes / 1024.0)
}

/// The bytes that the files below a folder take up on the disk.
fn disk_use(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            if path.is_dir() {
                disk_use(&path)
            } else {
                fs::metadata(path).unwrap().blocks() * 512
            }
        })
        .sum()
}
