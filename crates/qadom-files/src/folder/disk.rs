//! The few ways in which the folder touches the disk: replacing a small file whole, syncing, and
//! naming what went wrong.
//!
//! What must stay true: a file that is replaced is the old or the new one at every moment, also
//! after kill -9. A full disk is told apart from a broken one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Durability;

/// How the name of a file begins that is being written and has not got its own name yet.
const TEMPORARY: &str = ".new-";

/// What the disk did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The disk, a quota or a file size limit is exhausted. What was kept before still is; make
    /// room and do the same again.
    #[error("no space is left on the disk for {}", path.display())]
    Full {
        /// The file that was being written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DiskError {
    /// Names the file that an operating system's error is about.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => Self::Full { path, source },
                _ => Self::Failed { path, source },
            }
        }
    }

    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Failed { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether there is no space left.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

/// A name in `folder` that nothing has yet.
pub(super) fn temporary(folder: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{TEMPORARY}{}-{number}", std::process::id()))
}

/// Writes a small file whole: readers see the old one or this one.
pub(super) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), DiskError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let new = temporary(folder);
    let write = || {
        let mut file = File::create_new(&new)?;
        file.write_all(bytes)?;
        if durability == Durability::Power {
            file.sync_all()?;
        }
        fs::rename(&new, path)
    };
    if let Err(error) = write() {
        // What is left of it would be removed at the next start, too.
        let _ = fs::remove_file(&new);
        return Err(DiskError::at(path)(error));
    }
    sync_folder(folder, durability)
}

/// Makes names in a folder outlive a loss of power, if that is asked for.
pub(super) fn sync_folder(folder: &Path, durability: Durability) -> Result<(), DiskError> {
    if durability == Durability::Power {
        let synced = File::open(folder).and_then(|file| file.sync_all());
        synced.map_err(DiskError::at(folder))?;
    }
    Ok(())
}

/// Makes a folder unless it is there.
pub(super) fn make(folder: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(folder).map_err(DiskError::at(folder))
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::at(path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder, without what a crash left half written, which is removed.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, DiskError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DiskError::at(folder))? {
        let entry = entry.map_err(DiskError::at(folder))?;
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with(TEMPORARY) => remove(&entry.path())?,
            Ok(name) => names.push(name),
            // No file of ours has such a name; it is not ours to touch.
            Err(_) => {}
        }
    }
    names.sort_unstable();
    Ok(names)
}
