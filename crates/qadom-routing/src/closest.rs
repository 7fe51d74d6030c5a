//! The nearest of any contacts.
//!
//! The routing table has a faster way for its own contacts, see
//! [`RoutingTable::closest`](crate::RoutingTable::closest).

use alloc::vec::Vec;

use crate::contact::Contact;
use crate::distance::Distance;
use crate::key::Key;

/// The `n` contacts nearest to `target`, nearest first; all of them when there are fewer.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, NodeKey, closest};
///
/// let contacts: Vec<Contact> = (1..=9)
///     .filter_map(|byte| NodeKey::new([byte; 32]).ok())
///     .map(|key| Contact::at(key, ([192, 0, 2, 1], 4001).into(), true))
///     .collect();
/// let target = *contacts[4].id().key();
/// let nearest = closest(&contacts, &target, 3);
/// assert_eq!(nearest[0], &contacts[4]);
/// assert_eq!(nearest.len(), 3);
/// ```
pub fn closest<'a>(
    contacts: impl IntoIterator<Item = &'a Contact>,
    target: &Key,
    n: usize,
) -> Vec<&'a Contact> {
    let mut ranked: Vec<(Distance, &Contact)> = contacts
        .into_iter()
        .map(|contact| (contact.id().key().distance(target), contact))
        .collect();
    if n > 0 && n < ranked.len() {
        ranked.select_nth_unstable_by_key(n - 1, |(distance, _)| *distance);
    }
    ranked.truncate(n);
    ranked.sort_unstable_by_key(|(distance, _)| *distance);
    ranked.into_iter().map(|(_, contact)| contact).collect()
}
