//! What users were promised, beside the network that has to keep it.
//!
//! What must stay true: a write goes into the books only when it was acknowledged.

use std::collections::BTreeMap;

use bytes::Bytes;
use qadom_routing::Key;
use qadom_wire::{Value, Writer};

use crate::node::NodeIndex;

/// An entry of a namespace, by its writer and its key.
pub(super) type Entry = (Writer, Key);

/// A value that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptValue {
    pub(super) key: Key,
}

/// A bag and the items that were acknowledged.
#[derive(Clone, Debug)]
pub(super) struct KeptBag {
    pub(super) key: Key,
    pub(super) items: Vec<(Writer, Bytes)>,
}

/// Every acknowledged record.
#[derive(Debug, Default)]
pub(super) struct Books {
    values: Vec<KeptValue>,
    entries: Vec<Entry>,
    /// The seq that was acknowledged last.
    seqs: BTreeMap<Entry, u64>,
    /// The nodes from which the writers write.
    pub(super) homes: BTreeMap<Entry, NodeIndex>,
    pub(super) bags: Vec<KeptBag>,
}

impl Books {
    pub(super) fn values(&self) -> &[KeptValue] {
        &self.values
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn value_kept(&mut self, key: Key) {
        self.values.push(KeptValue { key });
    }

    pub(super) fn entry_kept(&mut self, entry: Entry, seq: u64) {
        if self.seqs.insert(entry, seq).is_none() {
            self.entries.push(entry);
        }
    }

    pub(super) fn item_kept(&mut self, bag: Key, writer: Writer, item: Bytes) {
        if let Some(bag) = self.bags.iter_mut().find(|kept| kept.key == bag) {
            bag.items.push((writer, item));
        }
    }

    /// The seq that was acknowledged last, 0 when none was.
    pub(super) fn seq(&self, entry: &Entry) -> u64 {
        self.seqs.get(entry).copied().unwrap_or(0)
    }

    /// The value of this number of a run, and its key. Known before anybody writes it, so that
    /// attackers can prepare for the first one.
    pub(super) fn value(seed: u64, number: usize, length: usize) -> (Key, Bytes) {
        let mut bytes = format!("{seed:016x} {number}: ").into_bytes();
        let filler = b"a value of a simulated network ";
        let missing = length.saturating_sub(bytes.len());
        bytes.extend(filler.iter().cycle().take(missing));
        bytes.truncate(length.max(40));
        let bytes = Bytes::from(bytes);
        let key = Value::new(bytes.clone()).map_or(Key::ZERO, |value| *value.key());
        (key, bytes)
    }
}
