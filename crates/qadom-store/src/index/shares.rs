//! The fair order in which records leave: of the group that has most, of its owner that has most,
//! the one with the lowest rank.
//!
//! What must stay true: groups and owners stand in their order with the sum of what is listed.
//! Cached copies have sums of their own and leave before the first record does. Whoever lists
//! many records from many places makes this as large as it can get, so all lists are flat, because
//! a tree for each of many small groups would take a kilobyte each, and a sum is kept only where
//! adding it up again would take long. How many leave is not decided here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::{ByOwner, ByShare, Line, Order, Record};
use crate::{Class, Columns, LargestGroup, Usage};

type Group = [u8; 8];
type Owner = [u8; 32];

/// The records of one scope.
#[derive(Debug)]
pub(crate) struct Shares<T> {
    lines: BTreeSet<Line<T, ByShare>>,
    groups: Sums<Class, 8>,
    /// Groups that have records, cached copies aside.
    groups_with_records: u64,
    owners: Sums<(Class, Group), 32>,
}

impl<T> Shares<T> {
    pub(crate) const fn new() -> Self {
        Self {
            lines: BTreeSet::new(),
            groups: Sums::new(),
            groups_with_records: 0,
            owners: Sums::new(),
        }
    }
}

impl<T> Shares<T> {
    /// Of records in the order of their names.
    pub(crate) fn of(records: &[&Arc<Record<T>>]) -> Self {
        let mut records = records.to_vec();
        records.sort_by_cached_key(|record| {
            let columns = &record.columns;
            (columns.class, columns.group, columns.owner, columns.rank)
        });
        let mut shares = Self::new();
        let columns = |record: &Arc<Record<T>>| record.columns;
        for of_group in records.chunk_by(|one, other| {
            let share = |columns: Columns| (columns.class, columns.group);
            share(columns(one)) == share(columns(other))
        }) {
            let Some(Columns { class, group, .. }) = of_group.first().map(|one| one.columns) else {
                continue;
            };
            shares.groups.note(class, group, sum_of(of_group));
            shares.groups_with_records += u64::from(class == Class::Record);
            for part in of_group.chunk_by(|one, other| columns(one).owner == columns(other).owner) {
                let owner = part.first().map_or([0; 32], |one| one.columns.owner);
                shares.owners.note((class, group), owner, sum_of(part));
            }
        }
        shares.lines = records.into_iter().map(Line::new).collect();
        shares
    }
}

impl<T: Default> Shares<T> {
    pub(crate) fn add(&mut self, record: &Arc<Record<T>>) {
        self.change(&record.columns, |usage| usage.add(record.columns.charge));
        self.lines.insert(Line::new(record));
    }

    pub(crate) fn strike(&mut self, record: &Arc<Record<T>>) {
        self.change(&record.columns, |usage| {
            usage.subtract(record.columns.charge);
        });
        self.lines.remove(&Line::new(record));
    }

    /// Changes the sums that a record with these columns belongs to, before its line is.
    fn change(&mut self, columns: &Columns, change: impl Fn(&mut Usage)) {
        let Columns {
            class,
            group,
            owner,
            ..
        } = *columns;
        let lines = &self.lines;
        let (was_there, is_there) = self.groups.change(class, group, &change, || {
            sum(lines_from(lines, class, group, [0; 32])
                .take_while(|columns| (columns.class, columns.group) == (class, group)))
        });
        if class == Class::Record {
            self.groups_with_records += u64::from(is_there && !was_there);
            self.groups_with_records -= u64::from(was_there && !is_there);
        }
        self.owners.change((class, group), owner, &change, || {
            sum(
                lines_from(lines, class, group, owner).take_while(|columns| {
                    (columns.class, columns.group, columns.owner) == (class, group, owner)
                }),
            )
        });
    }

    /// The group that has most, and how many there are. Cached copies are none of it.
    pub(crate) fn largest(&self) -> LargestGroup {
        let class = Class::Record;
        let Some(group) = self.groups.largest_first(class).next() else {
            return LargestGroup::default();
        };
        let usage = self.groups.usage.get(&(class, group)).copied();
        LargestGroup {
            usage: usage.unwrap_or_else(|| {
                sum(lines_from(&self.lines, class, group, [0; 32])
                    .take_while(|columns| (columns.class, columns.group) == (class, group)))
            }),
            groups: self.groups_with_records,
        }
    }

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
            let lines = self
                .lines
                .range(Line::before(first_of(class, group, owner))..);
            lines.map(|line| &line.record).take_while(move |record| {
                let columns = &record.columns;
                (columns.class, columns.group, columns.owner) == (class, group, owner)
            })
        })
    }
}

fn lines_from<T: Default>(
    lines: &BTreeSet<Line<T, ByShare>>,
    class: Class,
    group: Group,
    owner: Owner,
) -> impl Iterator<Item = &Columns> {
    let lines = lines.range(Line::before(first_of(class, group, owner))..);
    lines.map(|line| &line.record.columns)
}

/// What entries with these columns are together.
pub(crate) fn sum<'a>(columns: impl Iterator<Item = &'a Columns>) -> Usage {
    columns.fold(Usage::NONE, |mut usage, columns| {
        usage.add(columns.charge);
        usage
    })
}

fn sum_of<T>(records: &[&Arc<Record<T>>]) -> Usage {
    sum(records.iter().map(|record| &record.columns))
}

/// The one of few records that is the next to leave, found without any lists.
pub(crate) fn victim_of_few<'a, T>(
    records: impl Iterator<Item = &'a Arc<Record<T>>>,
    may_leave: impl Fn(&&'a Arc<Record<T>>) -> bool,
) -> Option<&'a Arc<Record<T>>> {
    let mut few: Vec<_> = records.collect();
    few.sort_unstable_by(|one, other| ByShare::compare(one, other));
    let mut first = None;
    for group in few.chunk_by(|one, other| {
        let share = |record: &Record<T>| (record.columns.class, record.columns.group);
        share(one) == share(other)
    }) {
        let of_group = sum_of(group).charge;
        for part in group.chunk_by(|one, other| one.columns.owner == other.columns.owner) {
            let Some(record) = part.iter().copied().find(&may_leave) else {
                continue;
            };
            let columns = &record.columns;
            let key = (
                columns.class,
                of_group,
                columns.group,
                sum_of(part).charge,
                columns.owner,
            );
            if first.is_none_or(|(best, _)| best < key) {
                first = Some((key, record));
            }
        }
    }
    first.map(|(_, record)| record)
}

/// The one of few records of `owner` that is the next to leave.
pub(crate) fn victim_of_owner_among_few<'a, T>(
    records: impl Iterator<Item = &'a Arc<Record<T>>>,
    owner: Owner,
    may_leave: impl Fn(&&'a Arc<Record<T>>) -> bool,
) -> Option<&'a Arc<Record<T>>> {
    let own = records.filter(|record| record.columns.owner == owner);
    own.filter(may_leave)
        .min_by(|one, other| ByOwner::compare(one, other))
}

/// The records of a container that has many, with what each owner has in it.
#[derive(Debug)]
pub(crate) struct Crowd<T> {
    pub(crate) usage: Usage,
    pub(crate) shares: Shares<T>,
    lines: BTreeSet<Line<T, ByOwner>>,
    /// Of the owners that have more than [`LARGE`] records.
    owners: BTreeMap<Owner, Usage>,
}

impl<T: Default> Crowd<T> {
    pub(crate) fn add(&mut self, record: &Arc<Record<T>>) {
        let columns = &record.columns;
        let mut usage = self.owner_usage(&columns.owner);
        usage.add(columns.charge);
        keep_large(&mut self.owners, columns.owner, usage);
        self.usage.add(columns.charge);
        self.shares.add(record);
        self.lines.insert(Line::new(record));
    }

    pub(crate) fn strike(&mut self, record: &Arc<Record<T>>) {
        let columns = &record.columns;
        let mut usage = self.owner_usage(&columns.owner);
        usage.subtract(columns.charge);
        keep_large(&mut self.owners, columns.owner, usage);
        self.usage.subtract(columns.charge);
        self.shares.strike(record);
        self.lines.remove(&Line::new(record));
    }

    pub(crate) fn owner_usage(&self, owner: &Owner) -> Usage {
        let large = self.owners.get(owner).copied();
        large.unwrap_or_else(|| sum(self.victims_of(*owner).map(|record| &record.columns)))
    }

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
    /// Of the records of a container, in the order of their names.
    fn from_iter<I: IntoIterator<Item = &'a Arc<Record<T>>>>(records: I) -> Self {
        let mut records: Vec<_> = records.into_iter().collect();
        let shares = Shares::of(&records);
        records.sort_by_cached_key(|record| {
            let columns = &record.columns;
            (columns.owner, Reverse(columns.class), columns.rank)
        });
        let mut owners = BTreeMap::new();
        for part in records.chunk_by(|one, other| one.columns.owner == other.columns.owner) {
            let owner = part.first().map_or([0; 32], |one| one.columns.owner);
            keep_large(&mut owners, owner, sum_of(part));
        }
        Self {
            usage: sum_of(&records),
            shares,
            lines: records.into_iter().map(Line::new).collect(),
            owners,
        }
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

/// How members of `N` bytes are ordered by what they have, apart for each `P` that they are among.
#[derive(Debug)]
struct Sums<P, const N: usize> {
    order: BTreeSet<(P, u64, [u8; N])>,
    /// Of the members that have more than [`LARGE`] records.
    usage: BTreeMap<(P, [u8; N]), Usage>,
}

impl<P, const N: usize> Sums<P, N> {
    const fn new() -> Self {
        Self {
            order: BTreeSet::new(),
            usage: BTreeMap::new(),
        }
    }
}

impl<P: Copy + Ord, const N: usize> Sums<P, N> {
    /// Changes what a member has; `sum` adds it up as it was before. Tells whether it had anything
    /// before, and whether it has now.
    fn change(
        &mut self,
        among: P,
        member: [u8; N],
        change: impl Fn(&mut Usage),
        sum: impl FnOnce() -> Usage,
    ) -> (bool, bool) {
        let large = self.usage.get(&(among, member)).copied();
        let mut usage = large.unwrap_or_else(sum);
        let was_there = self.order.remove(&(among, usage.charge, member));
        change(&mut usage);
        let is_there = usage.records > 0;
        if is_there {
            self.order.insert((among, usage.charge, member));
        }
        keep_large(&mut self.usage, (among, member), usage);
        (was_there, is_there)
    }

    /// Notes what a member has that had nothing.
    fn note(&mut self, among: P, member: [u8; N], usage: Usage) {
        self.order.insert((among, usage.charge, member));
        keep_large(&mut self.usage, (among, member), usage);
    }

    /// Whoever has most first, ties by the higher bytes.
    fn largest_first(&self, among: P) -> impl Iterator<Item = [u8; N]> {
        let range = (among, 0, [0; N])..=(among, u64::MAX, [u8::MAX; N]);
        self.order.range(range).rev().map(|&(_, _, member)| member)
    }
}

/// Notes what `member` has if it is much, and forgets it otherwise.
fn keep_large<M: Ord>(large: &mut BTreeMap<M, Usage>, member: M, usage: Usage) {
    if usage.records > LARGE {
        large.insert(member, usage);
    } else {
        large.remove(&member);
    }
}

/// Up to this many records are added up again when their sum is asked for.
const LARGE: u64 = 8;
