//! The values that this node holds, read by whoever asks for them, without waiting for the driver's turn.
//!
//! What must stay true: what is given here is what the driver's engine would give at that moment. Whatever cannot be
//! given is left to the driver, which looks elsewhere, says why, and looks after a store that failed. The store is
//! let go before the driver lets go of it, whatever handles of the node there still are.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use qadom_engine::{Fetched, ValueReader};
use qadom_routing::Key;

use crate::clock::Clock;

/// A reader of the store, as long as the driver runs.
#[derive(Debug)]
pub(crate) struct Here {
    clock: Clock,
    reader: RwLock<Option<ValueReader>>,
}

impl Here {
    /// Of a node whose driver is not there yet.
    pub(crate) const fn new(clock: Clock) -> Self {
        Self {
            clock,
            reader: RwLock::new(None),
        }
    }

    /// The value of a key, when it is here and may be given out. Waits for what the store reads, and for nothing else.
    pub(crate) fn get(&self, key: &Key) -> Option<Fetched> {
        // A reader is put in its place whole, so that a panic elsewhere leaves a good one.
        let reader = self.reader.read().unwrap_or_else(PoisonError::into_inner);
        reader.as_ref()?.get(self.clock.now(), key)
    }

    /// Reads by this from now on.
    pub(crate) fn open(&self, reader: ValueReader) {
        *self.lock() = Some(reader);
    }

    /// Reads nothing any more, and waits for those who are reading.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Option<ValueReader>> {
        self.reader.write().unwrap_or_else(PoisonError::into_inner)
    }
}
