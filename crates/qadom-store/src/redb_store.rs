//! The store on disk, on redb 4: the only file that names it.
//!
//! redb writes one transaction at a time and each waits for the disk, so changes are gathered in
//! memory, where they are readable at once, and one commit takes all of them along. Each commit is
//! fsynced, so that one that survives a kill survives the loss of power too.
//!
//! What must stay true:
//! - a commit has two phases: with one phase redb tells whole from torn by a checksum that whoever
//!   stores records here could forge;
//! - a change leaves the memory only after the commit that contains it, so that every read finds it
//!   in one place or the other;
//! - a new database is made beside its place and renamed into it, because a file that a kill left
//!   half made does not open;
//! - after one error redb answers nothing that it does not hold in memory, until it is reopened.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use bytes::Bytes;
use qadom_routing::Key;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use crate::disk::{Database, Disk, Fault, FaultKind, Opened, State};
use crate::folder::{is_full, sync_folder};
use crate::index::Index;
use crate::name::Name;
use crate::{
    Container, EngineFault, Entry, EntryId, Evicted, Needed, OpenError, Scope, Stats, Store,
    StoreError, Ticket, Usage, layout,
};

/// Keeps entries in a folder, so that what was committed survives `kill -9` and the loss of power.
///
/// What was changed since the last commit is held in memory a second time. Opening reads every
/// entry once, to check it and to order them.
#[derive(Debug)]
pub struct RedbStore {
    disk: Disk<Redb>,
}

impl RedbStore {
    /// Opens the store in the folder `path` (`store/` of a node), or makes it when the folder is
    /// missing or empty.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a folder that is not a store of redb, or is newer, is left untouched.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Disk::open(path).map(|disk| Self { disk })
    }

    fn scan(&self, range: Option<(Name, Name)>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some((start, end)) = range.filter(|_| limit > 0) else {
            return Ok(Vec::new());
        };
        // Copied before redb is asked, so that what is committed meanwhile is found there.
        let buffered: Vec<(Name, Option<Bytes>)> = {
            let state = self.disk.state();
            let changes = state.buffer.range(&start..&end);
            changes
                .map(|(name, change)| (name.clone(), change.value.clone()))
                .collect()
        };
        self.disk.read(|redb| {
            let mut buffered = buffered.into_iter().peekable();
            let mut found = Vec::new();
            let reading = redb.database.begin_read().map_err(fault)?;
            let table = reading.open_table(ENTRIES).map_err(fault)?;
            let range = start.as_bytes()..end.as_bytes();
            for pair in table.range::<&[u8]>(range).map_err(fault)? {
                let (name, value) = pair.map_err(fault)?;
                while let Some((own, value)) =
                    buffered.next_if(|(own, _)| own.as_bytes() < name.value())
                {
                    found.extend(self.decode_buffered(&own, value));
                }
                let own = buffered.next_if(|(own, _)| own.as_bytes() == name.value());
                match own {
                    Some((own, value)) => found.extend(self.decode_buffered(&own, value)),
                    None => found.extend(self.disk.decode(name.value(), value.value())),
                }
                if found.len() >= limit {
                    break;
                }
            }
            if found.len() < limit {
                found.extend(buffered.filter_map(|(own, value)| self.decode_buffered(&own, value)));
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    fn decode_buffered(&self, name: &Name, value: Option<Bytes>) -> Option<Entry> {
        self.disk.decode(name.as_bytes(), &value?)
    }
}

impl Store for RedbStore {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        let name = Name::new(slot, id);
        let buffered = {
            let state = self.disk.state();
            let change = state.buffer.get(&name);
            change.map(|change| change.value.clone())
        };
        if let Some(value) = buffered {
            return Ok(self.decode_buffered(&name, value));
        }
        self.disk.read(|redb| {
            let reading = redb.database.begin_read().map_err(fault)?;
            let table = reading.open_table(ENTRIES).map_err(fault)?;
            let value = table.get(name.as_bytes()).map_err(fault)?;
            Ok(value.and_then(|value| self.disk.decode(name.as_bytes(), value.value())))
        })
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        StoreError::check_length(entry.bytes.len())?;
        let name = Name::new(&entry.slot, &entry.id);
        let value = layout::encode(&name, &entry.bytes, &entry.columns);
        let state = &mut *self.disk.state();
        state.check()?;
        state.index.add(name.clone(), entry.columns, ());
        state.note(name, Some(value.into()));
        Ok(())
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        let name = Name::new(slot, id);
        let state = &mut *self.disk.state();
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
        self.scan(Name::slot_range(slot, from, to), limit)
    }

    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.scan(Name::key_range(from, to, after), limit)
    }

    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError> {
        let state = &mut *self.disk.state();
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
        let state = &mut *self.disk.state();
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
        self.disk.state().index.usage(container)
    }

    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        self.disk.state().index.owner_usage(container, owner)
    }

    fn stats(&self) -> Stats {
        self.disk.stats()
    }

    fn ticket(&self) -> Ticket {
        self.disk.state().index.ticket()
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        let (ticket, changes) = {
            let state = self.disk.state();
            state.check()?;
            let changes = state.buffer.iter();
            let changes: Vec<_> = changes
                .map(|(name, change)| (name.clone(), change.value.clone()))
                .collect();
            (state.index.ticket(), changes)
        };
        if !changes.is_empty() {
            self.disk.read(|redb| redb.write(&changes))?;
            let mut state = self.disk.state();
            state.buffer.retain(|_, change| change.ticket > ticket);
        }
        Ok(ticket)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_stopped(&self) -> bool {
        self.disk.state().stopped.is_some()
    }

    /// Every commit was fsynced.
    fn sync(&self) -> Result<(), StoreError> {
        self.disk.state().check()
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        self.disk.reopen()
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        self.disk.start_over(quarantine)
    }
}

/// The last change of each name since the last commit.
type Buffer = BTreeMap<Name, Change>;

#[derive(Debug)]
struct Change {
    ticket: Ticket,
    /// None when the entry was removed.
    value: Option<Bytes>,
}

impl State<Buffer> {
    /// Buffers a change that the index has taken in.
    fn note(&mut self, name: Name, value: Option<Bytes>) {
        self.index.advance();
        let ticket = self.index.ticket();
        self.buffer.insert(name, Change { ticket, value });
    }

    /// Removes an entry that is listed.
    fn drop_entry(&mut self, name: &Name) {
        self.index.strike(name);
        self.note(name.clone(), None);
    }
}

#[derive(Debug)]
struct Redb {
    database: redb::Database,
}

impl Redb {
    fn write(&self, changes: &[(Name, Option<Bytes>)]) -> Result<(), Fault> {
        let mut writing = self.database.begin_write().map_err(fault)?;
        writing.set_two_phase_commit(true);
        {
            let mut table = writing.open_table(ENTRIES).map_err(fault)?;
            for (name, value) in changes {
                let name = name.as_bytes();
                match value {
                    Some(value) => drop(table.insert(name, value.as_ref()).map_err(fault)?),
                    None => drop(table.remove(name).map_err(fault)?),
                }
            }
        }
        writing.commit().map_err(fault)
    }

    /// Gives the index and the names of what is damaged.
    fn read_all(&self, ticket: Ticket) -> Result<(Index<()>, Vec<Vec<u8>>), Fault> {
        let mut index = Index::new(ticket);
        let mut damaged = Vec::new();
        let reading = self.database.begin_read().map_err(fault)?;
        let table = reading.open_table(ENTRIES).map_err(fault)?;
        for pair in table.iter().map_err(fault)? {
            let (name, value) = pair.map_err(fault)?;
            match layout::decode(name.value(), value.value()) {
                Some(entry) => index.add(Name::new(&entry.slot, &entry.id), entry.columns, ()),
                None => damaged.push(name.value().to_vec()),
            }
        }
        Ok((index, damaged))
    }
}

impl Database for Redb {
    const ENGINE: &'static str = "redb";
    const FORMAT: u32 = 1;
    const PLACE: &'static str = "entries.redb";
    /// What a file grows by at least, twice.
    const SPACE_NEEDED: usize = 2 * 1024 * 1024;

    type Buffer = Buffer;

    fn open(folder: &Path, ticket: Ticket) -> Result<Opened<Self>, OpenError> {
        let place = folder.join(Self::PLACE);
        if !place.is_file() {
            create(folder, &place)?;
        }
        let database = Self {
            database: settings().open(&place).map_err(fault)?,
        };
        let (index, damaged) = database.read_all(ticket)?;
        if !damaged.is_empty() {
            let writing = database.database.begin_write().map_err(fault)?;
            {
                let mut table = writing.open_table(ENTRIES).map_err(fault)?;
                for name in &damaged {
                    table.remove(name.as_slice()).map_err(fault)?;
                }
            }
            writing.commit().map_err(fault)?;
        }
        Ok(Opened {
            database,
            index,
            damaged: damaged.len() as u64,
        })
    }

    /// A database is closed when its owner drops it.
    fn wait_until_released(_: &Path) -> Result<(), OpenError> {
        Ok(())
    }
}

/// Makes an empty database that is there whole or not at all.
fn create(folder: &Path, place: &Path) -> Result<(), OpenError> {
    let unfinished = folder.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = Redb {
        database: settings().create(&unfinished).map_err(fault)?,
    };
    database.write(&[])?;
    drop(database);
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, place)?;
    Ok(sync_folder(folder)?)
}

fn settings() -> redb::Builder {
    let mut settings = redb::Database::builder();
    settings.set_cache_size(CACHE_SIZE);
    settings
}

/// Tells what went wrong in redb.
fn fault(error: impl Into<redb::Error>) -> Fault {
    let error = error.into();
    let kind = match &error {
        redb::Error::Io(error) => kind_of(error),
        redb::Error::PreviousIo
        | redb::Error::DatabaseAlreadyOpen
        | redb::Error::DatabaseClosed
        | redb::Error::Unsupported => FaultKind::Failed,
        _ => FaultKind::Corrupt,
    };
    Fault {
        kind,
        source: EngineFault::new(&error.to_string()),
    }
}

fn kind_of(error: &io::Error) -> FaultKind {
    match error.kind() {
        kind if is_full(kind) => FaultKind::Full,
        // No redb, or not all of it.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => FaultKind::Corrupt,
        _ => FaultKind::Failed,
    }
}

/// The one table, from names to what [`layout`] makes of entries.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// Where the database lies until it is whole.
const UNFINISHED: &str = "entries.redb.new";
/// The memory that redb may use for pages, in bytes; its own default is 1 GiB.
const CACHE_SIZE: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
