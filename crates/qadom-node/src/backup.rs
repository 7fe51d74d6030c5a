//! What a node cannot get back from the network, in one sealed file: its key, its identities, its
//! journal and its settings.
//!
//! What must stay true: no file is ever overwritten, neither by a backup nor in a data folder; a
//! restore that was cut short can be done again and then is whole; nothing is restored that a node
//! could not start with. Records are no part of it: the network has them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qadom_routing::NodeId;
use qadom_wire::Reason;
use zeroize::Zeroizing;

use crate::driver::check_promise;
use crate::error::StartError;
use crate::folder::{Folder, IDENTITIES, RESTORING, sync_folder};
use crate::identities::{IdentityError, IdentityFolder};
use crate::identity;
use crate::journal;

mod archive;
mod seal;

use archive::Part;
use seal::{Cost, Opener, Sealed, Sealer};

/// Characters that the passphrase of a new backup has at least. Any passphrase opens a file that it sealed.
pub const PASSPHRASE_MIN: usize = 8;

/// What lies in a backup.
///
/// # Examples
///
/// ```
/// use qadom_node::{BackedUp, backup, restore};
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
/// let file = place.path().join("backup");
/// let BackedUp { node: id, identities, .. } = backup(&folder, &file, "a long passphrase")?;
/// let restored = restore(&place.path().join("elsewhere"), &file, "a long passphrase")?;
/// assert_eq!((restored.node, restored.identities), (id, identities));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The node whose key it holds.
    pub node: NodeId,
    /// How many identities.
    pub identities: usize,
    /// Whether there are promises to be kept.
    pub has_journal: bool,
    /// Whether there are settings.
    pub has_settings: bool,
}

/// Why nothing was backed up, or nothing restored.
///
/// # Examples
///
/// ```
/// use qadom_node::{BackupError, Reason, backup};
///
/// let place = tempfile::tempdir()?;
/// let error = backup(place.path(), &place.path().join("backup"), "a long passphrase").unwrap_err();
/// assert!(matches!(error, BackupError::NoNode { .. }));
/// println!("{error}: {}", error.advice());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The folder has no node key. The caller is at fault.
    #[error("{} holds no node", path.display())]
    NoNode {
        /// The folder that was named.
        path: PathBuf,
    },
    /// So short a passphrase seals nothing: whoever gets the file tries them all. The caller is at fault.
    #[error("the passphrase has {length} characters, at least {PASSPHRASE_MIN} are needed")]
    ShortPassphrase {
        /// How many characters it has.
        length: usize,
    },
    /// Another passphrase sealed the file, or its first bytes are damaged.
    #[error("the passphrase does not open {}", path.display())]
    WrongPassphrase {
        /// The backup.
        path: PathBuf,
    },
    /// The file is none that a backup was written to.
    #[error("{} is no backup", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged; nothing of it was restored.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The backup, or the file of a node.
        path: PathBuf,
    },
    /// A newer program wrote the backup, or a file in it.
    #[error("{what} has version {found}, this program knows up to {known}")]
    TooNew {
        /// The file.
        what: String,
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// There is such a file with another content, which stays as it is.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(Arc<StartError>),
    /// A file cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

impl BackupError {
    /// The reason, one of the list that all of qadom shares.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoNode { .. } => Reason::NotFound,
            Self::ShortPassphrase { .. } => Reason::Usage,
            Self::WrongPassphrase { .. } => Reason::BadSignature,
            Self::NotABackup { .. } => Reason::Malformed,
            Self::Damaged { .. } => Reason::BadHash,
            Self::TooNew { .. } => Reason::VersionTooNew,
            Self::Exists { .. } => Reason::Conflict,
            Self::Folder(error) => error.reason(),
            Self::Disk { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Reason::DiskFull,
                ErrorKind::NotFound | ErrorKind::PermissionDenied => Reason::Usage,
                _ => Reason::StorageFailed,
            },
        }
    }

    /// What the user can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoNode { .. } => "name the folder of a node with --data-dir",
            Self::ShortPassphrase { .. } => {
                "give a passphrase that nobody guesses, best of several words; nothing was written"
            }
            Self::WrongPassphrase { .. } => "type it again; nothing was changed",
            Self::NotABackup { .. } => "name a file that `qadom backup` wrote",
            Self::Damaged { .. } => "take another copy of it; nothing was changed",
            Self::TooNew { .. } => "use the newer program; nothing was changed",
            Self::Exists { .. } => {
                "nothing is overwritten: name another file, or restore into an empty folder"
            }
            Self::Folder(error) => error.advice(),
            Self::Disk { .. } => "look at the file, its folder and the disk; nothing was changed",
        }
    }
}

impl From<StartError> for BackupError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::VersionTooNew { path, found, known } => Self::TooNew {
                what: path.display().to_string(),
                found,
                known,
            },
            StartError::BadKeyFile { path } | StartError::BadJournal { path } => {
                Self::Damaged { path }
            }
            error => Self::Folder(Arc::new(error)),
        }
    }
}

impl From<IdentityError> for BackupError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::TooNew {
                origin,
                found,
                known,
            } => Self::TooNew {
                what: origin,
                found,
                known,
            },
            IdentityError::Disk { path, source } => Self::Disk { path, source },
            IdentityError::Damaged { origin } => Self::Damaged {
                path: origin.into(),
            },
            other => Self::Damaged {
                path: other.to_string().into(),
            },
        }
    }
}

/// Seals node key, identities, journal and settings of a data folder into the new file `to`, for
/// its owner alone. The node may run meanwhile: what it promises while its journal is copied is not
/// part of it. Takes about a second and 64 MiB for the passphrase; waits for the disk.
///
/// # Errors
///
/// [`BackupError`]; there is no new file then.
pub fn backup(data_dir: &Path, to: &Path, passphrase: &str) -> Result<BackedUp, BackupError> {
    seal_with(data_dir, to, passphrase, Cost::USUAL)
}

fn seal_with(
    data_dir: &Path,
    to: &Path,
    passphrase: &str,
    cost: Cost,
) -> Result<BackedUp, BackupError> {
    let length = passphrase.chars().count();
    if length < PASSPHRASE_MIN {
        return Err(BackupError::ShortPassphrase { length });
    }
    let mut parts = vec![Part::Settings, Part::Journal, Part::NodeKey];
    let names = IdentityFolder::at(data_dir).names()?;
    parts.extend(names.into_iter().map(Part::Identity));
    let mut files = Vec::with_capacity(parts.len());
    for part in parts {
        match File::open(part.place(data_dir)) {
            Ok(file) => files.push((part, file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(disk(&part.place(data_dir))(error)),
        }
    }
    let parts: Vec<_> = files.iter().map(|(part, _)| part.clone()).collect();
    let backed_up = describe(data_dir, &parts)?.ok_or_else(|| BackupError::NoNode {
        path: data_dir.to_owned(),
    })?;
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists {
            path: to.to_owned(),
        });
    }
    let folder = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fresh = tempfile::NamedTempFile::new_in(folder).map_err(disk(to))?;
    let write = || {
        let to = BufWriter::new(fresh.as_file());
        let mut sealer = Sealer::new(to, passphrase.as_bytes(), cost)?;
        for (part, file) in &files {
            archive::add(&mut sealer, part, file)?;
        }
        archive::end(&mut sealer)?;
        sealer.finish()?.into_inner()?.sync_all()
    };
    write().map_err(disk(to))?;
    fresh
        .persist_noclobber(to)
        .map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => BackupError::Exists {
                path: to.to_owned(),
            },
            _ => disk(to)(error.error),
        })?;
    sync_folder(folder).map_err(disk(folder))?;
    Ok(backed_up)
}

/// Puts what a backup holds into a data folder, which is made if it is missing and in which no node
/// runs. A file that is there already with the same content is left; one with another content ends
/// it before anything is changed. Done again it goes on where it was cut short.
///
/// Two nodes with one key disturb each other, and so do two that sign as one writer: the node that
/// was backed up must not run any more.
///
/// # Errors
///
/// [`BackupError`].
pub fn restore(data_dir: &Path, from: &Path, passphrase: &str) -> Result<BackedUp, BackupError> {
    let file = File::open(from).map_err(disk(from))?;
    let mut opener =
        Opener::open(BufReader::new(file), passphrase.as_bytes()).map_err(sealed(from))?;
    // Only now: a wrong passphrase makes no folder.
    let folder = Folder::open(data_dir)?;
    let fresh = folder.path().join(RESTORING);
    let result = stage(&mut opener, &fresh, from)
        .and_then(|parts| put_in_place(&folder, &fresh, &parts, from));
    // What is left of it does no harm, and is removed the next time.
    let _ = fs::remove_dir_all(&fresh);
    result
}

/// Writes what a backup holds into a folder of its own.
fn stage(
    opener: &mut Opener<impl Read>,
    fresh: &Path,
    from: &Path,
) -> Result<Vec<Part>, BackupError> {
    match fs::remove_dir_all(fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(disk(fresh)(error)),
        _ => {}
    }
    make_folder(&fresh.join(IDENTITIES)).map_err(disk(fresh))?;
    let mut parts = Vec::new();
    while let Some((part, length)) = archive::next(opener).map_err(sealed(from))? {
        let place = part.place(fresh);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&place);
        let mut file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => sealed(from)(Sealed::Damaged),
            _ => disk(&place)(error),
        })?;
        archive::extract(opener, length, &mut file).map_err(|error| match error {
            Sealed::Disk(error) => disk(&place)(error),
            error => sealed(from)(error),
        })?;
        file.sync_all().map_err(disk(&place))?;
        parts.push(part);
    }
    Ok(parts)
}

/// Moves the files of a folder of their own to where they belong, the node key last.
fn put_in_place(
    folder: &Folder,
    fresh: &Path,
    parts: &[Part],
    from: &Path,
) -> Result<BackedUp, BackupError> {
    let restored = describe(fresh, parts)?.ok_or_else(|| sealed(from)(Sealed::Damaged))?;
    for part in parts {
        let (here, there) = (part.place(folder.path()), part.place(fresh));
        if here.symlink_metadata().is_ok() && !is_same(&here, &there).map_err(disk(&here))? {
            return Err(BackupError::Exists { path: here });
        }
    }
    let identities = folder.path().join(IDENTITIES);
    if restored.identities > 0 {
        make_folder(&identities).map_err(disk(&identities))?;
    }
    let mut ordered: Vec<_> = parts.iter().collect();
    ordered.sort_unstable();
    for part in ordered {
        let here = part.place(folder.path());
        if *part == Part::NodeKey {
            // It is what makes the folder one of a node: all else is on the disk before.
            if restored.identities > 0 {
                sync_folder(&identities).map_err(disk(&identities))?;
            }
            sync_folder(folder.path()).map_err(disk(folder.path()))?;
        }
        fs::rename(part.place(fresh), &here).map_err(disk(&here))?;
    }
    sync_folder(folder.path()).map_err(disk(folder.path()))?;
    Ok(restored)
}

/// What these files of a folder are, when a node could start with them; none without a node key.
fn describe(folder: &Path, parts: &[Part]) -> Result<Option<BackedUp>, BackupError> {
    let mut node = None;
    for part in parts {
        let place = part.place(folder);
        match part {
            Part::NodeKey => {
                let content = Zeroizing::new(fs::read(&place).map_err(disk(&place))?);
                node = Some(identity::id_of(&content, &place)?);
            }
            Part::Identity(name) => {
                IdentityFolder::at(folder).load(name)?;
            }
            Part::Journal => journal::check(folder, |value| check_promise(value, &place))?,
            Part::Settings => {}
        }
    }
    let is_identity = |part: &&Part| matches!(part, Part::Identity(_));
    Ok(node.map(|node| BackedUp {
        node,
        identities: parts.iter().filter(is_identity).count(),
        has_journal: parts.contains(&Part::Journal),
        has_settings: parts.contains(&Part::Settings),
    }))
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut others = BufReader::new(other).bytes();
    for byte in BufReader::new(one).bytes() {
        if others.next().transpose()? != Some(byte?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn sealed(path: &Path) -> impl Fn(Sealed) -> BackupError {
    let path = path.to_owned();
    move |error| {
        let path = path.clone();
        match error {
            Sealed::Foreign => BackupError::NotABackup { path },
            Sealed::TooNew(found) => BackupError::TooNew {
                what: path.display().to_string(),
                found: found.into(),
                known: seal::VERSION.into(),
            },
            Sealed::WrongPassphrase => BackupError::WrongPassphrase { path },
            Sealed::Damaged => BackupError::Damaged { path },
            Sealed::Disk(source) => disk(&path)(source),
        }
    }
}

fn disk(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Disk {
        path: path.clone(),
        source: Arc::new(source),
    }
}

#[cfg(test)]
mod tests;
