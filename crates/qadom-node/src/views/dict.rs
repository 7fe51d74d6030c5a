//! The dict: byte-string names that anybody may set, as the chord sockets of old had it.

use bytes::Bytes;
use qadom_engine::{Failure, SignedRead, Written};
use qadom_wire::Writer;
use tokio::task::JoinSet;

use super::{Settings, settings, sources};
use crate::command::RecordOperation;
use crate::error::Error;

/// Names of an update that are set at the same time.
const UPDATES_AT_ONCE: usize = 64;

/// The dict of the network, from [`Node::dict`](crate::Node::dict).
///
/// A name has 1 to 256 bytes, a value up to 8192. Anybody may set a name, and the last writer wins;
/// who needs ownership pins a writer or uses a [`Namespace`](crate::Namespace).
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use qadom_node::Node;
///
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// let dict = node.dict();
/// assert_eq!(dict.get_or("colour", "blue").await?, "blue");
/// dict.set("colour", "green").await?;
/// assert_eq!(dict.get("colour").await?.record.payload(), "green");
/// dict.delete("colour").await?;
/// assert!(dict.get("colour").await.is_err());
/// node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dict(pub(super) Settings);

settings!(Dict, 0);
sources!(Dict, 0);

impl Dict {
    /// Sets a name.
    ///
    /// # Errors
    ///
    /// [`Failure::TooFewCopies`] with the receipt, [`Failure::Refused`] with `malformed` for a name
    /// of no or more than 256 bytes and `too-large` above 8192 bytes, [`Failure::Store`] and
    /// [`Failure::Journal`] when this node cannot keep its promise, [`Error::Busy`] and
    /// [`Error::Stopped`].
    pub async fn set(
        &self,
        name: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<Written, Error> {
        let operation = RecordOperation::DictSet {
            writer: self.0.writer().await?,
            name: Bytes::copy_from_slice(name.as_ref()),
            value: Some(value.into()),
            options: self.0.options,
        };
        self.0.write(operation).await
    }

    /// Deletes a name: until somebody sets it again, nothing is found under it.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set).
    pub async fn delete(&self, name: impl AsRef<[u8]>) -> Result<Written, Error> {
        let operation = RecordOperation::DictSet {
            writer: self.0.writer().await?,
            name: Bytes::copy_from_slice(name.as_ref()),
            value: None,
            options: self.0.options,
        };
        self.0.write(operation).await
    }

    /// Sets many names, 64 at a time; each ends by itself, in the order in which they end.
    pub async fn update(
        &self,
        items: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Vec<(Bytes, Result<Written, Error>)> {
        let mut running = JoinSet::new();
        let mut ended = Vec::new();
        let mut items = items.into_iter();
        loop {
            while running.len() < UPDATES_AT_ONCE
                && let Some((name, value)) = items.next()
            {
                let dict = self.clone();
                running.spawn(async move {
                    let result = dict.set(&name, value).await;
                    (name, result)
                });
            }
            match running.join_next().await {
                Some(Ok(result)) => ended.push(result),
                // A task that ended without a result belongs to a runtime that is ending.
                Some(Err(_)) => {}
                None => return ended,
            }
        }
    }

    /// Reads what was set last under a name.
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`] when it was never set or is deleted, [`Failure::TooFewAnswers`] when
    /// too few holders answered, [`Error::Busy`] and [`Error::Stopped`].
    pub async fn get(&self, name: impl AsRef<[u8]>) -> Result<SignedRead, Error> {
        self.read(name.as_ref(), None).await
    }

    /// Reads what one writer set under a name, whoever wrote last.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub async fn get_by(
        &self,
        name: impl AsRef<[u8]>,
        writer: Writer,
    ) -> Result<SignedRead, Error> {
        self.read(name.as_ref(), Some(writer)).await
    }

    /// Reads what was set last under a name, or takes the default when nothing is there.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get) but [`Failure::NotFound`].
    pub async fn get_or(
        &self,
        name: impl AsRef<[u8]>,
        default: impl Into<Bytes>,
    ) -> Result<Bytes, Error> {
        match self.get(name).await {
            Ok(read) => Ok(read.record.payload().clone()),
            Err(Error::Failed(Failure::NotFound { .. })) => Ok(default.into()),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, name: &[u8], pinned: Option<Writer>) -> Result<SignedRead, Error> {
        let operation = RecordOperation::DictGet {
            name: Bytes::copy_from_slice(name),
            pinned,
            from: self.0.node.source(&self.0.from).await?,
        };
        self.0.read(operation).await
    }
}
