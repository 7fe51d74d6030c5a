//! What an entry is found by: slot and id as one byte string.
//!
//! What must stay true: names order as (slot, id) does, because every slot has the same length.

use qadom_routing::Key;

use crate::{Container, EntryId, Evicted};

/// Whether these bytes can be the name of an entry.
#[cfg(any(feature = "redb", feature = "sled"))]
pub(crate) fn is_name(bytes: &[u8]) -> bool {
    let parts = bytes.split_first_chunk::<{ qadom_routing::KEY_LENGTH }>();
    parts.is_some_and(|(_, id)| (1..=EntryId::LENGTH_MAX).contains(&id.len()))
}

/// Slot and id, 33 to 96 bytes; as the bound of a range also shorter or longer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(Box<[u8]>);

impl Name {
    /// Lies before every other.
    pub(crate) fn empty() -> Self {
        Self(Box::default())
    }

    pub(crate) fn new(slot: &Key, id: &EntryId) -> Self {
        Self([slot.as_bytes(), id.as_bytes()].concat().into())
    }

    /// Takes bytes that an engine kept as a name.
    #[cfg(any(feature = "redb", feature = "sled"))]
    pub(crate) fn trusted(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Whether it can be the name of an entry.
    #[cfg(any(feature = "redb", feature = "sled"))]
    pub(crate) fn is_of_entry(&self) -> bool {
        is_name(&self.0)
    }

    /// The names of entries.
    pub(crate) fn list(entries: &[(Key, EntryId)]) -> Vec<Self> {
        let names = entries.iter().map(|(slot, id)| Self::new(slot, id));
        names.collect()
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

    /// The bounds of a container, inclusive and exclusive.
    pub(crate) fn container_range(container: &Container) -> (Self, Self) {
        let slot = &container.slot;
        let at = |first: u8| Self([slot.as_bytes().as_slice(), &[first]].concat().into());
        let end = container.first.checked_add(1);
        let end = end.map_or_else(|| Self::behind(slot), at);
        (at(container.first), end)
    }

    /// Where an entry of this name belongs.
    pub(crate) fn container(&self) -> Container {
        let (slot, id) = self.parts();
        let first = id.first().copied().unwrap_or_default();
        Container { slot, first }
    }

    /// Slot and id of an entry's name.
    pub(crate) fn split(&self) -> (Key, EntryId) {
        let (slot, id) = self.parts();
        (slot, EntryId::trusted(id))
    }

    /// What is said of the entry of this name when it leaves.
    pub(crate) fn evicted(&self) -> Evicted {
        let (slot, id) = self.split();
        Evicted { slot, id }
    }

    #[expect(
        clippy::expect_used,
        reason = "only bounds of ranges are shorter than a slot, and they name no entry"
    )]
    fn parts(&self) -> (Key, &[u8]) {
        let (slot, id) = self
            .0
            .split_first_chunk()
            .expect("a name begins with a slot");
        (Key::from_bytes(*slot), id)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first byte string behind this one.
    fn successor(&self) -> Self {
        Self([self.as_bytes(), &[0]].concat().into())
    }
}
