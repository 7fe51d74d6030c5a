//! The bytes of an entry at rest, for engines that keep them on disk.
//!
//! `version u8 = 1 | crc32 u32 | expires_at u64 | charge u32 | group 8 | owner 32 | rank u64 |
//! class u8 (0 record, 1 cached) | bytes`, integers little-endian. The checksum is CRC-32 over name, version and all
//! that comes behind the checksum, so an entry is not served under another's name.
//!
//! What must stay true: whatever [`encode`] made reads back the same, and bytes changed since then
//! read as damage, never as another entry. It guards against decay, not against an adversary with
//! access to the disk: hashes and signatures are checked above.

use bytes::Bytes;
use qadom_routing::Key;

use crate::name::{Name, is_name};
use crate::{Class, Columns, Entry, EntryId};

const VERSION: u8 = 1;
const CHECKSUM_END: usize = 5;
/// The bytes of the columns.
pub(crate) const COLUMNS_LENGTH: usize = 61;
const HEADER_LENGTH: usize = CHECKSUM_END + COLUMNS_LENGTH;

/// The value under which an entry is stored.
pub(crate) fn encode(name: &Name, bytes: &[u8], columns: &Columns) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEADER_LENGTH + bytes.len());
    body.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    write_columns(&mut body, columns);
    body.extend_from_slice(bytes);
    let checked = body.get(CHECKSUM_END..).unwrap_or_default();
    let checksum = checksum(name.as_bytes(), VERSION, checked).to_le_bytes();
    for (place, byte) in body.iter_mut().skip(1).zip(checksum) {
        *place = byte;
    }
    body
}

pub(crate) fn write_columns(body: &mut Vec<u8>, columns: &Columns) {
    body.extend_from_slice(&columns.expires_at.to_le_bytes());
    body.extend_from_slice(&columns.charge.to_le_bytes());
    body.extend_from_slice(&columns.group);
    body.extend_from_slice(&columns.owner);
    body.extend_from_slice(&columns.rank.to_le_bytes());
    body.push(match columns.class {
        Class::Record => 0,
        Class::Cached => 1,
    });
}

/// The entry stored as `value` under `name`; none when either is damaged.
pub(crate) fn decode(name: &[u8], value: &[u8]) -> Option<Entry> {
    let (columns, bytes) = parts(name, value)?;
    let (slot, id) = name.split_first_chunk()?;
    Some(Entry {
        slot: Key::from_bytes(*slot),
        id: EntryId::trusted(id),
        bytes: Bytes::copy_from_slice(bytes),
        columns,
    })
}

/// The columns of what is stored as `value` under `name`; none when either is damaged.
pub(crate) fn columns(name: &[u8], value: &[u8]) -> Option<Columns> {
    parts(name, value).map(|(columns, _)| columns)
}

fn parts<'a>(name: &[u8], value: &'a [u8]) -> Option<(Columns, &'a [u8])> {
    let (&version, rest) = value.split_first()?;
    let (stored, rest) = rest.split_first_chunk()?;
    if version != VERSION || u32::from_le_bytes(*stored) != checksum(name, version, rest) {
        return None;
    }
    if !is_name(name) {
        return None;
    }
    columns_from(rest)
}

/// Splits off what [`write_columns`] made.
pub(crate) fn columns_from(bytes: &[u8]) -> Option<(Columns, &[u8])> {
    let (expires_at, rest) = bytes.split_first_chunk()?;
    let (charge, rest) = rest.split_first_chunk()?;
    let (group, rest) = rest.split_first_chunk()?;
    let (owner, rest) = rest.split_first_chunk()?;
    let (rank, rest) = rest.split_first_chunk()?;
    let (class, bytes) = rest.split_first()?;
    let columns = Columns {
        expires_at: u64::from_le_bytes(*expires_at),
        charge: u32::from_le_bytes(*charge),
        group: *group,
        owner: *owner,
        rank: u64::from_le_bytes(*rank),
        class: match class {
            0 => Class::Record,
            1 => Class::Cached,
            _ => return None,
        },
    };
    Some((columns, bytes))
}

fn checksum(name: &[u8], version: u8, checked: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name);
    hasher.update(&[version]);
    hasher.update(checked);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(expires_at: u64, charge: u32, class: u8) -> Columns {
        Columns {
            expires_at,
            charge,
            group: [3; 8],
            owner: [4; 32],
            rank: expires_at ^ 5,
            class: [Class::Record, Class::Cached][usize::from(class % 2)],
        }
    }

    #[test]
    fn the_bytes_at_rest_stay_as_they_are() {
        let name = Name::new(&Key::ZERO, &EntryId::new(b"id").unwrap());
        let value = encode(&name, b"hi", &columns(1, 2, 1));
        let golden = "01a9514c69\
             0100000000000000\
             02000000\
             0303030303030303\
             0404040404040404040404040404040404040404040404040404040404040404\
             0400000000000000\
             01\
             6869";
        let text = value
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(text, golden);
    }

    proptest! {
        #[test]
        fn what_was_encoded_reads_back_and_what_was_changed_does_not(
            slot: [u8; 32],
            id in prop::collection::vec(any::<u8>(), 1..=64),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            (expires_at, charge, class) in any::<(u64, u32, u8)>(),
            (place, bit) in (any::<prop::sample::Index>(), 0_u8..8),
        ) {
            let (slot, id) = (Key::from_bytes(slot), EntryId::new(&id).unwrap());
            let name = Name::new(&slot, &id);
            let columns = columns(expires_at, charge, class);
            let mut value = encode(&name, &bytes, &columns);
            let entry = Entry { slot, id, bytes: bytes.into(), columns };
            prop_assert_eq!(decode(name.as_bytes(), &value), Some(entry));

            let other = Name::new(&slot, &EntryId::new(b"another entry's id").unwrap());
            prop_assert_eq!(decode(other.as_bytes(), &value), None);
            let cut = place.index(value.len());
            prop_assert_eq!(decode(name.as_bytes(), &value[..cut]), None);
            value[cut] ^= 1 << bit;
            prop_assert_eq!(decode(name.as_bytes(), &value), None);
        }
    }
}
