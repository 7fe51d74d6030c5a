//! What a [`Node`](crate::Node) handle asks its driver for.
//!
//! What must stay true: the queue of commands is bounded, and a command whose caller is gone costs
//! nothing. How commands are carried out is the driver's business.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Blocked, Failure, InboundId, Mode, Outcome, Promise, PublicationId, ReadFrom, Since, WatchSlot,
    WriteOptions,
};
use qadom_routing::{Contact, Key, NodeId, NodeKey};
use qadom_wire::{Held, Holds, Identity, Offer, OfferResult, Reason, Writer};
use tokio::sync::{Notify, oneshot};

use crate::bag_stream::Items;
use crate::error::{Error, StopReason};
use crate::handover::Feed;
use crate::lookup_stream::Steps;
use crate::status::{Block, Peer, Status};
use crate::subscription::Events;

/// Commands that may wait for the driver; one more is refused as busy.
pub(crate) const COMMANDS_MAX: usize = 256;

/// Whether something was changed that the journal has by now.
pub(crate) type Marked = Result<bool, Error>;

/// Something for the driver to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begin an operation of the engine.
    Begin(Operation, oneshot::Sender<Result<Outcome, Failure>>),
    /// Ask who answers at an address.
    Identify(SocketAddr, oneshot::Sender<Result<NodeKey, Reason>>),
    /// Store for others, or no longer.
    SetMode(Mode, oneshot::Sender<()>),
    /// Look into the routing table.
    Contact(NodeId, oneshot::Sender<Option<Contact>>),
    /// Let the engine sign as a writer.
    Identity(Arc<Identity>, oneshot::Sender<()>),
    /// Tell the state.
    Status(oneshot::Sender<Box<Status>>),
    /// Watch a slot.
    Watch(WatchSlot, Since, Feed<Events>),
    /// List a bag item by item.
    BagStream(Key, ReadFrom, Feed<Items>),
    /// Look a key up, and tell every step when it happens.
    LookupStream(Key, Feed<Steps>),
    /// Tell what this node keeps alive: what lies behind a publication, so many at most.
    Publications(Option<PublicationId>, usize, oneshot::Sender<Vec<Promise>>),
    /// Tell the payloads of what this node keeps alive in a slot.
    Promised(Key, oneshot::Sender<Vec<Bytes>>),
    /// Have nothing to do with something, for this long or for ever.
    Block(Blocked, Option<Duration>, oneshot::Sender<Marked>),
    /// Take a block back.
    Unblock(Blocked, oneshot::Sender<Marked>),
    /// Tell what is blocked.
    Blocks(oneshot::Sender<Vec<Block>>),
    /// Tell whether something is blocked.
    IsBlocked(Blocked, oneshot::Sender<bool>),
    /// Answer a peer that offered chunks of a file.
    AnswerOffer(InboundId, Result<Vec<OfferResult>, Reason>),
    /// Answer a peer that asked which chunks of a file are here.
    AnswerHolds(InboundId, Result<Held, Reason>),
    /// Tell the neighbours.
    Peers(oneshot::Sender<Vec<Peer>>),
    /// Tell whether neighbours answer, and whom else to come back by.
    Neighbours(oneshot::Sender<Neighbours>),
    /// Note how the attempt to join by the addresses of the start went.
    Bootstrapped(Bootstrapped),
    /// End the node.
    Stop(Box<StopReason>),
}

/// An operation of the engine.
#[derive(Debug)]
pub(crate) enum Operation {
    Put(Bytes, WriteOptions),
    Get(Key, ReadFrom),
    Lookup(Key),
    /// Bring what is held for others to other nodes, and take in nothing more.
    Leave,
    Join(Vec<SocketAddr>, Vec<Contact>),
    Ping(Box<Contact>),
    /// With the fingerprint of the own key.
    Stream(Box<Contact>, [u8; 32]),
    Offer(Box<Contact>, Box<Offer>),
    Holds(Box<Contact>, Holds),
    Records(Box<RecordOperation>),
}

impl Operation {
    /// The same once more, when it is a read and so may be repeated.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Get(key, from) => Some(Self::Get(*key, from.clone())),
            Self::Records(operation) => {
                let operation = operation.again()?;
                Some(Self::Records(Box::new(operation)))
            }
            _ => None,
        }
    }
}

/// An operation of the engine on what writers sign and what this node keeps alive.
#[derive(Debug)]
pub(crate) enum RecordOperation {
    /// Without a value the name is deleted.
    DictSet {
        writer: Writer,
        name: Bytes,
        value: Option<Bytes>,
        options: WriteOptions,
    },
    DictGet {
        name: Bytes,
        pinned: Option<Writer>,
        from: ReadFrom,
    },
    BagAdd {
        writer: Writer,
        key: Key,
        item: Bytes,
        options: WriteOptions,
    },
    BagRemove {
        writer: Writer,
        key: Key,
        item: Bytes,
        options: WriteOptions,
    },
    BagList(Key, ReadFrom),
    /// Without a value the entry is deleted.
    NamespaceSet {
        writer: Writer,
        key: Key,
        value: Option<Bytes>,
        if_seq: Option<u64>,
        options: WriteOptions,
    },
    NamespaceGet {
        writer: Writer,
        key: Key,
        latest: bool,
        from: ReadFrom,
    },
    Publish {
        writer: Writer,
        topic: Key,
        message: Bytes,
        options: WriteOptions,
    },
    Withdraw(Key),
}

impl RecordOperation {
    /// The same once more, when it is a read.
    fn again(&self) -> Option<Self> {
        match self {
            Self::DictGet { name, pinned, from } => Some(Self::DictGet {
                name: name.clone(),
                pinned: *pinned,
                from: from.clone(),
            }),
            Self::BagList(key, from) => Some(Self::BagList(*key, from.clone())),
            Self::NamespaceGet {
                writer,
                key,
                latest,
                from,
            } => Some(Self::NamespaceGet {
                writer: *writer,
                key: *key,
                latest: *latest,
                from: from.clone(),
            }),
            _ => None,
        }
    }
}

/// Whom a node knows.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// Contacts of the routing table to which no request failed since they were last heard from.
    pub(crate) live: usize,
    /// The contacts of the routing table, nearest first, or the last ones it had.
    pub(crate) known: Vec<Contact>,
}

/// How an attempt to join by the addresses of the start went.
#[derive(Debug)]
pub(crate) struct Bootstrapped {
    /// Whether nobody was named but this node itself, so that it is the first of its network.
    pub(crate) is_first: bool,
    /// What is wrong with the addresses, in words.
    pub(crate) problems: Vec<String>,
}

/// What reaches the driver even when the queue is full.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    wake: Notify,
    is_stopping: AtomicBool,
}

impl Signals {
    /// Tells the driver that somebody no longer waits for an answer.
    pub(crate) fn abandon(&self) {
        self.wake.notify_one();
    }

    /// Tells the driver to end.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Waits for one of the two.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
