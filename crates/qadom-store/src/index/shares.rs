//! The fair order in which records leave: of the group that has most, of its owner that has most,
//! the one with the lowest rank.
//!
//! What must stay true: every listed record is in the sums of its group and its owner, and a sum
//! without records is forgotten. Cached copies have sums of their own and leave before the first
//! record does. All lists are flat, because a tree for each of many small groups would take a
//! kilobyte each. How many leave is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::{ByOwner, ByShare, Line, Record};
use crate::{Class, Columns, Usage};

type Group = [u8; 8];
type Owner = [u8; 32];

/// The records of one scope.
#[derive(Debug)]
pub(crate) struct Shares<T> {
    lines: BTreeSet<Line<T, ByShare>>,
    groups: Sums<Class, 8>,
    owners: Sums<(Class, Group), 32>,
}

impl<T> Shares<T> {
    pub(crate) const fn new() -> Self {
        Self {
            lines: BTreeSet::new(),
            groups: Sums::new(),
            owners: Sums::new(),
        }
    }

    pub(crate) fn add(&mut self, record: &Arc<Record<T>>) {
        let columns = &record.columns;
        self.groups
            .add(columns.class, columns.group, columns.charge);
        let among = (columns.class, columns.group);
        self.owners.add(among, columns.owner, columns.charge);
        self.lines.insert(Line::new(record));
    }

    pub(crate) fn strike(&mut self, record: &Arc<Record<T>>) {
        let columns = &record.columns;
        self.groups
            .subtract(columns.class, columns.group, columns.charge);
        let among = (columns.class, columns.group);
        self.owners.subtract(among, columns.owner, columns.charge);
        self.lines.remove(&Line::new(record));
    }
}

impl<T: Default> Shares<T> {
    /// All records; the first is the one to leave. Which comes next changes with every departure.
    pub(crate) fn victims(&self) -> impl Iterator<Item = &Arc<Record<T>>> {
        let classes = [Class::Cached, Class::Record].into_iter();
        let groups = classes.flat_map(|class| {
            let groups = self.groups.largest_first(class);
            groups.map(move |group| (class, group))
        });
        let owners = groups.flat_map(|among| {
            let owners = self.owners.largest_first(among);
            owners.map(move |owner| (among, owner))
        });
        owners.flat_map(|((class, group), owner)| {
            let first = first_of(class, group, owner);
            let lines = self.lines.range(Line::before(first)..);
            lines.map(|line| &line.record).take_while(move |record| {
                let columns = &record.columns;
                (columns.class, columns.group, columns.owner) == (class, group, owner)
            })
        })
    }
}

/// The records of a container that has many, with what each owner has in it.
#[derive(Debug)]
pub(crate) struct Crowd<T> {
    pub(crate) usage: Usage,
    pub(crate) shares: Shares<T>,
    lines: BTreeSet<Line<T, ByOwner>>,
    owners: BTreeMap<Owner, Usage>,
}

impl<T> Crowd<T> {
    const fn new() -> Self {
        Self {
            usage: Usage::NONE,
            shares: Shares::new(),
            lines: BTreeSet::new(),
            owners: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, record: &Arc<Record<T>>) {
        let columns = &record.columns;
        self.usage.add(columns.charge);
        self.shares.add(record);
        self.lines.insert(Line::new(record));
        self.owners
            .entry(columns.owner)
            .or_default()
            .add(columns.charge);
    }

    pub(crate) fn strike(&mut self, record: &Arc<Record<T>>) {
        let columns = &record.columns;
        self.usage.subtract(columns.charge);
        self.shares.strike(record);
        self.lines.remove(&Line::new(record));
        if let Some(usage) = self.owners.get_mut(&columns.owner) {
            usage.subtract(columns.charge);
            if usage.records == 0 {
                self.owners.remove(&columns.owner);
            }
        }
    }

    pub(crate) fn owner_usage(&self, owner: &Owner) -> Usage {
        self.owners.get(owner).copied().unwrap_or_default()
    }
}

impl<T: Default> Crowd<T> {
    /// What `owner` has; the first is the one to leave.
    pub(crate) fn victims_of(&self, owner: Owner) -> impl Iterator<Item = &Arc<Record<T>>> {
        let first = first_of(Class::Cached, [0; 8], owner);
        let lines = self.lines.range(Line::before(first)..);
        lines
            .map(|line| &line.record)
            .take_while(move |record| record.columns.owner == owner)
    }
}

impl<'a, T: 'a> FromIterator<&'a Arc<Record<T>>> for Crowd<T> {
    fn from_iter<I: IntoIterator<Item = &'a Arc<Record<T>>>>(records: I) -> Self {
        let mut crowd = Self::new();
        for record in records {
            crowd.add(record);
        }
        crowd
    }
}

/// The lowest columns that a record of this share can have, in both orders that ask.
const fn first_of(class: Class, group: Group, owner: Owner) -> Columns {
    Columns {
        expires_at: 0,
        charge: 0,
        group,
        owner,
        rank: 0,
        class,
    }
}

/// What members of `N` bytes have, and their order by it, apart for each `P` that they are among.
#[derive(Debug)]
struct Sums<P, const N: usize> {
    usage: BTreeMap<(P, [u8; N]), Usage>,
    order: BTreeSet<(P, u64, [u8; N])>,
}

impl<P, const N: usize> Sums<P, N> {
    const fn new() -> Self {
        Self {
            usage: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<P: Copy + Ord, const N: usize> Sums<P, N> {
    fn add(&mut self, among: P, member: [u8; N], charge: u32) {
        let usage = self.usage.entry((among, member)).or_default();
        if usage.records > 0 {
            self.order.remove(&(among, usage.charge, member));
        }
        usage.add(charge);
        self.order.insert((among, usage.charge, member));
    }

    fn subtract(&mut self, among: P, member: [u8; N], charge: u32) {
        let Some(usage) = self.usage.get_mut(&(among, member)) else {
            return;
        };
        self.order.remove(&(among, usage.charge, member));
        usage.subtract(charge);
        if usage.records == 0 {
            self.usage.remove(&(among, member));
        } else {
            self.order.insert((among, usage.charge, member));
        }
    }

    /// Whoever has most first, ties by the higher bytes.
    fn largest_first(&self, among: P) -> impl Iterator<Item = [u8; N]> {
        let range = (among, 0, [0; N])..=(among, u64::MAX, [u8::MAX; N]);
        self.order.range(range).rev().map(|&(_, _, member)| member)
    }
}
