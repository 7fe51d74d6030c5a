//! What the node has promised, between the engine and the file.
//!
//! What must stay true: the engine knows everything that the journal holds before its first other
//! input; an entry that cannot be kept is reported as failed, never dropped. How long promises are
//! kept is known to the engine, how they lie on the disk to `journal`.

use qadom_engine::{Engine, JournalEntry, JournalError, Time};
use qadom_wire::Reason;

use super::Driver;
use crate::error::StartError;
use crate::flusher::Report;
use crate::folder::{Folder, JOURNAL};
use crate::journal::{Change, Journal};

/// What an earlier run has promised, and the file in which this one goes on.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    entries: Vec<JournalEntry>,
    journal: Option<Journal>,
}

impl Promises {
    /// Reads the journal of a folder. An entry that makes no sense costs itself alone.
    pub(crate) fn load(folder: &Folder) -> Result<Self, StartError> {
        let (journal, kept) = Journal::load(folder)?;
        let mut entries = Vec::with_capacity(kept.len());
        for (_, bytes) in kept {
            match JournalEntry::from_bytes(&bytes) {
                Ok(entry) => entries.push(entry),
                Err(JournalError::VersionTooNew { version }) => {
                    return Err(StartError::VersionTooNew {
                        path: folder.path().join(JOURNAL),
                        found: version.into(),
                        known: 1,
                    });
                }
                Err(error) => tracing::error!(%error, "an entry of the journal is left out"),
            }
        }
        Ok(Self {
            entries,
            journal: Some(journal),
        })
    }

    /// Tells the engine, and gives the file.
    pub(super) fn restore(self, engine: &mut Engine) -> Option<Journal> {
        self.entries
            .into_iter()
            .for_each(|entry| engine.restore(entry));
        self.journal
    }
}

impl Driver {
    /// Asks the flusher to make an entry durable. Without one promises end with the node.
    pub(super) fn journal(&mut self, now: Time, ticket: u64, entry: &JournalEntry) {
        let Some(flusher) = &self.flusher else {
            return self.engine.on_journalled(now, ticket);
        };
        let changes = entry.changes().into_iter();
        let changes: Option<Vec<_>> = changes
            .map(|(name, bytes)| Change::new(name, bytes))
            .collect();
        let added = changes
            .ok_or(Reason::TooLarge)
            .and_then(|changes| flusher.journal(ticket, changes));
        if let Err(reason) = added {
            self.on_report(now, Report::JournalFailed(ticket, reason));
        }
    }
}
