//! Files: put into the network, found by id or name, fetched from many nodes at once, shared onward.
//!
//! What must stay true: nothing unverified gets its final name; whoever has fetched a file provides
//! it; what this node keeps for others never takes the place of its own.
//!
//! `service` has what all work shares, `serve` and `link` the streams on which chunks go, `frame`
//! their bytes, `download`, `peer` and `place` fetching, `search` and `discovery` finding, `hold` and `push`
//! what nodes keep for each other, `reader` reading while it is fetched.

mod add;
mod announce;
mod discovery;
mod download;
mod error;
mod frame;
mod get;
mod hold;
mod limits;
mod link;
mod list;
mod peer;
mod place;
mod problems;
mod push;
mod reader;
mod repair;
mod search;
mod serve;
mod service;
mod status;
mod task;
mod throttle;
mod urls;
mod web;
mod work;

use std::fmt;
use std::io::BufRead;
use std::str::FromStr;
use std::sync::Arc;

use qadom_engine::WriteOptions;
use qadom_files::{Entry, FileId};

use crate::error::Error;
use crate::identities::DEFAULT_IDENTITY;
use crate::node::Node;

pub use add::{AddOptions, FileAdded};
pub use error::{FileError, NamedFile};
pub use get::{FileFetched, GetOptions};
pub use push::{FilePushed, PUSH_COPIES};
pub use reader::{FileBytes, FileReader};
pub use status::FileStatus;
pub use task::{FilePhase, FileProgress, FileTask};
pub use web::UNPROVEN_MAX;

pub(crate) use repair::check_pushes;
pub(crate) use service::{ASKED_MAX, Asked, FileSettings, Service, lock};
pub(crate) use work::start;

/// The files of a node, from [`Node::files`].
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// use qadom_node::{AddOptions, FileName, GetOptions, Node};
///
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// let other = Node::builder()
///     .listen("127.0.0.1:0".parse()?)
///     .join(node.address())
///     .start()
///     .await?;
/// # let place = tempfile::tempdir()?;
/// # let (source, target) = (place.path().join("source"), place.path().join("target"));
/// # std::fs::write(&source, "hello")?;
/// let options = AddOptions { name: Some("greeting".to_owned()), ..AddOptions::default() };
/// node.files().add(&source, options).finish().await?;
///
/// let name = FileName::Name("greeting".to_owned());
/// let options = GetOptions { output: Some(target.clone()), ..GetOptions::default() };
/// let mut task = other.files().get(name, options);
/// while let Some(progress) = task.progress().await {
///     println!("{} bytes are verified", progress.done);
/// }
/// task.finish().await?;
/// assert_eq!(std::fs::read(target)?, b"hello");
/// # node.shutdown().await;
/// # other.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Files {
    node: Node,
    identity: String,
    options: WriteOptions,
}

/// A file as users name it.
///
/// # Examples
///
/// ```
/// use qadom_node::FileName;
///
/// assert_eq!("greeting".parse(), Ok(FileName::Name("greeting".to_owned())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// By the BLAKE3 of its content.
    Id(FileId),
    /// By a name that somebody gave it.
    Name(String),
}

impl FromStr for FileName {
    type Err = std::convert::Infallible;

    /// 64 hexadecimal digits are an id, all else is a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(id) => Self::Id(id),
            Err(_) => Self::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "{id}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl Node {
    /// The files that this node shares, and those that it can fetch.
    pub fn files(&self) -> Files {
        Files {
            node: self.clone(),
            identity: DEFAULT_IDENTITY.to_owned(),
            options: WriteOptions::default(),
        }
    }
}

impl Files {
    /// Signs as this identity of the node instead of `default`, which alone is made on its first use.
    #[must_use]
    pub fn signed_by(mut self, identity: impl Into<String>) -> Self {
        self.identity = identity.into();
        self
    }

    /// Writes names and providers with another life of the copies, another number of them, or
    /// without renewal.
    #[must_use]
    pub const fn with_options(mut self, options: WriteOptions) -> Self {
        self.options = options;
        self
    }

    /// Everything that is here, whole or in part; chunks that are kept for others are left out.
    ///
    /// # Errors
    ///
    /// [`FileError::Stopped`].
    pub async fn list(&self) -> Result<Vec<Entry>, Error> {
        Ok(self.service().blocking(qadom_files::Folder::list).await?)
    }

    /// The files that carry a name, those with the most writers first.
    ///
    /// # Errors
    ///
    /// [`FileError::Malformed`] for what is no name, and those of [`Bag::list`](crate::Bag::list).
    pub async fn named(&self, name: &str) -> Result<Vec<NamedFile>, Error> {
        self.node.named(name, None).await
    }

    /// Reads the manifest of a file: a line with hash and size for each chunk, all that is needed to
    /// fetch it.
    ///
    /// # Errors
    ///
    /// [`FileError::Malformed`] when it is none.
    pub fn read_manifest(reader: impl BufRead) -> Result<qadom_files::Manifest, Error> {
        let manifest = qadom_files::Manifest::read(reader);
        Ok(manifest.map_err(|error| FileError::Malformed {
            problem: error.to_string(),
        })?)
    }

    fn service(&self) -> &Arc<Service> {
        &self.node.inner.files
    }

    fn bag(&self, key: qadom_routing::Key) -> crate::views::Bag {
        let bag = self.node.bag(key).signed_by(self.identity.clone());
        bag.with_options(self.options)
    }
}

#[cfg(test)]
mod tests;
