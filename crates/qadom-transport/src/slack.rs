//! Collections that give back the memory of a burst.
//!
//! What must stay true: a collection that is nearly empty has room for a few items only, and
//! giving back costs no more than what was put in before.

use core::hash::{BuildHasher, Hash};
use std::collections::{HashMap, HashSet, VecDeque};

/// Room that is kept whatever happens, so that a quiet exchange never allocates.
pub(crate) const SMALL: usize = 7;

/// A collection that may have more room than it needs; to be called where items leave it.
pub(crate) trait Slack {
    /// Gives room back when at least seven eighths of it are free.
    fn release(&mut self);
}

impl<K: Eq + Hash, V, H: BuildHasher> Slack for HashMap<K, V, H> {
    fn release(&mut self) {
        if has_slack(self.capacity(), self.len()) {
            self.shrink_to(2 * self.len());
        }
    }
}

impl<T: Eq + Hash, H: BuildHasher> Slack for HashSet<T, H> {
    fn release(&mut self) {
        if has_slack(self.capacity(), self.len()) {
            self.shrink_to(2 * self.len());
        }
    }
}

impl<T> Slack for VecDeque<T> {
    fn release(&mut self) {
        if has_slack(self.capacity(), self.len()) {
            self.shrink_to(2 * self.len());
        }
    }
}

const fn has_slack(capacity: usize, length: usize) -> bool {
    capacity > SMALL && length <= capacity / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_given_back_and_a_quiet_exchange_keeps_its_room() {
        let mut map: HashMap<u32, u32> = (0..1000).map(|item| (item, item)).collect();
        let mut queue: VecDeque<u32> = (0..1000).collect();
        for item in 0..1000 {
            map.remove(&item);
            map.release();
            queue.pop_front();
            queue.release();
            assert!(map.capacity() <= SMALL.max(16 * map.len()));
            assert!(queue.capacity() <= SMALL.max(16 * queue.len()));
        }
        queue.push_back(1);
        let room = queue.capacity();
        queue.pop_front();
        queue.release();
        assert_eq!(queue.capacity(), room);
    }
}
