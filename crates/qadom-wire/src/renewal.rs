//! Renewals: a later expiry for a record that the receiver already has, without its payload.

use bytes::Bytes;
use qadom_routing::Key;

use crate::error::{DecodeError, RecordError};
use crate::field;
use crate::header::Header;
use crate::network::NetworkId;
use crate::proto;
use crate::record::Kind;
use crate::signed::{Fields, SignedRecord, Verified};

/// The renewal of something that the holder already has. Who lacks it answers
/// [`Reason::NotFound`](crate::Reason::NotFound) and is sent the whole record.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, Renewal, dict_slot};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let (writer, name) = (Identity::from_seed([7; 32]), dict_slot(b"weather")?);
/// let cell = |expiry| writer.sign(&network, Draft::dict_cell(name, "rain".into(), 1, expiry));
/// let (held, later) = (cell(1_700_000_000)?, cell(1_700_129_600)?);
/// // The payload stays at home: who holds the record has it.
/// assert_eq!(Renewal::of(&later).apply(&held, &network)?, later);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Of a value, by its key.
    Value(Key),
    /// Of a signed record: all that is signed, and the new signature.
    Signed(SignedRenewal),
}

/// A signed record without its payload. Its structure is checked, its signature is not.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, Record, Renewal, dict_slot};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let draft = Draft::dict_cell(dict_slot(b"weather")?, vec![7; 8192].into(), 1, 1_700_129_600);
/// let record = Identity::from_seed([7; 32]).sign(&network, draft)?;
/// let renewal = Renewal::of(&record);
/// assert!(matches!(renewal, Renewal::Signed(_)));
/// assert!(Record::Renewal(renewal).encoded_length() < 300);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRenewal {
    header: Box<Header>,
    signature: [u8; 64],
}

impl Renewal {
    /// The renewal that brings this record to who has it with an earlier expiry.
    pub fn of(record: &Verified) -> Self {
        Self::Signed(SignedRenewal {
            header: Box::new(record.header().clone()),
            signature: *record.signature(),
        })
    }

    /// The slot of the record.
    pub fn slot(&self) -> &Key {
        match self {
            Self::Value(key) => key,
            Self::Signed(renewal) => &renewal.header.slot,
        }
    }

    /// The kind of the record.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Value(_) => Kind::Value,
            Self::Signed(renewal) => renewal.header.kind,
        }
    }

    /// The item id inside (slot, kind), as [`SignedRecord::id`]; zero for values.
    pub fn id(&self) -> Key {
        match self {
            Self::Value(_) => Key::ZERO,
            Self::Signed(renewal) => renewal.header.id,
        }
    }

    /// The renewed record, with the payload of the held one. Whether it is later than the held one
    /// is told by [`relation`](crate::relation).
    ///
    /// # Errors
    ///
    /// [`RecordError::BadHash`] when this is the renewal of something else than the held record:
    /// of a value, of another identity or version, or of another payload.
    /// [`RecordError::BadSignature`] when the writer did not sign it for this network.
    pub fn apply(&self, held: &SignedRecord, network: &NetworkId) -> Result<Verified, RecordError> {
        let Self::Signed(SignedRenewal { header, signature }) = self else {
            return Err(RecordError::BadHash);
        };
        let expected = Header {
            expiry: header.expiry,
            ..held.header().clone()
        };
        if **header != expected {
            return Err(RecordError::BadHash);
        }
        SignedRecord::new(expected, held.payload().clone(), *signature).verify(network)
    }
}

impl From<&SignedRenewal> for proto::SignedRenewal {
    fn from(renewal: &SignedRenewal) -> Self {
        let header = &renewal.header;
        Self {
            kind: proto::RecordKind::from(header.kind).into(),
            flags: header.is_tombstone.into(),
            slot: field::bytes(&header.slot),
            label: header.label_field(),
            writer: Bytes::copy_from_slice(header.writer.as_bytes()),
            stream: header.stream,
            seq: header.seq,
            expiry: header.expiry,
            payload_length: header.payload_length.into(),
            payload_hash: Bytes::copy_from_slice(&header.payload_hash),
            signature: Bytes::copy_from_slice(&renewal.signature),
        }
    }
}

impl TryFrom<proto::SignedRenewal> for SignedRenewal {
    type Error = DecodeError;

    fn try_from(renewal: proto::SignedRenewal) -> Result<Self, DecodeError> {
        let header = Fields {
            kind: renewal.kind,
            flags: renewal.flags,
            slot: renewal.slot,
            label: renewal.label,
            writer: renewal.writer,
            stream: renewal.stream,
            seq: renewal.seq,
            expiry: renewal.expiry,
            payload_length: usize::try_from(renewal.payload_length).unwrap_or(usize::MAX),
            payload_hash: field::array("payload_hash", &renewal.payload_hash)?,
        }
        .check()?;
        Ok(Self {
            header: Box::new(header),
            signature: field::array("signature", &renewal.signature)?,
        })
    }
}
