//! The data folder of a node: taken by one process at a time, told apart from foreign folders, its
//! files replaced whole or not at all.
//!
//! What must stay true: nothing is written into a folder that holds files of somebody else, and
//! what a crash leaves of a file is the old content or the new one. What the files mean is known to
//! `identity`, `identities`, `contacts`, `journal` and the store.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::StartError;

/// The secret of the node.
pub(crate) const NODE_KEY: &str = "node.key";
/// The nodes to come back to after a restart.
pub(crate) const CONTACTS: &str = "contacts";
/// The folder of the store.
pub(crate) const STORE: &str = "store";
/// What the node has promised.
pub(crate) const JOURNAL: &str = "journal";
/// A journal that is not whole yet.
pub(crate) const JOURNAL_FRESH: &str = "journal.new";
/// The folder of the writers' secrets.
pub(crate) const IDENTITIES: &str = "identities";
/// What the user has set.
pub(crate) const SETTINGS: &str = "qadom.toml";
/// What a restore has not put in place yet.
pub(crate) const RESTORING: &str = "restore.new";

/// What the node has pushed and looks after.
pub(crate) const PUSHES: &str = "pushes";
/// The folder of the files.
pub(crate) const FILES: &str = "files";

const LOCK: &str = "lock";
/// A store that an import has not put in place yet.
const STORE_FRESH: &str = "store.new";
/// A store that an import has filled and not put in place yet.
pub(crate) const STORE_WHOLE: &str = "store.whole";
/// The note that the store lost records which are not all back.
const REFILL: &str = "refill";
const CONTROL_SOCKET: &str = "control.sock";
const QUARANTINE: &str = "quarantine-";
/// Everything else that belongs into a data folder.
const OTHERS: [&str; 10] = [
    "daemon.log",
    FILES,
    PUSHES,
    "pushes.new",
    SETTINGS,
    RESTORING,
    STORE_FRESH,
    STORE_WHOLE,
    REFILL,
    "refill.new",
];

/// A data folder that this process holds the lock of.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held open: the lock ends with it.
    _lock: File,
    /// Removes the folder when the node ends.
    temporary: Option<TempDir>,
}

impl Folder {
    /// Makes a folder that is removed when the node ends.
    pub(crate) fn temporary() -> Result<Self, StartError> {
        let temporary = tempfile::Builder::new()
            .prefix("qadom-")
            .tempdir()
            .map_err(unusable(&std::env::temp_dir()))?;
        let mut folder = Self::open(temporary.path())?;
        folder.temporary = Some(temporary);
        Ok(folder)
    }

    /// Takes a folder for this process, and makes it if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable(path))?;
        if is_foreign(path).map_err(unusable(path))? {
            return Err(StartError::ForeignFolder {
                path: path.to_owned(),
            });
        }
        // A file without a name: shows that the folder can be written, and leaves nothing behind.
        tempfile::tempfile_in(path).map_err(unusable(path))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(unusable(path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StartError::FolderInUse {
                path: path.to_owned(),
            },
            TryLockError::Error(source) => unusable(path)(source),
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            temporary: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The content of a file; `None` when there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StartError> {
        match fs::read(self.path.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&self.path)(error)),
        }
    }

    /// Puts `content` in place of a file, readable by the owner alone. What was there stays whole
    /// until the new content is on the disk.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        replace_file(&self.path, name, content)
    }
}

/// Puts `content` in place of a file of a folder, as [`Folder::replace`] does.
pub(crate) fn replace_file(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    sync_folder(folder)
}

/// Makes the names in a folder survive the loss of power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether a folder has content, and no sign that a node put it there.
fn is_foreign(path: &Path) -> io::Result<bool> {
    let mut is_ours = true;
    for item in fs::read_dir(path)? {
        let name = item?.file_name();
        if name == NODE_KEY {
            return Ok(false);
        }
        is_ours &= is_known(&name);
    }
    Ok(!is_ours)
}

fn is_known(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    [
        LOCK,
        CONTACTS,
        STORE,
        CONTROL_SOCKET,
        JOURNAL,
        JOURNAL_FRESH,
        IDENTITIES,
    ]
    .contains(&name)
        || OTHERS.contains(&name)
        || name.starts_with(QUARANTINE)
        || name == "node.new"
        || name == "contacts.new"
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::FolderUnusable {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_second_user_of_a_folder_is_refused_until_the_first_is_gone() {
        let place = fresh();
        let first = Folder::open(place.path()).unwrap();
        let second = Folder::open(place.path());
        assert!(matches!(second, Err(StartError::FolderInUse { .. })));
        drop(first);
        assert!(Folder::open(place.path()).is_ok());
    }

    #[test]
    fn only_folders_with_foreign_files_alone_are_refused() {
        let place = fresh();
        fs::write(place.path().join("qadom.toml"), "").unwrap();
        assert!(Folder::open(place.path()).is_ok());
        fs::write(place.path().join("letter.txt"), "").unwrap();
        let refused = Folder::open(place.path());
        assert!(matches!(refused, Err(StartError::ForeignFolder { .. })));
        fs::write(place.path().join(NODE_KEY), "").unwrap();
        assert!(Folder::open(place.path()).is_ok());
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_refused() {
        let place = fresh();
        let path = place.path().join("file");
        fs::write(&path, "").unwrap();
        let refused = Folder::open(&path);
        assert!(matches!(refused, Err(StartError::FolderUnusable { .. })));
    }

    #[test]
    fn a_temporary_folder_is_gone_with_its_node() {
        let folder = Folder::temporary().unwrap();
        let path = folder.path().to_owned();
        folder.replace(CONTACTS, b"new").unwrap();
        assert_eq!(folder.read(CONTACTS).unwrap().unwrap(), b"new");
        drop(folder);
        assert!(!path.exists());
    }
}
