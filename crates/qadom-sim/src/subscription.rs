//! What subscriptions were told.
//!
//! What must stay true: everything that an engine told is kept in its order until it is taken, also
//! when the node has died since.

use std::collections::BTreeMap;

use qadom_engine::{OperationId, WatchEvent};
use qadom_routing::Moment;

use crate::failure::Failure;
use crate::node::NodeIndex;

/// A subscription of a node; [`Network::told`](crate::Network::told) says what it was told.
#[derive(Debug)]
#[must_use = "what a subscription is told is known only to who holds it"]
pub struct Subscription {
    pub(crate) node: NodeIndex,
    /// None when the node was dead already.
    pub(crate) operation: Option<OperationId>,
    pub(crate) number: u64,
}

impl Subscription {
    /// The node that watches.
    pub const fn node(&self) -> NodeIndex {
        self.node
    }
}

/// Something that a subscription was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Moment,
    /// What.
    pub event: WatchEvent,
}

/// Every subscription of a network.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    running: BTreeMap<(NodeIndex, OperationId), u64>,
    told: BTreeMap<u64, Vec<Told>>,
    ended: BTreeMap<u64, Failure>,
    last: u64,
}

impl Subscriptions {
    pub(crate) fn begin(
        &mut self,
        node: NodeIndex,
        operation: Option<OperationId>,
    ) -> Subscription {
        self.last += 1;
        let number = self.last;
        match operation {
            Some(operation) => {
                self.running.insert((node, operation), number);
            }
            None => {
                self.ended.insert(number, Failure::Dead { node });
            }
        }
        Subscription {
            node,
            operation,
            number,
        }
    }

    pub(crate) fn tell(
        &mut self,
        node: NodeIndex,
        operation: OperationId,
        at: Moment,
        event: WatchEvent,
    ) {
        if let Some(number) = self.running.get(&(node, operation)) {
            let told = self.told.entry(*number).or_default();
            told.push(Told { at, event });
        }
    }

    pub(crate) fn end(&mut self, node: NodeIndex, operation: OperationId, failure: &Failure) {
        if let Some(number) = self.running.remove(&(node, operation)) {
            self.ended.insert(number, failure.clone());
        }
    }

    pub(crate) fn end_all_of(&mut self, node: NodeIndex) {
        let dead = self.running.extract_if(.., |(owner, _), _| *owner == node);
        self.ended
            .extend(dead.map(|(_, number)| (number, Failure::Dead { node })));
    }

    /// Forgets the subscription, and gives what was told and not taken.
    pub(crate) fn remove(&mut self, subscription: &Subscription) -> Vec<Told> {
        if let Some(operation) = subscription.operation {
            self.running.remove(&(subscription.node, operation));
        }
        self.ended.remove(&subscription.number);
        self.take(subscription)
    }

    pub(crate) fn told(&self, subscription: &Subscription) -> &[Told] {
        self.told
            .get(&subscription.number)
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn take(&mut self, subscription: &Subscription) -> Vec<Told> {
        self.told.remove(&subscription.number).unwrap_or_default()
    }

    pub(crate) fn failure(&self, subscription: &Subscription) -> Option<&Failure> {
        self.ended.get(&subscription.number)
    }
}
