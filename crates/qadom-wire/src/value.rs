//! A value: bytes under their own SHA-256.
//!
//! What must stay true: the key of a [`Value`] is the SHA-256 of its bytes, so that whoever holds
//! one holds a verified one.

use std::fmt;

use bytes::Bytes;
use qadom_routing::Key;
use sha2::{Digest, Sha256};

use crate::limits::VALUE_MAX;
use crate::reason::Reason;

/// Bytes that are stored under their own SHA-256.
///
/// # Examples
///
/// ```
/// use qadom_wire::Value;
///
/// let value = Value::new("sudo python".into())?;
/// assert_eq!(
///     value.key().to_decimal(),
///     "44523492095186523269265158000087001266127815262863473237438729878159874507476"
/// );
/// # Ok::<(), qadom_wire::ValueError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    key: Key,
    bytes: Bytes,
}

/// The bytes are not the value. Whoever gave them is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Reason, Value};
///
/// let error = Value::checked(&"name:x".parse()?, "hello".into()).unwrap_err();
/// assert_eq!(error.reason(), Reason::BadHash);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Longer than a value may be.
    #[error("a value has at most {VALUE_MAX} bytes, this one has {length}")]
    TooLarge {
        /// The length of the refused value in bytes.
        length: usize,
    },
    /// The bytes hash to another key than the expected one.
    #[error("the bytes hash to {actual}, not to {expected}")]
    BadHash {
        /// The key that was asked for.
        expected: Key,
        /// The key of the bytes.
        actual: Key,
    },
}

impl ValueError {
    /// The reason by which the refusal is counted and told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::BadHash { .. } => Reason::BadHash,
        }
    }
}

impl Value {
    /// Makes a value of 0 to [`VALUE_MAX`] bytes and computes its key.
    ///
    /// # Errors
    ///
    /// [`ValueError::TooLarge`] when there are more bytes; they are not hashed.
    pub fn new(bytes: Bytes) -> Result<Self, ValueError> {
        let length = bytes.len();
        if length > VALUE_MAX {
            return Err(ValueError::TooLarge { length });
        }
        let key = Key::from_bytes(Sha256::digest(&bytes).into());
        Ok(Self { key, bytes })
    }

    /// Makes the value that belongs under `expected`.
    ///
    /// # Errors
    ///
    /// [`ValueError::BadHash`] when the bytes belong under another key, [`ValueError::TooLarge`]
    /// when there are too many.
    pub fn checked(expected: &Key, bytes: Bytes) -> Result<Self, ValueError> {
        let value = Self::new(bytes)?;
        if value.key == *expected {
            Ok(value)
        } else {
            Err(ValueError::BadHash {
                expected: *expected,
                actual: value.key,
            })
        }
    }

    /// The SHA-256 of the bytes.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The bytes. After decoding they are a slice of the received body and keep it alive.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives the bytes away.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Value({}, {} bytes)", self.key, self.bytes.len())
    }
}
