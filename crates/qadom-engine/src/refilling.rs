//! Bringing a store back that lost its records: what this node has promised comes out of its
//! journal, all else from the other holders.
//!
//! What must stay true: it begins when the network is known, once, again only while nobody could be
//! asked, and never holds up anything else. How others are asked is in `operations/refill.rs`.

use std::time::Duration;

use qadom_routing::Moment;
use qadom_wire::StoreClass;

use crate::core::Core;
use crate::engine::Engine;
use crate::keep::Origin;
use crate::listing::Listings;
use crate::operations::refill::RefillOperation;
use crate::publications::promise::{Promise, Promised, PublicationId, PublicationState};
use crate::records::Held;
use crate::status::Refill;
use crate::time::Time;
use crate::upkeep::Replicated;

/// Own records that are put back at once, each of them with its signature checked.
const OWN_AT_ONCE: usize = 64;
/// The pause between two such groups.
const OWN_EVERY: Duration = Duration::from_millis(1);
/// How long a node that was just started has for its join, before it asks whom it knows.
const JOIN_WITHIN: Duration = Duration::from_secs(30);
/// When others are asked again, after nobody answered.
const AGAIN_AFTER: Duration = Duration::from_mins(1);

/// What is left to do.
#[derive(Debug, Default)]
pub(crate) struct Refilling {
    /// Own records that are not back yet.
    own: Vec<PublicationId>,
    own_at: Option<Moment>,
    /// When others are asked.
    due: Option<Moment>,
    is_running: bool,
    fetched: u64,
    restored: u64,
}

impl Refilling {
    /// The network is known better than it will be soon.
    pub(crate) fn on_joined(&mut self, now: Moment) {
        self.due = self.due.map(|due| due.min(now));
    }

    /// Something came from another holder.
    pub(crate) const fn on_fetched(&mut self) {
        self.fetched += 1;
    }

    /// The others have been asked, or none of them answered.
    pub(crate) fn on_ended(&mut self, is_answered: bool, now: Moment) {
        self.is_running = false;
        self.due = (!is_answered).then(|| now + AGAIN_AFTER);
    }

    pub(crate) fn status(&self) -> Refill {
        Refill {
            is_under_way: self.is_running || self.due.is_some() || !self.own.is_empty(),
            fetched: self.fetched,
            own: self.restored,
        }
    }
}

impl Engine {
    /// Begins to bring back what the store has lost: the driver found it damaged and began an empty
    /// one, or dropped entries of it.
    pub fn refill(&mut self, now: Time) {
        let now = self.core.corrected(now);
        let core = &mut self.core;
        core.forget_listings();
        let active = core.promises.book.iter();
        let active = active.filter(|promise| promise.state == PublicationState::Active);
        let own = active.map(Promise::id).collect();
        let joined_by = core.started.moment + JOIN_WITHIN;
        core.refilling = Refilling {
            own,
            own_at: Some(now.moment),
            due: Some(joined_by.max(now.moment)),
            ..Refilling::default()
        };
    }

    /// Does a bounded part of what is left.
    pub(crate) fn go_on_refilling(&mut self, now: Time) {
        let refilling = &mut self.core.refilling;
        if refilling.own_at.is_some_and(|at| at <= now.moment) {
            let rest = refilling.own.len().saturating_sub(OWN_AT_ONCE);
            let some = refilling.own.split_off(rest);
            refilling.own_at = (rest > 0).then(|| now.moment + OWN_EVERY);
            self.core.put_back(&some, now);
        }
        let is_due = self.core.refilling.due.is_some_and(|at| at <= now.moment);
        if !is_due || !self.may_refill() {
            return;
        }
        self.core.refilling.due = None;
        if self.core.is_storing() && self.core.table.is_empty() {
            self.core.refilling.due = Some(now.moment + JOIN_WITHIN);
        } else if self.core.is_storing() {
            self.core.refilling.is_running = true;
            let operation = RefillOperation::new(&self.core);
            self.start_background(now, Box::new(operation));
        }
    }

    /// When [`go_on_refilling`](Self::go_on_refilling) has something to do.
    pub(crate) fn refill_deadline(&self) -> Option<Moment> {
        let refilling = &self.core.refilling;
        let due = refilling.due.filter(|_| self.may_refill());
        due.into_iter().chain(refilling.own_at).min()
    }

    fn may_refill(&self) -> bool {
        self.background() < self.core.config.limits.background
    }
}

impl Core {
    /// Forgets what was learnt from the store, and that others have it, too.
    pub(crate) fn forget_listings(&mut self) {
        self.listings = Listings::default();
        self.replicated = Replicated::default();
    }

    /// Puts records back that this node has promised to keep alive, as its own copies.
    fn put_back(&mut self, own: &[PublicationId], now: Time) {
        if !self.is_storing() {
            return;
        }
        for id in own {
            let Some(promise) = self.promises.book.get(id) else {
                continue;
            };
            let left = promise.expires_at.saturating_sub(now.utc_seconds());
            let kept = match promise.promised.clone() {
                Promised::Value(value) if left > 0 => {
                    let held = Held::new(value, StoreClass::FirstHand, left, now);
                    self.keep(held, now).is_ok()
                }
                Promised::Signed(record) => {
                    let origin = Origin::own(false);
                    self.keep_offered(record, origin, now).is_ok()
                }
                Promised::Value(_) => false,
            };
            self.refilling.restored += u64::from(kept);
        }
        self.commit_unwatched();
    }
}
