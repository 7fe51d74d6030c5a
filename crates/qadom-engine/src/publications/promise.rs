//! A promise to keep a record alive, as it stands in memory, in the journal and in listings.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use qadom_routing::Key;
use qadom_wire::{Kind, MAX_TTL, Reason, SignedRecord, Value, Writer};

use crate::journal::Standing;
use crate::records::signed::CLOCK_TOLERANCE;
use crate::time::Time;

/// What every publication is charged beside its payload, in bytes.
const OVERHEAD: usize = 512;

/// Names what a publication keeps alive: one identity inside a slot.
///
/// # Examples
///
/// ```
/// use qadom_engine::{PublicationId, WriteOptions};
///
#[doc = include_str!("../examples/alone.txt")]
/// engine.put(now, "hello".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// let kept: Vec<PublicationId> = engine.publications().map(|promise| promise.id()).collect();
/// assert_eq!(kept[0].kind, qadom_wire::Kind::Value);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId {
    /// Where the record lies in the key space.
    pub slot: Key,
    /// The kind of the record.
    pub kind: Kind,
    /// The identity among the records of this kind in the slot; zero for values.
    pub item: Key,
}

/// Whether a publication goes on.
///
/// # Examples
///
/// ```
/// use qadom_engine::{PublicationState, WriteOptions};
///
#[doc = include_str!("../examples/alone.txt")]
/// engine.put(now, "hello".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// assert!(engine.publications().all(|promise| promise.state == PublicationState::Active));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PublicationState {
    /// It is renewed until it is withdrawn.
    Active = 0,
    /// A holder showed a higher seq of the same identity, so that this one is no longer renewed.
    Superseded = 1,
    /// It was withdrawn, and the tombstone that buries it is on its way: until enough holders have
    /// it, it is sent again, also after a restart.
    Withdrawn = 2,
    /// The record is over and the secret to sign it anew is not here. It goes on once it is.
    Expired = 3,
}

impl PublicationState {
    /// Whether something is still to be brought to holders.
    pub(crate) const fn is_under_way(self) -> bool {
        matches!(self, Self::Active | Self::Withdrawn)
    }
}

/// The record that a publication keeps alive.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Promised, WriteOptions};
///
#[doc = include_str!("../examples/alone.txt")]
/// engine.put(now, "hello".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// for promise in engine.publications() {
///     match &promise.promised {
///         Promised::Value(value) => assert_eq!(&value.bytes()[..], b"hello"),
///         other => println!("written by {:?}", other.identity()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Promised {
    /// A value, renewed by its key.
    Value(Value),
    /// A record that this node signed, renewed by being signed anew with a later expiry. Never a
    /// tombstone, and never an event.
    Signed(SignedRecord),
}

/// A publication as it stands in the journal.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Promise, WriteOptions};
///
#[doc = include_str!("../examples/alone.txt")]
/// engine.put(now, "hello".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// let promises: Vec<&Promise> = engine.publications().collect();
/// assert_eq!((promises[0].ttl_seconds, promises[0].stored), (36 * 3600, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The record.
    pub promised: Promised,
    /// The life that each renewal gives, in seconds.
    pub ttl_seconds: u32,
    /// When it was written or renewed last, in seconds of UTC.
    pub renewed_at: u64,
    /// When the holders forget it, in seconds of UTC.
    pub expires_at: u64,
    /// Durable copies acknowledged then.
    pub stored: u32,
    /// Whether it goes on.
    pub state: PublicationState,
    /// Why holders did not take the last renewal, with how many did not for each reason. Not
    /// journalled: empty after a restart until the next one.
    pub refusals: Refusals,
}

/// Why copies were not taken, and how often.
pub type Refusals = BTreeMap<Reason, u32>;

/// The latest expiry that is of any use, in seconds of UTC: a later one was signed by a clock that
/// was far ahead, no holder took it, and none would take another one like it. Half of the tolerance
/// is left to the holders' clocks.
pub(crate) fn latest_useful_expiry(now: Time) -> u64 {
    now.utc_seconds() + MAX_TTL.as_secs() + CLOCK_TOLERANCE / 2
}

impl PublicationId {
    /// The identity that a signed record belongs to.
    pub fn of(record: &SignedRecord) -> Self {
        Self {
            slot: *record.slot(),
            kind: record.kind(),
            item: *record.id(),
        }
    }
}

impl Promised {
    /// What names the record among all that this node publishes.
    pub fn id(&self) -> PublicationId {
        match self {
            Self::Value(value) => PublicationId {
                slot: *value.key(),
                kind: Kind::Value,
                item: Key::ZERO,
            },
            Self::Signed(record) => PublicationId::of(record),
        }
    }

    /// The version of the record; 0 for values, which have none.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Value(_) => 0,
            Self::Signed(record) => record.seq(),
        }
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Value(value) => value.bytes(),
            Self::Signed(record) => record.payload(),
        }
    }

    /// Who signed it; none for values.
    pub fn identity(&self) -> Option<&Writer> {
        match self {
            Self::Value(_) => None,
            Self::Signed(record) => Some(record.writer()),
        }
    }

    /// What the publication is charged, in bytes.
    pub(crate) fn charge(&self) -> usize {
        self.payload().len() + OVERHEAD
    }
}

impl Promise {
    /// The promise to keep a record alive that is written now.
    pub(crate) fn new(promised: Promised, ttl: Duration, now: Time) -> Self {
        let ttl_seconds = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        let expires_at = match &promised {
            Promised::Value(_) => now.utc_seconds() + u64::from(ttl_seconds),
            Promised::Signed(record) => record.expiry(),
        };
        Self {
            promised,
            ttl_seconds,
            renewed_at: now.utc_seconds(),
            expires_at,
            stored: 0,
            state: PublicationState::Active,
            refusals: Refusals::new(),
        }
    }

    /// What names the publication.
    pub fn id(&self) -> PublicationId {
        self.promised.id()
    }

    /// How it stands, to be journalled without its record.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            id: self.id(),
            renewed_at: self.renewed_at,
            expires_at: self.expires_at,
            stored: self.stored,
            state: self.state,
        }
    }

    /// The latest expiry that a renewal may have signed, in seconds of UTC, also one that the
    /// journal did not learn of.
    pub(crate) fn latest_expiry(&self, now: Time) -> u64 {
        let by_now = now.utc_seconds() + u64::from(self.ttl_seconds);
        self.expires_at.min(latest_useful_expiry(now)).max(by_now)
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.ttl_seconds))
    }
}
