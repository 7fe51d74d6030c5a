//! What an engine does by itself: fill buckets that lack contacts, ask contacts for signs of life,
//! replicate what it holds and hand it over, forget what has expired (the paper, sections 2.3 and
//! 2.5).
//!
//! What must stay true: a bounded number of background operations is under way, and a holder that
//! was just brought a value by another, or has just compared a slot with another, does not replicate
//! it again. What is handed over to whom lies in `upkeep/hand_over.rs`.

mod hand_over;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use qadom_routing::{KEY_LENGTH, Key, Moment};
use qadom_store::{Container, EntryId};
use qadom_wire::{K, Kind, MAX_TTL};
use rand_core::Rng;

pub(crate) use hand_over::Leaving;

use crate::core::{Core, reason_of_store};
use crate::engine::Engine;
use crate::ledger::Cause;
use crate::network::Effort;
use crate::operations::join::JoinOperation;
use crate::operations::lookup::LookupOperation;
use crate::operations::replication::Replication;
use crate::publications::schedule;
use crate::records::signed::CLOCK_TOLERANCE;
use crate::records::{Held, entry_id};
use crate::time::{Time, jittered};
use hand_over::HandOver;

/// How often it is looked what is due.
const CHECK_EVERY: Duration = Duration::from_mins(1);
/// Contacts that are asked for a sign of life at once, at the least; a fifth of the table else.
const CHECKS: usize = 8;
/// How many contacts a lookup looks for that fills a bucket or looks after the neighbourhood, each
/// time round another point of it; the rest comes by.
const FEW: usize = 8;
/// Contacts with which a bucket is filled well enough after a join.
const ENOUGH: usize = 10;
/// Contacts below which an idle bucket is refreshed. Its contacts are checked, and those that wait for a
/// place take the places of the dead: the paper's refresh of every idle bucket would find little else.
const THIN: usize = 15;
/// The first buckets, whose lookups tell of the size of the network too: nodes cannot crowd what covers
/// an eighth of the key space or more.
const WIDE: u32 = 3;
/// A node that comes back waits up to this long before it fills its buckets, so that all nodes of a
/// network that come back at once do not do it at once.
const RETURN_WITHIN: Duration = Duration::from_secs(30);
/// A lookup for the size of the network comes so much sooner than a refresh as long as there was none.
const SAMPLES_SOONER: u32 = 6;
/// With each that there was the next one comes that much later, up to so many times: each opens two dozen sessions with
/// strangers. When the neighbourhood tells of another size, one comes at once.
const SAMPLES_LATER: u32 = 4;
/// How often what is held is looked through in the time after which it is due: whoever is the last to
/// hold something may not wait for long when it is.
const SWEEPS: u32 = 4;
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
    sample_at: Moment,
    swept_at: Moment,
    /// The interval of sweeps times this is what lies between two of them, so that nodes do not act
    /// in step.
    sweep_factor: f64,
    /// Where the sweep through the store stands, while one is under way.
    sweep: Option<Sweep>,
    /// When the next page of the sweep is read, if nothing else leads to it.
    page_at: Option<Moment>,
    lookups: VecDeque<Refresh>,
    hand_overs: VecDeque<HandOver>,
}

/// A lookup that waits.
#[derive(Clone, Copy, Debug)]
enum Refresh {
    /// For a random point of a bucket, as long as the bucket has fewer live contacts than this.
    Bucket {
        bucket: u32,
        enough: usize,
        effort: Effort,
    },
    /// For everybody near the own id.
    Neighbourhood(u32),
    /// For a random key.
    Sample,
}

/// One pass through everything held.
#[derive(Debug, Default)]
struct Sweep {
    after: Option<(Key, EntryId)>,
    /// What is due, and what would be soon: it goes along where something in its region is due, since to
    /// find the holders costs more than to ask them for more.
    ripe: VecDeque<(Container, bool)>,
    is_read: bool,
    /// Whether everything is due, since this node leaves.
    is_leaving: bool,
}

/// When slots were last compared with other holders.
#[derive(Debug, Default)]
pub(crate) struct Replicated(BTreeMap<Container, Moment>);

impl Replicated {
    /// Other holders were compared with what is here, or brought it, as far as they took part.
    pub(crate) fn note(&mut self, place: Container, now: Moment) {
        if self.0.len() < REPLICATED || self.0.contains_key(&place) {
            self.0.insert(place, now);
        }
    }

    /// Something new is here; whoever brought it brings it to others too.
    pub(crate) fn note_new(&mut self, place: Container, now: Moment) {
        if !self.0.contains_key(&place) {
            self.note(place, now);
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
        let first = CHECK_EVERY.mul_f64(f64::from(core.rng.next_u32()) / f64::from(u32::MAX));
        Self {
            check_at: now.moment + first,
            sample_at: now.moment,
            swept_at: now.moment,
            sweep_factor: factor(&mut core.rng),
            sweep: None,
            page_at: None,
            lookups: VecDeque::new(),
            hand_overs: VecDeque::new(),
        }
    }

    pub(crate) fn next_deadline(&self, core: &Core) -> Moment {
        let timers = self.check_at.min(self.sweep_at(core));
        let leaving = core.leaving.as_ref();
        let leaving = leaving.and_then(Leaving::given_up_at);
        let others = [self.page_at, core.refresh_wanted, leaving];
        others.into_iter().flatten().fold(timers, Moment::min)
    }

    fn sweep_at(&self, core: &Core) -> Moment {
        self.swept_at + (core.replicate_every() / SWEEPS).mul_f64(self.sweep_factor)
    }
}

/// A factor by which an interval is shorter or longer.
fn factor(rng: &mut impl Rng) -> f64 {
    jittered(Duration::from_secs(1), rng).as_secs_f64()
}

impl Core {
    /// How often what is held is replicated now.
    pub(crate) fn replicate_every(&self) -> Duration {
        let fixed = self.config.replicate_every;
        fixed.unwrap_or_else(|| self.churn.replicate_every())
    }

    /// Has the buckets filled that are not, now that a join has ended; a little later when this node
    /// comes back to where it was.
    pub(crate) fn want_refresh(&mut self, is_return: bool, now: Time) {
        let share = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        let wait = if is_return {
            RETURN_WITHIN.mul_f64(share)
        } else {
            Duration::ZERO
        };
        self.refresh_wanted = Some(now.moment + wait);
    }
}

impl Engine {
    /// Does what is due and begins as much of what waits as the limit allows.
    pub(crate) fn upkeep(&mut self, now: Time) {
        self.tell_watchers(now);
        if now.moment >= self.upkeep.check_at {
            self.upkeep.check_at = now.moment + CHECK_EVERY;
            self.core.ledger.tick(now.moment);
            let live = self.core.table.live();
            self.core.churn.tick(live, now.moment);
            self.expire(now);
            if let Some(after) = self.core.config.refresh_after {
                self.revalidate(now);
                self.ask_lost(now);
                self.refresh(after, now);
            }
            self.find_hand_overs(now);
        }
        if self.core.refresh_wanted.is_some_and(|at| at <= now.moment) {
            self.core.refresh_wanted = None;
            self.fill(now);
            self.core.refilling.on_joined(now.moment);
        }
        self.go_on_refilling(now);
        if now.moment >= self.upkeep.sweep_at(&self.core) {
            self.upkeep.swept_at = now.moment;
            self.upkeep.sweep_factor = factor(&mut self.core.rng);
            self.upkeep.sweep.get_or_insert_default();
        }
        self.begin_leaving();
        self.renew(now);
        self.upkeep.page_at = None;
        while self.background() < self.core.config.limits.background {
            if let Some(lookup) = self.next_lookup(now) {
                self.start_background(now, Box::new(lookup));
            } else if let Some(handing) = self.next_hand_over() {
                self.start_background(now, Box::new(handing));
            } else if let Some(operation) = self.next_due(now) {
                let operation = self.start_background(now, Box::new(operation));
                self.note_leaving(operation);
            } else {
                break;
            }
        }
        self.end_leaving(now);
    }

    /// Asks contacts for a sign of life that have been silent for long.
    fn revalidate(&mut self, now: Time) {
        let core = &mut self.core;
        let live = core.table.live();
        let silent = core.table.fell_silent(10 * CHECK_EVERY, now.moment);
        let longest = core.churn.check_every(live, silent);
        let most = CHECKS.max(core.table.len() / 5);
        for contact in core.table.due_checks(now.moment, longest, most) {
            core.ping(None, &contact);
        }
    }

    /// Asks a contact that was lost whether it is back, and joins by it when it is.
    fn ask_lost(&mut self, now: Time) {
        let Some(contact) = self.core.lost.next_due(now.moment) else {
            return;
        };
        if self.core.is_contact_blocked(&contact) {
            self.core.lost.take(contact.id());
        } else if self.background() < self.core.config.limits.background {
            let joining = JoinOperation::new(Vec::new(), vec![contact]);
            self.start_background(now, Box::new(joining));
        }
    }

    /// Has one bucket filled that lacks contacts, the neighbourhood looked after, and the size of
    /// the network estimated, each when it is time.
    fn refresh(&mut self, after: Duration, now: Time) {
        if !self.upkeep.lookups.is_empty() || self.core.table.is_empty() {
            return;
        }
        let core = &mut self.core;
        let (moment, idle) = (now.moment, jittered(after, &mut core.rng));
        let thin = core.table.thin_buckets(moment, idle, THIN);
        // One at a time, so that what became due together is spread.
        let chosen = thin.get(below(thin.len(), &mut core.rng)).copied();
        let bucket = chosen.map(|bucket| Refresh::Bucket {
            bucket,
            enough: THIN,
            effort: Effort::few(FEW),
        });
        let near = core.table.idle_neighbourhood(moment, idle);
        let near = near.map(Refresh::Neighbourhood);
        self.upkeep.lookups.extend(bucket.into_iter().chain(near));
        let is_due = moment >= self.upkeep.sample_at;
        if is_due || (self.core.table.len() >= K && self.core.is_outgrown()) {
            self.sample(now);
        }
    }

    /// Has the size of the network estimated by one more lookup.
    fn sample(&mut self, now: Time) {
        let Some(after) = self.core.config.refresh_after else {
            return;
        };
        // None also in a network of a few nodes: all of them cost little, and more may come at any time.
        let lookups = self.core.network.size.found() / K;
        let after = match u32::try_from(lookups) {
            Ok(0) => after / SAMPLES_SOONER,
            lookups => after.saturating_mul(lookups.unwrap_or(SAMPLES_LATER).min(SAMPLES_LATER)),
        };
        self.upkeep.sample_at = now.moment + jittered(after, &mut self.core.rng);
        self.upkeep.lookups.push_back(Refresh::Sample);
    }

    /// Has all buckets filled that lack contacts: a join has ended. The lookup for the own id has
    /// found the neighbourhood.
    fn fill(&mut self, now: Time) {
        self.upkeep.lookups.clear();
        if self.core.config.refresh_after.is_none() {
            return;
        }
        self.sample(now);
        let thin = self
            .core
            .table
            .thin_buckets(now.moment, Duration::ZERO, ENOUGH);
        let thin = thin.into_iter().map(|bucket| Refresh::Bucket {
            bucket,
            enough: ENOUGH,
            effort: Effort::few(FEW),
        });
        self.upkeep.lookups.extend(thin);
    }

    /// The next lookup that waits and is still needed.
    fn next_lookup(&mut self, now: Time) -> Option<LookupOperation> {
        let core = &mut self.core;
        loop {
            let (target, effort, cause, samples) = match self.upkeep.lookups.pop_front()? {
                Refresh::Bucket {
                    bucket,
                    enough,
                    effort,
                } => {
                    let thin = core.table.thin_buckets(now.moment, Duration::ZERO, enough);
                    if !thin.contains(&bucket) {
                        continue;
                    }
                    let target = core.table.random_target(bucket, &mut core.rng);
                    (target, effort, Cause::Refresh, bucket < WIDE)
                }
                Refresh::Neighbourhood(bucket) => {
                    let target = core.table.random_target(bucket, &mut core.rng);
                    (target, Effort::few(FEW), Cause::Refresh, false)
                }
                Refresh::Sample => {
                    let mut bytes = [0; KEY_LENGTH];
                    core.rng.fill_bytes(&mut bytes);
                    (Key::from_bytes(bytes), Effort::PLAIN, Cause::Estimate, true)
                }
            };
            let lookup = LookupOperation::with(core, target, effort, cause, now);
            return Some(if samples {
                lookup.sampling(effort.k)
            } else {
                lookup
            });
        }
    }

    fn expire(&mut self, now: Time) {
        if !self.core.is_time_known(now) {
            return;
        }
        self.core.promises.signatures.prune(now);
        match self.core.store.expire(now.utc_seconds(), EXPIRED) {
            Ok(0) => {}
            Ok(removed) => {
                // Removals that nobody commits would take their space from the next write at once.
                self.core.commit_unwatched();
                if removed >= EXPIRED {
                    self.upkeep.check_at = now.moment;
                }
            }
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
        let every = self.core.replicate_every();
        let bits = schedule::region_bits(self.core.nodes_nearby());
        let sweep = self.upkeep.sweep.as_mut()?;
        if sweep.ripe.is_empty() && !sweep.is_read {
            sweep.read(&mut self.core, every, now);
        }
        while let Some((first, _)) = sweep.ripe.front() {
            let (_, last) = schedule::region(&first.slot, bits);
            let together = sweep
                .ripe
                .iter()
                .take_while(|(place, _)| place.slot <= last);
            let together = together.take(TOGETHER).count();
            let (places, is_due): (Vec<_>, Vec<_>) = sweep.ripe.drain(..together).unzip();
            if !is_due.contains(&true) {
                continue;
            }
            return Some(if sweep.is_leaving {
                Replication::leaving(places, bits)
            } else {
                Replication::new(places, bits)
            });
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
    fn read(&mut self, core: &mut Core, every: Duration, now: Time) {
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
            let every = if self.is_leaving {
                Duration::ZERO
            } else {
                every
            };
            let is_value = place.first == Kind::Value.number();
            let has_waited = |time| {
                core.replicated.is_due(&place, time, now.moment)
                    && (!is_value || Held::is_due(entry, time, now))
            };
            if has_waited(every / 2) {
                self.ripe.push_back((place, has_waited(every)));
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

/// A number below `end`, 0 when that is 0.
fn below(end: usize, rng: &mut impl Rng) -> usize {
    let number = usize::try_from(rng.next_u32()).unwrap_or(0);
    number.checked_rem(end).unwrap_or(0)
}
