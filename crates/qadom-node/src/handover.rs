//! A queue between the driver, which never waits, and a reader, which may.
//!
//! What must stay true: the driver only ever locks for as long as a queue changes, the reader learns
//! of every change and of the end, and the driver learns of a reader that is gone. What a queue keeps,
//! and how it stays bounded, is its own business.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qadom_engine::Failure;
use tokio::sync::{Notify, oneshot};

use crate::command::Signals;

/// What waits for a reader, within bounds of its own.
pub(crate) trait Queue: Default {
    /// What the reader takes.
    type Event;

    /// Takes what comes next, if anything waits.
    fn pop(&mut self) -> Option<Self::Event>;
}

/// The reader's end. Dropping it tells the driver that nobody will read any more.
#[derive(Debug)]
pub(crate) struct Reader<Q> {
    shared: Arc<Shared<Q>>,
    signals: Arc<Signals>,
}

/// The driver's end. Dropping it tells the reader that no more will come.
#[derive(Debug)]
pub(crate) struct Feed<Q> {
    shared: Arc<Shared<Q>>,
    /// Waits until the operation has begun or was refused.
    caller: Option<oneshot::Sender<Result<(), Failure>>>,
}

#[derive(Debug, Default)]
struct Shared<Q> {
    state: Mutex<State<Q>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State<Q> {
    queue: Q,
    is_unread: bool,
    is_ended: bool,
}

/// Both ends of a new queue.
pub(crate) fn handover<Q: Queue>(
    signals: &Arc<Signals>,
    caller: oneshot::Sender<Result<(), Failure>>,
) -> (Feed<Q>, Reader<Q>) {
    let shared = Arc::<Shared<Q>>::default();
    let feed = Feed {
        shared: Arc::clone(&shared),
        caller: Some(caller),
    };
    let signals = Arc::clone(signals);
    (feed, Reader { shared, signals })
}

impl<Q: Queue> Reader<Q> {
    /// Waits for what comes next; none at the end. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> Option<Q::Event> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut state = self.shared.lock();
                if let Some(event) = state.queue.pop() {
                    return Some(event);
                }
                if state.is_ended {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Takes what comes next without waiting.
    #[cfg(test)]
    pub(crate) fn pop(&self) -> Option<Q::Event> {
        self.shared.lock().queue.pop()
    }
}

impl<Q> Drop for Reader<Q> {
    fn drop(&mut self) {
        self.shared.lock().is_unread = true;
        self.signals.abandon();
    }
}

impl<Q> Feed<Q> {
    /// Tells the caller that the operation has begun.
    pub(crate) fn begin(&mut self) {
        if let Some(caller) = self.caller.take() {
            // A caller that is gone has dropped its reader, too.
            let _ = caller.send(Ok(()));
        }
    }

    /// Tells the caller that nothing was begun, and why; gives the failure back when it had begun.
    pub(crate) fn refuse(&mut self, failure: Failure) -> Result<(), Failure> {
        let Some(caller) = self.caller.take() else {
            return Err(failure);
        };
        let _ = caller.send(Err(failure));
        Ok(())
    }

    /// Changes what waits, and wakes the reader; for one that is gone nothing is kept.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Q)) {
        let mut state = self.shared.lock();
        if state.is_unread {
            return;
        }
        change(&mut state.queue);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Whether nobody will read any more.
    pub(crate) fn is_unread(&self) -> bool {
        self.shared.lock().is_unread
    }
}

#[cfg(test)]
impl<Q> Reader<Q> {
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Q) -> T) -> T {
        look(&self.shared.lock().queue)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.shared.lock().is_ended
    }
}

#[cfg(test)]
impl<Q> Feed<Q> {
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Q) -> T) -> T {
        look(&self.shared.lock().queue)
    }
}

impl<Q> Drop for Feed<Q> {
    fn drop(&mut self) {
        self.shared.lock().is_ended = true;
        self.shared.changed.notify_one();
    }
}

impl<Q> Shared<Q> {
    /// A panic elsewhere leaves the queue as it was: every change to it is whole.
    fn lock(&self) -> MutexGuard<'_, State<Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
