//! The end of a node, in order: no new work, the last commit with the answers that wait for it, the
//! contacts, the store, the folder.
//!
//! What must stay true: when the end is announced nothing of the node runs or is locked any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep_until, timeout};

use super::{Driver, Input, report, save};

/// The longest wait for one commit at the end; a disk that takes longer is given up.
const COMMIT_MAX: Duration = Duration::from_secs(30);

/// The longest wait for copies of values whose receipts were given already.
const COPIES_MAX: Duration = Duration::from_secs(3);

impl Driver {
    /// Lets the last copies of values go out whose receipts were given already.
    pub(super) async fn finish_copies(&mut self) {
        let end = self.clock.now().moment + COPIES_MAX;
        let given_up_at = self.clock.instant(end);
        while self.engine.copies_under_way() > 0 && self.clock.now().moment < end {
            let deadline = self.deadline();
            let due = deadline.map_or(given_up_at, |deadline| deadline.min(given_up_at));
            let input = tokio::select! {
                readable = self.sockets.readable() => Input::Readable(readable),
                report = report(&mut self.flusher) => Input::Report(report),
                () = tokio::task::yield_now(), if self.endpoint.has_requests() => Input::More,
                () = sleep_until(due) => Input::Due,
            };
            let now = self.clock.now();
            self.on_input(now, input);
            self.on_due(now);
            self.settle(now);
            if self.stop.take().is_some() {
                break;
            }
        }
    }

    pub(super) async fn close(mut self: Box<Self>) {
        self.queue.close();
        self.reading.end();
        if let Some(bootstrap) = self.bootstrap.take() {
            bootstrap.abort();
        }
        self.quic.close().await;
        self.files.close().await;
        if let Some(flusher) = self.flusher.take() {
            let mut reports = flusher.close();
            loop {
                match timeout(COMMIT_MAX, reports.recv()).await {
                    Ok(Some(report)) => {
                        let now = self.clock.now();
                        self.on_report(now, report);
                        self.settle(now);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        tracing::error!(
                            "the disk does not take the last writes, they are given up"
                        );
                        break;
                    }
                }
            }
        }
        if let Some(saving) = self.saving.take() {
            // It logs its own failures; there is nothing else to learn from it.
            let _ = saving.await;
        }
        let saved = self
            .save_at
            .is_some()
            .then(|| self.remember(self.clock.now()));
        // Closing a store waits for the disk. The lock of the folder is given back last.
        let closing = tokio::task::spawn_blocking(move || {
            let Self {
                folder,
                engine,
                store,
                ..
            } = *self;
            if let Some(saved) = saved {
                save(&saved, &folder);
            }
            drop((engine, store));
            debug_assert_eq!(Arc::strong_count(&folder), 1, "the folder is given back");
        });
        if closing.await.is_err() {
            tracing::error!("the node did not end cleanly");
        }
    }
}
