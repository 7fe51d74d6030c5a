//! The handle of a running node: everything a program asks of it.
//!
//! What must stay true: a handle is cheap to clone; the node runs until it is shut down or the last
//! handle is dropped; a call that is dropped before its end is given up by the node. The work is
//! done in `driver`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Failure, Fetched, JoinProblem, LookupReport, Mode, Outcome, PingReport, ReadFrom, Receipt,
    WriteOptions,
};
use qadom_routing::{Contact, Families, Key, NodeId, NodeKey};
use qadom_transport::Quic;
use qadom_wire::{NetworkId, Reason};
use tokio::sync::{mpsc, oneshot, watch};

use crate::address::{HostPort, JoinAddress, NodeAddress, NodeName};
use crate::builder::Builder;
use crate::command::{COMMANDS_MAX, Command, Operation, Signals};
use crate::error::{Error, StopReason};
use crate::files::Service;
use crate::handover::handover;
use crate::here::Here;
use crate::identities::IdentityFolder;
use crate::lookup_stream::LookupStream;
use crate::process;
use crate::resolve::{Targets, resolve};
use crate::status::{Peer, Status};

/// How often a read is tried again while the store is being opened again: 2 s in all, which it takes
/// with more records than a node may keep.
const REOPENING_TRIES: usize = 20;
/// The pause before each of these tries.
const REOPENING_PAUSE: Duration = Duration::from_millis(100);

/// How long a node that leaves may take to bring what it holds to others.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// A node that runs in the background of this process.
///
/// # Examples
///
/// ```
/// use qadom_node::Node;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let receipt = node.put("hello").await?;
/// let fetched = node.get(receipt.key).await?;
/// assert_eq!(&fetched.value[..], b"hello");
/// node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

/// What the handles of one node share.
pub(crate) struct Inner {
    /// The driver ends when this queue has no sender any more.
    pub(crate) commands: mpsc::Sender<Box<Command>>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
    pub(crate) here: Arc<Here>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) quic: Arc<Quic>,
    pub(crate) identities: Arc<IdentityFolder>,
    pub(crate) files: Arc<Service>,
}

/// What does not change while a node runs.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) address: NodeAddress,
    pub(crate) id: NodeId,
    pub(crate) local_addresses: Vec<SocketAddr>,
    pub(crate) families: Families,
    pub(crate) data_dir: PathBuf,
    pub(crate) network: String,
    pub(crate) network_id: NetworkId,
    pub(crate) is_local: bool,
}

/// A join that reached the network.
///
/// # Examples
///
/// ```
/// use qadom_node::{Joined, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let other = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let Joined { peers, problems } = node.join(&[other.address().into()]).await?;
/// assert_eq!((peers, problems.len()), (1, 0));
/// # node.shutdown().await;
/// # other.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Joined {
    /// Contacts in the routing table after the join.
    pub peers: u32,
    /// The addresses that did not help, and why.
    pub problems: Vec<(JoinAddress, JoinProblem)>,
}

impl Node {
    /// Begins to describe a node. Unless told otherwise it listens on port 7236 of every address,
    /// keeps its data in a temporary folder and belongs to the network `qadom`.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Stores a value of at most 8192 bytes with the nodes closest to its key, which is its
    /// SHA-256. The copies live 36 h.
    ///
    /// # Errors
    ///
    /// [`Failure::TooFewCopies`] when fewer than half of the nodes that should have a copy took
    /// one, [`Failure::Refused`] with `too-large` above 8192 bytes, [`Failure::Store`] when the own
    /// store failed, [`Error::Busy`] and [`Error::Stopped`].
    pub async fn put(&self, value: impl Into<Bytes>) -> Result<Receipt, Error> {
        self.put_with(value, WriteOptions::default()).await
    }

    /// Stores a value as [`put`](Self::put) does, with another life or another number of copies.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); [`Failure::Refused`] with `lifetime-too-long` when a life above
    /// 36 h is asked for and nobody is to renew the value, or one above 7 d.
    pub async fn put_with(
        &self,
        value: impl Into<Bytes>,
        options: WriteOptions,
    ) -> Result<Receipt, Error> {
        match self.operate(Operation::Put(value.into(), options)).await? {
            Outcome::Stored(receipt) => Ok(receipt),
            _ => Err(Error::Internal),
        }
    }

    /// Finds the value of a key, here or in the network. What comes back was verified.
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`] when nobody who answered has it, [`Error::Busy`] and
    /// [`Error::Stopped`].
    pub async fn get(&self, key: Key) -> Result<Fetched, Error> {
        match self.held(key).await {
            Some(fetched) => Ok(fetched),
            None => fetched(self.operate(Operation::Get(key, ReadFrom::Network)).await?),
        }
    }

    /// Finds the value of a key in this node's own store alone.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub async fn get_local(&self, key: Key) -> Result<Fetched, Error> {
        match self.held(key).await {
            Some(fetched) => Ok(fetched),
            None => fetched(self.operate(Operation::Get(key, ReadFrom::Local)).await?),
        }
    }

    /// The value of a key when it is in this node's own store and can be given at once; what came back was verified.
    /// None says nothing but that [`get`](Self::get) and [`get_local`](Self::get_local) may know more.
    ///
    /// It waits for no other node and no turn, but where the store has to read its disk for that.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_node::Node;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// let receipt = node.put("hello").await?;
    /// assert_eq!(node.get_now(&receipt.key).map(|fetched| fetched.value), Some("hello".into()));
    /// node.shutdown().await;
    /// assert_eq!(node.get_now(&receipt.key), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_now(&self, key: &Key) -> Option<Fetched> {
        self.inner.here.get(key)
    }

    /// As [`get_now`](Self::get_now), by a task that lets others run when it finds much.
    async fn held(&self, key: Key) -> Option<Fetched> {
        let fetched = self.get_now(&key)?;
        tokio::task::coop::consume_budget().await;
        Some(fetched)
    }

    /// Asks one node for the value of a key.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), [`Failure::Peer`] when the node does not answer, and those of
    /// finding it: [`Error::UnknownNode`], [`Error::Unresolved`], [`Error::Silent`].
    pub async fn get_from(&self, key: Key, node: impl Into<NodeName>) -> Result<Fetched, Error> {
        let node = ReadFrom::Node(Box::new(self.find(&node.into()).await?));
        fetched(self.operate(Operation::Get(key, node)).await?)
    }

    /// Finds the nodes closest to a key, and tells every step on the way.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`]; a lookup that nobody answers is an empty report.
    pub async fn lookup(&self, key: Key) -> Result<LookupReport, Error> {
        match self.operate(Operation::Lookup(key)).await? {
            Outcome::Looked(report) => Ok(report),
            _ => Err(Error::Internal),
        }
    }

    /// Finds the nodes closest to a key, and tells every step when it happens. The lookup is given up
    /// when the stream is dropped.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] with `busy` when as many operations run as may, [`Error::Busy`] and
    /// [`Error::Stopped`].
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_node::{LookupEvent, Node};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// let mut steps = node.lookup_stream("name:x".parse()?).await?;
    /// while let Some(event) = steps.next().await {
    ///     match event {
    ///         LookupEvent::Step { after, step } => println!("{after:?}: {:?}", step.event),
    ///         LookupEvent::End(report) => println!("{} closest", report.closest.len()),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # node.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn lookup_stream(&self, key: Key) -> Result<LookupStream, Error> {
        let (caller, begun) = oneshot::channel();
        let (feed, reader) = handover(self.signals(), caller);
        self.send(Command::LookupStream(key, feed))?;
        begun.await.map_err(|_| Error::Stopped)??;
        Ok(LookupStream::new(reader))
    }

    /// Enters a network through nodes that are known to belong to it. One is enough; the others
    /// are reported.
    ///
    /// # Errors
    ///
    /// [`Error::NotJoined`] when no address helped, with the problem of each; [`Error::Busy`] and
    /// [`Error::Stopped`].
    pub async fn join(&self, addresses: &[JoinAddress]) -> Result<Joined, Error> {
        let facts = &self.inner.facts;
        let targets = Targets::resolve(addresses, facts.families, facts.address.key()).await;
        let operation = Operation::Join(targets.addresses.clone(), targets.contacts.clone());
        match self.operate(operation).await {
            Ok(Outcome::Joined(joined)) => Ok(Joined {
                peers: joined.peers,
                problems: targets.problems(&joined.problems),
            }),
            Ok(_) => Err(Error::Internal),
            Err(Error::Failed(Failure::NotJoined { problems })) => Err(Error::NotJoined {
                problems: targets.problems(&problems),
            }),
            Err(error) => Err(error),
        }
    }

    /// Asks one node for a sign of life.
    ///
    /// # Errors
    ///
    /// [`Failure::Peer`] when it does not answer, and those of finding it:
    /// [`Error::UnknownNode`], [`Error::Unresolved`], [`Error::Silent`].
    pub async fn ping(&self, node: impl Into<NodeName>) -> Result<PingReport, Error> {
        let contact = Box::new(self.find(&node.into()).await?);
        match self.operate(Operation::Ping(contact)).await? {
            Outcome::Pong(report) => Ok(report),
            _ => Err(Error::Internal),
        }
    }

    /// Stores for others from now on, or no longer; neighbours are told. Whether others reach the
    /// node changes nothing about it any more.
    ///
    /// A node that becomes a client brings what it holds to those that are to hold it from now on,
    /// in the background, and keeps its own copies until they expire.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn set_mode(&self, mode: Mode) -> Result<(), Error> {
        self.ask(|caller| Command::SetMode(mode, caller)).await
    }

    /// The state of the node.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn status(&self) -> Result<Status, Error> {
        let mut status = self.ask(Command::Status).await?;
        let folder = self.inner.facts.data_dir.clone();
        let limits = tokio::task::spawn_blocking(move || process::limits(&folder)).await;
        // It does not panic, and is not cancelled but with all of the program.
        status.limits.extend(limits.unwrap_or_default());
        Ok(*status)
    }

    /// The neighbours of the node: its routing table.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    pub async fn peers(&self) -> Result<Vec<Peer>, Error> {
        self.ask(Command::Peers).await
    }

    /// How others join this node. Behind a NAT, others need the address of the router in place of
    /// the one in it.
    pub fn address(&self) -> NodeAddress {
        self.inner.facts.address.clone()
    }

    /// What signatures say of the network, so that a record of another one is none here.
    pub(crate) fn network_id(&self) -> NetworkId {
        self.inner.facts.network_id
    }

    /// The node's place in the key space.
    pub fn id(&self) -> NodeId {
        self.inner.facts.id
    }

    /// The addresses that the node listens on, with the ports that the operating system chose.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.inner.facts.local_addresses
    }

    /// The data folder; a temporary one unless the builder named it.
    pub fn data_dir(&self) -> &Path {
        &self.inner.facts.data_dir
    }

    /// Ends the node: answers that wait for the store go out, what was written reaches the disk,
    /// the contacts are saved, the folder is free for the next node. Operations under way end with
    /// [`Error::Stopped`]. Returns when all that is done; calling it again does nothing.
    pub async fn shutdown(&self) {
        self.inner.signals.stop();
        self.stopped().await;
    }

    /// Ends the node for long: takes in nothing more, brings what it holds for others to the nodes
    /// that are to have it now, for 10 s at the most and for 3 s where nobody answers, and then shuts down as
    /// [`shutdown`](Self::shutdown) does. Only what these nodes lack is sent. A call that is given up
    /// leaves the node running, without storing for others; `shutdown` then ends it.
    ///
    /// Gives the number of slots that others have now; none when nobody took some of them or the time
    /// was not enough, or when the node had ended before.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_node::Node;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let local = "127.0.0.1:0".parse()?;
    /// let stays = Node::builder().memory(true).listen(local).start().await?;
    /// let leaves = Node::builder().memory(true).listen(local).start().await?;
    /// leaves.join(&[stays.address().into()]).await?;
    /// let receipt = leaves.put("for others").await?;
    ///
    /// assert_eq!(leaves.leave().await, Some(1));
    /// assert_eq!(stays.get(receipt.key).await?.value, "for others");
    /// # stays.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn leave(&self) -> Option<u64> {
        let left = tokio::time::timeout(LEAVE_MAX, self.operate(Operation::Leave)).await;
        let brought = match left {
            Ok(Ok(Outcome::HandedOver(handed))) if handed.is_whole => Some(handed.slots),
            _ => None,
        };
        self.shutdown().await;
        brought
    }

    /// Waits until the node has ended, by [`shutdown`](Self::shutdown) or by itself.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.inner.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Internal),
            Err(_) => StopReason::Internal,
        }
    }

    /// Finds out where a node is reached and by which key.
    pub(crate) async fn find(&self, name: &NodeName) -> Result<Contact, Error> {
        match name {
            NodeName::Id(id) => self.find_by_id(*id).await,
            NodeName::Address(address) => {
                let at = self.resolve(address.host_port()).await?;
                Ok(named(*address.key(), at))
            }
            NodeName::Plain(host_port) => {
                let at = self.resolve(host_port).await?;
                let key = self.ask(|reply| Command::Identify(at, reply)).await?;
                let key = key.map_err(|reason| Error::Silent {
                    address: at,
                    reason,
                })?;
                Ok(named(key, at))
            }
        }
    }

    async fn find_by_id(&self, node: NodeId) -> Result<Contact, Error> {
        if let Some(contact) = self.ask(|reply| Command::Contact(node, reply)).await? {
            return Ok(contact);
        }
        let report = self.lookup(*node.key()).await?;
        let mut closest = report.closest.into_iter();
        closest
            .find(|contact| *contact.id() == node)
            .ok_or(Error::UnknownNode { node })
    }

    async fn resolve(&self, at: &HostPort) -> Result<SocketAddr, Error> {
        let addresses = resolve(at, self.inner.facts.families).await;
        addresses.first().copied().ok_or_else(|| Error::Unresolved {
            address: at.clone(),
        })
    }

    /// Has the driver carry an operation out. A read that finds the store closed, because it is
    /// being opened again, waits for that a little.
    pub(crate) async fn operate(&self, operation: Operation) -> Result<Outcome, Error> {
        let mut again = operation.again();
        let mut result = self.operate_once(operation).await;
        for _ in 0..REOPENING_TRIES {
            let is_closed = matches!(
                result,
                Err(Error::Failed(Failure::Store {
                    reason: Reason::StorageFailed
                }))
            );
            let Some(next) = again.filter(|_| is_closed) else {
                break;
            };
            tokio::time::sleep(REOPENING_PAUSE).await;
            again = next.again();
            result = self.operate_once(next).await;
        }
        result
    }

    async fn operate_once(&self, operation: Operation) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Begin(operation, reply))?;
        let mut waiting = Waiting {
            answer,
            signals: &self.inner.signals,
            is_over: false,
        };
        let result = (&mut waiting.answer).await;
        waiting.is_over = true;
        Ok(result.map_err(|_| Error::Stopped)??)
    }

    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        answer.await.map_err(|_| Error::Stopped)
    }

    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.inner.signals
    }

    pub(crate) fn send(&self, command: Command) -> Result<(), Error> {
        self.inner
            .commands
            .try_send(Box::new(command))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Busy {
                    limit: COMMANDS_MAX,
                },
                mpsc::error::TrySendError::Closed(_) => Error::Stopped,
            })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Node({})", self.inner.facts.address)
    }
}

fn fetched(outcome: Outcome) -> Result<Fetched, Error> {
    match outcome {
        Outcome::Fetched(fetched) => Ok(fetched),
        _ => Err(Error::Internal),
    }
}

/// A node that a user named. Whether it stores for others, its session will say.
fn named(key: NodeKey, at: SocketAddr) -> Contact {
    Contact::at(key, at, false)
}

/// A caller that waits for its operation. When it is dropped before, the driver is told.
struct Waiting<'a> {
    answer: oneshot::Receiver<Result<Outcome, Failure>>,
    signals: &'a Signals,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.answer.close();
            self.signals.abandon();
        }
    }
}
