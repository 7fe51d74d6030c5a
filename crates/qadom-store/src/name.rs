//! What an entry is found by: slot and id as one byte string.
//!
//! What must stay true: names order as (slot, id) does, because every slot has the same length.

use qadom_routing::Key;

use crate::EntryId;

/// Slot and id, 33 to 97 bytes; as the bound of a range also shorter or longer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(Box<[u8]>);

impl Name {
    pub(crate) fn new(slot: &Key, id: &EntryId) -> Self {
        Self([slot.as_bytes(), id.as_bytes()].concat().into())
    }

    /// Lies before every name in `slot`, and behind those of lower slots.
    pub(crate) fn before(slot: &Key) -> Self {
        Self(slot.as_bytes().as_slice().into())
    }

    /// Lies behind every name in `slot`, and before those of higher slots.
    pub(crate) fn behind(slot: &Key) -> Self {
        Self(
            [
                slot.as_bytes().as_slice(),
                &[u8::MAX; EntryId::LENGTH_MAX + 1],
            ]
            .concat()
            .into(),
        )
    }

    /// The bounds of a slot scan, inclusive and exclusive; none when they enclose nothing.
    pub(crate) fn slot_range(
        slot: &Key,
        from: Option<&EntryId>,
        to: Option<&EntryId>,
    ) -> Option<(Self, Self)> {
        let start = from.map_or_else(|| Self::before(slot), |id| Self::new(slot, id));
        let end = to.map_or_else(|| Self::behind(slot), |id| Self::new(slot, id));
        (start < end).then_some((start, end))
    }

    /// The bounds of a key scan, inclusive and exclusive; none when they enclose nothing.
    pub(crate) fn key_range(
        from: &Key,
        to: &Key,
        after: Option<(&Key, &EntryId)>,
    ) -> Option<(Self, Self)> {
        let start = match after {
            Some((slot, id)) if slot >= from => Self::new(slot, id).successor(),
            _ => Self::before(from),
        };
        let end = Self::behind(to);
        (start < end).then_some((start, end))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first byte string behind this one.
    fn successor(&self) -> Self {
        Self([self.as_bytes(), &[0]].concat().into())
    }
}
