//! What one node asks another.
//!
//! What must stay true: everything that decodes is valid in itself, and decoding costs no more
//! memory than the body is long, up to a constant factor.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;
use qadom_routing::{Families, Key, NodeKey};

use crate::address::{pack_observed, unpack_observed};
use crate::digest::Digest;
use crate::error::DecodeError;
use crate::field;
use crate::file::{Holds, Offer};
use crate::find::Find;
use crate::hello::Hello;
use crate::item_count;
use crate::proto::{self, request::Kind};
use crate::store::Store;
use crate::watch::{Notify, Unwatch, Watch};

/// A request to one node.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Families, Key};
/// use qadom_wire::{FindNode, Request};
///
/// let request = Request::FindNode(FindNode { target: Key::ZERO, want: Families::BOTH });
/// assert_eq!(Request::decode(request.encode())?, request);
/// # Ok::<(), qadom_wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Are you there? Answered by [`Answer::Pong`](crate::Answer::Pong).
    Ping(Ping),
    /// Who is near a key? Answered by [`Answer::Contacts`](crate::Answer::Contacts).
    FindNode(FindNode),
    /// What is under a slot, or who is near it? Answered by
    /// [`Answer::Found`](crate::Answer::Found).
    Find(Find),
    /// Keep these records. Answered by [`Answer::Stored`](crate::Answer::Stored); needs a confirmed
    /// session.
    Store(Store),
    /// In which of these ranges do we differ? Answered by
    /// [`Answer::Digested`](crate::Answer::Digested); needs a confirmed session.
    Digest(Digest),
    /// Tell me of new records under a slot. Answered by
    /// [`Answer::Watched`](crate::Answer::Watched); needs a confirmed session.
    Watch(Watch),
    /// Here are new records of a slot that you watch. Answered by
    /// [`Answer::Notified`](crate::Answer::Notified); needs a confirmed session.
    Notify(Notify),
    /// Tell me no more. Answered by [`Answer::Unwatched`](crate::Answer::Unwatched); needs a
    /// confirmed session.
    Unwatch(Unwatch),
    /// Will you keep chunks of this file? Answered by [`Answer::Offered`](crate::Answer::Offered);
    /// needs a confirmed session.
    Offer(Offer),
    /// Which chunks of this file do you have? Answered by [`Answer::Held`](crate::Answer::Held);
    /// needs a confirmed session.
    Holds(Holds),
    /// Let us talk over QUIC. Answered by [`Answer::Stream`](crate::Answer::Stream); needs a
    /// confirmed session.
    Stream(Stream),
    /// Is a node reached at an address? Answered by
    /// [`Answer::DialedBack`](crate::Answer::DialedBack); needs a confirmed session.
    DialBack(DialBack),
}

/// Asks whether a node is there.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Hello, Ping, Request};
///
/// let hello = Hello { storing: true, ..Hello::default() };
/// let ping = Request::Ping(Ping { hello: Some(hello) });
/// assert_eq!(Request::decode(ping.encode())?, ping);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// What the sender says about itself, when that changed since the handshake.
    pub hello: Option<Hello>,
}

/// Says by which key a node is known in QUIC, on the port that the message came from; question and
/// answer are alike.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Request, Stream};
///
/// let stream = Request::Stream(Stream { fingerprint: [7; 32] });
/// assert_eq!(Request::decode(stream.encode())?, stream);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The SHA-256 of the 32 raw bytes of the Ed25519 public key that the node drew at its start.
    pub fingerprint: [u8; 32],
}

/// Asks for the contacts nearest to a key.
///
/// # Examples
///
/// ```
/// use qadom_routing::Families;
/// use qadom_wire::{FindNode, Request};
///
/// let find = Request::FindNode(FindNode { target: "name:x".parse()?, want: Families::BOTH });
/// assert_eq!(Request::decode(find.encode())?, find);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindNode {
    /// The key.
    pub target: Key,
    /// The families of the contacts that are of use to the asker.
    pub want: Families,
}

/// Asks whether a node is reached at an address by somebody that it has not called.
///
/// # Examples
///
/// ```
/// use qadom_routing::NodeKey;
/// use qadom_wire::{DialBack, Request};
///
/// let dial = DialBack { address: "192.0.2.1:7236".parse()?, key: NodeKey::new([9; 32])? };
/// assert_eq!(Request::decode(Request::DialBack(dial).encode())?, Request::DialBack(dial));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialBack {
    /// The address.
    pub address: SocketAddr,
    /// The key of the node.
    pub key: NodeKey,
}

/// The numbers of the kinds that have a list: `Store`, `Digest`, `Notify`.
const LISTING: &[u32] = &[4, 5, 7];

impl Request {
    /// Encodes the request. At most [`BODY_MAX`](crate::BODY_MAX) bytes, provided that a [`Store`],
    /// a [`Digest`], a [`Notify`] or an [`Offer`] keeps its limits.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Ping(ping) => Kind::Ping(proto::Ping {
                hello: ping.hello.as_ref().map(Hello::pack),
            }),
            Self::FindNode(find_node) => Kind::FindNode(proto::FindNode {
                target: field::bytes(&find_node.target),
                want_v4: find_node.want.v4,
                want_v6: find_node.want.v6,
            }),
            Self::Find(find) => Kind::Find(find.into()),
            Self::Store(store) => Kind::Store(store.into()),
            Self::Digest(digest) => Kind::Digest(digest.into()),
            Self::Watch(watch) => Kind::Watch(watch.into()),
            Self::Notify(notify) => Kind::Notify(notify.into()),
            Self::Unwatch(unwatch) => Kind::Unwatch(unwatch.into()),
            Self::Offer(offer) => Kind::Offer(offer.into()),
            Self::Holds(holds) => Kind::Holds(holds.into()),
            Self::Stream(stream) => Kind::Stream(stream.into()),
            Self::DialBack(dial) => Kind::DialBack(dial.into()),
        };
        let message = proto::Request { kind: Some(kind) };
        message.encode_to_vec().into()
    }

    /// Decodes a request. Records keep slices of `body`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the body is no request that this revision understands;
    /// [`DecodeError::reason`] is what to answer.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        item_count::check(&body, LISTING)?;
        let message = proto::Request::decode(body).map_err(|_| DecodeError::Protobuf)?;
        Ok(match message.kind.ok_or(DecodeError::UnknownKind)? {
            Kind::Ping(ping) => Self::Ping(Ping {
                hello: ping.hello.as_deref().map(Hello::unpack).transpose()?,
            }),
            Kind::FindNode(find_node) => Self::FindNode(FindNode {
                target: field::key("target", &find_node.target)?,
                want: Families {
                    v4: find_node.want_v4,
                    v6: find_node.want_v6,
                },
            }),
            Kind::Find(find) => Self::Find(find.try_into()?),
            Kind::Store(store) => Self::Store(store.try_into()?),
            Kind::Digest(digest) => Self::Digest(digest.try_into()?),
            Kind::Watch(watch) => Self::Watch(watch.try_into()?),
            Kind::Notify(notify) => Self::Notify(notify.try_into()?),
            Kind::Unwatch(unwatch) => Self::Unwatch(unwatch.try_into()?),
            Kind::Offer(offer) => Self::Offer(offer.try_into()?),
            Kind::Holds(holds) => Self::Holds(holds.try_into()?),
            Kind::Stream(stream) => Self::Stream(stream.try_into()?),
            Kind::DialBack(dial) => Self::DialBack(dial.try_into()?),
        })
    }
}

impl From<&Stream> for proto::Stream {
    fn from(stream: &Stream) -> Self {
        Self {
            fingerprint: Bytes::copy_from_slice(&stream.fingerprint),
        }
    }
}

impl TryFrom<proto::Stream> for Stream {
    type Error = DecodeError;

    fn try_from(stream: proto::Stream) -> Result<Self, DecodeError> {
        Ok(Self {
            fingerprint: field::array("fingerprint", &stream.fingerprint)?,
        })
    }
}

impl From<&DialBack> for proto::DialBack {
    fn from(dial: &DialBack) -> Self {
        Self {
            address: pack_observed(dial.address).into(),
            key: Bytes::copy_from_slice(dial.key.as_bytes()),
        }
    }
}

impl TryFrom<proto::DialBack> for DialBack {
    type Error = DecodeError;

    fn try_from(dial: proto::DialBack) -> Result<Self, DecodeError> {
        let address =
            unpack_observed(&dial.address).ok_or(DecodeError::Field { field: "address" })?;
        let key = NodeKey::new(field::array("key", &dial.key)?)
            .map_err(|_| DecodeError::Field { field: "key" })?;
        Ok(Self { address, key })
    }
}
