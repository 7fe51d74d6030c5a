//! Files: asking nodes to keep chunks and which they have, and what bags say of files.
//!
//! What must stay true: whatever decodes is within its limits, and nothing here allocates for the
//! size that somebody claims. Trees, proofs and chunks themselves belong to `qadom-files`, the bytes
//! of data streams to the node.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use qadom_routing::Contact;

use crate::contacts::{pack_contacts, unpack_contacts};
use crate::error::DecodeError;
use crate::field;
use crate::limits::{
    BAG_ITEM_MAX, CONTENT_TYPE_MAX, FILE_URL_MAX, FILE_URLS_MAX, HELD_BYTES_MAX, OFFER_CHUNKS_MAX,
};
use crate::proto;
use crate::reason::Reason;

/// The length of an index in an offer, in bytes.
const INDEX_LENGTH: usize = 8;

/// Asks a node to keep chunks of a file. It pulls those that it wants.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Offer, Request};
///
/// let offer = Request::Offer(Offer {
///     file: [7; 32],
///     length: 300_000,
///     chunks: vec![0, 1],
///     expiry: 1_700_129_600,
///     copies: 6,
/// });
/// assert_eq!(Request::decode(offer.encode())?, offer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The BLAKE3 of the file's content.
    pub file: [u8; 32],
    /// The length of the file in bytes. Not proven.
    pub length: u64,
    /// The indexes of the chunks, rising, 1 to [`OFFER_CHUNKS_MAX`].
    pub chunks: Vec<u64>,
    /// Until when they are to be kept, in seconds of UTC.
    pub expiry: u64,
    /// How many nodes are to have each of them, which its holders keep up among themselves; 0 when
    /// they need not.
    pub copies: u32,
}

/// What becomes of one chunk of an [`Offer`].
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, OfferResult, Reason};
///
/// let results = vec![OfferResult::Wanted, OfferResult::Refused(Reason::Quota)];
/// let answer = Answer::Offered(results);
/// assert_eq!(Answer::decode(answer.encode())?, answer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferResult {
    /// The node does not have it and will pull it.
    Wanted,
    /// The node has it and keeps it until then.
    Held,
    /// The node does not keep it.
    Refused(Reason),
}

/// Asks a node which chunks of a file it has.
///
/// # Examples
///
/// ```
/// use qadom_wire::{DecodeError, Holds, Request};
///
/// let ask = |first| Request::Holds(Holds { file: [7; 32], first }).encode();
/// assert!(Request::decode(ask(8)).is_ok());
/// assert_eq!(Request::decode(ask(9)), Err(DecodeError::Field { field: "first" }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// The BLAKE3 of the file's content.
    pub file: [u8; 32],
    /// The index of the first chunk that is asked for, a multiple of 8.
    pub first: u64,
}

/// Which chunks of a file a node has.
///
/// # Examples
///
/// ```
/// use qadom_wire::Held;
///
/// let held = Held { length: 300_000, bits: vec![0b10].into() };
/// assert!(held.has(1) && !held.has(0) && !held.has(100));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The length of the file in bytes, as far as the node knows. Not proven.
    pub length: u64,
    /// One bit for each chunk from the first that was asked for on, the lowest bit of a byte first;
    /// at most [`HELD_BYTES_MAX`] bytes. Empty when the node has none of them.
    pub bits: Bytes,
}

impl Held {
    /// Whether the node has the chunk at `offset` from the first that was asked for.
    pub fn has(&self, offset: usize) -> bool {
        let byte = self.bits.get(offset / 8).copied().unwrap_or(0);
        byte >> (offset % 8) & 1 == 1
    }
}

/// What a name stands for: an item of the bag in the [`file_name_slot`](crate::file_name_slot).
///
/// # Examples
///
/// ```
/// use qadom_wire::FileEntry;
///
/// let entry = FileEntry::new([7; 32], 5, "text/plain", Vec::new())?;
/// assert_eq!(FileEntry::decode(&entry.encode())?, entry);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    id: [u8; 32],
    size: u64,
    content_type: String,
    urls: Vec<String>,
}

/// What is said of a file does not fit. The caller is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{FileEntry, FileEntryError};
///
/// let url = "ftp://192.0.2.1/x".to_owned();
/// let error = FileEntry::new([7; 32], 5, "text/plain", vec![url.clone()]).unwrap_err();
/// assert_eq!(error, FileEntryError::Url { url });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileEntryError {
    /// The media type is too long, or has other bytes than visible ASCII.
    #[error("a content type has at most {CONTENT_TYPE_MAX} bytes of visible ASCII")]
    ContentType,
    /// More URLs than a file may have.
    #[error("a file has at most {FILE_URLS_MAX} URLs, not {count}")]
    TooManyUrls {
        /// How many there are.
        count: usize,
    },
    /// A URL of another scheme, too long, or with spaces or control characters.
    #[error("no http or https URL of at most {FILE_URL_MAX} bytes: {url:?}")]
    Url {
        /// The URL.
        url: String,
    },
    /// All of it together is longer than an item of a bag may be.
    #[error("what is said of the file has {length} bytes, the limit is {BAG_ITEM_MAX}")]
    TooLong {
        /// The encoded length in bytes.
        length: usize,
    },
}

impl FileEntry {
    /// Describes a file by its id (the BLAKE3 of its content), its size in bytes, its media type
    /// (empty when it is not known) and where plain HTTP servers have it.
    ///
    /// # Errors
    ///
    /// [`FileEntryError`] names the limit that does not hold.
    pub fn new(
        id: [u8; 32],
        size: u64,
        content_type: impl Into<String>,
        urls: Vec<String>,
    ) -> Result<Self, FileEntryError> {
        let content_type = content_type.into();
        if !is_content_type(&content_type) {
            return Err(FileEntryError::ContentType);
        }
        if urls.len() > FILE_URLS_MAX {
            return Err(FileEntryError::TooManyUrls { count: urls.len() });
        }
        if let Some(url) = urls.iter().find(|url| !is_file_url(url)) {
            return Err(FileEntryError::Url { url: url.clone() });
        }
        let entry = Self {
            id,
            size,
            content_type,
            urls,
        };
        let length = entry.to_message().encoded_len();
        if length > BAG_ITEM_MAX {
            return Err(FileEntryError::TooLong { length });
        }
        Ok(entry)
    }

    /// The BLAKE3 of the content.
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The size in bytes, as its writer claims. Not proven.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The media type, as its writer claims; empty when it is not known.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Where plain HTTP servers have it, as its writer claims.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The payload of the bag item.
    pub fn encode(&self) -> Bytes {
        self.to_message().encode_to_vec().into()
    }

    /// Reads the payload of a bag item.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no entry or breaks a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() > BAG_ITEM_MAX {
            return Err(DecodeError::TooLong {
                length: payload.len(),
            });
        }
        let message = proto::FileEntry::decode(payload).map_err(|_| DecodeError::Protobuf)?;
        let id = field::array("id", &message.id)?;
        Self::new(id, message.size, message.content_type, message.urls)
            .map_err(|_| DecodeError::Field { field: "entry" })
    }

    fn to_message(&self) -> proto::FileEntry {
        proto::FileEntry {
            id: Bytes::copy_from_slice(&self.id),
            size: self.size,
            content_type: self.content_type.clone(),
            urls: self.urls.clone(),
        }
    }
}

fn is_content_type(text: &str) -> bool {
    text.len() <= CONTENT_TYPE_MAX && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Whether a text may be the URL of a file: http or https, short enough, visible ASCII alone.
pub fn is_file_url(text: &str) -> bool {
    let has_scheme = ["http://", "https://"]
        .iter()
        .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    has_scheme && text.len() <= FILE_URL_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Who has a file, or some of it: the payload of an item of the bag in its
/// [`providers_slot`](crate::providers_slot). A hint until a session with the node confirms it.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, NodeKey};
/// use qadom_wire::Provider;
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let provider = Provider::new(contact);
/// assert_eq!(Provider::decode(&provider.encode())?, provider);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Provider(Contact);

impl Provider {
    /// Names a node by where it is reached.
    pub const fn new(contact: Contact) -> Self {
        Self(contact)
    }

    /// The node.
    pub const fn contact(&self) -> &Contact {
        &self.0
    }

    /// The payload of the bag item: the contact packed as contacts are in answers.
    pub fn encode(&self) -> Bytes {
        pack_contacts([&self.0], usize::MAX)
    }

    /// Reads the payload of a bag item.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] unless it is exactly one contact.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        match <[Contact; 1]>::try_from(unpack_contacts(payload)?) {
            Ok([contact]) => Ok(Self(contact)),
            Err(_) => Err(DecodeError::Field { field: "provider" }),
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Provider").field(&self.0).finish()
    }
}

impl From<&Offer> for proto::Offer {
    fn from(offer: &Offer) -> Self {
        let chunks = offer.chunks.iter().flat_map(|index| index.to_le_bytes());
        Self {
            file: Bytes::copy_from_slice(&offer.file),
            length: offer.length,
            chunks: chunks.collect(),
            expiry: offer.expiry,
            copies: offer.copies,
        }
    }
}

impl TryFrom<proto::Offer> for Offer {
    type Error = DecodeError;

    fn try_from(offer: proto::Offer) -> Result<Self, DecodeError> {
        let bad = DecodeError::Field { field: "chunks" };
        let (indexes, rest) = offer.chunks.as_chunks::<INDEX_LENGTH>();
        if !rest.is_empty() || indexes.is_empty() || indexes.len() > OFFER_CHUNKS_MAX {
            return Err(bad);
        }
        let chunks: Vec<u64> = indexes.iter().copied().map(u64::from_le_bytes).collect();
        if !chunks.is_sorted_by(|one, next| one < next) {
            return Err(bad);
        }
        Ok(Self {
            file: field::array("file", &offer.file)?,
            length: offer.length,
            chunks,
            expiry: offer.expiry,
            copies: offer.copies,
        })
    }
}

/// The results of an offer as their bytes.
pub(crate) fn pack_offered(results: &[OfferResult]) -> proto::Offered {
    let byte = |result: &OfferResult| match result {
        OfferResult::Wanted => 0,
        OfferResult::Held => 1,
        OfferResult::Refused(reason) => 1 + reason.number(),
    };
    proto::Offered {
        results: results.iter().map(byte).collect(),
    }
}

pub(crate) fn unpack_offered(offered: &proto::Offered) -> Result<Vec<OfferResult>, DecodeError> {
    if offered.results.len() > OFFER_CHUNKS_MAX {
        return Err(DecodeError::Field { field: "results" });
    }
    let result = |byte: &u8| match byte {
        0 => OfferResult::Wanted,
        1 => OfferResult::Held,
        number => OfferResult::Refused(Reason::from_number(i32::from(*number) - 1)),
    };
    Ok(offered.results.iter().map(result).collect())
}

impl From<&Holds> for proto::Holds {
    fn from(holds: &Holds) -> Self {
        Self {
            file: Bytes::copy_from_slice(&holds.file),
            first: holds.first,
        }
    }
}

impl TryFrom<proto::Holds> for Holds {
    type Error = DecodeError;

    fn try_from(holds: proto::Holds) -> Result<Self, DecodeError> {
        if !holds.first.is_multiple_of(8) {
            return Err(DecodeError::Field { field: "first" });
        }
        Ok(Self {
            file: field::array("file", &holds.file)?,
            first: holds.first,
        })
    }
}

impl From<&Held> for proto::Held {
    fn from(held: &Held) -> Self {
        Self {
            length: held.length,
            bits: held.bits.clone(),
        }
    }
}

impl TryFrom<proto::Held> for Held {
    type Error = DecodeError;

    fn try_from(held: proto::Held) -> Result<Self, DecodeError> {
        if held.bits.len() > HELD_BYTES_MAX {
            return Err(DecodeError::Field { field: "bits" });
        }
        Ok(Self {
            length: held.length,
            bits: held.bits,
        })
    }
}
