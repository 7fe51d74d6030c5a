//! Bags: many items under one key, from many writers.

use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{Outcome, Written};
use qadom_routing::Key;
use qadom_wire::Writer;
use tokio::sync::oneshot;

use super::{Settings, settings, sources};
use crate::bag_stream::BagStream;
use crate::command::{Command, Operation, RecordOperation};
use crate::error::Error;
use crate::handover::handover;

/// The bag under a key, from [`Node::bag`](crate::Node::bag): a set of items of up to 1024 bytes.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use qadom_node::{Key, Node};
///
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// let bag = node.bag("name:fruit".parse::<Key>()?);
/// bag.add("apple").await?;
/// bag.add("pear").await?;
/// bag.add("apple").await?;
/// assert_eq!(bag.list().await?.items.len(), 2);
/// bag.remove("pear").await?;
/// assert_eq!(bag.list().await?.items.len(), 1);
/// node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bag {
    settings: Settings,
    key: Key,
}

settings!(Bag, settings);
sources!(Bag, settings);

/// What is in a bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BagList {
    /// The items, each once.
    pub items: Vec<BagItem>,
    /// Whether this is everything: three holders, or all when there are fewer, agree.
    pub complete: bool,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end.
    pub took: Duration,
}

/// An item of a bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BagItem {
    /// The item.
    pub value: Bytes,
    /// Who added it.
    pub writers: Vec<Writer>,
    /// When the last of these records expires unless it is renewed, in seconds of UTC.
    pub expires_at: u64,
}

impl Bag {
    pub(super) const fn new(settings: Settings, key: Key) -> Self {
        Self { settings, key }
    }

    /// Adds an item. One that the identity added before stays one item.
    ///
    /// # Errors
    ///
    /// Those of [`Dict::set`](crate::Dict::set); `too-large` above 1024 bytes.
    pub async fn add(&self, item: impl Into<Bytes>) -> Result<Written, Error> {
        let operation = RecordOperation::BagAdd {
            writer: self.settings.writer().await?,
            key: self.key,
            item: item.into(),
            options: self.settings.options,
        };
        self.settings.write(operation).await
    }

    /// Removes an item that the identity added.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add), [`Failure::NotYours`](crate::Failure::NotYours) when others
    /// alone added it, [`Failure::NotFound`](crate::Failure::NotFound) when nobody did.
    pub async fn remove(&self, item: impl Into<Bytes>) -> Result<Written, Error> {
        let operation = RecordOperation::BagRemove {
            writer: self.settings.writer().await?,
            key: self.key,
            item: item.into(),
            options: self.settings.options,
        };
        self.settings.write(operation).await
    }

    /// Lists the items; an unknown bag is empty.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn list(&self) -> Result<BagList, Error> {
        let node = &self.settings.node;
        let from = node.source(&self.settings.from).await?;
        let list = Operation::Records(Box::new(RecordOperation::BagList(self.key, from)));
        let Outcome::Listed(listed) = node.operate(list).await? else {
            return Err(Error::Internal);
        };
        let items = listed.by_payload().into_iter().map(|(value, records)| {
            let expiries = records.iter().map(|record| record.expiry());
            BagItem {
                value: value.clone(),
                expires_at: expiries.max().unwrap_or(0),
                writers: records.iter().map(|record| *record.writer()).collect(),
            }
        });
        Ok(BagList {
            items: items.collect(),
            complete: listed.complete,
            hops: listed.hops,
            messages: listed.messages,
            took: listed.took,
        })
    }

    /// Lists the items as [`list`](Self::list) does, but gives each as soon as its signature was
    /// verified, for each of its writers.
    ///
    /// Whether an item was removed may show only later: then it is taken back.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`](crate::Failure::Refused) with `busy` when as many operations are under
    /// way as may be, [`Failure::Peer`](crate::Failure::Peer) when the one node that was to be
    /// asked cannot be asked; [`Error::Busy`] and [`Error::Stopped`].
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use qadom_node::{BagEvent, Key, Node};
    ///
    /// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
    /// let bag = node.bag("name:fruit".parse::<Key>()?);
    /// bag.add("apple").await?;
    /// let mut items = bag.list_stream().await?;
    /// while let Some(event) = items.next().await {
    ///     match event {
    ///         BagEvent::Added { value, .. } => assert_eq!(value, "apple"),
    ///         BagEvent::Removed { label, .. } => println!("{label:?} is gone"),
    ///         BagEvent::End { complete } => println!("complete: {complete}"),
    ///         BagEvent::Failed(failure) => return Err(failure.into()),
    ///     }
    /// }
    /// node.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn list_stream(&self) -> Result<BagStream, Error> {
        let node = &self.settings.node;
        let from = node.source(&self.settings.from).await?;
        let (caller, begun) = oneshot::channel();
        let (feed, reader) = handover(node.signals(), caller);
        node.send(Command::BagStream(self.key, from, feed))?;
        begun.await.map_err(|_| Error::Stopped)??;
        Ok(BagStream::new(reader))
    }
}
