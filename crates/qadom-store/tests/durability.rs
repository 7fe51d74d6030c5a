//! Kills a writing process over and over, and checks that nothing it acknowledged is missing.
//!
//! The child is this test binary again, running only [`child`]. Two threads of it change entries
//! of their own while its main thread commits and prints, for each, the last change that the
//! committed ticket covers. The moment of the kill is the experiment: after a seeded number of
//! printed lines plus a seeded time, or a seeded time after the start, which hits the opening.
//!
//! `QADOM_KILL_ROUNDS` (default 25) and `QADOM_KILL_SEED` set length and seed of the loop.

#![cfg(test)]
#![cfg(any(feature = "redb", feature = "sled"))]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of this experiment are small"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use qadom_routing::Key;
use qadom_store::{Class, Columns, Entry, EntryId, Stats, Store, Ticket};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const CHILD_ENGINE: &str = "QADOM_KILL_ENGINE";
const CHILD_FOLDER: &str = "QADOM_KILL_FOLDER";
const CHILD_START: &str = "QADOM_KILL_START";
const WRITERS: u64 = 2;
/// How many names each writer changes, over and over.
const NAMES: u64 = 150;
/// How far a writer runs ahead of what is acknowledged.
const WINDOW: u64 = 64;

/// What change `number` of `writer` does: the name, and the entry unless it is a removal.
fn change(writer: u64, number: u64) -> ((Key, EntryId), Option<Entry>) {
    let mut chance = ChaCha8Rng::seed_from_u64(writer << 56 | number);
    let name = chance.next_u64() % NAMES;
    let mut slot = [0; 32];
    slot[0] = (name % 7) as u8;
    slot[31] = writer as u8;
    let slot = Key::from_bytes(slot);
    let id = EntryId::new(&name.to_be_bytes()).unwrap();
    let entry = (chance.next_u64() % 8 != 0).then(|| {
        let length = match chance.next_u64() % 20 {
            0 => 40_000 + chance.next_u64() % 25_000,
            1..5 => chance.next_u64() % 9000,
            _ => chance.next_u64() % 600,
        };
        let mut bytes = vec![0; length as usize];
        chance.fill_bytes(&mut bytes);
        Entry {
            slot,
            id: id.clone(),
            bytes: bytes.into(),
            columns: Columns {
                expires_at: chance.next_u64() % 1000,
                charge: length as u32 + 512,
                group: [writer as u8; 8],
                owner: [7; 32],
                // Lets the parent tell which change it found.
                rank: number,
                class: [Class::Record, Class::Cached][number as usize % 2],
            },
        }
    });
    ((slot, id), entry)
}

/// The last change each writer has made, with the ticket that covers it, and how far it may go.
struct Progress {
    made: Vec<(u64, Ticket)>,
    acknowledged: Vec<u64>,
}

/// Not a test of its own: the process that [`run_and_kill`] kills.
#[test]
fn child() {
    let Some(folder) = env::var_os(CHILD_FOLDER) else {
        return;
    };
    let starts: Vec<u64> = env::var(CHILD_START)
        .unwrap()
        .split(',')
        .map(|start| start.parse().unwrap())
        .collect();
    let store = open(&env::var(CHILD_ENGINE).unwrap(), Path::new(&folder));
    let store = store.as_ref();
    let progress = Mutex::new(Progress {
        made: starts
            .iter()
            .map(|start| (start - 1, Ticket::ZERO))
            .collect(),
        acknowledged: starts.iter().map(|start| start - 1).collect(),
    });
    let changed = Condvar::new();
    thread::scope(|scope| {
        for (writer, start) in starts.iter().enumerate() {
            let (progress, changed) = (&progress, &changed);
            scope.spawn(move || {
                for number in *start.. {
                    let ((slot, id), entry) = change(writer as u64, number);
                    match entry {
                        Some(entry) => store.put(entry).unwrap(),
                        None => drop(store.remove(&slot, &id).unwrap()),
                    }
                    let mut progress = progress.lock().unwrap();
                    progress.made[writer] = (number, store.ticket());
                    changed.notify_all();
                    while progress.acknowledged[writer] + WINDOW <= number {
                        progress = changed.wait(progress).unwrap();
                    }
                }
            });
        }
        let mut output = std::io::stdout();
        loop {
            let made = {
                let mut progress = progress.lock().unwrap();
                while (0..starts.len()).all(|at| progress.made[at].0 == progress.acknowledged[at]) {
                    progress = changed.wait(progress).unwrap();
                }
                progress.made.clone()
            };
            let committed = store.commit().unwrap();
            assert!(made.iter().all(|(_, ticket)| *ticket <= committed));
            let numbers: Vec<u64> = made.iter().map(|(number, _)| *number).collect();
            writeln!(output, "acknowledged {} {}", numbers[0], numbers[1]).unwrap();
            output.flush().unwrap();
            progress.lock().unwrap().acknowledged = numbers;
            changed.notify_all();
        }
    });
}

/// When a child is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// That long after its start.
    AfterStart(Duration),
    /// That long after it printed so many lines.
    AfterLines(u64, Duration),
}

/// Runs a child until `moment`, kills it, and gives the last change acknowledged of each writer.
fn run_and_kill(engine: &str, folder: &Path, starts: &[u64], moment: Moment) -> Vec<u64> {
    let starts_text: Vec<String> = starts.iter().map(u64::to_string).collect();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_ENGINE, engine)
        .env(CHILD_FOLDER, folder)
        .env(CHILD_START, starts_text.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    let reader = thread::spawn(move || {
        // A line that the kill cut short is no acknowledgement.
        let mut output = output;
        let mut line = String::new();
        while output.read_line(&mut line).unwrap_or(0) > 0 {
            if let Some(numbers) = line.strip_suffix('\n').and_then(parse_acknowledgement) {
                sender.send(numbers).unwrap();
            }
            line.clear();
        }
    });
    let mut acknowledged: Vec<u64> = starts.iter().map(|start| start - 1).collect();
    let delay = match moment {
        Moment::AfterStart(delay) => delay,
        Moment::AfterLines(count, delay) => {
            for _ in 0..count {
                acknowledged = lines.recv().expect("the child ended by itself");
            }
            delay
        }
    };
    let mut wait = delay;
    let begun = std::time::Instant::now();
    loop {
        match lines.recv_timeout(wait) {
            Ok(numbers) => acknowledged = numbers,
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself"),
        }
        wait = delay.saturating_sub(begun.elapsed());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    rest_of(&lines, acknowledged)
}

fn rest_of(lines: &Receiver<Vec<u64>>, acknowledged: Vec<u64>) -> Vec<u64> {
    lines.try_iter().last().unwrap_or(acknowledged)
}

fn parse_acknowledgement(line: &str) -> Option<Vec<u64>> {
    let numbers = line.strip_prefix("acknowledged ")?;
    numbers
        .split(' ')
        .map(|number| number.parse().ok())
        .collect()
}

/// The changes that may stand behind what a name holds: the last acknowledged one, and every one
/// that was begun after it.
type Allowed = BTreeMap<(Key, EntryId), Vec<Option<Entry>>>;

fn allow(allowed: &mut Allowed, starts: &[u64], acknowledged: &[u64]) {
    for writer in 0..WRITERS {
        let (start, last) = (starts[writer as usize], acknowledged[writer as usize]);
        for number in start..=last + WINDOW {
            let (name, entry) = change(writer, number);
            let states = allowed.entry(name).or_insert_with(|| vec![None]);
            if number <= last {
                states.clear();
            }
            states.push(entry);
        }
    }
}

/// Checks all that is kept, and gives it.
fn check(store: &dyn Store, allowed: &Allowed) -> Vec<Entry> {
    let kept = store
        .scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX)
        .unwrap();
    let mut stats = Stats::default();
    for entry in &kept {
        let charge = u64::from(entry.columns.charge);
        stats.records += 1;
        stats.charge += charge;
        if entry.columns.class == Class::Cached {
            stats.cached += charge;
        }
    }
    assert_eq!(
        store.stats(),
        stats,
        "the counters are exact, nothing is damaged"
    );
    let found: BTreeMap<_, _> = kept
        .iter()
        .map(|entry| ((entry.slot, entry.id.clone()), entry))
        .collect();
    for (name, states) in allowed {
        let entry = found.get(name).copied();
        assert!(
            states.iter().any(|state| state.as_ref() == entry),
            "{name:?} holds change {:?}, acknowledged or begun were {:?}",
            entry.map(|entry| entry.columns.rank),
            states
                .iter()
                .map(|state| state.as_ref().map(|entry| entry.columns.rank))
                .collect::<Vec<_>>(),
        );
    }
    assert!(found.keys().all(|name| allowed.contains_key(name)));
    // What can expire is exactly what is kept: the order of expiry holds every entry once.
    kept
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Opens the store of an engine, which always succeeds.
fn open(engine: &str, folder: &Path) -> Box<dyn Store> {
    match engine {
        #[cfg(feature = "redb")]
        "redb" => Box::new(qadom_store::RedbStore::open(folder).expect("every open succeeds")),
        #[cfg(feature = "sled")]
        "sled" => Box::new(qadom_store::SledStore::open(folder).expect("every open succeeds")),
        other => panic!("no engine {other}"),
    }
}

#[cfg(feature = "sled")]
#[test]
fn changes_acknowledged_by_sled_survive_kills() {
    acknowledged_changes_survive_kills("sled");
}

#[cfg(feature = "redb")]
#[test]
fn changes_acknowledged_by_redb_survive_kills() {
    acknowledged_changes_survive_kills("redb");
}

#[cfg(feature = "sled")]
#[test]
fn a_kill_while_sled_makes_a_store_leaves_one_that_opens() {
    a_kill_while_a_store_is_made_leaves_one_that_opens("sled");
}

#[cfg(feature = "redb")]
#[test]
fn a_kill_while_redb_makes_a_store_leaves_one_that_opens() {
    a_kill_while_a_store_is_made_leaves_one_that_opens("redb");
}

fn acknowledged_changes_survive_kills(engine: &str) {
    let rounds = setting("QADOM_KILL_ROUNDS", 25);
    let seed = setting("QADOM_KILL_SEED", 1);
    println!("QADOM_KILL_ROUNDS={rounds} QADOM_KILL_SEED={seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut starts = vec![1; WRITERS as usize];
    let mut allowed = Allowed::new();
    let (mut lines, mut unopened) = (0, 0);
    for round in 0..rounds {
        let moment = if chance.next_u64() % 3 == 0 {
            Moment::AfterStart(Duration::from_micros(chance.next_u64() % 40_000))
        } else {
            let delay = Duration::from_micros(chance.next_u64() % 3000);
            Moment::AfterLines(1 + chance.next_u64() % 60, delay)
        };
        println!("round {round}: {moment:?} from {starts:?}");
        let acknowledged = run_and_kill(engine, folder.path(), &starts, moment);
        lines += acknowledged[0] + 1 - starts[0];
        unopened += u64::from(acknowledged[0] < starts[0]);
        allow(&mut allowed, &starts, &acknowledged);
        let store = open(engine, folder.path());
        let kept = check(store.as_ref(), &allowed);
        // What was found is what the next round starts from.
        for states in allowed.values_mut() {
            *states = vec![None];
        }
        for entry in kept {
            allowed.insert((entry.slot, entry.id.clone()), vec![Some(entry)]);
        }
        for (start, last) in starts.iter_mut().zip(acknowledged) {
            *start = last + WINDOW + 1;
        }
    }
    println!("{lines} changes of writer 0 acknowledged, {unopened} rounds ended before the first");
}

fn a_kill_while_a_store_is_made_leaves_one_that_opens(engine: &str) {
    let rounds = setting("QADOM_KILL_ROUNDS", 25);
    let seed = setting("QADOM_KILL_SEED", 1);
    println!("QADOM_KILL_ROUNDS={rounds} QADOM_KILL_SEED={seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(!seed);
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let delay = Duration::from_micros(chance.next_u64() % 60_000);
        println!("round {round}: {delay:?}");
        let starts = [1, 1];
        let acknowledged = run_and_kill(engine, folder.path(), &starts, Moment::AfterStart(delay));
        let mut allowed = Allowed::new();
        allow(&mut allowed, &starts, &acknowledged);
        let store = open(engine, folder.path());
        check(store.as_ref(), &allowed);
    }
}
