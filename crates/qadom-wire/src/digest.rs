//! Finding out in which records two holders differ.
//!
//! What must stay true: every list is bounded, a range is never empty, and an answer fits into a body
//! whatever the ranges hold: the longest [`RangeDigest`] takes [`RANGE_DIGEST_LENGTH_MAX`] bytes, and
//! those that do not fit are answered [`RangeDigest::Differs`], never the first difference.

use bytes::Bytes;
use prost::Message;
use qadom_routing::Key;

use crate::error::DecodeError;
use crate::field::{self, framed};
use crate::limits::{BODY_MAX, DIGEST_RANGES_MAX, DIGEST_RECORDS_MAX, DIGEST_SPLIT};
use crate::proto::{self, range_digest::Kind as Arm};
use crate::record::Kind;

/// The length in bytes of a packed position.
const POSITION_LENGTH: usize = 64;

/// The length in bytes of a position and a hash behind it.
const HASHED_LENGTH: usize = POSITION_LENGTH + 32;

/// The most bytes that one range takes in an answer: that of 32 records.
pub(crate) const RANGE_DIGEST_LENGTH_MAX: usize = 3 + 3 + DIGEST_RECORDS_MAX * HASHED_LENGTH;

/// The bytes that a range takes in an answer that says no more than that it is the same or differs.
const BRIEF_LENGTH: usize = 4;

// One range can always be answered in full beside the briefest answers to all others.
const _: () = assert!(
    3 + RANGE_DIGEST_LENGTH_MAX + (DIGEST_RANGES_MAX - 1) * BRIEF_LENGTH <= BODY_MAX
        && DIGEST_SPLIT <= DIGEST_RECORDS_MAX / 2
);

/// The place of a record among all of its kind: ordered by slot, then by item id.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Position, dict_slot};
///
/// let slot = dict_slot(b"weather")?;
/// let first = Position::first_of(slot);
/// assert!(first < Position { slot, id: "name:x".parse()? });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The slot.
    pub slot: Key,
    /// The item id inside (slot, kind); zero for values and namespace entries.
    pub id: Key,
}

/// Asks in which ranges the records of the asker and of the node differ.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_wire::{Digest, DigestRange, Kind, Position, Request, fingerprint};
///
/// // "These are all records that I have: what do you have?"
/// let start = Position::first_of(Key::ZERO);
/// let range = DigestRange { start, end: None, fingerprint: fingerprint(&mut []) };
/// let digest = Request::Digest(Digest { kind: Kind::Value, ranges: vec![range] });
/// assert_eq!(Request::decode(digest.encode())?, digest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The kind of the records.
    pub kind: Kind,
    /// The ranges, at most [`DIGEST_RANGES_MAX`] and together at most [`BODY_MAX`] bytes;
    /// [`Digest::batches`] keeps both.
    pub ranges: Vec<DigestRange>,
}

/// What somebody has between two positions.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_wire::{DigestRange, Position, fingerprint};
///
/// let (start, end) = (Position::first_of(Key::ZERO), Position::first_of(Key::MAX));
/// let range = DigestRange { start, end: Some(end), fingerprint: fingerprint(&mut [[7; 32]]) };
/// assert!(range.contains(&start) && !range.contains(&end));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestRange {
    /// The first position.
    pub start: Position,
    /// The position behind the last, above the first; none for no end.
    pub end: Option<Position>,
    /// The [fingerprint](crate::fingerprint()) of the records in the range.
    pub fingerprint: [u8; 32],
}

/// What the node has in one range of a [`Digest`].
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_wire::{DigestRange, Position, RangeDigest};
///
/// let start = Position::first_of(Key::ZERO);
/// let range = DigestRange { start, end: None, fingerprint: [0; 32] };
/// assert!(RangeDigest::Records(vec![(start, [7; 32])]).is_answer_to(&range));
/// assert!(!RangeDigest::Split(Vec::new()).is_answer_to(&range));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeDigest {
    /// The same as the asker.
    Same,
    /// Too much to list: the parts of the range, 1 to [`DIGEST_SPLIT`], in order, each ending where
    /// the next begins.
    Split(Vec<DigestRange>),
    /// All records in the range, position and hash, ascending, at most [`DIGEST_RECORDS_MAX`].
    Records(Vec<(Position, [u8; 32])>),
    /// Something else than the asker, but the answer had no room to say what: to be asked again.
    Differs,
}

impl Position {
    /// The first position of a slot.
    pub const fn first_of(slot: Key) -> Self {
        Self {
            slot,
            id: Key::ZERO,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.slot.as_bytes());
        out.extend_from_slice(self.id.as_bytes());
    }

    fn from_array([slot, id]: [[u8; 32]; 2]) -> Self {
        Self {
            slot: Key::from_bytes(slot),
            id: Key::from_bytes(id),
        }
    }

    /// As a field: the slot alone when the id is zero.
    fn field(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(POSITION_LENGTH);
        self.put(&mut bytes);
        if self.id == Key::ZERO {
            bytes.truncate(32);
        }
        bytes.into()
    }

    fn from_field(field: &'static str, bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.as_chunks::<32>() {
            ([slot], []) => Ok(Self::from_array([*slot, [0; 32]])),
            ([slot, id], []) => Ok(Self::from_array([*slot, *id])),
            _ => Err(DecodeError::Field { field }),
        }
    }
}

impl DigestRange {
    /// Whether a position lies in the range.
    pub fn contains(&self, position: &Position) -> bool {
        self.start <= *position && self.end.is_none_or(|end| *position < end)
    }

    fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }
}

impl Digest {
    /// Distributes ranges over as few messages as their order allows, each of which fits into a body
    /// and asks for at most [`DIGEST_RANGES_MAX`]. 64 ranges between whole slots fit into one, of
    /// those inside of slots at least 52.
    pub fn batches(kind: Kind, ranges: impl IntoIterator<Item = DigestRange>) -> Vec<Self> {
        let mut batches: Vec<Self> = Vec::new();
        // The kind is one number below 128.
        let bare = 2;
        let mut length = bare;
        for range in ranges {
            let range_length = framed(proto::DigestRange::from(&range).encoded_len());
            let is_open = |batch: &Self| {
                batch.ranges.len() < DIGEST_RANGES_MAX && framed(length + range_length) <= BODY_MAX
            };
            if let Some(batch) = batches.last_mut().filter(|batch| is_open(batch)) {
                batch.ranges.push(range);
                length += range_length;
            } else {
                let ranges = vec![range];
                batches.push(Self { kind, ranges });
                length = bare + range_length;
            }
        }
        batches
    }
}

impl RangeDigest {
    /// Whether this is an answer to that range: the parts of a split cover exactly it, one behind
    /// the other, and records lie in it, ascending.
    pub fn is_answer_to(&self, range: &DigestRange) -> bool {
        match self {
            Self::Same | Self::Differs => true,
            Self::Split(parts) => {
                parts
                    .first()
                    .is_some_and(|first| first.start == range.start)
                    && parts.last().is_some_and(|last| last.end == range.end)
                    && parts
                        .iter()
                        .zip(parts.iter().skip(1))
                        .all(|(part, next)| part.end == Some(next.start))
                    && !parts.iter().any(DigestRange::is_empty)
            }
            Self::Records(records) => {
                records.iter().map(|(position, _)| position).is_sorted()
                    && records.iter().all(|(position, _)| range.contains(position))
            }
        }
    }

    /// The range as messages carry it, without its frame.
    fn to_message(&self) -> proto::RangeDigest {
        let kind = match self {
            Self::Same => Arm::Same(true),
            Self::Differs => Arm::Differs(true),
            Self::Split(parts) => {
                let mut bytes = Vec::with_capacity(parts.len() * HASHED_LENGTH + POSITION_LENGTH);
                for part in parts {
                    part.start.put(&mut bytes);
                    bytes.extend_from_slice(&part.fingerprint);
                }
                if let Some(end) = parts.last().and_then(|last| last.end) {
                    end.put(&mut bytes);
                }
                Arm::Split(bytes.into())
            }
            Self::Records(records) => {
                let mut bytes = Vec::with_capacity(records.len() * HASHED_LENGTH);
                for (position, hash) in records {
                    position.put(&mut bytes);
                    bytes.extend_from_slice(hash);
                }
                Arm::Records(bytes.into())
            }
        };
        proto::RangeDigest { kind: Some(kind) }
    }
}

/// The answer for these ranges when the body may have `limit` bytes: what does not fit differs.
pub(crate) fn digested_within(ranges: &[RangeDigest], limit: usize) -> proto::Digested {
    let mut messages: Vec<_> = ranges.iter().map(RangeDigest::to_message).collect();
    let lengths = |message: &proto::RangeDigest| framed(message.encoded_len());
    let mut length: usize = messages.iter().map(lengths).sum();
    for message in messages.iter_mut().rev() {
        if framed(length) <= limit {
            break;
        }
        let whole = lengths(message);
        if whole > BRIEF_LENGTH {
            *message = RangeDigest::Differs.to_message();
            length = length - whole + BRIEF_LENGTH;
        }
    }
    proto::Digested { ranges: messages }
}

fn unpack_split(bytes: &[u8]) -> Result<Vec<DigestRange>, DecodeError> {
    let refused = DecodeError::Field { field: "split" };
    let (parts, end) = bytes.as_chunks::<HASHED_LENGTH>();
    let end = match end {
        [] => None,
        end if end.len() == POSITION_LENGTH => Some(Position::from_field("split", end)?),
        _ => return Err(refused),
    };
    if parts.is_empty() || parts.len() > DIGEST_SPLIT {
        return Err(refused);
    }
    let starts: Vec<_> = parts.iter().map(hashed).collect();
    let ends = starts.iter().skip(1).map(|(start, _)| Some(*start));
    let ranges: Vec<_> = starts
        .iter()
        .zip(ends.chain([end]))
        .map(|((start, fingerprint), end)| DigestRange {
            start: *start,
            end,
            fingerprint: *fingerprint,
        })
        .collect();
    if ranges.iter().any(DigestRange::is_empty) {
        return Err(refused);
    }
    Ok(ranges)
}

fn unpack_records(bytes: &[u8]) -> Result<Vec<(Position, [u8; 32])>, DecodeError> {
    let refused = DecodeError::Field { field: "records" };
    let (records, rest) = bytes.as_chunks::<HASHED_LENGTH>();
    if !rest.is_empty() || records.len() > DIGEST_RECORDS_MAX {
        return Err(refused);
    }
    let records: Vec<_> = records.iter().map(hashed).collect();
    let positions = records.iter().map(|(position, _)| position);
    if positions
        .clone()
        .zip(positions.skip(1))
        .any(|(a, b)| a >= b)
    {
        return Err(refused);
    }
    Ok(records)
}

/// A packed position and the hash behind it.
fn hashed(bytes: &[u8; HASHED_LENGTH]) -> (Position, [u8; 32]) {
    let mut parts = [[0; 32]; 3];
    parts.as_flattened_mut().copy_from_slice(bytes);
    let [slot, id, hash] = parts;
    (Position::from_array([slot, id]), hash)
}

impl From<&DigestRange> for proto::DigestRange {
    fn from(range: &DigestRange) -> Self {
        Self {
            start: range.start.field(),
            end: range.end.as_ref().map(Position::field),
            fingerprint: Bytes::copy_from_slice(&range.fingerprint),
        }
    }
}

impl TryFrom<proto::DigestRange> for DigestRange {
    type Error = DecodeError;

    fn try_from(range: proto::DigestRange) -> Result<Self, DecodeError> {
        let end = |end: Bytes| Position::from_field("end", &end);
        let range = Self {
            start: Position::from_field("start", &range.start)?,
            end: range.end.map(end).transpose()?,
            fingerprint: field::array("fingerprint", &range.fingerprint)?,
        };
        if range.is_empty() {
            return Err(DecodeError::Field { field: "end" });
        }
        Ok(range)
    }
}

impl From<&Digest> for proto::Digest {
    fn from(digest: &Digest) -> Self {
        Self {
            ranges: digest.ranges.iter().map(Into::into).collect(),
            kind: proto::RecordKind::from(digest.kind).into(),
        }
    }
}

impl TryFrom<proto::Digest> for Digest {
    type Error = DecodeError;

    fn try_from(digest: proto::Digest) -> Result<Self, DecodeError> {
        let kind =
            proto::RecordKind::try_from(digest.kind).map_err(|_| DecodeError::UnknownKind)?;
        Ok(Self {
            kind: kind.into(),
            ranges: limited(digest.ranges)?,
        })
    }
}

/// The ranges of a request or an answer, if they are not too many.
fn limited<From, To: TryFrom<From, Error = DecodeError>>(
    ranges: Vec<From>,
) -> Result<Vec<To>, DecodeError> {
    if ranges.len() > DIGEST_RANGES_MAX {
        return Err(DecodeError::Field { field: "ranges" });
    }
    ranges.into_iter().map(To::try_from).collect()
}

impl TryFrom<proto::RangeDigest> for RangeDigest {
    type Error = DecodeError;

    fn try_from(range: proto::RangeDigest) -> Result<Self, DecodeError> {
        Ok(match range.kind.ok_or(DecodeError::UnknownKind)? {
            Arm::Same(_) => Self::Same,
            Arm::Split(bytes) => Self::Split(unpack_split(&bytes)?),
            Arm::Records(bytes) => Self::Records(unpack_records(&bytes)?),
            Arm::Differs(_) => Self::Differs,
        })
    }
}

/// The ranges of an answer.
pub(crate) fn unpack_digested(digested: proto::Digested) -> Result<Vec<RangeDigest>, DecodeError> {
    limited(digested.ranges)
}
