//! The records of a stopped node, out of its store into a file and back, also into another engine.
//!
//! What must stay true: nothing is done to the folder of a node that runs, no file is overwritten,
//! and the store that an import replaces is set aside, not lost. What the file holds is known to the
//! store.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use qadom_store::{
    Durability, ExportError, ImportError, OpenError, Options, Quarantine, Replaced, StoreEngine,
    StoreError, import_folder, settle_import,
};
use qadom_wire::Reason;

use crate::clock::utc_seconds;
use crate::convert::store_reason;
use crate::error::{StartError, store_not_opened};
use crate::folder::{Folder, STORE, STORE_WHOLE, sync_folder};

/// What was moved.
///
/// # Examples
///
/// ```
/// use qadom_node::{Moved, StoreEngine, export_store, import_store};
/// # use qadom_node::Node;
///
/// # let place = tempfile::tempdir()?;
/// # let folder = place.path().join("node");
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let address = "127.0.0.1:0".parse()?;
/// # let node = Node::builder().data_dir(&folder).listen(address).start().await?;
/// # node.put("hello").await?;
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// // `folder` is the data folder of a node that has stopped.
/// let dump = place.path().join("dump");
/// let Moved { records, .. } = export_store(&folder, &dump)?;
/// // The records go on in the other engine.
/// let moved = import_store(&folder, &dump, Some(StoreEngine::Redb))?;
/// assert_eq!((records, moved.records), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Records.
    pub records: u64,
    /// The length of the file in bytes.
    pub bytes: u64,
    /// The engine that keeps them.
    pub engine: StoreEngine,
    /// Where the store is now that an import has replaced.
    pub quarantine: Option<PathBuf>,
}

/// Why no record was moved.
///
/// # Examples
///
/// ```
/// use qadom_node::{MoveError, export_store};
///
/// let place = tempfile::tempdir()?;
/// let error = export_store(place.path(), &place.path().join("dump")).unwrap_err();
/// assert!(matches!(error, MoveError::NoStore { .. }));
/// println!("{error}: {}", error.advice());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The data folder has no store. The caller is at fault.
    #[error("{} holds no store", path.display())]
    NoStore {
        /// The folder that was named.
        path: PathBuf,
    },
    /// The data folder cannot be used, or its store does not open.
    #[error(transparent)]
    Folder(StartError),
    /// There is such a file already; it stays as it is.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store failed while it was read. It is as it was.
    #[error("the store could not be read")]
    Store {
        /// What the store said.
        source: StoreError,
    },
    /// The file was not taken; the store is as it was.
    #[error("{} was not imported", path.display())]
    NotImported {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ImportError,
    },
}

impl MoveError {
    /// The reason, one of the list that all of qadom shares.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoStore { .. } => Reason::NotFound,
            Self::Folder(error) => error.reason(),
            Self::Exists { .. } => Reason::Conflict,
            Self::File { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Reason::DiskFull,
                _ => Reason::Usage,
            },
            Self::Store { source } => store_reason(source),
            Self::NotImported { source, .. } => match source {
                ImportError::NotADump => Reason::Malformed,
                ImportError::TooNew { .. } => Reason::VersionTooNew,
                ImportError::Torn { .. } | ImportError::Damaged { .. } => Reason::BadHash,
                ImportError::Interrupted { source, .. } => store_reason(source),
                ImportError::Open {
                    source: OpenError::DiskFull { .. },
                } => Reason::DiskFull,
                _ => Reason::StorageFailed,
            },
        }
    }

    /// What the user can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NoStore { .. } => "name the folder of a node with --data-dir",
            Self::Folder(StartError::FolderInUse { .. }) => "stop the node first: `qadom stop`",
            Self::Folder(error) => error.advice(),
            Self::Exists { .. } => "name a file that is not there yet; nothing was written",
            Self::File { .. } => "look at the file, its folder and the disk; nothing was changed",
            Self::Store { .. } => "look at the disk of the data folder; nothing was changed",
            Self::NotImported { source, .. } => match source {
                ImportError::NotADump => "name a file that `qadom store export` wrote",
                ImportError::TooNew { .. } => "use the newer program; nothing was changed",
                ImportError::Torn { .. } | ImportError::Damaged { .. } => {
                    "export it again; nothing was changed"
                }
                _ => "look at the disk of the data folder; nothing was changed",
            },
        }
    }
}

impl From<StartError> for MoveError {
    fn from(error: StartError) -> Self {
        Self::Folder(error)
    }
}

/// Writes all records of a node that does not run into the new file `to`, for its owner alone. Waits
/// for the disk.
///
/// # Errors
///
/// [`MoveError`]; there is no new file then.
pub fn export_store(data_dir: &Path, to: &Path) -> Result<Moved, MoveError> {
    let no_store = || MoveError::NoStore {
        path: data_dir.to_owned(),
    };
    if ![STORE, STORE_WHOLE]
        .iter()
        .any(|name| data_dir.join(name).is_dir())
    {
        return Err(no_store());
    }
    let folder = Folder::open(data_dir)?;
    let path = folder.path().join(STORE);
    let not_opened = |error| store_not_opened(error, &path);
    settle_import(&path).map_err(not_opened)?;
    let engine = StoreEngine::of(&path).map_err(not_opened)?;
    let engine = engine.ok_or_else(no_store)?;
    let store = qadom_store::open(&path, Options::default()).map_err(not_opened)?;
    if to.symlink_metadata().is_ok() {
        return Err(MoveError::Exists {
            path: to.to_owned(),
        });
    }
    let beside = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fresh = tempfile::NamedTempFile::new_in(beside).map_err(file(to))?;
    let mut output = BufWriter::new(fresh.as_file());
    let dumped = qadom_store::export(&*store, &mut output).map_err(|error| match error {
        ExportError::Store { source } => MoveError::Store { source },
        ExportError::Write { source } => file(to)(source),
        other => file(to)(io::Error::other(other)),
    })?;
    output
        .flush()
        .and_then(|()| fresh.as_file().sync_all())
        .map_err(file(to))?;
    drop(output);
    fresh
        .persist_noclobber(to)
        .map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => MoveError::Exists {
                path: to.to_owned(),
            },
            _ => file(to)(error.error),
        })?;
    sync_folder(beside).map_err(file(to))?;
    Ok(Moved {
        records: dumped.entries,
        bytes: dumped.length,
        engine,
        quarantine: None,
    })
}

/// Makes the store of a node that does not run anew from a file that [`export_store`] wrote, with
/// the engine `engine`, else the one that keeps the folder. The store that was there is set aside as
/// a damaged one is. Waits for the disk.
///
/// # Errors
///
/// [`MoveError`]; the store is as it was.
pub fn import_store(
    data_dir: &Path,
    from: &Path,
    engine: Option<StoreEngine>,
) -> Result<Moved, MoveError> {
    let input = File::open(from).map_err(file(from))?;
    // A file that is no dump makes no folder.
    let not_imported = |source| MoveError::NotImported {
        path: from.to_owned(),
        source,
    };
    qadom_store::verify(&mut BufReader::new(&input)).map_err(not_imported)?;
    let mut input = File::open(from).map(BufReader::new).map_err(file(from))?;
    let folder = Folder::open(data_dir)?;
    let path = folder.path().join(STORE);
    let quarantine = Quarantine::new(folder.path());
    let last = |quarantine: &Quarantine| {
        let listed = quarantine.list().unwrap_or_default();
        listed.last().map(|last| (last.number, last.path.clone()))
    };
    let before = last(&quarantine);
    let options = Options {
        engine,
        durability: Durability::Power,
    };
    let replaced = Replaced::SetAside(&quarantine, utc_seconds());
    let dumped = import_folder(&path, options, &mut input, replaced);
    let dumped = dumped.map_err(|error| match error {
        ImportError::Open { source } => match store_not_opened(source, &path) {
            StartError::Store { source } => not_imported(ImportError::Open { source }),
            error => error.into(),
        },
        error => not_imported(error),
    })?;
    let engine = StoreEngine::of(&path).map_err(|error| store_not_opened(error, &path))?;
    let now = last(&quarantine).filter(|now| before.as_ref() != Some(now));
    Ok(Moved {
        records: dumped.entries,
        bytes: dumped.length,
        engine: engine.unwrap_or_default(),
        quarantine: now.map(|(_, path)| path),
    })
}

fn file(path: &Path) -> impl Fn(io::Error) -> MoveError {
    let path = path.to_owned();
    move |source| MoveError::File {
        path: path.clone(),
        source,
    }
}
