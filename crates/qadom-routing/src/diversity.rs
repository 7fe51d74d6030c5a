//! The groups of addresses that one owner is likely to have, and how many of one group are taken
//! before others.
//!
//! What must stay true: these numbers order and never starve: whoever is beyond them comes after
//! all others, not never. Who counts and where is the business of the table and the lookup.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::contact::{Contact, Families};

/// Whether no rule looks at the group of an address: in local mode all nodes share few.
pub const fn is_exempt(_address: IpAddr, is_local: bool) -> bool {
    is_local
}

/// The groups of one address: its network of 24 and of 16 bits; of 48 and 32 for IPv6.
///
/// # Examples
///
/// ```
/// use qadom_routing::AddressGroups;
///
/// let (one, other) = ("192.0.2.1".parse()?, "192.0.3.1".parse()?);
/// let (one, other) = (AddressGroups::of(one), AddressGroups::of(other));
/// assert!(one.narrow != other.narrow && one.wide == other.wide);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressGroups {
    /// The /24 or the /48.
    pub narrow: u64,
    /// The /16 or the /32.
    pub wide: u64,
}

impl AddressGroups {
    /// The groups of an address. An IPv4-mapped IPv6 address counts as the IPv4 address it stands
    /// for.
    pub const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits() as u64;
                Self {
                    narrow: bits >> 8,
                    wide: bits >> 16,
                }
            }
            IpAddr::V6(v6) => {
                // A bit more than IPv4 has tells the families apart.
                let bits = (v6.to_bits() >> 64) as u64;
                Self {
                    narrow: (bits >> 16) | (1 << 63),
                    wide: (bits >> 32) | (1 << 63),
                }
            }
        }
    }

    /// The groups that a contact counts for, by its first address; none when it has no address, or
    /// one that is exempt.
    pub fn of_contact(contact: &Contact, is_local: bool) -> Option<Self> {
        let address = contact.address(Families::BOTH)?.ip();
        (!is_exempt(address, is_local)).then(|| Self::of(address))
    }
}

/// How many of one group are taken before others.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, GroupLimits, NodeKey, diverse};
///
/// let key = NodeKey::new([9; 32])?;
/// let one = Contact::at(key, "8.8.8.8:7236".parse()?, true);
/// let beside_it = Contact::at(key, "8.8.8.9:7236".parse()?, true);
/// let far_away = Contact::at(key, "9.9.9.9:7236".parse()?, true);
/// // At most one of a /24.
/// let limits = GroupLimits { narrow: 1, wide: 2 };
/// let (chosen, passed_over) = diverse([&one, &beside_it, &far_away], 2, limits, false);
/// assert_eq!((chosen, passed_over), (vec![&one, &far_away], 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Of one /24 (IPv6 /48).
    pub narrow: usize,
    /// Of one /16 (IPv6 /32).
    pub wide: usize,
}

impl GroupLimits {
    /// In a bucket, and among the nodes that a lookup ends with.
    pub const BUCKET: Self = Self { narrow: 2, wide: 4 };
    /// Among the contacts of one answer.
    pub const REPLY: Self = Self { narrow: 2, wide: 3 };
    /// In a table of this many contacts: ten of a /24 and a quarter of all of a /16.
    pub const fn table(contacts: usize) -> Self {
        let quarter = contacts / 4;
        Self {
            narrow: 10,
            wide: if quarter < 10 { 10 } else { quarter },
        }
    }
}

/// What was taken so far, by group.
///
/// # Examples
///
/// ```
/// use qadom_routing::{AddressGroups, GroupCount, GroupLimits};
///
/// let groups = AddressGroups::of("192.0.2.1".parse()?);
/// let mut count = GroupCount::new(GroupLimits::BUCKET);
/// assert!(count.take_if_room(groups) && count.take_if_room(groups));
/// assert!(!count.has_room(groups));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GroupCount {
    limits: GroupLimits,
    taken: Vec<AddressGroups>,
}

impl GroupCount {
    /// Counts from nothing.
    pub const fn new(limits: GroupLimits) -> Self {
        Self {
            limits,
            taken: Vec::new(),
        }
    }

    /// Whether one more of these groups keeps the limits.
    pub fn has_room(&self, groups: AddressGroups) -> bool {
        let (mut narrow, mut wide) = (0, 0);
        for taken in &self.taken {
            narrow += usize::from(taken.narrow == groups.narrow);
            wide += usize::from(taken.wide == groups.wide);
        }
        narrow < self.limits.narrow && wide < self.limits.wide
    }

    /// Takes one more, whether or not that keeps the limits.
    pub fn take(&mut self, groups: AddressGroups) {
        self.taken.push(groups);
    }

    /// Takes one more if that keeps the limits.
    pub fn take_if_room(&mut self, groups: AddressGroups) -> bool {
        let has_room = self.has_room(groups);
        if has_room {
            self.take(groups);
        }
        has_room
    }
}

/// The first `n` in the order given: those that keep the limits first, and when these are too few
/// the first of the others. The order stays; the second part tells how many were passed over for
/// others. In local mode all keep the limits.
pub fn diverse<'a>(
    ranked: impl IntoIterator<Item = &'a Contact>,
    n: usize,
    limits: GroupLimits,
    is_local: bool,
) -> (Vec<&'a Contact>, usize) {
    let mut count = GroupCount::new(limits);
    let mut chosen: Vec<(usize, &Contact)> = Vec::with_capacity(n);
    let mut passed: Vec<(usize, &Contact)> = Vec::new();
    for (rank, contact) in ranked.into_iter().enumerate() {
        if chosen.len() >= n {
            break;
        }
        let groups = AddressGroups::of_contact(contact, is_local);
        if groups.is_none_or(|groups| count.take_if_room(groups)) {
            chosen.push((rank, contact));
        } else {
            passed.push((rank, contact));
        }
    }
    let missing = n.saturating_sub(chosen.len());
    let filtered = passed.len().saturating_sub(missing);
    chosen.extend(passed.into_iter().take(missing));
    chosen.sort_unstable_by_key(|(rank, _)| *rank);
    (
        chosen.into_iter().map(|(_, contact)| contact).collect(),
        filtered,
    )
}

#[cfg(test)]
mod tests;
