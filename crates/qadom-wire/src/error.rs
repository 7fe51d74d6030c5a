//! Why a body is no message, and why a message does not fit into a body.

use crate::contacts::ContactsError;
use crate::hello::HelloError;
use crate::limits::{BODY_MAX, ITEMS_MAX};
use crate::reason::Reason;
use crate::value::ValueError;

/// The body is no message of this protocol. Its sender is at fault, or speaks a later revision;
/// nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is longer than any message may be. It was not read.
    #[error("the body has {length} bytes, the limit is {BODY_MAX}")]
    TooLong {
        /// The length of the body in bytes.
        length: usize,
    },
    /// A list is longer than any message needs it. It was not read.
    #[error("the message lists {count} items, the limit is {ITEMS_MAX}")]
    TooManyItems {
        /// The length of the list.
        count: usize,
    },
    /// The bytes are not protobuf, or not of the schema's types.
    #[error("the body is not a protobuf message of the schema")]
    Protobuf,
    /// The request, the answer or the record asked for is of a kind that this revision does not
    /// know.
    #[error("the message is of an unknown kind")]
    UnknownKind,
    /// A field has the wrong length or a value outside its range.
    #[error("the field {field} is not valid")]
    Field {
        /// The name of the field in the schema.
        field: &'static str,
    },
    /// The packed contacts are not valid; all of them are refused.
    #[error(transparent)]
    Contacts(#[from] ContactsError),
    /// The packed hello is not valid.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// A value is too long.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl DecodeError {
    /// The reason by which the drop is counted and the sender is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLong { .. } | Self::TooManyItems { .. } => Reason::TooLarge,
            Self::UnknownKind => Reason::UnknownKind,
            Self::Value(error) => error.reason(),
            Self::Protobuf | Self::Field { .. } | Self::Contacts(_) | Self::Hello(_) => {
                Reason::Malformed
            }
        }
    }
}

/// The answer is longer than the body may be even without any contact. The caller is at fault: it
/// has to answer with fewer records. Nothing was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer needs {needed} bytes without contacts, the limit is {limit}")]
pub struct BodyTooLong {
    /// The length of the answer without contacts in bytes.
    pub needed: usize,
    /// The limit in bytes.
    pub limit: usize,
}
