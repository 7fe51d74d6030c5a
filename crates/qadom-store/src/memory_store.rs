//! The store that forgets with its process: for `--memory`, tests and the simulator.
//!
//! What must stay true: an idle one owns no heap memory, so that hundreds fit into one process,
//! and every change is committed as soon as it is made.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use qadom_routing::Key;

use crate::index::{Index, Record};
use crate::name::Name;
use crate::{
    Container, Entry, EntryId, Evicted, LargestGroup, Needed, OpenError, Scope, Stats, Store,
    StoreError, Ticket, Usage,
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
    index: Mutex<Index<Bytes>>,
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
            index: Mutex::new(Index::new(Ticket::ZERO)),
        }
    }

    /// No change leaves the index half made, so one that a panicking thread held is used on.
    fn index(&self) -> MutexGuard<'_, Index<Bytes>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scan(&self, range: Option<(Name, Name)>, limit: usize) -> Vec<Entry> {
        let index = self.index();
        range.map_or_else(Vec::new, |(start, end)| {
            let found = index.range(&start, &end).take(limit);
            found.map(|record| entry_of(record)).collect()
        })
    }
}

impl Store for MemoryStore {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        Ok(self.index().record(&Name::new(slot, id)).map(entry_of))
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        StoreError::check_length(entry.bytes.len())?;
        // A copy of its own, because what comes off the wire is often a slice of a longer message.
        let bytes = Bytes::copy_from_slice(&entry.bytes);
        let name = Name::new(&entry.slot, &entry.id);
        let index = &mut *self.index();
        index.add(name, entry.columns, bytes);
        index.advance();
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        let index = &mut *self.index();
        let was_there = index.strike(&Name::new(slot, id));
        if was_there {
            index.advance();
        }
        Ok(was_there)
    }

    fn scan_slot(
        &self,
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(self.scan(Name::slot_range(slot, from, to), limit))
    }

    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(self.scan(Name::key_range(from, to, after), limit))
    }

    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError> {
        let index = &mut *self.index();
        let mut removed = 0;
        while removed < limit
            && let Some(record) = index.first_expired(until)
        {
            index.strike(&record.name);
            index.advance();
            removed += 1;
        }
        Ok(removed)
    }

    fn evict(
        &self,
        scope: Scope,
        mut needed: Needed,
        keep: &[(Key, EntryId)],
    ) -> Result<Vec<Evicted>, StoreError> {
        let keep = Name::list(keep);
        let index = &mut *self.index();
        let mut evicted = Vec::new();
        while !needed.is_met()
            && let Some(record) = index.victim(scope, &keep)
        {
            index.strike(&record.name);
            index.advance();
            needed.lessen(record.columns.charge);
            evicted.push(record.name.evicted());
        }
        Ok(evicted)
    }

    fn usage(&self, container: &Container) -> Usage {
        self.index().usage(container)
    }

    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        self.index().owner_usage(container, owner)
    }

    fn largest_group(&self, scope: Scope) -> LargestGroup {
        self.index().largest_group(scope)
    }

    fn stats(&self) -> Stats {
        self.index().stats()
    }

    fn ticket(&self) -> Ticket {
        self.index().ticket()
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        Ok(self.ticket())
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        Ok(self.ticket())
    }

    fn start_over(&self, _: &Path) -> Result<Ticket, OpenError> {
        let index = &mut *self.index();
        let ticket = index.ticket();
        *index = Index::new(ticket);
        Ok(ticket)
    }
}

fn entry_of(record: &Record<Bytes>) -> Entry {
    let (slot, id) = record.name.split();
    Entry {
        slot,
        id,
        bytes: record.content.clone(),
        columns: record.columns,
    }
}
