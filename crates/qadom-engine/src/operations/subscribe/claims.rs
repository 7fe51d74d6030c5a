//! What holders say that they have, when they are asked for what comes from now on.
//!
//! What must stay true: no holder alone decides where a live subscription begins. What two of them
//! have lies before it; what one alone claims counts for nothing, so that it can hide nobody.

use std::collections::BTreeMap;

use qadom_routing::NodeKey;
use qadom_wire::{Cursor, CursorEntry};

/// Holders that have to say the same.
const AGREED: usize = 2;

/// The claims of the holders, until enough of them are known.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<NodeKey, Cursor>);

impl Claims {
    /// Takes in what a holder has, in place of what it said before.
    pub(super) fn note(&mut self, from: NodeKey, had: Cursor) {
        self.0.insert(from, had);
    }

    /// Whether so many claims are here as a subscription with this many holders waits for.
    pub(super) fn are_enough(&self, holders: usize) -> bool {
        !self.0.is_empty() && self.0.len() >= AGREED.min(holders)
    }

    /// Per writer the highest that two holders claim, or what the only one there is claims.
    pub(super) fn agreed(&self) -> Cursor {
        let mut claims: BTreeMap<[u8; 16], Vec<(u64, u64)>> = BTreeMap::new();
        for entry in self.0.values().flat_map(Cursor::entries) {
            let of_writer = claims.entry(entry.tag).or_default();
            of_writer.push((entry.stream, entry.seq));
        }
        let supporters = AGREED.min(self.0.len());
        let agreed = claims.into_iter().filter_map(|(tag, mut claims)| {
            claims.sort_unstable();
            let (stream, seq) = *claims.iter().nth_back(supporters.checked_sub(1)?)?;
            Some(CursorEntry { tag, stream, seq })
        });
        agreed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeKey {
        let mut bytes = [0; 32];
        bytes[0] = 9;
        bytes[1] = number;
        NodeKey::new(bytes).unwrap()
    }

    fn cursor(entries: &[(u8, u64, u64)]) -> Cursor {
        let entries = entries.iter().map(|&(tag, stream, seq)| CursorEntry {
            tag: [tag; 16],
            stream,
            seq,
        });
        entries.collect()
    }

    #[test]
    fn what_two_of_three_claim_is_agreed() {
        let mut claims = Claims::default();
        assert!(!claims.are_enough(3));
        claims.note(node(1), cursor(&[(1, 5, 9), (2, 1, 1), (3, 9, 9)]));
        assert!(!claims.are_enough(3), "one of three decides nothing");
        claims.note(node(1), cursor(&[(1, 5, 9), (2, 1, 1), (3, 9, 9)]));
        assert!(!claims.are_enough(2), "however often it says so");
        claims.note(node(2), cursor(&[(1, 5, 7), (2, 1, 1)]));
        assert!(claims.are_enough(3));
        assert_eq!(claims.agreed(), cursor(&[(1, 5, 7), (2, 1, 1)]));
        claims.note(node(3), cursor(&[(1, 5, 8), (3, 2, 2)]));
        let all = cursor(&[(1, 5, 8), (2, 1, 1), (3, 2, 2)]);
        assert_eq!(claims.agreed(), all, "the second highest");
    }

    #[test]
    fn the_only_holder_there_is_decides() {
        let mut claims = Claims::default();
        claims.note(node(1), cursor(&[(1, 5, 9)]));
        assert!(claims.are_enough(1));
        assert_eq!(claims.agreed(), cursor(&[(1, 5, 9)]));
    }
}
