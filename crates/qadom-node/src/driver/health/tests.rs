//! The verdict, and a node whose store fails in a call that no commit follows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use qadom_engine::{Failure, WriteOptions};
use qadom_routing::Key;
use qadom_store::{
    Container, EngineFault, Entry, EntryId, Evicted, LargestGroup, MemoryStore, Needed, OpenError,
    Scope, Stats, Store, StoreError, Ticket, Usage,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::command::{Command, Operation};
use crate::driver::tests::build;

#[test]
fn the_verdict_follows_the_first_attempt_and_the_neighbours() {
    let mut health = Health::new(true);
    assert_eq!(health.verdict(0, Refill::default()).0, Verdict::Starting);
    let problems = vec!["h:1: unreachable".to_owned()];
    health.on_bootstrapped(Bootstrapped {
        is_first: false,
        problems,
    });
    let (verdict, reasons) = health.verdict(0, Refill::default());
    assert_eq!((verdict, reasons.len()), (Verdict::Isolated, 2));
    let (verdict, reasons) = health.verdict(1, Refill::default());
    assert_eq!((verdict, reasons.len()), (Verdict::Healthy, 1));
    assert_eq!(
        Health::new(false).verdict(0, Refill::default()).0,
        Verdict::Healthy
    );
}

#[test]
fn a_failed_commit_counts_for_more_than_neighbours() {
    let mut health = Health::new(false);
    health.commit_failure = Some(Reason::DiskFull);
    let (verdict, reasons) = health.verdict(9, Refill::default());
    assert_eq!(verdict, Verdict::Degraded);
    assert!(reasons[0].starts_with("disk-full"));
}

/// Fails in the next put when told to, and stays stopped until it is reopened.
#[derive(Debug)]
struct Fragile {
    inner: MemoryStore,
    is_broken: AtomicBool,
    reopened: AtomicUsize,
}

impl Fragile {
    fn check(&self) -> Result<(), StoreError> {
        if self.is_stopped() {
            let source = EngineFault::new("no space");
            return Err(StoreError::DiskFull { source });
        }
        Ok(())
    }
}

impl Store for Fragile {
    fn get(&self, slot: &Key, id: &EntryId) -> Result<Option<Entry>, StoreError> {
        self.inner.get(slot, id)
    }

    fn put(&self, entry: Entry) -> Result<(), StoreError> {
        self.check()?;
        self.inner.put(entry)
    }

    fn remove(&self, slot: &Key, id: &EntryId) -> Result<bool, StoreError> {
        self.inner.remove(slot, id)
    }

    fn scan_slot(
        &self,
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan_slot(slot, from, to, limit)
    }

    fn scan_keys(
        &self,
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan_keys(from, to, after, limit)
    }

    fn expire(&self, until: u64, limit: usize) -> Result<usize, StoreError> {
        self.inner.expire(until, limit)
    }

    fn evict(
        &self,
        scope: Scope,
        needed: Needed,
        keep: &[(Key, EntryId)],
    ) -> Result<Vec<Evicted>, StoreError> {
        self.inner.evict(scope, needed, keep)
    }

    fn usage(&self, container: &Container) -> Usage {
        self.inner.usage(container)
    }

    fn owner_usage(&self, container: &Container, owner: &[u8; 32]) -> Usage {
        self.inner.owner_usage(container, owner)
    }

    fn largest_group(&self, scope: Scope) -> LargestGroup {
        self.inner.largest_group(scope)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn ticket(&self) -> Ticket {
        self.inner.ticket()
    }

    fn commit(&self) -> Result<Ticket, StoreError> {
        self.check()?;
        self.inner.commit()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_stopped(&self) -> bool {
        self.is_broken.load(Ordering::SeqCst)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.check()
    }

    fn reopen(&self) -> Result<Ticket, OpenError> {
        self.reopened.fetch_add(1, Ordering::SeqCst);
        self.is_broken.store(false, Ordering::SeqCst);
        self.inner.reopen()
    }

    fn start_over(&self, quarantine: &Path) -> Result<Ticket, OpenError> {
        self.inner.start_over(quarantine)
    }
}

fn start(store: Arc<Fragile>) -> mpsc::Sender<Box<Command>> {
    let (driver, commands) = build(store);
    tokio::spawn(driver.run(watch::Sender::new(None)));
    commands
}

async fn ask<T>(
    commands: &mpsc::Sender<Box<Command>>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> T {
    let (reply, answer) = oneshot::channel();
    commands.send(Box::new(command(reply))).await.unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_store_that_fails_in_a_put_is_noticed_and_started_again() {
    let store = Arc::new(Fragile {
        inner: MemoryStore::new(),
        is_broken: AtomicBool::new(true),
        reopened: AtomicUsize::new(0),
    });
    let commands = start(Arc::clone(&store));
    let put = || {
        let operation = Operation::Put("value".into(), WriteOptions::default());
        ask(&commands, |reply| Command::Begin(operation, reply))
    };
    let refused = put().await.unwrap_err();
    assert!(matches!(refused, Failure::Store { .. }), "{refused:?}");
    let mut seen = Vec::new();
    // Far beyond what any machine needs: this ends a test that would hang.
    let mut patience = 12_000;
    while seen.last() != Some(&Verdict::Healthy) || seen.len() < 2 {
        let verdict = ask(&commands, Command::Status).await.verdict;
        if seen.last() != Some(&verdict) {
            seen.push(verdict);
        }
        patience -= 1;
        assert!(patience > 0, "the node does not get there: {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(seen.contains(&Verdict::Degraded), "{seen:?}");
    assert_eq!(store.reopened.load(Ordering::SeqCst), 1);
    put().await.unwrap();
}
