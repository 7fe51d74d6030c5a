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

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) entries: Vec<Entry>,
    pub(crate) replacements: Vec<Entry>,
    /// The last insertion or lookup.
    pub(crate) touched: Moment,
    /// When the owner was told to ping the least recently seen contact, until that contact answers,
    /// fails or leaves. It stays the first entry for so long.
    check_began: Option<Moment>,
}

/// A contact of the table with what is known of its life.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) contact: Contact,
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
            failures: NonZeroU32::MIN,
        }
    }
}

impl Entry {
    const fn new(contact: Contact, now: Moment) -> Self {
        Self {
            contact,
            last_seen: now,
            silence: None,
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.silence.map_or(0, |silence| silence.failures.get())
    }
}

impl Bucket {
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            entries: Vec::new(),
            replacements: Vec::new(),
            touched: now,
            check_began: None,
        }
    }

    pub(crate) fn entry(&self, id: &NodeId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.contact.id() == id)
    }

    pub(crate) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.entries.iter().map(|entry| &entry.contact)
    }

    /// Moves a known contact to the end, with its new description; false when it is not known.
    pub(crate) fn refresh(&mut self, contact: &Contact, now: Moment) -> bool {
        let Some(position) = self.position(contact.id()) else {
            return false;
        };
        self.end_check_of(position);
        if let Some(later) = self.entries.get_mut(position..) {
            later.rotate_left(1);
        }
        if let Some(entry) = self.entries.last_mut() {
            *entry = Entry::new(contact.clone(), now);
        }
        true
    }

    /// Adds a contact that is in the bucket neither as entry nor as replacement.
    pub(crate) fn insert(&mut self, contact: Contact, now: Moment) {
        self.place(Entry::new(contact, now));
        self.touched = now;
    }

    /// Lets a contact wait for a place; the one that waits longest gives way beyond `limit`.
    pub(crate) fn queue(&mut self, contact: Contact, now: Moment, limit: usize) {
        if limit == 0 {
            return;
        }
        if self.replacements.len() >= limit {
            self.replacements.remove(0);
        }
        self.replacements.push(Entry::new(contact, now));
    }

    /// Gives the replacement heard from last a place among the entries.
    pub(crate) fn promote(&mut self) -> Option<Contact> {
        let entry = self.replacements.pop()?;
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
        self.end_check_of(position);
        self.entries.remove(position);
        true
    }

    /// Notes that a request to a contact failed, and ends its check. When nobody was heard from
    /// since the contact's first failure, this one counts as the first.
    pub(crate) fn note_failure(
        &mut self,
        id: &NodeId,
        request: u64,
        heard_at: Moment,
        now: Moment,
    ) -> Failure {
        let Some(position) = self.position(id) else {
            return Failure::Unknown;
        };
        self.end_check_of(position);
        let Some(entry) = self.entries.get_mut(position) else {
            return Failure::Unknown;
        };
        match &mut entry.silence {
            Some(silence) if silence.request == request => Failure::First,
            Some(silence) if silence.since < heard_at => {
                silence.request = request;
                silence.failures = silence.failures.saturating_add(1);
                Failure::Further
            }
            silence => {
                *silence = Some(Silence::begin(request, now));
                Failure::First
            }
        }
    }

    /// The least recently seen contact, when it is time to find out whether it lives. The same is
    /// not named again before it answers, fails or `after` has passed.
    pub(crate) fn begin_check(&mut self, after: Duration, now: Moment) -> Option<Contact> {
        let first = self.entries.first()?;
        let is_recent = |moment: Moment| now.since(moment) < after;
        let is_fresh = first.silence.is_none() && is_recent(first.last_seen);
        if is_fresh || self.check_began.is_some_and(is_recent) {
            return None;
        }
        self.check_began = Some(now);
        Some(first.contact.clone())
    }

    /// Puts an entry where its age belongs.
    fn place(&mut self, entry: Entry) {
        let position = self
            .entries
            .partition_point(|other| other.last_seen <= entry.last_seen);
        self.end_check_of(position);
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        self.entries.insert(position, entry);
    }

    fn end_check_of(&mut self, position: usize) {
        if position == 0 {
            self.check_began = None;
        }
    }

    fn position(&self, id: &NodeId) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.contact.id() == id)
    }
}
