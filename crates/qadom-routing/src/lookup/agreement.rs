//! When a lookup knows whom it has still to ask: its answers agree on who is nearest.
//!
//! On the way to the target each node names others than the node before: they are chance picks out
//! of a part of the key space that has far more than k nodes. Only near the target, where a node
//! knows all of its neighbours, two answers name the same nodes.
//!
//! What must stay true: agreement sets no more than the pace. Whom a path asks, when it ends and whom
//! it finds is decided without it, so that whoever feigns or breaks it gains nothing but time, a burst
//! of requests that count against the path's budget, or copies beside those that all holders get.

use alloc::vec::Vec;

use super::{Lookup, State};
use crate::config::PATHS_MAX;
use crate::contact::Contact;
use crate::distance::Distance;

impl Lookup {
    /// Notes whether an answer on this path names nearly those as the nearest that were known, on
    /// whatever path: three in four. An answer that has room for few contacts is compared with as
    /// few; one with hardly any says nothing new either way. Paths that have heard of these nodes
    /// by an answer of their own learn it with it.
    pub(super) fn note_agreement(&mut self, from: Distance, named: &[Contact], path: usize) {
        let k = self.config.k;
        let mut named: Vec<Distance> = named.iter().map(|node| self.distance(node.id())).collect();
        if named.len() * 4 < k {
            return;
        }
        named.sort_unstable();
        let nearest = self
            .candidates
            .iter()
            .filter(|(distance, candidate)| candidate.state != State::Failed && **distance != from);
        let most = k.min(named.len());
        let (mut known, mut agreed, mut heard) = (0, 0, [0; PATHS_MAX]);
        for (distance, candidate) in nearest.take(most) {
            known += 1;
            if named.binary_search(distance).is_ok() {
                agreed += 1;
                for (path, heard) in heard.iter_mut().enumerate() {
                    *heard += usize::from(candidate.heard_on & (1 << path) != 0);
                }
            }
        }
        let is_most = |count: usize| known * 2 >= most && count * 4 >= known * 3;
        for (path, heard) in self.paths.iter_mut().zip(heard) {
            path.is_agreed |= is_most(heard);
        }
        if let Some(path) = self.paths.get_mut(path) {
            path.is_agreed = is_most(agreed);
        }
    }
}

#[cfg(test)]
mod tests;
