//! Records as messages carry them, and the kinds there are.

use prost::Message;
use qadom_routing::Key;

use crate::error::DecodeError;
use crate::field;
use crate::limits::{BAG_ITEM_MAX, VALUE_MAX};
use crate::proto;
use crate::renewal::{Renewal, SignedRenewal};
use crate::signed::SignedRecord;
use crate::value::Value;

/// The kind of a record. The numbers are those of the signed bytes; 0 is the unsigned value.
///
/// # Examples
///
/// ```
/// use qadom_wire::Kind;
///
/// assert_eq!(Kind::from_number(4), Some(Kind::Event));
/// assert!(Kind::BagItem.is_signed() && !Kind::Value.is_signed());
/// assert_eq!(Kind::BagItem.payload_max(), 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A payload under its own SHA-256.
    Value = 0,
    /// A signed item of a bag.
    BagItem = 1,
    /// A signed cell of a dict name.
    DictCell = 2,
    /// A signed entry of a writer's namespace.
    NamespaceEntry = 3,
    /// A signed event of a topic.
    Event = 4,
}

impl Kind {
    /// Every kind, by rising number.
    pub const ALL: &[Self] = &[
        Self::Value,
        Self::BagItem,
        Self::DictCell,
        Self::NamespaceEntry,
        Self::Event,
    ];

    /// The number in messages and signed bytes.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with a number; `None` when this revision does not know it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether records of this kind are signed by a writer.
    pub const fn is_signed(self) -> bool {
        !matches!(self, Self::Value)
    }

    /// The longest payload in bytes.
    pub const fn payload_max(self) -> usize {
        match self {
            Self::BagItem => BAG_ITEM_MAX,
            Self::Value | Self::DictCell | Self::NamespaceEntry | Self::Event => VALUE_MAX,
        }
    }
}

impl From<Kind> for proto::RecordKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Value => Self::Value,
            Kind::BagItem => Self::BagItem,
            Kind::DictCell => Self::DictCell,
            Kind::NamespaceEntry => Self::NamespaceEntry,
            Kind::Event => Self::Event,
        }
    }
}

impl From<proto::RecordKind> for Kind {
    fn from(kind: proto::RecordKind) -> Self {
        match kind {
            proto::RecordKind::Value => Self::Value,
            proto::RecordKind::BagItem => Self::BagItem,
            proto::RecordKind::DictCell => Self::DictCell,
            proto::RecordKind::NamespaceEntry => Self::NamespaceEntry,
            proto::RecordKind::Event => Self::Event,
        }
    }
}

/// One record, checked in itself as far as that goes without a network.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_wire::{Record, Value};
///
/// let record = Record::Value(Value::new("hello".into())?);
/// assert_eq!(record.id(), Key::ZERO);
/// assert!(record.encoded_length() > "hello".len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A value. Whether it is the one that was asked for is seen from its key.
    Value(Value),
    /// A signed record. Its structure is checked, its signature is not.
    Signed(SignedRecord),
    /// The renewal of a record that the receiver already has. Only in a
    /// [`Store`](crate::Store).
    Renewal(Renewal),
    /// A record of a kind that this revision does not know. It keeps its place in a list, so that
    /// it can be refused with [`Reason::UnknownKind`](crate::Reason::UnknownKind) and counted; it
    /// is never stored or handed to anybody.
    Unknown,
}

impl Record {
    /// The length of the encoded record in bytes. Above
    /// [`FIRST_RECORD_MAX`](crate::FIRST_RECORD_MAX) it is not handed out in an unconfirmed
    /// session.
    pub fn encoded_length(&self) -> usize {
        proto::Record::from(self).encoded_len()
    }

    /// The item id inside (slot, kind), by which pages ascend; zero for values.
    pub fn id(&self) -> Key {
        match self {
            Self::Signed(record) => *record.id(),
            Self::Renewal(renewal) => renewal.id(),
            Self::Value(_) | Self::Unknown => Key::ZERO,
        }
    }
}

impl From<&Record> for proto::Record {
    fn from(record: &Record) -> Self {
        use proto::record::Kind as Arm;
        Self {
            kind: match record {
                Record::Value(value) => Some(Arm::Value(value.bytes().clone())),
                Record::Signed(record) => Some(Arm::Signed(record.into())),
                Record::Renewal(Renewal::Value(key)) => Some(Arm::ValueRenewal(field::bytes(key))),
                Record::Renewal(Renewal::Signed(renewal)) => {
                    Some(Arm::SignedRenewal(renewal.into()))
                }
                Record::Unknown => None,
            },
        }
    }
}

impl TryFrom<proto::Record> for Record {
    type Error = DecodeError;

    fn try_from(record: proto::Record) -> Result<Self, DecodeError> {
        use proto::record::Kind as Arm;
        // A later kind of signed record is as unknown as a later arm.
        let is_known = |kind| proto::RecordKind::try_from(kind).is_ok();
        Ok(match record.kind {
            Some(Arm::Value(bytes)) => Self::Value(Value::new(bytes)?),
            Some(Arm::Signed(record)) if is_known(record.kind) => {
                Self::Signed(SignedRecord::try_from(record)?)
            }
            Some(Arm::ValueRenewal(key)) => {
                Self::Renewal(Renewal::Value(field::key("value_renewal", &key)?))
            }
            Some(Arm::SignedRenewal(renewal)) if is_known(renewal.kind) => {
                Self::Renewal(Renewal::Signed(SignedRenewal::try_from(renewal)?))
            }
            Some(Arm::Signed(_) | Arm::SignedRenewal(_)) | None => Self::Unknown,
        })
    }
}
