//! The files of a node on disk: whole ones, referenced in place or copied in, downloads that go on
//! after a crash, and chunks held for others.
//!
//! What must stay true: what is served was verified when it was read. Own files and downloads never
//! give way; chunks held for others keep to their quota. Every file here has its version, and one of
//! a later version is left alone. Calls block; nothing here knows a network.
//!
//! Below the folder: `shared/ID` entries of whole files, `trees/ID` their hashes and those of
//! downloads, `data/ID` what was copied in or downloaded without a place of its own, `partial/ID` the
//! marks of downloads and `partial/ID.data` their bytes, `held/ID/INDEX` chunks of others.

mod add;
mod disk;
mod entry;
mod have_file;
mod held;
mod partial;
mod serve;
mod shares;
mod tree_file;

pub use add::{AddError, Added, Placement, SkipReason, Skipped, Watch};
pub use disk::DiskError;
pub use entry::{Entry, Kind, Place, State};
pub use held::{HELD_CHUNKS_MAX, Held, HeldChunk, HoldError, Offer, Offered, Refusal, Usage};
pub use partial::{FinishError, Partial, WriteError, Written};
pub use serve::ReadError;
pub use shares::{Group, Owner};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::entry::{ENTRY_MAX, Kept, Parsed, Stamp};
use self::have_file::{HaveFile, Header, Opened};
use self::serve::OpenFile;
use self::tree_file::TreeFile;
use crate::{ChunkSet, FileId, FileTooLarge, Layout, content_type};

/// What has to outlive what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything outlives the process, also when it is killed. After a loss of power what was
    /// downloaded is hashed again, and what does not verify is fetched again.
    #[default]
    Process,
    /// Everything outlives a loss of power: files are synced before they get their names, downloads
    /// every 256 MiB.
    Power,
}

/// How a folder behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderConfig {
    /// The most bytes of chunks that are held for others, with 4096 for each chunk's file.
    pub quota: u64,
    /// What has to outlive what.
    pub durability: Durability,
}

impl Default for FolderConfig {
    /// 1 GiB for others; everything outlives the process.
    fn default() -> Self {
        Self {
            quota: 1 << 30,
            durability: Durability::Process,
        }
    }
}

/// Why a download does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// All of the file is here.
    #[error("the file is here already")]
    Whole(Box<Entry>),
    /// A file of that size cannot be.
    #[error(transparent)]
    TooLarge(#[from] FileTooLarge),
    /// It began as a file of another size, and that size is proven.
    #[error("the file has {proven} bytes, not {claimed}")]
    OtherSize {
        /// The size that the last chunk proved.
        proven: u64,
        /// The size that was given now.
        claimed: u64,
    },
    /// A later version of qadom began it. It was left alone.
    #[error("the download was begun by a later version of qadom")]
    TooNew,
    /// The disk is full or failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What is here of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Its shape; its size is a claim of others unless the last chunk is here.
    pub layout: Layout,
    /// The chunks that can be served.
    pub chunks: ChunkSet,
    /// The pieces of the list of chunk hashes that can be served.
    pub list_pieces: ChunkSet,
}

/// The files of one node.
///
/// ```
/// use qadom_files::{ChunkIndex, FileId, Folder, FolderConfig};
///
/// # let temporary = tempfile::tempdir()?;
/// let folder = Folder::open(&temporary.path().join("files"), FolderConfig::default())?;
/// let entry = folder.add_bytes("greeting.txt", b"hello")?;
/// assert_eq!(entry.id, FileId::of(b"hello"));
///
/// let mut bytes = Vec::new();
/// let proof = folder.read(&entry.id, ChunkIndex::Data(0).wire(), &mut bytes)?;
/// assert_eq!(bytes, b"hello");
/// assert!(proof.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    config: FolderConfig,
    held: Held,
    index: Mutex<Index>,
    /// What could not be read when the folder was opened.
    damaged: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Index {
    whole: BTreeMap<FileId, Kept>,
    partial: BTreeMap<FileId, Partial>,
    /// Whole files whose content no longer verifies, though they look unchanged.
    changed: BTreeSet<FileId>,
    open: VecDeque<(FileId, Arc<OpenFile>)>,
}

impl Folder {
    /// Opens the folder, or makes it. One process at a time may have it open.
    ///
    /// Downloads that were cut short are there again. Damaged entries and those of a later version are
    /// left alone and named by [`damaged`](Self::damaged).
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the folder cannot be used.
    pub fn open(root: &Path, config: FolderConfig) -> Result<Self, DiskError> {
        for name in ["shared", "trees", "data", "partial"] {
            disk::make(&root.join(name))?;
            disk::names(&root.join(name))?;
        }
        let mut folder = Self {
            root: root.to_owned(),
            config,
            held: Held::open(root.join("held"), config.quota, config.durability)?,
            index: Mutex::default(),
            damaged: Vec::new(),
        };
        folder.load_whole()?;
        folder.load_partial()?;
        Ok(folder)
    }

    fn load_whole(&mut self) -> Result<(), DiskError> {
        for name in disk::names(&self.root.join("shared"))? {
            let path = self.root.join("shared").join(&name);
            let size = fs::metadata(&path).map_err(DiskError::at(&path))?.len();
            let mut parsed = Parsed::Damaged;
            if size <= ENTRY_MAX as u64 {
                parsed = Kept::parse(&fs::read(&path).map_err(DiskError::at(&path))?);
            }
            match parsed {
                Parsed::Kept(kept) if name == kept.entry.id.to_string() => {
                    self.index().whole.insert(kept.entry.id, *kept);
                }
                _ => self.damaged.push(path),
            }
        }
        Ok(())
    }

    fn load_partial(&mut self) -> Result<(), DiskError> {
        for name in disk::names(&self.root.join("partial"))? {
            let Ok(id) = name.parse::<FileId>() else {
                continue;
            };
            let path = self.path("partial", &id);
            let is_whole = self
                .entry(&id)
                .is_some_and(|entry| entry.state == State::Whole);
            match HaveFile::open(&path)? {
                // A crash among the last steps of finishing: the file has its name and its entry.
                Opened::Ready(marks) if is_whole && marks.header.id == id => {
                    disk::remove(&marks.header.data)?;
                    disk::remove(&path)?;
                }
                Opened::Ready(marks) if marks.header.id == id => {
                    let partial = self.join(*marks)?;
                    self.index().partial.insert(id, partial);
                }
                _ => self.damaged.push(path),
            }
        }
        Ok(())
    }

    /// Joins marks, bytes and tree of a download.
    fn join(&self, marks: HaveFile) -> Result<Partial, DiskError> {
        let (id, layout) = (marks.header.id, marks.header.layout);
        let path = self.path("trees", &id);
        let tree = match TreeFile::open(&path, id, layout) {
            Ok(Some(tree)) => tree,
            Ok(None) => TreeFile::create(&path, id, layout)?,
            Err(error) if error.is_missing() => TreeFile::create(&path, id, layout)?,
            Err(error) => return Err(error),
        };
        Partial::open(marks, tree, self.config.durability)
    }

    /// Files of the folder that could not be read when it was opened: damaged, or of a later version.
    /// They were left alone.
    pub fn damaged(&self) -> &[PathBuf] {
        &self.damaged
    }

    /// The chunks held for others.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// All files, whole and partial, by id.
    pub fn list(&self) -> Vec<Entry> {
        let ids: BTreeSet<FileId> = {
            let index = self.index();
            index
                .whole
                .keys()
                .chain(index.partial.keys())
                .copied()
                .collect()
        };
        ids.iter().filter_map(|id| self.entry(id)).collect()
    }

    /// One file. Looks whether a file in place still looks as it did.
    pub fn entry(&self, id: &FileId) -> Option<Entry> {
        let index = self.index();
        if let Some(kept) = index.whole.get(id) {
            let mut entry = kept.entry.clone();
            let is_there = fs::metadata(self.data_path(&entry));
            let is_same = is_there.is_ok_and(|metadata| Stamp::of(&metadata) == kept.stamp);
            if !is_same || index.changed.contains(id) {
                entry.state = State::Changed;
            }
            // What is no longer what it was may be on its way again.
            if entry.state == State::Whole || !index.partial.contains_key(id) {
                return Some(entry);
            }
        }
        let partial = index.partial.get(id)?;
        Some(Entry {
            id: *id,
            size: partial.layout().size(),
            kind: Kind::File,
            name: String::new(),
            content_type: String::new(),
            place: Place::Copied,
            part_of: None,
            state: State::Partial {
                chunks: partial.have().len(),
            },
        })
    }

    /// Forgets a file, with all that was added with it if it is a folder's listing: a file in place
    /// stays, a copy and a download are removed. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when something cannot be removed; then the same call goes on.
    pub fn remove(&self, id: &FileId) -> Result<bool, DiskError> {
        let mut index = self.index();
        let parts = index
            .whole
            .values()
            .filter(|kept| kept.entry.part_of == Some(*id));
        let mut ids: Vec<FileId> = parts.map(|kept| kept.entry.id).collect();
        ids.push(*id);
        let mut was_there = false;
        for id in ids {
            if let Some(kept) = index.whole.get(&id) {
                disk::remove(&self.path("shared", &id))?;
                if kept.entry.place == Place::Copied {
                    disk::remove(&self.path("data", &id))?;
                }
                index.whole.remove(&id);
                was_there = true;
            }
            if let Some(partial) = index.partial.get(&id) {
                disk::remove(&self.path("partial", &id))?;
                disk::remove(partial.data_path())?;
                index.partial.remove(&id);
                was_there = true;
            }
            disk::remove(&self.path("trees", &id))?;
            index.changed.remove(&id);
            index.open.retain(|(open, _)| *open != id);
        }
        Ok(was_there)
    }

    /// What is here of a file, held for others or not; `None` when nothing is.
    pub fn holdings(&self, id: &FileId) -> Option<Holdings> {
        if let Some(entry) = self.entry(id)
            && entry.state != State::Changed
            && let Ok(layout) = Layout::new(entry.size)
        {
            let pieces = layout.list_pieces();
            let mut holdings = match self.partial(id) {
                Some(partial) => Holdings {
                    layout,
                    chunks: partial.have(),
                    list_pieces: ChunkSet::new(pieces),
                },
                None => Holdings {
                    layout,
                    chunks: ChunkSet::full(layout.chunks()),
                    list_pieces: ChunkSet::full(pieces),
                },
            };
            if let Some((other, chunks, list_pieces)) = self.held.of(id) {
                if other == layout {
                    holdings.chunks.union_with(&chunks);
                    holdings.list_pieces.union_with(&list_pieces);
                } else {
                    // Pushed under a false size, and the file's all the same.
                    for chunk in chunks.iter().take_while(|chunk| *chunk < layout.last()) {
                        holdings.chunks.insert(chunk);
                    }
                }
            }
            return Some(holdings);
        }
        let (layout, chunks, list_pieces) = self.held.of(id)?;
        Some(Holdings {
            layout,
            chunks,
            list_pieces,
        })
    }

    /// Begins a download, or goes on with it. Its bytes lie beside `near`, the place where the file
    /// shall be in the end, so that this is only a change of name; without one in the folder.
    ///
    /// # Errors
    ///
    /// [`DownloadError`] when the file is here, cannot be, or finds no room.
    pub fn download(
        &self,
        id: &FileId,
        size: u64,
        near: Option<&Path>,
    ) -> Result<Partial, DownloadError> {
        let layout = Layout::new(size)?;
        if let Some(entry) = self.entry(id)
            && entry.state == State::Whole
        {
            return Err(DownloadError::Whole(Box::new(entry)));
        }
        let mut index = self.index();
        if let Some(partial) = index.partial.get(id) {
            let known = partial.layout();
            if known == layout {
                return Ok(partial.clone());
            }
            if partial.contains(known.last()) {
                return Err(DownloadError::OtherSize {
                    proven: known.size(),
                    claimed: size,
                });
            }
            // The size was somebody's lie: nothing of it can be used.
            disk::remove(partial.data_path())?;
            index.partial.remove(id);
        }
        let path = self.path("partial", id);
        if path.exists() && matches!(HaveFile::open(&path)?, Opened::TooNew) {
            return Err(DownloadError::TooNew);
        }
        let data = near.and_then(|near| beside(near, id));
        let data = data.unwrap_or_else(|| path.with_extension("data"));
        // Bytes without marks say nothing; a file of the owner's has no such name.
        disk::remove(&data)?;
        let header = Header {
            id: *id,
            layout,
            data,
        };
        TreeFile::create(&self.path("trees", id), *id, layout)?;
        let marks = HaveFile::create(&path, header, self.config.durability)?;
        let partial = self.join(marks)?;
        index.partial.insert(*id, partial.clone());
        Ok(partial)
    }

    /// The download of a file that is not whole yet.
    pub fn partial(&self, id: &FileId) -> Option<Partial> {
        self.index().partial.get(id).cloned()
    }

    /// Ends a download whose chunks are all verified: the file gets the name `target`, or a place in
    /// the folder, and is an own file from now on. `name` is what it is called.
    ///
    /// # Errors
    ///
    /// [`FinishError`] when chunks are missing or the name is taken; the download is kept.
    pub fn finish(
        &self,
        partial: &Partial,
        name: &str,
        target: Option<&Path>,
    ) -> Result<Entry, FinishError> {
        let id = partial.id();
        let inside = self.path("data", &id);
        if target.is_none()
            && self
                .entry(&id)
                .is_none_or(|entry| entry.state != State::Whole)
        {
            // No file of another has this name: what is there is left of a crash.
            disk::remove(&inside)?;
        }
        let metadata = partial.place(target.unwrap_or(&inside))?;
        let place = match target {
            Some(path) => {
                let absolute = fs::canonicalize(path).map_err(DiskError::at(path))?;
                Place::InPlace(absolute)
            }
            None => Place::Copied,
        };
        let kept = Kept {
            entry: Entry {
                id,
                size: metadata.len(),
                kind: Kind::File,
                name: name.to_owned(),
                content_type: content_type(Path::new(name)).to_owned(),
                place,
                part_of: None,
                state: State::Whole,
            },
            stamp: Stamp::of(&metadata),
        };
        let entry = self.keep(kept)?;
        disk::remove(partial.data_path())?;
        disk::remove(&self.path("partial", &id))?;
        self.index().partial.remove(&id);
        Ok(entry)
    }

    /// Notes a whole file, on disk first.
    fn keep(&self, kept: Kept) -> Result<Entry, DiskError> {
        let (id, entry) = (kept.entry.id, kept.entry.clone());
        let path = self.path("shared", &id);
        disk::replace(&path, kept.to_text().as_bytes(), self.config.durability)?;
        let mut index = self.index();
        index.changed.remove(&id);
        index.open.retain(|(open, _)| *open != id);
        index.whole.insert(id, kept);
        Ok(entry)
    }

    fn path(&self, folder: &str, id: &FileId) -> PathBuf {
        self.root.join(folder).join(id.to_string())
    }

    fn data_path(&self, entry: &Entry) -> PathBuf {
        match &entry.place {
            Place::InPlace(path) => path.clone(),
            Place::Copied => self.path("data", &entry.id),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Every change of the index is made after the disk's and whole.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hidden name beside a place, which no other download takes; `None` for a place without folder.
fn beside(near: &Path, id: &FileId) -> Option<PathBuf> {
    let folder = fs::canonicalize(match near.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    });
    let mut name = OsString::from(".");
    name.push(near.file_name()?);
    // A name may have 255 bytes.
    if name.len() > 180 {
        name = OsString::from(".download");
    }
    name.push(format!(".{id}.qadom"));
    Some(folder.ok()?.join(name))
}
