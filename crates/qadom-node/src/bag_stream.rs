//! A bag that is listed item by item, between the driver that never waits and a reader that may.
//!
//! What must stay true: a reader that does not read holds up nobody and costs no more than the bag:
//! of each item its newest version alone waits, of all of them 16 MiB at most; what found no room
//! makes the listing incomplete.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use qadom_engine::{Failure, Outcome};
use qadom_routing::Key;
use qadom_wire::{Verified, Writer};

use crate::handover::{Feed, Queue, Reader};

/// Bytes of items that wait for their reader at most: all that a holder keeps of one bag.
const QUEUE_BYTES: usize = 16 << 20;

/// What the listing of a bag brings.
///
/// # Examples
///
/// ```
/// use qadom_node::{BagEvent, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let bag = node.bag("name:fruit".parse()?);
/// bag.add("apple").await?;
/// let mut items = bag.list_stream().await?;
/// while let Some(event) = items.next().await {
///     match event {
///         BagEvent::Added { value, .. } => assert_eq!(value, "apple"),
///         BagEvent::End { complete } => assert!(complete),
///         other => println!("{other:?}"),
///     }
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_node::{BagStream, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let mut items: BagStream = node.bag("name:fruit".parse()?).list_stream().await?;
/// while let Some(event) = items.next().await {
///     println!("{event:?}");
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BagStream(Reader<Items>);

impl BagStream {
    pub(crate) const fn new(reader: Reader<Items>) -> Self {
        Self(reader)
    }

    /// Waits for the next event; none behind [`End`](BagEvent::End) and
    /// [`Failed`](BagEvent::Failed), and when the node has ended before.
    ///
    /// Nothing is lost when the wait is given up before it ends.
    pub async fn next(&mut self) -> Option<BagEvent> {
        self.0.next().await
    }
}

/// The items that wait.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// The ids of what waits, each once.
    order: VecDeque<Key>,
    waiting: BTreeMap<Key, Verified>,
    /// The payloads of what waits.
    bytes: usize,
    /// Something found no room.
    is_cut: bool,
    /// Comes behind all that waits.
    end: Option<BagEvent>,
}

impl Feed<Items> {
    /// Adds what was verified to what waits.
    pub(crate) fn push(&self, records: Vec<Verified>) {
        self.change(|items| {
            for record in records {
                items.push(record);
            }
        });
    }

    /// Tells how the listing ended: the caller, when it had not begun, or else the reader.
    pub(crate) fn end(mut self, result: Result<Outcome, Failure>) {
        let end = match result {
            Ok(outcome) => {
                self.begin();
                let complete = matches!(outcome, Outcome::Listed(listed) if listed.complete);
                BagEvent::End { complete }
            }
            Err(failure) => match self.refuse(failure) {
                Ok(()) => return,
                Err(failure) => BagEvent::Failed(failure),
            },
        };
        self.change(|items| items.end = Some(end));
    }
}

impl Queue for Items {
    type Event = BagEvent;

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
}

impl Items {
    fn push(&mut self, record: Verified) {
        let id = *record.id();
        let old = self.waiting.get(&id);
        let others = self.bytes - old.map_or(0, |old| old.payload().len());
        let bytes = others + record.payload().len();
        if bytes > QUEUE_BYTES {
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
