//! The arithmetic of limits: how much there may be, how much there is, and how far another holder
//! is believed about where its replicas came from.
//!
//! What must stay true: with what one address group brings as replicas under the names of other
//! groups it gets no more than a quarter of a full slot or node; all else counts for itself. Which
//! records give way is decided by the store.

use std::collections::BTreeMap;

use qadom_routing::Moment;
use qadom_store::{Container, Usage};
use qadom_wire::{Kind, SourceGroup};

use crate::config::Limits;
use crate::records::ENTRY_OVERHEAD;

/// How many hints are counted at once. Beyond that no more are believed.
const COUNTS: usize = 16_384;

/// A topic has as many events at most as this many writers may have in it.
const FULL_WRITERS: u64 = 16;

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Use {
    pub(crate) const NONE: Self = Self {
        records: 0,
        bytes: 0,
    };

    /// The payloads alone, of what the store charges with its overhead.
    pub(crate) fn of_payloads(usage: Usage) -> Self {
        let overhead = usage.records.saturating_mul(ENTRY_OVERHEAD.into());
        Self {
            records: usage.records,
            bytes: usage.charge.saturating_sub(overhead),
        }
    }

    /// Payloads as the store charges them.
    pub(crate) fn charged(self) -> Self {
        let overhead = self.records.saturating_mul(ENTRY_OVERHEAD.into());
        Self {
            bytes: self.bytes.saturating_add(overhead),
            ..self
        }
    }

    /// By how much there is too much.
    pub(crate) const fn over(self, cap: Cap) -> Self {
        Self {
            records: self.records.saturating_sub(cap.records),
            bytes: self.bytes.saturating_sub(cap.bytes),
        }
    }

    /// Whether shares bind: more than nine tenths of what there may be is there.
    pub(crate) const fn is_nearly(self, cap: Cap) -> bool {
        let nine_tenths = Cap {
            records: cap.records - cap.records / 10,
            bytes: cap.bytes - cap.bytes / 10,
        };
        !self.is_within(nine_tenths)
    }

    /// Whether this is more than one of so many groups may have. Who is alone may have everything.
    pub(crate) fn exceeds_share(self, cap: Cap, groups: u64) -> bool {
        let share = Cap {
            records: cap.records / groups.max(1),
            bytes: cap.bytes / groups.max(1),
        };
        groups > 1 && !self.is_within(share)
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn is_within(self, cap: Cap) -> bool {
        self.records <= cap.records && self.bytes <= cap.bytes
    }
}

impl Limits {
    /// What one writer may have of a kind in one slot.
    pub(crate) const fn of_writer(&self, kind: Kind) -> Option<Cap> {
        match kind {
            Kind::Event => Some(Cap {
                records: self.topic_events,
                bytes: self.topic_writer_bytes,
            }),
            _ => None,
        }
    }

    /// What all writers may have of a kind in one slot.
    pub(crate) fn of_slot(&self, kind: Kind) -> Option<Cap> {
        let (records, bytes) = match kind {
            Kind::BagItem => (self.bag_items, self.bag_bytes),
            Kind::DictCell => (self.dict_cells, self.dict_bytes),
            // Events without a payload take up room as well.
            Kind::Event => (
                self.topic_events.saturating_mul(FULL_WRITERS),
                self.topic_bytes,
            ),
            // There is one to a slot.
            Kind::Value | Kind::NamespaceEntry => return None,
        };
        Some(Cap { records, bytes })
    }

    /// What the node may have, each record charged with its overhead.
    pub(crate) const fn of_node(&self) -> Cap {
        Cap {
            records: self.records,
            bytes: self.record_bytes,
        }
    }
}

/// The spans of time in which what somebody brought is counted apart, in microseconds: two days.
const SPAN: u64 = 48 * 3600 * 1_000_000;
/// Spans after which nothing that was brought is there any more, unless its writer renewed it: the
/// longest life, the tolerance of clocks, and the span that is under way.
const SPANS: usize = 5;

/// What one address group brought under the names of others, by the span in which it did.
#[derive(Clone, Copy, Debug, Default)]
struct Brought {
    /// The number of the span under way.
    span: u64,
    /// What was brought in that span, and in those before it.
    uses: [Use; SPANS],
}

impl Brought {
    /// Forgets what is over by now.
    fn advance(&mut self, span: u64) {
        let passed = usize::try_from(span.saturating_sub(self.span)).unwrap_or(SPANS);
        self.uses.rotate_right(passed.min(SPANS) % SPANS);
        for over in self.uses.iter_mut().take(passed) {
            *over = Use::NONE;
        }
        self.span = self.span.max(span);
    }

    fn total(&self) -> Use {
        self.uses.iter().fold(Use::NONE, |sum, one| sum.plus(*one))
    }
}

/// How much each address group brought as replicas under the names of other groups, as far as that
/// may still be there.
#[derive(Debug, Default)]
pub(crate) struct Hints(BTreeMap<(Option<Container>, SourceGroup), Brought>);

impl Hints {
    /// Whether a replica may count for the group that its bringer names. What is there before the
    /// first eighth is full is not counted, and from then on another eighth for each bringer: what
    /// it brought under other names is never more than a quarter.
    pub(crate) fn believe(
        &mut self,
        (place, bringer): (Option<Container>, SourceGroup),
        one: Use,
        used: Use,
        cap: Cap,
        now: Moment,
    ) -> bool {
        let eighth = Cap {
            records: cap.records / 8,
            bytes: cap.bytes / 8,
        };
        if used.plus(one).is_within(eighth) {
            self.0.remove(&(place, bringer));
            return true;
        }
        let span = now.as_micros() / SPAN;
        if self.0.len() >= COUNTS && !self.0.contains_key(&(place, bringer)) {
            self.0.retain(|_, brought| {
                brought.advance(span);
                brought.total() != Use::NONE
            });
            if self.0.len() >= COUNTS {
                return false;
            }
        }
        let brought = self.0.entry((place, bringer)).or_default();
        brought.advance(span);
        if !brought.total().plus(one).is_within(eighth) {
            return false;
        }
        if let Some(latest) = brought.uses.first_mut() {
            *latest = latest.plus(one);
        }
        true
    }
}
