//! Work on a file that takes long: how far it is, how it ended, and how it is given up.
//!
//! What must stay true: work that nobody waits for any more ends soon, and leaves only what can be
//! gone on with.

use std::fmt;

use qadom_files::FileId;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::error::FileError;
use crate::error::Error;

/// What is being done with a file.
///
/// # Examples
///
/// ```
/// use qadom_node::FilePhase;
///
/// assert_eq!(FilePhase::Hashing.as_str(), "hashing");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilePhase {
    /// Looking for who has it.
    #[default]
    Finding,
    /// Reading and hashing it.
    Hashing,
    /// Fetching its chunks.
    Fetching,
    /// Leaving its chunks with other nodes.
    Pushing,
    /// Telling others who has it.
    Announcing,
}

impl FilePhase {
    /// The phase in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Hashing => "hashing",
            Self::Fetching => "fetching",
            Self::Pushing => "pushing",
            Self::Announcing => "announcing",
        }
    }
}

/// How far the work on a file is.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileProgress, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let mut task = node.files().add(&source, AddOptions::default());
/// while let Some(FileProgress { phase, done, size, .. }) = task.progress().await {
///     println!("{}: {done} of {size:?} bytes", phase.as_str());
/// }
/// task.finish().await?;
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileProgress {
    /// What is being done.
    pub phase: FilePhase,
    /// The file, once it is known.
    pub id: Option<FileId>,
    /// Bytes that there are to do in this phase, once they are known.
    pub size: Option<u64>,
    /// Bytes that are done: hashed, verified and written, or verified by their holders.
    pub done: u64,
    /// Bytes per second, lately.
    pub rate: u64,
    /// Nodes that take part now.
    pub peers: u32,
}

/// Tells how far the work is.
pub(crate) type Reporter = watch::Sender<FileProgress>;

/// Work on a file under way. Dropping it gives the work up.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileAdded, FileTask, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let task: FileTask<FileAdded> = node.files().add(&source, AddOptions::default());
/// // Dropping it would end the work.
/// assert_eq!(task.finish().await?.size, 5);
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileTask<T> {
    progress: watch::Receiver<FileProgress>,
    result: oneshot::Receiver<Result<T, Error>>,
    work: AbortHandle,
}

impl<T: Send + 'static> FileTask<T> {
    /// Begins the work in a task of its own.
    pub(crate) fn begin<W>(work: impl FnOnce(Reporter) -> W) -> Self
    where
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (reporter, progress) = watch::channel(FileProgress::default());
        let (caller, result) = oneshot::channel();
        let work = work(reporter);
        let work = tokio::spawn(async move {
            // Whoever is gone has given the work up.
            let _ = caller.send(work.await);
        });
        Self {
            progress,
            result,
            work: work.abort_handle(),
        }
    }

    /// Waits until the work is farther than it was told before; nothing when it has ended.
    pub async fn progress(&mut self) -> Option<FileProgress> {
        self.progress.changed().await.ok()?;
        Some(self.progress.borrow_and_update().clone())
    }

    /// How far the work is now.
    pub fn current(&self) -> FileProgress {
        self.progress.borrow().clone()
    }

    /// Waits for the end of the work.
    ///
    /// # Errors
    ///
    /// Those of the call that began it.
    pub async fn finish(mut self) -> Result<T, Error> {
        match (&mut self.result).await {
            Ok(result) => result,
            Err(_) => Err(FileError::Internal.into()),
        }
    }
}

impl<T> Drop for FileTask<T> {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl<T> fmt::Debug for FileTask<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.progress.borrow();
        formatter
            .debug_struct("FileTask")
            .field("progress", &*progress)
            .finish_non_exhaustive()
    }
}
