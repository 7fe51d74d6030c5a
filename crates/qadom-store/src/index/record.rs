//! What the index knows of one entry, and the orders in which it is listed.
//!
//! What must stay true: an order never calls two different names equal, and no field changes while
//! a record is listed. The lists themselves are not here.

use std::borrow::Borrow;
use std::cmp::{Ordering, Reverse};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::Columns;
use crate::name::Name;

/// One entry. `T` is what a store keeps of it in memory beside this.
#[derive(Debug)]
pub(crate) struct Record<T> {
    pub(crate) name: Name,
    pub(crate) columns: Columns,
    pub(crate) content: T,
}

/// A place in a list that is kept in the order `O`: one pointer.
#[derive(Debug)]
pub(crate) struct Line<T, O> {
    pub(crate) record: Arc<Record<T>>,
    order: PhantomData<O>,
}

impl<T, O> Line<T, O> {
    pub(crate) fn new(record: &Arc<Record<T>>) -> Self {
        Self {
            record: Arc::clone(record),
            order: PhantomData,
        }
    }
}

impl<T: Default, O> Line<T, O> {
    /// Lies before every record that has these columns, and is none itself.
    pub(crate) fn before(columns: Columns) -> Self {
        Self::new(&Arc::new(Record {
            name: Name::empty(),
            columns,
            content: T::default(),
        }))
    }
}

/// How a list is ordered.
pub(crate) trait Order {
    /// Compares by this order, ties by name.
    fn compare<T>(one: &Record<T>, other: &Record<T>) -> Ordering;
}

/// By slot and id.
#[derive(Debug)]
pub(crate) enum ByName {}

impl Order for ByName {
    fn compare<T>(one: &Record<T>, other: &Record<T>) -> Ordering {
        one.name.cmp(&other.name)
    }
}

/// Earliest expiry first.
#[derive(Debug)]
pub(crate) enum ByExpiry {}

impl Order for ByExpiry {
    fn compare<T>(one: &Record<T>, other: &Record<T>) -> Ordering {
        let key = |record: &Record<T>| record.columns.expires_at;
        key(one)
            .cmp(&key(other))
            .then_with(|| one.name.cmp(&other.name))
    }
}

/// What shares class, group and owner together, in it the lowest rank first.
#[derive(Debug)]
pub(crate) enum ByShare {}

impl Order for ByShare {
    fn compare<T>(one: &Record<T>, other: &Record<T>) -> Ordering {
        fn key<T>(record: &Record<T>) -> impl Ord {
            let columns = record.columns;
            (columns.class, columns.group, columns.owner, columns.rank)
        }
        key(one)
            .cmp(&key(other))
            .then_with(|| one.name.cmp(&other.name))
    }
}

/// What shares an owner together, in it cached copies first, then the lowest rank.
#[derive(Debug)]
pub(crate) enum ByOwner {}

impl Order for ByOwner {
    fn compare<T>(one: &Record<T>, other: &Record<T>) -> Ordering {
        fn key<T>(record: &Record<T>) -> impl Ord {
            let columns = record.columns;
            (columns.owner, Reverse(columns.class), columns.rank)
        }
        key(one)
            .cmp(&key(other))
            .then_with(|| one.name.cmp(&other.name))
    }
}

impl<T, O: Order> Ord for Line<T, O> {
    fn cmp(&self, other: &Self) -> Ordering {
        O::compare(&self.record, &other.record)
    }
}

impl<T, O: Order> PartialOrd for Line<T, O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, O: Order> PartialEq for Line<T, O> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T, O: Order> Eq for Line<T, O> {}

/// A list by name is searched by the bytes of names, which order as names do.
impl<T> Borrow<[u8]> for Line<T, ByName> {
    fn borrow(&self) -> &[u8] {
        self.record.name.as_bytes()
    }
}
