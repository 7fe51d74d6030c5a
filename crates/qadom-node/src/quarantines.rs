//! The damaged stores that were set aside, as the status shows them.
//!
//! What must stay true: what is shown was read by a thread that may wait for the disk. Where they
//! lie and how many are kept is known to the store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use qadom_store::{Quarantine, Quarantined};

/// The stores of one data folder that were set aside.
#[derive(Debug)]
pub(crate) struct Quarantines {
    place: Quarantine,
    listed: Mutex<Vec<Quarantined>>,
}

impl Quarantines {
    /// Those of a data folder. Waits for the disk.
    pub(crate) fn of(folder: &Path) -> Self {
        let quarantines = Self {
            place: Quarantine::new(folder),
            listed: Mutex::default(),
        };
        quarantines.refresh();
        quarantines
    }

    /// Where the store sets them aside.
    pub(crate) const fn place(&self) -> &Quarantine {
        &self.place
    }

    /// Makes room for another one. Waits for the disk.
    pub(crate) fn prepare(&self, reason: &str, at: u64) -> io::Result<PathBuf> {
        self.place.prepare(reason, at)
    }

    /// Writes down that the store lost records that are to come back from others. Waits for the
    /// disk.
    pub(crate) fn on_loss(&self) {
        if let Err(error) = self.place.on_loss() {
            tracing::warn!(%error, "after a restart it will not be known that the store lost records");
        }
    }

    /// Writes down that what others hold is back. Waits for the disk.
    pub(crate) fn on_refilled(&self) {
        match self.place.on_refilled() {
            Ok(()) => tracing::info!("what the store had lost is back, as far as others hold it"),
            Err(error) => {
                tracing::warn!(%error, "the records will be looked for again at the next start");
            }
        }
    }

    /// Looks at the folder again. Waits for the disk.
    pub(crate) fn refresh(&self) {
        match self.place.list() {
            Ok(listed) => *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = listed,
            Err(error) => tracing::warn!(%error, "the stores set aside cannot be listed"),
        }
    }

    /// The oldest first.
    pub(crate) fn list(&self) -> Vec<Quarantined> {
        let listed = self.listed.lock();
        listed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
