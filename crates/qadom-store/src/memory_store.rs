//! The store that forgets with its process: for `--memory`, tests and the simulator.
//!
//! What must stay true: an idle one owns no heap memory, so that hundreds fit into one process,
//! and every change is committed as soon as it is made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use qadom_routing::Key;

use crate::index::Index;
use crate::name::Name;
use crate::{Entry, EntryId, OpenError, Stats, Store, StoreError, Ticket};

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
            contents: Mutex::new(Contents {
                entries: BTreeMap::new(),
                index: Index::new(Ticket::ZERO),
            }),
        }
    }

    /// No change leaves the contents half made, so one that a panicking thread held is used on.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scan(&self, range: Option<(Name, Name)>, limit: usize) -> Vec<Entry> {
        let contents = self.contents();
        range.map_or_else(Vec::new, |(start, end)| {
            let found = contents.entries.range(start..end).take(limit);
            found.map(|(_, entry)| entry.clone()).collect()
        })
    }
}

impl Store for MemoryStore {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        Ok(self.contents().entries.get(&Name::new(slot, id)).cloned())
    }

    fn put(&self, mut entry: Entry) -> Result<(), StoreError> {
        StoreError::check_length(entry.bytes.len())?;
        // A copy of its own, because what comes off the wire is often a slice of a longer message.
        entry.bytes = Bytes::copy_from_slice(&entry.bytes);
        let name = Name::new(&entry.slot, &entry.id);
        let columns = entry.columns;
        let contents = &mut *self.contents();
        if let Some(old) = contents.entries.insert(name.clone(), entry) {
            contents.index.strike(&name, Some(old.columns.expires_at));
        }
        contents.index.add(name, &columns);
        contents.index.advance();
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        let name = Name::new(slot, id);
        let contents = &mut *self.contents();
        let Some(old) = contents.entries.remove(&name) else {
            return Ok(false);
        };
        contents.index.strike(&name, Some(old.columns.expires_at));
        contents.index.advance();
        Ok(true)
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
        let contents = &mut *self.contents();
        let mut removed = 0;
        while removed < limit
            && let Some(line) = contents.index.first_expired(until)
        {
            contents.drop_line(&line);
            removed += 1;
        }
        Ok(removed)
    }

    fn evict_cached(&self, charge: u64) -> Result<u64, StoreError> {
        let contents = &mut *self.contents();
        let mut freed = 0;
        while freed < charge
            && let Some(line) = contents.index.first_cached()
        {
            freed += u64::from(contents.drop_line(&line));
        }
        Ok(freed)
    }

    fn stats(&self) -> Stats {
        self.contents().index.stats()
    }

    fn ticket(&self) -> Ticket {
        self.contents().index.ticket()
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
        let contents = &mut *self.contents();
        let ticket = contents.index.ticket();
        contents.entries.clear();
        contents.index = Index::new(ticket);
        Ok(ticket)
    }
}

#[derive(Debug)]
struct Contents {
    entries: BTreeMap<Name, Entry>,
    index: Index,
}

impl Contents {
    /// Removes the entry of a line and gives its charge.
    fn drop_line(&mut self, line: &(u64, Name)) -> u32 {
        self.entries.remove(&line.1);
        self.index.advance();
        self.index.strike_line(line)
    }
}
