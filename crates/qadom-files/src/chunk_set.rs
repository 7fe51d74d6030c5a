//! Which chunks of a file somebody has.
//!
//! What must stay true: a set costs memory by what differs from page to page, not by the size that a
//! file is said to have: the empty and the full set of a petabyte are a few words. A set never has a
//! chunk that its file has not.

use std::collections::BTreeMap;
use std::ops::Range;

/// Chunks of one page: 1 GiB of file.
pub(crate) const PAGE_CHUNKS: u64 = 4096;

/// Chunks of one word.
pub(crate) const WORD_CHUNKS: u64 = 64;

/// Words of one page.
pub(crate) const PAGE_WORDS: usize = 64;

/// A bitfield that is no bitfield of the file: a bit stands beyond its last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bitfield has bits beyond the last chunk of the file")]
pub struct BadBitfield;

/// A set of chunks of one file.
///
/// ```
/// use qadom_files::ChunkSet;
///
/// let mut set = ChunkSet::new(10);
/// assert!(set.insert(3));
/// assert!(!set.insert(3));
/// assert_eq!(set.iter().collect::<Vec<_>>(), [3]);
/// assert_eq!(set.to_bytes(0, 2), [0b0000_1000, 0]);
/// assert_eq!(ChunkSet::full(1 << 34).len(), 1 << 34);
/// ```
#[derive(Clone, Debug)]
pub struct ChunkSet {
    chunks: u64,
    len: u64,
    /// What a page is that has no entry.
    default: Uniform,
    pages: BTreeMap<u64, Page>,
}

/// A page that is all one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uniform {
    Empty,
    Full,
}

#[derive(Clone, Debug)]
enum Page {
    Uniform(Uniform),
    Bits(Box<[u64; PAGE_WORDS]>),
}

impl ChunkSet {
    /// No chunk of a file with that many.
    pub const fn new(chunks: u64) -> Self {
        Self {
            chunks,
            len: 0,
            default: Uniform::Empty,
            pages: BTreeMap::new(),
        }
    }

    /// All chunks of a file with that many.
    pub const fn full(chunks: u64) -> Self {
        Self {
            chunks,
            len: chunks,
            default: Uniform::Full,
            pages: BTreeMap::new(),
        }
    }

    /// The number of chunks that the file has.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The number of chunks in the set.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether no chunk is in the set.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every chunk is in the set.
    pub const fn is_full(&self) -> bool {
        self.len == self.chunks
    }

    /// Whether a chunk is in the set.
    pub fn contains(&self, chunk: u64) -> bool {
        self.word(chunk / WORD_CHUNKS) >> (chunk % WORD_CHUNKS) & 1 == 1
    }

    /// Puts a chunk in; whether it was not there. One that the file has not is left out.
    pub fn insert(&mut self, chunk: u64) -> bool {
        let word = chunk / WORD_CHUNKS;
        let old = self.word(word);
        self.set_word(word, old | 1 << (chunk % WORD_CHUNKS)) == 1
    }

    /// Takes a chunk out; whether it was there.
    pub fn remove(&mut self, chunk: u64) -> bool {
        let word = chunk / WORD_CHUNKS;
        let old = self.word(word);
        self.set_word(word, old & !(1 << (chunk % WORD_CHUNKS))) == -1
    }

    /// The chunks in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let chunk = self.first_in(next..self.chunks)?;
            next = chunk + 1;
            Some(chunk)
        })
    }

    /// The first chunk of a range that is in the set.
    pub fn first_in(&self, range: Range<u64>) -> Option<u64> {
        self.search(range, Uniform::Full)
    }

    /// The first chunk of a range that is not in the set.
    pub fn first_missing(&self, range: Range<u64>) -> Option<u64> {
        self.search(range, Uniform::Empty)
    }

    /// Puts all chunks of another set of the same file in.
    pub fn union_with(&mut self, other: &Self) {
        if other.default == Uniform::Full {
            let own = std::mem::replace(self, other.clone());
            // What is missing in the other may be in this one.
            for (&page, bits) in &other.pages {
                if !matches!(bits, Page::Uniform(Uniform::Full)) {
                    for word in words_of(page) {
                        let union = self.word(word) | own.word(word);
                        self.set_word(word, union);
                    }
                }
            }
            return;
        }
        for &page in other.pages.keys() {
            for word in words_of(page) {
                let union = self.word(word) | other.word(word);
                self.set_word(word, union);
            }
        }
    }

    /// The bitfield of `8 * bytes` chunks from `first` on, or of as many as the file has: chunk
    /// `first + i` is bit `1 << (i % 8)` of byte `i / 8`. `first` is rounded down to a multiple of 8.
    pub fn to_bytes(&self, first: u64, bytes: usize) -> Vec<u8> {
        let first = first / 8;
        let end = self.chunks.div_ceil(8);
        let last = first.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let last = last.min(end);
        let words = first / 8..last.div_ceil(8);
        let bytes = words.flat_map(|word| self.word(word).to_le_bytes());
        let count = usize::try_from(last.saturating_sub(first)).unwrap_or(usize::MAX);
        let skip = usize::try_from(first % 8).unwrap_or(0);
        bytes.skip(skip).take(count).collect()
    }

    /// Puts the chunks of a bitfield in that begins with chunk `first`, a multiple of 8.
    ///
    /// # Errors
    ///
    /// [`BadBitfield`] when a bit stands beyond the last chunk; then nothing is put in.
    ///
    /// ```
    /// use qadom_files::{BadBitfield, ChunkSet};
    ///
    /// let mut set = ChunkSet::new(10);
    /// set.insert_bytes(8, &[0b10])?;
    /// assert!(set.contains(9));
    /// assert_eq!(set.insert_bytes(8, &[0b100]), Err(BadBitfield));
    /// # Ok::<(), BadBitfield>(())
    /// ```
    pub fn insert_bytes(&mut self, first: u64, bytes: &[u8]) -> Result<(), BadBitfield> {
        let first = first / 8;
        let set = (first..).zip(bytes).filter(|(_, byte)| **byte != 0);
        for (at, byte) in set.clone() {
            let top = u64::from(7 - byte.leading_zeros());
            if at.checked_mul(8).is_none_or(|bit| bit + top >= self.chunks) {
                return Err(BadBitfield);
            }
        }
        for (at, byte) in set {
            let (word, shift) = (at / 8, at % 8 * 8);
            let union = self.word(word) | u64::from(*byte) << shift;
            self.set_word(word, union);
        }
        Ok(())
    }

    /// Chunks `64 * word` and on, the first in the lowest bit.
    pub(crate) fn word(&self, word: u64) -> u64 {
        let page = self.pages.get(&(word / PAGE_WORDS as u64));
        match page.unwrap_or(&Page::Uniform(self.default)) {
            Page::Uniform(Uniform::Empty) => 0,
            Page::Uniform(Uniform::Full) => self.mask(word),
            Page::Bits(words) => *words.get(slot(word)).unwrap_or(&0),
        }
    }

    /// Of these 64 chunks those that the file has and the set has not.
    pub(crate) fn missing_word(&self, word: u64) -> u64 {
        !self.word(word) & self.mask(word)
    }

    /// Sets 64 chunks at once, those that the file has; how many more are in the set now.
    pub(crate) fn set_word(&mut self, word: u64, bits: u64) -> i64 {
        let bits = bits & self.mask(word);
        let old = self.word(word);
        if bits == old {
            return 0;
        }
        let page = word / PAGE_WORDS as u64;
        let mut words = match self.pages.remove(&page) {
            Some(Page::Bits(words)) => words,
            Some(Page::Uniform(uniform)) => self.spelled(page, uniform),
            None => self.spelled(page, self.default),
        };
        if let Some(slot) = words.get_mut(slot(word)) {
            *slot = bits;
        }
        let (before, after) = (i64::from(old.count_ones()), i64::from(bits.count_ones()));
        self.len = self.len.saturating_add_signed(after - before);
        let uniform = if bits == 0 && words.iter().all(|word| *word == 0) {
            Some(Uniform::Empty)
        } else if bits == self.mask(word) && *words == *self.spelled(page, Uniform::Full) {
            Some(Uniform::Full)
        } else {
            None
        };
        match uniform {
            Some(uniform) if uniform == self.default => {}
            Some(uniform) => {
                self.pages.insert(page, Page::Uniform(uniform));
            }
            None => {
                self.pages.insert(page, Page::Bits(words));
            }
        }
        after - before
    }

    /// The words of a page that is all one.
    fn spelled(&self, page: u64, uniform: Uniform) -> Box<[u64; PAGE_WORDS]> {
        let mut words = Box::new([0; PAGE_WORDS]);
        if uniform == Uniform::Full {
            for (slot, word) in words.iter_mut().zip(words_of(page)) {
                *slot = self.mask(word);
            }
        }
        words
    }

    /// The chunks of a word that the file has.
    fn mask(&self, word: u64) -> u64 {
        match self.chunks.saturating_sub(word.saturating_mul(WORD_CHUNKS)) {
            0 => 0,
            chunks @ 1..WORD_CHUNKS => (1 << chunks) - 1,
            _ => u64::MAX,
        }
    }

    /// The first chunk of a range that is in the set, or the first that is not.
    fn search(&self, range: Range<u64>, wanted: Uniform) -> Option<u64> {
        let end = range.end.min(self.chunks);
        let mut chunk = range.start;
        while chunk < end {
            let page = chunk / PAGE_CHUNKS;
            match self.pages.get(&page) {
                Some(Page::Bits(_)) => {
                    let word = chunk / WORD_CHUNKS;
                    let bits = match wanted {
                        Uniform::Full => self.word(word),
                        Uniform::Empty => !self.word(word),
                    };
                    let bits = bits & u64::MAX << (chunk % WORD_CHUNKS);
                    if bits != 0 {
                        let found = word * WORD_CHUNKS + u64::from(bits.trailing_zeros());
                        return (found < end).then_some(found);
                    }
                    chunk = (word + 1) * WORD_CHUNKS;
                }
                Some(Page::Uniform(uniform)) if *uniform == wanted => return Some(chunk),
                Some(Page::Uniform(_)) => chunk = (page + 1) * PAGE_CHUNKS,
                None if self.default == wanted => return Some(chunk),
                // Nothing of the default matters: on to the next page that differs from it.
                None => {
                    let (next, _) = self.pages.range(page + 1..).next()?;
                    chunk = next * PAGE_CHUNKS;
                }
            }
        }
        None
    }
}

impl PartialEq for ChunkSet {
    /// Equal are sets of files with as many chunks that have the same ones, however they came about.
    fn eq(&self, other: &Self) -> bool {
        self.chunks == other.chunks
            && self.len == other.len
            && (self.is_full() || self.iter().eq(other.iter()))
    }
}

impl Eq for ChunkSet {}

/// The words of a page.
fn words_of(page: u64) -> Range<u64> {
    page * PAGE_WORDS as u64..(page + 1) * PAGE_WORDS as u64
}

/// Where a word lies in its page.
fn slot(word: u64) -> usize {
    usize::try_from(word % PAGE_WORDS as u64).unwrap_or(0)
}
