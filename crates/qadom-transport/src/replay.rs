//! The replay window of a session's incoming counters (the scheme of RFC 6479).
//!
//! What must stay true: a counter is accepted once, and only if it is larger than the highest
//! accepted one minus 1024. Only counters of packets that opened are noted.

/// How far behind the highest counter a packet may arrive.
pub(crate) const WINDOW: u64 = 1024;

const WORDS: usize = 16;

/// Which of the last 1024 counters were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayWindow {
    /// The highest counter seen, plus one; zero while none was.
    next: u64,
    seen: Seen,
}

/// One bit for each counter modulo 1024.
#[derive(Clone, Debug)]
enum Seen {
    /// The counters 0 to 63: all that most sessions ever see.
    First(u64),
    /// All words, from the first counter above 63 on.
    All(Box<[u64; WORDS]>),
}

impl Default for Seen {
    fn default() -> Self {
        Self::First(0)
    }
}

impl ReplayWindow {
    /// Whether a packet with this counter may still be opened.
    pub(crate) fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.next {
            return true;
        }
        counter + WINDOW >= self.next && self.word(counter) & bit(counter) == 0
    }

    /// Notes the counter of a packet that opened.
    pub(crate) fn note(&mut self, counter: u64) {
        if counter >= self.next {
            // A jump leaves bits of older counters behind in the words it enters; a jump over
            // the whole window leaves them everywhere.
            let skipped = (counter - self.next).min(WINDOW);
            for step in 0..skipped {
                let stale = self.next + step;
                self.clear(stale);
            }
            self.clear(counter);
            self.next = counter + 1;
        }
        *self.word_mut(counter) |= bit(counter);
    }

    fn word(&self, counter: u64) -> u64 {
        match &self.seen {
            Seen::First(word) if counter < 64 => *word,
            Seen::First(_) => 0,
            Seen::All(words) => words.get(index(counter)).copied().unwrap_or(u64::MAX),
        }
    }

    fn clear(&mut self, counter: u64) {
        *self.word_mut(counter) &= !bit(counter);
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index is taken modulo the number of words"
    )]
    fn word_mut(&mut self, counter: u64) -> &mut u64 {
        if let Seen::First(word) = self.seen
            && counter >= 64
        {
            let mut words = Box::new([0; WORDS]);
            words[0] = word;
            self.seen = Seen::All(words);
        }
        match &mut self.seen {
            Seen::First(word) => word,
            Seen::All(words) => &mut words[index(counter)],
        }
    }
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

const fn index(counter: u64) -> usize {
    (counter / 64) as usize % WORDS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn agrees_with_a_set_of_all_counters_ever_seen(
            steps in prop::collection::vec((0u8..4, 0u64..3000), 1..400)
        ) {
            let mut window = ReplayWindow::default();
            let mut seen = BTreeSet::new();
            let mut highest = 0u64;
            for (kind, size) in steps {
                let counter = match kind {
                    0 => highest.saturating_sub(size),
                    1 => highest + size,
                    2 => highest + size % 3,
                    _ => highest.saturating_sub(WINDOW - 2 + size % 4),
                };
                // "Accepted once, if > highest - 1024."
                let expected = !seen.contains(&counter)
                    && (seen.is_empty() || i128::from(counter) > i128::from(highest) - 1024);
                prop_assert_eq!(window.is_fresh(counter), expected, "counter {}", counter);
                if expected {
                    window.note(counter);
                    seen.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }
}
