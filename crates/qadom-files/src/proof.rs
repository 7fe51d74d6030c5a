//! The siblings that lead from one chunk to the id of its file, and the check that they do.
//!
//! What must stay true: bytes that pass are the file's bytes at that place, whoever sent them. What
//! does not pass is the sender's lie under the size that it claims.

use crate::layout::Node;
use crate::tree::{WrongLength, chunk_hash, join};
use crate::{ChunkHash, ChunkIndex, FileId, Layout, PROOF_HASHES_MAX};

/// Sibling hashes from a chunk up to the root, at most [`PROOF_HASHES_MAX`] of them.
///
/// ```
/// use qadom_files::Proof;
///
/// let proof = Proof::from_bytes(&[7; 64]).expect("two hashes");
/// assert_eq!(proof.len(), 2);
/// assert_eq!(proof.to_bytes(), [7; 64]);
/// assert!(Proof::from_bytes(&[7; 33]).is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proof {
    siblings: Vec<ChunkHash>,
}

impl Proof {
    /// Takes the hashes one behind the other; `None` when that is no whole number of hashes, or more
    /// than [`PROOF_HASHES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() > usize::from(PROOF_HASHES_MAX) {
            return None;
        }
        let siblings = hashes.iter().copied().map(ChunkHash::from_bytes).collect();
        Some(Self { siblings })
    }

    /// The hashes one behind the other, the chunk's own sibling first.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.siblings
            .iter()
            .flat_map(|hash| *hash.as_bytes())
            .collect()
    }

    /// The number of hashes.
    pub fn len(&self) -> usize {
        self.siblings.len()
    }

    /// Whether there is no hash, as for the only chunk of a file.
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty()
    }

    /// Asks for every sibling on the way up.
    pub(crate) fn collect<E>(
        layout: Layout,
        index: ChunkIndex,
        lookup: impl FnMut(Node) -> Result<ChunkHash, E>,
    ) -> Result<Self, E> {
        let nodes = layout.path(index).filter_map(|step| step.sibling);
        let siblings = nodes.map(lookup).collect::<Result<_, E>>()?;
        Ok(Self { siblings })
    }

    /// Tells every sibling with the node that it is the value of.
    pub(crate) fn siblings(
        &self,
        layout: Layout,
        index: ChunkIndex,
        known: &mut impl FnMut(Node, &ChunkHash),
    ) {
        let nodes = layout.path(index).filter_map(|step| step.sibling);
        for (node, hash) in nodes.zip(&self.siblings) {
            known(node, hash);
        }
    }

    /// The value of the root, `None` when the hashes are too few or too many.
    fn climb(&self, layout: Layout, index: ChunkIndex, leaf: &ChunkHash) -> Option<ChunkHash> {
        let mut siblings = self.siblings.iter();
        let mut value = *leaf;
        for step in layout.path(index).filter(|step| step.sibling.is_some()) {
            let other = siblings.next()?;
            value = if step.is_left {
                join(&value, other, step.is_root)
            } else {
                join(other, &value, step.is_root)
            };
        }
        siblings.next().is_none().then_some(value)
    }
}

/// Why bytes are not the chunk that they are said to be: each is the sender's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file of the claimed size has no such chunk or list piece.
    #[error("a file of that size has no such chunk")]
    NoSuchChunk,
    /// Fewer or more bytes than the chunk has.
    #[error("a chunk of another length")]
    Length(#[from] WrongLength),
    /// Fewer or more siblings than lie between the chunk and the root.
    #[error("a proof has {expected} hashes at this place, not {length}")]
    ProofLength {
        /// The hashes that a proof has at this place.
        expected: usize,
        /// The hashes that came.
        length: usize,
    },
    /// Bytes and siblings do not lead to the id.
    #[error("these bytes do not belong to the file")]
    Mismatch,
}

/// Checks that bytes are that chunk or list piece of the file; gives its value.
///
/// A file of one chunk needs no siblings. The size of `layout` is a claim, too: it is proven once
/// the last chunk has passed.
///
/// # Errors
///
/// [`VerifyError`] when they are not.
///
/// ```
/// use qadom_files::{ChunkIndex, FileId, Layout, Proof, VerifyError, verify};
///
/// let (id, layout, first) = (FileId::of(b"hello"), Layout::new(5)?, ChunkIndex::Data(0));
/// verify(&id, layout, first, b"hello", &Proof::default())?;
/// assert_eq!(
///     verify(&id, layout, first, b"hallo", &Proof::default()),
///     Err(VerifyError::Mismatch),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(
    id: &FileId,
    layout: Layout,
    index: ChunkIndex,
    bytes: &[u8],
    proof: &Proof,
) -> Result<ChunkHash, VerifyError> {
    if !layout.contains(index) {
        return Err(VerifyError::NoSuchChunk);
    }
    let hash = chunk_hash(layout, index, bytes)?;
    verify_hash(id, layout, index, &hash, proof)?;
    Ok(hash)
}

/// Checks that a chunk or list piece with that value is the file's, for bytes that were hashed by a
/// [`ChunkHasher`](crate::ChunkHasher) as they arrived.
///
/// # Errors
///
/// [`VerifyError`] when it is not.
pub fn verify_hash(
    id: &FileId,
    layout: Layout,
    index: ChunkIndex,
    hash: &ChunkHash,
    proof: &Proof,
) -> Result<(), VerifyError> {
    if !layout.contains(index) {
        return Err(VerifyError::NoSuchChunk);
    }
    let expected = layout.proof_hashes(index);
    if proof.len() != expected {
        return Err(VerifyError::ProofLength {
            expected,
            length: proof.len(),
        });
    }
    match proof.climb(layout, index, hash) {
        Some(root) if root.as_bytes() == id.as_bytes() => Ok(()),
        _ => Err(VerifyError::Mismatch),
    }
}
