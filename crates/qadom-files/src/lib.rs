#![doc = include_str!("../README.md")]

mod chunk_set;
mod content_type;
mod hash;
mod layout;
mod manifest;
mod proof;
mod tree;

pub use chunk_set::{BadBitfield, ChunkSet};
pub use content_type::content_type;
pub use hash::{ChunkHash, FileId, HashError};
pub use layout::{
    CHUNK_SIZE, ChunkIndex, FILE_SIZE_MAX, FileTooLarge, LIST_PIECE_HASHES, Layout,
    PROOF_HASHES_MAX, chunk_address,
};
pub use manifest::{MANIFEST_CHUNKS_MAX, Manifest, ManifestError};
pub use proof::{Proof, VerifyError, verify, verify_hash};
pub use tree::{ChunkHasher, Hashed, Tree, WrongLength, chunk_hash, hash_reader};
