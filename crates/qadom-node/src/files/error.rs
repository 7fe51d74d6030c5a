//! Why something about a file did not come about.

use std::io;
use std::path::{Path, PathBuf};

use qadom_files::FileId;
use qadom_wire::{Reason, Writer};

/// One of several files under a name.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, NamedFile, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let options = AddOptions { name: Some("greeting".to_owned()), ..AddOptions::default() };
/// node.files().add(&source, options).finish().await?;
/// let files: Vec<NamedFile> = node.files().named("greeting").await?;
/// assert_eq!((files[0].size, files[0].writers.len()), (5, 1));
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The BLAKE3 of its content.
    pub id: FileId,
    /// Its size in bytes, as most of its writers claim.
    pub size: u64,
    /// Its media type, as most of its writers claim; empty when it is not known.
    pub content_type: String,
    /// Whether any of its writers claims that it is the listing of a folder, which its content shows.
    pub is_folder: bool,
    /// Where plain HTTP servers have it, as its writers claim.
    pub urls: Vec<String>,
    /// Who gave it the name.
    pub writers: Vec<Writer>,
}

/// Why something about a file did not come about. Unless a variant says otherwise, nothing was
/// changed.
///
/// # Examples
///
/// ```
/// use qadom_node::{Error, FileError, FileName, GetOptions, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let name = FileName::Name("nothing".to_owned());
/// match node.files().get(name, GetOptions::default()).finish().await {
///     Err(Error::File(error @ FileError::NotFound { .. })) => {
///         println!("{}: {error}", error.reason());
///     }
///     other => println!("{other:?}"),
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Nobody who answered has a file of this name or id.
    #[error("nobody has {what}")]
    NotFound {
        /// The id or the name, as it was asked for.
        what: String,
    },
    /// Several files carry the name. The caller has to choose.
    #[error("{} files carry the name {name:?}", files.len())]
    Ambiguous {
        /// The name.
        name: String,
        /// The files, those with the most writers first.
        files: Vec<NamedFile>,
    },
    /// Nobody who can be reached has the rest. What was verified is kept.
    #[error("{missing} of {chunks} chunks of {id} are missing: nobody who can be reached has them")]
    Incomplete {
        /// The file.
        id: FileId,
        /// Chunks that are missing.
        missing: u64,
        /// Chunks of the file.
        chunks: u64,
    },
    /// Somebody who can be reached says that he has the file, and nobody shows how large it is, which
    /// its last chunk would.
    #[error("nobody who can be reached shows how large {id} is: its last chunk is missing")]
    Unproven {
        /// The file.
        id: FileId,
    },
    /// No node has all of it, nor does any plain HTTP server that is said to have it.
    #[error("{nodes}, nor does a server bring it: {problem}")]
    NoServer {
        /// What the nodes' part of it came to.
        nodes: String,
        /// Why.
        reason: Reason,
        /// What was wrong with the servers.
        problem: String,
    },
    /// A plain HTTP server has more than is taken from it while nothing proves it. The caller may allow
    /// more.
    #[error("a server has more than {}, the most that is taken before anything proves it: {problem}",
        bytes_text(*limit))]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
        /// What each server came to.
        problem: String,
    },
    /// Something stands where the file would be put. It stays as it is.
    #[error("{} exists already", path.display())]
    TargetExists {
        /// The place.
        path: PathBuf,
    },
    /// The file is being fetched already, to another place.
    #[error("{id} is being fetched to another place already")]
    Underway {
        /// The file.
        id: FileId,
    },
    /// The disk is full. What was verified is kept.
    #[error("the disk of {} is full", path.display())]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
    },
    /// What others may keep here leaves no room for what is read over this node.
    #[error("there is no room left for what is read over this node")]
    NoRoom,
    /// The file changed while it was read, or since it was added.
    #[error("{} has changed", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder that was named cannot be used. The caller is at fault.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk failed.
    #[error("the disk failed on {}: {problem}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        problem: String,
    },
    /// What is said of the file is no name, no URL, no manifest. The caller is at fault.
    #[error("{problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// This node has blocked the file.
    #[error("this node has blocked {id}")]
    Blocked {
        /// The file.
        id: FileId,
    },
    /// Fewer nodes took a chunk than were asked for. The copies that were taken remain, and are
    /// added to while this node lives.
    #[error("the chunk of {} with the fewest copies has {} of {} that were asked for",
        .0.id, .0.smallest_copies, .0.copies)]
    TooFewCopies(Box<super::FilePushed>),
    /// As much is under way as may be. Retrying later helps.
    #[error("too many {what} are under way")]
    Busy {
        /// What there is too much of.
        what: &'static str,
    },
    /// The node is about to end. What was verified is kept.
    #[error("the node has stopped")]
    Stopped,
    /// A defect of this crate.
    #[error("the work on a file ended early")]
    Internal,
}

impl FileError {
    /// The reason, one of the list that all of qadom shares.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } => Reason::NotFound,
            Self::Ambiguous { .. } => Reason::Ambiguous,
            Self::Incomplete { .. } | Self::Unproven { .. } => Reason::Unreachable,
            Self::NoServer { reason, .. } => *reason,
            Self::NoRoom => Reason::Quota,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::TargetExists { .. } | Self::Changed { .. } => Reason::Conflict,
            Self::Underway { .. } | Self::Busy { .. } => Reason::Busy,
            Self::DiskFull { .. } => Reason::DiskFull,
            Self::Unusable { .. } => Reason::Usage,
            Self::Malformed { .. } => Reason::Malformed,
            Self::Disk { .. } => Reason::StorageFailed,
            Self::Blocked { .. } => Reason::Blocked,
            Self::TooFewCopies(_) => Reason::TooFewCopies,
            Self::Stopped => Reason::ShuttingDown,
            Self::Internal => Reason::Internal,
        }
    }

    /// What the user can do about it, where something can be done.
    pub const fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound { .. } => "look whether the id or the name is right",
            Self::Ambiguous { .. } => {
                "choose one by its id, by --writer, or take the one with the most writers by --first"
            }
            Self::NoServer {
                reason: Reason::NotFound,
                ..
            } => "look whether the id or the name is right, and whether its servers are",
            Self::Incomplete { .. }
            | Self::Unproven { .. }
            | Self::NoServer { .. }
            | Self::Stopped => "what was verified is kept: the same command goes on from there",
            Self::TooLarge { .. } => {
                "if the file is that large and the disk has room for it, allow more with --max-size"
            }
            Self::TargetExists { .. } => "name another place with -o, or move it away",
            Self::DiskFull { .. } => {
                "free some space: what was verified is kept, and the same command goes on from there"
            }
            Self::Changed { .. } => "add it again when it no longer changes",
            Self::Blocked { .. } => "unblock it first",
            Self::TooFewCopies(_) => "the copies that were taken remain; push it again later",
            Self::Busy { .. } | Self::Underway { .. } => "try again a little later",
            _ => return None,
        })
    }

    /// What an error of the operating system on a path means.
    pub(crate) fn of_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::AlreadyExists => Self::TargetExists { path },
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput => Self::Unusable {
                path,
                problem: error.to_string(),
            },
            _ => Self::Disk {
                path,
                problem: error.to_string(),
            },
        }
    }
}

/// A number of bytes for people, exactly.
fn bytes_text(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fitting = units
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    match fitting {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}
