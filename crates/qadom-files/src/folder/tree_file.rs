//! The hashes of a file's chunks and of the nodes above them, on disk.
//!
//! What must stay true: nothing read here is believed: whoever proves a chunk climbs to the id, so a
//! torn or damaged tree proves nothing false. The file is sparse; what is unknown is zero.
//!
//! Format 1: 64 bytes (`qadom tree 1\n` and zeros to 16, id 32, size u64 little-endian, zeros), then
//! the levels of the tree from the chunks up, 32 bytes a node, each level as wide as the file's
//! layout says. A node that stands alone rises and is found at its lowest level.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::DiskError;
use crate::layout::Node;
use crate::proof::Proof;
use crate::tree::join;
use crate::{ChunkHash, ChunkIndex, FileId, Layout};

/// Opens every tree file.
const MAGIC: &[u8; 16] = b"qadom tree 1\n\0\0\0";

/// Bytes in front of the first level.
const HEADER: usize = 64;

/// Bytes of a hash.
const HASH: usize = 32;

/// The tree of one file. The tree of a file with a single chunk is its id and has no file.
#[derive(Debug)]
pub(super) struct TreeFile {
    id: FileId,
    layout: Layout,
    path: PathBuf,
    file: Option<File>,
}

impl TreeFile {
    /// Makes a tree of which nothing is known yet. What was at `path` is replaced.
    pub(super) fn create(path: &Path, id: FileId, layout: Layout) -> Result<Self, DiskError> {
        let mut tree = Self {
            id,
            layout,
            path: path.to_owned(),
            file: None,
        };
        if layout.chunks() > 1 {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .map_err(DiskError::at(path))?;
            tree.file = Some(file);
            tree.name(id)?;
        }
        Ok(tree)
    }

    /// Opens what an earlier process wrote. `None` when that is the tree of another file, or none.
    pub(super) fn open(path: &Path, id: FileId, layout: Layout) -> Result<Option<Self>, DiskError> {
        let mut file = None;
        if layout.chunks() > 1 {
            let opened = File::options().read(true).write(true).open(path);
            let opened = opened.map_err(DiskError::at(path))?;
            let mut header = [0; HEADER];
            match opened.read_exact_at(&mut header, 0) {
                Ok(()) if header == Self::header(id, layout) => file = Some(opened),
                Ok(()) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(DiskError::at(path)(error)),
            }
        }
        Ok(Some(Self {
            id,
            layout,
            path: path.to_owned(),
            file,
        }))
    }

    /// Says whose tree it is, once that is known.
    pub(super) fn name(&mut self, id: FileId) -> Result<(), DiskError> {
        self.id = id;
        if let Some(file) = &self.file {
            let header = Self::header(id, self.layout);
            let named = file.write_all_at(&header, 0);
            named.map_err(DiskError::at(&self.path))?;
        }
        Ok(())
    }

    fn header(id: FileId, layout: Layout) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let fields = MAGIC
            .iter()
            .chain(id.as_bytes())
            .copied()
            .chain(layout.size().to_le_bytes());
        for (slot, byte) in header.iter_mut().zip(fields) {
            *slot = byte;
        }
        header
    }

    /// Where a node lies.
    fn offset(&self, node: Node) -> u64 {
        let node = self.layout.resolve(node);
        let below: u64 = (0..node.level).map(|level| self.layout.width(level)).sum();
        offset(below + node.index)
    }

    /// Keeps the value of a node.
    pub(super) fn write(&self, node: Node, hash: &ChunkHash) -> Result<(), DiskError> {
        if let Some(file) = &self.file {
            let written = file.write_all_at(hash.as_bytes(), self.offset(node));
            written.map_err(DiskError::at(&self.path))?;
        }
        Ok(())
    }

    /// The kept value of a node, zeros when none is.
    pub(super) fn read(&self, node: Node) -> Result<ChunkHash, DiskError> {
        let mut hash = [0; HASH];
        match &self.file {
            None => hash = *self.id.as_bytes(),
            Some(file) => match file.read_exact_at(&mut hash, self.offset(node)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => hash.fill(0),
                read => read.map_err(DiskError::at(&self.path))?,
            },
        }
        Ok(ChunkHash::from_bytes(hash))
    }

    /// The kept siblings of a chunk or list piece.
    pub(super) fn proof(&self, index: ChunkIndex) -> Result<Proof, DiskError> {
        Proof::collect(self.layout, index, |node| self.read(node))
    }

    /// The kept hashes of a piece of the list, as they travel.
    pub(super) fn list_piece(&self, piece: u64, bytes: &mut Vec<u8>) -> Result<(), DiskError> {
        let hashes = self.layout.list_range(piece);
        bytes.clear();
        match &self.file {
            None => bytes.extend_from_slice(self.id.as_bytes()),
            Some(file) => {
                let count = usize::try_from(hashes.end - hashes.start).unwrap_or(0);
                bytes.resize(HASH * count, 0);
                match file.read_exact_at(bytes, offset(hashes.start)) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => bytes.fill(0),
                    read => read.map_err(DiskError::at(&self.path))?,
                }
            }
        }
        Ok(())
    }

    /// Keeps the hashes of a verified piece of the list and all nodes between them and its root.
    pub(super) fn write_list_piece(&self, piece: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let (hashes, _) = bytes.as_chunks::<32>();
        let mut values: Vec<ChunkHash> =
            hashes.iter().copied().map(ChunkHash::from_bytes).collect();
        let mut first = self.layout.list_range(piece).start;
        let mut level = 0;
        loop {
            if let Some(file) = &self.file {
                // Nodes that stand alone have no place on this level: all but the last never do.
                let places = self.layout.width(level).saturating_sub(first);
                let stored = values.len().min(usize::try_from(places).unwrap_or(0));
                let bytes: Vec<u8> = values
                    .iter()
                    .take(stored)
                    .flat_map(|hash| *hash.as_bytes())
                    .collect();
                let below: u64 = (0..level).map(|level| self.layout.width(level)).sum();
                let written = file.write_all_at(&bytes, offset(below + first));
                written.map_err(DiskError::at(&self.path))?;
            }
            if values.len() < 2 {
                return Ok(());
            }
            // The topmost join may be the root's; its value is the id and is never asked for.
            values = values
                .chunks(2)
                .filter_map(|pair| match pair {
                    [left, right] => Some(join(left, right, false)),
                    alone => alone.first().copied(),
                })
                .collect();
            first >>= 1;
            level += 1;
        }
    }

    /// Makes all of it outlive a loss of power.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        if let Some(file) = &self.file {
            file.sync_data().map_err(DiskError::at(&self.path))?;
        }
        Ok(())
    }
}

/// Where the hash with that number begins.
const fn offset(number: u64) -> u64 {
    HEADER as u64 + HASH as u64 * number
}
