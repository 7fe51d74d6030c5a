//! The flusher against a store that fails when it is told to.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use qadom_routing::Key;
use qadom_store::{Container, Entry, EntryId, Evicted, LargestGroup, Needed, Scope, Stats, Usage};

use super::*;

/// Commits wait until they are let through, and fail when they are told to.
#[derive(Debug)]
struct SlowStore {
    ticket: Mutex<u64>,
    permits: Mutex<Receiver<Result<(), StoreError>>>,
    begun: Mutex<std::sync::mpsc::Sender<()>>,
    damaged: AtomicU64,
    /// Where it was moved to; damaged until then, when there is nothing.
    quarantine: Mutex<Option<PathBuf>>,
}

impl SlowStore {
    fn change(&self) -> Ticket {
        let mut ticket = self.ticket.lock().unwrap();
        *ticket += 1;
        Ticket::from_number(*ticket)
    }
}

impl Store for SlowStore {
    fn get(&self, _: &Key, _: &EntryId) -> Result<Option<Entry>, StoreError> {
        Ok(None)
    }

    fn put(&self, _: Entry) -> Result<(), StoreError> {
        Ok(())
    }

    fn remove(&self, _: &Key, _: &EntryId) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn scan_slot(
        &self,
        _: &Key,
        _: Option<&EntryId>,
        _: Option<&EntryId>,
        _: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    fn scan_keys(
        &self,
        _: &Key,
        _: &Key,
        _: Option<(&Key, &EntryId)>,
        _: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    fn expire(&self, _: u64, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn evict(&self, _: Scope, _: Needed, _: &[(Key, EntryId)]) -> Result<Vec<Evicted>, StoreError> {
        Ok(Vec::new())
    }

    fn usage(&self, _: &Container) -> Usage {
        Usage::default()
    }

    fn owner_usage(&self, _: &Container, _: &[u8; 32]) -> Usage {
        Usage::default()
    }

    fn largest_group(&self, _: Scope) -> LargestGroup {
        LargestGroup::default()
    }

    fn stats(&self) -> Stats {
        Stats {
            damaged: self.damaged.load(Ordering::SeqCst),
            ..Stats::default()
        }
    }

    fn ticket(&self) -> Ticket {
        Ticket::from_number(*self.ticket.lock().unwrap())
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        let ticket = self.ticket();
        self.begun.lock().unwrap().send(()).unwrap();
        self.permits.lock().unwrap().recv().unwrap()?;
        Ok(ticket)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        match *self.quarantine.lock().unwrap() {
            Some(_) => Ok(self.ticket()),
            None => Err(OpenError::Corrupt {
                source: EngineFault::new("decayed"),
            }),
        }
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        *self.quarantine.lock().unwrap() = Some(quarantine.to_owned());
        Ok(self.ticket())
    }
}

struct Bench {
    store: Arc<SlowStore>,
    flusher: Flusher,
    permits: std::sync::mpsc::Sender<Result<(), StoreError>>,
    begun: Receiver<()>,
    data_dir: tempfile::TempDir,
}

impl Bench {
    /// Says that the store lost records.
    fn note(&self) -> PathBuf {
        self.data_dir.path().join("refill")
    }
}

fn bench() -> Bench {
    bench_with(None)
}

fn bench_with(journal: Option<Journal>) -> Bench {
    let data_dir = tempfile::tempdir().unwrap();
    let (permits, permitted) = std::sync::mpsc::channel();
    let (announce, begun) = std::sync::mpsc::channel();
    let store = Arc::new(SlowStore {
        ticket: Mutex::new(0),
        permits: Mutex::new(permitted),
        begun: Mutex::new(announce),
        damaged: AtomicU64::default(),
        quarantine: Mutex::new(Some(PathBuf::new())),
    });
    let flusher = Flusher::start(
        Arc::<SlowStore>::clone(&store),
        journal,
        Arc::new(Quarantines::of(data_dir.path())),
        Clock::start(0),
    )
    .unwrap();
    Bench {
        store,
        flusher,
        permits,
        begun,
        data_dir,
    }
}

fn full() -> StoreError {
    StoreError::DiskFull {
        source: EngineFault::new("no space"),
    }
}

#[tokio::test]
async fn what_came_during_a_commit_is_taken_along_by_the_next_one() {
    let mut bench = bench();
    let first = bench.store.change();
    bench.flusher.commit();
    bench.begun.recv().unwrap();
    let mut last = first;
    for _ in 0..100 {
        last = bench.store.change();
        bench.flusher.commit();
    }
    for _ in 0..3 {
        bench.permits.send(Ok(())).unwrap();
    }
    // A fourth commit would end the thread.
    drop(bench.permits);
    assert_eq!(bench.flusher.report().await, Some(Report::Committed(first)));
    assert_eq!(bench.flusher.report().await, Some(Report::Committed(last)));
    let mut reports = bench.flusher.close();
    assert_eq!(reports.recv().await, Some(Report::Committed(last)));
    assert_eq!(reports.recv().await, None);
    assert_eq!(
        bench.begun.try_iter().count(),
        2,
        "one commit took the hundred along"
    );
}

#[tokio::test]
async fn a_failed_commit_gives_up_what_is_buffered_and_the_store_comes_back() {
    let mut bench = bench();
    let ticket = bench.store.change();
    bench.permits.send(Err(full())).unwrap();
    bench.flusher.commit();
    let failed = Report::Failed(ticket, Reason::DiskFull);
    assert_eq!(bench.flusher.report().await, Some(failed));
    assert_eq!(bench.flusher.report().await, Some(Report::Reopened(ticket)));
    let ticket = bench.store.change();
    bench.permits.send(Ok(())).unwrap();
    bench.flusher.commit();
    assert_eq!(
        bench.flusher.report().await,
        Some(Report::Committed(ticket))
    );
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_starts_over() {
    let mut bench = bench();
    let place = bench.data_dir.path().join("quarantine-1");
    *bench.store.quarantine.lock().unwrap() = None;
    let ticket = bench.store.change();
    bench.permits.send(Err(full())).unwrap();
    bench.flusher.commit();
    let failed = Report::Failed(ticket, Reason::DiskFull);
    assert_eq!(bench.flusher.report().await, Some(failed));
    let started_over = Report::StartedOver(ticket);
    assert_eq!(bench.flusher.report().await, Some(started_over));
    assert_eq!(*bench.store.quarantine.lock().unwrap(), Some(place));
    assert_eq!(bench.flusher.losses(), 1);
    assert!(bench.note().exists());
}

#[tokio::test]
async fn a_loss_is_noted_before_the_next_commit_and_forgotten_when_all_is_back() {
    let mut bench = bench();
    bench.store.damaged.store(3, Ordering::SeqCst);
    bench.flusher.commit();
    bench.begun.recv().unwrap();
    assert!(bench.note().exists(), "the commit has not ended yet");
    // As a driver says that has not heard of it yet.
    assert!(bench.flusher.refilled(0));
    for _ in 0..4 {
        bench.permits.send(Ok(())).unwrap();
    }
    bench.flusher.report().await;
    bench.flusher.report().await;
    assert!(bench.note().exists());
    assert_eq!(bench.flusher.losses(), 1);
    assert!(bench.flusher.refilled(1));
    let note = bench.note();
    drop(bench.permits.clone());
    let mut reports = bench.flusher.close();
    while reports.recv().await.is_some() {}
    assert!(!note.exists());
}

#[tokio::test]
async fn after_the_last_report_the_store_is_free() {
    let bench = bench();
    bench.permits.send(Ok(())).unwrap();
    let mut reports = bench.flusher.close();
    assert_eq!(reports.recv().await, Some(Report::Committed(Ticket::ZERO)));
    assert_eq!(reports.recv().await, None);
    assert_eq!(Arc::strong_count(&bench.store), 1);
}

fn promise(number: u8) -> Vec<Change> {
    vec![Change::new(vec![number].into(), Some("promised".into())).unwrap()]
}

#[tokio::test]
async fn promises_are_journalled_in_groups_and_before_they_are_reported() {
    let place = crate::folder::Folder::temporary().unwrap();
    let (journal, _) = Journal::load(&place).unwrap();
    let mut bench = bench_with(Some(journal));
    bench.flusher.journal(1, promise(1)).unwrap();
    bench.begun.recv().unwrap();
    for ticket in 2..100 {
        bench.flusher.journal(ticket, promise(2)).unwrap();
    }
    for _ in 0..3 {
        bench.permits.send(Ok(())).unwrap();
    }
    let committed = Report::Committed(Ticket::ZERO);
    assert_eq!(bench.flusher.report().await, Some(committed));
    assert_eq!(bench.flusher.report().await, Some(Report::Journalled(99)));
    let (_, entries) = Journal::load(&place).unwrap();
    assert_eq!(entries.len(), 2, "what is reported is there");
}

#[tokio::test]
async fn promises_that_the_disk_does_not_take_are_reported_with_the_reason() {
    let mut bench = bench_with(Some(Journal::full()));
    bench.permits.send(Ok(())).unwrap();
    bench.flusher.journal(7, promise(1)).unwrap();
    let committed = Report::Committed(Ticket::ZERO);
    assert_eq!(bench.flusher.report().await, Some(committed));
    let failed = Report::JournalFailed(7, Reason::DiskFull);
    assert_eq!(bench.flusher.report().await, Some(failed));
    bench.permits.send(Ok(())).unwrap();
}

#[tokio::test]
async fn promises_beyond_the_queue_are_refused() {
    let bench = bench();
    // The thread waits in its first commit.
    bench.flusher.commit();
    bench.begun.recv().unwrap();
    let most = u64::try_from(JOURNAL_QUEUE).unwrap();
    for ticket in 1..=most {
        assert_eq!(bench.flusher.journal(ticket, Vec::new()), Ok(()));
    }
    let refused = bench.flusher.journal(most + 1, Vec::new());
    assert_eq!(refused, Err(Reason::Busy));
    drop(bench.permits);
}
