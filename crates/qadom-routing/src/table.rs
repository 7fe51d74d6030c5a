//! The routing table: who this node knows, kept so that whoever lives long stays in it.
//!
//! A contact's bucket is the number of leading bits that its id shares with the own id, so half of
//! the key space is in bucket 0, half of the rest in bucket 1 and so on. A full bucket takes
//! nobody in: a newcomer waits until a contact of the bucket has proven dead (Kademlia,
//! sections 2.2 and 4.1).
//!
//! What must stay true: the own id and clients are never in the table; a bucket holds at most k
//! contacts, the one that ends the own neighbourhood at most 2 k; a contact leaves only after two
//! different requests to it failed, never while this node itself seems to be cut off. Whether a
//! node may enter (its puzzle, its session) is decided by the caller before.

use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::bucket::{Bucket, Entry, Failure};
use crate::config::TableConfig;
use crate::contact::{Contact, NodeId};
use crate::key::{KEY_LENGTH, Key};
use crate::moment::Moment;

/// Buckets at most, one for each length of a prefix shared with the own id.
const BUCKETS: u32 = 256;

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
    /// Up to one beyond the deepest bucket that ever had a contact, which stands for all deeper
    /// ones.
    buckets: Vec<Bucket>,
    /// When any contact was last heard from.
    heard_at: Moment,
}

/// What the table did with a node that was heard from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It is a contact of the table from now on.
    Inserted,
    /// It was one already and is now the most recently seen of its bucket, with the address given.
    Refreshed,
    /// Its bucket is full; it waits for a place. The least recently seen contact of the bucket is
    /// to be pinged: it moves up when it answers, and counts a failure when not.
    Queued {
        /// Whom to ping.
        ping: Contact,
    },
    /// Its bucket is full; it waits for a place. Nobody is to be pinged: a ping is under way, or
    /// the least recently seen contact was heard from a moment ago.
    Waiting,
    /// Nothing changed: it is this node itself or keeps no records for others.
    Ignored,
}

/// What the table did about a request that failed.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry<'a> {
    /// The contact.
    pub contact: &'a Contact,
    /// Leading bits that its id shares with the own id, 0 to 255.
    pub bucket: u32,
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
                ..config
            },
            buckets: Vec::new(),
            heard_at: Moment::ORIGIN,
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
        self.held().filter(|entry| entry.silence.is_none()).count()
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
        if bucket.entries.len() < capacity {
            bucket.insert(contact, now);
            return Observation::Inserted;
        }
        bucket.queue(contact, now, self.config.replacements);
        match bucket.begin_check(self.config.check_after, now) {
            Some(ping) => Observation::Queued { ping },
            None => Observation::Waiting,
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
        let mut ranked = Vec::with_capacity(n.min(self.len()));
        for bucket in self.by_distance(target) {
            let first = ranked.len();
            if first >= n {
                break;
            }
            let accepted = bucket.contacts().filter(|contact| accept(contact));
            ranked.extend(accepted.map(|contact| (contact.id().key().distance(target), contact)));
            if let Some(added) = ranked.get_mut(first..) {
                added.sort_unstable_by_key(|(distance, _)| *distance);
            }
        }
        ranked.truncate(n);
        ranked.into_iter().map(|(_, contact)| contact).collect()
    }

    /// Every contact, by bucket and in it from the least to the most recently seen.
    pub fn entries(&self) -> impl Iterator<Item = TableEntry<'_>> {
        (0..).zip(&self.buckets).flat_map(|(bucket, held)| {
            held.entries.iter().map(move |entry| TableEntry {
                contact: &entry.contact,
                bucket,
                last_seen: entry.last_seen,
                failures: entry.failures(),
            })
        })
    }

    /// The buckets that neither an insertion nor a lookup touched for `idle`, up to one beyond the
    /// deepest that holds a contact. None while the table is empty.
    pub fn stale_buckets(&self, now: Moment, idle: Duration) -> Vec<u32> {
        let is_filled = |bucket: &Bucket| !bucket.entries.is_empty();
        let Some(deepest) = self.buckets.iter().rposition(is_filled) else {
            return Vec::new();
        };
        (0..BUCKETS)
            .zip(self.buckets.iter().take(deepest + 2))
            .filter(|(_, bucket)| now.since(bucket.touched) >= idle)
            .map(|(index, _)| index)
            .collect()
    }

    /// A random key of a bucket (0 to 255; above stands for 255), to refresh it with a lookup.
    pub fn random_target(&self, bucket: u32, rng: &mut impl Rng) -> Key {
        let own = self.own.key().as_bytes();
        let mut bytes = [0; KEY_LENGTH];
        rng.fill_bytes(&mut bytes);
        let bucket = bucket.min(BUCKETS - 1);
        for (first_bit, (byte, own)) in (0..).step_by(8).zip(bytes.iter_mut().zip(own)) {
            // Bits before the bucket's are the own ones, that one is their opposite.
            let shared = !(0xff_u8
                .checked_shr(bucket.saturating_sub(first_bit))
                .unwrap_or(0));
            let opposite = bucket
                .checked_sub(first_bit)
                .and_then(|bit| 0x80_u8.checked_shr(bit));
            let opposite = opposite.unwrap_or(0);
            let random = !(shared | opposite);
            *byte = (own & shared) | (!own & opposite) | (*byte & random);
        }
        Key::from_bytes(bytes)
    }

    /// Notes that a lookup for `target` ended: it refreshed the target's bucket.
    pub fn on_lookup(&mut self, target: &Key, now: Moment) {
        let shared = self.own.key().distance(target).shared_bits();
        let last = self.buckets.len().saturating_sub(1);
        let index = usize::try_from(shared).map_or(last, |shared| shared.min(last));
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.touched = now;
        }
    }

    /// The bucket of an id; none for the own one.
    fn index(&self, id: &NodeId) -> Option<usize> {
        let shared = self.own.key().distance(id.key()).shared_bits();
        usize::try_from(shared).ok().filter(|_| shared < BUCKETS)
    }

    fn bucket_mut(&mut self, id: &NodeId) -> Option<&mut Bucket> {
        let index = self.index(id)?;
        self.buckets.get_mut(index)
    }

    /// Makes the bucket exist, and the next deeper one, so that its refresh can be noted.
    fn grow(&mut self, index: usize, now: Moment) {
        let wanted = index + 2;
        if self.buckets.len() < wanted {
            self.buckets.reserve_exact(wanted - self.buckets.len());
            self.buckets.resize_with(wanted, || Bucket::new(now));
        }
    }

    /// How many contacts a bucket may hold for an id to be taken in: k, and twice that when the id
    /// is one of the k nearest to the own id, which are kept together (section 2.4 splits such
    /// buckets to that end).
    fn capacity(&self, index: usize, id: &NodeId) -> usize {
        let k = self.config.k;
        let deeper = self.buckets.iter().skip(index + 1);
        let deeper: usize = deeper.map(|bucket| bucket.entries.len()).sum();
        let Some(bucket) = self.buckets.get(index).filter(|_| deeper < k) else {
            return k;
        };
        let distance = self.own.key().distance(id.key());
        let is_nearer = |contact: &&Contact| self.own.key().distance(contact.id().key()) < distance;
        let nearer = deeper + bucket.contacts().filter(is_nearer).count();
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

    /// The buckets in the order of their distance to a target.
    ///
    /// Where the target and the own id differ, the bucket of that bit is nearer to the target than
    /// all deeper ones; where they agree, it is farther. So no contact of one bucket stands between
    /// two of another, and only the contacts of one bucket have to be sorted.
    fn by_distance(&self, target: &Key) -> impl Iterator<Item = &Bucket> {
        let own = self.own.key().distance(target);
        let buckets = (0..BUCKETS).zip(&self.buckets);
        let nearer = buckets
            .clone()
            .filter(move |(index, _)| own.is_bit_set(*index));
        let farther = buckets
            .rev()
            .filter(move |(index, _)| !own.is_bit_set(*index));
        nearer.chain(farther).map(|(_, bucket)| bucket)
    }

    fn held(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    fn evict(&mut self, index: usize, id: &NodeId) -> Removal {
        let k = self.config.k;
        let Some(bucket) = self.buckets.get_mut(index) else {
            return Removal::Unknown;
        };
        bucket.remove(id);
        if bucket.entries.len() >= k {
            return Removal::Removed;
        }
        match bucket.promote() {
            Some(by) => Removal::Replaced { by },
            None => Removal::Removed,
        }
    }
}

#[cfg(test)]
mod tests;
