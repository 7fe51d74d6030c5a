//! Requests of peers that wait for the node to take them.
//!
//! What must stay true: they are bounded in number and leave in the order in which they came; while
//! no more than half of the room is taken nobody is turned away, and above that only who has more
//! than a fair share of it, first among peers, then among groups of addresses.

use std::collections::{HashMap, VecDeque};

use crate::address::AddressGroup;
use crate::event::Event;
use crate::slack::Slack;

/// A request and who sent it.
#[derive(Debug)]
struct Arrival {
    key: [u8; 32],
    group: AddressGroup,
    request: Event,
}

/// How many of the waiting requests each sender has.
#[derive(Debug, Default)]
struct Shares {
    peers: HashMap<[u8; 32], usize>,
    groups: HashMap<AddressGroup, usize>,
}

/// The waiting requests.
#[derive(Debug)]
pub(crate) struct Arrivals {
    queue: VecDeque<Arrival>,
    /// Counted only from half of the room on, until a quarter is left.
    shares: Option<Box<Shares>>,
    limit: usize,
    /// Whether groups of addresses mean nothing, because everybody is in one.
    is_local: bool,
}

impl Arrivals {
    /// Room for this many requests.
    pub(crate) fn new(limit: usize, is_local: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            shares: None,
            limit,
            is_local,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether one more request of this peer is too much.
    pub(crate) fn is_too_much_of(&self, key: &[u8; 32], group: AddressGroup) -> bool {
        let Some(shares) = self.crowd() else {
            return false;
        };
        let of_peer = shares.peers.get(key).copied().unwrap_or_default();
        self.queue.len() >= self.limit
            || of_peer >= self.share(shares.peers.len())
            || !self.is_local && self.is_group_over(shares, group)
    }

    /// Whether one more request of somebody unknown from this group is too much.
    pub(crate) fn is_too_much_of_strangers(&self, group: AddressGroup) -> bool {
        self.crowd().is_some_and(|shares| {
            self.queue.len() >= self.limit || self.is_local || self.is_group_over(shares, group)
        })
    }

    pub(crate) fn push(&mut self, key: [u8; 32], group: AddressGroup, request: Event) {
        let arrival = Arrival {
            key,
            group,
            request,
        };
        if let Some(shares) = &mut self.shares {
            shares.add(&arrival);
        }
        self.queue.push_back(arrival);
        if self.shares.is_none() && self.queue.len() > self.limit / 2 {
            let mut shares = Box::<Shares>::default();
            self.queue.iter().for_each(|arrival| shares.add(arrival));
            self.shares = Some(shares);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let arrival = self.queue.pop_front()?;
        self.queue.release();
        if self.queue.len() <= self.limit / 4 {
            self.shares = None;
        } else if let Some(shares) = &mut self.shares {
            remove_one(&mut shares.peers, &arrival.key);
            remove_one(&mut shares.groups, &arrival.group);
        }
        Some(arrival.request)
    }

    /// The shares, while more than half of the room is taken.
    fn crowd(&self) -> Option<&Shares> {
        let is_crowded = self.queue.len() > self.limit / 2;
        self.shares.as_deref().filter(|_| is_crowded)
    }

    /// What each of so many may have of half the room.
    fn share(&self, among: usize) -> usize {
        (self.limit / 2 / among.max(1)).max(1)
    }

    fn is_group_over(&self, shares: &Shares, group: AddressGroup) -> bool {
        let of_group = shares.groups.get(&group).copied().unwrap_or_default();
        of_group >= self.share(shares.groups.len())
    }
}

impl Shares {
    fn add(&mut self, arrival: &Arrival) {
        *self.peers.entry(arrival.key).or_default() += 1;
        *self.groups.entry(arrival.group).or_default() += 1;
    }
}

fn remove_one<K: Eq + core::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(number: u8) -> AddressGroup {
        AddressGroup::of(([203, 0, number, 1], 1).into())
    }

    fn push(arrivals: &mut Arrivals, peer: u8) {
        let request = Event::Gone { key: [peer; 32] };
        arrivals.push([peer; 32], group(peer / 4), request);
    }

    #[test]
    fn nobody_is_turned_away_below_half_and_everybody_when_full() {
        let mut arrivals = Arrivals::new(8, false);
        for _ in 0..4 {
            assert!(!arrivals.is_too_much_of(&[1; 32], group(0)));
            push(&mut arrivals, 1);
        }
        assert!(!arrivals.is_too_much_of_strangers(group(0)));
        push(&mut arrivals, 1);
        assert!(arrivals.is_too_much_of(&[1; 32], group(0)));
        // Another peer of the same group, and strangers from it, pay for it; others do not.
        assert!(arrivals.is_too_much_of(&[2; 32], group(0)));
        assert!(arrivals.is_too_much_of_strangers(group(0)));
        assert!(!arrivals.is_too_much_of(&[9; 32], group(2)));
        assert!(!arrivals.is_too_much_of_strangers(group(2)));
        for peer in [9, 13, 17] {
            push(&mut arrivals, peer);
        }
        assert!(arrivals.is_too_much_of(&[21; 32], group(5)));
        assert!(arrivals.is_too_much_of_strangers(group(5)));
    }

    #[test]
    fn in_local_mode_groups_do_not_count_and_strangers_wait() {
        let mut arrivals = Arrivals::new(8, true);
        (0..5).for_each(|_| push(&mut arrivals, 1));
        assert!(!arrivals.is_too_much_of(&[2; 32], group(0)));
        assert!(arrivals.is_too_much_of_strangers(group(9)));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_queue_and_a_modest_peer_is_served(
            steps in prop::collection::vec((0..12u8, any::<bool>()), 1..400),
        ) {
            let mut arrivals = Arrivals::new(32, false);
            for (peer, is_pop) in steps {
                if is_pop {
                    arrivals.pop();
                } else if !arrivals.is_too_much_of(&[peer; 32], group(peer / 4)) {
                    push(&mut arrivals, peer);
                }
                prop_assert!(arrivals.len() <= 32);
                let mut expected = Shares::default();
                arrivals.queue.iter().for_each(|arrival| expected.add(arrival));
                if let Some(shares) = &arrivals.shares {
                    prop_assert_eq!(&shares.peers, &expected.peers);
                    prop_assert_eq!(&shares.groups, &expected.groups);
                }
                let newcomer = arrivals.is_too_much_of(&[99; 32], group(99));
                prop_assert!(!newcomer || arrivals.len() == 32);
            }
        }
    }
}
