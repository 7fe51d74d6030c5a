//! What the node has promised, between the engine and the file.
//!
//! What must stay true: the engine knows everything that the journal holds before its first other
//! input; an entry that cannot be kept is reported as failed, never dropped. How long promises are
//! kept is known to the engine, how they lie on the disk to `journal`.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use qadom_engine::{Engine, Failure, JournalEntry, JournalError, Time};
use qadom_wire::Reason;

use super::Driver;
use crate::error::{Error, StartError};
use crate::folder::{Folder, JOURNAL};
use crate::journal::{self, Change, Journal};

/// Entries of the journal below which none is looked for that says nothing.
pub(super) const PRUNE_FROM: usize = 65_536;

/// What an earlier run has promised, and the file in which this one goes on.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    entries: Vec<JournalEntry>,
    journal: Option<Journal>,
}

impl Promises {
    /// Refuses a file that a newer program wrote, or that is no journal, after a look at its
    /// beginning.
    pub(crate) fn check_version(folder: &Folder) -> Result<(), StartError> {
        journal::check_version(folder.path())
    }

    /// Reads the journal of a folder. An entry that makes no sense costs itself alone.
    pub(crate) fn load(folder: &Folder) -> Result<Self, StartError> {
        let (journal, kept) = Journal::load(folder)?;
        let mut entries = Vec::with_capacity(kept.len());
        for (_, bytes) in kept {
            if let Some(entry) = read(&bytes, &folder.path().join(JOURNAL))? {
                entries.push(entry);
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

/// Refuses what a newer program promised.
pub(crate) fn check_promise(bytes: &Bytes, path: &Path) -> Result<(), StartError> {
    read(bytes, path).map(drop)
}

/// An entry of the journal; none when it makes no sense.
fn read(bytes: &Bytes, path: &Path) -> Result<Option<JournalEntry>, StartError> {
    match JournalEntry::from_bytes(bytes) {
        Ok(entry) => Ok(Some(entry)),
        Err(JournalError::VersionTooNew { version }) => Err(StartError::VersionTooNew {
            path: path.to_owned(),
            found: version.into(),
            known: 1,
        }),
        Err(error) => {
            tracing::error!(%error, "an entry of the journal is left out");
            Ok(None)
        }
    }
}

impl Driver {
    /// Lets the journal give up what says nothing any more, each time that it has doubled.
    pub(super) fn on_journalled(&mut self, now: Time, ticket: u64) {
        self.health.journal_failure = None;
        self.engine.on_journalled(now, ticket);
        self.end_marking(ticket, None);
        if let Some(flusher) = &self.flusher
            && flusher.kept() >= self.prune_at
        {
            let names: HashSet<_> = self.engine.journal_names().collect();
            self.prune_at = PRUNE_FROM.max(2 * names.len());
            flusher.retain(names);
        }
    }

    /// The entries up to a ticket may be lost.
    pub(super) fn on_journal_failed(&mut self, now: Time, ticket: u64, reason: Reason) {
        self.health.journal_failure = Some(reason);
        self.engine.on_journal_failed(now, ticket, reason);
        self.end_marking(ticket, Some(reason));
    }

    /// Tells the users whose blocks waited for the journal what became of them.
    fn end_marking(&mut self, ticket: u64, lost: Option<Reason>) {
        let rest = self.marking.split_off(&ticket.saturating_add(1));
        for caller in std::mem::replace(&mut self.marking, rest).into_values() {
            let receipt = None;
            // A caller that is gone needs no answer.
            let _ = caller.send(match lost {
                None => Ok(true),
                Some(reason) => Err(Error::Failed(Failure::Journal { reason, receipt })),
            });
        }
    }

    /// Asks the flusher to make an entry durable. Without one promises end with the node.
    pub(super) fn journal(&mut self, now: Time, ticket: u64, entry: &JournalEntry) {
        let Some(flusher) = &self.flusher else {
            return self.on_journalled(now, ticket);
        };
        let changes = entry.changes().into_iter();
        let changes: Option<Vec<_>> = changes
            .map(|(name, bytes)| Change::new(name, bytes))
            .collect();
        let added = changes
            .ok_or(Reason::TooLarge)
            .and_then(|changes| flusher.journal(ticket, changes));
        if let Err(reason) = added {
            self.on_journal_failed(now, ticket, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use qadom_engine::WriteOptions;
    use qadom_store::SledStore;
    use tokio::sync::{mpsc, oneshot, watch};

    use super::*;
    use crate::command::{Command, Operation};
    use crate::driver::tests::build_with;
    use crate::status::Verdict;

    async fn ask<T>(
        commands: &mpsc::Sender<Box<Command>>,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> T {
        let (reply, answer) = oneshot::channel();
        commands.send(Box::new(command(reply))).await.unwrap();
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn a_write_whose_promise_finds_the_disk_full_fails_and_nothing_is_promised() {
        let place = tempfile::tempdir().unwrap();
        let store = Arc::new(SledStore::open(&place.path().join("store")).unwrap());
        let promises = Promises {
            entries: Vec::new(),
            journal: Some(Journal::full()),
        };
        let (driver, commands) = build_with(store, promises);
        tokio::spawn(driver.run(watch::Sender::new(None)));
        let put = |options| {
            let operation = Operation::Put("value".into(), options);
            ask(&commands, |reply| Command::Begin(operation, reply))
        };
        let refused = put(WriteOptions::default()).await.unwrap_err();
        assert!(
            matches!(
                refused,
                Failure::Journal {
                    reason: Reason::DiskFull,
                    ..
                }
            ),
            "{refused:?}"
        );
        let status = ask(&commands, Command::Status).await;
        let mut limits = status.limits.iter();
        let publications = limits.find(|limit| limit.name == "publications");
        assert_eq!(publications.map(|limit| limit.used), Some(0));
        assert_eq!(status.verdict, Verdict::Degraded);
        assert!(status.reasons[0].starts_with("disk-full"), "{status:?}");
        // What promises nothing needs no journal.
        let once = WriteOptions {
            once: true,
            ..WriteOptions::default()
        };
        put(once).await.unwrap();
    }

    #[test]
    fn an_entry_of_a_newer_version_is_refused_and_a_senseless_one_left_out() {
        let folder = Folder::temporary().unwrap();
        let write = |value: &'static [u8]| {
            let (mut journal, _) = Journal::load(&folder).unwrap();
            let change = Change::new("name".into(), Some(value.into())).unwrap();
            journal.write(&[change]).unwrap();
        };
        write(b"\0senseless");
        assert!(Promises::load(&folder).unwrap().entries.is_empty());
        write(&[2, 0, 0]);
        let refused = Promises::load(&folder);
        assert!(matches!(
            refused,
            Err(StartError::VersionTooNew { found: 2, .. })
        ));
    }
}
