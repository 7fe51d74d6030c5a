//! What an engine does by itself: refresh buckets that nothing touched, replicate what it holds,
//! forget what has expired (the paper, sections 2.3 and 2.5).
//!
//! What must stay true: a bounded number of background operations is under way, and a holder that
//! was just brought a value by another does not replicate it again.

use std::collections::VecDeque;
use std::time::Duration;

use qadom_routing::{Key, Moment};
use qadom_store::EntryId;

use crate::core::{Core, reason_of_store};
use crate::engine::Engine;
use crate::operations::lookup::LookupOperation;
use crate::records::Held;
use crate::time::{Time, jittered};

/// How often stale buckets and expired records are looked for.
const CHECK_EVERY: Duration = Duration::from_mins(1);
/// Entries taken from the store at once.
const PAGE: usize = 64;
/// The pause between two pages in which nothing was due.
const PAGE_EVERY: Duration = Duration::from_millis(1);
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
    due: VecDeque<Held>,
    is_read: bool,
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
            } else if let Some(held) = self.next_due(now) {
                let operation = LookupOperation::replicate(&self.core, held, now);
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

    /// The next value that nobody has renewed here since the last round. Reads one page of the
    /// store at the most: the rest of a sweep that finds nothing is left to the next deadline.
    fn next_due(&mut self, now: Time) -> Option<Held> {
        let every = self.core.config.replicate_every;
        if self.core.table.is_empty() {
            self.upkeep.sweep = None;
        }
        let sweep = self.upkeep.sweep.as_mut()?;
        if sweep.due.is_empty() && !sweep.is_read {
            let after = sweep.after.as_ref().map(|(slot, id)| (slot, id));
            let page = match self
                .core
                .store
                .scan_keys(&Key::ZERO, &Key::MAX, after, PAGE)
            {
                Ok(page) => page,
                Err(error) => {
                    self.core.drops.count(reason_of_store(&error));
                    Vec::new()
                }
            };
            sweep.is_read = page.len() < PAGE;
            sweep.after = page.last().map(|entry| (entry.slot, entry.id.clone()));
            let due = page.iter().filter(|entry| Held::is_due(entry, every, now));
            sweep.due.extend(due.filter_map(Held::from_entry));
        }
        let due = sweep.due.pop_front();
        if due.is_none() && sweep.is_read {
            self.upkeep.sweep = None;
        } else if due.is_none() {
            self.upkeep.page_at = Some(now.moment + PAGE_EVERY);
        }
        due
    }
}
