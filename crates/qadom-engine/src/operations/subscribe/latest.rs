//! What is new of a bag, a dict name or a namespace: each identity's versions only rise.
//!
//! What must stay true: of one identity nothing is told that is not newer than what was told
//! before, as far back as it is remembered.

use std::collections::{BTreeMap, VecDeque};

use qadom_routing::Key;
use qadom_wire::{Cursor, SignedRecord, Verified};

/// Identities that are remembered, as many as a full bag has; above it the oldest are forgotten.
const REMEMBERED: usize = 16_384;

/// What orders the versions of one identity, but for renewals, which are nothing new.
type Version = (u64, bool, [u8; 32]);

/// What was told of a slot.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// What had been told before.
    begun: Cursor,
    told: BTreeMap<Key, Version>,
    order: VecDeque<Key>,
    ready: VecDeque<Verified>,
}

impl Latest {
    /// Notes that all this lies before the subscription.
    pub(super) fn skip(&mut self, cursor: &Cursor) {
        self.begun.merge(cursor);
    }

    pub(super) fn wants(&self, record: &SignedRecord) -> bool {
        match self.told.get(record.id()) {
            Some(told) => *told < version(record),
            None => !self.begun.covers(record),
        }
    }

    pub(super) fn take(&mut self, record: Verified) {
        let id = *record.id();
        if self.told.insert(id, version(&record)).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        self.ready.push_back(record);
    }

    pub(super) fn next(&mut self) -> Option<Verified> {
        self.ready.pop_front()
    }
}

fn version(record: &SignedRecord) -> Version {
    (record.seq(), record.is_tombstone(), *record.payload_hash())
}
