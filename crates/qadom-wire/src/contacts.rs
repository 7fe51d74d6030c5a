//! Contacts as bytes: all contacts of an answer stand one behind the other in one field.
//!
//! What must stay true: one bad contact refuses the whole field, and the field never asks for more
//! memory than its contacts need. Which contacts are handed out is the engine's business.

use bytes::Bytes;
use qadom_routing::{Contact, KEY_LENGTH, NodeKey};

use crate::address::{Addresses, HAS_V4, HAS_V6, STORING, take_array};
use crate::limits::CONTACTS_MAX;

/// The shortest packed contact in bytes: flags, key, IPv4 address.
const SHORTEST: usize = 1 + KEY_LENGTH + 6;

/// The packed contacts are not valid. Their sender is at fault; none of them is used.
///
/// # Examples
///
/// ```
/// use qadom_wire::{ContactsError, unpack_contacts};
///
/// assert_eq!(unpack_contacts(&[2, 9, 9]), Err(ContactsError::Truncated { index: 0 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContactsError {
    /// A contact has flags that this revision does not know.
    #[error("contact {index} has the unknown flags {flags:#04x}")]
    Flags {
        /// The contact's place in the field, from 0.
        index: usize,
        /// Its flags.
        flags: u8,
    },
    /// A contact has no address.
    #[error("contact {index} has no address")]
    NoAddress {
        /// The contact's place in the field, from 0.
        index: usize,
    },
    /// A contact's key is no node key.
    #[error("contact {index} has a key that is no node key")]
    Key {
        /// The contact's place in the field, from 0.
        index: usize,
    },
    /// The field ends inside a contact.
    #[error("the field ends inside contact {index}")]
    Truncated {
        /// The contact's place in the field, from 0.
        index: usize,
    },
    /// The field holds more contacts than any answer needs.
    #[error("more than {CONTACTS_MAX} contacts")]
    TooMany,
}

/// Packs contacts from the first on, as many as fit into `limit` bytes and at most
/// [`CONTACTS_MAX`]. Give them nearest first, so that the farthest are left out.
///
/// An IPv4-mapped IPv6 address is packed as the IPv4 address it stands for.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, NodeKey};
/// use qadom_wire::{pack_contacts, unpack_contacts};
///
/// let key = NodeKey::new([9; 32])?;
/// let contact = Contact::at(key, "192.0.2.1:7236".parse()?, true);
/// let packed = pack_contacts([&contact], 100);
/// assert_eq!(packed.len(), 39);
/// assert_eq!(unpack_contacts(&packed)?, [contact]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pack_contacts<'a>(contacts: impl IntoIterator<Item = &'a Contact>, limit: usize) -> Bytes {
    pack_while(contacts, |length| length <= limit)
}

/// Packs contacts for as long as the packed length fits.
pub(crate) fn pack_while<'a>(
    contacts: impl IntoIterator<Item = &'a Contact>,
    fits: impl Fn(usize) -> bool,
) -> Bytes {
    let contacts = contacts.into_iter().take(CONTACTS_MAX);
    let mut packed = Vec::with_capacity(contacts.size_hint().0 * (SHORTEST + 18));
    for contact in contacts {
        let addresses = Addresses::new(contact.v4(), contact.v6());
        if !fits(packed.len() + 1 + KEY_LENGTH + addresses.packed_length()) {
            break;
        }
        packed.push(addresses.flags(contact.is_storing()));
        packed.extend_from_slice(contact.key().as_bytes());
        addresses.put(&mut packed);
    }
    packed.into()
}

/// Reads packed contacts, in their order. The only allocation is the list itself.
///
/// # Errors
///
/// [`ContactsError`] when one of them is not valid, or when there are more than [`CONTACTS_MAX`].
pub fn unpack_contacts(mut packed: &[u8]) -> Result<Vec<Contact>, ContactsError> {
    let mut contacts = Vec::with_capacity((packed.len() / SHORTEST).min(CONTACTS_MAX));
    while !packed.is_empty() {
        if contacts.len() == CONTACTS_MAX {
            return Err(ContactsError::TooMany);
        }
        contacts.push(unpack_contact(&mut packed, contacts.len())?);
    }
    Ok(contacts)
}

fn unpack_contact(packed: &mut &[u8], index: usize) -> Result<Contact, ContactsError> {
    let truncated = ContactsError::Truncated { index };
    let [flags] = take_array(packed).ok_or(truncated)?;
    if flags & !(STORING | HAS_V4 | HAS_V6) != 0 {
        return Err(ContactsError::Flags { index, flags });
    }
    let key = take_array(packed).ok_or(truncated)?;
    let key = NodeKey::new(key).map_err(|_| ContactsError::Key { index })?;
    let addresses = Addresses::take(flags, packed).ok_or(truncated)?;
    Contact::new(key, addresses.v4, addresses.v6, flags & STORING != 0)
        .ok_or(ContactsError::NoAddress { index })
}
