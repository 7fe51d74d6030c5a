//! The list of a file's chunks as text, `hash size` a line: all that is needed to fetch the file
//! from anywhere and to verify every chunk alone.
//!
//! What must stay true: what is written reads back equal, and a list that was read has one id, which
//! its lines alone decide.

use std::io::{self, BufRead, Read, Write};

use crate::tree::{Tree, WrongLength, chunk_hash};
use crate::{CHUNK_SIZE, ChunkHash, ChunkIndex, FileId, Layout, VerifyError};

/// The most lines that are read: a file of 1 TiB, whose list takes 128 MiB of memory.
pub const MANIFEST_CHUNKS_MAX: u64 = 1 << 22;

/// The longest line: a hash, a space, a size, and some room for other white space.
const LINE_MAX: u64 = 128;

/// Why a text is no list of chunks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The reader failed; nothing is said about the text.
    #[error("the list of chunks cannot be read")]
    Read(#[from] io::Error),
    /// A line is not a hash and a size.
    #[error("line {line} is not a chunk's hash and its size")]
    Malformed {
        /// The line, counted from 1.
        line: u64,
    },
    /// Every chunk but the last has [`CHUNK_SIZE`] bytes, the last at least one, unless the file is
    /// empty.
    #[error("the chunk of line {line} cannot have {size} bytes at its place")]
    Size {
        /// The line, counted from 1.
        line: u64,
        /// The size that it tells.
        size: u64,
    },
    /// More than [`MANIFEST_CHUNKS_MAX`] lines.
    #[error("a list of chunks has at most {MANIFEST_CHUNKS_MAX} lines")]
    TooLong,
    /// No line at all.
    #[error("the list has no chunk")]
    Empty,
}

/// The hashes of all chunks of one file.
///
/// ```
/// use qadom_files::{FileId, Manifest, Tree};
///
/// let manifest = Manifest::from(Tree::of(b"hello"));
/// let mut text = Vec::new();
/// manifest.write(&mut text)?;
/// assert_eq!(text, format!("{} 5\n", FileId::of(b"hello")).into_bytes());
///
/// let again = Manifest::read(&text[..])?;
/// assert_eq!(again.id(), FileId::of(b"hello"));
/// assert!(again.verify(0, b"hello").is_ok());
/// assert!(again.verify(0, b"hallo").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manifest {
    tree: Tree,
}

impl From<Tree> for Manifest {
    fn from(tree: Tree) -> Self {
        Self { tree }
    }
}

impl Manifest {
    /// Reads the lines to the end. White space around a line and blank lines do not matter.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] names the first line that is wrong.
    pub fn read(reader: impl BufRead) -> Result<Self, ManifestError> {
        let full = u64::from(CHUNK_SIZE);
        let (mut hashes, mut size, mut last) = (Vec::new(), 0_u64, None);
        let mut lines = Lines { reader, line: 0 };
        while let Some((hash, length)) = lines.next_chunk()? {
            let line = lines.line;
            // What came before must have been a full chunk, now that it is not the last one.
            if let Some((line, length)) = last.replace((line, length))
                && length != full
            {
                return Err(ManifestError::Size { line, size: length });
            }
            if length > full || (length == 0 && !hashes.is_empty()) {
                return Err(ManifestError::Size { line, size: length });
            }
            if u64::try_from(hashes.len()).unwrap_or(u64::MAX) >= MANIFEST_CHUNKS_MAX {
                return Err(ManifestError::TooLong);
            }
            hashes.push(hash);
            size += length;
        }
        if hashes.is_empty() {
            return Err(ManifestError::Empty);
        }
        let layout = Layout::new(size).map_err(|_| ManifestError::TooLong)?;
        Ok(Self {
            tree: Tree::from_leaves(layout, hashes),
        })
    }

    /// Puts the pieces of the list of a file together; `None` unless they are all of them and lead to
    /// its id.
    pub fn from_list_pieces<'a>(
        id: &FileId,
        layout: Layout,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut hashes = Vec::new();
        for piece in pieces {
            let (piece, rest) = piece.as_chunks::<32>();
            if !rest.is_empty() {
                return None;
            }
            hashes.extend(piece.iter().copied().map(ChunkHash::from_bytes));
        }
        if u64::try_from(hashes.len()) != Ok(layout.chunks()) {
            return None;
        }
        let tree = Tree::from_leaves(layout, hashes);
        (tree.id() == *id).then_some(Self { tree })
    }

    /// Writes the lines.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        for (hash, index) in self.tree.chunk_hashes().iter().zip(0..) {
            let length = self.layout().length(ChunkIndex::Data(index));
            writeln!(writer, "{hash} {length}")?;
        }
        Ok(())
    }

    /// The id that the hashes lead to.
    pub const fn id(&self) -> FileId {
        self.tree.id()
    }

    /// The shape of the file.
    pub const fn layout(&self) -> Layout {
        self.tree.layout()
    }

    /// The tree above the hashes, which proves chunks to others.
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Checks that bytes are that chunk; gives its value.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] when they are not.
    pub fn verify(&self, chunk: u64, bytes: &[u8]) -> Result<ChunkHash, VerifyError> {
        let expected = usize::try_from(chunk)
            .ok()
            .and_then(|chunk| self.tree.chunk_hashes().get(chunk))
            .ok_or(VerifyError::NoSuchChunk)?;
        let hash = chunk_hash(self.layout(), ChunkIndex::Data(chunk), bytes)
            .map_err(|wrong: WrongLength| VerifyError::from(wrong))?;
        if hash != *expected {
            return Err(VerifyError::Mismatch);
        }
        Ok(hash)
    }
}

/// The lines of a text, none longer than [`LINE_MAX`].
struct Lines<R> {
    reader: R,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not blank.
    fn next_chunk(&mut self) -> Result<Option<(ChunkHash, u64)>, ManifestError> {
        let mut text = Vec::new();
        loop {
            text.clear();
            self.line += 1;
            let length = self
                .reader
                .by_ref()
                .take(LINE_MAX)
                .read_until(b'\n', &mut text)?;
            if length == 0 {
                return Ok(None);
            }
            let is_cut = text.last() != Some(&b'\n') && text.len() as u64 == LINE_MAX;
            let line = text.trim_ascii();
            if line.is_empty() && !is_cut {
                continue;
            }
            let parsed = if is_cut { None } else { parse(line) };
            let malformed = ManifestError::Malformed { line: self.line };
            return parsed.map(Some).ok_or(malformed);
        }
    }
}

/// A hash and a size with white space between.
fn parse(line: &[u8]) -> Option<(ChunkHash, u64)> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let hash = words.next()?.parse().ok()?;
    let size = words.next()?;
    // A sign would be taken by the number's own parser.
    let size = size
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| size.parse().ok())??;
    words.next().is_none().then_some((hash, size))
}
