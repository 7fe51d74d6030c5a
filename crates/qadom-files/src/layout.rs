//! How a file of a given size is cut: chunks, the pieces of the list of their hashes, and the shape
//! of the BLAKE3 tree above them.
//!
//! What must stay true: a layout is only its size. Nothing here allocates, so a claim of a petabyte
//! costs eight bytes.

use std::ops::Range;

use crate::FileId;

/// Bytes of every chunk but the last, which may be shorter: one aligned BLAKE3 subtree.
pub const CHUNK_SIZE: u32 = 256 * 1024;

/// The largest file: the one whose chunks' proofs still have [`PROOF_HASHES_MAX`] hashes. 4 PiB.
pub const FILE_SIZE_MAX: u64 = (CHUNK_SIZE as u64) << PROOF_HASHES_MAX;

/// The most sibling hashes that lead from a chunk to the id of its file.
pub const PROOF_HASHES_MAX: u8 = 34;

/// Chunk hashes in every piece of the list but the last; a full piece has the bytes of a chunk.
pub const LIST_PIECE_HASHES: u64 = 1 << LIST_PIECE_LEVEL;

/// The level of the tree at which a full list piece stands.
const LIST_PIECE_LEVEL: u8 = 13;

/// Context of a chunk's address.
const ADDRESS_CONTEXT: &str = "qadom 1 chunk";

/// A size above [`FILE_SIZE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file has at most {FILE_SIZE_MAX} bytes, this one is said to have {size}")]
pub struct FileTooLarge {
    /// The refused size in bytes.
    pub size: u64,
}

/// Which part of a file's stored form: a chunk of its bytes, or a piece of the list of its chunks'
/// hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkIndex {
    /// The chunk that begins at this multiple of [`CHUNK_SIZE`].
    Data(u64),
    /// The piece of the list that begins at this multiple of [`LIST_PIECE_HASHES`].
    List(u64),
}

impl ChunkIndex {
    /// The number that stands for it on the wire and in addresses: a chunk's own, counted from
    /// zero, a list piece's counted down from 2^64 - 1.
    pub const fn wire(self) -> u64 {
        match self {
            Self::Data(index) => index,
            Self::List(piece) => u64::MAX - piece,
        }
    }
}

/// The key near which a chunk or list piece of a file is kept by others.
///
/// ```
/// use qadom_files::{ChunkIndex, FileId, chunk_address};
///
/// let id = FileId::of(b"hello");
/// assert_ne!(
///     chunk_address(&id, ChunkIndex::Data(0)),
///     chunk_address(&id, ChunkIndex::List(0)),
/// );
/// ```
pub fn chunk_address(id: &FileId, index: ChunkIndex) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(ADDRESS_CONTEXT);
    hasher.update(id.as_bytes());
    hasher.update(&index.wire().to_be_bytes());
    *hasher.finalize().as_bytes()
}

/// The shape of a file of some size.
///
/// ```
/// use qadom_files::{CHUNK_SIZE, ChunkIndex, Layout};
///
/// let layout = Layout::new(u64::from(CHUNK_SIZE) + 1)?;
/// assert_eq!(layout.chunks(), 2);
/// assert_eq!(layout.length(ChunkIndex::Data(1)), 1);
/// assert_eq!(layout.proof_hashes(ChunkIndex::Data(1)), 1);
/// # Ok::<(), qadom_files::FileTooLarge>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    size: u64,
}

impl Layout {
    /// The shape of an empty file.
    pub const EMPTY: Self = Self { size: 0 };

    /// The shape of a file of `size` bytes.
    ///
    /// # Errors
    ///
    /// [`FileTooLarge`] above [`FILE_SIZE_MAX`].
    pub const fn new(size: u64) -> Result<Self, FileTooLarge> {
        if size > FILE_SIZE_MAX {
            return Err(FileTooLarge { size });
        }
        Ok(Self { size })
    }

    /// The bytes of the file.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The number of chunks, at least one: an empty file is one chunk without bytes.
    pub const fn chunks(self) -> u64 {
        match self.size.div_ceil(CHUNK_SIZE as u64) {
            0 => 1,
            chunks => chunks,
        }
    }

    /// The number of the last chunk, whose proof shows that the size is true.
    pub const fn last(self) -> u64 {
        self.chunks() - 1
    }

    /// The number of pieces in which the list of chunk hashes is kept, at least one.
    pub const fn list_pieces(self) -> u64 {
        self.chunks().div_ceil(LIST_PIECE_HASHES)
    }

    /// The chunk or list piece behind a number from the wire; `None` when this file has none such.
    pub const fn index(self, wire: u64) -> Option<ChunkIndex> {
        if wire < self.chunks() {
            Some(ChunkIndex::Data(wire))
        } else if u64::MAX - wire < self.list_pieces() {
            Some(ChunkIndex::List(u64::MAX - wire))
        } else {
            None
        }
    }

    /// Whether this file has that chunk or list piece.
    pub const fn contains(self, index: ChunkIndex) -> bool {
        match index {
            ChunkIndex::Data(chunk) => chunk < self.chunks(),
            ChunkIndex::List(piece) => piece < self.list_pieces(),
        }
    }

    /// The bytes of a chunk or list piece; zero for one that the file does not have.
    pub fn length(self, index: ChunkIndex) -> u32 {
        let length = match index {
            ChunkIndex::Data(chunk) => {
                let range = self.range(chunk);
                range.end - range.start
            }
            ChunkIndex::List(piece) => {
                let hashes = self.list_range(piece);
                32 * (hashes.end - hashes.start)
            }
        };
        u32::try_from(length).unwrap_or(CHUNK_SIZE)
    }

    /// Where a chunk's bytes lie in the file; empty and at its end for one that it does not have.
    pub fn range(self, chunk: u64) -> Range<u64> {
        let size = u64::from(CHUNK_SIZE);
        let start = chunk.saturating_mul(size).min(self.size);
        start..start.saturating_add(size).min(self.size)
    }

    /// Which chunks' hashes a piece of the list has; empty for one that the file does not have.
    pub fn list_range(self, piece: u64) -> Range<u64> {
        let start = piece.saturating_mul(LIST_PIECE_HASHES).min(self.chunks());
        start..(start + LIST_PIECE_HASHES).min(self.chunks())
    }

    /// The chunk that has the byte at `offset`; the last one behind the end.
    pub fn chunk_at(self, offset: u64) -> u64 {
        (offset / u64::from(CHUNK_SIZE)).min(self.last())
    }

    /// The chunks that have the bytes of a range; none for an empty range.
    pub fn chunks_of(self, bytes: Range<u64>) -> Range<u64> {
        let end = bytes.end.min(self.size);
        if bytes.start >= end {
            return 0..0;
        }
        self.chunk_at(bytes.start)..self.chunk_at(end - 1) + 1
    }

    /// The number of sibling hashes in the proof of a chunk or list piece.
    pub fn proof_hashes(self, index: ChunkIndex) -> usize {
        self.path(index)
            .filter(|step| step.sibling.is_some())
            .count()
    }

    /// Whether a chunk or list piece lies at the same place of the tree in a file of the other size:
    /// then the bytes and siblings that verify under one size verify under the other.
    pub(crate) fn agrees(self, other: Self, index: ChunkIndex) -> bool {
        self.contains(index)
            && other.contains(index)
            && self.length(index) == other.length(index)
            && self.node(index) == other.node(index)
            && self.path(index).eq(other.path(index))
    }

    /// The level at which the tree has a single node; the chunks are level 0.
    pub(crate) const fn height(self) -> u8 {
        let levels = u64::BITS - self.last().leading_zeros();
        #[expect(clippy::cast_possible_truncation, reason = "at most 64 levels")]
        let height = levels as u8;
        height
    }

    /// The number of nodes of a level.
    pub(crate) const fn width(self, level: u8) -> u64 {
        self.chunks().div_ceil(1 << level)
    }

    /// The lowest node that is the same subtree: one without a right child is its left child.
    pub(crate) fn resolve(self, mut node: Node) -> Node {
        while let Some(level) = node.level.checked_sub(1)
            && 2 * node.index + 1 >= self.width(level)
        {
            node = Node {
                level,
                index: 2 * node.index,
            };
        }
        node
    }

    /// The node whose value a chunk or list piece has.
    pub(crate) fn node(self, index: ChunkIndex) -> Node {
        match index {
            ChunkIndex::Data(index) => Node { level: 0, index },
            ChunkIndex::List(index) => Node {
                level: LIST_PIECE_LEVEL.min(self.height()),
                index,
            },
        }
    }

    /// The steps from a chunk or list piece up to the root.
    pub(crate) fn path(self, index: ChunkIndex) -> impl Iterator<Item = Step> + use<> {
        let layout = self;
        let Node { level, index } = self.node(index);
        (level..self.height()).map(move |below| {
            let at = index >> (below - level);
            let sibling = (at ^ 1 < layout.width(below)).then_some(Node {
                level: below,
                index: at ^ 1,
            });
            Step {
                sibling,
                is_left: at & 1 == 0,
                is_root: below + 1 == layout.height(),
            }
        })
    }
}

/// A node of the tree: the subtree of chunks `index << level` and on, `1 << level` of them or as many
/// as the file has.
///
/// A node without a right child is the same subtree as its left child and has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    /// The height above the chunks.
    pub(crate) level: u8,
    /// Its number within the level.
    pub(crate) index: u64,
}

/// One step from a node to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The other child; `None` where the node stands alone and rises unchanged.
    pub(crate) sibling: Option<Node>,
    /// Whether the node is the left child.
    pub(crate) is_left: bool,
    /// Whether the parent is the root.
    pub(crate) is_root: bool,
}
