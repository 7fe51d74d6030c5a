//! Why a node did not start, why an operation did not bring what was asked for, and why a node
//! ended.
//!
//! What must stay true: every error has one of the reasons of `INTERFACES`, so that the command
//! line and HTTP need no list of their own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use qadom_engine::{Difference, Failure, JoinProblem, TooManyBlocks};
use qadom_routing::NodeId;
use qadom_store::OpenError;
use qadom_transport::QuicError;
use qadom_wire::{NetworkError, Reason};

use crate::address::{HostPort, JoinAddress};
use crate::files::FileError;
use crate::identities::IdentityError;

/// Why a node did not start. Nothing runs and nothing is locked afterwards; a data folder that was
/// empty may have got its first files.
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, StartError};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let file = tempfile::NamedTempFile::new()?;
/// let error = Node::builder().data_dir(file.path()).start().await.err().ok_or("it has started")?;
/// assert!(matches!(error, StartError::FolderUnusable { .. }));
/// println!("{error}: {}", error.advice());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name or the secret of the network is none. The caller is at fault.
    #[error("the network cannot be named so")]
    BadNetwork {
        /// What is wrong with it.
        source: NetworkError,
    },
    /// More than one listen address of a family, while a node has one port. The caller is at fault.
    #[error("a node listens on one IPv4 and one IPv6 address at most, {address} is one too many")]
    TooManyListenAddresses {
        /// The first address that has no place.
        address: SocketAddr,
    },
    /// Another program has the port. Retrying helps when that one has ended.
    #[error("the port of {address} is in use")]
    PortInUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The operating system does not give the address, such as one of another machine.
    #[error("cannot listen on {address}")]
    AddressUnavailable {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another node, in this process or another, has the data folder. It stays as it is.
    #[error("the data folder {} is in use by another node", path.display())]
    FolderInUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder holds files of somebody else and none of a node. Nothing was written into it.
    #[error("{} is not empty and is no data folder", path.display())]
    ForeignFolder {
        /// The folder that was asked for.
        path: PathBuf,
    },
    /// The folder cannot be made, read or written.
    #[error("the data folder {} cannot be used", path.display())]
    FolderUnusable {
        /// The folder that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A newer program wrote the data. It stays as it is.
    #[error("{} has version {found}, this program knows up to {known}", path.display())]
    VersionTooNew {
        /// The file or folder.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// The file with the node key is damaged. It stays as it is.
    #[error("{} is damaged", path.display())]
    BadKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// The journal is damaged in its first bytes, or is none. It stays as it is.
    #[error("{} is damaged", path.display())]
    BadJournal {
        /// The file.
        path: PathBuf,
    },
    /// The node key was made for another network and does not solve the puzzle of this one.
    #[error("the node key in {} has {bits} puzzle bits, this network needs {needed}", path.display())]
    WeakKey {
        /// The file.
        path: PathBuf,
        /// The puzzle bits of the key.
        bits: u32,
        /// The puzzle bits of the network.
        needed: u32,
    },
    /// The store did not open.
    #[error("the store of this node does not open")]
    Store {
        /// What the store said.
        source: OpenError,
    },
    /// The folder of the files did not open.
    #[error("the files of this node cannot be used: {problem}")]
    Files {
        /// What is wrong.
        problem: String,
    },
    /// A thread of the node could not be started or ended early.
    #[error("a thread of the node could not do its work")]
    Thread,
}

impl StartError {
    /// The reason, one of the list that all of qadom shares.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::BadNetwork { .. }
            | Self::TooManyListenAddresses { .. }
            | Self::AddressUnavailable { .. } => Reason::Usage,
            Self::PortInUse { .. } => Reason::PortInUse,
            Self::FolderInUse { .. } => Reason::FolderInUse,
            Self::ForeignFolder { .. }
            | Self::FolderUnusable { .. }
            | Self::BadKeyFile { .. }
            | Self::BadJournal { .. }
            | Self::Files { .. }
            | Self::Store {
                source:
                    OpenError::OtherEngine { .. }
                    | OpenError::UnknownEngine { .. }
                    | OpenError::NotBuiltIn { .. },
            } => Reason::FolderUnusable,
            Self::VersionTooNew { .. } => Reason::VersionTooNew,
            Self::WeakKey { .. } => Reason::WeakKey,
            Self::Store {
                source: OpenError::DiskFull { .. },
            } => Reason::DiskFull,
            Self::Store { .. } => Reason::StorageFailed,
            Self::Thread => Reason::Internal,
        }
    }

    /// What the user can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::BadNetwork { .. } => {
                "name the network by 1 to 256 bytes, and give no secret or one of at least 32 bytes"
            }
            Self::TooManyListenAddresses { .. } => {
                "give one IPv4 and one IPv6 address, or one of them"
            }
            Self::PortInUse { .. } => {
                "stop the program that has the port, or listen on another one"
            }
            Self::AddressUnavailable { .. } => "listen on an address of this machine",
            Self::FolderInUse { .. } => "stop the other node, or name another data folder",
            Self::ForeignFolder { .. } => "name an empty folder, or one that a node has used",
            Self::FolderUnusable { .. } | Self::Files { .. } => {
                "make the folder readable and writable, or name another one"
            }
            Self::VersionTooNew { .. } => "start the newer program, or name another data folder",
            Self::BadKeyFile { .. } => {
                "put a backup of node.key in its place, or remove it to start as a new node"
            }
            Self::BadJournal { .. } => {
                "put a backup of the journal in its place, or remove it to start without publications"
            }
            Self::WeakKey { .. } => "use a data folder for each network",
            Self::Store {
                source: OpenError::DiskFull { .. },
            } => "free some space on the disk of the data folder",
            Self::Store {
                source: OpenError::OtherEngine { .. },
            } => {
                "ask for no other engine than the folder has, or move the records over: `qadom store \
                 export FILE`, then `qadom store import --engine ENGINE FILE`"
            }
            Self::Store {
                source: OpenError::UnknownEngine { .. } | OpenError::NotBuiltIn { .. },
            } => {
                "start the program that has this engine, or move the records over: `qadom store export \
                 FILE` with that one, `qadom store import FILE` with this one"
            }
            Self::Store { .. } => "look at the disk of the data folder, or name another one",
            Self::Thread => "give the process more threads and memory",
        }
    }
}

/// Why the store at `path` did not open, as a node tells it.
pub(crate) fn store_not_opened(error: OpenError, path: &Path) -> StartError {
    match error {
        OpenError::InUse { path } => StartError::FolderInUse { path },
        OpenError::NotAStore { path } => StartError::ForeignFolder { path },
        OpenError::TooNew { found, known } => StartError::VersionTooNew {
            path: path.to_owned(),
            found,
            known,
        },
        source => StartError::Store { source },
    }
}

/// Why an operation of a running node did not bring what was asked for.
///
/// # Examples
///
/// ```
/// use qadom_node::{Error, Failure, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// match node.get("name:x".parse()?).await {
///     Err(Error::Failed(Failure::NotFound { answered, .. })) => println!("{answered} nodes lack it"),
///     Err(error) => println!("{}: {error}, {:?}", error.reason(), error.advice()),
///     Ok(fetched) => println!("{:?}", fetched.value),
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation was carried out and failed; the failure says what remains.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// None of the addresses led into the network. The node stays as it was.
    #[error("joined nobody: {}", join_problems(problems))]
    NotJoined {
        /// Each address with its problem.
        problems: Vec<(JoinAddress, JoinProblem)>,
    },
    /// Too many calls wait for this node. Nothing was begun; retrying later helps.
    #[error("{limit} calls wait for this node already")]
    Busy {
        /// The most calls that may wait.
        limit: usize,
    },
    /// The node has ended, or ended before the operation did. What was acknowledged remains.
    #[error("the node has stopped")]
    Stopped,
    /// The host name has no address of a family that this node listens on.
    #[error("the host name of {address} leads to no address that this node can reach")]
    Unresolved {
        /// The place that was named.
        address: HostPort,
    },
    /// Nobody with this id is known or was found.
    #[error("no node with the id {node} was found")]
    UnknownNode {
        /// The id that was asked for.
        node: NodeId,
    },
    /// Nobody says who it is at this address.
    #[error("nobody answers at {address}: {reason}")]
    Silent {
        /// The address that was asked.
        address: SocketAddr,
        /// `timeout`, `unreachable`, `wrong-network` or `busy`.
        reason: Reason,
    },
    /// No stream to another node came about. Nothing remains of it.
    #[error("no stream to {node} came about")]
    NoStream {
        /// The node.
        node: NodeId,
        /// Why not.
        source: QuicError,
    },
    /// The identity that was named cannot be had. Nothing was begun.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The entry is there with other content than the signature belongs to.
    #[error("the signature does not belong to the content that is there, of seq {seq}")]
    OtherContent {
        /// The version that is there.
        seq: u64,
    },
    /// What was to be done with a file was not.
    #[error(transparent)]
    File(#[from] FileError),
    /// As many things are blocked by hand as may be. Nothing was changed.
    #[error(transparent)]
    TooManyBlocks(#[from] TooManyBlocks),
    /// A defect of this crate: an operation ended as another one would.
    #[error("an operation ended as another one would")]
    Internal,
}

impl Error {
    /// The reason, one of the list that all of qadom shares.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Failed(failure) => failure.reason(),
            Self::NotJoined { problems } => {
                let is_foreign =
                    |problem: &JoinProblem| matches!(problem, JoinProblem::WrongNetwork(_));
                if !problems.is_empty() && problems.iter().all(|(_, problem)| is_foreign(problem)) {
                    Reason::WrongNetwork
                } else {
                    Reason::Unreachable
                }
            }
            Self::Busy { .. } => Reason::Busy,
            Self::Stopped => Reason::ShuttingDown,
            Self::Unresolved { .. } => Reason::Unreachable,
            Self::UnknownNode { .. } => Reason::NotFound,
            Self::Silent { reason, .. } => *reason,
            Self::NoStream { source, .. } => reason_of_quic(source),
            Self::Identity(error) => error.reason(),
            Self::OtherContent { .. } => Reason::BadSignature,
            Self::TooManyBlocks(_) => Reason::Quota,
            Self::File(error) => error.reason(),
            Self::Internal => Reason::Internal,
        }
    }

    /// What the user can do about it, where something can be done.
    pub fn advice(&self) -> Option<String> {
        if let Self::File(error) = self {
            return error.advice().map(str::to_owned);
        }
        let advice = match self.reason() {
            Reason::TooFewCopies => {
                "the copies that were stored remain; try again, or ask for fewer"
            }
            Reason::TooLarge => "a value has at most 8192 bytes; store a larger one as a file",
            Reason::LifetimeTooLong => "ask for at most 36 h",
            Reason::WrongNetwork => {
                "start this node with the name, the secret and the id bits of that network"
            }
            Reason::Unreachable | Reason::Timeout => {
                "look whether the address is right and the node there runs"
            }
            Reason::Busy | Reason::RateLimited => "try again a little later",
            Reason::DiskFull => "free some space on the disk of the data folder",
            Reason::StaleSeq => "read what is there now, and write again with its seq",
            Reason::NotYours => "only who added it removes it: write as that identity",
            Reason::Blocked => "unblock it first",
            Reason::NotFound if matches!(self, Self::Identity(_)) => {
                "make it first; only the identity `default` is made on its first use"
            }
            Reason::Quota => "give the store of this node more room",
            _ => return None,
        };
        Some(advice.to_owned())
    }
}

/// The reason that stands for a failure of QUIC.
pub(crate) const fn reason_of_quic(error: &QuicError) -> Reason {
    match error {
        QuicError::Full { .. } => Reason::Busy,
        QuicError::Closed => Reason::ShuttingDown,
        QuicError::Failed => Reason::Internal,
        _ => Reason::Unreachable,
    }
}

/// Why a node ended.
///
/// # Examples
///
/// ```
/// use qadom_node::{Node, StopReason};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// node.shutdown().await;
/// assert_eq!(node.stopped().await, StopReason::Asked);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// [`Node::shutdown`](crate::Node::shutdown) was called, or the last handle was dropped.
    #[error("the node was asked to stop")]
    Asked,
    /// Every address that was given belongs to other networks, and no other nodes are known.
    #[error("{}", join_problems(problems))]
    WrongNetwork {
        /// Each address with what differs there.
        problems: Vec<(JoinAddress, JoinProblem)>,
    },
    /// The operating system took the socket away.
    #[error("the socket of the node is broken")]
    SocketFailed,
    /// A defect of this crate: the task of the node ended early.
    #[error("the task of the node ended early")]
    Internal,
}

/// Says in words why an address did not lead into the network.
///
/// # Examples
///
/// ```
/// use qadom_node::{JoinProblem, join_problem_text};
///
/// assert_eq!(join_problem_text(&JoinProblem::Unreachable), "unreachable: nobody answers");
/// ```
pub fn join_problem_text(problem: &JoinProblem) -> String {
    match problem {
        JoinProblem::Own => "it is the address of this node".to_owned(),
        JoinProblem::WrongNetwork(differences) => {
            let text = |difference: &Difference| {
                let Difference { what, ours, theirs } = difference;
                format!("{what} is {ours} here and {theirs} there")
            };
            let texts: Vec<_> = differences.iter().map(text).collect();
            format!(
                "wrong-network: the node there belongs to another network: {}",
                texts.join(", ")
            )
        }
        _ => "unreachable: nobody answers".to_owned(),
    }
}

/// Each address with its problem, in words.
fn join_problems(problems: &[(JoinAddress, JoinProblem)]) -> String {
    let text = |(address, problem): &(JoinAddress, JoinProblem)| {
        format!("{address}: {}", join_problem_text(problem))
    };
    problems.iter().map(text).collect::<Vec<_>>().join("; ")
}
