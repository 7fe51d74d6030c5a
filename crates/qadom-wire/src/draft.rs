//! What is to be signed.

use bytes::Bytes;
use qadom_routing::Key;

use crate::error::RecordError;
use crate::header::Header;
use crate::network::NetworkId;
use crate::record::Kind;
use crate::signed::{SignedRecord, Verified};
use crate::slot::{bag_label, namespace_slot};
use crate::writer::{ContentSignature, Identity, Writer};

/// A record before it is signed. The constructors set the label, and the slot of namespace entries,
/// as the rules of the kind demand; [`Identity::sign`] checks them all.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, bag_label};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let draft = Draft::bag_item("name:fruit".parse()?, "apple".into(), 1, 1_700_129_600);
/// let item = Identity::from_seed([7; 32]).sign(&network, draft)?;
/// assert_eq!(*item.label(), bag_label(b"apple"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The kind, any but [`Kind::Value`].
    pub kind: Kind,
    /// Whether the record buries what has its identity. Events have no tombstones.
    pub is_tombstone: bool,
    /// The slot.
    pub slot: Key,
    /// Of a bag item the BLAKE3 of its payload, of its tombstone the same, of a namespace entry the
    /// key, else zero.
    pub label: [u8; 32],
    /// When the publisher opened the topic, in microseconds UTC; 0 in all but events.
    pub stream: u64,
    /// The version: microseconds UTC in bags and dicts, counted from 1 in namespaces and streams.
    pub seq: u64,
    /// When the record ends, in seconds UTC.
    pub expiry: u64,
    /// The payload, at most [`Kind::payload_max`] bytes; empty in a tombstone.
    pub payload: Bytes,
}

impl Draft {
    /// An item of a bag.
    pub fn bag_item(slot: Key, payload: Bytes, seq: u64, expiry: u64) -> Self {
        let label = bag_label(&payload);
        Self {
            label,
            payload,
            ..Self::empty(Kind::BagItem, slot, seq, expiry)
        }
    }

    /// Buries an item of a bag, by the label of the item ([`bag_label`]).
    pub fn bag_tombstone(slot: Key, label: [u8; 32], seq: u64, expiry: u64) -> Self {
        Self {
            label,
            is_tombstone: true,
            ..Self::empty(Kind::BagItem, slot, seq, expiry)
        }
    }

    /// The writer's cell of a dict name.
    pub fn dict_cell(slot: Key, payload: Bytes, seq: u64, expiry: u64) -> Self {
        Self {
            payload,
            ..Self::empty(Kind::DictCell, slot, seq, expiry)
        }
    }

    /// Buries a dict name as far as its cells are older.
    pub fn dict_tombstone(slot: Key, seq: u64, expiry: u64) -> Self {
        Self {
            is_tombstone: true,
            ..Self::empty(Kind::DictCell, slot, seq, expiry)
        }
    }

    /// An entry of a writer's namespace.
    pub fn namespace_entry(
        writer: &Writer,
        key: Key,
        payload: Bytes,
        seq: u64,
        expiry: u64,
    ) -> Self {
        Self {
            label: *key.as_bytes(),
            payload,
            ..Self::empty(
                Kind::NamespaceEntry,
                namespace_slot(writer.as_bytes(), &key),
                seq,
                expiry,
            )
        }
    }

    /// Buries an entry of a writer's namespace.
    pub fn namespace_tombstone(writer: &Writer, key: Key, seq: u64, expiry: u64) -> Self {
        Self {
            is_tombstone: true,
            ..Self::namespace_entry(writer, key, Bytes::new(), seq, expiry)
        }
    }

    /// An event of a topic.
    pub fn event(slot: Key, stream: u64, seq: u64, payload: Bytes, expiry: u64) -> Self {
        Self {
            stream,
            payload,
            ..Self::empty(Kind::Event, slot, seq, expiry)
        }
    }

    fn empty(kind: Kind, slot: Key, seq: u64, expiry: u64) -> Self {
        Self {
            kind,
            is_tombstone: false,
            slot,
            label: [0; 32],
            stream: 0,
            seq,
            expiry,
            payload: Bytes::new(),
        }
    }
}

impl Identity {
    /// Signs a draft for a network.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`] or [`RecordError::Malformed`] when the draft breaks a rule of its
    /// kind; an entry of another writer's namespace has a malformed slot. The caller is at fault.
    pub fn sign(&self, network: &NetworkId, draft: Draft) -> Result<Verified, RecordError> {
        let header = Header {
            kind: draft.kind,
            is_tombstone: draft.is_tombstone,
            slot: draft.slot,
            label: draft.label,
            writer: self.writer(),
            stream: draft.stream,
            seq: draft.seq,
            expiry: draft.expiry,
            payload_length: SignedRecord::payload_length(draft.kind, &draft.payload)?,
            payload_hash: blake3::hash(&draft.payload).into(),
            id: Key::ZERO,
        }
        .checked()?;
        let signature = self.sign_digest(&header.digest(network));
        let record = SignedRecord::new(header, draft.payload, signature);
        Ok(Verified::from_own_store(record, network))
    }

    /// Signs the content of a record of this writer: all of it but the expiry. Under a record of
    /// another writer the signature does not hold.
    pub fn sign_content(&self, network: &NetworkId, record: &SignedRecord) -> ContentSignature {
        let digest = record.header().content_digest(network);
        ContentSignature::from_bytes(self.sign_digest(&digest))
    }
}
