//! Finding out how large a file is, before anything of it is kept.
//!
//! What must stay true: a size counts once the last chunk of a file of that size has verified, whoever
//! claims it and however many; whoever claims another one, or stays silent, holds up nobody for long
//! and costs one chunk in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qadom_files::{Availability, Layout, PeerId};

/// Sizes whose proof is asked for at once.
const SIZES_AT_ONCE: usize = 16;
/// After so long somebody else is asked for the same proof, too.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a proof is waited for.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What peers say of a file's size, until one of them is proven right.
#[derive(Debug)]
pub(super) struct Sizing<S> {
    claims: BTreeMap<PeerId, Claim<S>>,
}

/// What one peer says.
#[derive(Debug)]
pub(super) struct Claim<S> {
    pub(super) layout: Layout,
    pub(super) has: Availability,
    /// How it is spoken to.
    pub(super) say: S,
    asked: Option<Duration>,
}

impl<S> Claim<S> {
    fn is_open(&self, now: Duration, patience: Duration) -> bool {
        self.asked.is_some_and(|asked| now < asked + patience)
    }
}

impl<S> Default for Sizing<S> {
    fn default() -> Self {
        let claims = BTreeMap::new();
        Self { claims }
    }
}

impl<S> Sizing<S> {
    /// Takes down what a peer says; whoever adds peers bounds their number.
    pub(super) fn claim(&mut self, peer: PeerId, (layout, has, say): (Layout, Availability, S)) {
        let asked = None;
        let claim = Claim {
            layout,
            has,
            say,
            asked,
        };
        self.claims.insert(peer, claim);
    }

    /// Notes that a peer has more by now.
    pub(super) fn update(&mut self, peer: PeerId, has: Availability) {
        if let Some(claim) = self.claims.get_mut(&peer) {
            claim.has = has;
        }
    }

    /// Forgets a peer that is gone, refused, or was wrong.
    pub(super) fn remove(&mut self, peer: PeerId) {
        self.claims.remove(&peer);
    }

    /// Who is to be asked for the last chunk of its claim now: sizes that many claim first, one peer of
    /// each at a time.
    pub(super) fn next(&mut self, now: Duration) -> Vec<PeerId> {
        let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
        let mut open = BTreeSet::new();
        for claim in self.claims.values() {
            *sizes.entry(claim.layout.size()).or_default() += 1;
            if claim.is_open(now, AGAIN) {
                open.insert(claim.layout.size());
            }
        }
        let mut sizes: Vec<(u64, usize)> = sizes.into_iter().collect();
        sizes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut asked = Vec::new();
        for (size, _) in sizes {
            if open.len() >= SIZES_AT_ONCE {
                break;
            }
            let mut claims = self.claims.iter_mut();
            let next = claims.find(|(_, claim)| {
                claim.layout.size() == size && claim.asked.is_none() && claim.has_last()
            });
            if let Some((peer, claim)) = next.filter(|_| !open.contains(&size)) {
                claim.asked = Some(now);
                open.insert(size);
                asked.push(*peer);
            }
        }
        asked
    }

    /// Whether a proof may still come, or somebody is left to ask.
    pub(super) fn is_waiting(&self, now: Duration) -> bool {
        self.claims.values().any(|claim| {
            claim.is_open(now, ANSWER_TIME) || claim.asked.is_none() && claim.has_last()
        })
    }

    /// Who was asked in vain for too long.
    pub(super) fn late(&self, now: Duration) -> Vec<PeerId> {
        let late = self
            .claims
            .iter()
            .filter(|(_, claim)| claim.asked.is_some() && !claim.is_open(now, ANSWER_TIME));
        late.map(|(peer, _)| *peer).collect()
    }

    /// Whether anybody claims anything.
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The last chunks of the claimed sizes, to look for their holders.
    pub(super) fn last_chunks(&self) -> BTreeSet<u64> {
        let claims = self.claims.values();
        claims.map(|claim| claim.layout.last()).collect()
    }

    /// The claim of one peer.
    pub(super) fn get(&self, peer: PeerId) -> Option<&Claim<S>> {
        self.claims.get(&peer)
    }

    /// Takes all claims out: the size is known.
    pub(super) fn take(&mut self) -> BTreeMap<PeerId, Claim<S>> {
        std::mem::take(&mut self.claims)
    }
}

impl<S> Claim<S> {
    /// Whether the peer says that it has the chunk that would prove it right.
    fn has_last(&self) -> bool {
        match &self.has {
            Availability::All => true,
            Availability::Some(chunks) => chunks.contains(self.layout.last()),
        }
    }
}

#[cfg(test)]
mod tests {
    use qadom_files::{CHUNK_SIZE, ChunkSet};

    use super::*;

    fn layout(chunks: u64) -> Layout {
        Layout::new(chunks * u64::from(CHUNK_SIZE)).unwrap()
    }

    fn sizing(sizes: &[u64]) -> Sizing<()> {
        let mut sizing = Sizing::default();
        for (peer, chunks) in (0..).zip(sizes) {
            let claim = (layout(*chunks), Availability::All, ());
            sizing.claim(PeerId(peer), claim);
        }
        sizing
    }

    #[test]
    fn one_peer_of_each_size_is_asked_at_a_time_and_the_common_size_first() {
        let mut sizing = sizing(&[7, 9, 9, 9]);
        let at = Duration::from_secs;
        assert_eq!(sizing.next(at(1)), [PeerId(1), PeerId(0)]);
        assert_eq!(sizing.next(at(2)), []);
        // One was wrong: the next of its size at once; the other is silent: after a while.
        sizing.remove(PeerId(1));
        assert_eq!(sizing.next(at(2)), [PeerId(2)]);
        assert_eq!(sizing.next(at(7)), [PeerId(3)]);
        assert!(sizing.is_waiting(at(30)));
        assert_eq!(sizing.late(at(31)), [PeerId(0)]);
        assert!(!sizing.is_waiting(at(37)));
    }

    #[test]
    fn silent_claims_of_many_sizes_hold_up_nobody_for_long() {
        let sizes: Vec<u64> = (1..=64).collect();
        let mut sizing = sizing(&sizes);
        let mut asked = 0;
        for second in 0..4 {
            asked += sizing.next(AGAIN * second).len();
        }
        assert_eq!(asked, 64);
    }

    #[test]
    fn whoever_lacks_the_last_chunk_is_not_asked_for_it_and_it_is_looked_for() {
        let mut sizing = Sizing::default();
        let mut some = ChunkSet::new(9);
        some.insert(3);
        sizing.claim(PeerId(1), (layout(9), Availability::Some(some), ()));
        assert_eq!(sizing.next(Duration::ZERO), []);
        assert!(!sizing.is_waiting(Duration::ZERO));
        assert_eq!(sizing.last_chunks().into_iter().collect::<Vec<_>>(), [8]);
    }
}
