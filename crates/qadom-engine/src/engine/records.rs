//! What users write and read under signatures: dict names, bags, namespaces, topics.
//!
//! What must stay true: everything here ends in one [`Effect::Done`](crate::Effect::Done), also
//! what is refused at once.

use std::sync::Arc;

use bytes::Bytes;
use qadom_routing::Key;
use qadom_wire::{IdRange, Identity, Kind, Reason, Writer, dict_slot, namespace_slot};

use super::Engine;
use crate::operation::{Failure, OperationId, ReadFrom, WriteOptions};
use crate::operations::gather::ranges::only;
use crate::operations::gather::union::Place;
use crate::operations::gather::{Gather, Until, is_found};
use crate::operations::holders::HoldersOperation;
use crate::operations::read::{ENTRY, ReadOperation, Want};
use crate::operations::write::WriteOperation;
use crate::operations::write::change::{Change, Condition};
use crate::time::Time;

impl Engine {
    // Dict names.

    /// Sets a name of 1 to 256 bytes to a value of at most 8192 bytes. Whoever writes last wins, by
    /// the clocks of the writers; a cell that was there when this one was written loses to it.
    pub fn dict_set(
        &mut self,
        now: Time,
        writer: Writer,
        name: &[u8],
        value: Bytes,
        options: WriteOptions,
    ) -> OperationId {
        self.dict_change(now, writer, (name, Some(value)), options)
    }

    /// Deletes a name by a tombstone of the writer. While it is the highest cell nobody finds the
    /// name; it ends after 7 d.
    pub fn dict_delete(
        &mut self,
        now: Time,
        writer: Writer,
        name: &[u8],
        options: WriteOptions,
    ) -> OperationId {
        self.dict_change(now, writer, (name, None), options)
    }

    /// Finds the highest cell of a name, or that of one writer, however many others are above it.
    /// All of the closest nodes are asked.
    pub fn dict_get(
        &mut self,
        now: Time,
        name: &[u8],
        pinned: Option<Writer>,
        from: ReadFrom,
    ) -> OperationId {
        let Ok(slot) = dict_slot(name) else {
            return self.refuse(Reason::Malformed);
        };
        let range = pinned.map(|writer| only(&Key::from_bytes(*writer.as_bytes())));
        let place = place(slot, Kind::DictCell, range);
        let needs_quorum = from == ReadFrom::Network;
        let want = Want::Entry { needs_quorum };
        self.read(now, place, (Until::Complete, want), from)
    }

    // Bags.

    /// Adds an item of at most 1024 bytes to a bag. The same item once more is the same item, with
    /// a new life.
    pub fn bag_add(
        &mut self,
        now: Time,
        writer: Writer,
        key: Key,
        item: Bytes,
        options: WriteOptions,
    ) -> OperationId {
        let change = |identity| Change::bag(identity, key, item, Condition::None);
        self.change(now, &writer, options, change)
    }

    /// Removes the writer's own item from a bag by a tombstone, which ends after 7 d.
    ///
    /// Ends in [`Failure::NotYours`] when others alone have written the item, in
    /// [`Failure::NotFound`] when nobody has.
    pub fn bag_remove(
        &mut self,
        now: Time,
        writer: Writer,
        key: Key,
        item: Bytes,
        options: WriteOptions,
    ) -> OperationId {
        let change = |identity| Change::bag(identity, key, item, Condition::IsThere);
        self.change(now, &writer, options, change)
    }

    /// Lists the items of a bag: the union of what its holders have. An unknown bag is empty.
    pub fn bag_list(&mut self, now: Time, key: Key, from: ReadFrom) -> OperationId {
        let place = place(key, Kind::BagItem, None);
        self.read(now, place, (Until::Complete, Want::Items), from)
    }

    /// Lists a bag as [`bag_list`](Self::bag_list) does, but hands its items out as soon as they are
    /// verified: [`Effect::Items`](crate::Effect::Items). A newer version of an item follows the
    /// older one, and so does the tombstone of an item that turns out to be removed. The end says
    /// whether that was everything, without the items.
    pub fn bag_stream(&mut self, now: Time, key: Key, from: ReadFrom) -> OperationId {
        let place = place(key, Kind::BagItem, None);
        self.read(now, place, (Until::Complete, Want::Stream), from)
    }

    // Namespaces.

    /// Sets an entry of the writer's namespace to a value of at most 8192 bytes. With a seq only
    /// while the entry has that one; 0 stands for an entry that is not there.
    ///
    /// A compare-and-swap is refused by whoever saw another one, and needs more than half of the
    /// closest nodes; it is not linearizable.
    pub fn namespace_set(
        &mut self,
        now: Time,
        writer: Writer,
        entry: (Key, Bytes),
        if_seq: Option<u64>,
        options: WriteOptions,
    ) -> OperationId {
        let (key, value) = entry;
        let condition = if_seq.map_or(Condition::None, Condition::Seq);
        let change = |identity| Change::namespace(identity, &key, Some(value), condition);
        self.change(now, &writer, options, change)
    }

    /// Deletes an entry of the writer's namespace by a tombstone, which ends after 7 d.
    pub fn namespace_delete(
        &mut self,
        now: Time,
        writer: Writer,
        key: Key,
        if_seq: Option<u64>,
        options: WriteOptions,
    ) -> OperationId {
        let condition = if_seq.map_or(Condition::None, Condition::Seq);
        let change = |identity| Change::namespace(identity, &key, None, condition);
        self.change(now, &writer, options, change)
    }

    /// Finds an entry of a writer's namespace: any that is not older than what this node has seen,
    /// or the latest, for which all of the closest nodes are asked and stale ones repaired.
    pub fn namespace_get(
        &mut self,
        now: Time,
        entry: (Writer, Key),
        latest: bool,
        from: ReadFrom,
    ) -> OperationId {
        let (writer, key) = entry;
        let slot = namespace_slot(writer.as_bytes(), &key);
        let place = place(slot, Kind::NamespaceEntry, None);
        let least = self.core.seen.highest(&slot).max(1);
        let until = if latest {
            Until::Complete
        } else {
            Until::First { least }
        };
        let needs_quorum = latest && from == ReadFrom::Network;
        let want = Want::Entry { needs_quorum };
        if !latest && from == ReadFrom::Network {
            let corrected = self.core.corrected(now);
            let local = Gather::local(&mut self.core, place, corrected);
            let held = local.union().get(&ENTRY);
            if held.is_some_and(|held| is_found(&held.record, least)) {
                return self.start(corrected, Box::new(ReadOperation::new(local, want)));
            }
        }
        self.read(now, place, (until, want), from)
    }

    // Topics.

    /// Publishes a message of at most 8192 bytes. From the second one on it goes to the holders at
    /// once, without a lookup. Events are not renewed.
    pub fn publish(
        &mut self,
        now: Time,
        writer: Writer,
        topic: Key,
        message: Bytes,
        options: WriteOptions,
    ) -> OperationId {
        let change = |identity| Change::event(identity, topic, message);
        let operation = self.change(now, &writer, options, change);
        let now = self.core.corrected(now);
        if self.core.topics.take_stale(&topic, now.moment) {
            let lookup = HoldersOperation::new(&self.core, topic, now);
            self.start_background(now, Box::new(lookup));
        }
        operation
    }

    // What they have in common.

    fn dict_change(
        &mut self,
        now: Time,
        writer: Writer,
        cell: (&[u8], Option<Bytes>),
        options: WriteOptions,
    ) -> OperationId {
        let (name, value) = cell;
        let Ok(slot) = dict_slot(name) else {
            return self.refuse(Reason::Malformed);
        };
        let change = |identity| Change::dict(identity, slot, value);
        self.change(now, &writer, options, change)
    }

    fn change(
        &mut self,
        now: Time,
        writer: &Writer,
        options: WriteOptions,
        change: impl FnOnce(Arc<Identity>) -> Change,
    ) -> OperationId {
        let now = self.core.corrected(now);
        let Some(identity) = self.core.identity(writer) else {
            let writer = *writer;
            return self.end_at_once(Err(Failure::UnknownWriter { writer }));
        };
        let change = change(identity);
        if let Err(reason) = change.check_limits(options) {
            return self.refuse(reason);
        }
        let operation = WriteOperation::signed(&mut self.core, change, options, now);
        self.start(now, Box::new(operation))
    }

    fn read(
        &mut self,
        now: Time,
        place: Place,
        (until, want): (Until, Want),
        from: ReadFrom,
    ) -> OperationId {
        let now = self.core.corrected(now);
        let core = &mut self.core;
        let gather = match from {
            ReadFrom::Network => Gather::new(core, place, until, now),
            ReadFrom::Local => Gather::local(core, place, now),
            ReadFrom::Node(node) => Gather::directed(core, place, *node, now),
        };
        self.start(now, Box::new(ReadOperation::new(gather, want)))
    }

    fn refuse(&mut self, reason: Reason) -> OperationId {
        self.end_at_once(Err(Failure::Refused { reason }))
    }
}

const fn place(slot: Key, kind: Kind, range: Option<IdRange>) -> Place {
    Place { slot, kind, range }
}
