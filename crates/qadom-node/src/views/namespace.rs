//! Namespaces: to each writer its own keys.

use bytes::Bytes;
use qadom_engine::{SignedRead, Written};
use qadom_routing::Key;
use qadom_wire::{ContentSignature, Writer};

use super::{Settings, settings, sources};
use crate::command::RecordOperation;
use crate::error::Error;

/// The namespaces, from [`Node::namespace`](crate::Node::namespace): keys that their writer alone
/// may set, each to a value of up to 8192 bytes with a version (`seq`) that counts from 1.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use qadom_node::{Key, Node};
///
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// let key: Key = "name:motd".parse()?;
/// let namespace = node.namespace();
/// let written = namespace.set_if(key, "hello", 0).await?;
/// assert_eq!(written.record.seq(), 1);
/// let writer = *written.record.writer();
/// assert_eq!(namespace.latest(writer, key).await?.record.payload(), "hello");
/// assert!(namespace.set_if(key, "too late", 0).await.is_err());
/// node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Namespace(pub(super) Settings);

settings!(Namespace, 0);
sources!(Namespace, 0);

impl Namespace {
    /// The public key under which others read what is set here.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] when the identity cannot be made or read.
    pub async fn writer(&self) -> Result<Writer, Error> {
        self.0.writer().await
    }

    /// Sets a key of the identity's namespace, whatever is there.
    ///
    /// # Errors
    ///
    /// Those of [`Dict::set`](crate::Dict::set).
    pub async fn set(&self, key: Key, value: impl Into<Bytes>) -> Result<Written, Error> {
        self.change(key, Some(value.into()), None).await
    }

    /// Sets a key of the identity's namespace if the version there is `seq`; 0 stands for none.
    ///
    /// Succeeds when more than half of the nodes nearest to it took the new version and none has a
    /// newer one. Two writers that do this at the same moment while the network is parted may both
    /// succeed: it is not linearizable.
    ///
    /// # Errors
    ///
    /// [`Failure::StaleSeq`](crate::Failure::StaleSeq) with what is there now, and those of
    /// [`set`](Self::set).
    pub async fn set_if(
        &self,
        key: Key,
        value: impl Into<Bytes>,
        seq: u64,
    ) -> Result<Written, Error> {
        self.change(key, Some(value.into()), Some(seq)).await
    }

    /// Deletes a key of the identity's namespace.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set).
    pub async fn delete(&self, key: Key) -> Result<Written, Error> {
        self.change(key, None, None).await
    }

    /// Reads a key of a writer's namespace: the first valid answer that is not older than what
    /// this node has seen before.
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`](crate::Failure::NotFound), [`Error::Busy`] and [`Error::Stopped`].
    pub async fn get(&self, writer: Writer, key: Key) -> Result<SignedRead, Error> {
        self.find(writer, key, false).await
    }

    /// Reads the newest version: all the nodes nearest to it are asked, and those that lag behind
    /// are brought up to date.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), [`Failure::TooFewAnswers`](crate::Failure::TooFewAnswers) when
    /// too few holders answered, [`Failure::StaleSeq`](crate::Failure::StaleSeq) when this node has
    /// seen a newer one.
    pub async fn latest(&self, writer: Writer, key: Key) -> Result<SignedRead, Error> {
        self.find(writer, key, true).await
    }

    /// Reads a key of a writer's namespace and takes exactly the content that the signature, as
    /// [`set`](Self::set) gave it, belongs to.
    ///
    /// # Errors
    ///
    /// [`Error::OtherContent`] when something else is there, and those of [`latest`](Self::latest).
    pub async fn get_signed(
        &self,
        writer: Writer,
        key: Key,
        signature: &ContentSignature,
    ) -> Result<SignedRead, Error> {
        let network = self.0.node.network_id();
        let is_it = |read: &SignedRead| read.record.verify_content(&network, signature);
        if let Ok(read) = self.find(writer, key, false).await
            && is_it(&read)
        {
            return Ok(read);
        }
        let read = self.find(writer, key, true).await?;
        if is_it(&read) {
            Ok(read)
        } else {
            let seq = read.record.seq();
            Err(Error::OtherContent { seq })
        }
    }

    async fn change(
        &self,
        key: Key,
        value: Option<Bytes>,
        if_seq: Option<u64>,
    ) -> Result<Written, Error> {
        let operation = RecordOperation::NamespaceSet {
            writer: self.0.writer().await?,
            key,
            value,
            if_seq,
            options: self.0.options,
        };
        self.0.write(operation).await
    }

    async fn find(&self, writer: Writer, key: Key, latest: bool) -> Result<SignedRead, Error> {
        let operation = RecordOperation::NamespaceGet {
            writer,
            key,
            latest,
            from: self.0.node.source(&self.0.from).await?,
        };
        self.0.read(operation).await
    }
}
