//! A bag that is listed item by item, between the driver that never waits and a reader that may.
//!
//! What must stay true: a reader that does not read holds up nobody and costs no more than the bag:
//! of each item its newest version alone waits, of all of them 16 MiB at most; what found no room
//! makes the listing incomplete.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use qadom_engine::{Failure, Outcome};
use qadom_routing::Key;
use qadom_wire::{Verified, Writer};
use tokio::sync::{Notify, oneshot};

use crate::command::Signals;

/// Bytes of items that wait for their reader at most: all that a holder keeps of one bag.
const QUEUE_BYTES: usize = 16 << 20;

/// What the listing of a bag brings.
#[derive(Clone, Debug)]
pub enum BagEvent {
    /// A writer's item. It comes again when another holder shows that the writer has renewed it.
    Added {
        /// The item.
        value: Bytes,
        /// Names it: the BLAKE3 of the item.
        label: [u8; 32],
        /// Who added it.
        writer: Writer,
        /// When it expires unless it is renewed, in seconds of UTC.
        expires_at: u64,
    },
    /// A writer has removed its item, which a holder showed that does not know yet. An item that
    /// was not read meanwhile is told as removed alone.
    Removed {
        /// The label of the item.
        label: [u8; 32],
        /// Who had added it.
        writer: Writer,
    },
    /// There is no more.
    End {
        /// Whether this was everything: three holders, or all when there are fewer, agree.
        complete: bool,
    },
    /// The listing broke off: the one node that was to be asked does not tell what it has.
    Failed(Failure),
}

/// A bag on its way, from [`Bag::list_stream`](crate::Bag::list_stream). Dropping it ends the
/// listing.
#[derive(Debug)]
pub struct BagStream {
    shared: Arc<Shared>,
    signals: Arc<Signals>,
}

impl BagStream {
    /// Waits for the next event; none behind [`End`](BagEvent::End) and
    /// [`Failed`](BagEvent::Failed), and when the node has ended before.
    ///
    /// Nothing is lost when the wait is given up before it ends.
    pub async fn next(&mut self) -> Option<BagEvent> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut queue = self.shared.lock();
                if let Some(event) = queue.pop() {
                    return Some(event);
                }
                if queue.is_ended {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for BagStream {
    fn drop(&mut self) {
        self.shared.lock().is_unread = true;
        self.signals.abandon();
    }
}

/// The driver's end of a listing. Dropping it tells the reader that no more will come.
#[derive(Debug)]
pub(crate) struct BagFeed {
    shared: Arc<Shared>,
    /// Waits until the listing has begun or was refused.
    caller: Option<oneshot::Sender<Result<(), Failure>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// The ids of what waits, each once.
    order: VecDeque<Key>,
    waiting: BTreeMap<Key, Verified>,
    /// The payloads of what waits.
    bytes: usize,
    /// Something found no room.
    is_cut: bool,
    /// Comes behind all that waits.
    end: Option<BagEvent>,
    is_unread: bool,
    is_ended: bool,
}

/// Both ends of a new listing.
pub(crate) fn bag_stream(
    signals: &Arc<Signals>,
    caller: oneshot::Sender<Result<(), Failure>>,
) -> (BagFeed, BagStream) {
    let shared = Arc::<Shared>::default();
    let feed = BagFeed {
        shared: Arc::clone(&shared),
        caller: Some(caller),
    };
    let signals = Arc::clone(signals);
    (feed, BagStream { shared, signals })
}

impl BagFeed {
    /// Tells the caller that the bag is being listed.
    pub(crate) fn begin(&mut self) {
        if let Some(caller) = self.caller.take() {
            // A caller that is gone has dropped its stream, too.
            let _ = caller.send(Ok(()));
        }
    }

    /// Adds what was verified to what waits.
    pub(crate) fn push(&self, records: Vec<Verified>) {
        let mut queue = self.shared.lock();
        for record in records {
            queue.push(record);
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Tells how the listing ended: the caller, when it had not begun, or else the reader.
    pub(crate) fn end(mut self, result: Result<Outcome, Failure>) {
        let end = match (result, self.caller.take()) {
            (Err(failure), Some(caller)) => {
                let _ = caller.send(Err(failure));
                return;
            }
            (Err(failure), None) => BagEvent::Failed(failure),
            (Ok(outcome), caller) => {
                self.caller = caller;
                self.begin();
                let complete = matches!(outcome, Outcome::Listed(listed) if listed.complete);
                BagEvent::End { complete }
            }
        };
        self.shared.lock().end = Some(end);
    }

    /// Whether nobody will read any more.
    pub(crate) fn is_unread(&self) -> bool {
        self.shared.lock().is_unread
    }
}

impl Drop for BagFeed {
    fn drop(&mut self) {
        self.shared.lock().is_ended = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// A panic elsewhere leaves the queue as it was: every change to it is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<BagEvent> {
        while let Some(id) = self.order.pop_front() {
            if let Some(record) = self.waiting.remove(&id) {
                self.bytes = self.bytes.saturating_sub(record.payload().len());
                return Some(BagEvent::of(&record));
            }
        }
        Some(match self.end.take()? {
            BagEvent::End { complete } => BagEvent::End {
                complete: complete && !self.is_cut,
            },
            other => other,
        })
    }

    fn push(&mut self, record: Verified) {
        let id = *record.id();
        let old = self.waiting.get(&id);
        let others = self.bytes - old.map_or(0, |old| old.payload().len());
        let bytes = others + record.payload().len();
        if self.is_unread || bytes > QUEUE_BYTES {
            self.is_cut = true;
            return;
        }
        self.bytes = bytes;
        if self.waiting.insert(id, record).is_none() {
            self.order.push_back(id);
        }
    }
}

impl BagEvent {
    fn of(record: &Verified) -> Self {
        let (label, writer) = (*record.label(), *record.writer());
        if record.is_tombstone() {
            return Self::Removed { label, writer };
        }
        Self::Added {
            value: record.payload().clone(),
            label,
            writer,
            expires_at: record.expiry(),
        }
    }
}

#[cfg(test)]
mod tests;
