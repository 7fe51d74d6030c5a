//! The nodes that a node comes back to after a restart, and the time at which it wrote them down.
//!
//! The file `contacts`: `qadom contacts\n` | version 2 | UTC in microseconds 8 | groups of at most
//! 60 contacts, each group its length 2, the contacts as packed on the wire, and for each contact
//! since when it has been known, in seconds of UTC, 8 | CRC-32 of what precedes. Numbers are
//! little-endian. Version 1 has no ages and is read as well.
//!
//! What must stay true: a damaged file costs the saved contacts and nothing else; a newer version
//! is refused and stays as it is.

use std::io;

use qadom_routing::Contact;

use crate::error::StartError;
use crate::folder::{CONTACTS, Folder};

const MAGIC: &[u8] = b"qadom contacts\n";
const VERSION: u8 = 2;

/// Contacts that are written down at most, nearest to the node first.
pub(crate) const SAVED_MAX: usize = 600;

/// Contacts that the wire format takes at once.
const GROUP: usize = 60;
/// The length of the longest packed contact in bytes.
const PACKED_MAX: usize = 57;

/// What a run leaves to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Nodes that were in the routing table.
    pub(crate) contacts: Vec<Contact>,
    /// Since when each has been known, in seconds of UTC, in the same order; 0 when that is not
    /// known.
    pub(crate) known_since: Vec<u64>,
    /// The wall clock when they were written down, in microseconds of UTC; 0 for never.
    pub(crate) utc_micros: u64,
}

impl Saved {
    /// Reads what the last run left; empty when there is none or it is damaged.
    pub(crate) fn load(folder: &Folder) -> Result<Self, StartError> {
        let Some(content) = folder.read(CONTACTS)? else {
            return Ok(Self::default());
        };
        match decode(&content) {
            Ok(saved) => Ok(saved),
            Err(Unreadable::TooNew(found)) => Err(StartError::VersionTooNew {
                path: folder.path().join(CONTACTS),
                found: found.into(),
                known: VERSION.into(),
            }),
            Err(Unreadable::Damaged) => {
                let path = folder.path().join(CONTACTS);
                tracing::warn!(path = %path.display(), "the saved contacts are damaged and not used");
                Ok(Self::default())
            }
        }
    }

    /// Leaves it to the next run. Waits for the disk.
    pub(crate) fn save(&self, folder: &Folder) -> io::Result<()> {
        folder.replace(CONTACTS, &encode(self))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    TooNew(u8),
    Damaged,
}

fn encode(saved: &Saved) -> Vec<u8> {
    let mut content = MAGIC.to_vec();
    content.push(VERSION);
    content.extend_from_slice(&saved.utc_micros.to_le_bytes());
    let kept = saved.contacts.get(..SAVED_MAX).unwrap_or(&saved.contacts);
    let mut ages = saved.known_since.iter();
    for group in kept.chunks(GROUP) {
        let packed = qadom_wire::pack_contacts(group, GROUP * PACKED_MAX);
        let length = u16::try_from(packed.len()).unwrap_or(u16::MAX);
        content.extend_from_slice(&length.to_le_bytes());
        content.extend_from_slice(&packed);
        for _ in group {
            let since = ages.next().copied().unwrap_or(0);
            content.extend_from_slice(&since.to_le_bytes());
        }
    }
    let checksum = crc32fast::hash(&content);
    content.extend_from_slice(&checksum.to_le_bytes());
    content
}

fn decode(content: &[u8]) -> Result<Saved, Unreadable> {
    let rest = content.strip_prefix(MAGIC).ok_or(Unreadable::Damaged)?;
    let (&version, _) = rest.split_first().ok_or(Unreadable::Damaged)?;
    if version > VERSION {
        return Err(Unreadable::TooNew(version));
    }
    let (body, checksum) = content.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
    if version == 0 || crc32fast::hash(body).to_le_bytes() != *checksum {
        return Err(Unreadable::Damaged);
    }
    let body = body.get(MAGIC.len() + 1..).ok_or(Unreadable::Damaged)?;
    let (utc_micros, mut groups) = body.split_first_chunk::<8>().ok_or(Unreadable::Damaged)?;
    let (mut contacts, mut known_since) = (Vec::new(), Vec::new());
    while let Some((length, rest)) = groups.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length));
        let (packed, mut rest) = rest.split_at_checked(length).ok_or(Unreadable::Damaged)?;
        let group = qadom_wire::unpack_contacts(packed).map_err(|_| Unreadable::Damaged)?;
        for _ in &group {
            let since = if version == 1 {
                [0; 8]
            } else {
                let split = rest.split_first_chunk::<8>();
                let (since, behind) = split.ok_or(Unreadable::Damaged)?;
                rest = behind;
                *since
            };
            known_since.push(u64::from_le_bytes(since));
        }
        contacts.extend(group);
        groups = rest;
    }
    Ok(Saved {
        contacts,
        known_since,
        utc_micros: u64::from_le_bytes(*utc_micros),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use qadom_routing::NodeKey;

    use super::*;

    fn contact(number: u16) -> Contact {
        let mut bytes = [9; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7000 + number));
        Contact::at(NodeKey::new(bytes).unwrap(), address, true)
    }

    fn saved(count: u16) -> Saved {
        Saved {
            contacts: (0..count).map(contact).collect(),
            known_since: (0..count)
                .map(|number| 1_700_000_000 + u64::from(number))
                .collect(),
            utc_micros: 1_800_000_000_000_000,
        }
    }

    #[test]
    fn what_one_run_saves_the_next_one_loads() {
        let folder = Folder::temporary().unwrap();
        assert_eq!(Saved::load(&folder).unwrap(), Saved::default());
        for count in [0, 1, 60, 61, 600] {
            saved(count).save(&folder).unwrap();
            assert_eq!(Saved::load(&folder).unwrap(), saved(count));
        }
    }

    #[test]
    fn what_lies_beyond_the_limit_is_left_out() {
        let loaded = decode(&encode(&saved(601))).unwrap();
        assert_eq!(loaded.contacts, saved(600).contacts);
    }

    #[test]
    fn damage_costs_the_contacts_and_newer_versions_stay() {
        let whole = encode(&saved(3));
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x80;
            let is_version = place == MAGIC.len();
            let expected = if is_version {
                Unreadable::TooNew(VERSION | 0x80)
            } else {
                Unreadable::Damaged
            };
            assert_eq!(decode(&damaged), Err(expected), "{place}");
            assert!(decode(&whole[..place]).is_err(), "{place}");
        }
    }

    #[test]
    fn a_file_of_the_first_version_has_no_ages() {
        let mut content = MAGIC.to_vec();
        content.push(1);
        content.extend_from_slice(&7_u64.to_le_bytes());
        let packed = qadom_wire::pack_contacts(&[contact(1), contact(2)], PACKED_MAX * 2);
        content.extend_from_slice(&u16::try_from(packed.len()).unwrap().to_le_bytes());
        content.extend_from_slice(&packed);
        let checksum = crc32fast::hash(&content);
        content.extend_from_slice(&checksum.to_le_bytes());
        let loaded = decode(&content).unwrap();
        assert_eq!(loaded.contacts, [contact(1), contact(2)]);
        assert_eq!((loaded.known_since, loaded.utc_micros), (vec![0, 0], 7));
    }

    #[test]
    fn a_newer_file_is_refused_at_the_start() {
        let folder = Folder::temporary().unwrap();
        folder.replace(CONTACTS, b"qadom contacts\n\x03").unwrap();
        let refused = Saved::load(&folder);
        assert!(matches!(
            refused,
            Err(StartError::VersionTooNew { found: 3, .. })
        ));
    }
}
