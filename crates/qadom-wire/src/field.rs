//! Single fields of messages: those of a fixed length, and how long a field is when encoded.

use bytes::Bytes;
use qadom_routing::Key;

use crate::error::DecodeError;

/// Reads a field of exactly `LENGTH` bytes.
pub(crate) fn array<const LENGTH: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; LENGTH], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Field { field })
}

/// Reads a field of 32 bytes as a key.
pub(crate) fn key(field: &'static str, bytes: &[u8]) -> Result<Key, DecodeError> {
    array(field, bytes).map(Key::from_bytes)
}

/// The field of 32 bytes that holds a key.
pub(crate) fn bytes(key: &Key) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

/// The length of a field with a number below 16 that holds `length` bytes.
pub(crate) fn framed(length: usize) -> usize {
    1 + prost::length_delimiter_len(length) + length
}
