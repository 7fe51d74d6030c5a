//! The leases that others hold on slots of this node, and what is to be pushed to them.
//!
//! What must stay true: the limits on leases hold, each lease has one batch under way at the most,
//! and what a lease waits for is bounded: record ids in a queue, or a place in the store that the
//! backlog is read from. This table reads no store and sends nothing; `watchers/push.rs` does.

mod heads;
mod push;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use qadom_routing::{Contact, Key, Moment, NodeKey};
use qadom_wire::{Cursor, CursorEntry, Kind, Notify, Reason, SignedRecord};

use crate::effect::RequestId;
use crate::watch::WatchSlot;

/// How long a lease runs.
pub(crate) const LEASE: Duration = Duration::from_mins(10);
/// Watchers of one slot, a count.
const SLOT_WATCHERS_MAX: usize = 1024;
/// Slots that one node watches here, a count.
const WATCHER_SLOTS_MAX: usize = 64;
/// Slots without a watcher of which it is still known what this node has, a count; each takes 8 KiB
/// at the most.
const RESTING_MAX: usize = 64;
/// Records that wait for one lease, a count; above it the oldest are dropped.
const QUEUE_MAX: usize = 1024;
/// Batches in a row that may fail before a lease is given up.
const FAILURES_MAX: u32 = 3;
/// The pause after a batch that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Which lease: what is watched, and who watches.
pub(crate) type LeaseId = (WatchSlot, NodeKey);

/// What a lease still needs from the store.
#[derive(Clone, Debug)]
struct Backlog {
    since: Cursor,
    /// The first id that was not looked at.
    next: Key,
}

/// One watcher of one slot.
#[derive(Debug)]
struct Lease {
    /// Where the watcher is reached; none when it is this node.
    watcher: Option<Contact>,
    expires_at: Moment,
    backlog: Option<Backlog>,
    queue: VecDeque<Key>,
    /// Records dropped from the queue that no batch has told of.
    skipped: u64,
    /// The number of the last batch.
    number: u64,
    /// The last batch, until the watcher has it.
    batch: Option<Notify>,
    under_way: Option<RequestId>,
    /// When a batch that failed, or a backlog that is long, is gone on with.
    paused_until: Option<Moment>,
    failures: u32,
}

impl Lease {
    const fn new(expires_at: Moment) -> Self {
        Self {
            watcher: None,
            expires_at,
            backlog: None,
            queue: VecDeque::new(),
            skipped: 0,
            number: 0,
            batch: None,
            under_way: None,
            paused_until: None,
            failures: 0,
        }
    }

    /// Whether the backlog will come to this event by itself, or the watcher has seen it.
    fn is_ahead(&self, kind: Kind, record: &SignedRecord) -> bool {
        let backlog = self.backlog.as_ref().filter(|_| kind == Kind::Event);
        backlog.is_some_and(|backlog| *record.id() >= backlog.next || backlog.since.covers(record))
    }

    fn queue(&mut self, id: Key) {
        if self.queue.len() >= QUEUE_MAX {
            self.queue.pop_front();
            self.skipped = self.skipped.saturating_add(1);
        }
        self.queue.push_back(id);
    }

    /// Whether there is something to send now.
    fn is_ready(&self) -> bool {
        let has_work = self.batch.is_some() || self.backlog.is_some() || !self.queue.is_empty();
        has_work && self.under_way.is_none() && self.paused_until.is_none()
    }
}

/// The watchers of one slot.
#[derive(Debug)]
struct Watched {
    /// What this node has, per writer.
    heads: Cursor,
    leases: BTreeMap<NodeKey, Lease>,
}

/// Every lease of this node.
#[derive(Debug)]
pub(crate) struct Watchers {
    limit: usize,
    slots: BTreeMap<WatchSlot, Watched>,
    /// How many slots each watcher has.
    watching: BTreeMap<NodeKey, usize>,
    count: usize,
    /// Leases for which something is to be done at once.
    ready: BTreeSet<LeaseId>,
    /// Leases for which something is to be done later.
    later: BTreeSet<(Moment, LeaseId)>,
    requests: BTreeMap<RequestId, LeaseId>,
    /// What this node has, per writer, of slots that were watched until a while ago: whoever watches
    /// and lets go again and again costs no reading each time.
    resting: VecDeque<(WatchSlot, Cursor)>,
    /// Records that were kept since the last push, so that many watchers of one cost one read.
    fresh: BTreeMap<(WatchSlot, Key), SignedRecord>,
    /// When leases are next looked at whose time is over.
    check_at: Moment,
}

impl Watchers {
    pub(crate) fn new(limit: usize, now: Moment) -> Self {
        Self {
            limit,
            slots: BTreeMap::new(),
            watching: BTreeMap::new(),
            count: 0,
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            requests: BTreeMap::new(),
            resting: VecDeque::new(),
            fresh: BTreeMap::new(),
            check_at: now + LEASE,
        }
    }

    /// Leases, a count.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Slots with a watcher, a count.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What this node has of a slot that is watched.
    fn heads(&self, slot: &WatchSlot) -> Option<&Cursor> {
        self.slots.get(slot).map(|watched| &watched.heads)
    }

    /// What this node has of a slot that was watched until a while ago.
    fn take_resting(&mut self, slot: &WatchSlot) -> Option<Cursor> {
        let place = self
            .resting
            .iter()
            .position(|(resting, _)| resting == slot)?;
        self.resting.remove(place).map(|(_, heads)| heads)
    }

    /// Gives or renews a lease. With a cursor everything that it lacks comes first. `heads` says
    /// what this node has, for a slot that nobody watched.
    ///
    /// A renewal does not take away what an earlier cursor still waits for: several programs on
    /// one node share its lease.
    fn grant(
        &mut self,
        id: LeaseId,
        watcher: Option<Contact>,
        since: Option<Cursor>,
        heads: Cursor,
        now: Moment,
    ) -> Result<(), Reason> {
        let (slot, key) = id;
        let place = self.slots.get(&slot);
        if place.is_none_or(|place| !place.leases.contains_key(&key)) {
            let watching = self.watching.get(&key).copied().unwrap_or(0);
            let crowd = place.map_or(0, |place| place.leases.len());
            if self.count >= self.limit
                || crowd >= SLOT_WATCHERS_MAX
                || watching >= WATCHER_SLOTS_MAX
            {
                return Err(Reason::Busy);
            }
            self.count += 1;
            self.watching.insert(key, watching + 1);
        }
        let leases = BTreeMap::new();
        let place = self.slots.entry(slot).or_insert(Watched { heads, leases });
        let expires_at = now + LEASE;
        let lease = place.leases.entry(key);
        let lease = lease.or_insert_with(|| Lease::new(expires_at));
        lease.watcher = watcher;
        lease.expires_at = expires_at;
        if let Some(since) = since {
            let since = match lease.backlog.take() {
                Some(former) => meet(&former.since, &since),
                None => since,
            };
            if !covers_all(&since, &place.heads) {
                let next = Key::ZERO;
                lease.backlog = Some(Backlog { since, next });
            }
        }
        self.stir(id);
        Ok(())
    }

    /// Ends a lease, if there is one.
    pub(crate) fn end(&mut self, id: &LeaseId) {
        let Some(watched) = self.slots.get_mut(&id.0) else {
            return;
        };
        let Some(lease) = watched.leases.remove(&id.1) else {
            return;
        };
        if watched.leases.is_empty()
            && let Some(watched) = self.slots.remove(&id.0)
        {
            self.resting.truncate(RESTING_MAX - 1);
            self.resting.push_front((id.0, watched.heads));
        }
        self.count -= 1;
        if let Some(watching) = self.watching.get_mut(&id.1) {
            *watching -= 1;
            if *watching == 0 {
                self.watching.remove(&id.1);
            }
        }
        self.ready.remove(id);
        if let Some(until) = lease.paused_until {
            self.later.remove(&(until, *id));
        }
        if let Some(request) = lease.under_way {
            self.requests.remove(&request);
        }
    }

    /// A record was kept that is new here, or newer than what was: whoever watches its slot is to
    /// have it.
    pub(crate) fn on_kept(&mut self, record: &SignedRecord) {
        let (slot, kind) = (*record.slot(), record.kind());
        let slot = WatchSlot { slot, kind };
        let Some(watched) = self.slots.get_mut(&slot) else {
            let mut resting = self.resting.iter_mut();
            if let Some((_, heads)) = resting.find(|(resting, _)| *resting == slot) {
                heads.note(record.writer(), record.stream(), record.seq());
            }
            return;
        };
        let Watched { heads, leases } = watched;
        heads.note(record.writer(), record.stream(), record.seq());
        let id = *record.id();
        for (watcher, lease) in leases {
            if !lease.is_ahead(kind, record) {
                lease.queue(id);
            }
            if lease.is_ready() {
                self.ready.insert((slot, *watcher));
            }
        }
        self.fresh.insert((slot, id), record.clone());
    }

    /// Ends the leases whose time is over.
    fn expire(&mut self, now: Moment) {
        self.check_at = now + LEASE / 10;
        let over = self.slots.iter().flat_map(|(slot, watched)| {
            let over = watched.leases.iter();
            let over = over.filter(|(_, lease)| lease.expires_at <= now);
            over.map(|(watcher, _)| (*slot, *watcher))
        });
        for id in over.collect::<Vec<_>>() {
            self.end(&id);
        }
    }

    /// When something is to be done.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let later = self.later.first().map(|(at, _)| *at);
        let check = (self.count > 0).then_some(self.check_at);
        [later, check].into_iter().flatten().min()
    }

    /// The next lease that something is to be done for now.
    fn next_ready(&mut self, now: Moment) -> Option<LeaseId> {
        while let Some((_, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.pop_first();
            if let Some(lease) = self.lease_mut(&id) {
                lease.paused_until = None;
                self.stir(id);
            }
        }
        self.ready.pop_first()
    }

    /// Has a lease looked at, if there is something to do for it.
    fn stir(&mut self, id: LeaseId) {
        let lease = self.lease(&id);
        if lease.is_some_and(Lease::is_ready) {
            self.ready.insert(id);
        }
    }

    fn lease(&self, id: &LeaseId) -> Option<&Lease> {
        self.slots.get(&id.0)?.leases.get(&id.1)
    }

    fn lease_mut(&mut self, id: &LeaseId) -> Option<&mut Lease> {
        self.slots.get_mut(&id.0)?.leases.get_mut(&id.1)
    }

    /// The request that carried a lease's last batch, if it is still the one that is waited for.
    fn take_request(&mut self, request: RequestId) -> Option<(LeaseId, &mut Lease)> {
        let id = self.requests.remove(&request)?;
        let lease = self.lease_mut(&id)?;
        lease.under_way.take_if(|under_way| *under_way == request)?;
        Some((id, lease))
    }

    /// The watcher has a batch.
    fn on_received(&mut self, request: RequestId) {
        if let Some((id, lease)) = self.take_request(request) {
            lease.batch = None;
            lease.failures = 0;
            self.stir(id);
        }
    }

    /// A batch did not arrive; it is sent once more, unless that happened too often.
    fn on_lost(&mut self, request: RequestId, retry_at: Moment, is_failure: bool) {
        let Some((id, lease)) = self.take_request(request) else {
            return;
        };
        lease.failures += u32::from(is_failure);
        if lease.failures < FAILURES_MAX {
            self.pause(id, retry_at);
        } else {
            self.end(&id);
        }
    }

    /// The watcher wants no more of this.
    fn on_refused(&mut self, request: RequestId) {
        if let Some((id, _)) = self.take_request(request) {
            self.end(&id);
        }
    }

    fn pause(&mut self, id: LeaseId, until: Moment) {
        if let Some(lease) = self.lease_mut(&id) {
            lease.paused_until = Some(until);
            self.later.insert((until, id));
        }
    }
}

/// What both cursors have seen.
fn meet(one: &Cursor, other: &Cursor) -> Cursor {
    let entries = one.entries().filter_map(|entry| {
        let their = other.entries().find(|their| their.tag == entry.tag)?;
        let (stream, seq) = (entry.stream, entry.seq).min((their.stream, their.seq));
        Some(CursorEntry {
            stream,
            seq,
            ..entry
        })
    });
    entries.collect()
}

/// Whether a cursor has seen all that `heads` names, and that is all there is.
fn covers_all(since: &Cursor, heads: &Cursor) -> bool {
    let mut merged = since.clone();
    merged.merge(heads);
    heads.len() < qadom_wire::CURSOR_WRITERS_MAX && merged == *since
}

#[cfg(test)]
mod tests;
