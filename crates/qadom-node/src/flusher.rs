//! The thread that makes written records and promises durable, one group at a time.
//!
//! What must stay true: a commit starts as soon as one is asked for and none is running, and takes
//! along all that was buffered meanwhile; nothing is reported as committed that the store has not
//! committed, nor as journalled that the journal has not synced; what was committed is synced to the disk within [`SYNC_EVERY`] and when the thread
//! ends; a store that stopped is started again, one that is damaged without its records, which the
//! network still holds; what is lost is written down before anything is committed without it. Which answers wait for a commit or for the journal is known to the engine.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use qadom_routing::Moment;
use qadom_store::{EngineFault, OpenError, Store, StoreError, Ticket};
use qadom_wire::Reason;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::convert::store_reason;
use crate::error::StartError;
use crate::journal::{Change, Journal};
use crate::quarantines::Quarantines;

/// The longest time for which a commit may be lost with the power.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// The pause between two attempts to start a store again that has stopped.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// Promises that may wait for the journal; a disk that takes longer than it takes to fill this has
/// failed.
pub(crate) const JOURNAL_QUEUE: usize = 4096;

/// Reports that may wait for the driver; the thread waits with the next one.
const REPORTS_MAX: usize = 4;

/// What the flusher tells the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Every change up to the ticket is durable.
    Committed(Ticket),
    /// The changes up to the ticket that were not committed may be lost.
    Failed(Ticket, Reason),
    /// The store runs again; what was not committed up to the ticket may be lost.
    Reopened(Ticket),
    /// The store was damaged and runs again without records; what it held up to the ticket is lost.
    StartedOver(Ticket),
    /// Every promise up to the ticket is durable.
    Journalled(u64),
    /// The promises up to the ticket that were not journalled may be lost.
    JournalFailed(u64, Reason),
}

/// What the journal has to do.
#[derive(Debug)]
enum Promised {
    /// Take what one ticket of the engine changes.
    Changes(u64, Vec<Change>),
    /// Give up all entries of other names.
    Names(HashSet<Bytes>),
    /// Forget so many losses of the store: what others held of them is back.
    Refilled(u64),
}

/// The driver's side of the thread. It ends, after a last commit, when this is dropped.
#[derive(Debug)]
pub(crate) struct Flusher {
    wanted: SyncSender<()>,
    promises: SyncSender<Promised>,
    /// Entries in the journal.
    kept: Arc<AtomicUsize>,
    losses: Arc<AtomicU64>,
    reports: mpsc::Receiver<Report>,
}

impl Flusher {
    /// Starts the thread. A damaged store is set aside in `quarantines`.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        journal: Option<Journal>,
        quarantines: Arc<Quarantines>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        // One word waiting is enough: a commit takes along all that came before it begins.
        let (wanted, orders) = sync_channel(1);
        let (promises, queue) = sync_channel(JOURNAL_QUEUE);
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let kept = Arc::<AtomicUsize>::default();
        let losses = Arc::<AtomicU64>::default();
        let flushing = Flushing {
            damaged: store.stats().damaged,
            store,
            journal,
            queue,
            kept: Arc::clone(&kept),
            losses: Arc::clone(&losses),
            quarantines,
            clock,
            reports: sender,
            state: State::Synced,
        };
        thread::Builder::new()
            .name("qadom-flusher".to_owned())
            .spawn(move || flushing.run(&orders))
            .map_err(|_| StartError::Thread)?;
        Ok(Self {
            wanted,
            promises,
            kept,
            losses,
            reports,
        })
    }

    /// Asks for a commit, or for a look at a store that has stopped.
    pub(crate) fn commit(&self) {
        // Full: a commit that has yet to begin was asked for already.
        let _ = self.wanted.try_send(());
    }

    /// Adds to the journal, behind all that was added before.
    ///
    /// # Errors
    ///
    /// `busy` when too many promises wait already; this one is not added.
    pub(crate) fn journal(&self, ticket: u64, changes: Vec<Change>) -> Result<(), Reason> {
        let promised = Promised::Changes(ticket, changes);
        match self.promises.try_send(promised) {
            // A thread that has ended is reported as such.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {
                self.commit();
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(Reason::Busy),
        }
    }

    /// Entries in the journal, as of its last report.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Lets the journal give up all entries of other names.
    pub(crate) fn retain(&self, names: HashSet<Bytes>) {
        // Full: there will be another occasion.
        let _ = self.promises.try_send(Promised::Names(names));
        self.commit();
    }

    /// How often the store has lost records since the node was started; ahead of the reports.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// Forgets that many losses, unless there were more meanwhile. Tells whether that was heard.
    pub(crate) fn refilled(&self, losses: u64) -> bool {
        let is_heard = self.promises.try_send(Promised::Refilled(losses)).is_ok();
        self.commit();
        is_heard
    }

    /// The next report; never, when the thread has ended.
    pub(crate) async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Asks for the last commit and sync, after which [`report`](Self::report) gives `None`.
    pub(crate) fn close(self) -> mpsc::Receiver<Report> {
        self.reports
    }
}

/// What the thread has to do next.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Everything that was committed is on the disk.
    Synced,
    /// Something that was committed has to be synced at this moment.
    Unsynced { due: Moment },
    /// The store has failed and has to be started again, at this moment.
    Stopped { retry_at: Moment },
}

struct Flushing {
    /// Let go before `reports`, so that after the last report the store belongs to the driver alone.
    store: Arc<dyn Store>,
    /// None when promises end with the node.
    journal: Option<Journal>,
    queue: Receiver<Promised>,
    kept: Arc<AtomicUsize>,
    losses: Arc<AtomicU64>,
    /// Entries of the store whose damage was written down.
    damaged: u64,
    quarantines: Arc<Quarantines>,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    state: State,
}

impl Flushing {
    fn run(mut self, orders: &Receiver<()>) {
        loop {
            let order = match self.state {
                State::Synced => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                State::Unsynced { due: at } | State::Stopped { retry_at: at } => {
                    orders.recv_timeout(at.since(self.now()))
                }
            };
            let is_going_on = match order {
                Ok(()) => self.commit() && self.promise(),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit();
                    self.promise();
                    self.sync();
                    return;
                }
            };
            if !(is_going_on && self.do_what_is_due()) {
                return;
            }
        }
    }

    /// These four tell whether the driver still listens.
    fn commit(&mut self) -> bool {
        self.note_damage();
        match self.store.commit() {
            Ok(ticket) => {
                if matches!(self.state, State::Synced) {
                    let due = self.now() + SYNC_EVERY;
                    self.state = State::Unsynced { due };
                }
                self.tell(Report::Committed(ticket))
            }
            Err(error) => self.stop(&error),
        }
    }

    /// Makes everything that was promised meanwhile durable in one go.
    fn promise(&mut self) -> bool {
        let promised = self.queue.try_iter().take(JOURNAL_QUEUE);
        let mut changes = Vec::new();
        let (mut last, mut refilled) = (None, None);
        for promised in promised {
            match (promised, &mut self.journal) {
                (Promised::Changes(ticket, mut more), _) => {
                    changes.append(&mut more);
                    last = Some(ticket);
                }
                // What is not written yet is not touched, whatever its name is.
                (Promised::Names(names), Some(journal)) => journal.retain(&names),
                (Promised::Names(_), None) => {}
                (Promised::Refilled(losses), _) => refilled = Some(losses),
            }
        }
        let is_heard = refilled.is_none_or(|losses| self.forget_losses(losses));
        match last {
            Some(ticket) => self.write(ticket, &changes) && is_heard,
            None => is_heard,
        }
    }

    fn write(&mut self, ticket: u64, changes: &[Change]) -> bool {
        let written = match &mut self.journal {
            Some(journal) => journal.write(changes),
            None => Ok(()),
        };
        let kept = self.journal.as_ref().map_or(0, Journal::len);
        self.kept.store(kept, Ordering::Relaxed);
        let is_heard = self.tell(match written {
            Ok(()) => Report::Journalled(ticket),
            Err(error) => {
                tracing::error!(%error, "the journal of this node failed; writes are refused");
                Report::JournalFailed(ticket, disk_reason(&error))
            }
        });
        if let Some(journal) = &mut self.journal {
            journal.tidy();
        }
        is_heard
    }

    /// Writes down that entries turned out to be damaged, before they are removed for good.
    fn note_damage(&mut self) {
        let damaged = self.store.stats().damaged;
        if damaged > self.damaged {
            self.damaged = damaged;
            self.losses.fetch_add(1, Ordering::Relaxed);
            self.quarantines.on_loss();
        }
    }

    /// What came back is on the disk before the loss is forgotten.
    fn forget_losses(&mut self, losses: u64) -> bool {
        if losses != self.losses.load(Ordering::Relaxed) {
            return true;
        }
        let is_heard = self.sync();
        if matches!(self.state, State::Synced) {
            self.quarantines.on_refilled();
        }
        is_heard
    }

    fn sync(&mut self) -> bool {
        match self.store.sync() {
            Ok(()) => {
                self.state = State::Synced;
                true
            }
            Err(error) => self.stop(&error),
        }
    }

    fn reopen(&mut self) -> bool {
        let reopened = match self.store.reopen() {
            Err(OpenError::Corrupt { source }) => self.start_over(&source).map(Report::StartedOver),
            reopened => reopened.map(Report::Reopened),
        };
        match reopened {
            Ok(report) => {
                tracing::warn!("the store runs again");
                self.note_damage();
                // Nothing was synced while the store was stopped.
                self.state = State::Unsynced { due: self.now() };
                self.tell(report)
            }
            Err(error) => {
                tracing::debug!(%error, "the store does not start again yet");
                self.state = State::Stopped {
                    retry_at: self.now() + REOPEN_EVERY,
                };
                true
            }
        }
    }

    fn start_over(&self, damage: &EngineFault) -> Result<Ticket, OpenError> {
        let reason = format!("it did not open again: {damage}");
        let at = self.clock.now().utc_seconds();
        self.losses.fetch_add(1, Ordering::Relaxed);
        let place = self.quarantines.prepare(&reason, at)?;
        let ticket = self.store.start_over(&place)?;
        self.quarantines.refresh();
        tracing::error!(
            error = %damage,
            quarantine = %place.display(),
            "the store is damaged: it is set aside, and the node goes on and gets its records back \
             from other nodes"
        );
        Ok(ticket)
    }

    fn do_what_is_due(&mut self) -> bool {
        match self.state {
            State::Unsynced { due } if due <= self.now() => self.sync(),
            State::Stopped { retry_at } if retry_at <= self.now() => self.reopen(),
            _ => true,
        }
    }

    fn stop(&mut self, error: &StoreError) -> bool {
        if !matches!(self.state, State::Stopped { .. }) {
            tracing::error!(%error, "the store of this node failed; writes are refused");
            self.state = State::Stopped {
                retry_at: self.now() + REOPEN_EVERY,
            };
        }
        self.tell(Report::Failed(self.store.ticket(), store_reason(error)))
    }

    fn tell(&self, report: Report) -> bool {
        self.reports.blocking_send(report).is_ok()
    }

    fn now(&self) -> Moment {
        self.clock.now().moment
    }
}

fn disk_reason(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Reason::DiskFull
        }
        _ => Reason::StorageFailed,
    }
}

#[cfg(test)]
mod tests;
