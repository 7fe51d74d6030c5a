//! A bounded memory of what was seen lately.
//!
//! What must stay true: an item is remembered for at least one life time unless more items than
//! the limit came since; memory is bounded by twice the limit. Two generations instead of exact
//! ages, so that nothing has to be swept.

use core::hash::Hash;
use core::time::Duration;
use std::collections::HashSet;

use crate::slack::Slack;

/// Items seen within the last one to two life times.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    young: HashSet<T>,
    old: HashSet<T>,
    turned: Duration,
    life: Duration,
    limit: usize,
}

impl<T: Eq + Hash> Recent<T> {
    /// Remembers up to `limit` items in each of the two generations, for `life` at least.
    pub(crate) fn new(life: Duration, limit: usize) -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            turned: Duration::ZERO,
            life,
            limit,
        }
    }

    /// Notes an item; `false` when it was there already.
    pub(crate) fn insert(&mut self, item: T, now: Duration) -> bool {
        self.turn(now);
        !self.old.contains(&item) && self.young.insert(item)
    }

    pub(crate) fn contains(&mut self, item: &T, now: Duration) -> bool {
        self.turn(now);
        self.young.contains(item) || self.old.contains(item)
    }

    pub(crate) fn remove(&mut self, item: &T) {
        self.young.remove(item);
        self.young.release();
        self.old.remove(item);
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.young.capacity() + self.old.capacity()
    }

    fn turn(&mut self, now: Duration) {
        let age = now.saturating_sub(self.turned);
        if age >= self.life || self.young.len() >= self.limit {
            self.old = core::mem::take(&mut self.young);
            if age >= self.life * 2 {
                self.old = HashSet::new();
            }
            self.turned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_one_life_and_stays_bounded() {
        let second = Duration::from_secs(1);
        let mut recent = Recent::new(second, 10);
        assert!(recent.insert(0, Duration::ZERO));
        assert!(!recent.insert(0, Duration::from_millis(999)));
        assert!(recent.contains(&0, second));
        assert!(!recent.contains(&0, second * 3));
        for item in 0..1000 {
            recent.insert(item, second * 3);
        }
        assert!(recent.young.len() + recent.old.len() <= 20);
        assert!(!recent.insert(999, second * 3));
    }
}
