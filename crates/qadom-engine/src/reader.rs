//! Reading the values that an engine's store holds beside the engine, on any thread.
//!
//! What must stay true: what is read here is what the engine itself would answer a user at that time. What is not read
//! here, because it is not there, is over, is damaged, or the store has failed, only the engine can answer.

use std::sync::Arc;
use std::time::Duration;

use qadom_routing::Key;
use qadom_store::Store;

use crate::offset::Correction;
use crate::operation::{Fetched, Source};
use crate::records::Held;
use crate::time::Time;

/// Reads values out of the store of an [`Engine`](crate::Engine), as the engine would at the time it was made by
/// [`Engine::value_reader`](crate::Engine::value_reader). It knows the time as the engine did then, so it is to be made
/// anew when [`Engine::correction`](crate::Engine::correction) has changed.
#[derive(Clone, Debug)]
pub struct ValueReader {
    store: Arc<dyn Store>,
    correction: Correction,
}

impl ValueReader {
    pub(crate) const fn new(store: Arc<dyn Store>, correction: Correction) -> Self {
        Self { store, correction }
    }

    /// The value of a key, checked against it, when it is here and may be given out. `now` is uncorrected. Waits for
    /// nothing but what the store reads.
    pub fn get(&self, now: Time, key: &Key) -> Option<Fetched> {
        let now = self.correction.correct(now);
        let is_time_known = self.correction.is_time_known(now);
        let held = Held::read(&*self.store, key, now, is_time_known).ok()??;
        Some(fetched(held, now))
    }
}

/// What a user is told who reads a value that is here. `now` is corrected.
pub(crate) fn fetched(held: Held, now: Time) -> Fetched {
    Fetched {
        key: *held.value.key(),
        age: Duration::from_micros(now.utc_micros.saturating_sub(held.stored_at)),
        value: held.value.into_bytes(),
        source: Source::Local,
        hops: 0,
        messages: 0,
        took: Duration::ZERO,
    }
}
