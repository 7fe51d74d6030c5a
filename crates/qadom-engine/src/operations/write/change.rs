//! What a user wants written under a signature, and how it becomes a record once it is known what
//! is there.
//!
//! What must stay true: a seq is above everything that is known of its identity, and an expiry not
//! below any that was signed for it; a condition is checked before anything is signed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_routing::Key;
use qadom_wire::{
    Draft, IdRange, Identity, Kind, MAX_TTL, Reason, VALUE_TTL_MAX, Verified, bag_label, item_id,
    namespace_slot,
};

use crate::operation::{Failure, WriteOptions};
use crate::operations::gather::Until;
use crate::operations::gather::ranges::only;
use crate::operations::gather::union::{Place, Union};
use crate::publications::promise::PublicationId;
use crate::walk::Context;

/// The life of a record when nobody says otherwise.
const LIFE: Duration = VALUE_TTL_MAX;

/// When a change may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Always.
    None,
    /// While this seq is the highest; 0 stands for none, or a tombstone.
    Seq(u64),
    /// While the writer's own item is there.
    IsThere,
}

/// A record to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) identity: Arc<Identity>,
    pub(crate) slot: Key,
    pub(crate) kind: Kind,
    /// The label: of bag items the hash of the payload, of namespaces the key.
    pub(crate) label: [u8; 32],
    /// None for a tombstone.
    pub(crate) payload: Option<Bytes>,
    pub(crate) condition: Condition,
}

impl Change {
    pub(crate) fn bag(
        identity: Arc<Identity>,
        slot: Key,
        item: Bytes,
        condition: Condition,
    ) -> Self {
        Self {
            identity,
            slot,
            kind: Kind::BagItem,
            label: bag_label(&item),
            payload: (condition == Condition::None).then_some(item),
            condition,
        }
    }

    pub(crate) const fn dict(identity: Arc<Identity>, slot: Key, payload: Option<Bytes>) -> Self {
        Self {
            identity,
            slot,
            kind: Kind::DictCell,
            label: [0; 32],
            payload,
            condition: Condition::None,
        }
    }

    pub(crate) fn namespace(
        identity: Arc<Identity>,
        key: &Key,
        payload: Option<Bytes>,
        condition: Condition,
    ) -> Self {
        Self {
            slot: namespace_slot(identity.writer().as_bytes(), key),
            identity,
            kind: Kind::NamespaceEntry,
            label: *key.as_bytes(),
            payload,
            condition,
        }
    }

    pub(crate) const fn event(identity: Arc<Identity>, slot: Key, payload: Bytes) -> Self {
        Self {
            identity,
            slot,
            kind: Kind::Event,
            label: [0; 32],
            payload: Some(payload),
            condition: Condition::None,
        }
    }

    pub(crate) const fn is_exclusive(&self) -> bool {
        matches!(self.condition, Condition::Seq(_))
    }

    /// The identity in the slot; an event has one only once it is numbered.
    pub(crate) fn item(&self) -> Key {
        match self.kind {
            Kind::BagItem => item_id(&self.identity.writer(), &self.label),
            Kind::DictCell => Key::from_bytes(*self.identity.writer().as_bytes()),
            Kind::Value | Kind::NamespaceEntry | Kind::Event => Key::ZERO,
        }
    }

    fn id(&self) -> PublicationId {
        PublicationId {
            slot: self.slot,
            kind: self.kind,
            item: self.item(),
        }
    }

    /// What has to be known before it is signed; none when nothing has.
    pub(crate) fn reads(&self) -> Option<(Place, Until)> {
        let (range, until) = match (self.kind, self.condition) {
            (Kind::BagItem, Condition::IsThere) => (Some(only(&self.item())), Until::Complete),
            (Kind::NamespaceEntry, Condition::Seq(_)) => (None, Until::Complete),
            // A deletion is to be above every cell, also of a writer whose clock is ahead.
            (Kind::DictCell, _) if self.payload.is_none() => (None, Until::Complete),
            (Kind::DictCell | Kind::NamespaceEntry, _) => (None, Until::Walked),
            _ => return None,
        };
        Some((self.place(range), until))
    }

    /// The whole slot.
    pub(crate) const fn place(&self, range: Option<IdRange>) -> Place {
        Place {
            slot: self.slot,
            kind: self.kind,
            range,
        }
    }

    /// The part of the slot in which another version of the record lies.
    pub(crate) fn own_place(&self) -> Place {
        self.place(Some(only(&self.item())))
    }

    /// Signs the record, once it is known what is there; tells whether the journal is waited for.
    ///
    /// # Errors
    ///
    /// [`Failure::StaleSeq`] when the condition does not hold, [`Failure::NotFound`] when the item
    /// to be removed is not there, [`Failure::Refused`] when the record cannot be signed.
    pub(crate) fn sign(
        &self,
        context: &mut Context<'_>,
        known: Option<&Union>,
        options: WriteOptions,
    ) -> Result<(Verified, bool), Failure> {
        let there = known.and_then(|union| union.get(&self.item()));
        let there = there.map(|shown| &shown.record);
        self.check(there)?;
        let now = context.now;
        let id = self.id();
        let life = match self.payload {
            Some(_) => options.ttl.unwrap_or(LIFE).min(MAX_TTL),
            None => MAX_TTL,
        };
        let expiry = now.utc_seconds() + life.as_secs();
        let mut draft = Draft {
            kind: self.kind,
            is_tombstone: self.payload.is_none(),
            slot: self.slot,
            label: self.label,
            stream: 0,
            seq: 0,
            expiry: expiry.max(context.core.latest_expiry(&id, now)),
            payload: self.payload.clone().unwrap_or_default(),
        };
        let mut is_awaited = false;
        if self.kind == Kind::Event {
            let (writer, operation) = (self.identity.writer(), Some(context.operation));
            let (next, is_opened) = context.core.next_event(operation, writer, self.slot, now);
            (draft.stream, draft.seq, draft.expiry) = (next.stream, next.seq, expiry);
            is_awaited = is_opened;
        } else {
            let highest = |union: &Union| union.iter().map(|(_, shown)| shown.record.seq()).max();
            let seen = known.and_then(highest).unwrap_or(0);
            draft.seq = context.core.next_seq(&id, seen, now);
        }
        let network = context.core.config.network;
        match self.identity.sign(&network, draft) {
            Ok(record) => Ok((record, is_awaited)),
            Err(error) => Err(Failure::Refused {
                reason: error.reason(),
            }),
        }
    }

    fn check(&self, there: Option<&Verified>) -> Result<(), Failure> {
        let alive = there.filter(|record| !record.is_tombstone());
        match self.condition {
            Condition::None => Ok(()),
            Condition::Seq(0) if alive.is_none() => Ok(()),
            Condition::Seq(seq) if there.map(|record| record.seq()) == Some(seq) => Ok(()),
            Condition::Seq(seq) => {
                let held = there.cloned().map(Box::new);
                Err(Failure::StaleSeq { seq, held })
            }
            Condition::IsThere if alive.is_some() => Ok(()),
            Condition::IsThere => Err(Failure::NotFound {
                key: self.slot,
                answered: 0,
                unanswered: 0,
            }),
        }
    }

    /// The longest life that may be asked for is kept, and the payload is not too long.
    ///
    /// # Errors
    ///
    /// `too-large` or `lifetime-too-long`.
    pub(crate) fn check_limits(&self, options: WriteOptions) -> Result<(), Reason> {
        let length = self.payload.as_ref().map_or(0, Bytes::len);
        if length > self.kind.payload_max() {
            return Err(Reason::TooLarge);
        }
        if options.ttl.is_some_and(|ttl| ttl > MAX_TTL) {
            return Err(Reason::LifetimeTooLong);
        }
        Ok(())
    }
}
