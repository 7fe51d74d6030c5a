//! Who takes how much of the room for chunks held for others, and who has to give way.
//!
//! What must stay true: room is made only by taking from a group that has more than the newcomer's
//! would have, so nobody pushes out another by bringing more. In that group the owner with the most
//! gives way, and of its chunks the one that would expire first. Nothing here touches a disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::FileId;

/// An address group, as the node above sees it: the /24 or /48 that first brought a chunk.
pub type Group = [u8; 8];

/// Who brought a chunk: the pusher's key.
pub type Owner = [u8; 32];

/// Names a chunk that is held: its file and its number on the wire.
pub(super) type Name = (FileId, u64);

/// What is charged to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) group: Group,
    pub(super) owner: Owner,
    pub(super) expires_at: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
struct Share {
    bytes: u64,
    chunks: BTreeSet<(u64, Name)>,
}

/// All charges.
#[derive(Debug, Default)]
pub(super) struct Shares {
    bytes: u64,
    chunks: usize,
    groups: BTreeMap<Group, (u64, BTreeMap<Owner, Share>)>,
}

impl Shares {
    /// The bytes of all.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of all.
    pub(super) const fn chunks(&self) -> usize {
        self.chunks
    }

    /// Counts a chunk.
    pub(super) fn add(&mut self, name: Name, charge: &Charge) {
        let (group_bytes, owners) = self.groups.entry(charge.group).or_default();
        let share = owners.entry(charge.owner).or_default();
        if share.chunks.insert((charge.expires_at, name)) {
            share.bytes += charge.bytes;
            *group_bytes += charge.bytes;
            self.bytes += charge.bytes;
            self.chunks += 1;
        }
    }

    /// Counts a chunk no longer.
    pub(super) fn remove(&mut self, name: Name, charge: &Charge) {
        let Some((group_bytes, owners)) = self.groups.get_mut(&charge.group) else {
            return;
        };
        let Some(share) = owners.get_mut(&charge.owner) else {
            return;
        };
        if share.chunks.remove(&(charge.expires_at, name)) {
            share.bytes = share.bytes.saturating_sub(charge.bytes);
            *group_bytes = group_bytes.saturating_sub(charge.bytes);
            self.bytes = self.bytes.saturating_sub(charge.bytes);
            self.chunks = self.chunks.saturating_sub(1);
        }
        if share.chunks.is_empty() {
            owners.remove(&charge.owner);
        }
        if owners.is_empty() {
            self.groups.remove(&charge.group);
        }
    }

    /// Which chunk gives way to a newcomer of so many bytes; `None` when its own group has, with it,
    /// as much as any.
    pub(super) fn victim(&self, group: Group, bytes: u64) -> Option<Name> {
        let own = self.groups.get(&group).map_or(0, |(bytes, _)| *bytes);
        let (_, (_, owners)) = self
            .groups
            .iter()
            .filter(|(other, (held, _))| **other != group && *held > own + bytes)
            .max_by_key(|(_, (held, _))| *held)?;
        let share = owners.values().max_by_key(|share| share.bytes)?;
        share.chunks.first().map(|(_, name)| *name)
    }

    /// The bytes of a group.
    pub(super) fn bytes_of(&self, group: Group) -> u64 {
        self.groups.get(&group).map_or(0, |(bytes, _)| *bytes)
    }

    /// The chunk of a group that would expire first.
    pub(super) fn first_of(&self, group: Group) -> Option<Name> {
        let (_, owners) = self.groups.get(&group)?;
        let firsts = owners.values().filter_map(|share| share.chunks.first());
        firsts.min().map(|(_, name)| *name)
    }

    /// A chunk whose time is over.
    pub(super) fn expired(&self, now: u64) -> Option<Name> {
        self.groups
            .values()
            .flat_map(|(_, owners)| owners.values())
            .filter_map(|share| share.chunks.first())
            .find(|(expires_at, _)| *expires_at <= now)
            .map(|(_, name)| *name)
    }
}
