//! Which holders may push what to which operation of this node, and what they have pushed.
//!
//! What must stay true: nothing is heard from a node that was not asked, and nothing waits here
//! beyond the input that brought it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use qadom_routing::NodeKey;
use qadom_wire::{Answer, Notify, Reason};

use crate::core::Core;
use crate::effect::Inbound;
use crate::operation::OperationId;
use crate::watch::WatchSlot;

/// A batch for an operation.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) operation: OperationId,
    pub(crate) from: NodeKey,
    pub(crate) batch: Notify,
}

/// Every subscription of this node.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    slots: BTreeMap<WatchSlot, BTreeMap<OperationId, BTreeSet<NodeKey>>>,
    heard: VecDeque<Heard>,
}

impl Subscriptions {
    /// Subscriptions, a count.
    pub(crate) fn len(&self) -> usize {
        self.slots.values().map(BTreeMap::len).sum()
    }

    /// Notes that an operation watches a slot, before any holder is asked.
    pub(crate) fn begin(&mut self, slot: WatchSlot, operation: OperationId) {
        self.slots
            .entry(slot)
            .or_default()
            .entry(operation)
            .or_default();
    }

    /// Lets a holder push to an operation.
    pub(crate) fn expect(&mut self, slot: &WatchSlot, operation: OperationId, holder: NodeKey) {
        let operations = self.slots.get_mut(slot);
        if let Some(holders) = operations.and_then(|operations| operations.get_mut(&operation)) {
            holders.insert(holder);
        }
    }

    /// Ends what [`expect`](Self::expect) began. Tells whether no operation of this node waits for
    /// that holder any more, so that its lease is of no use.
    pub(crate) fn release(
        &mut self,
        slot: &WatchSlot,
        operation: OperationId,
        holder: &NodeKey,
    ) -> bool {
        let Some(operations) = self.slots.get_mut(slot) else {
            return true;
        };
        if let Some(holders) = operations.get_mut(&operation) {
            holders.remove(holder);
        }
        !operations.values().any(|holders| holders.contains(holder))
    }

    /// An operation has ended.
    pub(crate) fn end(&mut self, slot: &WatchSlot, operation: OperationId) {
        if let Some(operations) = self.slots.get_mut(slot) {
            operations.remove(&operation);
            if operations.is_empty() {
                self.slots.remove(slot);
            }
        }
    }

    /// Takes a batch in; false when nobody waits for it.
    pub(crate) fn hear(&mut self, from: NodeKey, batch: &Notify) -> bool {
        let (slot, kind) = (batch.slot, batch.kind);
        let operations = self.slots.get(&WatchSlot { slot, kind });
        let waiting = operations.into_iter().flatten();
        let waiting = waiting.filter(|(_, holders)| holders.contains(&from));
        let before = self.heard.len();
        self.heard.extend(waiting.map(|(operation, _)| Heard {
            operation: *operation,
            from,
            batch: batch.clone(),
        }));
        self.heard.len() > before
    }

    pub(crate) fn next_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }
}

impl Core {
    /// Takes in what a holder pushes.
    pub(crate) fn serve_notify(&mut self, inbound: &Inbound, batch: &Notify) -> Answer {
        let number = batch.number;
        let refusal = if !inbound.confirmed {
            Reason::NotConfirmed
        } else if self.subscriptions.hear(inbound.key, batch) {
            return Answer::Notified { number };
        } else {
            Reason::NotFound
        };
        self.drops.count(refusal);
        Answer::Refused(refusal)
    }
}
