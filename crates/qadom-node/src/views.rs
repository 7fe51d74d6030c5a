//! What users see of a node's records: dicts, bags, namespaces and topics.
//!
//! What must stay true: a view only names what is meant (who signs, how copies are kept, where a
//! read looks); every rule about records is the engine's. Subscriptions are in `subscription.rs`, bags
//! that come item by item in `bag_stream.rs`.

mod bag;
mod dict;
mod namespace;
mod topic;

use std::time::Duration;

use qadom_engine::{
    Blocked, Outcome, Promise, PublicationId, SignedRead, Since, WatchSlot, Withdrawn,
    WriteOptions, Written,
};
use qadom_routing::Key;
use qadom_wire::Writer;
use tokio::sync::oneshot;

use crate::address::NodeName;
use crate::command::{Command, Operation, RecordOperation};
use crate::error::Error;
use crate::handover::handover;
use crate::identities::DEFAULT_IDENTITY;
use crate::node::Node;
use crate::status::Block;
use crate::subscription::Subscription;

pub use bag::{Bag, BagCursor, BagCursorError, BagItem, BagList};
pub use dict::Dict;
pub use namespace::Namespace;
pub use topic::Topic;

/// Where a read looks.
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, ReadFrom};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// node.dict().set("colour", "green").await?;
/// let here = node.dict().read_from(ReadFrom::Local);
/// assert_eq!(here.get("colour").await?.record.payload(), "green");
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// In the own store and in the network.
    #[default]
    Network,
    /// In the own store alone.
    Local,
    /// At one node alone.
    Node(NodeName),
}

/// What the views have in common.
#[derive(Clone, Debug)]
struct Settings {
    node: Node,
    identity: String,
    options: WriteOptions,
    from: ReadFrom,
}

impl Settings {
    fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            identity: DEFAULT_IDENTITY.to_owned(),
            options: WriteOptions::default(),
            from: ReadFrom::Network,
        }
    }

    /// Who signs what is written; the identity is made on its first use.
    async fn writer(&self) -> Result<Writer, Error> {
        self.node.writer(&self.identity).await
    }

    async fn write(&self, operation: RecordOperation) -> Result<Written, Error> {
        match self
            .node
            .operate(Operation::Records(Box::new(operation)))
            .await?
        {
            Outcome::Written(written) => Ok(written),
            _ => Err(Error::Internal),
        }
    }

    async fn read(&self, operation: RecordOperation) -> Result<SignedRead, Error> {
        match self
            .node
            .operate(Operation::Records(Box::new(operation)))
            .await?
        {
            Outcome::Entry(read) => Ok(read),
            _ => Err(Error::Internal),
        }
    }
}

impl Node {
    /// The dict of the network: names that anybody may set. The last writer wins, and readers see
    /// who that was.
    pub fn dict(&self) -> Dict {
        Dict(Settings::new(self))
    }

    /// The bag under a key: a set of items, each with its writers.
    pub fn bag(&self, key: Key) -> Bag {
        Bag::new(Settings::new(self), key)
    }

    /// Namespaces: to each writer its own keys, which it alone may set.
    pub fn namespace(&self) -> Namespace {
        Namespace(Settings::new(self))
    }

    /// The topic under a key: messages to all who subscribe.
    pub fn topic(&self, key: Key) -> Topic {
        Topic::new(Settings::new(self), key)
    }

    /// Watches a slot: first what is still held behind the cursor, then what is written as it is
    /// written.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`](crate::Failure::Refused) with `malformed` for the kind of values, `busy`
    /// when as many slots are watched as may be, and `blocked`; [`Error::Busy`] and
    /// [`Error::Stopped`].
    pub async fn watch(&self, slot: WatchSlot, since: Since) -> Result<Subscription, Error> {
        let (caller, begun) = oneshot::channel();
        let (feed, reader) = handover(self.signals(), caller);
        self.send(Command::Watch(slot, since, feed))?;
        begun.await.map_err(|_| Error::Stopped)??;
        Ok(Subscription::new(reader))
    }

    /// Everything that this node keeps alive until it is withdrawn, by slot.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn publications(&self) -> Result<Vec<Promise>, Error> {
        self.publications_behind(None, usize::MAX).await
    }

    /// Some of what this node keeps alive: at most so many, those behind this one.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn publications_behind(
        &self,
        behind: Option<PublicationId>,
        limit: usize,
    ) -> Result<Vec<Promise>, Error> {
        self.ask(|caller| Command::Publications(behind, limit, caller))
            .await
    }

    /// Ends all that this node keeps alive under a slot: values are no longer renewed, holders of
    /// what is signed are sent a tombstone.
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`](crate::Failure::NotFound) when there is nothing, [`Error::Busy`] and
    /// [`Error::Stopped`].
    pub async fn withdraw(&self, slot: Key) -> Result<Withdrawn, Error> {
        let operation = Operation::Records(Box::new(RecordOperation::Withdraw(slot)));
        match self.operate(operation).await? {
            Outcome::Withdrawn(withdrawn) => Ok(withdrawn),
            _ => Err(Error::Internal),
        }
    }

    /// Has nothing to do with a node, or neither holds nor serves what is under a key, for this
    /// long or until [`unblock`](Self::unblock), also after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyBlocks`], [`Failure::Journal`](crate::Failure::Journal) when the block holds
    /// until the node ends and no longer, [`Error::Busy`] and [`Error::Stopped`].
    pub async fn block(&self, what: Blocked, lasts: Option<Duration>) -> Result<(), Error> {
        self.ask(|caller| Command::Block(what, lasts, caller))
            .await?
            .map(|_| ())
    }

    /// Ends a block, whatever it was made for; tells whether there was one.
    ///
    /// # Errors
    ///
    /// [`Failure::Journal`](crate::Failure::Journal) when a restart will bring it back,
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn unblock(&self, what: Blocked) -> Result<bool, Error> {
        self.ask(|caller| Command::Unblock(what, caller)).await?
    }

    /// Everything that is blocked: by hand, or because it lied.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn blocks(&self) -> Result<Vec<Block>, Error> {
        self.ask(Command::Blocks).await
    }

    /// Where the engine has to look, with the node that is named found.
    pub(crate) async fn source(&self, from: &ReadFrom) -> Result<qadom_engine::ReadFrom, Error> {
        Ok(match from {
            ReadFrom::Network => qadom_engine::ReadFrom::Network,
            ReadFrom::Local => qadom_engine::ReadFrom::Local,
            ReadFrom::Node(name) => qadom_engine::ReadFrom::Node(Box::new(self.find(name).await?)),
        })
    }
}

/// The settings that every view takes.
macro_rules! settings {
    ($view:ident, $field:tt) => {
        impl $view {
            /// Signs as this identity of the node instead of `default`, which alone is made on its
            /// first use.
            #[must_use]
            pub fn signed_by(mut self, identity: impl Into<String>) -> Self {
                self.$field.identity = identity.into();
                self
            }

            /// Writes with another life of the copies, another number of them, or without renewal.
            #[must_use]
            pub fn with_options(mut self, options: qadom_engine::WriteOptions) -> Self {
                self.$field.options = options;
                self
            }
        }
    };
}

/// Where the reads of a view look.
macro_rules! sources {
    ($view:ident, $field:tt) => {
        impl $view {
            /// Reads from there instead of the whole network.
            #[must_use]
            pub fn read_from(mut self, from: crate::views::ReadFrom) -> Self {
                self.$field.from = from;
                self
            }
        }
    };
}

pub(crate) use {settings, sources};
