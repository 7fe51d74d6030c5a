//! What the holders of a slot push, made into what the application is told.
//!
//! What must stay true: events come out in the order of their writers, other kinds as they come,
//! and nothing comes out twice.

use qadom_routing::Moment;
use qadom_wire::{Cursor, Kind, SignedRecord, Verified};

use super::latest::Latest;
use crate::ordering::{Beginning, Hole, Ordered, Ordering, Place};
use crate::time::Time;
use crate::watch::Since;

/// What came and what is to be told.
#[derive(Debug)]
pub(super) enum Arrivals {
    Events(Ordering<Verified>),
    Others(Latest),
}

impl Arrivals {
    pub(super) fn new(kind: Kind, since: &Since, now: Time) -> Self {
        let mut arrivals = if kind == Kind::Event {
            Self::Events(Ordering::new(match since {
                Since::Now => Beginning::Now(now.utc_micros),
                Since::Cursor(cursor) if cursor.is_empty() => Beginning::Oldest(now.utc_micros),
                Since::Cursor(_) => Beginning::Resumed,
            }))
        } else {
            Self::Others(Latest::default())
        };
        if let Since::Cursor(cursor) = since {
            arrivals.skip(cursor);
        }
        arrivals
    }

    /// Notes that all this lies before the subscription.
    pub(super) fn skip(&mut self, cursor: &Cursor) {
        match self {
            Self::Events(ordering) => {
                for entry in cursor.entries() {
                    let (stream, seq) = (entry.stream, entry.seq);
                    ordering.skip_to(entry.tag, Place { stream, seq });
                }
            }
            Self::Others(latest) => latest.skip(cursor),
        }
    }

    pub(super) fn wants(&self, record: &SignedRecord) -> bool {
        match self {
            Self::Events(ordering) => ordering.wants(&record.writer().tag(), place(record)),
            Self::Others(latest) => latest.wants(record),
        }
    }

    pub(super) fn take(&mut self, record: Verified, now: Moment) {
        match self {
            Self::Events(ordering) => {
                let (tag, place) = (record.writer().tag(), place(&record));
                let size = record.payload().len();
                ordering.take(tag, place, record, size, now);
            }
            Self::Others(latest) => latest.take(record),
        }
    }

    pub(super) fn next(&mut self) -> Option<Ordered<Verified>> {
        match self {
            Self::Events(ordering) => ordering.next(),
            Self::Others(latest) => latest.next().map(|item| Ordered { missed: None, item }),
        }
    }

    /// The first hole of each writer for which others are to be asked.
    pub(super) fn holes(&self) -> Vec<Hole> {
        match self {
            Self::Events(ordering) => ordering.holes().filter(|hole| hole.is_asked).collect(),
            Self::Others(_) => Vec::new(),
        }
    }

    pub(super) fn clear(&mut self, hole: &Hole) {
        if let Self::Events(ordering) = self {
            ordering.clear(hole);
        }
    }

    pub(super) fn expire(&mut self, now: Moment) {
        if let Self::Events(ordering) = self {
            ordering.expire(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        match self {
            Self::Events(ordering) => ordering.next_deadline(),
            Self::Others(_) => None,
        }
    }
}

fn place(record: &SignedRecord) -> Place {
    let (stream, seq) = (record.stream(), record.seq());
    Place { stream, seq }
}
