//! The union of what holders have under a slot.
//!
//! What must stay true: every record in it carries a good signature of this network, belongs to
//! the slot, the kind and the range that were asked for, and is the largest of its identity that
//! anybody showed; what has expired or lies in the future never enters.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use qadom_routing::Key;
use qadom_wire::{
    IdRange, Kind, MAX_TTL, NetworkId, Reason, Relation, SignedRecord, Verified, fingerprint,
    relation,
};

use super::ranges;
use crate::operation::Source;
use crate::time::Time;

/// How far the wall clocks of two nodes may differ, in seconds.
const CLOCK_TOLERANCE: u64 = 3600;
/// Records of one union: four times what a holder keeps of a bag.
const RECORDS_MAX: usize = 4 * 16_384;

/// What is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: Key,
    pub(crate) kind: Kind,
    /// The part of the slot; none stands for all of it.
    pub(crate) range: Option<IdRange>,
}

impl Place {
    pub(crate) fn ids(&self) -> IdRange {
        self.range.unwrap_or_else(ranges::everything)
    }
}

/// A record with the node that showed it first.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) record: Verified,
    pub(crate) source: Source,
    /// The address of that node; none for this one.
    pub(crate) address: Option<IpAddr>,
}

/// What became of a record that somebody showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is new here, or larger than what was.
    Added,
    /// It is here already.
    Same,
    /// A larger one is here.
    Lower,
}

/// Records by id.
#[derive(Debug)]
pub(crate) struct Union {
    place: Place,
    network: NetworkId,
    records: BTreeMap<Key, Shown>,
    /// Counts changes.
    version: u64,
    has_conflict: bool,
    /// What was taken in since it was handed out; none when nobody wants it before the end.
    fresh: Option<Vec<Verified>>,
}

impl Union {
    pub(crate) const fn new(place: Place, network: NetworkId) -> Self {
        Self {
            place,
            network,
            records: BTreeMap::new(),
            version: 0,
            has_conflict: false,
            fresh: None,
        }
    }

    /// From now on [`take_fresh`](Self::take_fresh) hands records out, those that are here first.
    pub(crate) fn hand_out(&mut self) {
        let shown = self.records.values().map(|shown| &shown.record);
        let items = shown.filter(|record| !record.is_tombstone());
        self.fresh = Some(items.cloned().collect());
    }

    /// What was taken in since the last time, in its order: items, and tombstones in the place of
    /// an item that was here.
    pub(crate) fn take_fresh(&mut self) -> Vec<Verified> {
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether two different payloads with the same seq were seen.
    pub(crate) const fn has_conflict(&self) -> bool {
        self.has_conflict
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX
    }

    pub(crate) fn get(&self, id: &Key) -> Option<&Shown> {
        self.records.get(id)
    }

    /// Every record with its id, tombstones among them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Shown)> {
        self.records.iter()
    }

    /// The ids and hashes in a range, ascending by id.
    pub(crate) fn hashes(&self, range: &IdRange) -> impl Iterator<Item = (Key, [u8; 32])> {
        let end = range.end().copied();
        self.records
            .range(*range.start()..)
            .take_while(move |(id, _)| end.is_none_or(|end| **id < end))
            .map(|(id, shown)| (*id, *shown.record.hash()))
    }

    pub(crate) fn fingerprint(&self, range: &IdRange) -> [u8; 32] {
        let mut hashes: Vec<[u8; 32]> = self.hashes(range).map(|(_, hash)| hash).collect();
        fingerprint(&mut hashes)
    }

    /// Takes what a node showed. The wall clock is none while it cannot be trusted.
    ///
    /// # Errors
    ///
    /// The reason for which the record is dropped; `bad-signature` and `weak-key` are lies.
    pub(crate) fn take(
        &mut self,
        record: SignedRecord,
        (source, address): (Source, Option<IpAddr>),
        clock: Option<Time>,
    ) -> Result<Taken, Reason> {
        let id = *record.id();
        let is_asked_for = record.kind() == self.place.kind
            && record.slot() == &self.place.slot
            && ranges::contains(&self.place.ids(), &id);
        if !is_asked_for {
            return Err(Reason::Malformed);
        }
        if let Some(clock) = clock {
            is_timely(&record, clock)?;
        }
        let is_full = self.is_full();
        match self.records.entry(id) {
            Entry::Vacant(_) if is_full => Err(Reason::Quota),
            Entry::Vacant(place) => {
                let record = verified(record, &self.network)?;
                if let Some(fresh) = self.fresh.as_mut().filter(|_| !record.is_tombstone()) {
                    fresh.push(record.clone());
                }
                place.insert(Shown {
                    record,
                    source,
                    address,
                });
                self.version += 1;
                Ok(Taken::Added)
            }
            Entry::Occupied(mut held) => {
                let (wins, is_conflict) = match relation(&held.get().record, &record) {
                    Relation::Same => return Ok(Taken::Same),
                    Relation::Stale => return Ok(Taken::Lower),
                    Relation::Newer | Relation::Renewal => (true, false),
                    Relation::Conflict { wins } => (wins, true),
                };
                let record = verified(record, &self.network)?;
                self.has_conflict |= is_conflict;
                if !wins {
                    return Ok(Taken::Lower);
                }
                let is_news = !(record.is_tombstone() && held.get().record.is_tombstone());
                if let Some(fresh) = self.fresh.as_mut().filter(|_| is_news) {
                    fresh.push(record.clone());
                }
                held.insert(Shown {
                    record,
                    source,
                    address,
                });
                self.version += 1;
                Ok(Taken::Added)
            }
        }
    }

    /// Takes what this node itself holds.
    pub(crate) fn take_own(&mut self, record: Verified) {
        self.version += 1;
        let shown = Shown {
            record,
            source: Source::Local,
            address: None,
        };
        self.records.insert(*shown.record.id(), shown);
    }

    pub(crate) fn into_records(self) -> BTreeMap<Key, Shown> {
        self.records
    }
}

fn verified(record: SignedRecord, network: &NetworkId) -> Result<Verified, Reason> {
    record.verify(network).map_err(|error| error.reason())
}

/// Whether a record may be shown to anybody at a time.
fn is_timely(record: &SignedRecord, clock: Time) -> Result<(), Reason> {
    let now = clock.utc_seconds();
    if record.expiry() <= now {
        return Err(Reason::Expired);
    }
    if record.expiry() > now + MAX_TTL.as_secs() + CLOCK_TOLERANCE {
        return Err(Reason::LifetimeTooLong);
    }
    let follows_clock = matches!(record.kind(), Kind::BagItem | Kind::DictCell);
    let latest = clock.utc_micros.saturating_add(CLOCK_TOLERANCE * 1_000_000);
    if follows_clock && record.seq() > latest {
        return Err(Reason::SeqFromFuture);
    }
    Ok(())
}
