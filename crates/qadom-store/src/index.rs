//! The order in which entries leave, and the counters of what is kept: held in memory beside every
//! store, and rebuilt from the entries when one is opened.
//!
//! What must stay true: every entry has exactly one line in `expiry`, every cached copy one in
//! `cached`, and the counters are the sums of the lines. So a store writes one thing per change,
//! which cannot be torn, and its counters are exact after every crash. Entries are not known here.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::Name;
use crate::{Class, Columns, Stats, Ticket};

#[derive(Debug)]
pub(crate) struct Index {
    /// Earliest expiry first.
    expiry: BTreeMap<Line, Cost>,
    /// Earliest expiry first.
    cached: BTreeSet<Line>,
    stats: Stats,
    ticket: Ticket,
}

type Line = (u64, Name);

#[derive(Clone, Copy, Debug)]
struct Cost {
    class: Class,
    charge: u32,
}

impl Index {
    /// Of an empty store, whose next change gets the ticket after `ticket`.
    pub(crate) const fn new(ticket: Ticket) -> Self {
        Self {
            expiry: BTreeMap::new(),
            cached: BTreeSet::new(),
            stats: Stats::EMPTY,
            ticket,
        }
    }

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

    /// Lists an entry whose name is not listed.
    pub(crate) fn add(&mut self, name: Name, columns: &Columns) {
        let cost = Cost {
            class: columns.class,
            charge: columns.charge,
        };
        let line = (columns.expires_at, name);
        if cost.class == Class::Cached {
            self.cached.insert(line.clone());
        }
        self.stats.add(cost.class, cost.charge);
        self.expiry.insert(line, cost);
    }

    /// Strikes out the entry `name`. `expires_at` is where its line is looked for first; when the
    /// caller no longer knows it, all lines are searched.
    pub(crate) fn strike(&mut self, name: &Name, expires_at: Option<u64>) {
        let guess = expires_at.map(|expires_at| (expires_at, name.clone()));
        let line = guess
            .filter(|line| self.expiry.contains_key(line))
            .or_else(|| {
                self.expiry
                    .keys()
                    .find(|(_, listed)| listed == name)
                    .cloned()
            });
        if let Some(line) = line {
            self.strike_line(&line);
        }
    }

    /// The entry that expires first, if at or before `until`.
    pub(crate) fn first_expired(&self, until: u64) -> Option<(u64, Name)> {
        let (line, _) = self.expiry.first_key_value()?;
        (line.0 <= until).then(|| line.clone())
    }

    /// The cached copy that expires first.
    pub(crate) fn first_cached(&self) -> Option<(u64, Name)> {
        self.cached.first().cloned()
    }

    /// Strikes out one line and gives the charge it had.
    pub(crate) fn strike_line(&mut self, line: &(u64, Name)) -> u32 {
        self.cached.remove(line);
        self.expiry.remove(line).map_or(0, |cost| {
            self.stats.subtract(cost.class, cost.charge);
            cost.charge
        })
    }
}
