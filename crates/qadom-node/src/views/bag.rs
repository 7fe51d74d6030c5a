//! Bags: many items under one key, from many writers.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
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
///
/// # Examples
///
/// ```
/// use qadom_node::{BagList, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let bag = node.bag("name:fruit".parse()?);
/// bag.add("apple").await?;
/// let BagList { items, complete, .. } = bag.list().await?;
/// assert!(items.len() == 1 && complete);
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BagList {
    /// The items, each once.
    pub items: Vec<BagItem>,
    /// Whether this is everything: three holders, or all when there are fewer, agree. Of a page,
    /// whether it and what lies behind it are.
    pub complete: bool,
    /// Where the next page begins; none on the last one, and when no pages were asked for.
    pub cursor: Option<BagCursor>,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end.
    pub took: Duration,
}

/// Behind which item a page of a bag begins: items are ordered by their labels, the BLAKE3 of their
/// bytes. Its text is 64 hex digits.
///
/// # Examples
///
/// ```
/// use qadom_node::BagCursor;
///
/// let text = "ab".repeat(32);
/// let cursor: BagCursor = text.parse()?;
/// assert_eq!(cursor.to_string(), text);
/// # Ok::<(), qadom_node::BagCursorError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BagCursor(Key);

impl fmt::Display for BagCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The text is no cursor of a bag. Whoever gave it is at fault.
///
/// # Examples
///
/// ```
/// use qadom_node::{BagCursor, BagCursorError};
///
/// assert_eq!("name:x".parse::<BagCursor>(), Err(BagCursorError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor of a bag is 64 hex digits, as the page before gave it")]
pub struct BagCursorError;

impl FromStr for BagCursor {
    type Err = BagCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Keys have other forms of text as well.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let key = text.parse().ok().filter(|_| is_plain);
        key.map(Self).ok_or(BagCursorError)
    }
}

/// An item of a bag.
///
/// # Examples
///
/// ```
/// use qadom_node::{BagItem, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let bag = node.bag("name:fruit".parse()?);
/// bag.add("apple").await?;
/// for BagItem { value, writers, .. } in bag.list().await?.items {
///     println!("{value:?} was added by {} writers", writers.len());
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
        self.list_labelled().await.map(|(list, _)| list)
    }

    /// Lists at most this many items, at least one, in the order of their labels and behind the
    /// cursor that the page before gave; none begins with the first.
    ///
    /// Each page reads the bag anew: what is added meanwhile is on a later page or on none, and no
    /// item is on two.
    ///
    /// # Errors
    ///
    /// Those of [`list`](Self::list).
    pub async fn page(
        &self,
        behind: Option<BagCursor>,
        limit: NonZeroUsize,
    ) -> Result<BagList, Error> {
        let (list, labels) = self.list_labelled().await?;
        let mut items: Vec<_> = labels.into_iter().zip(list.items).collect();
        items.retain(|(label, _)| behind.is_none_or(|behind| *label > behind));
        items.sort_unstable_by_key(|(label, _)| *label);
        let has_more = items.len() > limit.get();
        items.truncate(limit.get());
        let end = items.last().map(|(label, _)| *label);
        Ok(BagList {
            items: items.into_iter().map(|(_, item)| item).collect(),
            cursor: end.filter(|_| has_more),
            ..list
        })
    }

    /// The items, and the place of each among pages.
    async fn list_labelled(&self) -> Result<(BagList, Vec<BagCursor>), Error> {
        let node = &self.settings.node;
        let from = node.source(&self.settings.from).await?;
        let list = Operation::Records(Box::new(RecordOperation::BagList(self.key, from)));
        let Outcome::Listed(listed) = node.operate(list).await? else {
            return Err(Error::Internal);
        };
        let items = listed.by_payload().into_iter().map(|(value, records)| {
            let expiries = records.iter().map(|record| record.expiry());
            let label = records
                .first()
                .map_or(Key::ZERO, |record| Key::from_bytes(*record.label()));
            let item = BagItem {
                value: value.clone(),
                expires_at: expiries.max().unwrap_or(0),
                writers: records.iter().map(|record| *record.writer()).collect(),
            };
            (item, BagCursor(label))
        });
        let (items, labels) = items.unzip();
        let list = BagList {
            items,
            complete: listed.complete,
            cursor: None,
            hops: listed.hops,
            messages: listed.messages,
            took: listed.took,
        };
        Ok((list, labels))
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
