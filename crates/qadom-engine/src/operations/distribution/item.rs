//! One record on its way to its holders.

use bytes::Bytes;
use qadom_wire::{
    Draft, NetworkId, Reason, Record, Relation, Renewal, SignedRecord, StoreClass, StoreItem,
    Verified, relation,
};

use crate::core::Core;
use crate::keep::Origin;
use crate::publications::promise::{Promised, PublicationId, Refusals};
use crate::records::Held;
use crate::time::Time;
use crate::walk::Context;

/// A record that is brought to its holders, and what became of it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: PublicationId,
    pub(crate) seq: u64,
    form: Form,
    /// Nodes that are to have it, this one counted when it is near: at most k.
    pub(crate) holders: usize,
    /// Durable copies acknowledged.
    pub(crate) copies: u32,
    /// Why holders did not take it.
    pub(crate) refusals: Refusals,
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
    /// A tombstone, which nobody has yet. It is signed when the first copy is sent, too.
    Tombstone {
        /// What it buries.
        buried: SignedRecord,
        expiry: u64,
        signed: Option<Verified>,
    },
}

impl Item {
    /// The renewal of a publication.
    pub(crate) const fn renewal(id: PublicationId, seq: u64) -> Self {
        Self::new(id, seq, Form::Published(None))
    }

    /// What buries a record of this node, as version `seq`.
    pub(crate) fn tombstone(buried: SignedRecord, seq: u64, expiry: u64) -> Self {
        let id = PublicationId::of(&buried);
        let signed = None;
        Self::new(
            id,
            seq,
            Form::Tombstone {
                buried,
                expiry,
                signed,
            },
        )
    }

    const fn new(id: PublicationId, seq: u64, form: Form) -> Self {
        Self {
            id,
            seq,
            form,
            holders: 0,
            copies: 0,
            refusals: Refusals::new(),
            is_superseded: false,
            is_own_near: false,
            is_own_kept: false,
        }
    }

    /// The record as it was signed, if it was.
    pub(crate) fn signed(&self) -> Option<&SignedRecord> {
        match &self.form {
            Form::Published(signed) | Form::Tombstone { signed, .. } => signed.as_deref(),
        }
    }

    /// Whether it buries what was withdrawn, so that no holder can have it already.
    pub(crate) const fn is_tombstone(&self) -> bool {
        matches!(self.form, Form::Tombstone { .. })
    }

    /// Whether at least half of the nodes that are to have it took it.
    pub(crate) fn is_taken(&self) -> bool {
        self.copies > 0 && u64::from(self.copies) * 2 >= self.holders as u64
    }

    /// Notes why a holder did not take it.
    pub(crate) fn refuse(&mut self, reason: Reason) {
        *self.refusals.entry(reason).or_default() += 1;
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
            Form::Published(signed) => signed,
            Form::Tombstone {
                buried,
                expiry,
                signed,
            } => {
                let draft = Draft {
                    is_tombstone: true,
                    seq: self.seq,
                    payload: Bytes::new(),
                    ..draft_of(buried, *expiry)
                };
                let record = match signed {
                    Some(record) => record,
                    None => signed.insert(sign(core, buried, draft)?),
                };
                return Some((Current::Signed(record.clone()), 0));
            }
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
            let draft = draft_of(record, promise.latest_expiry(now));
            // Without the secret it lives as long as it was signed for.
            sign(core, record, draft)
                .unwrap_or_else(|| Verified::from_own_store(record.clone(), &core.config.network))
        });
        Some((Current::Signed(record.clone()), 0))
    }
}

enum Current {
    Value(qadom_wire::Value),
    Signed(Verified),
}

/// A draft of the same record with this expiry.
fn draft_of(record: &SignedRecord, expiry: u64) -> Draft {
    Draft {
        kind: record.kind(),
        is_tombstone: false,
        slot: *record.slot(),
        label: *record.label(),
        stream: record.stream(),
        seq: record.seq(),
        expiry,
        payload: record.payload().clone(),
    }
}

/// Signs with the secret of a record's writer; none when this node does not have it.
fn sign(core: &Core, record: &SignedRecord, draft: Draft) -> Option<Verified> {
    let identity = core.identity(record.writer())?;
    identity.sign(&core.config.network, draft).ok()
}
