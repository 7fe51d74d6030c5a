//! One bucket of the routing table: contacts in the order they were last heard from, and the
//! replacements that wait for a place.
//!
//! What must stay true: `entries` and `replacements` run from the least to the most recently heard
//! from, and no node is in both. Memory is taken as contacts come. When a bucket is full, and when
//! a silent contact may go, is decided by the table.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::contact::{Contact, NodeId};
use crate::moment::Moment;

/// Entries grow by this many at a time. Doubling would leave a third of a full bucket unused.
const GROWTH: usize = 4;
/// How long a contact is left alone after its first failure; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_secs(30);
/// Doublings of that time at most.
const DOUBLINGS_MAX: u32 = 7;

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) entries: Vec<Entry>,
    pub(crate) replacements: Vec<Entry>,
    /// The last insertion or lookup.
    pub(crate) touched: Moment,
}

/// A contact of the table with what is known of its life.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) contact: Contact,
    pub(crate) first_seen: Moment,
    pub(crate) last_seen: Moment,
    /// Requests that failed since the contact was last heard from.
    pub(crate) silence: Option<Silence>,
}

/// A contact's silence. A request counts once, however often it is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// When the first of the failures was reported.
    pub(crate) since: Moment,
    /// The latest request that failed.
    pub(crate) request: u64,
    /// Seconds from the first to the latest failure.
    latest_after: u32,
    /// Different requests that failed.
    pub(crate) failures: NonZeroU32,
}

/// What a failed request was for a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One to a node that is no entry.
    Unknown,
    /// The first of a contact since it was heard from, or one that was reported before.
    First,
    /// Another one of a contact that was silent already.
    Further,
}

impl Silence {
    const fn begin(request: u64, now: Moment) -> Self {
        Self {
            since: now,
            request,
            latest_after: 0,
            failures: NonZeroU32::MIN,
        }
    }

    /// Until when the contact is left alone.
    fn rests_until(&self) -> Moment {
        let doublings = (self.failures.get() - 1).min(DOUBLINGS_MAX);
        let latest = self.since + Duration::from_secs(self.latest_after.into());
        latest + BACK_OFF * (1 << doublings)
    }
}

impl Entry {
    pub(crate) const fn new(contact: Contact, first_seen: Moment, now: Moment) -> Self {
        Self {
            contact,
            first_seen,
            last_seen: now,
            silence: None,
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.silence.map_or(0, |silence| silence.failures.get())
    }

    pub(crate) const fn is_live(&self) -> bool {
        self.silence.is_none()
    }

    /// When the contact is to be asked for a sign of life: the longer it is known, the later.
    pub(crate) fn check_at(&self, min: Duration, max: Duration) -> Moment {
        if let Some(silence) = &self.silence {
            return silence.rests_until();
        }
        let age = self.last_seen.since(self.first_seen);
        self.last_seen + (age / 2).clamp(min, max.max(min))
    }
}

impl Bucket {
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            entries: Vec::new(),
            replacements: Vec::new(),
            touched: now,
        }
    }

    pub(crate) fn entry(&self, id: &NodeId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.contact.id() == id)
    }

    pub(crate) fn live(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_live()).count()
    }

    /// Moves a known contact to the end, with its new description; false when it is not known.
    pub(crate) fn refresh(&mut self, contact: &Contact, now: Moment) -> bool {
        let Some(position) = self.position(contact.id()) else {
            return false;
        };
        if let Some(later) = self.entries.get_mut(position..) {
            later.rotate_left(1);
        }
        if let Some(entry) = self.entries.last_mut() {
            *entry = Entry::new(contact.clone(), entry.first_seen, now);
        }
        true
    }

    /// Adds a contact that is in the bucket neither as entry nor as replacement.
    pub(crate) fn insert(&mut self, contact: Contact, now: Moment) {
        self.place(Entry::new(contact, now, now));
        self.touched = now;
    }

    /// Notes since when a contact has been known, if that is longer than noted so far.
    pub(crate) fn known_since(&mut self, id: &NodeId, since: Moment) {
        let mut entries = self.entries.iter_mut();
        if let Some(entry) = entries.find(|entry| entry.contact.id() == id) {
            entry.first_seen = entry.first_seen.min(since);
        }
    }

    /// Lets a contact wait for a place; the one that waits longest gives way beyond `limit`.
    pub(crate) fn queue(&mut self, contact: Contact, now: Moment, limit: usize) {
        if limit == 0 {
            return;
        }
        if self.replacements.len() >= limit {
            self.replacements.remove(0);
        }
        self.replacements.push(Entry::new(contact, now, now));
    }

    /// Gives a replacement a place among the entries: the one heard from last of those that
    /// `is_liked` likes, else of all.
    pub(crate) fn promote(&mut self, is_liked: impl Fn(&Contact) -> bool) -> Option<Contact> {
        let liked = self.replacements.iter();
        let liked = liked.clone().rposition(|entry| is_liked(&entry.contact));
        let position = liked.or_else(|| self.replacements.len().checked_sub(1))?;
        let entry = self.replacements.remove(position);
        let contact = entry.contact.clone();
        self.place(entry);
        Some(contact)
    }

    /// Takes a contact out of the waiting ones.
    pub(crate) fn unqueue(&mut self, id: &NodeId) -> bool {
        let before = self.replacements.len();
        self.replacements
            .retain(|waiting| waiting.contact.id() != id);
        self.replacements.len() < before
    }

    /// Takes a contact out.
    pub(crate) fn remove(&mut self, id: &NodeId) -> bool {
        let Some(position) = self.position(id) else {
            return false;
        };
        self.entries.remove(position);
        true
    }

    /// Notes that a request to a contact failed. When nobody was heard from since the contact's
    /// first failure, this one counts as the first.
    pub(crate) fn note_failure(
        &mut self,
        id: &NodeId,
        request: u64,
        heard_at: Moment,
        now: Moment,
    ) -> Failure {
        let position = self.position(id);
        let Some(entry) = position.and_then(|position| self.entries.get_mut(position)) else {
            return Failure::Unknown;
        };
        match &mut entry.silence {
            Some(silence) if silence.request == request => Failure::First,
            Some(silence) if silence.since < heard_at => {
                silence.request = request;
                silence.failures = silence.failures.saturating_add(1);
                let after = now.since(silence.since).as_secs();
                silence.latest_after = u32::try_from(after).unwrap_or(u32::MAX);
                Failure::Further
            }
            silence => {
                *silence = Some(Silence::begin(request, now));
                Failure::First
            }
        }
    }

    /// Puts an entry where its age belongs.
    fn place(&mut self, entry: Entry) {
        let position = self
            .entries
            .partition_point(|other| other.last_seen <= entry.last_seen);
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        self.entries.insert(position, entry);
    }

    fn position(&self, id: &NodeId) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.contact.id() == id)
    }
}
