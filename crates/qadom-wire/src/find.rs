//! Asking for the records under a slot, and the answer.

use prost::Message;
use qadom_routing::{Contact, Families, Key};

use crate::contacts::unpack_contacts;
use crate::error::DecodeError;
use crate::field::{self, framed};
use crate::limits::ITEMS_MAX;
use crate::proto;
use crate::record::{Kind, Record};

/// Asks for the records of one kind under a slot, and for the contacts nearest to it.
///
/// # Examples
///
/// ```
/// use qadom_routing::Families;
/// use qadom_wire::{Find, Kind, Request, dict_slot};
///
/// let find = Request::Find(Find {
///     slot: dict_slot(b"weather")?,
///     kind: Kind::DictCell,
///     range: None,
///     have: None,
///     want: Families::BOTH,
/// });
/// assert_eq!(Request::decode(find.encode())?, find);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// The slot.
    pub slot: Key,
    /// The kind of record.
    pub kind: Kind,
    /// The part of the slot that is asked for; none stands for all of it.
    pub range: Option<IdRange>,
    /// The hash of what the asker has; when the holder has nothing else, it answers `same`.
    pub have: Option<[u8; 32]>,
    /// The families of the contacts that are of use to the asker.
    pub want: Families,
}

/// Item ids from one (included) to another (excluded); never empty.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_wire::IdRange;
///
/// let page = IdRange::new(Key::ZERO, None).ok_or("empty")?;
/// assert_eq!((page.start(), page.end()), (&Key::ZERO, None));
/// assert!(IdRange::new(Key::MAX, Some(Key::ZERO)).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    start: Key,
    end: Option<Key>,
}

impl IdRange {
    /// The ids from `start` to before `end`, to the last one when there is no end; `None` when the
    /// end is not above the start.
    pub fn new(start: Key, end: Option<Key>) -> Option<Self> {
        end.is_none_or(|end| start < end)
            .then_some(Self { start, end })
    }

    /// The first id.
    pub const fn start(&self) -> &Key {
        &self.start
    }

    /// The id behind the last one, if there is an end.
    pub const fn end(&self) -> Option<&Key> {
        self.end.as_ref()
    }
}

/// What a node has under a slot, and the contacts nearest to it that it knows.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Found, Record, Value};
///
/// let record = Record::Value(Value::new("hello".into())?);
/// let mut found = Found::default();
/// assert_eq!(found.fill([record], 1028), 1);
/// assert!(found.records_length() > "hello".len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The records, at most [`ITEMS_MAX`]; signed ones ascending by id.
    pub records: Vec<Record>,
    /// The nearest contacts, nearest first; as many as fit.
    pub contacts: Vec<Contact>,
    /// Whether the asker has already what is here.
    pub same: bool,
    /// The item id at which the next page begins; none on the last page.
    pub cursor: Option<Key>,
    /// Stands for a record that is too long for an unconfirmed session.
    pub oversize: Option<Oversize>,
}

/// A record that is only handed out in a confirmed session.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Answer, Found, Oversize, Value};
///
/// // The asker confirms its address, and then asks again for what has this hash.
/// let value = Value::new(vec![0; 8192].into())?;
/// let oversize = Oversize { size: 8192, hash: *value.key().as_bytes() };
/// let answer = Answer::Found(Found { oversize: Some(oversize), ..Found::default() });
/// assert_eq!(Answer::decode(answer.encode_within(1028)?)?, answer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// The length of the encoded record in bytes.
    pub size: u32,
    /// The hash of the record, as [`Find::have`] names it.
    pub hash: [u8; 32],
}

impl From<&Find> for proto::Find {
    fn from(find: &Find) -> Self {
        Self {
            slot: field::bytes(&find.slot),
            kind: proto::RecordKind::from(find.kind).into(),
            range: find.range.map(|range| proto::Range {
                start: field::bytes(&range.start),
                end: range.end.as_ref().map(field::bytes),
            }),
            have: find.have.map(|hash| hash.to_vec().into()),
            want_v4: find.want.v4,
            want_v6: find.want.v6,
        }
    }
}

impl TryFrom<proto::Find> for Find {
    type Error = DecodeError;

    fn try_from(find: proto::Find) -> Result<Self, DecodeError> {
        let kind = proto::RecordKind::try_from(find.kind).map_err(|_| DecodeError::UnknownKind)?;
        Ok(Self {
            slot: field::key("slot", &find.slot)?,
            kind: kind.into(),
            range: find.range.map(IdRange::try_from).transpose()?,
            have: find
                .have
                .map(|hash| field::array("have", &hash))
                .transpose()?,
            want: Families {
                v4: find.want_v4,
                v6: find.want_v6,
            },
        })
    }
}

impl TryFrom<proto::Range> for IdRange {
    type Error = DecodeError;

    fn try_from(range: proto::Range) -> Result<Self, DecodeError> {
        let start = field::key("start", &range.start)?;
        let end = range.end.map(|end| field::key("end", &end)).transpose()?;
        Self::new(start, end).ok_or(DecodeError::Field { field: "range" })
    }
}

/// The length of the field that holds a cursor.
const CURSOR_LENGTH: usize = 34;

impl Found {
    /// Appends records, ascending by id, as long as the answer fits into `limit` bytes without its
    /// contacts and lists at most [`ITEMS_MAX`]. Says how many were taken; when that is not all of
    /// them, the cursor names the next one, else it stays as it is.
    pub fn fill(&mut self, records: impl IntoIterator<Item = Record>, limit: usize) -> usize {
        let mut records = records.into_iter().peekable();
        let mut length = self.bare_length() + self.records.iter().map(framed_length).sum::<usize>();
        let before = self.records.len();
        while let Some(record) = records.next() {
            let with_record = length + framed_length(&record);
            // There has to be room for the cursor unless this record is the last one.
            let is_last = records.peek().is_none();
            let cursor = if is_last || self.cursor.is_some() {
                0
            } else {
                CURSOR_LENGTH
            };
            let is_full = self.records.len() == ITEMS_MAX;
            if is_full || framed(with_record + cursor) > limit {
                self.cursor = Some(record.id());
                break;
            }
            self.records.push(record);
            length = with_record;
        }
        self.records.len() - before
    }

    /// The length of the records in bytes, each encoded by itself. Above
    /// [`FIRST_RECORD_MAX`](crate::FIRST_RECORD_MAX) they are not handed out in an unconfirmed
    /// session.
    pub fn records_length(&self) -> usize {
        self.records.iter().map(Record::encoded_length).sum()
    }

    /// The encoded length without records and contacts.
    fn bare_length(&self) -> usize {
        let bare = Self {
            same: self.same,
            cursor: self.cursor,
            oversize: self.oversize,
            ..Self::default()
        };
        bare.to_message(&[], self.cursor.as_ref()).encoded_len()
    }

    /// Everything but the contacts, for which the room is known only when the rest is. The end of a
    /// page of signed records is left out as far as the answer is longer than `limit`.
    pub(crate) fn without_contacts(&self, limit: usize) -> proto::Found {
        let lengths: Vec<usize> = self.records.iter().map(framed_length).collect();
        let bare = self.bare_length();
        let mut length = bare + lengths.iter().sum::<usize>();
        let (mut kept, mut cursor) = (self.records.len(), self.cursor.as_ref());
        while framed(length) > limit && kept > 1 {
            let Some((Record::Signed(last), last_length)) =
                self.records.get(kept - 1).zip(lengths.get(kept - 1))
            else {
                break;
            };
            if cursor.is_none() {
                length += CURSOR_LENGTH;
            }
            (kept, cursor) = (kept - 1, Some(last.id()));
            length -= last_length;
        }
        self.to_message(self.records.get(..kept).unwrap_or_default(), cursor)
    }

    fn to_message(&self, records: &[Record], cursor: Option<&Key>) -> proto::Found {
        proto::Found {
            records: records.iter().map(proto::Record::from).collect(),
            contacts: bytes::Bytes::new(),
            same: self.same,
            cursor: cursor.map(field::bytes),
            oversize: self.oversize.map(|oversize| proto::Oversize {
                size: oversize.size,
                hash: oversize.hash.to_vec().into(),
            }),
        }
    }
}

/// The length of a record in the list of an answer.
fn framed_length(record: &Record) -> usize {
    framed(record.encoded_length())
}

impl TryFrom<proto::Found> for Found {
    type Error = DecodeError;

    fn try_from(found: proto::Found) -> Result<Self, DecodeError> {
        Ok(Self {
            records: found
                .records
                .into_iter()
                .map(Record::try_from)
                .collect::<Result<_, _>>()?,
            contacts: unpack_contacts(&found.contacts)?,
            same: found.same,
            cursor: found
                .cursor
                .map(|cursor| field::key("cursor", &cursor))
                .transpose()?,
            oversize: found.oversize.map(Oversize::try_from).transpose()?,
        })
    }
}

impl TryFrom<proto::Oversize> for Oversize {
    type Error = DecodeError;

    fn try_from(oversize: proto::Oversize) -> Result<Self, DecodeError> {
        Ok(Self {
            size: oversize.size,
            hash: field::array("hash", &oversize.hash)?,
        })
    }
}
