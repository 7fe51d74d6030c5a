//! What a watched slot brings, between the driver that never waits and a reader that may.
//!
//! What must stay true: a reader that does not read costs a bounded queue and holds up nobody; what
//! found no room is told as a gap, in its place among the events.

use std::collections::VecDeque;

use qadom_engine::WatchEvent;
use qadom_wire::{Cursor, Kind, Verified, Writer};

use crate::handover::{Feed, Queue, Reader};

/// Events that wait for their reader at most.
const EVENTS_MAX: usize = 1024;
/// Gaps that are told apart while the queue is full.
const GAPS: usize = 256;

/// What a subscription brings.
///
/// # Examples
///
/// ```
/// use qadom_node::{Cursor, Event, Node, Since};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let topic = node.topic("name:news".parse()?);
/// topic.publish("first message").await?;
/// let mut events = topic.subscribe(Since::Cursor(Cursor::new())).await?;
/// match events.next().await {
///     Some(Event::Record { record, .. }) => assert_eq!(record.payload(), "first message"),
///     other => println!("{other:?}"),
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, Since, Subscription};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let topic = node.topic("name:news".parse()?);
/// let mut events: Subscription = topic.subscribe(Since::Now).await?;
/// topic.publish("first message").await?;
/// assert!(events.next().await.is_some());
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subscription(Reader<Events>);

impl Subscription {
    pub(crate) const fn new(reader: Reader<Events>) -> Self {
        Self(reader)
    }

    /// Waits for the next event; none when the node has ended.
    ///
    /// Nothing is lost when the wait is given up before it ends.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }
}

/// The events that wait.
#[derive(Debug, Default)]
pub(crate) struct Events {
    events: VecDeque<Event>,
    /// What found no room, behind all the events.
    lost: Vec<Event>,
}

impl Feed<Events> {
    /// Adds an event to the queue, or to the gap behind it.
    pub(crate) fn push(&self, event: WatchEvent) {
        if let Some(event) = Event::from_engine(event) {
            self.change(|events| events.push(event));
        }
    }
}

impl Queue for Events {
    type Event = Event;

    fn pop(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        // The reader has caught up: what it missed is told before anything new.
        self.events.extend(self.lost.drain(..));
        self.events.pop_front()
    }
}

impl Events {
    fn push(&mut self, event: Event) {
        if self.lost.is_empty() && self.events.len() < EVENTS_MAX {
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
