//! Who follows an operation while it runs: where watched slots, listed bags and lookups are told.
//!
//! What must stay true: each follower belongs to one operation of the engine and leaves with it; an
//! operation whose follower is gone is given up.

use std::collections::HashMap;

use qadom_engine::{Effect, Engine, Failure, OperationId, Outcome};

use crate::bag_stream::Items;
use crate::handover::Feed;
use crate::lookup_stream::Steps;
use crate::subscription::Events;

/// The followers of this node's operations.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    /// Where the events of watched slots go.
    slots: HashMap<OperationId, Feed<Events>>,
    /// Where the items of bags go.
    bags: HashMap<OperationId, Feed<Items>>,
    /// Where the steps of lookups go.
    lookups: HashMap<OperationId, Feed<Steps>>,
}

impl Feeds {
    pub(super) fn watch(&mut self, operation: OperationId, feed: Feed<Events>) {
        self.slots.insert(operation, feed);
    }

    pub(super) fn list(&mut self, operation: OperationId, feed: Feed<Items>) {
        self.bags.insert(operation, feed);
    }

    pub(super) fn look_up(&mut self, operation: OperationId, feed: Feed<Steps>) {
        self.lookups.insert(operation, feed);
    }

    /// Tells whoever asked for an operation that it has begun; one that was refused is here no more.
    pub(super) fn begin(&mut self, operation: OperationId) {
        if let Some(feed) = self.slots.get_mut(&operation) {
            feed.begin();
        }
        if let Some(feed) = self.bags.get_mut(&operation) {
            feed.begin();
        }
        if let Some(feed) = self.lookups.get_mut(&operation) {
            feed.begin();
        }
    }

    /// Hands on what an operation tells; other effects tell nothing.
    pub(super) fn tell(&self, effect: Effect) {
        match effect {
            Effect::Event { operation, event } => {
                if let Some(feed) = self.slots.get(&operation) {
                    feed.push(event);
                }
            }
            Effect::Items { operation, records } => {
                if let Some(feed) = self.bags.get(&operation) {
                    feed.push(records);
                }
            }
            Effect::Steps {
                operation,
                began,
                steps,
            } => {
                if let Some(feed) = self.lookups.get(&operation) {
                    feed.push(began, steps);
                }
            }
            _ => {}
        }
    }

    /// Tells the follower of an operation how it ended; gives the result back when nobody follows.
    pub(super) fn end(
        &mut self,
        operation: OperationId,
        result: Result<Outcome, Failure>,
    ) -> Option<Result<Outcome, Failure>> {
        if let Some(feed) = self.bags.remove(&operation) {
            feed.end(result);
            return None;
        }
        if let Some(feed) = self.lookups.remove(&operation) {
            feed.end(result);
            return None;
        }
        if let (Some(mut feed), Err(failure)) = (self.slots.remove(&operation), &result) {
            // One that had begun learns of the end by its queue.
            let _ = feed.refuse(failure.clone());
        }
        Some(result)
    }

    /// Gives up the operations that nobody follows any more.
    pub(super) fn forget_unread(&mut self, engine: &mut Engine) {
        forget_unread(&mut self.slots, engine);
        forget_unread(&mut self.bags, engine);
        forget_unread(&mut self.lookups, engine);
    }
}

fn forget_unread<Q>(feeds: &mut HashMap<OperationId, Feed<Q>>, engine: &mut Engine) {
    feeds.retain(|&operation, feed| {
        if feed.is_unread() {
            engine.cancel(operation);
        }
        !feed.is_unread()
    });
}
