//! The arithmetic of limits: how much there may be, how much there is, and how far another holder
//! is believed about where its replicas came from.
//!
//! What must stay true: with what one address group brings as replicas under the names of other
//! groups it gets no more than a quarter of a full slot or node; all else counts for itself. Which
//! records give way is decided by the store.

use std::collections::BTreeMap;

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

/// How much each address group brought as replicas under the names of other groups.
#[derive(Debug, Default)]
pub(crate) struct Hints(BTreeMap<(Option<Container>, SourceGroup), Use>);

impl Hints {
    /// Whether a replica may count for the group that its bringer names. What is there before the
    /// first eighth is full is not counted, and from then on another eighth for each bringer: what
    /// it brought under other names is never more than a quarter.
    pub(crate) fn believe(
        &mut self,
        place: Option<Container>,
        bringer: SourceGroup,
        one: Use,
        used: Use,
        cap: Cap,
    ) -> bool {
        let eighth = Cap {
            records: cap.records / 8,
            bytes: cap.bytes / 8,
        };
        if used.plus(one).is_within(eighth) {
            self.0.remove(&(place, bringer));
            return true;
        }
        let counted = self.0.get(&(place, bringer)).copied().unwrap_or_default();
        let is_known = counted != Use::NONE;
        let counted = counted.plus(one);
        if !counted.is_within(eighth) || (!is_known && self.0.len() >= COUNTS) {
            return false;
        }
        self.0.insert((place, bringer), counted);
        true
    }
}
