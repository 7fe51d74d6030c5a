//! The signed fields of a record, and the bytes that its writer signs.
//!
//! What must stay true: a [`Header`] keeps every rule of its kind that can be checked without the
//! network and the payload's bytes; its id is computed once. Not here: the payload and the
//! signature's check (`signed`).

use qadom_routing::Key;

use crate::error::RecordError;
use crate::network::NetworkId;
use crate::record::Kind;
use crate::slot::{event_id, item_id, namespace_slot};
use crate::writer::Writer;

/// The length in bytes of what is signed.
const SIGNED_LENGTH: usize = 188;

/// The length in bytes of the expiry inside what is signed.
const EXPIRY_LENGTH: usize = 8;

/// Where the expiry stands in what is signed.
const EXPIRY_AT: usize = SIGNED_LENGTH - 32 - 2 - EXPIRY_LENGTH;

/// The BLAKE3 of no bytes: the payload hash of every tombstone.
const EMPTY_HASH: [u8; 32] = [
    0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49,
    0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
];

/// All that a signature covers but the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) is_tombstone: bool,
    pub(crate) slot: Key,
    pub(crate) label: [u8; 32],
    pub(crate) writer: Writer,
    pub(crate) stream: u64,
    pub(crate) seq: u64,
    pub(crate) expiry: u64,
    pub(crate) payload_length: u16,
    pub(crate) payload_hash: [u8; 32],
    /// Follows from the rest; set by [`Header::checked`].
    pub(crate) id: Key,
}

impl Header {
    /// The header with its id, if it keeps the rules of its kind.
    pub(crate) fn checked(mut self) -> Result<Self, RecordError> {
        let malformed = |field| Err(RecordError::Malformed { field });
        if !self.kind.is_signed() {
            return malformed("kind");
        }
        let (length, limit) = (usize::from(self.payload_length), self.kind.payload_max());
        if length > limit {
            return Err(RecordError::TooLarge { length, limit });
        }
        if self.is_tombstone && self.kind == Kind::Event {
            return malformed("flags");
        }
        // No bytes have one hash, and tombstones have no bytes.
        if (self.is_tombstone && length != 0)
            || ((length == 0) != (self.payload_hash == EMPTY_HASH))
        {
            return malformed("payload");
        }
        if self.stream != 0 && self.kind != Kind::Event {
            return malformed("stream");
        }
        match self.kind {
            Kind::BagItem if !self.is_tombstone && self.label != self.payload_hash => {
                return malformed("label");
            }
            Kind::DictCell | Kind::Event if self.label != [0; 32] => return malformed("label"),
            Kind::NamespaceEntry
                if self.slot
                    != namespace_slot(self.writer.as_bytes(), &Key::from_bytes(self.label)) =>
            {
                return malformed("slot");
            }
            _ => {}
        }
        self.id = match self.kind {
            Kind::BagItem => item_id(&self.writer, &self.label),
            Kind::DictCell => Key::from_bytes(*self.writer.as_bytes()),
            Kind::NamespaceEntry | Kind::Value => Key::ZERO,
            Kind::Event => event_id(&self.writer, self.stream, self.seq),
        };
        Ok(self)
    }

    /// Whether the label has to be sent: elsewhere it follows from the rest.
    pub(crate) fn has_free_label(kind: Kind, is_tombstone: bool) -> bool {
        kind == Kind::NamespaceEntry || (kind == Kind::BagItem && is_tombstone)
    }

    /// The bytes B of the protocol, section 4.
    pub(crate) fn signed_bytes(&self, network: &NetworkId) -> [u8; SIGNED_LENGTH] {
        let parts: [&[u8]; 10] = [
            &[self.kind.number(), u8::from(self.is_tombstone)],
            network.as_bytes(),
            self.slot.as_bytes(),
            &self.label,
            self.writer.as_bytes(),
            &self.stream.to_be_bytes(),
            &self.seq.to_be_bytes(),
            &self.expiry.to_be_bytes(),
            &self.payload_length.to_be_bytes(),
            &self.payload_hash,
        ];
        let mut bytes = [0; SIGNED_LENGTH];
        let mut free = bytes.as_mut_slice();
        for part in parts {
            let (place, rest) = std::mem::take(&mut free).split_at_mut(part.len());
            place.copy_from_slice(part);
            free = rest;
        }
        bytes
    }

    /// What the signature of the record is over.
    pub(crate) fn digest(&self, network: &NetworkId) -> [u8; 32] {
        blake3::derive_key("qadom 1 record", &self.signed_bytes(network))
    }

    /// What the content signature is over.
    pub(crate) fn content_digest(&self, network: &NetworkId) -> [u8; 32] {
        let bytes = self.signed_bytes(network);
        let (front, back) = bytes.split_at(EXPIRY_AT);
        let mut hasher = blake3::Hasher::new_derive_key("qadom 1 content");
        hasher
            .update(front)
            .update(back.get(EXPIRY_LENGTH..).unwrap_or_default());
        hasher.finalize().into()
    }

    /// The hash of the record: of what is signed and the signature.
    pub(crate) fn hash(&self, network: &NetworkId, signature: &[u8; 64]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&self.signed_bytes(network))
            .update(signature)
            .finalize()
            .into()
    }
}
