//! Serving watchers: leases are given, and what they wait for is read from the store and sent.
//!
//! What must stay true: a batch holds only records that may still be given out, it fits into one
//! message, and its records leave the lease once the watcher has said that it has them, or the
//! lease has ended. This node watches its own slots in the same way, without packets.

use std::time::Duration;

use qadom_routing::{Contact, Key};
use qadom_wire::{
    Answer, BODY_MAX, Cursor, CursorEntry, ITEMS_MAX, Kind, Notify, Reason, Record, Request,
    SignedRecord, Unwatch, Watch, Watched, event_id,
};

use super::heads::Heads;
use super::{Backlog, LEASE, LeaseId, RETRY_AFTER};
use crate::core::{Core, Purpose};
use crate::effect::{Inbound, RequestFailure, RequestId};
use crate::records::{HeldRecord, entry_id, item_of};
use crate::time::Time;
use crate::watch::WatchSlot;

/// Records of a backlog read from the store at once.
const PAGE: usize = 16;
/// Entries of which the highest of each writer are found at once.
const HEADS_PAGE: usize = 256;
/// Pages read for one batch; when they bring nothing that is lacked, the rest waits.
const PAGES: usize = 16;
/// The pause between two reads that brought nothing.
const PAGE_EVERY: Duration = Duration::from_millis(1);
/// What a batch takes beside its records, in bytes, and each record beside its own encoding.
const BATCH_OVERHEAD: usize = 96;
const RECORD_OVERHEAD: usize = 4;

impl Core {
    /// Gives a peer a lease.
    pub(crate) fn serve_watch(&mut self, now: Time, inbound: &Inbound, watch: Watch) -> Answer {
        let refusal = if !inbound.confirmed {
            Some(Reason::NotConfirmed)
        } else if !self.is_storing() {
            Some(Reason::ClientMode)
        } else if self.is_key_blocked(&watch.slot) {
            Some(Reason::Blocked)
        } else {
            None
        };
        let slot = WatchSlot {
            slot: watch.slot,
            kind: watch.kind,
        };
        let watcher = Contact::at(inbound.key, inbound.address, false);
        let granted = match refusal {
            Some(reason) => Err(reason),
            None => self.lease(now, (slot, inbound.key), Some(watcher), watch.since),
        };
        granted.map_or_else(
            |reason| {
                self.drops.count(reason);
                Answer::Refused(reason)
            },
            Answer::Watched,
        )
    }

    /// Ends a peer's lease.
    pub(crate) fn serve_unwatch(&mut self, inbound: &Inbound, unwatch: Unwatch) -> Answer {
        if !inbound.confirmed {
            self.drops.count(Reason::NotConfirmed);
            return Answer::Refused(Reason::NotConfirmed);
        }
        let Unwatch { slot, kind } = unwatch;
        self.watchers.end(&(WatchSlot { slot, kind }, inbound.key));
        Answer::Unwatched
    }

    /// Gives a lease: to a peer at its address, or to this node itself.
    pub(crate) fn lease(
        &mut self,
        now: Time,
        id: LeaseId,
        watcher: Option<Contact>,
        since: Option<Cursor>,
    ) -> Result<Watched, Reason> {
        self.watchers.expire(now.moment);
        let heads = match self.watchers.heads(&id.0) {
            Some(heads) => heads.clone(),
            None => self
                .watchers
                .take_resting(&id.0)
                .unwrap_or_else(|| self.heads_of(&id.0, now)),
        };
        self.watchers
            .grant(id, watcher, since, heads.clone(), now.moment)?;
        Ok(Watched {
            lease_seconds: u32::try_from(LEASE.as_secs()).unwrap_or(u32::MAX),
            cursor: heads,
        })
    }

    /// Sends what can be sent. Called after every input.
    pub(crate) fn push(&mut self, now: Time) {
        if now.moment >= self.watchers.check_at {
            self.watchers.expire(now.moment);
        }
        while let Some(id) = self.watchers.next_ready(now.moment) {
            self.push_to(id, now);
        }
        self.watchers.fresh.clear();
    }

    /// A watcher answered a batch.
    pub(crate) fn on_notified(&mut self, now: Time, request: RequestId, answer: &Answer) {
        match answer {
            Answer::Notified { .. } => self.watchers.on_received(request),
            Answer::Refused(Reason::Busy | Reason::RateLimited) => {
                let retry_at = now.moment + RETRY_AFTER;
                self.watchers.on_lost(request, retry_at, false);
            }
            _ => self.watchers.on_refused(request),
        }
    }

    /// A batch was not answered.
    pub(crate) fn on_notify_failed(
        &mut self,
        now: Time,
        request: RequestId,
        failure: &RequestFailure,
    ) {
        let (pause, is_failure) = match failure {
            RequestFailure::Busy { retry_after } => ((*retry_after).max(RETRY_AFTER), false),
            RequestFailure::Overloaded => (RETRY_AFTER, false),
            _ => (RETRY_AFTER, true),
        };
        self.watchers
            .on_lost(request, now.moment + pause, is_failure);
    }

    fn push_to(&mut self, id: LeaseId, now: Time) {
        let lease = self.watchers.lease(&id);
        let lease = lease.filter(|lease| lease.expires_at > now.moment);
        let Some(lease) = lease else {
            return self.watchers.end(&id);
        };
        let (watcher, resent) = (lease.watcher.clone(), lease.batch.clone());
        let Some(batch) = resent.or_else(|| self.next_batch(&id, now)) else {
            return self.pause_backlog(id, now);
        };
        let Some(contact) = watcher else {
            self.subscriptions.hear(id.1, &batch);
            // What else waits is read once this has been told.
            return self.watchers.pause(id, now.moment + PAGE_EVERY);
        };
        let request = Request::Notify(batch.clone());
        let Some(sent) = self.send(None, Purpose::Notify, &contact, &request) else {
            return self.watchers.end(&id);
        };
        self.watchers.requests.insert(sent, id);
        if let Some(lease) = self.watchers.lease_mut(&id) {
            lease.under_way = Some(sent);
            lease.batch = Some(batch);
        }
    }

    /// Goes on later with a backlog in which nothing was lacking so far.
    fn pause_backlog(&mut self, id: LeaseId, now: Time) {
        let lease = self.watchers.lease(&id);
        if lease.is_some_and(|lease| lease.backlog.is_some()) {
            self.watchers.pause(id, now.moment + PAGE_EVERY);
        }
    }

    /// The next records for a lease: the backlog first, then what came since.
    fn next_batch(&mut self, id: &LeaseId, now: Time) -> Option<Notify> {
        let mut batch = Batch::default();
        self.fill_from_backlog(id, now, &mut batch);
        self.fill_from_queue(id, now, &mut batch);
        let lease = self.watchers.lease_mut(id)?;
        if batch.records.is_empty() && lease.skipped == 0 {
            return None;
        }
        lease.number += 1;
        Some(Notify {
            slot: id.0.slot,
            kind: id.0.kind,
            number: lease.number,
            skipped: std::mem::take(&mut lease.skipped),
            records: batch.records,
        })
    }

    fn fill_from_backlog(&mut self, id: &LeaseId, now: Time, batch: &mut Batch) {
        for _ in 0..PAGES {
            let lease = self.watchers.lease_mut(id);
            let Some(backlog) = lease.and_then(|lease| lease.backlog.take()) else {
                return;
            };
            let page = self.signed_page(&id.0, &backlog.next, PAGE, now);
            let Backlog { since, next } = backlog;
            // Never back, whatever a cursor says.
            let next = match take_page(batch, &since, &page.records) {
                Some(behind) => Some(behind.max(next)),
                None => page.next,
            };
            if let (Some(next), Some(lease)) = (next, self.watchers.lease_mut(id)) {
                lease.backlog = Some(Backlog { since, next });
            }
            if batch.is_full {
                return;
            }
        }
    }

    fn fill_from_queue(&mut self, id: &LeaseId, now: Time, batch: &mut Batch) {
        while !batch.is_full {
            let lease = self.watchers.lease_mut(id);
            let Some(wanted) = lease.and_then(|lease| lease.queue.front().copied()) else {
                return;
            };
            let fresh = self.watchers.fresh.get(&(id.0, wanted)).cloned();
            let record = fresh.or_else(|| self.kept_record(&id.0, &wanted, now));
            if record.is_some_and(|record| !batch.push(&record)) {
                return;
            }
            if let Some(lease) = self.watchers.lease_mut(id) {
                lease.queue.pop_front();
            }
        }
    }

    /// One record of a slot, if it may be given out.
    fn kept_record(&self, slot: &WatchSlot, id: &Key, now: Time) -> Option<SignedRecord> {
        let held = self.held_record(&slot.slot, slot.kind, id).ok()??;
        let clock = self.trusted_time(now);
        let is_alive = clock.is_none_or(|now| held.is_alive(now));
        let may_be_given = is_alive && !self.is_record_blocked(&held.record);
        may_be_given.then(|| held.record.into_inner())
    }

    /// What may be given out among the next `limit` entries of a slot. A store that fails ends it
    /// early; who misses something asks for it.
    fn signed_page(&self, slot: &WatchSlot, from: &Key, limit: usize, now: Time) -> Page {
        let (first, end) = (entry_id(slot.kind, from), entry_id(slot.kind, &Key::MAX));
        let entries = self
            .store
            .scan_slot(&slot.slot, Some(&first), Some(&end), limit + 1);
        let mut entries = entries.unwrap_or_default();
        let behind = entries.get(limit).and_then(|entry| item_of(&entry.id));
        entries.truncate(limit);
        let network = &self.config.network;
        let clock = self.trusted_time(now);
        let held = entries
            .iter()
            .filter_map(|entry| HeldRecord::from_entry(entry, network))
            .filter(|held| clock.is_none_or(|now| held.is_alive(now)))
            .filter(|held| !self.is_record_blocked(&held.record));
        Page {
            records: held.map(|held| held.record.into_inner()).collect(),
            next: behind.map(|(_, id)| id),
        }
    }

    /// The highest of each writer that this node has of a slot, read from what stands beside the
    /// records. A store that fails ends it early; who then misses nothing is sent it twice.
    fn heads_of(&self, slot: &WatchSlot, now: Time) -> Cursor {
        if slot.kind == Kind::NamespaceEntry {
            // There is one at the most.
            let page = self.signed_page(slot, &Key::ZERO, 1, now);
            let heads = page.records.iter();
            let heads = heads.map(|record| CursorEntry {
                tag: record.writer().tag(),
                stream: record.stream(),
                seq: record.seq(),
            });
            return heads.collect();
        }
        let clock = self.trusted_time(now);
        let mut heads = Heads::default();
        let mut next = Some(entry_id(slot.kind, &Key::ZERO));
        let end = entry_id(slot.kind, &Key::MAX);
        while let Some(from) = next {
            let page = self
                .store
                .scan_slot(&slot.slot, Some(&from), Some(&end), HEADS_PAGE + 1);
            let mut page = page.unwrap_or_default();
            next = page.get(HEADS_PAGE).map(|entry| entry.id.clone());
            page.truncate(HEADS_PAGE);
            for entry in &page {
                heads.note(slot.kind, entry, clock);
            }
        }
        heads.into_cursor()
    }
}

/// A part of what is held in a slot.
#[derive(Debug)]
struct Page {
    records: Vec<SignedRecord>,
    /// The first id behind it; none when there is no more.
    next: Option<Key>,
}

/// Takes what the watcher lacks from a page. Gives where the next page begins, if not behind this
/// one: at a record that did not fit, or behind the events that the watcher has seen.
fn take_page(batch: &mut Batch, since: &Cursor, records: &[SignedRecord]) -> Option<Key> {
    for record in records {
        if !since.covers(record) {
            if !batch.push(record) {
                return Some(*record.id());
            }
        } else if record.kind() == Kind::Event {
            let (stream, seq) = since.seen(record.writer())?;
            let last_seen = event_id(record.writer(), stream, seq);
            let is_beyond = records.last().is_some_and(|last| *last.id() < last_seen);
            if is_beyond {
                return Some(last_seen);
            }
        }
    }
    None
}

/// The records of one message, as far as they fit.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<SignedRecord>,
    bytes: usize,
    is_full: bool,
}

impl Batch {
    fn push(&mut self, record: &SignedRecord) -> bool {
        let length = Record::Signed(record.clone()).encoded_length() + RECORD_OVERHEAD;
        let is_over = self.bytes + length + BATCH_OVERHEAD > BODY_MAX;
        if is_over || self.records.len() >= ITEMS_MAX {
            self.is_full = true;
            return false;
        }
        self.bytes += length;
        self.records.push(record.clone());
        true
    }
}
