//! What a watched slot brings, between the driver that never waits and a reader that may.
//!
//! What must stay true: a reader that does not read costs a bounded queue and holds up nobody; what
//! found no room is told as a gap, in its place among the events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qadom_engine::{Failure, WatchEvent};
use qadom_wire::{Cursor, Kind, Verified, Writer};
use tokio::sync::{Notify, oneshot};

use crate::command::Signals;

/// Events that wait for their reader at most.
const QUEUE: usize = 1024;
/// Gaps that are told apart while the queue is full.
const GAPS: usize = 256;

/// What a subscription brings.
#[derive(Clone, Debug)]
pub enum Event {
    /// A record.
    Record {
        /// The record, verified.
        record: Verified,
        /// Watching since this cursor goes on behind the record.
        cursor: Cursor,
    },
    /// Records that will not come any more: nobody holds them, or the reader was too slow. The
    /// slot itself may still have them: read it anew.
    Gap {
        /// Whose; none when it is not known, and then the numbers merely count them from 1.
        writer: Option<Writer>,
        /// The stream that they are part of; 0 for all but topics.
        stream: u64,
        /// The first one that is missing.
        from_seq: u64,
        /// The last one that is missing.
        to_seq: u64,
    },
}

/// A watched slot, from [`Node::watch`](crate::Node::watch) or
/// [`Topic::subscribe`](crate::Topic::subscribe). Dropping it ends the watching.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    signals: Arc<Signals>,
}

impl Subscription {
    /// Waits for the next event; none when the node has ended.
    ///
    /// Nothing is lost when the wait is given up before it ends.
    pub async fn next(&mut self) -> Option<Event> {
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

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().is_unread = true;
        self.signals.abandon();
    }
}

/// The driver's end of a subscription. Dropping it tells the reader that no more will come.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    /// Waits until the watching has begun or was refused.
    caller: Option<oneshot::Sender<Result<(), Failure>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// What found no room, behind all the events.
    lost: Vec<Event>,
    is_unread: bool,
    is_ended: bool,
}

/// Both ends of a new subscription.
pub(crate) fn subscription(
    signals: &Arc<Signals>,
    caller: oneshot::Sender<Result<(), Failure>>,
) -> (Feed, Subscription) {
    let shared = Arc::<Shared>::default();
    let feed = Feed {
        shared: Arc::clone(&shared),
        caller: Some(caller),
    };
    let signals = Arc::clone(signals);
    (feed, Subscription { shared, signals })
}

impl Feed {
    /// Tells the caller that the slot is watched.
    pub(crate) fn begin(&mut self) {
        if let Some(caller) = self.caller.take() {
            // A caller that is gone has dropped its subscription, too.
            let _ = caller.send(Ok(()));
        }
    }

    /// Tells the caller that the slot is not watched, and why.
    pub(crate) fn refuse(mut self, failure: Failure) {
        if let Some(caller) = self.caller.take() {
            let _ = caller.send(Err(failure));
        }
    }

    /// Adds an event to the queue, or to the gap behind it.
    pub(crate) fn push(&self, event: WatchEvent) {
        let Some(event) = Event::from_engine(event) else {
            return;
        };
        self.shared.lock().push(event);
        self.shared.changed.notify_one();
    }

    /// Whether nobody will read any more.
    pub(crate) fn is_unread(&self) -> bool {
        self.shared.lock().is_unread
    }
}

impl Drop for Feed {
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
    fn pop(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        // The reader has caught up: what it missed is told before anything new.
        self.events.extend(self.lost.drain(..));
        self.events.pop_front()
    }

    fn push(&mut self, event: Event) {
        if self.lost.is_empty() && self.events.len() < QUEUE {
            self.events.push_back(event);
        } else {
            self.lose(&event);
        }
    }

    fn lose(&mut self, event: &Event) {
        let (writer, stream, from, to) = event.numbers();
        let gap = self.lost.iter_mut().find_map(|gap| match gap {
            Event::Gap {
                writer: whose,
                stream: of,
                to_seq,
                ..
            } if *whose == writer && *of == stream => Some(to_seq),
            _ => None,
        });
        if let Some(to_seq) = gap {
            *to_seq = (*to_seq).max(to);
        } else if self.lost.len() < GAPS {
            self.lost.push(Event::Gap {
                writer,
                stream,
                from_seq: from,
                to_seq: to,
            });
        } else if let Some(Event::Gap {
            writer: whose,
            stream: of,
            from_seq,
            to_seq,
        }) = self.lost.last_mut()
        {
            // More writers than are told apart: the last gap merely counts.
            (*whose, *of) = (None, 0);
            *from_seq = 1;
            *to_seq = to_seq.saturating_add(to.saturating_sub(from).saturating_add(1));
        }
    }
}

impl Event {
    fn from_engine(event: WatchEvent) -> Option<Self> {
        match event {
            WatchEvent::Record { record, cursor } => Some(Self::Record { record, cursor }),
            WatchEvent::Gap {
                writer,
                stream,
                from_seq,
                to_seq,
            } => Some(Self::Gap {
                writer: Some(writer),
                stream,
                from_seq,
                to_seq,
            }),
            WatchEvent::Skipped { records } => Some(Self::Gap {
                writer: None,
                stream: 0,
                from_seq: 1,
                to_seq: records,
            }),
            _ => None,
        }
    }

    /// Whose, of which stream, and from which number to which.
    fn numbers(&self) -> (Option<Writer>, u64, u64, u64) {
        match self {
            Self::Record { record, .. } => {
                let is_event = record.kind() == Kind::Event;
                let stream = if is_event { record.stream() } else { 0 };
                (Some(*record.writer()), stream, record.seq(), record.seq())
            }
            Self::Gap {
                writer,
                stream,
                from_seq,
                to_seq,
            } => (*writer, *stream, *from_seq, *to_seq),
        }
    }
}

#[cfg(test)]
mod tests;
