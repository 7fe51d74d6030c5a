//! Signed records: as they come, and verified.
//!
//! What must stay true: a [`SignedRecord`] keeps the rules of its kind, and its payload has the
//! length and hash that are signed; only [`SignedRecord::verify`], [`Identity::sign`] and
//! [`Verified::from_own_store`] make a [`Verified`]. Nothing here depends on the time.
//!
//! [`Identity::sign`]: crate::Identity::sign

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use qadom_routing::Key;

use crate::error::{DecodeError, RecordError};
use crate::field;
use crate::header::Header;
use crate::network::NetworkId;
use crate::proto;
use crate::record::Kind;
use crate::writer::{ContentSignature, Writer};

/// A record as it came: its structure is checked, its signature is not. Clones share one copy.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, SignedRecord, dict_slot};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let draft = Draft::dict_cell(dict_slot(b"weather")?, "rain".into(), 1, 1_700_129_600);
/// let record = Identity::from_seed([7; 32]).sign(&network, draft)?.into_inner();
/// let read = SignedRecord::from_bytes(record.to_bytes())?;
/// assert_eq!((read.seq(), &read.payload()[..]), (1, &b"rain"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRecord(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    header: Header,
    payload: Bytes,
    signature: [u8; 64],
}

impl SignedRecord {
    /// The parts have to belong together.
    pub(crate) fn new(header: Header, payload: Bytes, signature: [u8; 64]) -> Self {
        Self(Arc::new(Parts {
            header,
            payload,
            signature,
        }))
    }

    /// The length of a payload as it is signed, if the kind allows it.
    pub(crate) fn payload_length(kind: Kind, payload: &[u8]) -> Result<u16, RecordError> {
        let (length, limit) = (payload.len(), kind.payload_max());
        u16::try_from(length).map_err(|_| RecordError::TooLarge { length, limit })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.0.header
    }

    /// The kind; never [`Kind::Value`].
    pub fn kind(&self) -> Kind {
        self.0.header.kind
    }

    /// Whether the record buries what has its identity.
    pub fn is_tombstone(&self) -> bool {
        self.0.header.is_tombstone
    }

    /// The slot.
    pub fn slot(&self) -> &Key {
        &self.0.header.slot
    }

    /// Of a bag item and its tombstone the BLAKE3 of the item's payload, of a namespace entry the
    /// key, else zero.
    pub fn label(&self) -> &[u8; 32] {
        &self.0.header.label
    }

    /// Who claims to have signed it.
    pub fn writer(&self) -> &Writer {
        &self.0.header.writer
    }

    /// When the publisher opened the topic, in microseconds UTC; 0 in all but events.
    pub fn stream(&self) -> u64 {
        self.0.header.stream
    }

    /// The version.
    pub fn seq(&self) -> u64 {
        self.0.header.seq
    }

    /// When the record ends, in seconds UTC.
    pub fn expiry(&self) -> u64 {
        self.0.header.expiry
    }

    /// The payload. After decoding it is a slice of the received body and keeps it alive.
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// The BLAKE3 of the payload.
    pub fn payload_hash(&self) -> &[u8; 32] {
        &self.0.header.payload_hash
    }

    /// The signature.
    pub fn signature(&self) -> &[u8; 64] {
        &self.0.signature
    }

    /// The item id inside (slot, kind): BLAKE3(writer, label) in a bag, the writer in a dict, zero
    /// in a namespace, and (tag of the writer, stream, seq) in a topic.
    pub fn id(&self) -> &Key {
        &self.0.header.id
    }

    /// The hash of the record in a network: BLAKE3 of what is signed and the signature.
    pub fn hash(&self, network: &NetworkId) -> [u8; 32] {
        self.0.header.hash(network, &self.0.signature)
    }

    /// Checks the signature. A record of another network fails it.
    ///
    /// # Errors
    ///
    /// [`RecordError::BadSignature`] when the writer did not sign this record for this network.
    pub fn verify(self, network: &NetworkId) -> Result<Verified, RecordError> {
        let digest = self.0.header.digest(network);
        if self.writer().is_signature(&digest, &self.0.signature) {
            Ok(Verified::from_own_store(self, network))
        } else {
            Err(RecordError::BadSignature)
        }
    }

    /// Whether the writer of this record signed its content: all but the expiry.
    pub fn verify_content(&self, network: &NetworkId, signature: &ContentSignature) -> bool {
        let digest = self.0.header.content_digest(network);
        self.writer().is_signature(&digest, signature.as_bytes())
    }

    /// The bytes under which the node's own store keeps the record.
    pub fn to_bytes(&self) -> Bytes {
        proto::SignedRecord::from(self).encode_to_vec().into()
    }

    /// Reads what [`SignedRecord::to_bytes`] wrote. The payload is a slice of `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no record of this revision.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let record = proto::SignedRecord::decode(bytes).map_err(|_| DecodeError::Protobuf)?;
        Self::try_from(record)
    }
}

impl fmt::Debug for SignedRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.0.header;
        formatter
            .debug_struct("SignedRecord")
            .field("kind", &header.kind)
            .field("is_tombstone", &header.is_tombstone)
            .field("slot", &header.slot)
            .field("writer", &header.writer)
            .field("stream", &header.stream)
            .field("seq", &header.seq)
            .field("expiry", &header.expiry)
            .field("payload_length", &header.payload_length)
            .finish_non_exhaustive()
    }
}

/// The signed fields as messages carry them, before they are checked.
pub(crate) struct Fields {
    pub(crate) kind: i32,
    pub(crate) flags: u32,
    pub(crate) slot: Bytes,
    pub(crate) label: Bytes,
    pub(crate) writer: Bytes,
    pub(crate) stream: u64,
    pub(crate) seq: u64,
    pub(crate) expiry: u64,
    pub(crate) payload_length: usize,
    pub(crate) payload_hash: [u8; 32],
}

impl Fields {
    pub(crate) fn check(self) -> Result<Header, DecodeError> {
        let kind: Kind = proto::RecordKind::try_from(self.kind)
            .map_err(|_| DecodeError::UnknownKind)?
            .into();
        let is_tombstone = match self.flags {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Field { field: "flags" }),
        };
        let label = if Header::has_free_label(kind, is_tombstone) {
            field::array("label", &self.label)?
        } else if !self.label.is_empty() {
            return Err(DecodeError::Field { field: "label" });
        } else if kind == Kind::BagItem {
            self.payload_hash
        } else {
            [0; 32]
        };
        let (length, limit) = (self.payload_length, kind.payload_max());
        let header = Header {
            kind,
            is_tombstone,
            slot: field::key("slot", &self.slot)?,
            label,
            writer: Writer::new(field::array("writer", &self.writer)?)
                .map_err(RecordError::from)?,
            stream: self.stream,
            seq: self.seq,
            expiry: self.expiry,
            payload_length: u16::try_from(length)
                .map_err(|_| RecordError::TooLarge { length, limit })?,
            payload_hash: self.payload_hash,
            id: Key::ZERO,
        };
        Ok(header.checked()?)
    }
}

impl Header {
    /// The label as messages carry it.
    pub(crate) fn label_field(&self) -> Bytes {
        if Self::has_free_label(self.kind, self.is_tombstone) {
            Bytes::copy_from_slice(&self.label)
        } else {
            Bytes::new()
        }
    }
}

impl From<&SignedRecord> for proto::SignedRecord {
    fn from(record: &SignedRecord) -> Self {
        let header = record.header();
        Self {
            kind: proto::RecordKind::from(header.kind).into(),
            flags: header.is_tombstone.into(),
            slot: field::bytes(&header.slot),
            label: header.label_field(),
            writer: Bytes::copy_from_slice(header.writer.as_bytes()),
            stream: header.stream,
            seq: header.seq,
            expiry: header.expiry,
            payload: record.payload().clone(),
            signature: Bytes::copy_from_slice(record.signature()),
        }
    }
}

impl TryFrom<proto::SignedRecord> for SignedRecord {
    type Error = DecodeError;

    fn try_from(record: proto::SignedRecord) -> Result<Self, DecodeError> {
        let header = Fields {
            kind: record.kind,
            flags: record.flags,
            slot: record.slot,
            label: record.label,
            writer: record.writer,
            stream: record.stream,
            seq: record.seq,
            expiry: record.expiry,
            payload_length: record.payload.len(),
            payload_hash: blake3::hash(&record.payload).into(),
        }
        .check()?;
        let signature = field::array("signature", &record.signature)?;
        Ok(Self::new(header, record.payload, signature))
    }
}

/// A signed record whose signature holds in the network of this node.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, SignedRecord, Verified, dict_slot};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let draft = Draft::dict_cell(dict_slot(b"weather")?, "rain".into(), 1, 1_700_129_600);
/// let bytes = Identity::from_seed([7; 32]).sign(&network, draft)?.to_bytes();
/// let verified: Verified = SignedRecord::from_bytes(bytes)?.verify(&network)?;
/// assert_eq!(*verified.hash(), SignedRecord::hash(&verified, &network));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Verified {
    record: SignedRecord,
    hash: [u8; 32],
}

impl Verified {
    /// Takes a record that this node verified before it kept it; the signature is not checked.
    pub fn from_own_store(record: SignedRecord, network: &NetworkId) -> Self {
        let hash = record.hash(network);
        Self { record, hash }
    }

    /// The hash of the record, by which holders compare what they have.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Gives the record away, without the proof that it is verified.
    pub fn into_inner(self) -> SignedRecord {
        self.record
    }
}

impl Deref for Verified {
    type Target = SignedRecord;

    fn deref(&self) -> &SignedRecord {
        &self.record
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Verified")
            .field(&self.record)
            .finish()
    }
}
