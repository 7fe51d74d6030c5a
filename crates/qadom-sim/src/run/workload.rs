//! What users do: they write and read, from any node, and every outcome goes into the books, to the
//! checkers and into the figures.
//!
//! What must stay true: each entry has one write under way at the most, and a read knows the seq that
//! was acknowledged before it began.

use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Fetched, Listed, LookupReport, ReadFrom, Receipt, SignedRead, WriteOptions, Written,
};
use qadom_routing::{Key, Moment};
use qadom_wire::Writer;

use super::books::{Books, Entry, KeptBag};
use super::{QUICK_TICK, Run};
use crate::checkers::Seen;
use crate::failure::Failure;
use crate::network::Network;
use crate::node::NodeIndex;
use crate::task::Task;

/// What nobody renews: the network alone keeps it.
pub(super) const ONCE: WriteOptions = WriteOptions {
    ttl: None,
    min_copies: None,
    once: true,
};
/// Items of each bag at the start.
const ITEMS: usize = 3;
/// Attempts of a read after everything, each from another node.
const ATTEMPTS: u32 = 3;
/// For how long everything is written or read at the most.
const PATIENCE: Duration = Duration::from_mins(10);

/// An operation under way.
#[derive(Debug)]
pub(super) struct Pending {
    began: Moment,
    what: What,
}

#[derive(Debug)]
enum What {
    Put(Task<Receipt>),
    Get(Task<Fetched>, Key, Reading),
    Set(Task<Written>, Entry),
    Entry {
        task: Task<SignedRead>,
        entry: Entry,
        reader: NodeIndex,
        /// What was acknowledged before, 0 when a cut may hide it.
        seq: u64,
        reading: Reading,
    },
    Add(Task<Written>, Key, Writer, Bytes),
    List {
        task: Task<Listed>,
        bag: usize,
        /// How many items were acknowledged before.
        items: usize,
        reading: Reading,
    },
    Lookup(Task<LookupReport>),
}

/// Why something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// A user wants it.
    Usual,
    /// Everything is read; the attempt, from 1.
    All(u32),
}

/// What reading everything found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) found: usize,
    pub(super) all: usize,
}

impl Run<'_> {
    /// Writes the records of the beginning and waits for them.
    pub(super) fn write_first(&mut self) {
        let part = self.scenario.workload.clone();
        for number in 0..part.values {
            self.put(number);
            self.wait_for_room();
        }
        for _ in 0..part.entries {
            let entry = (self.network.add_writer(), self.network.random_key());
            self.set(entry);
            self.wait_for_room();
        }
        for _ in 0..part.bags {
            let bag = self.network.random_key();
            self.books.bags.push(KeptBag {
                key: bag,
                items: Vec::new(),
            });
            for number in 0..ITEMS {
                self.add(bag, Bytes::from(format!("item {number}")));
                self.wait_for_room();
            }
        }
        self.finish_pending();
    }

    /// Begins what users do within the next tick.
    pub(super) fn begin_due(&mut self, tick: Duration) {
        let part = &self.scenario.workload;
        let rates = [
            part.reads_per_hour,
            part.writes_per_hour,
            part.puts_per_hour,
            part.lookups_per_hour,
        ];
        let micros = u64::try_from(tick.as_micros()).unwrap_or(u64::MAX);
        let mut counts = [0; 4];
        for ((due, rate), count) in self.due.iter_mut().zip(rates).zip(&mut counts) {
            *due += u64::from(rate).saturating_mul(micros);
            *count = *due / MICROS_PER_HOUR;
            *due %= MICROS_PER_HOUR;
        }
        let [reads, writes, puts, lookups] = counts;
        for _ in 0..reads {
            self.read_any();
        }
        for _ in 0..writes {
            let entries = self.books.entries().to_vec();
            let choice = self.network.random_below(entries.len());
            let entry = entries
                .get(choice)
                .filter(|entry| !self.is_being_set(entry));
            if let Some(entry) = entry {
                self.set(*entry);
            }
        }
        for _ in 0..puts {
            let number = self.scenario.workload.values + self.measures.puts();
            self.put(number);
        }
        for _ in 0..lookups {
            let (node, target) = (self.network.random_node(), self.network.random_key());
            let task = self.network.start_lookup(node, target);
            self.pend(What::Lookup(task));
        }
    }

    /// Takes up what has ended.
    pub(super) fn collect(&mut self) {
        let mut running = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            if pending.has_ended(&self.network) {
                self.end(pending);
            } else {
                running.push(pending);
            }
        }
        // What ended may have begun another attempt.
        running.append(&mut self.pending);
        self.pending = running;
    }

    /// Lets the clock run until nothing is under way, or far too long.
    pub(super) fn finish_pending(&mut self) {
        let until = self.network.time().moment + PATIENCE;
        while !self.pending.is_empty() && self.network.time().moment < until {
            self.network.run_for(QUICK_TICK);
            self.collect();
        }
        let running = self.pending.len();
        if running > 0 {
            self.checkers.note(&Seen::Stuck { running });
            self.pending.clear();
        }
    }

    /// Reads every record from nodes that the seed chooses, three times at the most.
    pub(super) fn read_all(&mut self) -> Found {
        self.finish_pending();
        self.measures.reading = Found::default();
        for place in 0..self.books.values().len() {
            let value = self.books.values().get(place).map(|value| value.key);
            if let Some(key) = value {
                self.get(key, Reading::All(1));
                self.wait_for_room();
            }
        }
        for entry in self.books.entries().to_vec() {
            self.read_entry(entry, Reading::All(1));
            self.wait_for_room();
        }
        for bag in 0..self.books.bags.len() {
            self.list(bag, Reading::All(1));
            self.wait_for_room();
        }
        self.finish_pending();
        let found = self.measures.reading;
        self.checkers.note(&Seen::ReadAll {
            found: found.found,
            all: found.all,
        });
        found
    }

    fn wait_for_room(&mut self) {
        let until = self.network.time().moment + PATIENCE;
        while self.pending.len() >= self.scenario.workload.at_once
            && self.network.time().moment < until
        {
            self.network.run_for(QUICK_TICK);
            self.collect();
        }
    }

    // What is begun.

    fn put(&mut self, number: usize) {
        let part = &self.scenario.workload;
        let (_, value) = Books::value(self.seed, number, part.value_bytes);
        let options = if part.renewed {
            WriteOptions::default()
        } else {
            ONCE
        };
        let node = self.network.random_node();
        let task = self
            .network
            .start(node, |engine, now| engine.put(now, value, options));
        self.pend(What::Put(task));
    }

    fn set(&mut self, entry: Entry) {
        let (writer, key) = entry;
        // A writer stays at its node for as long as that lives, as most do: from both sides of a cut
        // it would sign one seq twice.
        let home = self.books.homes.get(&entry).copied();
        let node = match home.filter(|home| self.network.engine(*home).is_some()) {
            Some(home) => home,
            None => self.network.random_node(),
        };
        self.books.homes.insert(entry, node);
        let value = format!("version {}", self.books.seq(&entry) + 1);
        let task = self.network.start_namespace_set((node, writer), key, value);
        self.pend(What::Set(task, entry));
    }

    fn add(&mut self, bag: Key, item: Bytes) {
        let writer = self.network.add_writer();
        let node = self.network.random_node();
        let task = self
            .network
            .start_bag_add((node, writer), bag, item.clone());
        self.pend(What::Add(task, bag, writer, item));
    }

    /// Reads something that the seed chooses: mostly values, as there are more of them.
    fn read_any(&mut self) {
        let (values, entries) = (self.books.values().len(), self.books.entries().len());
        let choice = self
            .network
            .random_below(values + entries + self.books.bags.len());
        let key = self.books.values().get(choice).map(|value| value.key);
        let entry = self.books.entries().get(choice.wrapping_sub(values));
        if let Some(key) = key {
            self.get(key, Reading::Usual);
        } else if let Some(entry) = entry.copied() {
            self.read_entry(entry, Reading::Usual);
        } else {
            self.list(choice - values - entries, Reading::Usual);
        }
    }

    fn get(&mut self, key: Key, reading: Reading) {
        let node = self.network.random_node();
        let task = self.network.start_get(node, key);
        self.pend(What::Get(task, key, reading));
    }

    fn read_entry(&mut self, entry: Entry, reading: Reading) {
        let reader = self.network.random_node();
        let now = self.network.time().moment;
        let is_split = self.split_until.is_some_and(|until| now < until);
        let seq = if is_split { 0 } else { self.books.seq(&entry) };
        let task = self.network.start_namespace_get(reader, entry, true);
        self.pend(What::Entry {
            task,
            entry,
            reader,
            seq,
            reading,
        });
    }

    fn list(&mut self, bag: usize, reading: Reading) {
        let Some(kept) = self.books.bags.get(bag) else {
            return;
        };
        let (key, items) = (kept.key, kept.items.len());
        let node = self.network.random_node();
        let task = self.network.start(node, |engine, now| {
            engine.bag_list(now, key, ReadFrom::Network)
        });
        self.pend(What::List {
            task,
            bag,
            items,
            reading,
        });
    }

    fn pend(&mut self, what: What) {
        let began = self.network.time().moment;
        self.pending.push(Pending { began, what });
    }

    fn is_being_set(&self, entry: &Entry) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|pending| matches!(&pending.what, What::Set(_, other) if other == entry))
    }

    // What has ended.

    fn end(&mut self, pending: Pending) {
        let lasted = self.network.time().moment.since(pending.began);
        self.checkers.note(&Seen::Ended { lasted });
        match pending.what {
            What::Put(task) => {
                let result = self.network.finish(task);
                self.measures.put(&result);
                if let Ok(receipt) = result {
                    self.books.value_kept(receipt.key);
                }
            }
            What::Get(task, key, reading) => {
                let result = self.network.finish(task);
                self.measures.got(&result);
                let found = result.map(|_| true).or_else(|failure| was_asked(&failure));
                self.read_ended(found, reading, |run, reading| run.get(key, reading));
            }
            What::Set(task, entry) => {
                if let Ok(written) = self.network.finish(task) {
                    let seq = written.record.seq();
                    self.checkers.note(&Seen::Signed { entry, seq });
                    self.books.entry_kept(entry, seq);
                }
            }
            What::Entry {
                task,
                entry,
                reader,
                seq,
                reading,
            } => {
                let result = self.network.finish(task);
                if let Ok(read) = &result {
                    self.checkers.note(&Seen::Shown {
                        reader,
                        entry,
                        seq: read.record.seq(),
                        acknowledged: seq,
                    });
                }
                let found = result.map(|_| true).or_else(|failure| was_asked(&failure));
                self.read_ended(found, reading, |run, reading| {
                    run.read_entry(entry, reading);
                });
            }
            What::Add(task, bag, writer, item) => {
                if self.network.finish(task).is_ok() {
                    self.books.item_kept(bag, writer, item);
                }
            }
            What::List {
                task,
                bag,
                items,
                reading,
            } => {
                let result = self.network.finish(task);
                let found = result
                    .map(|listed| self.has_items(bag, items, &listed))
                    .or_else(|failure| was_asked(&failure));
                self.read_ended(found, reading, |run, reading| run.list(bag, reading));
            }
            What::Lookup(task) => {
                let result = self.network.finish(task);
                self.measures.looked_up(&result);
            }
        }
    }

    /// Counts a read; one of all is tried again from another node. None when its reader died.
    fn read_ended(
        &mut self,
        found: Result<bool, ()>,
        reading: Reading,
        again: impl FnOnce(&mut Self, Reading),
    ) {
        match (found, reading) {
            (Err(()), reading) => {
                // The reader died: somebody else reads, as if it had not been asked.
                if reading != Reading::Usual {
                    again(self, reading);
                }
            }
            (Ok(found), Reading::Usual) => self.measures.read(found),
            (Ok(false), Reading::All(attempt)) if attempt < ATTEMPTS => {
                self.measures.read(false);
                again(self, Reading::All(attempt + 1));
            }
            (Ok(found), Reading::All(_)) => {
                self.measures.read(found);
                self.measures.reading.all += 1;
                self.measures.reading.found += usize::from(found);
            }
        }
    }

    fn has_items(&self, bag: usize, items: usize, listed: &Listed) -> bool {
        let Some(kept) = self.books.bags.get(bag) else {
            return false;
        };
        let is_shown = |(writer, item): &(Writer, Bytes)| {
            let mut shown = listed.items.iter();
            shown.any(|record| record.writer() == writer && record.payload() == item)
        };
        kept.items.iter().take(items).all(is_shown)
    }
}

/// What a failed read says: that it was not found, or nothing when the reader died.
const fn was_asked(failure: &Failure) -> Result<bool, ()> {
    match failure {
        Failure::Dead { .. } => Err(()),
        _ => Ok(false),
    }
}

impl Pending {
    fn has_ended(&self, network: &Network) -> bool {
        match &self.what {
            What::Put(task) => network.has_ended(task),
            What::Get(task, ..) => network.has_ended(task),
            What::Entry { task, .. } => network.has_ended(task),
            What::Set(task, _) | What::Add(task, ..) => network.has_ended(task),
            What::List { task, .. } => network.has_ended(task),
            What::Lookup(task) => network.has_ended(task),
        }
    }
}

const MICROS_PER_HOUR: u64 = 3_600_000_000;
