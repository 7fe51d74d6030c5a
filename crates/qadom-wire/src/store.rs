//! Asking a node to keep records, and the answer.

use std::net::IpAddr;

use prost::Message;

use crate::error::DecodeError;
use crate::field::{self, framed};
use crate::limits::{BODY_MAX, ITEMS_MAX};
use crate::proto;
use crate::reason::Reason;
use crate::record::Record;

/// Asks a node to keep records. Each is answered by itself, in this order.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Record, Store, StoreClass, StoreItem, Value, ValueError};
///
/// let item = |text: &'static str| -> Result<_, ValueError> {
///     Ok(StoreItem {
///         record: Record::Value(Value::new(text.into())?),
///         class: StoreClass::FirstHand,
///         ttl_seconds: 3600,
///         group: None,
///         exclusive: false,
///     })
/// };
/// let batches = Store::batches([item("one")?, item("two")?]);
/// assert_eq!((batches.len(), batches[0].items.len()), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// The records, at most [`ITEMS_MAX`] and together at most [`BODY_MAX`] bytes;
    /// [`Store::batches`] keeps both.
    pub items: Vec<StoreItem>,
}

/// One record to keep.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Record, Request, SourceGroup, Store, StoreClass, StoreItem, Value};
///
/// let item = StoreItem {
///     record: Record::Value(Value::new("hello".into())?),
///     class: StoreClass::Replica,
///     ttl_seconds: 3600,
///     group: Some(SourceGroup::of("192.0.2.1".parse()?)),
///     exclusive: false,
/// };
/// let request = Request::Store(Store { items: vec![item] });
/// assert_eq!(Request::decode(request.encode())?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreItem {
    /// The record.
    pub record: Record,
    /// How it came to be stored.
    pub class: StoreClass,
    /// How long a value has left, in seconds. Holders keep it no longer than
    /// [`VALUE_TTL_MAX`](crate::VALUE_TTL_MAX), whatever is asked for. 0 for signed records, which
    /// carry their expiry themselves.
    pub ttl_seconds: u32,
    /// For replicas, the address group that first stored the record, if it is known. A hint.
    pub group: Option<SourceGroup>,
    /// Compare-and-swap: the holder refuses the record with [`Reason::StaleSeq`] or
    /// [`Reason::Conflict`] when it has any of the same identity with this seq or a higher one. Of
    /// no meaning for values.
    pub exclusive: bool,
}

/// How a record came to be stored.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Record, StoreClass, StoreItem, Value};
///
/// let copy = StoreItem {
///     record: Record::Value(Value::new("hello".into())?),
///     class: StoreClass::Cached,
///     ttl_seconds: 600,
///     group: None,
///     exclusive: false,
/// };
/// assert_ne!(copy.class, StoreClass::FirstHand);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreClass {
    /// By its writer, or on its behalf.
    FirstHand,
    /// By another holder.
    Replica,
    /// By a reader, at a node that lacked it.
    Cached,
}

/// The address group from which a record was first stored: an IPv4 /24 or an IPv6 /48.
///
/// # Examples
///
/// ```
/// use qadom_wire::SourceGroup;
///
/// let group = SourceGroup::of("2001:db8::1".parse()?);
/// assert_eq!(SourceGroup::from_bytes(*group.as_bytes()), Some(group));
/// assert_eq!(SourceGroup::from_bytes([5; 8]), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceGroup([u8; 8]);

impl SourceGroup {
    /// The group that an address belongs to. An IPv4-mapped IPv6 address counts as IPv4.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_wire::SourceGroup;
    ///
    /// let group = SourceGroup::of("192.0.2.1".parse()?);
    /// assert_eq!(group, SourceGroup::of("192.0.2.200".parse()?));
    /// assert_eq!(*group.as_bytes(), [4, 192, 0, 2, 0, 0, 0, 0]);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [p0, p1, p2, _] = v4.octets();
                [4, p0, p1, p2, 0, 0, 0, 0]
            }
            IpAddr::V6(v6) => {
                let [p0, p1, p2, p3, p4, p5, ..] = v6.octets();
                [6, p0, p1, p2, p3, p4, p5, 0]
            }
        })
    }

    /// What a holder counts replicas for that this group brought, apart from what the group wrote
    /// itself. It never travels: [`from_bytes`](Self::from_bytes) refuses it.
    #[must_use]
    pub const fn of_replicas(self) -> Self {
        let [family, p0, p1, p2, p3, p4, p5, _] = self.0;
        Self([family, p0, p1, p2, p3, p4, p5, 1])
    }

    /// The group with these bytes; `None` when no address belongs to it.
    pub const fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        match bytes {
            [4, _, _, _, 0, 0, 0, 0] | [6, _, _, _, _, _, _, 0] => Some(Self(bytes)),
            _ => None,
        }
    }

    /// The group's bytes: family (4 or 6), leading address bytes, zeros.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// What became of one record of a [`Store`].
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, Reason, StoreResult};
///
/// let stored = StoreResult::Stored { committed: true, conflict: false };
/// assert!(stored.is_kept() && stored.is_committed());
/// let refused = StoreResult::Refused(Reason::TooFar);
/// assert!(!refused.is_kept());
/// let answer = Answer::Stored(vec![stored, refused]);
/// assert_eq!(Answer::decode(answer.encode())?, answer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreResult {
    /// The holder did not have the record and keeps it now.
    Stored {
        /// Whether the copy is durable: it survives a crash of the holder.
        committed: bool,
        /// Whether there was another payload under the same seq, which the record now replaces.
        conflict: bool,
    },
    /// The holder had the record already and keeps it at least as long as before.
    Renewed {
        /// Whether the copy is durable: it survives a crash of the holder.
        committed: bool,
        /// Whether there was another payload under the same seq, which the record now replaces.
        conflict: bool,
    },
    /// The holder does not keep the record.
    Refused(Reason),
}

impl StoreResult {
    /// Whether the holder keeps the record, durably or not.
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Stored { .. } | Self::Renewed { .. })
    }

    /// Whether the holder keeps the record and its copy survives a crash.
    pub const fn is_committed(&self) -> bool {
        matches!(
            self,
            Self::Stored {
                committed: true,
                ..
            } | Self::Renewed {
                committed: true,
                ..
            }
        )
    }
}

impl Store {
    /// Distributes items over as few messages as their order allows, each of which fits into a
    /// body and lists at most [`ITEMS_MAX`] items.
    pub fn batches(items: impl IntoIterator<Item = StoreItem>) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut batch = Self::default();
        let mut length = 0;
        for item in items {
            let item_length = framed(proto::StoreItem::from(&item).encoded_len());
            let is_full = batch.items.len() == ITEMS_MAX || framed(length + item_length) > BODY_MAX;
            if is_full && !batch.items.is_empty() {
                batches.push(std::mem::take(&mut batch));
                length = 0;
            }
            batch.items.push(item);
            length += item_length;
        }
        if !batch.items.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

impl From<&Store> for proto::Store {
    fn from(store: &Store) -> Self {
        Self {
            items: store.items.iter().map(proto::StoreItem::from).collect(),
        }
    }
}

impl TryFrom<proto::Store> for Store {
    type Error = DecodeError;

    fn try_from(store: proto::Store) -> Result<Self, DecodeError> {
        let items = store.items.into_iter().map(StoreItem::try_from);
        Ok(Self {
            items: items.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&StoreItem> for proto::StoreItem {
    fn from(item: &StoreItem) -> Self {
        let class = match item.class {
            StoreClass::FirstHand => proto::StoreClass::FirstHand,
            StoreClass::Replica => proto::StoreClass::Replica,
            StoreClass::Cached => proto::StoreClass::Cached,
        };
        Self {
            record: Some((&item.record).into()),
            class: class.into(),
            ttl_seconds: item.ttl_seconds,
            group: item.group.map(|group| group.0.to_vec().into()),
            exclusive: item.exclusive,
        }
    }
}

impl TryFrom<proto::StoreItem> for StoreItem {
    type Error = DecodeError;

    fn try_from(item: proto::StoreItem) -> Result<Self, DecodeError> {
        let group = |bytes: &[u8]| {
            SourceGroup::from_bytes(field::array("group", bytes)?)
                .ok_or(DecodeError::Field { field: "group" })
        };
        let class = proto::StoreClass::try_from(item.class)
            .map_err(|_| DecodeError::Field { field: "class" })?;
        Ok(Self {
            record: item.record.unwrap_or_default().try_into()?,
            class: match class {
                proto::StoreClass::FirstHand => StoreClass::FirstHand,
                proto::StoreClass::Replica => StoreClass::Replica,
                proto::StoreClass::Cached => StoreClass::Cached,
            },
            ttl_seconds: item.ttl_seconds,
            group: item.group.as_deref().map(group).transpose()?,
            exclusive: item.exclusive,
        })
    }
}

impl From<StoreResult> for proto::StoreResult {
    fn from(result: StoreResult) -> Self {
        use proto::StoreOutcome;
        let (outcome, committed, conflict) = match result {
            StoreResult::Stored {
                committed,
                conflict,
            } => (StoreOutcome::Stored, committed, conflict),
            StoreResult::Renewed {
                committed,
                conflict,
            } => (StoreOutcome::Renewed, committed, conflict),
            StoreResult::Refused(_) => (StoreOutcome::Refused, false, false),
        };
        let reason = match result {
            StoreResult::Refused(reason) => reason.number(),
            _ => 0,
        };
        Self {
            outcome: outcome.into(),
            committed,
            reason: reason.into(),
            conflict,
        }
    }
}

impl From<proto::StoreResult> for StoreResult {
    fn from(result: proto::StoreResult) -> Self {
        let (committed, conflict) = (result.committed, result.conflict);
        match result.outcome() {
            proto::StoreOutcome::Stored => Self::Stored {
                committed,
                conflict,
            },
            proto::StoreOutcome::Renewed => Self::Renewed {
                committed,
                conflict,
            },
            proto::StoreOutcome::Refused => Self::Refused(Reason::from_number(result.reason)),
            proto::StoreOutcome::Unspecified => Self::Refused(Reason::Internal),
        }
    }
}
