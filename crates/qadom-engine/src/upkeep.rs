//! What an engine does by itself: refresh buckets that nothing touched, replicate what it holds,
//! forget what has expired (the paper, sections 2.3 and 2.5).
//!
//! What must stay true: a bounded number of background operations is under way, and a holder that
//! was just brought a value by another, or has just compared a slot with another, does not replicate
//! it again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use qadom_routing::{Key, Moment};
use qadom_store::{Container, EntryId};
use qadom_wire::{Kind, MAX_TTL};

use crate::core::{Core, reason_of_store};
use crate::engine::Engine;
use crate::operations::lookup::LookupOperation;
use crate::operations::replication::Replication;
use crate::publications::schedule;
use crate::records::signed::CLOCK_TOLERANCE;
use crate::records::{Held, entry_id};
use crate::time::{Time, jittered};

/// How often stale buckets and expired records are looked for.
const CHECK_EVERY: Duration = Duration::from_mins(1);
/// Entries taken from the store at once.
const PAGE: usize = 64;
/// The pause between two pages in which nothing was due.
const PAGE_EVERY: Duration = Duration::from_millis(1);
/// Slots that are replicated together, when they lie in one region.
const TOGETHER: usize = 64;
/// Slots of which it is remembered when they were compared. Others are compared each time.
const REPLICATED: usize = 65_536;
/// Expired entries removed at once.
const EXPIRED: usize = 1024;

/// The timers of an engine and the work that waits.
#[derive(Debug)]
pub(crate) struct Upkeep {
    check_at: Moment,
    sweep_at: Moment,
    /// Where the sweep through the store stands, while one is under way.
    sweep: Option<Sweep>,
    /// When the next page of the sweep is read, if nothing else leads to it.
    page_at: Option<Moment>,
    refresh: VecDeque<Key>,
}

/// One pass through everything held.
#[derive(Debug, Default)]
struct Sweep {
    after: Option<(Key, EntryId)>,
    due: VecDeque<Container>,
    is_read: bool,
}

/// When slots were last compared with other holders.
#[derive(Debug, Default)]
pub(crate) struct Replicated(BTreeMap<Container, Moment>);

impl Replicated {
    /// Another holder has the same, or was made to have it.
    pub(crate) fn note(&mut self, place: Container, now: Moment) {
        if self.0.len() < REPLICATED || self.0.contains_key(&place) {
            self.0.insert(place, now);
        }
    }

    fn is_due(&self, place: &Container, every: Duration, now: Moment) -> bool {
        self.0.get(place).is_none_or(|at| now.since(*at) >= every)
    }

    fn forget(&mut self, every: Duration, now: Moment) {
        self.0.retain(|_, at| now.since(*at) < every);
    }
}

impl Upkeep {
    pub(crate) fn new(core: &mut Core, now: Time) -> Self {
        let every = core.config.replicate_every;
        Self {
            check_at: now.moment + CHECK_EVERY,
            sweep_at: now.moment + jittered(every, &mut core.rng),
            sweep: None,
            page_at: None,
            refresh: VecDeque::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Moment {
        let timers = self.check_at.min(self.sweep_at);
        self.page_at.map_or(timers, |page_at| timers.min(page_at))
    }
}

impl Engine {
    /// Does what is due and begins as much of what waits as the limit allows.
    pub(crate) fn upkeep(&mut self, now: Time) {
        self.tell_watchers(now);
        if now.moment >= self.upkeep.check_at {
            self.upkeep.check_at = now.moment + CHECK_EVERY;
            self.expire(now);
            let stale = self
                .core
                .table
                .stale_buckets(now.moment, self.core.config.refresh_after);
            self.refresh(&stale);
        }
        if std::mem::take(&mut self.core.is_refresh_wanted) {
            let all = self.core.table.stale_buckets(now.moment, Duration::ZERO);
            self.refresh(&all);
        }
        if now.moment >= self.upkeep.sweep_at {
            let every = self.core.config.replicate_every;
            self.upkeep.sweep_at = now.moment + jittered(every, &mut self.core.rng);
            self.upkeep.sweep.get_or_insert_default();
        }
        self.renew(now);
        self.upkeep.page_at = None;
        while self.background() < self.core.config.limits.background {
            if let Some(target) = self.upkeep.refresh.pop_front() {
                let operation = LookupOperation::new(&self.core, target, now);
                self.start_background(now, Box::new(operation));
            } else if let Some(operation) = self.next_due(now) {
                self.start_background(now, Box::new(operation));
            } else {
                return;
            }
        }
    }

    /// Looks up a random point in each of these buckets, as far as none waits for it already.
    fn refresh(&mut self, buckets: &[u32]) {
        if !self.upkeep.refresh.is_empty() {
            return;
        }
        for bucket in buckets {
            let target = self.core.table.random_target(*bucket, &mut self.core.rng);
            self.upkeep.refresh.push_back(target);
        }
    }

    fn expire(&mut self, now: Time) {
        if !self.core.is_time_known(now) {
            return;
        }
        self.core.promises.signatures.prune(now);
        match self.core.store.expire(now.utc_seconds(), EXPIRED) {
            Ok(removed) if removed >= EXPIRED => self.upkeep.check_at = now.moment,
            Ok(_) => {}
            Err(error) => self.core.drops.count(reason_of_store(&error)),
        }
    }

    /// The next slots that nobody has compared or renewed here since the last round. Reads one page
    /// of the store at the most: the rest of a sweep that finds nothing is left to the next
    /// deadline.
    fn next_due(&mut self, now: Time) -> Option<Replication> {
        if self.core.table.is_empty() {
            self.upkeep.sweep = None;
        }
        let bits = schedule::region_bits(self.core.nodes_nearby());
        let sweep = self.upkeep.sweep.as_mut()?;
        if sweep.due.is_empty() && !sweep.is_read {
            sweep.read(&mut self.core, now);
        }
        if let Some(first) = sweep.due.front() {
            let (_, last) = schedule::region(&first.slot, bits);
            let together = sweep.due.iter().take_while(|place| place.slot <= last);
            let together = together.take(TOGETHER).count();
            return Some(Replication::new(
                sweep.due.drain(..together).collect(),
                bits,
            ));
        }
        if sweep.is_read {
            self.upkeep.sweep = None;
        } else {
            self.upkeep.page_at = Some(now.moment + PAGE_EVERY);
        }
        None
    }
}

impl Sweep {
    /// Reads a page of the store. What lives longer than anything may, since it was taken in while
    /// the time was not known, is dropped.
    fn read(&mut self, core: &mut Core, now: Time) {
        let every = core.config.replicate_every;
        if self.after.is_none() {
            core.replicated.forget(every, now.moment);
        }
        let after = self.after.as_ref().map(|(slot, id)| (slot, id));
        let page = match core.store.scan_keys(&Key::ZERO, &Key::MAX, after, PAGE) {
            Ok(page) => page,
            Err(error) => {
                core.drops.count(reason_of_store(&error));
                Vec::new()
            }
        };
        let mut seen = self
            .after
            .take()
            .map(|(slot, id)| Container::of(&slot, &id));
        let longest = MAX_TTL.as_secs() + 2 * CLOCK_TOLERANCE;
        let clock = core.trusted_time(now);
        let latest = clock.map(|now| now.utc_seconds().saturating_add(longest));
        for entry in &page {
            let place = Container::of(&entry.slot, &entry.id);
            if latest.is_some_and(|latest| entry.columns.expires_at > latest) {
                core.drop_entry(entry);
                continue;
            }
            if seen.replace(place) == Some(place) {
                continue;
            }
            let is_due = if place.first == Kind::Value.number() {
                Held::is_due(entry, every, now)
            } else {
                core.replicated.is_due(&place, every, now.moment)
            };
            if is_due {
                self.due.push_back(place);
            }
        }
        self.is_read = page.len() < PAGE;
        // The rest of a slot that was seen is passed over.
        self.after = page.last().map(|entry| {
            let kind = entry
                .id
                .as_bytes()
                .first()
                .copied()
                .and_then(Kind::from_number);
            let id = kind.map(|kind| entry_id(kind, &Key::MAX));
            (entry.slot, id.unwrap_or_else(|| entry.id.clone()))
        });
    }
}
