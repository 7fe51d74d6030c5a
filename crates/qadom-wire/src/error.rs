//! Why a body is no message, why a record is refused, and why a message does not fit into a body.

use crate::contacts::ContactsError;
use crate::cursor::CursorError;
use crate::hello::HelloError;
use crate::limits::{BODY_MAX, ITEMS_MAX};
use crate::reason::Reason;
use crate::value::ValueError;
use crate::writer::WeakKey;

/// The body is no message of this protocol. Its sender is at fault, or speaks a later revision;
/// nothing of it is used.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, DecodeError, Reason};
///
/// let error = Answer::decode("no message".into()).unwrap_err();
/// assert_eq!(error, DecodeError::Protobuf);
/// assert_eq!(error.reason(), Reason::Malformed);
/// ```
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
    /// A signed record breaks a rule of its kind.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The packed cursor is not valid.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

impl DecodeError {
    /// The reason by which the drop is counted and the sender is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLong { .. } | Self::TooManyItems { .. } => Reason::TooLarge,
            Self::UnknownKind => Reason::UnknownKind,
            Self::Value(error) => error.reason(),
            Self::Record(error) => error.reason(),
            Self::Protobuf
            | Self::Field { .. }
            | Self::Contacts(_)
            | Self::Hello(_)
            | Self::Cursor(_) => Reason::Malformed,
        }
    }
}

/// The record is none that its writer made for this network. Whoever gave it is at fault; nothing of
/// it is kept.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, RecordError};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let draft = Draft::bag_item("name:fruit".parse()?, vec![0; 1025].into(), 1, 1_700_129_600);
/// let error = Identity::from_seed([7; 32]).sign(&network, draft).unwrap_err();
/// assert_eq!(error, RecordError::TooLarge { length: 1025, limit: 1024 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The signature does not hold: the record was changed, is of another network, or nobody signed
    /// it.
    #[error("the signature of the record does not hold")]
    BadSignature,
    /// The writer's key is not canonical or of small order.
    #[error(transparent)]
    WeakKey(#[from] WeakKey),
    /// The payload is too long for the kind.
    #[error("the payload has {length} bytes, the limit is {limit}")]
    TooLarge {
        /// The length of the payload in bytes.
        length: usize,
        /// The limit of the kind in bytes.
        limit: usize,
    },
    /// A field breaks a rule of the kind.
    #[error("the {field} of the record is not one that its kind may have")]
    Malformed {
        /// The name of the field.
        field: &'static str,
    },
    /// The renewal is that of another record than the held one.
    #[error("the renewal belongs to another record or payload")]
    BadHash,
}

impl RecordError {
    /// The reason by which the refusal is counted and told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::BadSignature => Reason::BadSignature,
            Self::WeakKey(_) => Reason::WeakKey,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Malformed { .. } => Reason::Malformed,
            Self::BadHash => Reason::BadHash,
        }
    }
}

/// The answer is longer than the body may be even without any contact. The caller is at fault: it
/// has to answer with fewer records. Nothing was encoded.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, Found, Record, Value};
///
/// let record = Record::Value(Value::new(vec![0; 8192].into())?);
/// let answer = Answer::Found(Found { records: vec![record], ..Found::default() });
/// let error = answer.encode_within(1028).unwrap_err();
/// assert!(error.needed > 8192 && error.limit == 1028);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer needs {needed} bytes without contacts, the limit is {limit}")]
pub struct BodyTooLong {
    /// The length of the answer without contacts in bytes.
    pub needed: usize,
    /// The limit in bytes.
    pub limit: usize,
}
