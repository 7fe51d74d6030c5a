#![doc = include_str!("../README.md")]

mod chunk_set;
mod content_type;
mod download;
mod folder;
mod hash;
mod layout;
mod listing;
mod manifest;
mod proof;
mod tree;

pub use chunk_set::{BadBitfield, ChunkSet};
pub use content_type::content_type;
pub use download::{
    Availability, Download, Effect, Joined, LossReason, PEERS_MAX, PeerId, Progress, READERS_MAX,
    REQUESTS_MAX, ReaderId, Refused,
};
pub use folder::{
    AddError, Added, DiskError, DownloadError, Durability, Entry, FinishError, Folder,
    FolderConfig, Group, HELD_CHUNKS_MAX, Held, HeldChunk, HoldError, Holdings, Kind, Offer,
    Offered, Owner, Partial, Place, Placement, ReadError, Refusal, SkipReason, Skipped, State,
    Usage, Watch, WriteError, Written,
};
pub use hash::{ChunkHash, FileId, HashError};
pub use layout::{
    CHUNK_SIZE, ChunkIndex, FILE_SIZE_MAX, FileTooLarge, LIST_PIECE_HASHES, Layout,
    PROOF_HASHES_MAX, chunk_address,
};
pub use listing::{
    LISTING_BYTES_MAX, LISTING_CONTENT_TYPE, LISTING_DEPTH_MAX, LISTING_ENTRIES_MAX,
    LISTING_NAME_MAX, LISTING_PATH_MAX, Listed, Listing, ListingEntry, ListingError, ListingPath,
    PathError, Restore, RestoreError,
};
pub use manifest::{MANIFEST_CHUNKS_MAX, Manifest, ManifestError};
pub use proof::{Proof, VerifyError, verify, verify_hash};
pub use tree::{ChunkHasher, Hashed, Tree, WrongLength, chunk_hash, hash_reader};
