//! What the table wants done in the background: contacts to be asked for a sign of life, buckets to
//! be refreshed by a lookup.
//!
//! What must stay true: all this follows from the clock and from what is in the table. What
//! strangers send can add a contact, and never a request.

use alloc::vec::Vec;
use core::time::Duration;

use super::RoutingTable;
use crate::bucket::Entry;
use crate::contact::Contact;
use crate::key::Key;
use crate::moment::Moment;

impl RoutingTable {
    /// Up to `most` contacts that are to be asked for a sign of life, the most overdue first. A
    /// contact is due the later the longer it is known, at `longest` of silence at the latest; the
    /// least recently seen of a bucket in which somebody waits for a place, when nobody of the bucket
    /// was heard from for the shortest interval; a silent one at growing intervals.
    pub fn due_checks(&self, now: Moment, longest: Duration, most: usize) -> Vec<Contact> {
        let (min, max) = (self.config.check_min, self.config.check_max.min(longest));
        let mut due: Vec<(Moment, &Entry)> = Vec::new();
        for bucket in &self.buckets {
            let is_wanted = !bucket.replacements.is_empty();
            let heard_at = bucket.entries.last().map(|latest| latest.last_seen);
            for (position, entry) in bucket.entries.iter().enumerate() {
                let wanted_at = heard_at.filter(|_| is_wanted && position == 0 && entry.is_live());
                let wanted_at = wanted_at.map(|heard_at| heard_at + min);
                let at = entry.check_at(min, max);
                let at = wanted_at.map_or(at, |wanted_at| at.min(wanted_at));
                if at <= now {
                    due.push((at, entry));
                }
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.truncate(most);
        let contacts = due.into_iter().map(|(_, entry)| entry.contact.clone());
        contacts.collect()
    }

    /// Contacts that fell silent within a time and have not been heard from since.
    pub fn fell_silent(&self, within: Duration, now: Moment) -> usize {
        let fell_silent = |entry: &&Entry| {
            let silence = entry.silence;
            silence.is_some_and(|silence| now.since(silence.since) <= within)
        };
        self.held().filter(fell_silent).count()
    }

    /// The buckets beyond the own neighbourhood to be refreshed with a lookup for a
    /// [`random_target`](Self::random_target): those that neither an insertion nor a lookup touched
    /// for `idle` and that hold fewer than `enough` contacts that are not silent. A full bucket
    /// whose contacts are checked has nothing to gain. None while the table is empty.
    pub fn thin_buckets(&self, now: Moment, idle: Duration, enough: usize) -> Vec<u32> {
        if self.is_empty() {
            return Vec::new();
        }
        let is_thin = |index: &usize| {
            let bucket = self.buckets.get(*index);
            bucket.is_some_and(|bucket| bucket.live() < enough) && self.is_idle(*index, idle, now)
        };
        let thin = (0..self.neighbourhood()).filter(is_thin);
        thin.filter_map(|index| u32::try_from(index).ok()).collect()
    }

    /// The bucket whose refresh finds everybody in the own neighbourhood, when neither an insertion
    /// nor a lookup touched it for `idle`; none while the table is empty.
    pub fn idle_neighbourhood(&self, now: Moment, idle: Duration) -> Option<u32> {
        let beyond = self.deepest()? + self.per_level();
        let last = self.buckets.len().saturating_sub(1);
        let own = beyond.min(last);
        let own = Some(own).filter(|own| self.is_idle(*own, idle, now));
        own.and_then(|own| u32::try_from(own).ok())
    }

    fn is_idle(&self, index: usize, idle: Duration, now: Moment) -> bool {
        let bucket = self.buckets.get(index);
        bucket.is_some_and(|bucket| now.since(bucket.touched) >= idle)
    }

    /// Notes that a lookup for `target` ended: it refreshed the target's bucket, and every bucket
    /// of the own neighbourhood when it was one of these.
    pub fn on_lookup(&mut self, target: &Key, now: Moment) {
        let last = self.buckets.len().saturating_sub(1);
        let index = self.index_of(target).map_or(last, |index| index.min(last));
        let near = self.neighbourhood().max(self.deepest().unwrap_or(0) + 1);
        let first = if index >= near { near } else { index };
        let end = if index >= near { last } else { index };
        if let Some(buckets) = self.buckets.get_mut(first..=end) {
            for bucket in buckets {
                bucket.touched = now;
            }
        }
    }

    /// The nearest bucket that holds a contact.
    fn deepest(&self) -> Option<usize> {
        let is_filled = |bucket: &crate::bucket::Bucket| !bucket.entries.is_empty();
        self.buckets.iter().rposition(is_filled)
    }

    /// The first of the buckets that the k nearest contacts fill, all of which one lookup for the
    /// own id finds.
    fn neighbourhood(&self) -> usize {
        let mut nearer = 0;
        for (index, bucket) in self.buckets.iter().enumerate().rev() {
            nearer += bucket.entries.len();
            if nearer > self.config.k {
                return index + 1;
            }
        }
        0
    }
}
