//! The 32 bytes that name a file, and those that stand for one chunk of it.
//!
//! What must stay true: both print as 64 lower-case hexadecimal digits, as `b3sum` does, and both
//! order as unsigned bytes.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits, this text is not")]
pub struct HashError;

fn parse(text: &str) -> Result<[u8; 32], HashError> {
    let bytes = HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|_| HashError)?;
    bytes.try_into().map_err(|_| HashError)
}

/// Names a file: the BLAKE3 hash of its content, which is what `b3sum` prints.
///
/// ```
/// use qadom_files::FileId;
///
/// let id = FileId::of(b"hello");
/// assert_eq!(
///     id.to_string(),
///     "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
/// );
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId([u8; 32]);

impl FileId {
    /// The id of these bytes as a whole file.
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// Takes the 32 bytes of an id.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileId({self})")
    }
}

impl FromStr for FileId {
    type Err = HashError;

    /// Takes 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, HashError> {
        parse(text).map(Self)
    }
}

/// Stands for one chunk at its place in its file: the value of its BLAKE3 subtree, or the file's id
/// when the file has no other chunk.
///
/// Equal bytes at two places have two values, because BLAKE3 counts where a subtree begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkHash([u8; 32]);

impl ChunkHash {
    /// Takes the 32 bytes of a value.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkHash({self})")
    }
}

impl FromStr for ChunkHash {
    type Err = HashError;

    /// Takes 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, HashError> {
        parse(text).map(Self)
    }
}
