//! Who shares addresses with too many others of a bucket or of the table.
//!
//! What must stay true: who is crowded comes in all the same as long as there is room, and leaves
//! only for one who is not. In local mode nobody is.

use alloc::vec::Vec;

use super::RoutingTable;
use crate::bucket::Entry;
use crate::contact::Contact;
use crate::diversity::{AddressGroups, GroupCount, GroupLimits};

impl RoutingTable {
    /// Whether a contact that is not in the table would be beyond the limits there.
    pub(super) fn is_crowded(&self, index: usize, contact: &Contact) -> bool {
        let is_local = self.config.is_local;
        let Some(groups) = AddressGroups::of_contact(contact, is_local) else {
            return false;
        };
        let bucket = self.buckets.get(index);
        let in_bucket = bucket.into_iter().flat_map(|bucket| &bucket.entries);
        let in_table = GroupLimits::table(self.len());
        exceeds(in_bucket, groups, GroupLimits::BUCKET, is_local)
            || exceeds(self.held(), groups, in_table, is_local)
    }

    /// Takes out of a bucket the contact known for the shortest time of those that are beyond the
    /// limits there; none when nobody is.
    pub(super) fn remove_crowded(&mut self, index: usize) -> Option<Contact> {
        let is_local = self.config.is_local;
        let entries = self.buckets.get(index)?.entries.iter();
        let counted = entries.filter_map(|entry| {
            let groups = AddressGroups::of_contact(&entry.contact, is_local)?;
            Some((entry, groups))
        });
        let mut by_age: Vec<(&Entry, AddressGroups)> = counted.collect();
        by_age.sort_by_key(|(entry, _)| entry.first_seen);
        let mut count = GroupCount::new(GroupLimits::BUCKET);
        let mut in_table = GroupLimits::table(self.len());
        // It is in the table itself.
        in_table.narrow += 1;
        in_table.wide += 1;
        let is_beyond = |(_, groups): &(&Entry, AddressGroups)| {
            !count.take_if_room(*groups) || exceeds(self.held(), *groups, in_table, is_local)
        };
        let (youngest, _) = by_age.into_iter().filter(is_beyond).last()?;
        let gone = youngest.contact.clone();
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.remove(gone.id());
        }
        Some(gone)
    }
}

/// Whether one more of these groups is more than the limits allow beside the entries.
fn exceeds<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    groups: AddressGroups,
    limits: GroupLimits,
    is_local: bool,
) -> bool {
    let (mut narrow, mut wide) = (0, 0);
    let counted = |entry: &Entry| AddressGroups::of_contact(&entry.contact, is_local);
    for other in entries.filter_map(counted) {
        narrow += usize::from(other.narrow == groups.narrow);
        wide += usize::from(other.wide == groups.wide);
    }
    narrow >= limits.narrow || wide >= limits.wide
}
