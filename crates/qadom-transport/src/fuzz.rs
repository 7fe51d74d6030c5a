//! Entry points for fuzzing: bytes in, a panic when something that must stay true does not.
//!
//! What must stay true: each function accepts any bytes, is deterministic, and ends soon. The
//! crate's test `fuzz` drives them from a seed; `fuzz/` in the repository wraps them for
//! cargo-fuzz. This is no part of the API that applications use.

mod input;
mod operations;
mod packets;
mod pieces;

pub use operations::operations;
pub use packets::packets;
pub use pieces::pieces;
