//! What one node answers another.
//!
//! What must stay true: an answer that has to be shorter loses contacts from the far end, then the
//! end of its page of signed records, which its cursor then names, and no difference silently.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;
use qadom_routing::Contact;

use crate::address::{pack_observed, unpack_observed};
use crate::contacts::{pack_while, unpack_contacts};
use crate::digest::{RangeDigest, digested_within, unpack_digested};
use crate::error::{BodyTooLong, DecodeError};
use crate::field::framed;
use crate::file::{Held, OfferResult, pack_offered, unpack_offered};
use crate::find::Found;
use crate::item_count;
use crate::proto::{self, answer::Kind};
use crate::reason::Reason;
use crate::request::Stream;
use crate::store::StoreResult;
use crate::watch::Watched;

/// The answer to one request.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, Found, Record, Value};
///
/// let record = Record::Value(Value::new("hello".into())?);
/// let answer = Answer::Found(Found { records: vec![record], ..Found::default() });
/// let body = answer.encode_within(1028)?;
/// assert_eq!(Answer::decode(body)?, answer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answers [`Request::Ping`](crate::Request::Ping).
    Pong(Pong),
    /// Answers [`Request::FindNode`](crate::Request::FindNode): the nearest contacts, nearest
    /// first.
    Contacts(Vec<Contact>),
    /// Answers [`Request::Find`](crate::Request::Find).
    Found(Found),
    /// Answers [`Request::Store`](crate::Request::Store): one result for each item, in their order.
    Stored(Vec<StoreResult>),
    /// Answers [`Request::Digest`](crate::Request::Digest): one for each range, in their order.
    Digested(Vec<RangeDigest>),
    /// Answers [`Request::Watch`](crate::Request::Watch).
    Watched(Watched),
    /// Answers [`Request::Notify`](crate::Request::Notify).
    Notified {
        /// The number of the batch.
        number: u64,
    },
    /// Answers [`Request::Unwatch`](crate::Request::Unwatch).
    Unwatched,
    /// Answers [`Request::Offer`](crate::Request::Offer): one result for each chunk, in their order.
    Offered(Vec<OfferResult>),
    /// Answers [`Request::Holds`](crate::Request::Holds).
    Held(Held),
    /// Answers [`Request::Stream`](crate::Request::Stream): the key of the node that answers.
    Stream(Stream),
    /// Answers [`Request::DialBack`](crate::Request::DialBack).
    DialedBack {
        /// Whether the node answered at the address, under its key.
        reached: bool,
    },
    /// Answers any request that was not carried out.
    Refused(Reason),
}

/// Says what a node is.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, Pong};
///
/// let observed = Some("192.0.2.1:7236".parse()?);
/// let pong = Answer::Pong(Pong { storing: true, observed, ..Pong::default() });
/// assert_eq!(Answer::decode(pong.encode())?, pong);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The lowest protocol revision that the node speaks.
    pub lowest_version: u32,
    /// The highest protocol revision that the node speaks.
    pub highest_version: u32,
    /// Optional abilities, one bit each.
    pub features: u64,
    /// Whether the node keeps records for others.
    pub storing: bool,
    /// Where the asker's packets come from, if the node tells.
    pub observed: Option<SocketAddr>,
}

impl Default for Pong {
    /// A node that speaks the first revision only and says nothing else.
    fn default() -> Self {
        Self {
            lowest_version: 1,
            highest_version: 1,
            features: 0,
            storing: false,
            observed: None,
        }
    }
}

/// The numbers of the kinds that have a list: `Found`, `Stored`, `Digested`.
const LISTING: &[u32] = &[3, 4, 5];

impl Answer {
    /// Encodes the answer with all its contacts, but no more than
    /// [`CONTACTS_MAX`](crate::CONTACTS_MAX), however long it gets.
    pub fn encode(&self) -> Bytes {
        self.to_message(usize::MAX).encode_to_vec().into()
    }

    /// Encodes the answer in at most `limit` bytes.
    ///
    /// First contacts are left out, the last ones before the first. When that is not enough, a page
    /// of signed records ends earlier, but not before its first record, and its cursor names the
    /// next one; ranges of a digest are answered [`RangeDigest::Differs`], the last ones before the
    /// first. Values and results are never left out. With a limit of
    /// [`BODY_MAX`](crate::BODY_MAX) a digest within its limits always fits, with its first
    /// difference in full.
    ///
    /// # Errors
    ///
    /// [`BodyTooLong`] when the answer does not fit even so.
    pub fn encode_within(&self, limit: usize) -> Result<Bytes, BodyTooLong> {
        let message = self.to_message(limit);
        let needed = message.encoded_len();
        if needed > limit {
            return Err(BodyTooLong { needed, limit });
        }
        Ok(message.encode_to_vec().into())
    }

    /// Decodes an answer. Records keep slices of `body`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the body is no answer that this revision understands.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        item_count::check(&body, LISTING)?;
        let message = proto::Answer::decode(body).map_err(|_| DecodeError::Protobuf)?;
        Ok(match message.kind.ok_or(DecodeError::UnknownKind)? {
            Kind::Pong(pong) => Self::Pong(pong.try_into()?),
            Kind::Contacts(message) => Self::Contacts(unpack_contacts(&message.contacts)?),
            Kind::Found(found) => Self::Found(found.try_into()?),
            Kind::Stored(stored) => {
                Self::Stored(stored.results.into_iter().map(StoreResult::from).collect())
            }
            Kind::Digested(digested) => Self::Digested(unpack_digested(digested)?),
            Kind::Watched(watched) => Self::Watched(watched.try_into()?),
            Kind::Notified(notified) => Self::Notified {
                number: notified.number,
            },
            Kind::Unwatched(proto::Unwatched {}) => Self::Unwatched,
            Kind::Offered(offered) => Self::Offered(unpack_offered(&offered)?),
            Kind::Held(held) => Self::Held(held.try_into()?),
            Kind::Stream(stream) => Self::Stream(stream.try_into()?),
            Kind::DialedBack(dialed) => Self::DialedBack {
                reached: dialed.reached,
            },
            Kind::Refused(refused) => Self::Refused(Reason::from_number(refused.reason)),
        })
    }

    fn to_message(&self, limit: usize) -> proto::Answer {
        let kind = match self {
            Self::Pong(pong) => Kind::Pong(pong.into()),
            Self::Contacts(contacts) => Kind::Contacts(proto::Contacts {
                contacts: pack_beside(0, contacts, limit),
            }),
            Self::Found(found) => {
                let mut message = found.without_contacts(limit);
                message.contacts = pack_beside(message.encoded_len(), &found.contacts, limit);
                Kind::Found(message)
            }
            Self::Stored(results) => Kind::Stored(proto::Stored {
                results: results.iter().copied().map(Into::into).collect(),
            }),
            Self::Digested(ranges) => Kind::Digested(digested_within(ranges, limit)),
            Self::Watched(watched) => Kind::Watched(watched.into()),
            Self::Notified { number } => Kind::Notified(proto::Notified { number: *number }),
            Self::Unwatched => Kind::Unwatched(proto::Unwatched {}),
            Self::Offered(results) => Kind::Offered(pack_offered(results)),
            Self::Held(held) => Kind::Held(held.into()),
            Self::Stream(stream) => Kind::Stream(stream.into()),
            Self::DialedBack { reached } => {
                Kind::DialedBack(proto::DialedBack { reached: *reached })
            }
            Self::Refused(reason) => Kind::Refused(proto::Refused {
                reason: reason.number().into(),
            }),
        };
        proto::Answer { kind: Some(kind) }
    }
}

/// Packs the contacts that fit when the kind has `rest` bytes beside them and the whole answer may
/// have `limit`.
fn pack_beside(rest: usize, contacts: &[Contact], limit: usize) -> Bytes {
    pack_while(contacts, |length| framed(rest + framed(length)) <= limit)
}

impl From<&Pong> for proto::Pong {
    fn from(pong: &Pong) -> Self {
        Self {
            lowest_version: pong.lowest_version,
            highest_version: pong.highest_version,
            features: pong.features,
            storing: pong.storing,
            observed: pong.observed.map(|address| pack_observed(address).into()),
        }
    }
}

impl TryFrom<proto::Pong> for Pong {
    type Error = DecodeError;

    fn try_from(pong: proto::Pong) -> Result<Self, DecodeError> {
        let observed =
            |bytes: &[u8]| unpack_observed(bytes).ok_or(DecodeError::Field { field: "observed" });
        Ok(Self {
            lowest_version: pong.lowest_version,
            highest_version: pong.highest_version,
            features: pong.features,
            storing: pong.storing,
            observed: pong.observed.as_deref().map(observed).transpose()?,
        })
    }
}
