//! Where things are kept: the slots that names, files and chunks are hashed to.
//!
//! What must stay true: each derivation has a context of its own, so that no two of them meet. The
//! slot of a plain name is [`Key::from_name`], that of a value [`Value::key`](crate::Value::key);
//! a bag lies under its user's key as it is.

use qadom_routing::{Key, NAME_LENGTH};

use crate::limits::NAME_MAX;
use crate::writer::Writer;

/// A name that is empty or too long. The caller is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{NameError, dict_slot};
///
/// assert_eq!(dict_slot(b""), Err(NameError { length: 0 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {NAME_MAX} bytes, this one has {length}")]
pub struct NameError {
    /// The length of the refused name in bytes.
    pub length: usize,
}

/// The slot of a dict name of 1 to 256 bytes, taken as given.
///
/// # Errors
///
/// [`NameError`] when the name is empty or too long.
pub fn dict_slot(name: &[u8]) -> Result<Key, NameError> {
    derive_name("qadom 1 dict name", name)
}

/// The slot of a file name of 1 to 256 bytes, taken as given.
///
/// # Errors
///
/// [`NameError`] when the name is empty or too long.
pub fn file_name_slot(name: &[u8]) -> Result<Key, NameError> {
    derive_name("qadom 1 file name", name)
}

/// The slot of an entry in a writer's namespace, by the writer's public key and the entry's key.
pub fn namespace_slot(writer: &[u8; 32], key: &Key) -> Key {
    derive(
        "qadom 1 namespace slot",
        [writer.as_slice(), key.as_bytes()],
    )
}

/// The slot of the bag in which the providers of a file announce themselves.
pub fn providers_slot(file_id: &[u8; 32]) -> Key {
    derive("qadom 1 providers", [file_id.as_slice()])
}

/// The slot near which the chunk with this index is kept.
pub fn chunk_slot(file_id: &[u8; 32], index: u64) -> Key {
    derive("qadom 1 chunk", [file_id.as_slice(), &index.to_be_bytes()])
}

/// The id of a bag item, by its writer's public key and its payload. Pages of a bag ascend by it.
pub fn bag_item_id(writer: &[u8; 32], payload: &[u8]) -> Key {
    hash_pair(writer, &bag_label(payload))
}

/// The label of a bag item and of its tombstone: the BLAKE3 of the item's payload.
pub fn bag_label(payload: &[u8]) -> [u8; 32] {
    blake3::hash(payload).into()
}

/// The id of a bag item and of its tombstone, by writer and label.
pub fn item_id(writer: &Writer, label: &[u8; 32]) -> Key {
    hash_pair(writer.as_bytes(), label)
}

/// The id of an event: tag of the writer (16 bytes), stream and seq (8 bytes each, big-endian), so
/// that the events of a stream lie one behind the other.
pub fn event_id(writer: &Writer, stream: u64, seq: u64) -> Key {
    let numbers = (u128::from(stream) << 64) | u128::from(seq);
    let mut id = [0; 32];
    id.copy_from_slice([writer.tag(), numbers.to_be_bytes()].as_flattened());
    Key::from_bytes(id)
}

fn hash_pair(writer: &[u8; 32], label: &[u8; 32]) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(writer).update(label);
    Key::from_bytes(hasher.finalize().into())
}

fn derive_name(context: &str, name: &[u8]) -> Result<Key, NameError> {
    if NAME_LENGTH.contains(&name.len()) {
        Ok(derive(context, [name]))
    } else {
        Err(NameError { length: name.len() })
    }
}

fn derive<'a>(context: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    Key::from_bytes(hasher.finalize().into())
}
