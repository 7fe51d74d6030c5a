//! What was acknowledged, beside the network that has to keep it.
//!
//! What must stay true: every write goes into the books only when it was acknowledged, and every
//! read is checked against them. Each writer writes one thing at a time, from any node.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use qadom_sim::{
    Failure, Key, Network, NodeIndex, OperationFailure, SignedRead, Task, Writer, Written,
};

/// Attempts of a write, as a user makes them.
const ATTEMPTS: usize = 5;

type Entry = (Writer, Key);
type Item = (Writer, Bytes);

/// A network and the books.
pub(crate) struct World {
    pub(crate) network: Network,
    /// Acknowledged entries: seq, and the value unless it was deleted.
    entries: BTreeMap<Entry, (u64, Option<Bytes>)>,
    /// Bags with the items that are in them.
    bags: BTreeMap<Key, BTreeSet<Item>>,
    /// Names with their values, as long as they are not deleted.
    names: BTreeMap<String, Option<Bytes>>,
    /// The highest seq that each reader was shown.
    shown: BTreeMap<(NodeIndex, Entry), u64>,
    /// Attempts of writes that failed.
    pub(crate) failures: Vec<Failure>,
    pub(crate) writes: u32,
    pub(crate) reads: u32,
    /// Listings that did not say that they are complete.
    pub(crate) incomplete: u32,
    counter: u64,
}

impl World {
    pub(crate) fn new(network: Network) -> Self {
        Self {
            network,
            entries: BTreeMap::new(),
            bags: BTreeMap::new(),
            names: BTreeMap::new(),
            shown: BTreeMap::new(),
            failures: Vec::new(),
            writes: 0,
            reads: 0,
            incomplete: 0,
            counter: 0,
        }
    }

    /// Begins this many entries, bags of five items, and names.
    pub(crate) fn populate(&mut self, entries: usize, bags: usize, names: usize) {
        for _ in 0..entries {
            let entry = (self.network.add_writer(), self.network.random_key());
            self.set_entry(entry);
        }
        for _ in 0..bags {
            let bag = self.network.random_key();
            for _ in 0..5 {
                self.add_item(bag);
            }
        }
        for number in 0..names {
            self.set_name(&format!("name {number}"));
        }
    }

    /// One write of each view and one read of each, of what the seed chooses.
    pub(crate) fn step(&mut self) {
        let entry = self.any(|world| world.entries.keys().copied().collect());
        if self.network.random_below(8) == 0 {
            self.delete_entry(entry);
        } else {
            self.set_entry(entry);
        }
        let bag = self.any(|world| world.bags.keys().copied().collect());
        let is_full = self.bags.get(&bag).unwrap().len() > 8;
        if is_full || self.network.random_below(3) == 0 {
            self.remove_item(bag);
        } else {
            self.add_item(bag);
        }
        let name = self.any(|world| world.names.keys().cloned().collect());
        if self.network.random_below(8) == 0 {
            self.delete_name(&name);
        } else {
            self.set_name(&name);
        }
        let entry = self.any(|world| world.entries.keys().copied().collect());
        self.read_any(entry);
        self.read_latest(entry);
        let bag = self.any(|world| world.bags.keys().copied().collect());
        self.list(bag);
        let name = self.any(|world| world.names.keys().cloned().collect());
        self.read_name(&name);
    }

    /// Reads everything from random nodes.
    pub(crate) fn check_all(&mut self) {
        for entry in self.entries.keys().copied().collect::<Vec<_>>() {
            self.read_latest(entry);
            self.read_any(entry);
        }
        for bag in self.bags.keys().copied().collect::<Vec<_>>() {
            self.list(bag);
        }
        for name in self.names.keys().cloned().collect::<Vec<_>>() {
            self.read_name(&name);
        }
        assert_eq!(self.network.figures().too_long, 0);
    }

    pub(crate) fn report(&self, what: &str) {
        let figures = self.network.figures();
        println!(
            "{what}: {} writes ({} attempts failed), {} reads, {} listings not said to be \
             complete, {} messages, {} lost",
            self.writes,
            self.failures.len(),
            self.reads,
            self.incomplete,
            figures.messages,
            figures.lost,
        );
        for failure in &self.failures {
            println!("  {failure}");
        }
    }

    // Writes.

    pub(crate) fn set_entry(&mut self, entry: Entry) {
        let node = self.network.random_node();
        self.set_entry_at(node, entry);
    }

    pub(crate) fn set_entry_at(&mut self, node: NodeIndex, entry: Entry) {
        let value = self.payload("value");
        let (writer, key) = entry;
        let written = self.insist(node, |network, node| {
            network.start_namespace_set((node, writer), key, value.clone())
        });
        let seq = written.unwrap().record.seq();
        let before = self.entries.insert(entry, (seq, Some(value)));
        let before = before.map_or(0, |(before, _)| before);
        assert!(seq > before, "seq {seq} was signed after {before}");
    }

    fn delete_entry(&mut self, entry: Entry) {
        let (writer, key) = entry;
        let node = self.network.random_node();
        let written = self.insist(node, |network, node| {
            network.start_namespace_delete((node, writer), key)
        });
        let seq = written.unwrap().record.seq();
        self.entries.insert(entry, (seq, None));
    }

    pub(crate) fn new_bag(&mut self) -> Key {
        let bag = self.network.random_key();
        self.bags.insert(bag, BTreeSet::new());
        bag
    }

    fn add_item(&mut self, bag: Key) {
        let node = self.network.random_node();
        self.add_item_at(node, bag);
    }

    pub(crate) fn add_item_at(&mut self, node: NodeIndex, bag: Key) {
        let writer = self.network.add_writer();
        let item = self.payload("item");
        let written = self.insist(node, |network, node| {
            network.start_bag_add((node, writer), bag, item.clone())
        });
        assert_eq!(written.unwrap().record.payload(), &item);
        self.bags.entry(bag).or_default().insert((writer, item));
    }

    fn remove_item(&mut self, bag: Key) {
        let node = self.network.random_node();
        self.remove_item_at(node, bag);
    }

    pub(crate) fn remove_item_at(&mut self, node: NodeIndex, bag: Key) {
        let items: Vec<Item> = self.bags.get(&bag).unwrap().iter().cloned().collect();
        let choice = self.network.random_below(items.len());
        let Some((writer, item)) = items.get(choice).cloned() else {
            return;
        };
        let removed = self.insist(node, |network, node| {
            network.start_bag_remove((node, writer), bag, item.clone())
        });
        if let Some(written) = removed {
            assert!(written.record.is_tombstone());
        }
        self.bags.get_mut(&bag).unwrap().remove(&(writer, item));
    }

    fn set_name(&mut self, name: &str) {
        let node = self.network.random_node();
        self.set_name_at(node, name);
    }

    pub(crate) fn set_name_at(&mut self, node: NodeIndex, name: &str) {
        let writer = self.network.add_writer();
        let value = self.payload("cell");
        let written = self.insist(node, |network, node| {
            network.start_dict_set((node, writer), name, value.clone())
        });
        assert_eq!(written.unwrap().record.writer(), &writer);
        self.names.insert(name.to_owned(), Some(value));
    }

    fn delete_name(&mut self, name: &str) {
        let writer = self.network.add_writer();
        let node = self.network.random_node();
        let written = self.insist(node, |network, node| {
            network.start_dict_delete((node, writer), name)
        });
        assert!(written.unwrap().record.is_tombstone());
        self.names.insert(name.to_owned(), None);
    }

    /// Writes until it is acknowledged. None when an attempt that had failed did its work all the
    /// same, so that there is nothing left to remove; an attempt that found nothing did no work.
    fn insist(
        &mut self,
        first: NodeIndex,
        start: impl Fn(&mut Network, NodeIndex) -> Task<Written>,
    ) -> Option<Written> {
        self.writes += 1;
        let mut node = first;
        let mut may_be_done = false;
        for _ in 0..ATTEMPTS {
            let task = start(&mut self.network, node);
            match self.network.finish(task) {
                Ok(written) => return Some(written),
                Err(Failure::Operation(OperationFailure::NotFound { .. })) if may_be_done => {
                    return None;
                }
                Err(failure) => {
                    let is_absent = matches!(
                        failure,
                        Failure::Operation(OperationFailure::NotFound { .. })
                    );
                    may_be_done |= !is_absent;
                    // A node that just died is no failure of the view.
                    let is_dead = matches!(failure, Failure::Dead { .. });
                    println!("write at node {node} failed: {failure}");
                    self.failures.extend((!is_dead).then_some(failure));
                }
            }
            node = self.network.random_node();
        }
        panic!("a write failed {ATTEMPTS} times: {:?}", self.failures);
    }

    // Reads.

    pub(crate) fn read_latest(&mut self, entry: Entry) {
        let node = self.network.random_node();
        self.read_latest_at(node, entry);
    }

    /// The latest is exactly what was acknowledged last.
    pub(crate) fn read_latest_at(&mut self, node: NodeIndex, entry: Entry) {
        let result = self.network.namespace_get(node, entry, true);
        let (seq, value) = self.entries.get(&entry).unwrap().clone();
        let what = format!("node {node} reads {entry:?}, of which {seq} is the latest");
        let Some(read) = self.found(result, value.is_none(), &what) else {
            return;
        };
        assert_eq!(read.record.seq(), seq, "{what}: {read:?}");
        assert_eq!(Some(read.record.payload()), value.as_ref(), "{what}");
        self.note_shown(node, entry, seq);
    }

    /// Any version is one that the reader has not seen a higher one of.
    pub(crate) fn read_any(&mut self, entry: Entry) {
        let node = self.network.random_node();
        let result = self.network.namespace_get(node, entry, false);
        let what = format!("node {node} reads any of {entry:?}");
        // A deleted entry may be found by who did not see the tombstone yet.
        let may_be_absent = self.entries.get(&entry).unwrap().1.is_none();
        if let Some(read) = self.found(result, may_be_absent, &what) {
            self.note_shown(node, entry, read.record.seq());
        }
    }

    pub(crate) fn list(&mut self, bag: Key) {
        let node = self.network.random_node();
        self.list_at(node, bag);
    }

    /// A listing is exactly what is in the bag.
    pub(crate) fn list_at(&mut self, node: NodeIndex, bag: Key) {
        self.reads += 1;
        let listed = self.network.bag_list(node, bag).unwrap();
        self.incomplete += u32::from(!listed.complete);
        let shown: BTreeSet<Item> = listed
            .items
            .iter()
            .map(|record| (*record.writer(), record.payload().clone()))
            .collect();
        let kept = self.bags.get(&bag).unwrap();
        let lost: Vec<_> = kept.difference(&shown).collect();
        let back: Vec<_> = shown.difference(kept).collect();
        assert!(
            lost.is_empty() && back.is_empty(),
            "node {node} lists {bag}, complete {}: {} items; it lacks {lost:?} and has {back:?}",
            listed.complete,
            shown.len(),
        );
    }

    pub(crate) fn read_name(&mut self, name: &str) {
        let node = self.network.random_node();
        self.read_name_at(node, name);
    }

    pub(crate) fn read_name_at(&mut self, node: NodeIndex, name: &str) {
        let result = self.network.dict_get(node, name);
        let value = self.names.get(name).unwrap().clone();
        let what = format!("node {node} reads {name:?}");
        if let Some(read) = self.found(result, value.is_none(), &what) {
            assert_eq!(Some(read.record.payload()), value.as_ref(), "{what}");
        }
    }

    /// What a read found; none when there is nothing to be found.
    fn found(
        &mut self,
        result: Result<SignedRead, Failure>,
        may_be_absent: bool,
        what: &str,
    ) -> Option<SignedRead> {
        self.reads += 1;
        match result {
            Ok(read) => Some(read),
            Err(Failure::Operation(OperationFailure::NotFound { .. })) if may_be_absent => None,
            Err(Failure::Dead { .. }) => None,
            Err(failure) => panic!("{what}: {failure}"),
        }
    }

    fn note_shown(&mut self, node: NodeIndex, entry: Entry, seq: u64) {
        let before = self.shown.insert((node, entry), seq).unwrap_or(0);
        assert!(
            seq >= before,
            "node {node} was shown seq {seq} of {entry:?} after {before}"
        );
    }

    // What the seed chooses.

    fn any<T: Clone>(&mut self, all: impl Fn(&Self) -> Vec<T>) -> T {
        let all = all(self);
        let choice = self.network.random_below(all.len());
        all.get(choice).unwrap().clone()
    }

    fn payload(&mut self, what: &str) -> Bytes {
        self.counter += 1;
        format!("{what} {}", self.counter).into()
    }
}
