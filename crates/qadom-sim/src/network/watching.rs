//! Watching in a virtual network: what subscriptions told is kept until it is collected.

use std::collections::BTreeMap;

use qadom_engine::{OperationId, Since, WatchEvent, WatchSlot};

use super::Network;
use crate::node::NodeIndex;

/// A slot that a node watches; [`Network::take_events`] gives what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    node: NodeIndex,
    operation: OperationId,
}

/// What subscriptions told that nobody collected yet.
pub(super) type Told = BTreeMap<Subscription, Vec<WatchEvent>>;

impl Network {
    /// Lets a node watch a slot until [`unwatch`](Self::unwatch); none when it is dead.
    pub fn watch(
        &mut self,
        node: NodeIndex,
        slot: WatchSlot,
        since: Since,
    ) -> Option<Subscription> {
        let now = self.time();
        let engine = self.engine_mut(node)?;
        let operation = engine.watch(now, slot, since);
        self.settle(node);
        Some(Subscription { node, operation })
    }

    /// What a subscription was told since the last call.
    pub fn take_events(&mut self, subscription: &Subscription) -> Vec<WatchEvent> {
        self.told.remove(subscription).unwrap_or_default()
    }

    /// Ends a subscription. What it was told before can still be collected.
    pub fn unwatch(&mut self, subscription: &Subscription) {
        let Subscription { node, operation } = *subscription;
        if let Some(engine) = self.engine_mut(node) {
            engine.cancel(operation);
            self.settle(node);
        }
    }

    pub(super) fn on_told(&mut self, node: NodeIndex, operation: OperationId, event: WatchEvent) {
        let subscription = Subscription { node, operation };
        self.told.entry(subscription).or_default().push(event);
    }
}
