//! Gives the files of a listing their places below a folder on disk.
//!
//! What must stay true: nothing is created, opened or changed outside that folder. Links that lie
//! in it are not followed, whoever put them there. What exists is left as it is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::{Listed, Listing, ListingEntry, ListingPath};

/// Permission bits that are never given to what strangers listed: group and others may not write.
const MODE_MASK: u16 = 0o755;

/// Permission bits that its owner always has on a file.
const OWN_FILE: u16 = 0o600;

/// Permission bits that its owner always has on a folder.
const OWN_FOLDER: u16 = 0o700;

/// Why a file of a listing gets no place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// On the way lies a link or a file where a folder has to be. It was left alone.
    #[error("{} is in the way: it is no folder", path.display())]
    NotAFolder {
        /// What lies there.
        path: PathBuf,
    },
    /// This system cannot have a file of that name.
    #[error("this system cannot have a file called {path}")]
    Name {
        /// The path in the listing.
        path: ListingPath,
    },
    /// The folder cannot be made or changed.
    #[error("{} cannot be used", path.display())]
    Failed {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A folder on disk that becomes what a listing says.
///
/// ```
/// use qadom_files::{FileId, Listed, Listing, ListingEntry, ListingPath, Restore};
///
/// # let temporary = tempfile::tempdir()?;
/// # let target = temporary.path().join("restored");
/// # let (id, size) = (FileId::of(b"hello"), 5);
/// # let entry = |path: &[u8], listed| Ok::<_, qadom_files::PathError>(ListingEntry {
/// #     path: ListingPath::new(path)?, mode: 0o755, listed,
/// # });
/// let listing = Listing::new(vec![
///     entry(b"deep", Listed::Folder)?,
///     entry(b"deep/greeting.txt", Listed::File { id, size })?,
/// ])?;
/// let restore = Restore::new(&listing, &target)?;
/// for entry in listing.entries() {
///     let place = restore.place(entry)?;
///     if let Listed::File { .. } = entry.listed {
///         std::fs::write(place, b"hello")?; // or a download that ends there
///     }
/// }
/// restore.finish()?;
/// # assert_eq!(std::fs::read(target.join("deep/greeting.txt"))?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Restore<'a> {
    listing: &'a Listing,
    root: PathBuf,
}

impl<'a> Restore<'a> {
    /// Makes the folder `root` unless it is there.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] when it cannot be made, or when something else has its name.
    pub fn new(listing: &'a Listing, root: &Path) -> Result<Self, RestoreError> {
        make_folder(root)?;
        Ok(Self {
            listing,
            root: root.to_owned(),
        })
    }

    /// Where an entry has its place. The folders on the way are made, and the entry itself if it is a
    /// folder.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] when it can have none.
    pub fn place(&self, entry: &ListingEntry) -> Result<PathBuf, RestoreError> {
        let path = self.resolve(&entry.path)?;
        let below = path.strip_prefix(&self.root).unwrap_or(&path);
        let mut folder = self.root.clone();
        let folders = match entry.listed {
            Listed::Folder => below,
            Listed::File { .. } => below.parent().unwrap_or(Path::new("")),
        };
        for name in folders {
            folder.push(name);
            make_folder(&folder)?;
        }
        Ok(path)
    }

    /// Gives everything its mode, once the files are there: the listed one, but never writable for
    /// others than the owner, and always usable for the owner.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Failed`] when a mode cannot be set.
    pub fn finish(&self) -> Result<(), RestoreError> {
        // Folders last and from the inside out: one that may not be written takes no more changes.
        for entry in self.listing.entries().iter().rev() {
            let path = self.resolve(&entry.path)?;
            let failed = |source| RestoreError::Failed {
                path: path.clone(),
                source,
            };
            let metadata = fs::symlink_metadata(&path).map_err(failed)?;
            let (is_as_listed, own) = match entry.listed {
                Listed::File { .. } => (metadata.is_file(), OWN_FILE),
                Listed::Folder => (metadata.is_dir(), OWN_FOLDER),
            };
            // A link would pass the mode on to what it points at.
            if is_as_listed {
                let mode = u32::from(entry.mode & MODE_MASK | own);
                let permissions = fs::Permissions::from_mode(mode);
                fs::set_permissions(&path, permissions).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The path on this system, whose rules may be narrower than a listing's.
    fn resolve(&self, listed: &ListingPath) -> Result<PathBuf, RestoreError> {
        let mut path = self.root.clone();
        for name in listed.names() {
            let name = Path::new(OsStr::from_bytes(name));
            let mut components = name.components();
            let is_plain = matches!(components.next(), Some(Component::Normal(_)));
            if !is_plain || components.next().is_some() {
                let path = listed.clone();
                return Err(RestoreError::Name { path });
            }
            path.push(name);
        }
        Ok(path)
    }
}

/// Makes a folder, or finds that it is one and no link to one.
fn make_folder(path: &Path) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::Failed {
        path: path.to_owned(),
        source,
    };
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_folder = fs::symlink_metadata(path).map_err(failed)?.is_dir();
            let path = path.to_owned();
            is_folder
                .then_some(())
                .ok_or(RestoreError::NotAFolder { path })
        }
        made => made.map_err(failed),
    }
}
