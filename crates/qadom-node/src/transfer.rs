//! Streams of bytes between two nodes, over QUIC on the port of the datagrams.
//!
//! What must stay true: a stream begins only with a peer that agreed to it over a confirmed session
//! not long ago, under the key that it named there. QUIC itself is the transport's business.

use std::sync::Arc;
use std::time::Duration;

use qadom_engine::{Outcome, StreamKey};
use qadom_routing::{Contact, NodeId, NodeKey};
use qadom_transport::{Accepted, DataStream, Grant, Quic, QuicError};
use qadom_wire::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::address::NodeName;
use crate::command::Operation;
use crate::error::{Error, reason_of_quic};
use crate::files::lock;
use crate::node::Node;

/// Streams that wait for whoever accepts them; one more is refused.
const STREAMS_QUEUED: usize = 64;
/// How long a stream may take to say what it is for.
const PURPOSE_TIME: Duration = Duration::from_secs(10);

/// What a stream is for: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// For the programs at both ends.
    Application = 0,
    /// Chunks of files.
    Files = 1,
}

/// Reads what a stream is for; nothing when it does not say so in time, or something unknown.
pub(crate) async fn purpose(mut stream: DataStream) -> Option<(Purpose, DataStream)> {
    let first = timeout(PURPOSE_TIME, stream.read_u8()).await;
    let purpose = match first.ok()?.ok()? {
        0 => Purpose::Application,
        1 => Purpose::Files,
        _ => return None,
    };
    Some((purpose, stream))
}

/// Streams that other nodes open to this one, as they come in.
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, Streams};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let other = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let mut streams: Streams = other.accept_streams();
/// let (mut sender, _receiver) = node.open_stream(other.address()).await?.split();
/// sender.write_bytes("hello".into()).await?;
/// assert_eq!(streams.next().await.map(|(from, _)| from), Some(node.id()));
/// # node.shutdown().await;
/// # other.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Streams {
    receiver: mpsc::Receiver<Accepted>,
}

impl Streams {
    /// Waits for the next stream, and says which node opened it; nothing when the node has ended
    /// or somebody else accepts streams now.
    pub async fn next(&mut self) -> Option<(NodeId, DataStream)> {
        loop {
            let (key, stream) = self.receiver.recv().await?;
            if let Ok(key) = NodeKey::new(key) {
                return Some((key.id(), stream));
            }
        }
    }
}

impl Node {
    /// Opens a stream of bytes to another node and back, for data that is too much for values.
    ///
    /// Streams with one node share a connection, whoever began it: a node that can only call out is
    /// reached too, while it has a session with this one. The first stream waits for the node's
    /// word and for a handshake, about three round trips; later ones for its word alone, every
    /// 10 s. When this side does not reach the other one, that one tries it after 1 s.
    ///
    /// # Errors
    ///
    /// [`Error::NoStream`] when no connection came about, [`Failure::Peer`] when the node does not
    /// answer or speaks no QUIC, and those of finding it: [`Error::UnknownNode`],
    /// [`Error::Unresolved`], [`Error::Silent`].
    ///
    /// [`Failure::Peer`]: crate::Failure::Peer
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_node::Node;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let first = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// let second = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// let mut streams = second.accept_streams();
    /// let (mut sender, _receiver) = first.open_stream(second.address()).await?.split();
    /// sender.write_bytes("hello".into()).await?;
    /// let (node, stream) = streams.next().await.ok_or("the node has ended")?;
    /// assert_eq!(node, first.id());
    /// assert_eq!(stream.split().1.read_bytes(100).await?, Some("hello".into()));
    /// # first.shutdown().await;
    /// # second.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn open_stream(&self, peer: impl Into<NodeName>) -> Result<DataStream, Error> {
        let contact = self.find(&peer.into()).await?;
        self.open_for(Purpose::Application, contact).await
    }

    /// Opens a stream to a node for chunks of files.
    pub(crate) async fn open_file_stream(&self, contact: Contact) -> Result<DataStream, Error> {
        self.open_for(Purpose::Files, contact).await
    }

    async fn open_for(&self, purpose: Purpose, contact: Contact) -> Result<DataStream, Error> {
        let (node, key) = (*contact.id(), *contact.key().as_bytes());
        let quic = &self.inner.quic;
        let failed = |source| Error::NoStream { node, source };
        if !quic.is_fresh(&key) {
            let own = quic.fingerprint().map_err(failed)?;
            let operation = Operation::Stream(Box::new(contact), own);
            let Outcome::Stream(theirs) = self.operate(operation).await? else {
                return Err(Error::Internal);
            };
            quic.grant(grant(&theirs)).map_err(failed)?;
        }
        let mut stream = quic.open(key).await.map_err(failed)?;
        let begun = stream.write_all(&[purpose as u8]).await;
        begun.map_err(|_| failed(QuicError::Lost))?;
        Ok(stream)
    }

    /// From now on streams that other nodes open come out here; whoever accepted them before gets
    /// no more. A node that accepts none refuses them, as it does when 64 wait.
    pub fn accept_streams(&self) -> Streams {
        let (sender, receiver) = mpsc::channel(STREAMS_QUEUED);
        *lock(&self.inner.files.applications) = Some(sender);
        Streams { receiver }
    }
}

/// Lets a peer in that wants to speak QUIC, and gives the fingerprint of the own key; or why not.
pub(crate) fn let_in(quic: &Arc<Quic>, theirs: &StreamKey) -> Result<[u8; 32], Reason> {
    let own = quic.fingerprint();
    let result = own.and_then(|own| quic.grant_asker(grant(theirs)).map(|()| own));
    result.map_err(|error| reason_of_quic(&error))
}

fn grant(theirs: &StreamKey) -> Grant {
    Grant {
        peer: *theirs.key.as_bytes(),
        address: theirs.address,
        fingerprint: theirs.fingerprint,
    }
}
