//! Handing over what is held: to a newcomer that is to hold it (the paper, section 2.5), and to
//! others when this node leaves.
//!
//! What must stay true: of all holders that a newcomer is nearer than, the nearest to a slot brings
//! it; nothing is removed for that. A node that leaves has brought everything when it says so, as far
//! as anybody takes it; where nobody answers it does not wait for long.

use std::collections::BTreeSet;
use std::time::Duration;

use qadom_routing::{Contact, Moment, NodeId};
use qadom_store::{Class, Container};
use qadom_wire::K;

use super::{PAGE, Sweep};
use crate::core::Core;
use crate::effect::Effect;
use crate::engine::Engine;
use crate::operation::{HandedOver, OperationId, Outcome};
use crate::operations::replication::Replication;
use crate::publications::schedule;
use crate::time::Time;

/// Newcomers that are looked at between two checks.
const NEWCOMERS: usize = 8;
/// Entries that are looked at for one newcomer.
const ENTRIES: usize = 16_384;
/// Slots that go to a newcomer in one exchange.
const SLOTS: usize = 512;
/// Hand-overs that wait at most. What is left out comes with the next replication.
const WAITING: usize = 64;
/// How long whoever waits for the end of this node is kept waiting while nobody answers anything. A
/// request to a node that is alive has its answer sooner, also when it is lost once on the way.
const SILENCE: Duration = Duration::from_secs(3);

/// What a newcomer is to be brought.
#[derive(Debug)]
pub(super) struct HandOver {
    to: NodeId,
    places: Vec<Container>,
}

/// How far this node has come with leaving.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Who waits for the end.
    operation: Option<OperationId>,
    /// When somebody answered last, or the waiting began.
    heard_at: Moment,
    is_begun: bool,
    /// The rounds of replication that bring it away.
    pub(crate) under_way: BTreeSet<OperationId>,
    /// Slots that were to be brought to others.
    pub(crate) offered: u64,
    /// Slots that others have now.
    pub(crate) brought: u64,
}

impl Leaving {
    /// When whoever waits for the end is told how far it came, if nobody answers until then.
    pub(crate) fn given_up_at(&self) -> Option<Moment> {
        self.operation.map(|_| self.heard_at + SILENCE)
    }
}

impl Core {
    /// Has everything that is held brought to others, unless that is so already.
    pub(crate) fn leave(&mut self, operation: Option<OperationId>, now: Moment) {
        let leaving = self.leaving.get_or_insert_default();
        leaving.operation = operation.or(leaving.operation);
        leaving.heard_at = now;
    }

    /// What this node holds that a newcomer is to hold, and that nobody nearer brings it.
    fn owed_to(&self, newcomer: &NodeId, now: Time) -> Vec<Container> {
        let own = self.own.key();
        let neighbours = self.table.closest(own, 2 * K);
        if !neighbours.iter().any(|node| node.id() == newcomer) {
            return Vec::new();
        }
        let bits = schedule::region_bits(self.network_size().nodes);
        let (start, end) = schedule::region(newcomer.key(), bits);
        let mut places = Vec::new();
        let mut after = None;
        for _ in 0..ENTRIES / PAGE {
            let behind = after.as_ref().map(|(slot, id)| (slot, id));
            let Ok(page) = self.store.scan_keys(&start, &end, behind, PAGE) else {
                break;
            };
            for entry in &page {
                let place = Container::of(&entry.slot, &entry.id);
                let is_held = entry.columns.class == Class::Record
                    && now.utc_seconds() < entry.columns.expires_at;
                if is_held && places.last() != Some(&place) && self.is_owed(newcomer, &place) {
                    places.push(place);
                }
            }
            let last = page.last();
            after = last.map(|entry| (entry.slot, entry.id.clone()));
            if page.len() < PAGE {
                break;
            }
        }
        places
    }

    fn is_owed(&self, newcomer: &NodeId, place: &Container) -> bool {
        let slot = &place.slot;
        let closest = self.table.closest(slot, K);
        let own = self.own.key().distance(slot);
        let is_nearer = |node: &&&Contact| node.id().key().distance(slot) < own;
        let nearer = closest.iter().filter(is_nearer);
        closest.iter().any(|node| node.id() == newcomer)
            && nearer.into_iter().all(|node| node.id() == newcomer)
    }
}

impl Engine {
    /// Brings everything that this node holds for others to other nodes, and takes in nothing more:
    /// it is about to end. Ends when everything was offered to those that are to have it.
    pub fn leave(&mut self, now: Time) -> OperationId {
        let now = self.core.corrected(now);
        let operation = self.number();
        self.core.leave(Some(operation), now.moment);
        self.upkeep(now);
        operation
    }

    /// Notes that somebody answered: the node that leaves is not alone.
    pub(crate) fn heard_while_leaving(&mut self, now: Time) {
        if let Some(leaving) = &mut self.core.leaving {
            leaving.heard_at = now.moment;
        }
    }

    /// Finds out what newcomers are to be brought.
    pub(super) fn find_hand_overs(&mut self, now: Time) {
        let is_idle = !self.core.config.hands_over || self.core.store.stats().records == 0;
        if is_idle || !self.core.is_storing() || self.core.leaving.is_some() {
            self.core.newcomers.clear();
            return;
        }
        for _ in 0..NEWCOMERS {
            let Some(to) = self.core.newcomers.pop_front() else {
                return;
            };
            let owed = self.core.owed_to(&to, now);
            for places in owed.chunks(SLOTS) {
                if self.upkeep.hand_overs.len() < WAITING {
                    let places = places.to_vec();
                    self.upkeep.hand_overs.push_back(HandOver { to, places });
                }
            }
        }
    }

    /// The next hand-over to a newcomer that is still there.
    pub(super) fn next_hand_over(&mut self) -> Option<Replication> {
        loop {
            let HandOver { to, places } = self.upkeep.hand_overs.pop_front()?;
            if let Some(contact) = self.core.table.contact(&to) {
                return Some(Replication::hand_over(places, contact.clone()));
            }
        }
    }

    pub(super) fn begin_leaving(&mut self) {
        let Some(leaving) = &mut self.core.leaving else {
            return;
        };
        if !std::mem::replace(&mut leaving.is_begun, true) {
            self.upkeep.hand_overs.clear();
            self.upkeep.sweep = Some(Sweep {
                is_leaving: true,
                ..Sweep::default()
            });
        }
    }

    /// Notes that a round brings away what this node holds.
    pub(super) fn note_leaving(&mut self, operation: OperationId) {
        let is_leaving = self.upkeep.sweep.as_ref();
        let is_leaving = is_leaving.is_some_and(|sweep| sweep.is_leaving);
        if is_leaving
            && self.is_running(operation)
            && let Some(leaving) = &mut self.core.leaving
        {
            leaving.under_way.insert(operation);
        }
    }

    /// Says so when everything was brought away, or nobody answers.
    pub(super) fn end_leaving(&mut self, now: Time) {
        let is_swept = self.upkeep.sweep.as_ref();
        let is_swept = is_swept.is_none_or(|sweep| !sweep.is_leaving);
        let Some(leaving) = &mut self.core.leaving else {
            return;
        };
        let is_done = is_swept && leaving.under_way.is_empty();
        if !is_done && leaving.given_up_at().is_none_or(|at| now.moment < at) {
            return;
        }
        let handed = HandedOver {
            slots: leaving.brought,
            is_whole: is_done && leaving.brought == leaving.offered,
        };
        if let Some(operation) = leaving.operation.take() {
            let result = Ok(Outcome::HandedOver(handed));
            self.core.emit(Effect::Done { operation, result });
        }
    }
}
