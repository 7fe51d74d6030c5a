//! Reads what is here for those who ask: chunks with their proofs, ranges, lists of hashes.
//!
//! What must stay true: every byte that leaves was verified in the same call. A file that is not what
//! it was is served no more.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Folder;
use super::disk::DiskError;
use super::entry::Stamp;
use super::tree_file::TreeFile;
use crate::proof::Proof;
use crate::{
    CHUNK_SIZE, ChunkIndex, FileId, Layout, MANIFEST_CHUNKS_MAX, Manifest, chunk_hash, verify_hash,
};

/// Whole files that are kept open to be served.
const OPEN_FILES_MAX: usize = 64;

/// Why a chunk is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not here.
    #[error("the chunk is not here")]
    NotFound,
    /// The file in place is no longer what was hashed. It is not served any more; add it again.
    #[error("the file was changed since it was added")]
    Changed,
    /// The disk, or whoever is written to, failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A whole file that is being served.
#[derive(Debug)]
pub(super) struct OpenFile {
    data: File,
    tree: TreeFile,
    path: PathBuf,
    stamp: Stamp,
    layout: Layout,
}

impl Folder {
    /// Reads a chunk or list piece, by its number on the wire, and verifies it; gives its siblings.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it is not here, or not what it was.
    pub fn read(&self, id: &FileId, wire: u64, bytes: &mut Vec<u8>) -> Result<Proof, ReadError> {
        let whole = self.read_whole(id, wire, bytes);
        let Err(error @ (ReadError::NotFound | ReadError::Changed)) = whole else {
            return whole;
        };
        if let Some(partial) = self.partial(id)
            && let Some(proof) = partial.read(wire, bytes)?
        {
            return Ok(proof);
        }
        self.held.read(id, wire, bytes)?.ok_or(error)
    }

    fn read_whole(&self, id: &FileId, wire: u64, bytes: &mut Vec<u8>) -> Result<Proof, ReadError> {
        let open = self.open_whole(id)?;
        let index = open.layout.index(wire).ok_or(ReadError::NotFound)?;
        let at = DiskError::at(&open.path);
        let stamp = open.data.metadata().map(|metadata| Stamp::of(&metadata));
        let stamp = stamp.map_err(DiskError::at(&open.path))?;
        if stamp == open.stamp {
            let read = read_whole(&open.data, &open.tree, (id, open.layout, index), bytes);
            if let Some(proof) = read.map_err(at)? {
                return Ok(proof);
            }
        }
        let mut held = self.index();
        held.changed.insert(*id);
        held.open.retain(|(open, _)| open != id);
        Err(ReadError::Changed)
    }

    /// Opens a whole file, or finds it open.
    fn open_whole(&self, id: &FileId) -> Result<Arc<OpenFile>, ReadError> {
        let mut index = self.index();
        if index.changed.contains(id) {
            return Err(ReadError::Changed);
        }
        if let Some((_, open)) = index.open.iter().find(|(open, _)| open == id) {
            return Ok(Arc::clone(open));
        }
        let kept = index.whole.get(id).ok_or(ReadError::NotFound)?;
        let (path, stamp) = (self.data_path(&kept.entry), kept.stamp);
        let data = File::open(&path).map_err(DiskError::at(&path));
        let data = data.map_err(|error| {
            if error.is_missing() {
                ReadError::Changed
            } else {
                error.into()
            }
        })?;
        let layout = Layout::new(stamp.size()).map_err(|_| ReadError::Changed)?;
        let tree = TreeFile::open(&self.path("trees", id), *id, layout)?;
        let open = Arc::new(OpenFile {
            data,
            tree: tree.ok_or(ReadError::Changed)?,
            path,
            stamp,
            layout,
        });
        if index.open.len() >= OPEN_FILES_MAX {
            index.open.pop_front();
        }
        index.open.push_back((*id, Arc::clone(&open)));
        Ok(open)
    }

    /// Writes the bytes of a range of the file, each verified before it is written.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when a chunk of it is not here, or when `writer` fails.
    pub fn read_range(
        &self,
        id: &FileId,
        range: Range<u64>,
        writer: &mut impl Write,
    ) -> Result<(), ReadError> {
        let layout = self.holdings(id).ok_or(ReadError::NotFound)?.layout;
        let mut bytes = Vec::with_capacity(CHUNK_SIZE as usize);
        for chunk in layout.chunks_of(range.clone()) {
            self.read(id, ChunkIndex::Data(chunk).wire(), &mut bytes)?;
            let at = layout.range(chunk);
            let skip = range.start.saturating_sub(at.start);
            let end = range.end.min(at.end).saturating_sub(at.start);
            let wanted = usize::try_from(skip).ok().zip(usize::try_from(end).ok());
            let part = wanted.and_then(|(skip, end)| bytes.get(skip..end));
            let written = writer.write_all(part.unwrap_or_default());
            written.map_err(DiskError::at(Path::new("the reader")))?;
        }
        Ok(())
    }

    /// The hashes of all chunks of a whole file.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`] when the file is not whole, or has more than
    /// [`MANIFEST_CHUNKS_MAX`] chunks; [`ReadError::Changed`] when the hashes on disk are damaged.
    pub fn manifest(&self, id: &FileId) -> Result<Manifest, ReadError> {
        let open = self.open_whole(id)?;
        if open.layout.chunks() > MANIFEST_CHUNKS_MAX {
            return Err(ReadError::NotFound);
        }
        let (mut hashes, mut bytes) = (Vec::new(), Vec::new());
        for piece in 0..open.layout.list_pieces() {
            open.tree.list_piece(piece, &mut bytes)?;
            hashes.extend_from_slice(&bytes);
        }
        let manifest = Manifest::from_list_pieces(id, open.layout, [&hashes[..]]);
        manifest.ok_or(ReadError::Changed)
    }
}

/// Reads a chunk or list piece of a whole file and verifies it.
fn read_whole(
    data: &File,
    tree: &TreeFile,
    place: (&FileId, Layout, ChunkIndex),
    bytes: &mut Vec<u8>,
) -> io::Result<Option<Proof>> {
    let (id, layout, index) = place;
    let other = |error: DiskError| io::Error::other(error);
    match index {
        ChunkIndex::Data(chunk) => {
            bytes.resize(layout.length(index).min(CHUNK_SIZE) as usize, 0);
            match data.read_exact_at(bytes, layout.range(chunk).start) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
        }
        ChunkIndex::List(piece) => tree.list_piece(piece, bytes).map_err(other)?,
    }
    let proof = tree.proof(index).map_err(other)?;
    let Ok(hash) = chunk_hash(layout, index, bytes) else {
        return Ok(None);
    };
    let is_right = verify_hash(id, layout, index, &hash, &proof).is_ok();
    Ok(is_right.then_some(proof))
}
