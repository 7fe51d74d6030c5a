//! The routing table: who this node knows, kept so that whoever lives long stays in it.
//!
//! A contact's bucket is told by the first bits in which its id differs from the own id: with one
//! bit per level half of the key space is in bucket 0, half of the rest in bucket 1 and so on. A
//! full bucket takes nobody in: a newcomer waits until a contact of the bucket has proven dead
//! (Kademlia, sections 2.2, 2.4 and 4.1), or until it is found that too many of the bucket share
//! addresses. Which buckets there are lies in `table/levels.rs`, who shares addresses in
//! `table/crowding.rs`, what is to be checked and refreshed in `table/upkeep.rs`.
//!
//! What must stay true: the own id and clients are never in the table; a bucket holds at most k
//! contacts, the one that ends the own neighbourhood at most 2 k; a contact leaves only after two
//! different requests to it failed, never while this node itself seems to be cut off, or for one
//! whose addresses are not crowded. Nothing that is heard from makes this node send anything.
//! Whether a node may enter (its puzzle, its session) is decided by the caller before.

mod crowding;
mod levels;
mod upkeep;

use alloc::vec::Vec;

use crate::bucket::{Bucket, Entry, Failure};
use crate::config::TableConfig;
use crate::contact::{Contact, NodeId};
use crate::diversity::{GroupLimits, diverse};
use crate::key::Key;
use crate::moment::Moment;

/// The contacts of one node, in buckets by their distance from its own id.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Moment, NodeKey, Observation, RoutingTable, TableConfig};
///
/// let own = NodeKey::new([2; 32])?;
/// let mut table = RoutingTable::new(own.id(), TableConfig::default());
/// let contact = Contact::at(NodeKey::new([3; 32])?, ([192, 0, 2, 1], 4001).into(), true);
/// let now = Moment::ORIGIN;
/// assert_eq!(table.observe(contact.clone(), now), Observation::Inserted);
/// assert_eq!(table.observe(contact.clone(), now), Observation::Refreshed);
/// assert_eq!(table.closest(own.id().key(), 20), [&contact]);
/// # Ok::<(), qadom_routing::NodeKeyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RoutingTable {
    own: NodeId,
    config: TableConfig,
    /// From the farthest to the nearest, up to the level beyond the deepest one that ever had a
    /// contact, which stands for all deeper ones.
    buckets: Vec<Bucket>,
    /// When any contact was last heard from.
    heard_at: Moment,
    /// Contacts that came in, stayed out of answers or left for what they share with others.
    crowded: u64,
}

/// What the table did with a node that was heard from.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey, Observation, RoutingTable, TableConfig};
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
/// assert_eq!(table.observe(contact.clone(), Moment::ORIGIN), Observation::Inserted);
/// assert_eq!(table.observe(contact, Moment::ORIGIN), Observation::Refreshed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It is a contact of the table from now on.
    Inserted,
    /// It was one already and is now the most recently seen of its bucket, with the address given.
    Refreshed,
    /// It is a contact of the table from now on, in the place of one that shares its addresses with
    /// too many others of the bucket.
    Displaced {
        /// Who left.
        gone: Contact,
    },
    /// Its bucket is full; it waits for a place.
    Waiting,
    /// Nothing changed: it is this node itself or keeps no records for others.
    Ignored,
}

/// What the table did about a request that failed.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey, Removal, RoutingTable, TableConfig};
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
/// assert_eq!(table.on_failure(contact.id(), 1, Moment::ORIGIN), Removal::Unknown);
/// table.observe(contact.clone(), Moment::ORIGIN);
/// // One request that failed is no reason to forget the last contact there is.
/// assert_eq!(table.on_failure(contact.id(), 1, Moment::ORIGIN), Removal::Kept);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The contact stays: this was its first failure or one that was reported before, this node
    /// itself seems to be cut off, or nobody else would be left.
    Kept,
    /// The contact is out, and the replacement heard from last has its place.
    Replaced {
        /// The new contact of the table.
        by: Contact,
    },
    /// The contact is out and nobody waited for its place.
    Removed,
    /// It is no contact of the table. If it waited for a place, it no longer does.
    Unknown,
}

/// A contact of the table and what the table knows of it.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey, RoutingTable, TableConfig};
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
/// table.observe(contact, Moment::ORIGIN);
/// for entry in table.entries() {
///     assert_eq!((entry.first_seen, entry.failures), (Moment::ORIGIN, 0));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry<'a> {
    /// The contact.
    pub contact: &'a Contact,
    /// Leading bits that its id shares with the own id, 0 to 255.
    pub bucket: u32,
    /// Since when it has been known.
    pub first_seen: Moment,
    /// When it was last heard from.
    pub last_seen: Moment,
    /// Different requests that failed since.
    pub failures: u32,
}

impl RoutingTable {
    /// An empty table around the id of this node.
    pub fn new(own: NodeId, config: TableConfig) -> Self {
        Self {
            own,
            config: TableConfig {
                k: config.k.max(1),
                bits_per_level: config.bits_per_level.clamp(1, 8),
                ..config
            },
            buckets: Vec::new(),
            heard_at: Moment::ORIGIN,
            crowded: 0,
        }
    }

    /// The id of this node.
    pub const fn own(&self) -> &NodeId {
        &self.own
    }

    /// Contacts in the table, without those that wait for a place.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.entries.len()).sum()
    }

    /// Contacts to which no request failed since they were last heard from. The last silent ones
    /// are kept, so that only this tells whether anybody is left.
    pub fn live(&self) -> usize {
        self.held().filter(|entry| entry.is_live()).count()
    }

    /// Whether there is no contact.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that a node was heard from under a confirmed session: inserts it, moves it up, or lets
    /// it wait for a place. A known contact takes over the addresses given.
    pub fn observe(&mut self, contact: Contact, now: Moment) -> Observation {
        let Some(index) = self.index(contact.id()).filter(|_| contact.is_storing()) else {
            return Observation::Ignored;
        };
        self.heard_at = now;
        self.grow(index, now);
        let capacity = self.capacity(index, contact.id());
        let Some(bucket) = self.buckets.get_mut(index) else {
            return Observation::Ignored;
        };
        if bucket.refresh(&contact, now) {
            return Observation::Refreshed;
        }
        bucket.unqueue(contact.id());
        let is_full = bucket.entries.len() >= capacity;
        let is_crowded = self.is_crowded(index, &contact);
        if !is_full {
            self.crowded += u64::from(is_crowded);
            self.insert(index, contact, now);
            return Observation::Inserted;
        }
        if !is_crowded && let Some(gone) = self.remove_crowded(index) {
            self.crowded += 1;
            self.insert(index, contact, now);
            return Observation::Displaced { gone };
        }
        let limit = self.config.replacements;
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.queue(contact, now, limit);
        }
        Observation::Waiting
    }

    /// Notes since when a contact has been known, as an earlier run of this node has noted it.
    pub fn known_since(&mut self, id: &NodeId, since: Moment) {
        if let Some(bucket) = self.bucket_mut(id) {
            bucket.known_since(id, since);
        }
    }

    fn insert(&mut self, index: usize, contact: Contact, now: Moment) {
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.insert(contact, now);
        }
    }

    /// Notes that a request to a node failed for good.
    ///
    /// `request` tells requests apart: one that is reported twice counts once. The second different
    /// one evicts the contact, provided that
    ///
    /// - somebody was heard from after the first one (else this node may be cut off, and the second
    ///   counts as the first),
    /// - no more than half of the table fell silent within [`TableConfig::outage_window`],
    /// - a replacement waits or another contact of the table is not silent.
    pub fn on_failure(&mut self, id: &NodeId, request: u64, now: Moment) -> Removal {
        let Some(index) = self.index(id) else {
            return Removal::Unknown;
        };
        let heard_at = self.heard_at;
        let Some(bucket) = self.buckets.get_mut(index) else {
            return Removal::Unknown;
        };
        let may_go = match bucket.note_failure(id, request, heard_at, now) {
            Failure::Unknown => {
                bucket.unqueue(id);
                return Removal::Unknown;
            }
            Failure::First => return Removal::Kept,
            Failure::Further => {
                let has_replacement = !bucket.replacements.is_empty();
                !self.is_outage(now) && (has_replacement || self.live() > 0)
            }
        };
        if may_go {
            self.evict(index, id)
        } else {
            Removal::Kept
        }
    }

    /// Takes a contact out that turned client or was blocked, also when it only waits for a place;
    /// false when it was neither. Its place stays free until the next node is heard from.
    pub fn remove(&mut self, id: &NodeId) -> bool {
        self.bucket_mut(id)
            .is_some_and(|bucket| bucket.remove(id) || bucket.unqueue(id))
    }

    /// The contact with this id, if it is in the table.
    pub fn contact(&self, id: &NodeId) -> Option<&Contact> {
        let bucket = self.buckets.get(self.index(id)?)?;
        bucket.entry(id).map(|entry| &entry.contact)
    }

    /// The `n` contacts nearest to `target`, nearest first; all of them when there are fewer.
    pub fn closest(&self, target: &Key, n: usize) -> Vec<&Contact> {
        self.closest_where(target, n, |_| true)
    }

    /// The `n` contacts nearest to `target` of those that `accept` likes, nearest first.
    pub fn closest_where(
        &self,
        target: &Key,
        n: usize,
        accept: impl Fn(&Contact) -> bool,
    ) -> Vec<&Contact> {
        self.nearest(target, n, |entry| accept(&entry.contact))
    }

    /// Up to `n` contacts to begin a lookup with: the nearest that are not silent, and when these
    /// are too few the nearest silent ones behind them.
    pub fn seeds(&self, target: &Key, n: usize) -> Vec<&Contact> {
        let mut seeds = self.nearest(target, n, Entry::is_live);
        let missing = n.saturating_sub(seeds.len());
        if missing > 0 {
            seeds.extend(self.nearest(target, missing, |entry| !entry.is_live()));
        }
        seeds
    }

    /// Up to `n` contacts to answer a question with, nearest first: of those that `accept` likes
    /// and that are not silent, as long as there are any, and the ones whose addresses are not
    /// crowded before others.
    pub fn reply(
        &mut self,
        target: &Key,
        n: usize,
        accept: impl Fn(&Contact) -> bool,
    ) -> Vec<Contact> {
        let is_any_live = self.held().any(Entry::is_live);
        let is_wanted = |entry: &Entry| (entry.is_live() || !is_any_live) && accept(&entry.contact);
        let is_local = self.config.is_local;
        if is_local {
            // Nobody would be passed over.
            return self
                .nearest(target, n, is_wanted)
                .into_iter()
                .cloned()
                .collect();
        }
        let ranked = self.nearest(target, n.saturating_mul(3), is_wanted);
        let (chosen, passed_over) = diverse(ranked, n, GroupLimits::REPLY, is_local);
        let chosen = chosen.into_iter().cloned().collect();
        self.crowded += passed_over as u64;
        chosen
    }

    /// How often a contact came in, was left out of an answer or left the table because it shares
    /// its addresses with too many others.
    pub const fn crowded(&self) -> u64 {
        self.crowded
    }

    fn nearest(&self, target: &Key, n: usize, accept: impl Fn(&Entry) -> bool) -> Vec<&Contact> {
        let mut ranked = Vec::with_capacity(n.min(self.len()));
        for bucket in self.by_distance(target) {
            let first = ranked.len();
            if first >= n {
                break;
            }
            let accepted = bucket.entries.iter().filter(|entry| accept(entry));
            let contacts = accepted.map(|entry| &entry.contact);
            ranked.extend(contacts.map(|contact| (contact.id().key().distance(target), contact)));
            if let Some(added) = ranked.get_mut(first..) {
                added.sort_unstable_by_key(|(distance, _)| *distance);
            }
        }
        ranked.truncate(n);
        ranked.into_iter().map(|(_, contact)| contact).collect()
    }

    /// Every contact, from the farthest bucket to the nearest and in it from the least to the most
    /// recently seen.
    pub fn entries(&self) -> impl Iterator<Item = TableEntry<'_>> {
        self.held().map(|entry| TableEntry {
            contact: &entry.contact,
            bucket: self.shared_bits(entry.contact.id()),
            first_seen: entry.first_seen,
            last_seen: entry.last_seen,
            failures: entry.failures(),
        })
    }

    fn shared_bits(&self, id: &NodeId) -> u32 {
        self.own.key().distance(id.key()).shared_bits()
    }

    fn bucket_mut(&mut self, id: &NodeId) -> Option<&mut Bucket> {
        let index = self.index(id)?;
        self.buckets.get_mut(index)
    }

    /// How many contacts a bucket may hold for an id to be taken in: k, and twice that when the id
    /// is one of the k nearest to the own id, which are kept together (section 2.4 splits such
    /// buckets to that end).
    fn capacity(&self, index: usize, id: &NodeId) -> usize {
        let k = self.config.k;
        let nearer = self.buckets.iter().skip(index + 1);
        let nearer: usize = nearer.map(|bucket| bucket.entries.len()).sum();
        let Some(bucket) = self.buckets.get(index).filter(|_| nearer < k) else {
            return k;
        };
        let distance = self.own.key().distance(id.key());
        let is_nearer =
            |entry: &&Entry| self.own.key().distance(entry.contact.id().key()) < distance;
        let nearer = nearer + bucket.entries.iter().filter(is_nearer).count();
        if nearer < k { k.saturating_mul(2) } else { k }
    }

    /// Whether most of the table fell silent at once, so that the fault is likely here.
    fn is_outage(&self, now: Moment) -> bool {
        let fell_silent = |entry: &&Entry| {
            let silence = entry.silence;
            silence.is_some_and(|silence| now.since(silence.since) <= self.config.outage_window)
        };
        2 * self.held().filter(fell_silent).count() > self.len()
    }

    fn held(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    fn evict(&mut self, index: usize, id: &NodeId) -> Removal {
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.remove(id);
        }
        let (k, length) = match self.buckets.get(index) {
            Some(bucket) => (self.config.k, bucket.entries.len()),
            None => return Removal::Unknown,
        };
        // Beyond k only who belongs to the own neighbourhood now has a place.
        let has_place = |contact: &Contact| length < self.capacity(index, contact.id());
        let waiting = || {
            self.buckets
                .get(index)
                .into_iter()
                .flat_map(|bucket| &bucket.replacements)
        };
        if length >= k && !waiting().any(|entry| has_place(&entry.contact)) {
            return Removal::Removed;
        }
        let liked: Vec<NodeId> = waiting()
            .map(|entry| &entry.contact)
            .filter(|contact| has_place(contact) && !self.is_crowded(index, contact))
            .map(|contact| *contact.id())
            .collect();
        let placed: Vec<NodeId> = waiting()
            .map(|entry| &entry.contact)
            .filter(|contact| has_place(contact))
            .map(|contact| *contact.id())
            .collect();
        let chosen = if liked.is_empty() { placed } else { liked };
        let promoted = self
            .buckets
            .get_mut(index)
            .and_then(|bucket| bucket.promote(|contact| chosen.contains(contact.id())));
        promoted.map_or(Removal::Removed, |by| Removal::Replaced { by })
    }
}

#[cfg(test)]
mod tests;
