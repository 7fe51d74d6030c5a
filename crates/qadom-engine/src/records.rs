//! Records as entries of the store: what stands in an entry's id, bytes and columns.
//!
//! What must stay true: the first byte of an entry's id is the kind of its record, so that the
//! store counts apart what has limits of its own. The store knows nothing of all this.

pub(crate) mod acceptance;
pub(crate) mod signed;
pub(crate) mod value;

use qadom_routing::Key;
use qadom_store::{Container, EntryId};
use qadom_wire::{Kind, SourceGroup};

pub(crate) use signed::HeldRecord;
pub(crate) use value::{CACHED_TTL, Held};

/// The group that an entry counts for, as the store has it: zeros for what this node wrote, and in
/// local mode.
pub(crate) fn counted_for(group: Option<SourceGroup>) -> [u8; 8] {
    group.map_or([0; 8], |group| *group.as_bytes())
}

/// What every entry costs beside its payload, in bytes.
pub(crate) const ENTRY_OVERHEAD: u32 = 512;

/// The id of a record's entry inside its slot; there is one value to a slot.
#[expect(
    clippy::expect_used,
    reason = "33 bytes lie within the 1 to 64 bytes of an entry id"
)]
pub(crate) fn entry_id(kind: Kind, id: &Key) -> EntryId {
    let mut bytes = [kind.number(); 33];
    let length = if kind.is_signed() { 33 } else { 1 };
    if let Some(place) = bytes.get_mut(1..) {
        place.copy_from_slice(id.as_bytes());
    }
    EntryId::new(bytes.get(..length).unwrap_or_default()).expect("33 bytes are an entry id")
}

/// The kind of an entry's record, and its item id.
pub(crate) fn item_of(id: &EntryId) -> Option<(Kind, Key)> {
    let (number, id) = id.as_bytes().split_first()?;
    let kind = Kind::from_number(*number)?;
    let id = if kind.is_signed() {
        Key::from_bytes(id.try_into().ok()?)
    } else {
        Key::ZERO
    };
    Some((kind, id))
}

/// What the records of one kind in one slot are counted in.
pub(crate) const fn container(slot: &Key, kind: Kind) -> Container {
    Container {
        slot: *slot,
        first: kind.number(),
    }
}
