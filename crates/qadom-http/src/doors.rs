//! Who is in, and the end of it: connections are counted, and when the server closes those that do
//! something are waited for.
//!
//! What must stay true: whoever waits for the end itself is not waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// The connections of one control API, over all places where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    closing: Arc<watch::Sender<bool>>,
    /// Whether nothing comes any more that anybody may wait for.
    ending: Arc<watch::Sender<bool>>,
    /// Connections open, without those that wait for the end. Below 0 where requests come without
    /// connections, as in tests.
    open: Arc<watch::Sender<i64>>,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            closing: Arc::new(watch::Sender::new(false)),
            ending: Arc::new(watch::Sender::new(false)),
            open: Arc::new(watch::Sender::new(0)),
        }
    }
}

/// Counts one in, or out, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    open: Arc<watch::Sender<i64>>,
    by: i64,
}

impl Doors {
    /// Counts a connection as long as the answer lives.
    pub(crate) fn enter(&self) -> Counted {
        self.count(1)
    }

    /// Does not wait for the caller as long as the answer lives.
    pub(crate) fn step_aside(&self) -> Counted {
        self.count(-1)
    }

    fn count(&self, by: i64) -> Counted {
        let open = Arc::clone(&self.open);
        open.send_modify(|open| *open += by);
        Counted { open, by }
    }

    /// Lets nobody in any more, and ends what would not end by itself.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Closes the doors, and lets those who wait for the end itself have their answers and go.
    pub(crate) fn end(&self) {
        self.close();
        self.ending.send_replace(true);
    }

    /// Resolves when the end has come.
    pub(crate) async fn ending(&self) {
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    /// Resolves when the doors are closed.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.closing.subscribe();
        async move {
            // An error says that the server is gone, which is the same news.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Resolves when the doors were closed and everybody has left, or has had this long for it.
    pub(crate) async fn drained(&self, limit: Duration) {
        let mut open = self.open.subscribe();
        let left = open.wait_for(|open| *open <= 0);
        // Who takes longer is cut off with what is under way.
        let _ = tokio::time::timeout(limit, left).await;
    }
}

/// How many connections are open at one place where they come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicU64>);

/// Counts one in until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<AtomicU64>);

impl Gauge {
    /// Counts a connection as long as the answer lives.
    pub(crate) fn enter(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.0))
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= self.by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn who_is_in_is_waited_for_and_who_waits_for_the_end_is_not() {
        let doors = Doors::default();
        let (one, two) = (doors.enter(), doors.enter());
        let waits = doors.step_aside();
        doors.close();
        doors.closing().await;
        let mut drained = Box::pin(doors.drained(NEVER));
        assert!(tokio::time::timeout(NEVER / 2, &mut drained).await.is_err());
        drop(one);
        tokio::time::timeout(NEVER / 4, drained).await.unwrap();
        drop((two, waits));
        let gauge = Gauge::default();
        let open = gauge.enter();
        assert_eq!(gauge.open(), 1);
        drop(open);
        assert_eq!(gauge.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stays_is_waited_for_only_so_long() {
        let doors = Doors::default();
        let _stays = doors.enter();
        doors.close();
        tokio::time::timeout(NEVER, doors.drained(NEVER / 2))
            .await
            .unwrap();
    }
}
