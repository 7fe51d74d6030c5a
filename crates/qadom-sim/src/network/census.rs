//! What the one who sees everything can count: holders, stale contacts, limits that were passed.
//!
//! What must stay true: counting changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use qadom_routing::{Key, NodeId};
use qadom_store::{Class, Store};

use super::Network;
use crate::node::{Node, NodeIndex};

/// Entries that are taken from a store at once.
const PAGE: usize = 4096;

/// The state of all living members at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Living members that have joined.
    pub members: usize,
    /// Contacts in their tables.
    pub contacts: usize,
    /// Those of them that do not live.
    pub stale: usize,
    /// Records that they hold, cached copies included.
    pub records: u64,
    /// Uses above a limit, each as the node, the name of the limit, the use and the limit.
    pub over: Vec<(NodeIndex, &'static str, u64, u64)>,
}

impl Census {
    /// The share of the contacts that do not live, 0 to 1.
    pub fn stale_share(&self) -> f64 {
        ratio(self.stale, self.contacts)
    }
}

impl Network {
    /// Up to `count` living storing nodes that are closest to a key, nearest first: what a perfect
    /// lookup finds. The nodes of strangers and adversaries do not count.
    pub fn true_closest(&self, key: &Key, count: usize) -> Vec<NodeIndex> {
        let storing = self.living_members().filter(|(_, node)| node.hello.storing);
        let mut nodes: Vec<_> = storing
            .map(|(index, node)| (node.id.key().distance(key), index))
            .collect();
        if count < nodes.len() && count > 0 {
            nodes.select_nth_unstable(count - 1);
            nodes.truncate(count);
        }
        nodes.sort_unstable();
        nodes
            .into_iter()
            .take(count)
            .map(|(_, index)| index)
            .collect()
    }

    /// The living nodes that hold a record under a key whose time is not over. Copies left on the
    /// path of a lookup do not count.
    pub fn holders(&self, key: &Key) -> Vec<NodeIndex> {
        let now = self.time().utc_seconds();
        let holds = |node: &Node| {
            let entries = node
                .store
                .scan_slot(key, None, None, usize::MAX)
                .unwrap_or_default();
            entries
                .iter()
                .any(|entry| entry.columns.class == Class::Record && entry.columns.expires_at > now)
        };
        self.living_members()
            .filter(|(_, node)| holds(node))
            .map(|(index, _)| index)
            .collect()
    }

    /// For each of these keys, how many living members hold a record under it, as
    /// [`holders`](Self::holders) counts. One pass over all stores.
    pub fn count_holders(&self, keys: impl IntoIterator<Item = Key>) -> BTreeMap<Key, usize> {
        let now = self.time().utc_seconds();
        let mut counts: BTreeMap<Key, usize> = keys.into_iter().map(|key| (key, 0)).collect();
        let honest = |node: &&Node| node.is_alive() && node.behaviour.is_none();
        for node in self.nodes.iter().filter(honest) {
            let mut after = None;
            loop {
                let from = after.as_ref().map(|(slot, id)| (slot, id));
                let page = node.store.scan_keys(&Key::ZERO, &Key::MAX, from, PAGE);
                let page = page.unwrap_or_default();
                let mut last = None;
                for entry in &page {
                    let is_copy = entry.columns.class == Class::Record;
                    let is_new = last.replace(entry.slot) != Some(entry.slot);
                    if is_copy
                        && is_new
                        && entry.columns.expires_at > now
                        && let Some(count) = counts.get_mut(&entry.slot)
                    {
                        *count += 1;
                    }
                }
                after = page.last().map(|entry| (entry.slot, entry.id.clone()));
                if page.len() < PAGE {
                    break;
                }
            }
        }
        counts
    }

    /// Counts what all living members have in their tables and stores, and compares it with their
    /// limits.
    pub fn census(&self) -> Census {
        let alive: BTreeSet<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.is_alive())
            .map(|node| node.id)
            .collect();
        let mut census = Census::default();
        for (index, node) in self.living_members() {
            let Some(engine) = node.engine.as_ref() else {
                continue;
            };
            if !self.newcomers.contains_key(&index) {
                census.members += 1;
            }
            let contacts = engine.contacts();
            census.contacts += contacts.len();
            let is_alive = |contact: &qadom_routing::Contact| match &self.lean {
                Some(lean) => contact.v4().is_some_and(|v4| lean.at(v4.into()).is_some()),
                None => alive.contains(contact.id()),
            };
            let is_stale = |contact: &&qadom_routing::Contact| !is_alive(contact);
            census.stale += contacts.iter().filter(is_stale).count();
            let status = engine.status();
            census.records += status.records;
            let limits = &status.limits;
            for (name, used, limit) in [
                ("records", status.records, limits.records),
                ("record bytes", status.record_bytes, limits.record_bytes),
                (
                    "operations",
                    count(status.operations),
                    count(limits.operations),
                ),
                (
                    "background",
                    count(status.background),
                    count(limits.background),
                ),
                ("blocks", count(status.blocks), count(limits.blocks)),
                (
                    "held answers",
                    count(status.held_answers),
                    count(limits.held_answers),
                ),
                ("leases", count(status.leases), count(limits.leases)),
                (
                    "subscriptions",
                    count(status.subscriptions),
                    count(limits.subscriptions),
                ),
                (
                    "publications",
                    count(status.publications),
                    count(limits.publications),
                ),
                (
                    "publication bytes",
                    count(status.publication_bytes),
                    count(limits.publication_bytes),
                ),
                ("renewals", count(status.renewals), count(limits.renewals)),
                ("contacts", count(contacts.len()), TABLE_MOST),
            ] {
                if used > limit {
                    census.over.push((index, name, used, limit));
                }
            }
        }
        census
    }
}

/// Contacts that a table of a network of any size has at most: far more than 40 for each of the
/// buckets that can be filled.
const TABLE_MOST: u64 = 256 * 40;

const fn count(number: usize) -> u64 {
    number as u64
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        number(part) / number(whole)
    }
}
