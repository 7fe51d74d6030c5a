//! The highest seqs of namespaces that this node has seen, so that no reader sees one go back.
//!
//! What must stay true: at most 65 536 slots are remembered, and the one that was used longest ago
//! makes room.

use std::collections::BTreeMap;

use qadom_routing::Key;

/// Slots that are remembered.
const SLOTS_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug)]
struct Seen {
    seq: u64,
    used: u64,
}

/// What was seen, by slot.
#[derive(Debug, Default)]
pub(crate) struct SeenSeqs {
    slots: BTreeMap<Key, Seen>,
    order: BTreeMap<u64, Key>,
    /// Counts uses.
    clock: u64,
}

impl SeenSeqs {
    /// The highest seq seen in a slot, 0 for none.
    pub(crate) fn highest(&self, slot: &Key) -> u64 {
        self.slots.get(slot).map_or(0, |seen| seen.seq)
    }

    /// Notes a seq; true when it is higher than any seen in its slot.
    pub(crate) fn note(&mut self, slot: &Key, seq: u64) -> bool {
        self.clock += 1;
        let used = self.clock;
        let old = self.slots.get(slot).copied();
        let highest = old.map_or(0, |old| old.seq);
        let seq = seq.max(highest);
        self.slots.insert(*slot, Seen { seq, used });
        if let Some(old) = old {
            self.order.remove(&old.used);
        }
        self.order.insert(used, *slot);
        if self.slots.len() > SLOTS_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.slots.remove(&oldest);
        }
        seq > highest
    }

    /// Every slot with its highest seq, the one that was used longest ago first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, u64)> {
        self.order
            .values()
            .filter_map(|slot| Some((slot, self.slots.get(slot)?.seq)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: usize) -> Key {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Key::from_bytes(bytes)
    }

    #[test]
    fn a_lower_seq_changes_nothing() {
        let mut seen = SeenSeqs::default();
        assert!(seen.note(&slot(1), 7));
        assert!(!seen.note(&slot(1), 6));
        assert!(!seen.note(&slot(1), 7));
        assert_eq!((seen.highest(&slot(1)), seen.highest(&slot(2))), (7, 0));
    }

    #[test]
    fn the_slot_used_longest_ago_makes_room() {
        let mut seen = SeenSeqs::default();
        for number in 0..SLOTS_MAX {
            seen.note(&slot(number), 1);
        }
        seen.note(&slot(0), 1);
        seen.note(&slot(SLOTS_MAX), 1);
        assert_eq!(seen.iter().count(), SLOTS_MAX);
        assert_eq!((seen.highest(&slot(0)), seen.highest(&slot(1))), (1, 0));
    }
}
