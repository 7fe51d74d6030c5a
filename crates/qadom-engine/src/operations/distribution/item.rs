//! One record on its way to its holders.

use std::sync::Arc;

use qadom_wire::{
    Draft, NetworkId, Reason, Record, Relation, Renewal, SignedRecord, StoreClass, StoreItem,
    Verified, relation,
};

use crate::core::Core;
use crate::keep::Origin;
use crate::publications::promise::{Promised, PublicationId};
use crate::records::Held;
use crate::time::Time;
use crate::walk::Context;

/// A record that is brought to its holders, and what became of it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: PublicationId,
    pub(crate) seq: u64,
    form: Form,
    /// Durable copies acknowledged.
    pub(crate) copies: u32,
    /// A holder showed a later record of the same identity.
    pub(crate) is_superseded: bool,
    /// This node is one of the k closest.
    pub(crate) is_own_near: bool,
    pub(crate) is_own_kept: bool,
}

/// Where the record is taken from.
#[derive(Debug)]
enum Form {
    /// From the publications, as long as it is one. Signed records are signed anew when the first
    /// copy is sent.
    Published(Option<Verified>),
    /// A tombstone, which nobody has yet.
    Tombstone(Verified),
}

impl Item {
    /// The renewal of a publication.
    pub(crate) const fn renewal(id: PublicationId, seq: u64) -> Self {
        Self::new(id, seq, Form::Published(None))
    }

    /// What buries a record.
    pub(crate) fn tombstone(record: Verified) -> Self {
        let (id, seq) = (PublicationId::of(&record), record.seq());
        Self::new(id, seq, Form::Tombstone(record))
    }

    const fn new(id: PublicationId, seq: u64, form: Form) -> Self {
        Self {
            id,
            seq,
            form,
            copies: 0,
            is_superseded: false,
            is_own_near: false,
            is_own_kept: false,
        }
    }

    /// The record as it was signed, if it was.
    pub(crate) fn signed(&self) -> Option<&SignedRecord> {
        match &self.form {
            Form::Published(signed) => signed.as_deref(),
            Form::Tombstone(record) => Some(record),
        }
    }

    /// Whether no holder can have it already.
    pub(crate) const fn is_whole_only(&self) -> bool {
        matches!(self.form, Form::Tombstone(_))
    }

    /// What is sent to a holder; none when the record is no longer to be kept alive.
    pub(crate) fn store_item(
        &mut self,
        is_whole: bool,
        context: &Context<'_>,
    ) -> Option<StoreItem> {
        let (promised, ttl_seconds) = self.current(context.core, context.now)?;
        let record = match promised {
            Current::Value(value) if is_whole => Record::Value(value),
            Current::Value(value) => Record::Renewal(Renewal::Value(*value.key())),
            Current::Signed(record) if is_whole => Record::Signed(record.into_inner()),
            Current::Signed(record) => Record::Renewal(Renewal::of(&record)),
        };
        Some(StoreItem {
            record,
            class: StoreClass::FirstHand,
            ttl_seconds,
            group: None,
            exclusive: false,
        })
    }

    /// Keeps the own copy; false when the store refuses it.
    pub(crate) fn keep(&mut self, core: &mut Core, now: Time) -> bool {
        match self.current(core, now) {
            Some((Current::Value(value), ttl)) => {
                let held = Held::new(value, StoreClass::FirstHand, u64::from(ttl), now);
                core.keep(held, now).is_ok()
            }
            Some((Current::Signed(record), _)) => {
                core.keep_signed(record, Origin::own(false), now).is_ok()
            }
            None => false,
        }
    }

    /// Takes in a record of the same slot that a holder has.
    ///
    /// # Errors
    ///
    /// `bad-signature` when the holder lied.
    pub(crate) fn compare(
        &mut self,
        theirs: SignedRecord,
        network: &NetworkId,
    ) -> Result<(), Reason> {
        let Some(ours) = self.signed() else {
            return Ok(());
        };
        let is_later = PublicationId::of(&theirs) == self.id
            && matches!(
                relation(ours, &theirs),
                Relation::Newer | Relation::Conflict { wins: true }
            );
        if is_later {
            theirs.verify(network).map_err(|error| error.reason())?;
            self.is_superseded = true;
        }
        Ok(())
    }

    fn current(&mut self, core: &Core, now: Time) -> Option<(Current, u32)> {
        let signed = match &mut self.form {
            Form::Tombstone(record) => return Some((Current::Signed(record.clone()), 0)),
            Form::Published(signed) => signed,
        };
        if self.is_superseded || !core.is_published(&self.id, self.seq) {
            return None;
        }
        let promise = core.promises.book.get(&self.id)?;
        let record = match &promise.promised {
            Promised::Value(value) => {
                return Some((Current::Value(value.clone()), promise.ttl_seconds));
            }
            Promised::Signed(record) => record,
        };
        let record = signed.get_or_insert_with(|| {
            let expiry = promise.latest_expiry(now);
            sign_anew(core, record, expiry)
        });
        Some((Current::Signed(record.clone()), 0))
    }
}

enum Current {
    Value(qadom_wire::Value),
    Signed(Verified),
}

/// The record with a later expiry; as it is when its writer's secret is not known here.
fn sign_anew(core: &Core, record: &SignedRecord, expiry: u64) -> Verified {
    let network = &core.config.network;
    let draft = Draft {
        kind: record.kind(),
        is_tombstone: false,
        slot: *record.slot(),
        label: *record.label(),
        stream: record.stream(),
        seq: record.seq(),
        expiry,
        payload: record.payload().clone(),
    };
    let identity = core.identity(record.writer());
    let signed = identity.and_then(|identity| Arc::as_ref(&identity).sign(network, draft).ok());
    signed.unwrap_or_else(|| Verified::from_own_store(record.clone(), network))
}
