//! The orders in which entries leave, and the counters of what is kept: held in memory beside every
//! store, and rebuilt from the entries when one is opened.
//!
//! What must stay true: every entry is one record, in every list that orders it, and the counters
//! are the sums of the records. So a store writes one thing per change, which cannot be torn, and
//! its counters are exact after every crash. A container has lists of its own only while it has
//! many records, because most have one. The entries' bytes are not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::name::Name;
use crate::{Columns, Container, LargestGroup, Scope, Stats, Ticket, Usage};

mod record;
mod shares;

pub(crate) use record::Record;

use record::{ByExpiry, ByName, Line};
use shares::{Crowd, Shares, sum, victim_of_few, victim_of_owner_among_few};

/// `T` is what a store keeps of each entry in memory.
#[derive(Debug)]
pub(crate) struct Index<T> {
    names: BTreeSet<Line<T, ByName>>,
    expiry: BTreeSet<Line<T, ByExpiry>>,
    shares: Shares<T>,
    /// The containers that had more than [`CROWD`] records and still have more than half of that.
    crowds: BTreeMap<Container, Box<Crowd<T>>>,
    stats: Stats,
    ticket: Ticket,
}

impl<T> Index<T> {
    /// Of an empty store, whose next change gets the ticket after `ticket`.
    pub(crate) const fn new(ticket: Ticket) -> Self {
        Self {
            names: BTreeSet::new(),
            expiry: BTreeSet::new(),
            shares: Shares::new(),
            crowds: BTreeMap::new(),
            stats: Stats::EMPTY,
            ticket,
        }
    }

    /// Lists all entries of a store at once, as adding them one by one would. That takes a fraction
    /// of the time when they come in the order of their names.
    #[cfg(any(test, feature = "redb", feature = "sled"))]
    pub(crate) fn of(records: &[Arc<Record<T>>], ticket: Ticket) -> Self {
        let names: BTreeSet<_> = records.iter().map(Line::new).collect();
        // Behind this order each name comes once, whatever an engine gave.
        let records: Vec<_> = names.iter().map(|line| &line.record).collect();
        let mut stats = Stats::EMPTY;
        for Record { columns, .. } in records.iter().map(|record| &***record) {
            stats.add(columns.class, columns.charge);
        }
        let crowds = records.chunk_by(|one, other| one.name.container() == other.name.container());
        let crowds = crowds.filter(|records| records.len() > CROWD);
        let crowds = crowds.filter_map(|records| {
            let crowd: Crowd<T> = records.iter().copied().collect();
            Some((records.first()?.name.container(), Box::new(crowd)))
        });
        let crowds = crowds.collect();
        let shares = Shares::of(&records);
        let mut by_expiry = records;
        by_expiry.sort_by_cached_key(|record| record.columns.expires_at);
        Self {
            expiry: by_expiry.into_iter().map(Line::new).collect(),
            names,
            shares,
            crowds,
            stats,
            ticket,
        }
    }
}

impl<T: Default> Index<T> {
    pub(crate) const fn stats(&self) -> Stats {
        self.stats
    }

    pub(crate) const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Counts a change.
    pub(crate) fn advance(&mut self) {
        self.ticket = self.ticket.next();
    }

    /// Lists an entry, in place of what had its name.
    pub(crate) fn add(&mut self, name: Name, columns: Columns, content: T) {
        self.strike(&name);
        let container = name.container();
        let record = &Arc::new(Record {
            name,
            columns,
            content,
        });
        self.stats.add(columns.class, columns.charge);
        self.names.insert(Line::new(record));
        self.expiry.insert(Line::new(record));
        self.shares.add(record);
        if let Some(crowd) = self.crowds.get_mut(&container) {
            crowd.add(record);
        } else if self.records_in(&container).take(CROWD + 1).count() > CROWD {
            let crowd = self.records_in(&container).collect();
            self.crowds.insert(container, Box::new(crowd));
        }
    }

    /// Strikes out the entry `name` and tells whether it was listed.
    pub(crate) fn strike(&mut self, name: &Name) -> bool {
        let Some(Line { record, .. }) = self.names.take(name.as_bytes()) else {
            return false;
        };
        self.stats
            .subtract(record.columns.class, record.columns.charge);
        self.expiry.remove(&Line::new(&record));
        self.shares.strike(&record);
        let container = name.container();
        if let Some(crowd) = self.crowds.get_mut(&container) {
            crowd.strike(&record);
            if crowd.usage.records <= CROWD as u64 / 2 {
                self.crowds.remove(&container);
            }
        }
        true
    }

    pub(crate) fn record(&self, name: &Name) -> Option<&Record<T>> {
        let line = self.names.get(name.as_bytes())?;
        Some(&line.record)
    }

    /// The records from one name to another, inclusive and exclusive, by name.
    pub(crate) fn range<'a>(
        &'a self,
        from: &Name,
        to: &Name,
    ) -> impl Iterator<Item = &'a Arc<Record<T>>> + use<'a, T> {
        let bounds = (
            Bound::Included(from.as_bytes()),
            Bound::Excluded(to.as_bytes()),
        );
        let lines = self.names.range::<[u8], _>(bounds);
        lines.map(|line| &line.record)
    }

    /// The entry that expires first, if at or before `until`.
    pub(crate) fn first_expired(&self, until: u64) -> Option<Arc<Record<T>>> {
        let Line { record, .. } = self.expiry.first()?;
        (record.columns.expires_at <= until).then(|| Arc::clone(record))
    }

    pub(crate) fn usage(&self, container: &Container) -> Usage {
        match self.crowds.get(container) {
            Some(crowd) => crowd.usage,
            None => sum(self.records_in(container).map(|record| &record.columns)),
        }
    }

    pub(crate) fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        if let Some(crowd) = self.crowds.get(container) {
            return crowd.owner_usage(owner);
        }
        let columns = self.records_in(container).map(|record| &record.columns);
        sum(columns.filter(|columns| columns.owner == *owner))
    }

    /// Of the groups in a scope the one that has most; an owner's records have one of their own.
    pub(crate) fn largest_group(&self, scope: Scope) -> LargestGroup {
        match scope {
            Scope::All => self.shares.largest(),
            Scope::Container(container) => {
                if let Some(crowd) = self.crowds.get(&container) {
                    return crowd.shares.largest();
                }
                let small: Crowd<T> = self.records_in(&container).collect();
                small.shares.largest()
            }
            Scope::Owner(container, owner) => LargestGroup {
                usage: self.owner_usage(&container, &owner),
                groups: 1,
            },
        }
    }

    fn records_in(&self, container: &Container) -> impl Iterator<Item = &Arc<Record<T>>> {
        let (from, to) = Name::container_range(container);
        self.range(&from, &to)
    }

    /// The entry in `scope` that is the next to leave by the fair order, `keep` aside.
    pub(crate) fn victim(&self, scope: Scope, keep: &[Name]) -> Option<Arc<Record<T>>> {
        let may_leave = |record: &&Arc<Record<T>>| !keep.contains(&record.name);
        let (container, owner) = match scope {
            Scope::All => return self.shares.victims().find(may_leave).cloned(),
            Scope::Container(container) => (container, None),
            Scope::Owner(container, owner) => (container, Some(owner)),
        };
        let crowd = self.crowds.get(&container);
        match (crowd, owner) {
            (Some(crowd), None) => crowd.shares.victims().find(may_leave),
            (Some(crowd), Some(owner)) => crowd.victims_of(owner).find(may_leave),
            (None, None) => victim_of_few(self.records_in(&container), may_leave),
            (None, Some(owner)) => {
                victim_of_owner_among_few(self.records_in(&container), owner, may_leave)
            }
        }
        .cloned()
    }
}

/// Up to this many records are looked through when their container is asked for.
const CROWD: usize = 32;

#[cfg(test)]
mod tests;
