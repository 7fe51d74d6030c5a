//! What is held of one kind in one slot, as holders compare it: item ids and hashes.
//!
//! What must stay true: a listing names what may be given out now and nothing else. Long ones are
//! remembered until something in their slot changes or ends, and not more of them than fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use qadom_routing::Key;
use qadom_store::{Class, Container, Entry, EntryId, StoreError};
use qadom_wire::{DigestRange, Kind, Position, fingerprint};

use crate::core::Core;
use crate::records::signed::{Summary, is_alive, is_present, seq_of_rank};
use crate::records::{container, entry_id, item_of};
use crate::time::Time;

/// Items from which on a listing is remembered.
const WORTH_REMEMBERING: usize = 64;
/// Items of all listings that are remembered together, each some 80 bytes.
const REMEMBERED: usize = 65_536;
/// Entries taken from the store at once.
const PAGE: usize = 256;

/// One record that is held.
pub(crate) type Listed = (Position, [u8; 32]);

/// The fingerprint of some listed records.
pub(crate) fn fingerprint_of(listed: &[Listed]) -> [u8; 32] {
    let mut hashes: Vec<_> = listed.iter().map(|(_, hash)| *hash).collect();
    fingerprint(&mut hashes)
}

/// The part of a listing that lies in a range.
pub(crate) fn within<'a>(listed: &'a [Listed], range: &DigestRange) -> &'a [Listed] {
    let from = listed.partition_point(|(position, _)| *position < range.start);
    let to = range.end.map_or(listed.len(), |end| {
        listed.partition_point(|(position, _)| *position < end)
    });
    listed.get(from..to).unwrap_or_default()
}

/// Where a slot begins, and where the next one does; there is none behind the last.
pub(crate) fn whole(slot: Key) -> (Position, Option<Position>) {
    (
        Position::first_of(slot),
        next(&slot).map(Position::first_of),
    )
}

/// Whether a range lies in the slot that it begins in.
pub(crate) fn is_in_one_slot(range: &DigestRange) -> bool {
    let slot = range.start.slot;
    match range.end {
        Some(end) => end.slot == slot || Some(end) == whole(slot).1,
        None => slot == Key::MAX,
    }
}

/// The key behind this one.
pub(crate) fn next(key: &Key) -> Option<Key> {
    let mut bytes = *key.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (sum, is_over) = byte.overflowing_add(1);
        *byte = sum;
        if !is_over {
            return Some(Key::from_bytes(bytes));
        }
    }
    None
}

#[derive(Debug)]
struct Remembered {
    listed: Arc<Vec<Listed>>,
    /// When the first of them ends, in seconds of UTC.
    fresh_until: u64,
    is_time_known: bool,
}

/// The listings that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    places: BTreeMap<Container, Remembered>,
    items: usize,
}

impl Listings {
    /// Something in a container changed.
    pub(crate) fn forget(&mut self, place: &Container) {
        if let Some(gone) = self.places.remove(place) {
            self.items = self.items.saturating_sub(gone.listed.len());
        }
    }

    fn remember(&mut self, place: Container, remembered: Remembered) {
        let items = remembered.listed.len();
        if !(WORTH_REMEMBERING..=REMEMBERED).contains(&items) {
            return;
        }
        self.forget(&place);
        if self.items + items > REMEMBERED {
            *self = Self::default();
        }
        self.items += items;
        self.places.insert(place, remembered);
    }
}

impl Core {
    /// What may be given out of one kind in one slot, by item id.
    pub(crate) fn listing(
        &mut self,
        slot: &Key,
        kind: Kind,
        now: Time,
    ) -> Result<Arc<Vec<Listed>>, StoreError> {
        let place = container(slot, kind);
        let is_time_known = self.is_time_known(now);
        let remembered = self.listings.places.get(&place);
        if let Some(found) = remembered.filter(|found| {
            found.is_time_known == is_time_known && now.utc_seconds() < found.fresh_until
        }) {
            return Ok(Arc::clone(&found.listed));
        }
        let mut listed = Vec::new();
        let mut fresh_until = u64::MAX;
        let clock = is_time_known.then_some(now);
        let mut from = Some(entry_id(kind, &Key::ZERO));
        let end = kind.is_signed().then(|| entry_id(kind, &Key::MAX));
        while let Some(first) = from {
            let mut page = self
                .store
                .scan_slot(slot, Some(&first), end.as_ref(), PAGE + 1)?;
            from = page.get(PAGE).map(|next| next.id.clone());
            page.truncate(PAGE);
            for entry in &page {
                if let Some((line, expiry)) = line_of(entry, kind, clock) {
                    listed.push(line);
                    fresh_until = fresh_until.min(expiry);
                }
            }
            if !kind.is_signed() {
                break;
            }
        }
        let listed = Arc::new(listed);
        let remembered = Remembered {
            listed: Arc::clone(&listed),
            fresh_until,
            is_time_known,
        };
        self.listings.remember(place, remembered);
        Ok(listed)
    }

    /// What may be given out of one kind in a range of many slots; none when more than `most`
    /// entries would have to be looked at.
    pub(crate) fn listing_across(
        &self,
        kind: Kind,
        range: &DigestRange,
        most: &mut usize,
        now: Time,
    ) -> Result<Option<Vec<Listed>>, StoreError> {
        let clock = self.trusted_time(now);
        let last = range.end.map_or(Key::MAX, |end| end.slot);
        let mut listed = Vec::new();
        let mut after: Option<(Key, EntryId)> = None;
        loop {
            let behind = after.as_ref().map(|(slot, id)| (slot, id));
            let page = self
                .store
                .scan_keys(&range.start.slot, &last, behind, PAGE)?;
            let Some(left) = most.checked_sub(page.len()) else {
                return Ok(None);
            };
            *most = left;
            let lines = page.iter().filter_map(|entry| line_of(entry, kind, clock));
            let inside = lines.filter(|((position, _), _)| range.contains(position));
            listed.extend(inside.map(|(line, _)| line));
            if page.len() < PAGE {
                return Ok(Some(listed));
            }
            after = page.last().map(|entry| (entry.slot, entry.id.clone()));
        }
    }
}

/// How an entry is listed, and when it ends; `None` when it is of another kind, no more than a copy
/// left on a path, or not to be given out. Without a clock nothing has ended.
fn line_of(entry: &Entry, kind: Kind, clock: Option<Time>) -> Option<(Listed, u64)> {
    let (is, id) = item_of(&entry.id)?;
    if is != kind || entry.columns.class == Class::Cached {
        return None;
    }
    let slot = entry.slot;
    let (hash, expiry, is_over) = if kind.is_signed() {
        let summary = Summary::of(&entry.bytes)?;
        // Of the kinds whose seqs are readings of a clock the rank says the seq.
        let seq = seq_of_rank(entry.columns.rank);
        let may_be_shown = |now| is_alive(summary.expiry, now) && is_present(kind, seq, now);
        let is_over = clock.is_some_and(|now| !may_be_shown(now));
        (summary.hash, summary.expiry, is_over)
    } else {
        let expiry = entry.columns.expires_at;
        let is_over = clock.is_some_and(|now| expiry <= now.utc_seconds());
        (*slot.as_bytes(), expiry, is_over)
    };
    (!is_over).then_some(((Position { slot, id }, hash), expiry))
}
