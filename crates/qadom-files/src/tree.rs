//! The BLAKE3 tree above the chunks: hashing one chunk at its place, joining values, and the tree of
//! a whole file, from a reader or in memory.
//!
//! What must stay true: the root is what `blake3::hash` says of the same bytes. Hashing a reader
//! holds one chunk and one value a level, whatever the size. Nothing here reads a disk.

use std::io::{self, Read};

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::layout::Node;
use crate::proof::Proof;
use crate::{CHUNK_SIZE, ChunkHash, ChunkIndex, FileId, FileTooLarge, Layout};

/// Joins the values of two neighbouring subtrees.
pub(crate) fn join(left: &ChunkHash, right: &ChunkHash, is_root: bool) -> ChunkHash {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    ChunkHash::from_bytes(if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    })
}

/// The value of the subtree above neighbouring chunks; `None` without any.
pub(crate) fn join_all(mut values: Vec<ChunkHash>, is_root: bool) -> Option<ChunkHash> {
    while values.len() > 1 {
        let last = is_root && values.len() == 2;
        values = values
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(join(left, right, last)),
                alone => alone.first().copied(),
            })
            .collect();
    }
    values.pop()
}

/// Fewer or more bytes than a chunk or list piece has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} bytes are due, not {length}")]
pub struct WrongLength {
    /// The bytes that the chunk or list piece has.
    pub expected: u32,
    /// The bytes that came.
    pub length: u64,
}

/// Hashes a chunk or list piece while its bytes arrive.
///
/// Feed it gathered pieces of at least 16 KiB: BLAKE3 works on sixteen kilobytes at a time, and
/// packet-sized pieces cost five times as much.
///
/// ```
/// use qadom_files::{ChunkHasher, ChunkIndex, FileId, Layout};
///
/// let layout = Layout::new(5)?;
/// let mut hasher = ChunkHasher::new(layout, ChunkIndex::Data(0));
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// let hash = hasher.finish()?;
/// // The only chunk of a file has its id.
/// assert_eq!(hash.as_bytes(), FileId::of(b"hello").as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ChunkHasher {
    expected: u32,
    length: u64,
    is_root: bool,
    state: State,
}

/// What a hasher is fed.
#[derive(Debug)]
enum State {
    /// Bytes of the file.
    Data(Box<blake3::Hasher>),
    /// Values of chunks; at most those of one list piece are kept.
    List(Vec<u8>),
}

impl ChunkHasher {
    /// Begins with the first byte of a chunk or list piece of a file of that shape.
    pub fn new(layout: Layout, index: ChunkIndex) -> Self {
        let state = match index {
            ChunkIndex::Data(chunk) => {
                let mut hasher = Box::new(blake3::Hasher::new());
                hasher.set_input_offset(chunk.min(layout.last()) * u64::from(CHUNK_SIZE));
                State::Data(hasher)
            }
            ChunkIndex::List(_) => State::List(Vec::new()),
        };
        Self {
            expected: layout.length(index),
            length: 0,
            is_root: layout.node(index).level == layout.height(),
            state,
        }
    }

    /// Takes the next bytes. Bytes beyond the chunk's end are counted and not hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
        if self.length <= u64::from(self.expected) {
            match &mut self.state {
                State::Data(hasher) => {
                    hasher.update(bytes);
                }
                State::List(hashes) => hashes.extend_from_slice(bytes),
            }
        }
    }

    /// The value of what came.
    ///
    /// # Errors
    ///
    /// [`WrongLength`] when that was less or more than the chunk has.
    pub fn finish(self) -> Result<ChunkHash, WrongLength> {
        let wrong = WrongLength {
            expected: self.expected,
            length: self.length,
        };
        if self.length != u64::from(self.expected) {
            return Err(wrong);
        }
        match self.state {
            State::Data(hasher) if self.is_root => {
                Ok(ChunkHash::from_bytes(*hasher.finalize().as_bytes()))
            }
            // A chunk that is not the only one has a byte at least.
            State::Data(_) if self.length == 0 => Err(wrong),
            State::Data(hasher) => Ok(ChunkHash::from_bytes(hasher.finalize_non_root())),
            State::List(bytes) => join_all(hashes_of(&bytes).collect(), self.is_root).ok_or(wrong),
        }
    }
}

/// The values in a list piece.
fn hashes_of(bytes: &[u8]) -> impl Iterator<Item = ChunkHash> + '_ {
    let (hashes, _) = bytes.as_chunks::<32>();
    hashes.iter().copied().map(ChunkHash::from_bytes)
}

/// The value of a chunk or list piece whose bytes are all here.
///
/// # Errors
///
/// [`WrongLength`] when `bytes` are fewer or more than the chunk has.
pub fn chunk_hash(
    layout: Layout,
    index: ChunkIndex,
    bytes: &[u8],
) -> Result<ChunkHash, WrongLength> {
    let mut hasher = ChunkHasher::new(layout, index);
    hasher.update(bytes);
    hasher.finish()
}

/// Joins values from left to right, each as late as it can be, so that the last join is the root's
/// without the size being known before.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// The complete subtrees to the left, larger ones first, with their nodes.
    pending: Vec<(Node, ChunkHash)>,
    chunks: u64,
}

impl Builder {
    /// Takes the value of the next chunk and tells `sink` every node that is final with it.
    pub(crate) fn push<E>(
        &mut self,
        leaf: ChunkHash,
        sink: &mut impl FnMut(Node, ChunkHash) -> Result<(), E>,
    ) -> Result<(), E> {
        while let [.., (left, left_hash), (right, right_hash)] = self.pending.as_slice()
            && left.level == right.level
        {
            let (node, hash) = (parent(*left), join(left_hash, right_hash, false));
            self.pending.truncate(self.pending.len() - 2);
            self.pending.push((node, hash));
            sink(node, hash)?;
        }
        let node = Node {
            level: 0,
            index: self.chunks,
        };
        self.chunks += 1;
        self.pending.push((node, leaf));
        sink(node, leaf)
    }

    /// Joins what is left; the value of the whole, `None` when nothing was pushed.
    pub(crate) fn finish<E>(
        mut self,
        sink: &mut impl FnMut(Node, ChunkHash) -> Result<(), E>,
    ) -> Result<Option<ChunkHash>, E> {
        while let [.., (left, left_hash), (_, right_hash)] = self.pending.as_slice() {
            let is_root = self.pending.len() == 2;
            let (node, hash) = (parent(*left), join(left_hash, right_hash, is_root));
            self.pending.truncate(self.pending.len() - 2);
            self.pending.push((node, hash));
            sink(node, hash)?;
        }
        Ok(self.pending.pop().map(|(_, hash)| hash))
    }
}

/// The node above a left child.
fn parent(left: Node) -> Node {
    Node {
        level: left.level + 1,
        index: left.index >> 1,
    }
}

/// What a reader turned out to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The id of the content.
    pub id: FileId,
    /// Its shape.
    pub layout: Layout,
}

/// Hashes all that a reader gives, in one chunk of memory.
///
/// # Errors
///
/// What the reader says; [`io::ErrorKind::FileTooLarge`] with [`FileTooLarge`] inside above
/// [`FILE_SIZE_MAX`](crate::FILE_SIZE_MAX).
///
/// ```
/// use qadom_files::{FileId, hash_reader};
///
/// let hashed = hash_reader(&b"hello"[..])?;
/// assert_eq!(hashed.id, FileId::of(b"hello"));
/// assert_eq!(hashed.layout.size(), 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn hash_reader(reader: impl Read) -> io::Result<Hashed> {
    hash_into(reader, &mut |_, _| Ok(()), &mut |_| Ok(()))
}

/// Hashes all that a reader gives, telling `sink` every node of the tree and `chunk` the bytes of
/// every chunk.
pub(crate) fn hash_into(
    mut reader: impl Read,
    sink: &mut impl FnMut(Node, ChunkHash) -> io::Result<()>,
    chunk: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Hashed> {
    let too_large = |error: FileTooLarge| io::Error::new(io::ErrorKind::FileTooLarge, error);
    let mut builder = Builder::default();
    let mut buffer = Vec::with_capacity(CHUNK_SIZE as usize);
    let mut next = Vec::with_capacity(CHUNK_SIZE as usize);
    let mut size = 0_u64;
    read_chunk(&mut reader, &mut buffer)?;
    loop {
        // Only a chunk behind which nothing comes can be the whole file.
        if buffer.len() == CHUNK_SIZE as usize {
            read_chunk(&mut reader, &mut next)?;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(size).update(&buffer);
        let hash = if size == 0 && next.is_empty() {
            *hasher.finalize().as_bytes()
        } else {
            hasher.finalize_non_root()
        };
        size += u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        Layout::new(size).map_err(too_large)?;
        builder.push(ChunkHash::from_bytes(hash), sink)?;
        chunk(&buffer)?;
        if next.is_empty() {
            break;
        }
        std::mem::swap(&mut buffer, &mut next);
        next.clear();
    }
    let layout = Layout::new(size).map_err(too_large)?;
    let root = builder.finish(sink)?;
    let id = root.map_or_else(
        || FileId::of(b""),
        |root| FileId::from_bytes(*root.as_bytes()),
    );
    Ok(Hashed { id, layout })
}

/// Fills `buffer` with a chunk, or with what is left.
fn read_chunk(reader: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    reader
        .by_ref()
        .take(u64::from(CHUNK_SIZE))
        .read_to_end(buffer)
        .map(|_| ())
}

/// The hashes of all chunks and of all nodes above them, in memory: 64 bytes a chunk.
///
/// For files whose tree fits; [`Folder`](crate::Folder) keeps trees on disk.
///
/// ```
/// use qadom_files::{CHUNK_SIZE, ChunkIndex, Tree, verify};
///
/// let content = vec![7; CHUNK_SIZE as usize + 1];
/// let tree = Tree::of(&content);
/// let last = ChunkIndex::Data(1);
/// let proof = tree.proof(last).expect("the file has two chunks");
/// verify(&tree.id(), tree.layout(), last, &[7], &proof)?;
/// # Ok::<(), qadom_files::VerifyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    id: FileId,
    layout: Layout,
    /// Every level from the chunks up; a node that stands alone appears on each level it rises to.
    levels: Vec<Vec<ChunkHash>>,
}

impl Tree {
    /// The tree of these bytes.
    pub fn of(content: &[u8]) -> Self {
        let mut leaves = Vec::new();
        let mut collect = |node: Node, hash| {
            if node.level == 0 {
                leaves.push(hash);
            }
            Ok(())
        };
        let hashed = hash_into(content, &mut collect, &mut |_| Ok(()));
        let layout = hashed.map_or(Layout::EMPTY, |hashed| hashed.layout);
        Self::from_leaves(layout, leaves)
    }

    /// The tree above these values of all chunks of a file.
    pub(crate) fn from_leaves(layout: Layout, leaves: Vec<ChunkHash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last()
            && below.len() > 1
        {
            let is_root = below.len() == 2;
            let level = below
                .chunks(2)
                .filter_map(|pair| match pair {
                    [left, right] => Some(join(left, right, is_root)),
                    alone => alone.first().copied(),
                })
                .collect();
            levels.push(level);
        }
        let root = levels.last().and_then(|level| level.first()).copied();
        let id = root.map_or_else(
            || FileId::of(b""),
            |root| FileId::from_bytes(*root.as_bytes()),
        );
        Self { id, layout, levels }
    }

    /// The id of the file.
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// The shape of the file.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The values of the chunks, in their order.
    pub fn chunk_hashes(&self) -> &[ChunkHash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The siblings that lead from a chunk or list piece to the id; `None` when the file has none
    /// such.
    pub fn proof(&self, index: ChunkIndex) -> Option<Proof> {
        if !self.layout.contains(index) {
            return None;
        }
        Proof::collect(self.layout, index, |node| self.node(node).ok_or(())).ok()
    }

    /// The bytes of a list piece; `None` when the file has none such.
    pub fn list_piece(&self, piece: u64) -> Option<Vec<u8>> {
        let range = self.layout.list_range(piece);
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?;
        let hashes = self.chunk_hashes().get(start..end)?;
        (!hashes.is_empty()).then(|| hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
    }

    fn node(&self, node: Node) -> Option<ChunkHash> {
        let level = self.levels.get(usize::from(node.level))?;
        level.get(usize::try_from(node.index).ok()?).copied()
    }
}
