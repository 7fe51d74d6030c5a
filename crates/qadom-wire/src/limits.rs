//! The limits that every node of every network keeps, since bytes on the wire depend on them.

use std::time::Duration;

/// How many nodes keep a record, and how many contacts an answer names.
pub const K: usize = 20;

/// The longest payload of a value in bytes.
pub const VALUE_MAX: usize = 8192;

/// The longest payload of a bag item in bytes.
pub const BAG_ITEM_MAX: usize = 1024;

/// The longest name in bytes: of a network, a dict, a file.
pub const NAME_MAX: usize = 256;

/// The most writers that a cursor knows.
pub const CURSOR_WRITERS_MAX: usize = 256;

/// The most ranges in one digest.
pub const DIGEST_RANGES_MAX: usize = 64;

/// The most parts that a differing range is split into.
pub const DIGEST_SPLIT: usize = 16;

/// The most records of a differing range that are listed; with more it is split.
pub const DIGEST_RECORDS_MAX: usize = 32;

/// The longest message in bytes, envelope included.
pub const MESSAGE_MAX: usize = 8960;

/// The length in bytes of an answer's envelope, the longer of the two: kind 1, request id 8,
/// clock 8.
pub const ENVELOPE_LENGTH: usize = 17;

/// The longest body of a request or an answer in bytes.
pub const BODY_MAX: usize = MESSAGE_MAX - ENVELOPE_LENGTH;

/// The longest encoded record in bytes that is handed out before a session is confirmed.
pub const FIRST_RECORD_MAX: usize = 1000;

/// The most records, or results, in one message.
pub const ITEMS_MAX: usize = 256;

/// The most contacts in one answer: the largest set of nodes that a put writes to.
pub const CONTACTS_MAX: usize = 60;

/// The longest life of a record, counted from now.
pub const MAX_TTL: Duration = Duration::from_hours(7 * 24);

/// The longest life of a copy of a value, counted from the last put.
pub const VALUE_TTL_MAX: Duration = Duration::from_hours(36);

/// The most chunks in one offer.
pub const OFFER_CHUNKS_MAX: usize = 256;

/// The longest bitfield of chunks in one answer, in bytes: 16 GiB of a file.
pub const HELD_BYTES_MAX: usize = 8192;

/// The longest media type of a file in bytes.
pub const CONTENT_TYPE_MAX: usize = 127;

/// The most URLs of one file.
pub const FILE_URLS_MAX: usize = 8;

/// The longest URL of a file in bytes.
pub const FILE_URL_MAX: usize = 512;
