//! Where the verified chunks of a download are kept.
//!
//! What must stay true: what somebody fetches for himself goes into a file of his own; what is only
//! read through this node keeps to the room for chunks of others, gives way like them, and is
//! announced by nobody.

use qadom_files::{
    ChunkSet, DiskError, FileId, Folder, HoldError, Layout, Partial, Proof, ReadError, WriteError,
};

use super::error::FileError;

/// How long what passes through is kept after it came, in seconds.
const PASSING_SECONDS: u64 = 3600;

/// Where the verified chunks of a download are kept.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a file that gets its name when it is whole.
    Own(Partial),
    /// Among the chunks of others, for whoever reads them now.
    Passing {
        /// The file.
        file: FileId,
        /// Its proven shape.
        layout: Layout,
    },
}

/// Why a chunk is not kept.
#[derive(Debug)]
pub(super) enum NotKept {
    /// The bytes are not the chunk: the sender's doing.
    Wrong,
    /// The disk, or the room on it.
    Disk(FileError),
}

impl Place {
    /// Which chunks are there.
    pub(super) fn have(&self, folder: &Folder) -> ChunkSet {
        match self {
            Self::Own(partial) => partial.have(),
            Self::Passing { file, layout } => {
                let mut have = ChunkSet::new(layout.chunks());
                let Some(holdings) = folder.holdings(file) else {
                    return have;
                };
                if holdings.layout == *layout {
                    return holdings.chunks;
                }
                // Chunks that were pushed under a false size are the file's all the same.
                let chunks = holdings.chunks.iter();
                for chunk in chunks.take_while(|chunk| *chunk < layout.last()) {
                    have.insert(chunk);
                }
                have
            }
        }
    }

    /// Whether a chunk is there.
    pub(super) fn contains(&self, folder: &Folder, chunk: u64) -> bool {
        match self {
            Self::Own(partial) => partial.contains(chunk),
            Self::Passing { .. } => self.have(folder).contains(chunk),
        }
    }

    /// Verifies a chunk and keeps it; `now` in seconds of UTC.
    pub(super) fn write(
        &self,
        folder: &Folder,
        now: u64,
        chunk: u64,
        (bytes, proof): (&[u8], &Proof),
    ) -> Result<(), NotKept> {
        match self {
            Self::Own(partial) => match partial.write(chunk, bytes, proof) {
                Ok(_) => Ok(()),
                Err(WriteError::Verify(_)) => Err(NotKept::Wrong),
                Err(error) => {
                    let error = FileError::of_write(partial.data_path(), &error);
                    Err(NotKept::Disk(error))
                }
            },
            Self::Passing { file, layout } => {
                let expiry = now + PASSING_SECONDS;
                let passed = folder.held();
                let passed = passed.pass((file, *layout, chunk), expiry, bytes, proof);
                passed.map_err(|error| match error {
                    HoldError::Verify(_) => NotKept::Wrong,
                    HoldError::Disk(error) => NotKept::Disk(FileError::of_disk(&error)),
                    _ => NotKept::Disk(FileError::NoRoom),
                })
            }
        }
    }

    /// Reads a chunk, verified; whether it is there.
    pub(super) fn read(
        &self,
        folder: &Folder,
        chunk: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, DiskError> {
        match self {
            Self::Own(partial) => Ok(partial.read(chunk, bytes)?.is_some()),
            Self::Passing { file, .. } => match folder.read(file, chunk, bytes) {
                Ok(_) => Ok(true),
                Err(ReadError::Disk(error)) => Err(error),
                Err(_) => Ok(false),
            },
        }
    }
}

/// The shape of a file of which the last chunk is here, which proves it.
pub(super) fn proven(folder: &Folder, file: &FileId) -> Option<Layout> {
    if let Some(partial) = folder.partial(file)
        && partial.contains(partial.layout().last())
    {
        return Some(partial.layout());
    }
    let (layout, chunks, _) = folder.held().of(file)?;
    chunks.contains(layout.last()).then_some(layout)
}
