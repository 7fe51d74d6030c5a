//! Records as messages carry them, and the kinds there are.

use prost::Message;

use crate::proto;
use crate::value::{Value, ValueError};

/// The kind of a record. The numbers are those of the signed bytes; 0 is the unsigned value.
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

/// One record, verified in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A value. Whether it is the one that was asked for is seen from its key.
    Value(Value),
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
}

impl From<&Record> for proto::Record {
    fn from(record: &Record) -> Self {
        Self {
            kind: match record {
                Record::Value(value) => Some(proto::record::Kind::Value(value.bytes().clone())),
                Record::Unknown => None,
            },
        }
    }
}

impl TryFrom<proto::Record> for Record {
    type Error = ValueError;

    fn try_from(record: proto::Record) -> Result<Self, ValueError> {
        match record.kind {
            Some(proto::record::Kind::Value(bytes)) => Value::new(bytes).map(Self::Value),
            None => Ok(Self::Unknown),
        }
    }
}
