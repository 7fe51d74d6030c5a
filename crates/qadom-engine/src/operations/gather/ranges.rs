//! Arithmetic on the ids of a slot: what comes next, and cutting a range into parts.
//!
//! What must stay true: the parts of a range follow each other, cover it exactly and none is empty.

use qadom_routing::Key;
use qadom_wire::{IdRange, Position};

/// Every id there is.
#[expect(clippy::expect_used, reason = "a range without an end is never empty")]
pub(crate) fn everything() -> IdRange {
    IdRange::new(Key::ZERO, None).expect("a range without an end")
}

/// The key behind this one; none behind the last.
pub(crate) fn successor(key: &Key) -> Option<Key> {
    let mut bytes = *key.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (sum, is_over) = byte.overflowing_add(1);
        *byte = sum;
        if !is_over {
            return Some(Key::from_bytes(bytes));
        }
    }
    None
}

/// The range that holds this id alone.
#[expect(clippy::expect_used, reason = "a key lies below its successor")]
pub(crate) fn only(id: &Key) -> IdRange {
    IdRange::new(*id, successor(id)).expect("a range of one id")
}

/// Whether an id lies in a range.
pub(crate) fn contains(range: &IdRange, id: &Key) -> bool {
    range.start() <= id && range.end().is_none_or(|end| id < end)
}

/// What is left of a range from an id on; none when the id lies outside of it.
pub(crate) fn from(range: &IdRange, id: &Key) -> Option<IdRange> {
    contains(range, id).then(|| IdRange::new(*id, range.end().copied()))?
}

/// Cuts a range into up to this many parts of nearly the same width, at multiples of 2^240.
pub(crate) fn parts(range: &IdRange, count: u32) -> Vec<IdRange> {
    let low = head(range.start());
    let high = range.end().map_or(1 << 16, head);
    let width = high.saturating_sub(low).div_ceil(count.max(1)).max(1);
    let mut parts = Vec::new();
    let mut start = *range.start();
    let mut cut = low + width;
    while cut < high {
        let end = at(cut);
        if let Some(part) = IdRange::new(start, Some(end)) {
            parts.push(part);
            start = end;
        }
        cut += width;
    }
    parts.extend(IdRange::new(start, range.end().copied()));
    parts
}

/// The part of a range that lies before an id, from 0 to 1.
pub(crate) fn share_before(range: &IdRange, id: &Key) -> f64 {
    let start = fraction(range.start());
    let end = range.end().map_or(1.0, fraction);
    if end <= start {
        return 1.0;
    }
    ((fraction(id) - start) / (end - start)).clamp(0.0, 1.0)
}

/// Where a range begins and ends among the positions of all slots. The end of a slot is its highest
/// id, which no record has, so that the range does not touch the next slot.
pub(crate) fn positions(slot: &Key, range: &IdRange) -> (Position, Option<Position>) {
    let at = |id: &Key| Position {
        slot: *slot,
        id: *id,
    };
    let end = range.end().unwrap_or(&Key::MAX);
    (at(range.start()), Some(at(end)))
}

/// The range of ids of a slot between two positions; none when it lies outside of the slot.
pub(crate) fn ids(slot: &Key, start: &Position, end: Option<&Position>) -> Option<IdRange> {
    let end = end?;
    if start.slot != *slot || end.slot != *slot {
        return None;
    }
    IdRange::new(start.id, Some(end.id).filter(|end| *end != Key::MAX))
}

fn head(key: &Key) -> u32 {
    let [first, second, ..] = *key.as_bytes();
    u32::from(u16::from_be_bytes([first, second]))
}

fn at(head: u32) -> Key {
    let mut bytes = [0; 32];
    let [_, _, first, second] = head.to_be_bytes();
    bytes[0] = first;
    bytes[1] = second;
    Key::from_bytes(bytes)
}

fn fraction(key: &Key) -> f64 {
    let head = key.as_bytes().first_chunk::<8>();
    let head = head.map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // 32 bits are exact, and more than enough for a guess.
    let head = u32::try_from(head >> 32).unwrap_or(u32::MAX);
    f64::from(head) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; 32])
    }

    #[test]
    fn the_last_key_has_no_successor() {
        assert_eq!(successor(&Key::MAX), None);
        let mut next = [0; 32];
        next[30] = 1;
        let mut bytes = [0; 32];
        bytes[31] = 0xff;
        assert_eq!(
            successor(&Key::from_bytes(bytes)),
            Some(Key::from_bytes(next))
        );
    }

    #[test]
    fn a_range_stays_in_its_slot() {
        for slot in [key(1), Key::MAX] {
            for range in [everything(), only(&key(3))] {
                let (start, end) = positions(&slot, &range);
                assert_eq!(ids(&slot, &start, end.as_ref()), Some(range));
                assert_eq!(ids(&key(2), &start, end.as_ref()), None);
                assert_eq!(ids(&slot, &start, None), None);
            }
        }
    }

    proptest! {
        #[test]
        fn parts_cover_their_range_exactly(
            start: [u8; 32],
            end: Option<[u8; 32]>,
            count in 0..100_u32,
        ) {
            let range = IdRange::new(Key::from_bytes(start), end.map(Key::from_bytes));
            let Some(range) = range else { return Ok(()) };
            let parts = parts(&range, count);
            prop_assert!(!parts.is_empty() && parts.len() <= 100);
            prop_assert_eq!(parts[0].start(), range.start());
            prop_assert_eq!(parts[parts.len() - 1].end(), range.end());
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].end(), Some(pair[1].start()));
            }
        }
    }
}
