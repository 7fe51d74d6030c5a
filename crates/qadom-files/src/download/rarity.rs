//! Which chunks few peers have.
//!
//! What must stay true: counted anew only when what peers have changes, and only for the pages that
//! are looked at. The cost does not grow with the file.

use std::collections::BTreeMap;

use crate::chunk_set::PAGE_WORDS;

/// Pages whose counts are kept.
const PAGES_MAX: usize = 64;

/// The chunks of a page that as many peers have, one bit a chunk.
pub(super) type Words = [u64; PAGE_WORDS];

/// The chunks of pages by the number of peers that have them.
#[derive(Debug, Default)]
pub(super) struct Rarity {
    pages: BTreeMap<u64, Vec<(u32, Words)>>,
}

impl Rarity {
    /// Forgets all counts: somebody came, went, or has something else.
    pub(super) fn forget(&mut self) {
        self.pages.clear();
    }

    /// The chunks of a page that some peer has by the number of those with a part of the file who have
    /// them, the rarest first; `words` gives what each peer with a
    /// part of the file has in a word.
    pub(super) fn page(
        &mut self,
        page: u64,
        words: impl Fn(u64) -> Vec<u64>,
        everyone: bool,
    ) -> &[(u32, Words)] {
        if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&page) {
            self.pages.clear();
        }
        self.pages
            .entry(page)
            .or_insert_with(|| count(page, words, everyone))
    }
}

/// Counts for each chunk of a page the peers with a part of the file that have it; those with all of
/// it count for every chunk alike.
fn count(page: u64, words: impl Fn(u64) -> Vec<u64>, everyone: bool) -> Vec<(u32, Words)> {
    let mut classes: BTreeMap<u32, Words> = BTreeMap::new();
    let first = page * PAGE_WORDS as u64;
    for (word, slot) in (first..).zip(0..PAGE_WORDS) {
        let peers = words(word);
        let mut counts = [0_u32; 64];
        for bits in peers {
            let mut left = bits;
            while left != 0 {
                if let Some(count) = counts.get_mut(left.trailing_zeros() as usize) {
                    *count += 1;
                }
                left &= left - 1;
            }
        }
        for (count, bit) in counts.into_iter().zip(0..) {
            // What only those with everything have is as rare as they are few, and in no other class.
            if count > 0 || everyone {
                let class = classes.entry(count).or_insert([0; PAGE_WORDS]);
                if let Some(bits) = class.get_mut(slot) {
                    *bits |= 1_u64 << bit;
                }
            }
        }
    }
    classes.into_iter().collect()
}
