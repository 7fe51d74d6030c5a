//! Topics: messages to all who subscribe.

use bytes::Bytes;
use qadom_engine::{Since, WatchSlot, Written};
use qadom_routing::Key;
use qadom_wire::Kind;

use super::{Settings, settings};
use crate::command::RecordOperation;
use crate::error::Error;
use crate::subscription::Subscription;

/// The topic under a key, from [`Node::topic`](crate::Node::topic).
///
/// Messages have up to 8192 bytes and are kept for 36 h unless told otherwise. A subscriber gets
/// those of one writer in order and once; between writers there is no order.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use qadom_node::{Cursor, Event, Key, Node, Since};
///
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// let topic = node.topic("name:news".parse::<Key>()?);
/// topic.publish("first").await?;
/// let mut subscription = topic.subscribe(Since::Cursor(Cursor::new())).await?;
/// let Some(Event::Record { record, .. }) = subscription.next().await else {
///     panic!("the backlog has one message");
/// };
/// assert_eq!(record.payload(), "first");
/// node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    settings: Settings,
    key: Key,
}

settings!(Topic, settings);

impl Topic {
    pub(super) const fn new(settings: Settings, key: Key) -> Self {
        Self { settings, key }
    }

    /// Publishes a message. It is not renewed: it is gone when its copies expire.
    ///
    /// # Errors
    ///
    /// Those of [`Dict::set`](crate::Dict::set).
    pub async fn publish(&self, message: impl Into<Bytes>) -> Result<Written, Error> {
        let operation = RecordOperation::Publish {
            writer: self.settings.writer().await?,
            topic: self.key,
            message: message.into(),
            options: self.settings.options,
        };
        self.settings.write(operation).await
    }

    /// Subscribes: first what is still held behind the cursor, then live.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn subscribe(&self, since: Since) -> Result<Subscription, Error> {
        let slot = WatchSlot {
            slot: self.key,
            kind: Kind::Event,
        };
        self.settings.node.watch(slot, since).await
    }
}
