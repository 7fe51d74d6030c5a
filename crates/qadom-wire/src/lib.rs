//! What qadom nodes say to each other, as checked types: requests, answers, records, contacts, the
//! parameters of a network, and the one list of reasons for a refusal.
//!
//! What must stay true: bytes from a peer never cause a panic and never an allocation that is out
//! of proportion to their length; what decodes is valid in itself. The types that protobuf
//! generates do not leave this crate. Not here: packets and the envelope of messages
//! (`qadom-transport`), and what a node does with a message (`qadom-engine`).

mod address;
mod answer;
mod contacts;
mod cursor;
mod digest;
mod draft;
mod error;
mod field;
mod file;
mod find;
mod header;
mod hello;
mod item_count;
mod limits;
mod network;
mod order;
mod proto;
mod reason;
mod record;
mod renewal;
mod request;
mod signed;
mod slot;
mod store;
mod value;
mod watch;
mod writer;

pub use answer::{Answer, Pong};
pub use contacts::{ContactsError, pack_contacts, unpack_contacts};
pub use cursor::{Cursor, CursorEntry, CursorError};
pub use digest::{Digest, DigestRange, Position, RangeDigest};
pub use draft::Draft;
pub use error::{BodyTooLong, DecodeError, RecordError};
pub use file::{FileEntry, FileEntryError, Held, Holds, Offer, OfferResult, Provider, is_file_url};
pub use find::{Find, Found, IdRange, Oversize};
pub use hello::{HELLO_LENGTH_MAX, Hello, HelloError};
pub use limits::{
    BAG_ITEM_MAX, BODY_MAX, CONTACTS_MAX, CONTENT_TYPE_MAX, CURSOR_WRITERS_MAX, DIGEST_RANGES_MAX,
    DIGEST_RECORDS_MAX, DIGEST_SPLIT, ENVELOPE_LENGTH, FILE_URL_MAX, FILE_URLS_MAX,
    FIRST_RECORD_MAX, HELD_BYTES_MAX, ITEMS_MAX, K, MAX_TTL, MESSAGE_MAX, NAME_MAX,
    OFFER_CHUNKS_MAX, VALUE_MAX, VALUE_TTL_MAX,
};
pub use network::{DEFAULT_NETWORK, Network, NetworkError, NetworkId, PROTOCOL_MAJOR};
pub use order::{Relation, fingerprint, merge, relation};
pub use reason::{Reason, UnknownReason};
pub use record::{Kind, Record};
pub use renewal::{Renewal, SignedRenewal};
pub use request::{DialBack, FindNode, Ping, Request, Stream};
pub use signed::{SignedRecord, Verified};
pub use slot::{
    NameError, bag_item_id, bag_label, chunk_slot, dict_slot, event_id, file_name_slot, item_id,
    namespace_slot, providers_slot,
};
pub use store::{SourceGroup, Store, StoreClass, StoreItem, StoreResult};
pub use value::{Value, ValueError};
pub use watch::{Notify, Unwatch, Watch, Watched};
pub use writer::{
    ContentSignature, Identity, SignatureTextError, WeakKey, Writer, WriterTextError,
};

/// Runs the example of the crate's README with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
