//! Taking records in: by the time, by what is held, by the limits.
//!
//! What must stay true: nothing is stored that was not verified; after every put the limits of its
//! writer, its slot and the node hold again; and a record that has to give way at once is refused
//! without having cost what was there before.

use std::net::IpAddr;
use std::sync::Arc;

use qadom_routing::{Key, is_exempt};
use qadom_store::{Container, Entry, Evicted, Needed, Scope, StoreError};
use qadom_wire::{Kind, Reason, Renewal, SignedRecord, SourceGroup, Verified};

use crate::core::{Core, reason_of_store};
use crate::quota::{Cap, Use};
use crate::records::acceptance::{Verdict, check_time, check_version};
use crate::records::{Held, HeldRecord, container, entry_id};
use crate::time::Time;

/// What became of a record that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It was not here, or only an older version of it.
    Stored {
        /// The same version was here with another payload, which it replaces.
        conflict: bool,
    },
    /// It was here, and stays at least as long as before.
    Renewed,
}

/// How a record comes here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Who brings it; none when this node wrote it.
    pub(crate) address: Option<IpAddr>,
    /// Whether another holder brings it, and not its writer.
    pub(crate) is_replica: bool,
    /// Where it was first stored, by the word of the holder that brings it.
    pub(crate) hint: Option<SourceGroup>,
    /// Whether it is refused where its version or a later one is.
    pub(crate) is_exclusive: bool,
}

impl Origin {
    /// A record that this node wrote.
    pub(crate) fn own(is_exclusive: bool) -> Self {
        Self {
            is_exclusive,
            ..Self::default()
        }
    }

    /// A record that was found at another holder.
    pub(crate) fn holder(address: Option<IpAddr>) -> Self {
        Self {
            address,
            is_replica: true,
            ..Self::default()
        }
    }
}

impl Core {
    /// Buffers a value in the store. The caller waits for the ticket that [`Core::commit`] gives.
    pub(crate) fn keep(&mut self, held: Held, now: Time) -> Result<Kept, Reason> {
        let slot = *held.value.key();
        if self.is_key_blocked(&slot) {
            return Err(Reason::Blocked);
        }
        let old = self
            .held_value(&slot, now)
            .map_err(|error| reason_of_store(&error))?;
        let kept = if old.is_some() {
            Kept::Renewed
        } else {
            Kept::Stored { conflict: false }
        };
        let own = *self.own.key();
        let held = match &old {
            Some(old) => held.merged(old),
            None => held,
        };
        let before = old.map(|old| old.into_entry(&own));
        self.put(held.into_entry(&own), Kind::Value, before)?;
        Ok(kept)
    }

    /// Buffers a signed record in the store, as [`keep`](Self::keep).
    pub(crate) fn keep_signed(
        &mut self,
        record: Verified,
        origin: Origin,
        now: Time,
    ) -> Result<Kept, Reason> {
        let (verdict, held) = self.judge(&record, origin, now)?;
        self.take(verdict, record, held, origin, now)
    }

    /// As [`keep_signed`](Self::keep_signed), of a record that somebody sent. What would be refused
    /// anyway is refused before its signature is checked.
    pub(crate) fn keep_offered(
        &mut self,
        record: SignedRecord,
        origin: Origin,
        now: Time,
    ) -> Result<Kept, Reason> {
        let (verdict, held) = self.judge(&record, origin, now)?;
        if verdict == Verdict::Have && held.as_ref().is_some_and(|held| *held.record == record) {
            return Ok(Kept::Renewed);
        }
        let record = record
            .verify(&self.config.network)
            .map_err(|error| error.reason())?;
        self.take(verdict, record, held, origin, now)
    }

    /// Renews what is held by a renewal that came without its payload.
    pub(crate) fn keep_renewal(
        &mut self,
        renewal: &Renewal,
        origin: Origin,
        now: Time,
    ) -> Result<Kept, Reason> {
        let held = self
            .held_record(renewal.slot(), renewal.kind(), &renewal.id())
            .map_err(|error| reason_of_store(&error))?
            .ok_or(Reason::NotFound)?;
        match renewal.apply(&held.record, &self.config.network) {
            Ok(record) => self.keep_signed(record, origin, now),
            Err(error) if error.reason() == Reason::BadHash => Err(Reason::NotFound),
            Err(error) => Err(error.reason()),
        }
    }

    /// What is held of an identity, whether or not it may still be given out.
    pub(crate) fn held_record(
        &self,
        slot: &Key,
        kind: Kind,
        id: &Key,
    ) -> Result<Option<HeldRecord>, StoreError> {
        let entry = self.store.get(slot, &entry_id(kind, id))?;
        let network = &self.config.network;
        Ok(entry.and_then(|entry| HeldRecord::from_entry(&entry, network)))
    }

    /// The clock by which records are refused; none as long as it is not known well enough.
    pub(crate) fn trusted_time(&self, now: Time) -> Option<Time> {
        self.is_time_known(now).then_some(now)
    }

    fn judge(
        &self,
        record: &SignedRecord,
        origin: Origin,
        now: Time,
    ) -> Result<(Verdict, Option<HeldRecord>), Reason> {
        if self.is_record_blocked(record) {
            return Err(Reason::Blocked);
        }
        check_time(record, self.trusted_time(now))?;
        let held = self
            .held_record(record.slot(), record.kind(), record.id())
            .map_err(|error| reason_of_store(&error))?;
        let there = held.as_ref().map(|held| &*held.record);
        let verdict = check_version(record, there, origin.is_exclusive)?;
        Ok((verdict, held))
    }

    fn take(
        &mut self,
        verdict: Verdict,
        record: Verified,
        old: Option<HeldRecord>,
        origin: Origin,
        now: Time,
    ) -> Result<Kept, Reason> {
        let Verdict::Take { conflict } = verdict else {
            return Ok(Kept::Renewed);
        };
        let is_renewal = old.as_ref().is_some_and(|old| {
            !conflict && (old.record.stream(), old.record.seq()) == (record.stream(), record.seq())
        });
        let kind = record.kind();
        let place = container(record.slot(), kind);
        let size = u64::try_from(record.payload().len()).unwrap_or(u64::MAX);
        // A renewal stays in its group, whoever brings it.
        let group = if is_renewal {
            None
        } else {
            self.group_of(origin, &place, size)
        };
        let news = (!is_renewal).then(|| (*record).clone());
        let held = HeldRecord::replacing(record, old.as_ref(), group, now);
        self.put(held.into_entry(), kind, old.map(HeldRecord::into_entry))?;
        let Some(news) = news else {
            return Ok(Kept::Renewed);
        };
        self.replicated.note_new(place, now.moment);
        self.watchers.on_kept(&news);
        Ok(Kept::Stored { conflict })
    }

    /// Drops an entry that should never have been taken in.
    pub(crate) fn drop_entry(&mut self, entry: &Entry) {
        self.listings.forget(&Container::of(&entry.slot, &entry.id));
        match self.store.remove(&entry.slot, &entry.id) {
            Ok(_) => self.commit_unwatched(),
            Err(error) => self.drops.count(reason_of_store(&error)),
        }
    }

    /// Puts an entry, then makes every limit hold that it may have broken.
    fn put(&mut self, entry: Entry, kind: Kind, old: Option<Entry>) -> Result<(), Reason> {
        let place = container(&entry.slot, kind);
        let (id, owner) = (entry.id.clone(), entry.columns.owner);
        let charge = u64::from(entry.columns.charge);
        self.listings.forget(&place);
        let store = Arc::clone(&self.store);
        let put = |entry| store.put(entry).map_err(|error| reason_of_store(&error));
        put(entry)?;
        let limits = &self.config.limits;
        let caps = [
            (Scope::Owner(place, owner), limits.of_writer(kind)),
            (Scope::Container(place), limits.of_slot(kind)),
            (Scope::All, Some(limits.of_node())),
        ];
        let slot = place.slot;
        let brought = Needed {
            charge,
            records: u64::from(old.is_none()),
        };
        let mut is_displaced = false;
        for (scope, cap) in caps {
            let Some(cap) = cap else {
                continue;
            };
            let mut evicted = self.make_room(scope, cap)?;
            if evicted.is_empty() && brought.records > 0 && self.is_share_exceeded(scope, cap) {
                evicted = self.evict(scope, brought)?;
            }
            is_displaced |= evicted
                .iter()
                .any(|gone| gone.slot == slot && gone.id == id);
        }
        if !is_displaced {
            return Ok(());
        }
        if let Some(old) = old {
            put(old)?;
        }
        Err(Reason::Quota)
    }

    /// Evicts from a scope until it keeps its limit, in the fair order of the store.
    fn make_room(&mut self, scope: Scope, cap: Cap) -> Result<Vec<Evicted>, Reason> {
        let mut all = Vec::new();
        loop {
            let over = self.used(scope).over(cap);
            if over == Use::NONE {
                return Ok(all);
            }
            let needed = Needed {
                charge: over.bytes,
                records: over.records,
            };
            let evicted = self.evict(scope, needed)?;
            if evicted.is_empty() {
                return Ok(all);
            }
            all.extend(evicted);
        }
    }

    fn evict(&mut self, scope: Scope, needed: Needed) -> Result<Vec<Evicted>, Reason> {
        let evicted = self
            .store
            .evict(scope, needed, &[])
            .map_err(|error| reason_of_store(&error))?;
        for gone in &evicted {
            self.listings.forget(&Container::of(&gone.slot, &gone.id));
        }
        Ok(evicted)
    }

    /// Whether a scope is so full that shares bind, and a group has more than its share of it: then
    /// what comes takes the place of what that group has.
    fn is_share_exceeded(&self, scope: Scope, cap: Cap) -> bool {
        if !self.used(scope).is_nearly(cap) {
            return false;
        }
        let largest = self.store.largest_group(scope);
        let has = match scope {
            Scope::All => Use {
                records: largest.usage.records,
                bytes: largest.usage.charge,
            },
            Scope::Container(_) | Scope::Owner(..) => Use::of_payloads(largest.usage),
        };
        has.exceeds_share(cap, largest.groups)
    }

    /// What a scope holds, in the measure of its limits: the node's counts charges, all others
    /// payloads.
    fn used(&self, scope: Scope) -> Use {
        match scope {
            Scope::All => {
                let stats = self.store.stats();
                Use {
                    records: stats.records,
                    bytes: stats.charge,
                }
            }
            Scope::Container(place) => Use::of_payloads(self.store.usage(&place)),
            Scope::Owner(place, owner) => Use::of_payloads(self.store.owner_usage(&place, &owner)),
        }
    }

    /// The group that a record of this size counts for: where it came from, or where another holder
    /// says that it first came from, as far as that holder is believed. All other replicas count
    /// for the bringer, but apart from what its group wrote: else a flood that a holder replicates
    /// would drive out what is written next to it.
    pub(crate) fn group_of(
        &mut self,
        origin: Origin,
        place: &Container,
        size: u64,
    ) -> Option<SourceGroup> {
        let address = origin.address?;
        if is_exempt(address, self.config.local) {
            return None;
        }
        let own = SourceGroup::of(address);
        if !origin.is_replica {
            return Some(own);
        }
        let Some(hint) = origin.hint else {
            return Some(own.of_replicas());
        };
        let one = Use {
            records: 1,
            bytes: size,
        };
        let kind = Kind::from_number(place.first);
        let cap = kind.and_then(|kind| self.config.limits.of_slot(kind));
        let now = self.moment;
        let is_believed = cap.is_none_or(|cap| {
            let used = self.used(Scope::Container(*place));
            self.hints.believe((Some(*place), own), one, used, cap, now)
        }) && {
            let (used, cap) = (self.used(Scope::All), self.config.limits.of_node());
            self.hints
                .believe((None, own), one.charged(), used, cap, now)
        };
        Some(if is_believed { hint } else { own.of_replicas() })
    }
}
