//! Watching a slot: the lease, and the records that come while it runs.
//!
//! What must stay true: only signed kinds are watched, and all records of a [`Notify`] are of its
//! slot and kind.

use prost::Message;
use qadom_routing::Key;

use crate::cursor::Cursor;
use crate::error::DecodeError;
use crate::field::{self, framed};
use crate::limits::{BODY_MAX, ITEMS_MAX};
use crate::proto;
use crate::record::Kind;
use crate::signed::SignedRecord;

/// Asks to be told of new records under a slot, for the length of a lease.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Cursor, Kind, Request, Watch};
///
/// let watch = Watch { slot: "name:news".parse()?, kind: Kind::Event, since: Some(Cursor::new()) };
/// let request = Request::Watch(watch);
/// assert_eq!(Request::decode(request.encode())?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The slot.
    pub slot: Key,
    /// The kind of the records; any but [`Kind::Value`].
    pub kind: Kind,
    /// What the watcher has seen, so that what it lacks comes first; none for only what comes from
    /// now on.
    pub since: Option<Cursor>,
}

/// Grants a lease.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, Cursor, Watched};
///
/// let answer = Answer::Watched(Watched { lease_seconds: 300, cursor: Cursor::new() });
/// assert_eq!(Answer::decode(answer.encode())?, answer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// How long the lease runs, in seconds.
    pub lease_seconds: u32,
    /// What the holder has now.
    pub cursor: Cursor,
}

/// Ends a lease, if there is one.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Kind, Request, Unwatch};
///
/// let request = Request::Unwatch(Unwatch { slot: "name:news".parse()?, kind: Kind::Event });
/// assert_eq!(Request::decode(request.encode())?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwatch {
    /// The slot.
    pub slot: Key,
    /// The kind of the records; any but [`Kind::Value`].
    pub kind: Kind,
}

/// Brings new records of a watched slot.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Kind, Network, Notify};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let (writer, slot) = (Identity::from_seed([7; 32]), "name:news".parse()?);
/// let event = writer.sign(&network, Draft::event(slot, 1, 1, "first".into(), 1_700_129_600))?;
/// let batches = Notify::batches(slot, Kind::Event, 5, [event.into_inner()]);
/// assert_eq!((batches.len(), batches[0].number, batches[0].skipped), (1, 5, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The slot.
    pub slot: Key,
    /// The kind of the records; any but [`Kind::Value`].
    pub kind: Kind,
    /// The number of this batch, rising within a lease.
    pub number: u64,
    /// How many records were dropped in front of this batch because the watcher was too slow.
    pub skipped: u64,
    /// The records, all of this slot and kind, at most [`ITEMS_MAX`] and together at most
    /// [`BODY_MAX`] bytes; [`Notify::batches`] keeps both.
    pub records: Vec<SignedRecord>,
}

impl Notify {
    /// Distributes the records of a slot and kind over as few messages as their order allows, each
    /// of which fits into a body and lists at most [`ITEMS_MAX`]. The messages count up from
    /// `first`, and nothing was skipped.
    pub fn batches(
        slot: Key,
        kind: Kind,
        first: u64,
        records: impl IntoIterator<Item = SignedRecord>,
    ) -> Vec<Self> {
        let mut batches: Vec<Self> = Vec::new();
        let empty = Self {
            slot,
            kind,
            // The longest numbers there are, since the caller may set them later.
            number: u64::MAX,
            skipped: u64::MAX,
            records: Vec::new(),
        };
        let bare = proto::Notify::from(&empty).encoded_len();
        let mut length = bare;
        for record in records {
            let record_length = framed(proto::SignedRecord::from(&record).encoded_len());
            let is_open = |batch: &Self| {
                batch.records.len() < ITEMS_MAX && framed(length + record_length) <= BODY_MAX
            };
            if let Some(batch) = batches.last_mut().filter(|batch| is_open(batch)) {
                batch.records.push(record);
                length += record_length;
            } else {
                batches.push(Self {
                    records: vec![record],
                    ..empty.clone()
                });
                length = bare + record_length;
            }
        }
        for (batch, number) in batches.iter_mut().zip(first..) {
            batch.number = number;
            batch.skipped = 0;
        }
        batches
    }
}

/// The kind of a watched slot.
fn watched_kind(number: i32) -> Result<Kind, DecodeError> {
    let kind = proto::RecordKind::try_from(number).map_err(|_| DecodeError::UnknownKind)?;
    let kind = Kind::from(kind);
    if kind.is_signed() {
        Ok(kind)
    } else {
        Err(DecodeError::Field { field: "kind" })
    }
}

impl From<&Watch> for proto::Watch {
    fn from(watch: &Watch) -> Self {
        Self {
            slot: field::bytes(&watch.slot),
            kind: proto::RecordKind::from(watch.kind).into(),
            since: watch.since.as_ref().map(Cursor::to_bytes),
        }
    }
}

impl TryFrom<proto::Watch> for Watch {
    type Error = DecodeError;

    fn try_from(watch: proto::Watch) -> Result<Self, DecodeError> {
        Ok(Self {
            slot: field::key("slot", &watch.slot)?,
            kind: watched_kind(watch.kind)?,
            since: watch
                .since
                .map(|cursor| Cursor::from_bytes(&cursor))
                .transpose()?,
        })
    }
}

impl From<&Watched> for proto::Watched {
    fn from(watched: &Watched) -> Self {
        Self {
            lease_seconds: watched.lease_seconds,
            cursor: watched.cursor.to_bytes(),
        }
    }
}

impl TryFrom<proto::Watched> for Watched {
    type Error = DecodeError;

    fn try_from(watched: proto::Watched) -> Result<Self, DecodeError> {
        Ok(Self {
            lease_seconds: watched.lease_seconds,
            cursor: Cursor::from_bytes(&watched.cursor)?,
        })
    }
}

impl From<&Unwatch> for proto::Unwatch {
    fn from(unwatch: &Unwatch) -> Self {
        Self {
            slot: field::bytes(&unwatch.slot),
            kind: proto::RecordKind::from(unwatch.kind).into(),
        }
    }
}

impl TryFrom<proto::Unwatch> for Unwatch {
    type Error = DecodeError;

    fn try_from(unwatch: proto::Unwatch) -> Result<Self, DecodeError> {
        Ok(Self {
            slot: field::key("slot", &unwatch.slot)?,
            kind: watched_kind(unwatch.kind)?,
        })
    }
}

impl From<&Notify> for proto::Notify {
    fn from(notify: &Notify) -> Self {
        Self {
            records: notify.records.iter().map(Into::into).collect(),
            slot: field::bytes(&notify.slot),
            kind: proto::RecordKind::from(notify.kind).into(),
            number: notify.number,
            skipped: notify.skipped,
        }
    }
}

impl TryFrom<proto::Notify> for Notify {
    type Error = DecodeError;

    fn try_from(notify: proto::Notify) -> Result<Self, DecodeError> {
        let (slot, kind) = (
            field::key("slot", &notify.slot)?,
            watched_kind(notify.kind)?,
        );
        let record = |record: proto::SignedRecord| {
            SignedRecord::try_from(record).and_then(|record| {
                if *record.slot() == slot && record.kind() == kind {
                    Ok(record)
                } else {
                    Err(DecodeError::Field { field: "records" })
                }
            })
        };
        Ok(Self {
            slot,
            kind,
            number: notify.number,
            skipped: notify.skipped,
            records: notify
                .records
                .into_iter()
                .map(record)
                .collect::<Result<_, _>>()?,
        })
    }
}
