//! How what writers sign, what a node keeps alive and what it blocks become their JSON.

use data_encoding::HEXLOWER;
use qadom_node::{BlockCause, Blocked, Key, Kind, Promised, PublicationState, Verified, Writer};

use super::super::{
    BagItem, BagList, Block, Entry, Event, EventRecord, Gap, Held, Identity, Publication, Receipt,
    Timestamp, Withdrawn, Written,
};
use super::milliseconds;

impl From<&qadom_node::Written> for Written {
    fn from(written: &qadom_node::Written) -> Self {
        let record = &written.record;
        let writer = record.writer().to_string();
        let is_namespace = record.kind() == Kind::NamespaceEntry;
        let key = if is_namespace {
            Key::from_bytes(*record.label())
        } else {
            *record.slot()
        };
        let signature = written.content_signature.as_ref();
        Self {
            key,
            receipt: Receipt::from(&written.receipt),
            public_key: is_namespace.then(|| writer.clone()),
            writer: Some(writer),
            signature: signature.map(ToString::to_string),
            seq: Some(record.seq()),
        }
    }
}

impl Entry {
    /// What a read under a key found.
    pub(crate) fn new(key: Key, read: &qadom_node::SignedRead) -> Self {
        let record = &read.record;
        Self {
            key,
            value: record.payload().clone(),
            source: read.source.into(),
            age_ms: u64::try_from(read.age.as_millis()).unwrap_or(u64::MAX),
            writer: record.writer().to_string(),
            seq: record.seq(),
            signature: HEXLOWER.encode(record.signature()),
            expires_at: Timestamp::from_seconds(record.expiry()),
            conflict: read.conflict,
            hops: read.hops,
            messages: read.messages,
            took_ms: milliseconds(read.took),
        }
    }
}

impl From<&Verified> for Held {
    fn from(record: &Verified) -> Self {
        Self {
            writer: record.writer().to_string(),
            seq: record.seq(),
            deleted: record.is_tombstone(),
            value: record.payload().clone(),
            signature: HEXLOWER.encode(record.signature()),
            expires_at: Timestamp::from_seconds(record.expiry()),
        }
    }
}

impl BagList {
    /// What the bag under a key has.
    pub(crate) fn new(key: Key, list: qadom_node::BagList) -> Self {
        let items = list.items.into_iter().map(|item| BagItem {
            value: item.value,
            writers: item.writers.iter().map(ToString::to_string).collect(),
            expires_at: Timestamp::from_seconds(item.expires_at),
        });
        Self {
            key,
            items: items.collect(),
            complete: list.complete,
            cursor: list.cursor.map(|cursor| cursor.to_string()),
            hops: list.hops,
            messages: list.messages,
            took_ms: milliseconds(list.took),
        }
    }
}

impl From<&qadom_node::Event> for Event {
    fn from(event: &qadom_node::Event) -> Self {
        match event {
            qadom_node::Event::Record { record, cursor } => Self::Record(EventRecord {
                slot: *record.slot(),
                writer: record.writer().to_string(),
                seq: record.seq(),
                deleted: record.is_tombstone(),
                value: record.payload().clone(),
                cursor: cursor.to_string(),
            }),
            qadom_node::Event::Gap {
                writer,
                stream,
                from_seq,
                to_seq,
            } => Self::Gap {
                gap: Gap {
                    writer: writer.map(|writer| writer.to_string()),
                    stream: *stream,
                    from_seq: *from_seq,
                    to_seq: *to_seq,
                },
            },
        }
    }
}

impl Publication {
    /// What is kept alive, with what the node calls its writer.
    pub(crate) fn new(
        promise: &qadom_node::Promise,
        name: impl FnOnce(&Writer) -> Option<String>,
    ) -> Self {
        let id = promise.id();
        let kind = match id.kind {
            Kind::Value => "value",
            Kind::BagItem => "bag",
            Kind::DictCell => "dict",
            Kind::NamespaceEntry => "namespace",
            Kind::Event => "topic",
        };
        let state = match promise.state {
            PublicationState::Active => "active",
            PublicationState::Superseded => "superseded",
            PublicationState::Withdrawn => "withdrawn",
            PublicationState::Expired => "expired",
        };
        let label = match &promise.promised {
            Promised::Signed(record) => Some(record.label()).filter(|label| **label != [0; 32]),
            _ => None,
        };
        Self {
            key: id.slot,
            kind: kind.to_owned(),
            label: label.map(|label| HEXLOWER.encode(label)),
            identity: promise.promised.identity().and_then(name),
            writer: promise.promised.identity().map(ToString::to_string),
            renewed_at: Timestamp::from_seconds(promise.renewed_at),
            expires_at: Timestamp::from_seconds(promise.expires_at),
            stored: promise.stored,
            refusals: promise
                .refusals
                .iter()
                .map(|(reason, count)| (reason.as_str().to_owned(), *count))
                .collect(),
            state: state.to_owned(),
        }
    }
}

impl From<(String, Writer)> for Identity {
    fn from((name, writer): (String, Writer)) -> Self {
        let public_key = writer.to_string();
        Self { name, public_key }
    }
}

impl From<&qadom_node::Withdrawn> for Withdrawn {
    fn from(withdrawn: &qadom_node::Withdrawn) -> Self {
        Self {
            key: withdrawn.key,
            withdrawn: withdrawn.withdrawn,
            buried: withdrawn.buried,
            smallest_copies: withdrawn.smallest_copies,
            took_ms: milliseconds(withdrawn.took),
        }
    }
}

impl From<&qadom_node::Block> for Block {
    fn from(block: &qadom_node::Block) -> Self {
        let (kind, what) = match &block.what {
            Blocked::Node(node) => ("node", node.to_string()),
            Blocked::Key(key) => ("key", key.to_string()),
            Blocked::Group(group) => ("group", HEXLOWER.encode(group.as_bytes())),
            // A newer engine may block something that this server has no name for.
            _ => ("other", String::new()),
        };
        let why = match block.cause {
            BlockCause::ByHand => "by-hand",
            BlockCause::Lies(_) => "lies",
        };
        Self {
            kind: kind.to_owned(),
            what,
            why: why.to_owned(),
            until: block.until.map(Timestamp::from_seconds),
        }
    }
}
