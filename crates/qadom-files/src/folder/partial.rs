//! A file that is being downloaded: its bytes so far, and which of them are verified.
//!
//! What must stay true: a chunk is verified before it is written, written before it is marked, and
//! marked before anybody is told. The final name appears only when every chunk is verified, and never
//! takes the place of a file that is there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Durability;
use super::disk::{self, DiskError};
use super::have_file::HaveFile;
use super::tree_file::TreeFile;
use crate::layout::Node;
use crate::proof::Proof;
use crate::{
    ChunkHash, ChunkIndex, ChunkSet, FileId, Layout, Manifest, VerifyError, verify, verify_hash,
};

/// Bytes after which what was written is synced, when a loss of power must not cost more.
const SYNC_INTERVAL: u64 = 256 << 20;

/// Why a chunk was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The bytes are not the chunk: the sender's doing. Nothing was written.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The disk is full or failed. What is marked stays; the chunk has to come again.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a download was not ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// Chunks are missing.
    #[error("{missing} chunks are still missing")]
    Missing {
        /// How many.
        missing: u64,
    },
    /// Something has the final name already. It was left alone, and so was the download: finish
    /// under another name.
    #[error("{} exists already", path.display())]
    TargetExists {
        /// The name that is taken.
        path: PathBuf,
    },
    /// The disk is full or failed. The download is kept.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What a verified chunk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was missing.
    New,
    /// It was there already; nothing was written.
    Already,
}

/// A download on disk. Clones are the same one; several threads may write at a time.
#[derive(Clone, Debug)]
pub struct Partial {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: FileId,
    layout: Layout,
    durability: Durability,
    data: File,
    data_path: PathBuf,
    tree: TreeFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    marks: HaveFile,
    /// The chunk whose siblings were kept last: its neighbour shares most of them.
    last: Option<u64>,
    /// Bytes that were written since the last sync.
    unsynced: u64,
}

impl Partial {
    /// Joins what is on disk; hashes again what is in doubt.
    pub(super) fn open(
        marks: HaveFile,
        tree: TreeFile,
        durability: Durability,
    ) -> Result<Self, DiskError> {
        let header = marks.header.clone();
        let data = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&header.data)
            .map_err(DiskError::at(&header.data))?;
        let state = State {
            marks,
            last: None,
            unsynced: 0,
        };
        let partial = Self {
            inner: Arc::new(Inner {
                id: header.id,
                layout: header.layout,
                durability,
                data,
                data_path: header.data,
                tree,
                state: Mutex::new(state),
            }),
        };
        partial.settle_doubts()?;
        Ok(partial)
    }

    /// Hashes the chunks whose marks cannot be believed; those that verify stay.
    fn settle_doubts(&self) -> Result<(), DiskError> {
        let mut state = self.state();
        let mut right = ChunkSet::new(self.inner.layout.chunks());
        let mut bytes = Vec::new();
        for chunk in state.marks.doubtful.iter() {
            if self.read_chunk(chunk, &mut bytes)?.is_some() {
                right.insert(chunk);
            }
        }
        state.marks.settle(&right)
    }

    /// The file's id.
    pub fn id(&self) -> FileId {
        self.inner.id
    }

    /// The file's shape, as it was said to be when the download began; proven once the last chunk is
    /// here.
    pub fn layout(&self) -> Layout {
        self.inner.layout
    }

    /// Where the bytes are until the end.
    pub fn data_path(&self) -> &Path {
        &self.inner.data_path
    }

    /// The verified chunks.
    pub fn have(&self) -> ChunkSet {
        self.state().marks.have().clone()
    }

    /// Whether a chunk is verified.
    pub fn contains(&self, chunk: u64) -> bool {
        self.state().marks.have().contains(chunk)
    }

    /// Verifies a chunk and keeps it.
    ///
    /// # Errors
    ///
    /// [`WriteError`] says whether the sender or the disk is at fault.
    pub fn write(&self, chunk: u64, bytes: &[u8], proof: &Proof) -> Result<Written, WriteError> {
        let index = ChunkIndex::Data(chunk);
        let hash = verify(&self.inner.id, self.inner.layout, index, bytes, proof)?;
        Ok(self.keep(chunk, bytes, &hash, proof)?)
    }

    /// Verifies a chunk that was hashed by a [`ChunkHasher`](crate::ChunkHasher) as it arrived, and
    /// keeps it. `hash` must be of these bytes.
    ///
    /// # Errors
    ///
    /// [`WriteError`] says whether the sender or the disk is at fault.
    pub fn write_hashed(
        &self,
        chunk: u64,
        bytes: &[u8],
        hash: &ChunkHash,
        proof: &Proof,
    ) -> Result<Written, WriteError> {
        let index = ChunkIndex::Data(chunk);
        verify_hash(&self.inner.id, self.inner.layout, index, hash, proof)?;
        Ok(self.keep(chunk, bytes, hash, proof)?)
    }

    /// Verifies a chunk that came without siblings, as from a plain web server, by the hashes that
    /// [`learn`](Self::learn) or [`learn_list_piece`](Self::learn_list_piece) kept, and keeps it.
    ///
    /// # Errors
    ///
    /// [`WriteError`] says whether the sender or the disk is at fault;
    /// [`VerifyError::Mismatch`] also when the chunk's hash is not known.
    pub fn write_listed(&self, chunk: u64, bytes: &[u8]) -> Result<Written, WriteError> {
        let index = ChunkIndex::Data(chunk);
        if !self.inner.layout.contains(index) {
            return Err(VerifyError::NoSuchChunk.into());
        }
        let proof = self.inner.tree.proof(index)?;
        self.write(chunk, bytes, &proof)
    }

    /// Keeps the hashes of all chunks, so that each verifies without siblings.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Mismatch`] when it is the list of another file.
    pub fn learn(&self, manifest: &Manifest) -> Result<(), WriteError> {
        let (id, layout) = (self.inner.id, self.inner.layout);
        if manifest.id() != id || manifest.layout() != layout {
            return Err(VerifyError::Mismatch.into());
        }
        for piece in 0..layout.list_pieces() {
            let tree = manifest.tree();
            let bytes = tree.list_piece(piece).ok_or(VerifyError::NoSuchChunk)?;
            let proof = tree.proof(ChunkIndex::List(piece));
            let proof = proof.ok_or(VerifyError::NoSuchChunk)?;
            self.learn_list_piece(piece, &bytes, &proof)?;
        }
        Ok(())
    }

    /// Verifies a piece of the list of chunk hashes and keeps it.
    ///
    /// # Errors
    ///
    /// [`WriteError`] says whether the sender or the disk is at fault.
    pub fn learn_list_piece(
        &self,
        piece: u64,
        bytes: &[u8],
        proof: &Proof,
    ) -> Result<(), WriteError> {
        let (index, layout) = (ChunkIndex::List(piece), self.inner.layout);
        let hash = verify(&self.inner.id, layout, index, bytes, proof)?;
        self.inner.tree.write_list_piece(piece, bytes)?;
        self.keep_siblings(index, &hash, proof, None)?;
        Ok(())
    }

    /// Writes what was verified, then marks it.
    fn keep(
        &self,
        chunk: u64,
        bytes: &[u8],
        hash: &ChunkHash,
        proof: &Proof,
    ) -> Result<Written, DiskError> {
        if self.contains(chunk) {
            return Ok(Written::Already);
        }
        let inner = &self.inner;
        let offset = inner.layout.range(chunk).start;
        let written = inner.data.write_all_at(bytes, offset);
        written.map_err(DiskError::at(&inner.data_path))?;

        let last = self.state().last;
        self.keep_siblings(ChunkIndex::Data(chunk), hash, proof, last)?;

        let mut state = self.state();
        state.last = Some(chunk);
        state.marks.mark(chunk)?;
        state.unsynced += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let is_due = inner.durability == Durability::Power && state.unsynced >= SYNC_INTERVAL;
        if is_due {
            state.unsynced = 0;
        }
        drop(state);
        if is_due {
            self.sync()?;
        }
        Ok(Written::New)
    }

    /// Keeps a verified node and its siblings, but for those that lie on the path of `last`, too.
    fn keep_siblings(
        &self,
        index: ChunkIndex,
        hash: &ChunkHash,
        proof: &Proof,
        last: Option<u64>,
    ) -> Result<(), DiskError> {
        let tree = &self.inner.tree;
        let mut kept = tree.write(self.inner.layout.node(index), hash);
        let mut keep = |sibling: Node, value: &ChunkHash| {
            // The last chunk lay under the same node at this level: its sibling was this one, too.
            let is_known = last.is_some_and(|last| last >> sibling.level == sibling.index ^ 1);
            if kept.is_ok() && !is_known {
                kept = tree.write(sibling, value);
            }
        };
        proof.siblings(self.inner.layout, index, &mut keep);
        kept
    }

    /// A verified chunk with its siblings; `None` when it is not here, or no longer right.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the disk cannot be read.
    pub fn read(&self, chunk: u64, bytes: &mut Vec<u8>) -> Result<Option<Proof>, DiskError> {
        if !self.contains(chunk) {
            return Ok(None);
        }
        let proof = self.read_chunk(chunk, bytes)?;
        if proof.is_none() {
            // Somebody else wrote to the file: the chunk has to come again.
            self.state().marks.unmark(chunk)?;
        }
        Ok(proof)
    }

    /// Reads and verifies, whatever the marks say.
    fn read_chunk(&self, chunk: u64, bytes: &mut Vec<u8>) -> Result<Option<Proof>, DiskError> {
        let (inner, index) = (&self.inner, ChunkIndex::Data(chunk));
        let length = inner.layout.length(index);
        bytes.resize(usize::try_from(length).unwrap_or(0), 0);
        match inner
            .data
            .read_exact_at(bytes, inner.layout.range(chunk).start)
        {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(DiskError::at(&inner.data_path))?,
        }
        let proof = inner.tree.proof(index)?;
        let verified = verify(&inner.id, inner.layout, index, bytes, &proof);
        Ok(verified.is_ok().then_some(proof))
    }

    /// Makes what is verified outlive a loss of power.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the disk is full or failed.
    pub fn sync(&self) -> Result<(), DiskError> {
        let inner = &self.inner;
        // What is marked from here on may not be synced with the rest.
        let have = self.have();
        inner.tree.sync()?;
        let synced = inner.data.sync_data();
        synced.map_err(DiskError::at(&inner.data_path))?;
        self.state().marks.mark_synced(&have)
    }

    /// Gives the file its final name, once all of it is verified; the metadata of what now has it.
    pub(super) fn place(&self, target: &Path) -> Result<fs::Metadata, FinishError> {
        let inner = &self.inner;
        let missing = inner.layout.chunks() - self.state().marks.have().len();
        if missing > 0 {
            return Err(FinishError::Missing { missing });
        }
        let at = DiskError::at;
        let data = &inner.data;
        data.set_len(inner.layout.size())
            .map_err(at(&inner.data_path))?;
        if inner.durability == Durability::Power {
            inner.tree.sync()?;
            data.sync_all().map_err(at(&inner.data_path))?;
        }
        match fs::hard_link(&inner.data_path, target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.is_placed(target)?,
            Err(_) => self.move_over(target)?,
        }
        let folder = target.parent().unwrap_or(Path::new("."));
        disk::sync_folder(folder, inner.durability)?;
        Ok(fs::symlink_metadata(target).map_err(at(target))?)
    }

    /// Whether the name was given before a crash kept this from being noted.
    fn is_placed(&self, target: &Path) -> Result<(), FinishError> {
        let path = &self.inner.data_path;
        let own = self.inner.data.metadata().map_err(DiskError::at(path))?;
        let there = fs::symlink_metadata(target).map_err(DiskError::at(target))?;
        if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
            return Ok(());
        }
        let path = target.to_owned();
        Err(FinishError::TargetExists { path })
    }

    /// For a target on another disk, or on one that has no links.
    fn move_over(&self, target: &Path) -> Result<(), FinishError> {
        let at = DiskError::at;
        let folder = target.parent().unwrap_or(Path::new("."));
        let new = disk::temporary(folder);
        let copy = || {
            fs::copy(&self.inner.data_path, &new)?;
            if self.inner.durability == Durability::Power {
                File::open(&new)?.sync_all()?;
            }
            match fs::hard_link(&new, target) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    // Without links the name is looked at first; another process could take it in
                    // between.
                    if fs::symlink_metadata(target).is_ok() {
                        return Err(io::ErrorKind::AlreadyExists.into());
                    }
                    fs::rename(&new, target)
                }
                linked => linked,
            }
        };
        let copied = copy();
        disk::remove(&new)?;
        match copied {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = target.to_owned();
                Err(FinishError::TargetExists { path })
            }
            copied => Ok(copied.map_err(at(target))?),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The marks on disk are whole at every moment, whoever panicked beside them.
        let state = &self.inner.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
