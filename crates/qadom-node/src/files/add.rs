//! Adding files to those that this node shares, and taking them out again.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qadom_engine::{Promised, Receipt};
use qadom_files::{Entry, FileId, Layout, Placement};
use qadom_wire::{FILE_URLS_MAX, FileEntry, Provider, providers_slot};

use super::Files;
use super::discovery::name_slot;
use super::error::FileError;
use super::task::{FilePhase, FileProgress, FileTask, Reporter};
use crate::error::Error;

/// How a file is added.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let options = AddOptions { copy: true, name: Some("greeting".to_owned()), ..AddOptions::default() };
/// node.files().add(&source, options).finish().await?;
/// std::fs::remove_file(&source)?; // the node has a copy
/// assert_eq!(node.files().named("greeting").await?.len(), 1);
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddOptions {
    /// Whether it is copied into the node's folder, so that it is shared whatever becomes of the
    /// original. Without this it is shared from where it lies, until it changes.
    pub copy: bool,
    /// The name under which others find it.
    pub name: Option<String>,
    /// Where plain HTTP servers have it; of use only with a name.
    pub urls: Vec<String>,
}

/// A file that was added.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileAdded, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let FileAdded { size, chunks, content_type, .. } =
///     node.files().add(&source, AddOptions::default()).finish().await?;
/// assert_eq!((size, chunks, &content_type[..]), (5, 1, "text/plain"));
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileAdded {
    /// The BLAKE3 of its content.
    pub id: FileId,
    /// Its size in bytes.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Its media type, guessed by its name.
    pub content_type: String,
    /// What became of the announcement that this node provides it.
    pub receipt: Receipt,
}

impl Files {
    /// Adds a file or a folder to those that this node shares, announces it, and gives it a name if
    /// one is wanted. Ends with [`FileError`]: `Unusable` for a path that cannot be read, `Changed`,
    /// `DiskFull`, `Malformed` for a bad name or URL; and with those of
    /// [`Bag::add`](crate::Bag::add), when it is added and could not be announced.
    pub fn add(&self, path: impl Into<PathBuf>, options: AddOptions) -> FileTask<FileAdded> {
        let (files, path) = (self.clone(), path.into());
        FileTask::begin(move |reporter| async move {
            files.add_now(&path, &options, &Arc::new(reporter)).await
        })
    }

    pub(super) async fn add_now(
        &self,
        path: &Path,
        options: &AddOptions,
        reporter: &Arc<Reporter>,
    ) -> Result<FileAdded, Error> {
        if let Some(name) = &options.name {
            name_slot(name)?;
        }
        check_urls(&options.urls)?;
        let entry = self.take_in(path, options.copy, reporter).await?;
        reporter.send_modify(|progress| progress.phase = FilePhase::Announcing);
        self.announced(&entry, options).await
    }

    /// Reads and hashes a file.
    async fn take_in(
        &self,
        path: &Path,
        is_copied: bool,
        reporter: &Arc<Reporter>,
    ) -> Result<Entry, Error> {
        let placement = if is_copied {
            Placement::Copy
        } else {
            Placement::InPlace
        };
        let (source, reporter) = (path.to_owned(), Arc::clone(reporter));
        let mut done = 0;
        let added = self.service().blocking(move |folder| {
            let size = std::fs::metadata(&source).ok();
            let size = size
                .filter(std::fs::Metadata::is_file)
                .map(|file| file.len());
            let mut seen = |more: u64| {
                done += more;
                reporter.send_replace(FileProgress {
                    phase: FilePhase::Hashing,
                    size,
                    done,
                    ..FileProgress::default()
                });
                // Nobody waits for it any more.
                if reporter.is_closed() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            folder.add(&source, placement, &mut seen)
        });
        let added = added.await?;
        Ok(added
            .map_err(|error| FileError::of_add(path, &error))?
            .entry)
    }

    /// Announces a file that is here, and gives it its name.
    async fn announced(&self, entry: &Entry, options: &AddOptions) -> Result<FileAdded, Error> {
        let layout = Layout::new(entry.size).map_err(|_| FileError::Internal)?;
        if let Some(name) = &options.name {
            self.name(entry, name, &options.urls).await?;
        }
        let contact = self.node.own_contact().await?;
        let slot = providers_slot(entry.id.as_bytes());
        let provider = Provider::new(contact).encode();
        let written = self.bag(slot).add(provider).await?;
        Ok(FileAdded {
            id: entry.id,
            size: entry.size,
            chunks: layout.chunks(),
            content_type: entry.content_type.clone(),
            receipt: written.receipt,
        })
    }

    async fn name(&self, entry: &Entry, name: &str, urls: &[String]) -> Result<(), Error> {
        let (id, mut urls) = (*entry.id.as_bytes(), urls.to_vec());
        if let Some(gateway) = &self.service().settings.gateway_url
            && urls.len() < FILE_URLS_MAX
        {
            urls.push(format!(
                "{}/files/{}",
                gateway.trim_end_matches('/'),
                entry.id
            ));
        }
        let described = FileEntry::new(id, entry.size, entry.content_type.clone(), urls);
        let described = described.map_err(|error| FileError::Malformed {
            problem: error.to_string(),
        })?;
        self.bag(name_slot(name)?).add(described.encode()).await?;
        Ok(())
    }

    /// No longer shares a file: it is taken out of its names and providers and out of the node's
    /// folder. A file that was added in place stays where it lies. Tells whether it was here.
    ///
    /// # Errors
    ///
    /// [`FileError::Disk`]; [`Error::Busy`] and [`Error::Stopped`].
    pub async fn remove(&self, id: FileId) -> Result<bool, Error> {
        let removed = self.service().blocking(move |folder| folder.remove(&id));
        let removed = removed.await?.map_err(|error| FileError::of_disk(&error))?;
        self.service().forget_push(id).await?;
        self.node.withdraw_file(&id).await?;
        for (slot, payload) in self.names_of(&id).await? {
            // Another identity than this one's may have given the name; its item stays.
            if let Err(error) = self.bag(slot).remove(payload).await {
                tracing::warn!(file = %id, %error, "a name of a removed file stays");
            }
        }
        Ok(removed)
    }

    /// The names that this node keeps alive for a file.
    async fn names_of(
        &self,
        id: &FileId,
    ) -> Result<Vec<(qadom_routing::Key, bytes::Bytes)>, Error> {
        let promises = self.node.publications().await?;
        let names = promises.into_iter().filter_map(|promise| {
            let Promised::Signed(record) = promise.promised else {
                return None;
            };
            let entry = FileEntry::decode(record.payload()).ok()?;
            (entry.id() == id.as_bytes()).then(|| (*record.slot(), record.payload().clone()))
        });
        Ok(names.collect())
    }
}

fn check_urls(urls: &[String]) -> Result<(), FileError> {
    match urls.iter().find(|url| !qadom_wire::is_file_url(url)) {
        Some(url) => Err(FileError::Malformed {
            problem: format!("{url:?} is no http or https URL of at most 512 bytes"),
        }),
        None => Ok(()),
    }
}
