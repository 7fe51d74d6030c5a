//! Takes files and whole folders in: hashes them, and keeps where they are or what is in them.
//!
//! What must stay true: an entry is made only of a file that did not change while it was hashed.
//! Links are not followed. Memory does not grow with a file's size.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::disk::{self, DiskError};
use super::entry::{Entry, Kept, Kind, Place, Stamp, State};
use super::tree_file::TreeFile;
use super::{Durability, Folder};
use crate::layout::Node;
use crate::tree::{Hashed, hash_into};
use crate::{
    ChunkHash, FileId, FileTooLarge, LISTING_CONTENT_TYPE, LISTING_DEPTH_MAX, LISTING_ENTRIES_MAX,
    Layout, Listed, Listing, ListingEntry, ListingError, ListingPath, PathError, content_type,
};

/// Whether a file's bytes stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// They are served from where they lie, as long as they do not change.
    InPlace,
    /// They are copied into the folder.
    Copy,
}

/// Why something was not taken in. What was there before still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It is neither a file nor a folder.
    #[error("{} is neither a file nor a folder", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// Somebody wrote to it while it was hashed. Add it again when it is at rest.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It is too large.
    #[error(transparent)]
    TooLarge(#[from] FileTooLarge),
    /// A name in the folder that no listing can have.
    #[error("{} cannot stand in a listing", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: PathError,
    },
    /// The folder has too much in it for one listing.
    #[error("the folder cannot be listed")]
    Listing(#[from] ListingError),
    /// Whoever watched the progress ended it.
    #[error("it was stopped before its end")]
    Stopped,
    /// The disk is full or failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why something in a folder was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A link: it is not followed.
    Link,
    /// A socket, a device, or another thing without content.
    Special,
}

/// Something in a folder that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it lies.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// What was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The file, or the listing of the folder.
    pub entry: Entry,
    /// The files in the folder, each an entry of its own.
    pub parts: Vec<Entry>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Told how many more bytes were hashed; may end it.
pub type Watch<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Something in a folder that is being added.
struct Found {
    path: PathBuf,
    listed: ListingPath,
    metadata: Metadata,
}

impl Folder {
    /// Takes a file in, or a folder with all that is in it, and tells `watch` of every chunk.
    ///
    /// A file that is here already is hashed again and then has its new place; one that is in the folder
    /// belongs to it from then on.
    ///
    /// # Errors
    ///
    /// [`AddError`] when it cannot be read whole, or when `watch` ends it.
    pub fn add(
        &self,
        path: &Path,
        placement: Placement,
        watch: &mut Watch<'_>,
    ) -> Result<Added, AddError> {
        let path = fs::canonicalize(path).map_err(DiskError::at(path))?;
        let metadata = fs::metadata(&path).map_err(DiskError::at(&path))?;
        if metadata.is_dir() {
            return self.add_folder(&path, placement, watch);
        }
        if !metadata.is_file() {
            return Err(AddError::NoFile { path });
        }
        let entry = self.add_file(&path, placement, watch)?;
        Ok(Added {
            entry,
            parts: Vec::new(),
            skipped: Vec::new(),
        })
    }

    /// Takes bytes in as a file of that name.
    ///
    /// # Errors
    ///
    /// [`AddError::Disk`] when the disk is full or failed.
    pub fn add_bytes(&self, name: &str, bytes: &[u8]) -> Result<Entry, AddError> {
        self.keep_bytes(name, Kind::File, content_type(Path::new(name)), bytes)
    }

    /// Takes a listing in that came from elsewhere, so that it can be served.
    ///
    /// # Errors
    ///
    /// [`AddError::Disk`] when the disk is full or failed.
    pub fn add_listing(&self, name: &str, listing: &Listing) -> Result<Entry, AddError> {
        let bytes = listing.to_bytes();
        self.keep_bytes(name, Kind::Folder, LISTING_CONTENT_TYPE, &bytes)
    }

    fn add_folder(
        &self,
        root: &Path,
        placement: Placement,
        watch: &mut Watch<'_>,
    ) -> Result<Added, AddError> {
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        walk(root, root, &mut found, &mut skipped)?;
        let (mut entries, mut parts) = (Vec::new(), Vec::new());
        for found in found {
            let listed = if found.metadata.is_dir() {
                Listed::Folder
            } else {
                let entry = self.add_file(&found.path, placement, watch)?;
                let (id, size) = (entry.id, entry.size);
                parts.push(entry);
                Listed::File { id, size }
            };
            let mode = found.metadata.permissions().mode() & 0o777;
            entries.push(ListingEntry {
                path: found.listed,
                mode: u16::try_from(mode).unwrap_or(0),
                listed,
            });
        }
        let listing = Listing::new(entries)?;
        let entry = self.add_listing(&name_of(root), &listing)?;
        for part in &mut parts {
            part.part_of = Some(entry.id);
            self.note_part(part)?;
        }
        Ok(Added {
            entry,
            parts,
            skipped,
        })
    }

    /// Notes with which folder a file came.
    fn note_part(&self, part: &Entry) -> Result<(), DiskError> {
        let stamp = self.index().whole.get(&part.id).map(|kept| kept.stamp);
        if let Some(stamp) = stamp {
            let entry = part.clone();
            self.keep(Kept { entry, stamp })?;
        }
        Ok(())
    }

    fn add_file(
        &self,
        path: &Path,
        placement: Placement,
        watch: &mut Watch<'_>,
    ) -> Result<Entry, AddError> {
        let changed = || AddError::Changed {
            path: path.to_owned(),
        };
        let file = File::open(path).map_err(DiskError::at(path))?;
        let stat = || file.metadata().map_err(DiskError::at(path));
        let stamp = Stamp::of(&stat()?);
        let layout = Layout::new(stamp.size())?;
        let copy = (placement == Placement::Copy).then(|| disk::temporary(&self.root.join("data")));
        let tree = disk::temporary(&self.root.join("trees"));

        let hashed = self.hash(&file, path, layout, (&tree, copy.as_deref()), watch);
        let kept = hashed.and_then(|hashed| {
            if hashed.layout != layout || Stamp::of(&stat()?) != stamp {
                return Err(changed());
            }
            let entry = Entry {
                id: hashed.id,
                size: layout.size(),
                kind: Kind::File,
                name: name_of(path),
                content_type: content_type(path).to_owned(),
                place: Place::InPlace(path.to_owned()),
                part_of: None,
                state: State::Whole,
            };
            self.settle(Kept { entry, stamp }, &tree, copy.as_deref())
        });
        if kept.is_err() {
            // What is left of it would be removed at the next start, too.
            let _ = disk::remove(&tree);
            let _ = copy.as_deref().map(disk::remove);
        }
        kept
    }

    /// Hashes a file into a new tree and, if asked for, a new copy.
    fn hash(
        &self,
        file: &File,
        path: &Path,
        layout: Layout,
        (tree, copy): (&Path, Option<&Path>),
        watch: &mut Watch<'_>,
    ) -> Result<Hashed, AddError> {
        let mut nodes = TreeFile::create(tree, FileId::of(b""), layout)?;
        let mut copied = copy.map(File::create_new).transpose();
        let copied = copied.as_mut().map_err(|error| {
            let at = DiskError::at(copy.unwrap_or(path));
            at(io::Error::from(error.kind()))
        })?;
        let (mut failed, mut is_stopped) = (None, false);
        let mut sink = |node: Node, hash: ChunkHash| {
            // A file that grew beyond its layout is found out at the end.
            if node.level < layout.height().max(1) && node.index < layout.width(node.level) {
                nodes.write(node, &hash).map_err(|error| {
                    failed = Some(error);
                    io::Error::other("the tree")
                })?;
            }
            Ok(())
        };
        let mut chunk = |bytes: &[u8]| {
            if let Some(copied) = copied {
                copied.write_all(bytes)?;
            }
            if watch(u64::try_from(bytes.len()).unwrap_or(u64::MAX)).is_break() {
                is_stopped = true;
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(())
        };
        // One that grows as fast as it is read would have no end.
        let reader = file.take(layout.size().saturating_add(1));
        let hashed = hash_into(reader, &mut sink, &mut chunk);
        if is_stopped {
            return Err(AddError::Stopped);
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let hashed = hashed.map_err(DiskError::at(copy.unwrap_or(path)))?;
        nodes.name(hashed.id)?;
        if self.config.durability == Durability::Power {
            nodes.sync()?;
            if let Some(copied) = copied {
                let copy = copy.unwrap_or(path);
                copied.sync_all().map_err(DiskError::at(copy))?;
            }
        }
        Ok(hashed)
    }

    /// Gives tree and copy their names, then notes the file.
    fn settle(&self, mut kept: Kept, tree: &Path, copy: Option<&Path>) -> Result<Entry, AddError> {
        let id = kept.entry.id;
        // A download of the same file has become needless.
        self.abandon(&id)?;
        if Layout::new(kept.entry.size)?.chunks() > 1 {
            let named = self.path("trees", &id);
            fs::rename(tree, &named).map_err(DiskError::at(&named))?;
        }
        if let Some(copy) = copy {
            let named = self.path("data", &id);
            fs::rename(copy, &named).map_err(DiskError::at(&named))?;
            let metadata = fs::metadata(&named).map_err(DiskError::at(&named))?;
            kept.entry.place = Place::Copied;
            kept.stamp = Stamp::of(&metadata);
        }
        Ok(self.keep(kept)?)
    }

    /// Removes a download and what came of it.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when something cannot be removed.
    pub fn abandon(&self, id: &FileId) -> Result<(), DiskError> {
        let mut index = self.index();
        if let Some(partial) = index.partial.get(id) {
            disk::remove(&self.path("partial", id))?;
            disk::remove(partial.data_path())?;
            index.partial.remove(id);
        }
        Ok(())
    }

    fn keep_bytes(
        &self,
        name: &str,
        kind: Kind,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<Entry, AddError> {
        let copy = disk::temporary(&self.root.join("data"));
        let tree = disk::temporary(&self.root.join("trees"));
        let write = || {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let layout = Layout::new(size)?;
            fs::write(&copy, bytes).map_err(DiskError::at(&copy))?;
            let file = File::open(&copy).map_err(DiskError::at(&copy))?;
            let mut watch = |_| ControlFlow::Continue(());
            let hashed = self.hash(&file, &copy, layout, (&tree, None), &mut watch)?;
            let metadata = file.metadata().map_err(DiskError::at(&copy))?;
            if self.config.durability == Durability::Power {
                file.sync_all().map_err(DiskError::at(&copy))?;
            }
            let entry = Entry {
                id: hashed.id,
                size,
                kind,
                name: name.to_owned(),
                content_type: content_type.to_owned(),
                place: Place::Copied,
                part_of: None,
                state: State::Whole,
            };
            let stamp = Stamp::of(&metadata);
            self.settle(Kept { entry, stamp }, &tree, Some(&copy))
        };
        let kept = write();
        if kept.is_err() {
            // What is left of it would be removed at the next start, too.
            let _ = disk::remove(&tree);
            let _ = disk::remove(&copy);
        }
        kept
    }
}

/// What a file is called.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// All folders and files below `root`, in the order of their names.
fn walk(
    root: &Path,
    folder: &Path,
    found: &mut Vec<Found>,
    skipped: &mut Vec<Skipped>,
) -> Result<(), AddError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(DiskError::at(folder))? {
        entries.push(entry.map_err(DiskError::at(folder))?.path());
        if entries.len() + found.len() > LISTING_ENTRIES_MAX {
            return Err(ListingError::TooLong.into());
        }
    }
    entries.sort_unstable();
    for path in entries {
        let metadata = fs::symlink_metadata(&path).map_err(DiskError::at(&path))?;
        let reason = if metadata.is_symlink() {
            Some(SkipReason::Link)
        } else if !metadata.is_dir() && !metadata.is_file() {
            Some(SkipReason::Special)
        } else {
            None
        };
        if let Some(reason) = reason {
            skipped.push(Skipped { path, reason });
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path);
        let listed = ListingPath::new(below.as_os_str().as_bytes());
        let listed = listed.map_err(|source| AddError::Path {
            path: path.clone(),
            source,
        })?;
        let is_folder = metadata.is_dir();
        found.push(Found {
            path: path.clone(),
            listed,
            metadata,
        });
        // The path's own check bounds the depth.
        debug_assert!(
            below.components().count() <= LISTING_DEPTH_MAX,
            "checked above"
        );
        if is_folder {
            walk(root, &path, found, skipped)?;
        }
    }
    Ok(())
}
