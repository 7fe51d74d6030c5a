//! Signed records: writers, what they write from any node, what any node reads and watches.
//!
//! What must stay true: a node that writes for a writer has its secret from then on, also after a
//! crash, as if the writer had brought its identity along.

use std::sync::Arc;

use bytes::Bytes;
use qadom_engine::{
    Engine, Listed, OperationId, ReadFrom, SignedRead, Since, Time, WatchSlot, Withdrawn,
    WriteOptions, Written,
};
use qadom_routing::Key;
use qadom_wire::{Identity, Writer};

use super::Network;
use crate::failure::Failure;
use crate::node::NodeIndex;
use crate::subscription::{Subscription, Told};
use crate::task::{Ending, Task};

/// How everything here is written that names no options.
const USUAL: WriteOptions = WriteOptions {
    ttl: None,
    min_copies: None,
    once: false,
};

impl Network {
    // Writers.

    /// Makes a writer, chosen by the seed.
    pub fn add_writer(&mut self) -> Writer {
        let identity = Arc::new(Identity::from_seed(self.chance.bytes()));
        let writer = identity.writer();
        self.identities.insert(writer, identity);
        writer
    }

    /// Gives a node the secret of a writer.
    pub fn give_identity(&mut self, node: NodeIndex, writer: &Writer) {
        let Some(identity) = self.identities.get(writer).cloned() else {
            return;
        };
        if let Some(owner) = self.nodes.get_mut(node.as_usize())
            && owner.writers.insert(*writer)
        {
            self.feed(node, |engine, _| engine.add_identity(identity));
        }
    }

    /// Begins any operation of a node's engine that signs for a writer.
    pub fn start_as<T: Ending>(
        &mut self,
        (node, writer): (NodeIndex, Writer),
        begin: impl FnOnce(&mut Engine, Time, Writer) -> OperationId,
    ) -> Task<T> {
        self.give_identity(node, &writer);
        self.start(node, |engine, now| begin(engine, now, writer))
    }

    // Dict names.

    /// Begins to set a name of 1 to 256 bytes, as a writer at a node.
    pub fn start_dict_set(
        &mut self,
        by: (NodeIndex, Writer),
        name: &str,
        value: impl Into<Bytes>,
    ) -> Task<Written> {
        let value = value.into();
        self.start_as(by, |engine, now, writer| {
            engine.dict_set(now, writer, name.as_bytes(), value, USUAL)
        })
    }

    /// Begins to delete a name.
    pub fn start_dict_delete(&mut self, by: (NodeIndex, Writer), name: &str) -> Task<Written> {
        self.start_as(by, |engine, now, writer| {
            engine.dict_delete(now, writer, name.as_bytes(), USUAL)
        })
    }

    /// Begins to find the highest cell of a name.
    pub fn start_dict_get(&mut self, node: NodeIndex, name: &str) -> Task<SignedRead> {
        self.start(node, |engine, now| {
            engine.dict_get(now, name.as_bytes(), None, ReadFrom::Network)
        })
    }

    /// Finds the highest cell of a name.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish) gives them.
    pub fn dict_get(&mut self, node: NodeIndex, name: &str) -> Result<SignedRead, Failure> {
        let task = self.start_dict_get(node, name);
        self.finish(task)
    }

    // Bags.

    /// Begins to add an item of at most 1024 bytes to a bag.
    pub fn start_bag_add(
        &mut self,
        by: (NodeIndex, Writer),
        bag: Key,
        item: impl Into<Bytes>,
    ) -> Task<Written> {
        let item = item.into();
        self.start_as(by, |engine, now, writer| {
            engine.bag_add(now, writer, bag, item, USUAL)
        })
    }

    /// Begins to remove the writer's own item from a bag.
    pub fn start_bag_remove(
        &mut self,
        by: (NodeIndex, Writer),
        bag: Key,
        item: impl Into<Bytes>,
    ) -> Task<Written> {
        let item = item.into();
        self.start_as(by, |engine, now, writer| {
            engine.bag_remove(now, writer, bag, item, USUAL)
        })
    }

    /// Begins to list a bag.
    pub fn start_bag_list(&mut self, node: NodeIndex, bag: Key) -> Task<Listed> {
        self.start(node, |engine, now| {
            engine.bag_list(now, bag, ReadFrom::Network)
        })
    }

    /// Lists a bag.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish) gives them.
    pub fn bag_list(&mut self, node: NodeIndex, bag: Key) -> Result<Listed, Failure> {
        let task = self.start_bag_list(node, bag);
        self.finish(task)
    }

    // Namespaces.

    /// Begins to set an entry of the writer's namespace to at most 8192 bytes.
    pub fn start_namespace_set(
        &mut self,
        by: (NodeIndex, Writer),
        key: Key,
        value: impl Into<Bytes>,
    ) -> Task<Written> {
        let entry = (key, value.into());
        self.start_as(by, |engine, now, writer| {
            engine.namespace_set(now, writer, entry, None, USUAL)
        })
    }

    /// Begins to delete an entry of the writer's namespace.
    pub fn start_namespace_delete(&mut self, by: (NodeIndex, Writer), key: Key) -> Task<Written> {
        self.start_as(by, |engine, now, writer| {
            engine.namespace_delete(now, writer, key, None, USUAL)
        })
    }

    /// Begins to find an entry of a namespace: any that is not older than what the node has seen,
    /// or the latest.
    pub fn start_namespace_get(
        &mut self,
        node: NodeIndex,
        entry: (Writer, Key),
        latest: bool,
    ) -> Task<SignedRead> {
        self.start(node, |engine, now| {
            engine.namespace_get(now, entry, latest, ReadFrom::Network)
        })
    }

    /// Finds an entry of a namespace.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish) gives them.
    pub fn namespace_get(
        &mut self,
        node: NodeIndex,
        entry: (Writer, Key),
        latest: bool,
    ) -> Result<SignedRead, Failure> {
        let task = self.start_namespace_get(node, entry, latest);
        self.finish(task)
    }

    // Topics and watching.

    /// Begins to publish a message of at most 8192 bytes.
    pub fn start_publish(
        &mut self,
        by: (NodeIndex, Writer),
        topic: Key,
        message: impl Into<Bytes>,
    ) -> Task<Written> {
        let message = message.into();
        self.start_as(by, |engine, now, writer| {
            engine.publish(now, writer, topic, message, USUAL)
        })
    }

    /// Begins to watch a slot. What is told is collected until it is taken.
    pub fn watch(&mut self, node: NodeIndex, slot: WatchSlot, since: Since) -> Subscription {
        let now = self.time_of(node);
        let operation = self
            .engine_mut(node)
            .map(|engine| engine.watch(now, slot, since));
        let subscription = self.subscriptions.begin(node, operation);
        self.settle(node);
        subscription
    }

    /// Ends a subscription, and gives what it was told and nobody has taken yet.
    #[expect(clippy::needless_pass_by_value, reason = "a subscription ends once")]
    pub fn unwatch(&mut self, subscription: Subscription) -> Vec<Told> {
        if let Some(operation) = subscription.operation
            && self.subscriptions.failure(&subscription).is_none()
        {
            self.feed(subscription.node, |engine, _| engine.cancel(operation));
        }
        self.subscriptions.remove(&subscription)
    }

    /// What a subscription was told and nobody has taken yet.
    pub fn told(&self, subscription: &Subscription) -> &[Told] {
        self.subscriptions.told(subscription)
    }

    /// Takes what a subscription was told.
    pub fn take_told(&mut self, subscription: &Subscription) -> Vec<Told> {
        self.subscriptions.take(subscription)
    }

    /// Why a subscription ended that nobody has ended; none while it goes on.
    pub fn watch_failure(&self, subscription: &Subscription) -> Option<&Failure> {
        self.subscriptions.failure(subscription)
    }

    // Publications.

    /// Begins to end all that a node publishes in a slot.
    pub fn start_withdraw(&mut self, node: NodeIndex, slot: Key) -> Task<Withdrawn> {
        self.start(node, |engine, now| engine.withdraw(now, slot))
    }
}
