//! The replay window of a session's incoming counters (the scheme of RFC 6479).
//!
//! What must stay true: a counter is accepted once, and only if it is larger than the highest
//! accepted one minus 1024. Only counters of packets that opened are noted.

/// How far behind the highest counter a packet may arrive.
pub(crate) const WINDOW: u32 = 1024;

const WORDS: usize = 32;

/// Which of the last 1024 counters were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayWindow {
    /// The highest counter seen; zero while none was.
    highest: u32,
    /// One bit for each of the counters 0 to 31: all that most sessions ever see.
    first: u32,
    /// One bit for each counter modulo 1024, from the first counter above 31 on.
    all: Option<Box<[u32; WORDS]>>,
}

impl ReplayWindow {
    /// Whether a packet with this counter may still be opened.
    pub(crate) fn is_fresh(&self, counter: u32) -> bool {
        counter > self.highest
            || (self.highest - counter < WINDOW && self.word(counter) & bit(counter) == 0)
    }

    /// Notes the counter of a packet that opened.
    pub(crate) fn note(&mut self, counter: u32) {
        // A jump leaves bits of older counters behind in the words it enters; a jump over the
        // whole window leaves them everywhere.
        let skipped = counter.saturating_sub(self.highest).min(WINDOW);
        for step in 0..skipped {
            let stale = counter - step;
            *self.word_mut(stale) &= !bit(stale);
        }
        self.highest = self.highest.max(counter);
        *self.word_mut(counter) |= bit(counter);
    }

    fn word(&self, counter: u32) -> u32 {
        match &self.all {
            Some(words) => words.get(index(counter)).copied().unwrap_or(u32::MAX),
            None if counter < u32::BITS => self.first,
            None => 0,
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index is taken modulo the number of words"
    )]
    fn word_mut(&mut self, counter: u32) -> &mut u32 {
        if self.all.is_none() && counter < u32::BITS {
            return &mut self.first;
        }
        let first = self.first;
        let words = self.all.get_or_insert_with(|| {
            let mut words = Box::new([0; WORDS]);
            words[0] = first;
            words
        });
        &mut words[index(counter)]
    }
}

const fn bit(counter: u32) -> u32 {
    1 << (counter % u32::BITS)
}

const fn index(counter: u32) -> usize {
    (counter / u32::BITS) as usize % WORDS
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
            steps in prop::collection::vec((0u8..4, 0u32..3000), 1..400)
        ) {
            let mut window = ReplayWindow::default();
            let mut seen = BTreeSet::new();
            let mut highest = 0u32;
            for (kind, size) in steps {
                let counter = match kind {
                    0 => highest.saturating_sub(size),
                    1 => highest + size,
                    2 => highest + size % 3,
                    _ => highest.saturating_sub(WINDOW - 2 + size % 4),
                };
                // "Accepted once, if > highest - 1024."
                let expected = !seen.contains(&counter)
                    && (seen.is_empty() || i64::from(counter) > i64::from(highest) - 1024);
                prop_assert_eq!(window.is_fresh(counter), expected, "counter {}", counter);
                if expected {
                    window.note(counter);
                    seen.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }

    #[test]
    fn the_last_counter_of_all_is_accepted_once() {
        let mut window = ReplayWindow::default();
        assert!(window.is_fresh(u32::MAX));
        window.note(u32::MAX);
        assert!(!window.is_fresh(u32::MAX) && window.is_fresh(u32::MAX - 1023));
        assert!(!window.is_fresh(u32::MAX - 1024));
    }
}
