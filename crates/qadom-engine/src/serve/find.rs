//! Answering what is under a slot.
//!
//! What must stay true: only what may be given out now is named, a page never ends in front of its
//! first record, and who is not confirmed gets no more than 1000 bytes of records.

use std::sync::Arc;

use qadom_routing::Key;
use qadom_store::{EntryId, Store};
use qadom_wire::{
    Answer, BODY_MAX, DigestRange, FIRST_RECORD_MAX, Find, Found, Kind, Oversize, Position, Reason,
    Record,
};

use crate::core::{Core, reason_of_store};
use crate::effect::Inbound;
use crate::listing::{fingerprint_of, whole, within};
use crate::records::{HeldRecord, entry_id};
use crate::serve::near;
use crate::time::Time;

/// Entries taken from the store at once.
const PAGE: usize = 16;

/// The room in bytes that the records of a whole slot leave for contacts: whoever asks for these is
/// still on the way.
const CONTACTS_ROOM: usize = 1024;

/// Answers with what is held, and with the contacts nearest to the slot.
pub(super) fn find(core: &mut Core, now: Time, find: &Find, inbound: &Inbound) -> Answer {
    if core.is_key_blocked(&find.slot) {
        core.drops.count(Reason::Blocked);
        return Answer::Refused(Reason::Blocked);
    }
    let records = match find.kind {
        Kind::Value => value(core, now, find, inbound),
        _ => signed(core, now, find, inbound),
    };
    let mut found = records.unwrap_or_else(|reason| {
        core.drops.count(reason);
        Found::default()
    });
    found.contacts = near(core, &find.slot, find.want, inbound);
    Answer::Found(found)
}

fn value(core: &Core, now: Time, find: &Find, inbound: &Inbound) -> Result<Found, Reason> {
    let mut found = Found::default();
    let held = core
        .held_value(&find.slot, now)
        .map_err(|error| reason_of_store(&error))?;
    let Some(held) = held else {
        return Ok(found);
    };
    if find.have == Some(*find.slot.as_bytes()) {
        found.same = true;
        return Ok(found);
    }
    found.records.push(Record::Value(held.value));
    Ok(announced(found, inbound, *find.slot.as_bytes()))
}

fn signed(core: &mut Core, now: Time, find: &Find, inbound: &Inbound) -> Result<Found, Reason> {
    let mut found = Found::default();
    if let Some(have) = find.have {
        found.same = fingerprint(core, now, find)? == have;
        if found.same {
            return Ok(found);
        }
    }
    let limit = if inbound.confirmed {
        inbound.answer_max
    } else {
        BODY_MAX
    };
    let room = match find.range {
        Some(_) => limit,
        None => limit.saturating_sub(CONTACTS_ROOM),
    };
    let records = Pages::new(core, now, find).map(Record::Signed);
    let mut records = records.peekable();
    // A record that is longer than the room still comes alone.
    let first = records.peek().map_or(0, Record::encoded_length);
    let limit = if first + CONTACTS_ROOM > room {
        limit
    } else {
        room
    };
    found.fill(records, limit);
    if !inbound.confirmed && found.records_length() > FIRST_RECORD_MAX {
        let hash = fingerprint(core, now, find)?;
        return Ok(announced(found, inbound, hash));
    }
    Ok(found)
}

/// The fingerprint of all that is held in the range that is asked for.
fn fingerprint(core: &mut Core, now: Time, find: &Find) -> Result<[u8; 32], Reason> {
    let listing = core
        .listing(&find.slot, find.kind, now)
        .map_err(|error| reason_of_store(&error))?;
    let at = |id: &Key| Position {
        slot: find.slot,
        id: *id,
    };
    let (start, end) = match find.range {
        Some(range) => (at(range.start()), range.end().map(at)),
        None => whole(find.slot),
    };
    let asked = DigestRange {
        start,
        end,
        fingerprint: [0; 32],
    };
    Ok(fingerprint_of(within(&listing, &asked)))
}

/// The answer with its records only announced, when they are too long for who is not confirmed.
fn announced(found: Found, inbound: &Inbound, hash: [u8; 32]) -> Found {
    let size = found.records_length();
    if inbound.confirmed || size <= FIRST_RECORD_MAX {
        return found;
    }
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    Found {
        oversize: Some(Oversize { size, hash }),
        ..Found::default()
    }
}

/// The records of a range that may be given out, read from the store as they are taken.
struct Pages<'a> {
    core: &'a Core,
    now: Option<Time>,
    slot: Key,
    next: Option<EntryId>,
    end: EntryId,
    page: std::vec::IntoIter<HeldRecord>,
}

impl<'a> Pages<'a> {
    fn new(core: &'a Core, now: Time, find: &Find) -> Self {
        let start = find
            .range
            .as_ref()
            .map_or(&Key::ZERO, |range| range.start());
        let end = find.range.as_ref().and_then(|range| range.end());
        Self {
            core,
            now: core.trusted_time(now),
            slot: find.slot,
            next: Some(entry_id(find.kind, start)),
            end: entry_id(find.kind, end.unwrap_or(&Key::MAX)),
            page: Vec::new().into_iter(),
        }
    }

    /// Reads on; a store that fails ends the page early.
    fn read(&mut self) {
        let Some(from) = self.next.take() else {
            return;
        };
        let store: Arc<dyn Store> = Arc::clone(&self.core.store);
        let found = store.scan_slot(&self.slot, Some(&from), Some(&self.end), PAGE + 1);
        let mut entries = found.unwrap_or_default();
        self.next = entries.get(PAGE).map(|entry| entry.id.clone());
        entries.truncate(PAGE);
        let network = &self.core.config.network;
        let held = entries
            .iter()
            .filter_map(|entry| HeldRecord::from_entry(entry, network));
        let now = self.now;
        let alive = held
            .filter(|held| now.is_none_or(|now| held.is_alive(now)))
            .filter(|held| !self.core.is_record_blocked(&held.record));
        self.page = alive.collect::<Vec<_>>().into_iter();
    }
}

impl Iterator for Pages<'_> {
    type Item = qadom_wire::SignedRecord;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(held) = self.page.next() {
                return Some(held.record.into_inner());
            }
            self.next.as_ref()?;
            self.read();
        }
    }
}
