//! The contract of a store, kept with an index, a buffer and a database whatever its engine is.
//!
//! What must stay true: a change is made in the index and in the buffer under one lock, so that
//! counters, orders and reads never disagree; what is asked of the engine is hidden by what the
//! buffer has. Locks, failures and reopening are in `disk`.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use qadom_routing::Key;

use super::{BUFFER_MAX, Database, Disk};
use crate::name::Name;
use crate::{
    Container, Entry, EntryId, Evicted, LargestGroup, Needed, OpenError, Scope, Stats, Store,
    StoreError, Ticket, Usage, layout,
};

/// A store that has a [`Disk`].
pub(crate) trait OnDisk: Debug + Send + Sync {
    type Database: Database;

    fn disk(&self) -> &Disk<Self::Database>;
}

impl<T: OnDisk> Store for T {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        let name = Name::new(slot, id);
        let buffered = self.disk().state().buffer.get(&name).cloned();
        if let Some(value) = buffered {
            return Ok(value.and_then(|value| layout::decode(name.as_bytes(), &value)));
        }
        let found = self.disk().ask(|database| {
            let bytes = name.as_bytes();
            database.get(bytes, |value| layout::decode(bytes, value))
        })?;
        if let Some(None) = found {
            self.disk().drop_damaged(name);
            return Ok(None);
        }
        Ok(found.flatten())
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        StoreError::check_length(entry.bytes.len())?;
        let name = Name::new(&entry.slot, &entry.id);
        let value = layout::encode(&name, &entry.bytes, &entry.columns);
        let state = &mut *self.disk().state();
        state.check()?;
        if state.buffer.size() > BUFFER_MAX {
            return Err(StoreError::Behind { limit: BUFFER_MAX });
        }
        state.index.add(name.clone(), entry.columns, ());
        state.index.advance();
        state.buffer.note(name, Some(value.into()));
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        let name = Name::new(slot, id);
        let state = &mut *self.disk().state();
        state.check()?;
        let is_there = state.index.record(&name).is_some();
        if is_there {
            state.drop_entry(&name);
        }
        Ok(is_there)
    }

    fn scan_slot(
        &self,
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        scan(self.disk(), Name::slot_range(slot, from, to), limit)
    }

    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        scan(self.disk(), Name::key_range(from, to, after), limit)
    }

    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError> {
        let state = &mut *self.disk().state();
        let mut removed = 0;
        state.check()?;
        while removed < limit
            && let Some(record) = state.index.first_expired(until)
        {
            state.drop_entry(&record.name);
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
        let state = &mut *self.disk().state();
        let mut evicted = Vec::new();
        state.check()?;
        while !needed.is_met()
            && let Some(record) = state.index.victim(scope, &keep)
        {
            state.drop_entry(&record.name);
            needed.lessen(record.columns.charge);
            evicted.push(record.name.evicted());
        }
        Ok(evicted)
    }

    fn usage(&self, container: &Container) -> Usage {
        self.disk().state().index.usage(container)
    }

    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        self.disk().state().index.owner_usage(container, owner)
    }

    fn largest_group(&self, scope: Scope) -> LargestGroup {
        self.disk().state().index.largest_group(scope)
    }

    fn stats(&self) -> Stats {
        let state = self.disk().state();
        Stats {
            damaged: state.damage.count(),
            ..state.index.stats()
        }
    }

    fn buffered(&self) -> usize {
        self.disk().state().buffer.size()
    }

    fn take_damaged(&self) -> Vec<(Key, EntryId)> {
        let names = self.disk().state().damage.take_names();
        names.iter().map(Name::split).collect()
    }

    fn ticket(&self) -> Ticket {
        self.disk().state().index.ticket()
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        self.disk().commit()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_stopped(&self) -> bool {
        self.disk().state().stopped.is_some()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.disk().sync()
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        self.disk().reopen()
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        self.disk().start_over(quarantine)
    }
}

/// Joins what is buffered with what the engine has, and removes what turns out to be damaged.
fn scan<D: Database>(
    disk: &Disk<D>,
    range: Option<(Name, Name)>,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let Some((start, end)) = range.filter(|_| limit > 0) else {
        return Ok(Vec::new());
    };
    // Copied before the engine is asked, so that what is committed meanwhile is found there.
    let buffered = disk.state().buffer.range(&start, &end, limit);
    let mut damaged = Vec::new();
    let found = disk.ask(|database| {
        let mut buffered = buffered.into_iter().peekable();
        let mut found = Vec::new();
        let of_buffer =
            |(name, value): (Name, Option<Bytes>)| layout::decode(name.as_bytes(), &value?);
        let visit = |name: &[u8], value: &[u8]| {
            while let Some(own) = buffered.next_if(|(own, _)| own.as_bytes() < name) {
                found.extend(of_buffer(own));
            }
            match buffered.next_if(|(own, _)| own.as_bytes() == name) {
                Some(own) => found.extend(of_buffer(own)),
                None => match layout::decode(name, value) {
                    Some(entry) => found.push(entry),
                    None => damaged.push(Name::trusted(name)),
                },
            }
            if found.len() >= limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        database.scan(start.as_bytes(), Some(end.as_bytes()), visit)?;
        found.extend(buffered.filter_map(of_buffer));
        found.truncate(limit);
        Ok(found)
    })?;
    for name in damaged {
        disk.drop_damaged(name);
    }
    Ok(found)
}
