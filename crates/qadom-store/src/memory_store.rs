//! The store that forgets with its process: for `--memory`, tests and the simulator.
//!
//! What must stay true: an idle one owns no heap memory, so that hundreds fit into one process,
//! and every change is committed as soon as it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use qadom_routing::Key;

use crate::{
    Class, Columns, ENTRY_MAX, Entry, EntryId, OpenError, Stats, Store, StoreError, Ticket,
};

/// Keeps entries in memory and commits at once.
///
/// # Examples
///
/// ```
/// use qadom_store::{MemoryStore, Store};
///
/// let store = MemoryStore::new();
/// assert!(!store.is_durable());
/// assert_eq!(store.stats().records, 0);
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Makes an empty store.
    pub const fn new() -> Self {
        Self {
            contents: Mutex::new(Contents::new()),
        }
    }

    /// No change leaves the contents half made, so one that a panicking thread held is used on.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        let name = (*slot, id.clone());
        Ok(self
            .contents()
            .entries
            .get(&name)
            .map(|kept| kept.entry(&name)))
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        if entry.bytes.len() > ENTRY_MAX {
            return Err(StoreError::EntryTooLarge {
                length: entry.bytes.len(),
                limit: ENTRY_MAX,
            });
        }
        self.contents().put(entry);
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        Ok(self.contents().remove(&(*slot, id.clone())).is_some())
    }

    fn scan_slot(
        &self,
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let contents = self.contents();
        let start = (*slot, from.cloned().unwrap_or(EntryId::BEFORE_ALL));
        Ok(contents
            .entries
            .range(start..)
            .take_while(|((at, id), _)| at == slot && to.is_none_or(|end| id < end))
            .take(limit)
            .map(|(name, kept)| kept.entry(name))
            .collect())
    }

    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let contents = self.contents();
        let start = match after {
            Some((slot, id)) if slot >= from => Bound::Excluded((*slot, id.clone())),
            _ => Bound::Included((*from, EntryId::BEFORE_ALL)),
        };
        Ok(contents
            .entries
            .range((start, Bound::Unbounded))
            .take_while(|((at, _), _)| at <= to)
            .take(limit)
            .map(|(name, kept)| kept.entry(name))
            .collect())
    }

    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError> {
        let mut contents = self.contents();
        let mut removed = 0;
        while removed < limit {
            let Some((expires_at, slot, id)) = contents.expiry.first().cloned() else {
                break;
            };
            if expires_at > until {
                break;
            }
            contents.remove(&(slot, id));
            removed += 1;
        }
        Ok(removed)
    }

    fn evict_cached(&self, charge: u64) -> Result<u64, StoreError> {
        let mut contents = self.contents();
        let mut freed = 0;
        while freed < charge {
            let Some((_, slot, id)) = contents.cached.first().cloned() else {
                break;
            };
            let Some(kept) = contents.remove(&(slot, id)) else {
                break;
            };
            freed += u64::from(kept.columns.charge);
        }
        Ok(freed)
    }

    fn stats(&self) -> Stats {
        self.contents().stats
    }

    fn ticket(&self) -> Ticket {
        self.contents().ticket
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        Ok(self.ticket())
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        Ok(self.ticket())
    }
}

/// What an entry is found by: slot and id.
type Name = (Key, EntryId);

#[derive(Debug)]
struct Contents {
    entries: BTreeMap<Name, Kept>,
    /// One line per entry, earliest expiry first.
    expiry: BTreeSet<(u64, Key, EntryId)>,
    /// One line per cached copy, earliest expiry first.
    cached: BTreeSet<(u64, Key, EntryId)>,
    stats: Stats,
    ticket: Ticket,
}

impl Contents {
    const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            expiry: BTreeSet::new(),
            cached: BTreeSet::new(),
            stats: Stats::EMPTY,
            ticket: Ticket::ZERO,
        }
    }

    fn put(&mut self, entry: Entry) {
        let Entry {
            slot,
            id,
            bytes,
            columns,
        } = entry;
        let name = (slot, id);
        self.forget(&name);
        let line = (columns.expires_at, name.0, name.1.clone());
        if columns.class == Class::Cached {
            self.cached.insert(line.clone());
        }
        self.expiry.insert(line);
        self.stats.add(columns.class, columns.charge);
        // A copy of its own, because what comes off the wire is often a slice of a longer message.
        let bytes = Bytes::copy_from_slice(&bytes);
        self.entries.insert(name, Kept { bytes, columns });
        self.ticket = self.ticket.next();
    }

    fn remove(&mut self, name: &Name) -> Option<Kept> {
        let kept = self.forget(name)?;
        self.ticket = self.ticket.next();
        Some(kept)
    }

    /// Takes an entry out without counting a change.
    fn forget(&mut self, name: &Name) -> Option<Kept> {
        let kept = self.entries.remove(name)?;
        let line = (kept.columns.expires_at, name.0, name.1.clone());
        self.expiry.remove(&line);
        self.cached.remove(&line);
        self.stats.subtract(kept.columns.class, kept.columns.charge);
        Some(kept)
    }
}

/// An entry without its name.
#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    columns: Columns,
}

impl Kept {
    fn entry(&self, name: &Name) -> Entry {
        Entry {
            slot: name.0,
            id: name.1.clone(),
            bytes: self.bytes.clone(),
            columns: self.columns,
        }
    }
}
