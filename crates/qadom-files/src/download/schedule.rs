//! Who is asked for what next.
//!
//! The order: what a reader waits for, from its place on; the last chunk, which proves the size; the
//! rarest chunk, and of equally rare ones the next behind what the peer was asked for last, so that
//! it reads its disk in order. A peer for which nothing is left may be asked for a chunk that another
//! is late with; so may any peer for the chunk at which a reader stands.

use core::time::Duration;

use super::peer::{Availability, REQUESTS_PER_PEER_MAX};
use super::rarity::Words;
use super::reader::Reader;
use super::{Download, Effect, LOST_MAX, LossReason, PeerId, REQUESTS_MAX};
use crate::chunk_set::{PAGE_CHUNKS, PAGE_WORDS, WORD_CHUNKS};
use crate::{CHUNK_SIZE, Layout};

/// Pages within which the rarest chunk is looked for: 4 GiB.
const PAGES_LOOKED_AT: usize = 4;

/// One chunk in so many may be asked of a second peer, so that of all but the smallest files (fewer than 50
/// chunks) at most 2 % more bytes come than they have.
const DOUBLES_SHARE: u64 = 100;

/// Chunks that may be asked of a second peer in the smallest file: without any, a slow peer would hold up
/// its end.
const DOUBLES_MIN: u64 = 1;

/// How often late chunks are looked for while some peer has nothing to do.
const DOUBLE_INTERVAL: Duration = Duration::from_millis(100);

/// How long a chunk is expected to take from a peer of which nothing is known.
const UNKNOWN_TIME: Duration = Duration::from_secs(1);

/// A chunk is late with one peer when another would need less than a half of the time.
const LATE_FACTOR: u32 = 2;

/// Why a chunk was asked of a second peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubled {
    /// A reader stands at it.
    Awaited,
    /// The first peer was late at the end: one of those that may be.
    Late,
}

/// How many chunks of a file may be asked of a second peer because the first one is late.
pub(super) const fn doubles(layout: Layout) -> u64 {
    let share = layout.chunks() / DOUBLES_SHARE;
    if share < DOUBLES_MIN {
        DOUBLES_MIN
    } else {
        share
    }
}

impl Download {
    /// Asks every peer for as much as it may be asked for, one chunk a peer at a time.
    pub(super) fn schedule(&mut self, now: Duration) {
        if self.have.is_full() {
            if !self.is_done {
                self.is_done = true;
                self.effects.push_back(Effect::Done);
            }
            self.next_double = None;
            return;
        }
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        let mut is_any_asked = true;
        while is_any_asked && self.requests < REQUESTS_MAX {
            is_any_asked = false;
            for id in &ids {
                if self.requests < REQUESTS_MAX
                    && let Some(chunk) = self.next_for(now, *id)
                {
                    self.ask(now, *id, chunk);
                    is_any_asked = true;
                }
            }
        }
        self.double_late(now, &ids);
        self.tell_starved();
    }

    /// The chunk that a peer is asked for next.
    fn next_for(&mut self, now: Duration, id: PeerId) -> Option<u64> {
        let peer = self.peers.get(&id)?;
        if peer.is_dry || !peer.is_open(now) {
            return None;
        }
        let chunk = self.next_read(id).or_else(|| {
            if !self.is_whole_wanted {
                return None;
            }
            let last = self.layout.last();
            let is_wanted = |chunk| !self.have.contains(chunk) && !self.requested.contains(chunk);
            if is_wanted(last) && self.peers.get(&id)?.has(last) {
                return Some(last);
            }
            self.rarest(id)
        });
        if chunk.is_none()
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.is_dry = true;
        }
        chunk
    }

    /// The first chunk of any reader's window that nobody was asked for and this peer has.
    fn next_read(&self, id: PeerId) -> Option<u64> {
        let peer = self.peers.get(&id)?;
        self.readers.values().find_map(|reader| {
            let window = reader.window();
            let mut next = window.start;
            while let Some(chunk) = self.have.first_missing(next..window.end) {
                if !self.requested.contains(chunk) && peer.has(chunk) {
                    return Some(chunk);
                }
                next = chunk + 1;
            }
            None
        })
    }

    /// The rarest chunk near the peer's place that nobody was asked for.
    fn rarest(&mut self, id: PeerId) -> Option<u64> {
        let cursor = self.peers.get(&id)?.cursor;
        let everyone = self
            .peers
            .values()
            .any(|peer| matches!(peer.availability, Availability::All));
        let mut best: Option<(u32, u64)> = None;
        for page in self.pages_for(id, cursor) {
            let (peers, rarity) = (&self.peers, &mut self.rarity);
            let parts = |word| {
                let partial = peers.values();
                let partial = partial.filter_map(|peer| match &peer.availability {
                    Availability::All => None,
                    Availability::Some(chunks) => Some(chunks.word(word)),
                });
                partial.collect()
            };
            let peer = peers.get(&id)?;
            let first = page * PAGE_WORDS as u64;
            let mut open = [0; PAGE_WORDS];
            for (open, word) in open.iter_mut().zip(first..) {
                let missing = self.have.missing_word(word) & !self.requested.word(word);
                *open = missing & peer.word(word);
            }
            let classes = rarity.page(page, parts, everyone);
            for (count, words) in classes {
                if best.is_some_and(|(other, _)| other <= *count) {
                    break;
                }
                let found = first_from(cursor, first, words, &open)
                    .or_else(|| first_from(0, first, words, &open));
                if let Some(chunk) = found {
                    best = Some((*count, chunk));
                    break;
                }
            }
        }
        best.map(|(_, chunk)| chunk)
    }

    /// Pages from a chunk on, and from the beginning again, in which the peer has what is missing.
    fn pages_for(&self, id: PeerId, cursor: u64) -> Vec<u64> {
        let mut pages = Vec::new();
        let Some(peer) = self.peers.get(&id) else {
            return pages;
        };
        let start = cursor / PAGE_CHUNKS * PAGE_CHUNKS;
        for (mut next, end) in [(start, self.layout.chunks()), (0, start)] {
            while pages.len() < PAGES_LOOKED_AT
                && let Some(chunk) = self.first_open(peer, next..end)
            {
                pages.push(chunk / PAGE_CHUNKS);
                next = (chunk / PAGE_CHUNKS + 1) * PAGE_CHUNKS;
            }
        }
        pages
    }

    /// The first chunk of a range that is missing, not asked for, and with the peer.
    fn first_open(&self, peer: &super::Peer, range: std::ops::Range<u64>) -> Option<u64> {
        let mut next = range.start;
        loop {
            let missing = self.have.first_missing(next..range.end)?;
            let at_peer = match &peer.availability {
                Availability::All => missing,
                Availability::Some(chunks) => chunks.first_in(missing..range.end)?,
            };
            let open = self.requested.first_missing(at_peer..range.end)?;
            if open == missing {
                return Some(open);
            }
            next = open;
        }
    }

    fn ask(&mut self, now: Duration, id: PeerId, chunk: u64) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.ask(now, chunk);
            // The last chunk is asked for out of turn.
            if chunk != self.layout.last() {
                peer.cursor = chunk + 1;
            }
            if self.requests == 0 {
                self.rate.resume(now);
            }
            self.requests += 1;
            self.requested.insert(chunk);
            self.effects.push_back(Effect::Request { peer: id, chunk });
        }
    }

    /// Asks a second peer for what a reader waits for, and peers that have nothing to do for what others
    /// are late with.
    fn double_late(&mut self, now: Duration, ids: &[PeerId]) {
        let awaited = self.awaited();
        let idle: Vec<PeerId> = ids
            .iter()
            .copied()
            .filter(|id| {
                let peer = self.peers.get(id);
                peer.is_some_and(|peer| peer.is_dry && peer.is_open(now))
            })
            .collect();
        let is_any_idle = !idle.is_empty() && self.doubles_left > 0;
        if self.requests == 0 || !is_any_idle && awaited.is_empty() {
            self.next_double = None;
            return;
        }
        if self.next_double.is_some_and(|due| now < due) {
            return;
        }
        self.next_double = Some(now + DOUBLE_INTERVAL);
        for chunk in awaited {
            if self.requests < REQUESTS_MAX
                && let Some(id) = self.rescuer(now, chunk)
            {
                self.doubled.insert(chunk, Doubled::Awaited);
                self.ask(now, id, chunk);
            }
        }
        for id in idle {
            if self.doubles_left > 0
                && self.requests < REQUESTS_MAX
                && let Some(chunk) = self.latest_for(now, id)
            {
                self.doubles_left -= 1;
                self.doubled.insert(chunk, Doubled::Late);
                self.ask(now, id, chunk);
            }
        }
    }

    /// The chunks at which readers stand, as far as one peer was asked for them.
    fn awaited(&self) -> Vec<u64> {
        let windows = self.readers.values().map(Reader::window);
        let first = windows.filter_map(|window| self.have.first_missing(window));
        let mut awaited: Vec<u64> = first
            .filter(|chunk| self.requested.contains(*chunk) && !self.doubled.contains_key(chunk))
            .collect();
        awaited.sort_unstable();
        awaited.dedup();
        awaited
    }

    /// The peer that would bring a chunk the soonest, if the one that was asked is late with it.
    fn rescuer(&self, now: Duration, chunk: u64) -> Option<PeerId> {
        let length = u64::from(CHUNK_SIZE);
        let asked = self.peers.iter().find_map(|(id, peer)| {
            let flight = peer.flights.get(&chunk)?;
            Some((*id, peer.remaining(now, flight, length)))
        });
        let (owner, expected) = asked?;
        let others = self.peers.iter().filter(|(id, peer)| {
            let is_able = now >= peer.paused_until && peer.flights.len() < REQUESTS_PER_PEER_MAX;
            **id != owner && is_able && peer.has(chunk)
        });
        let times = others.map(|(id, peer)| {
            let time = peer.time_for_next(length);
            (time.unwrap_or(UNKNOWN_TIME), *id)
        });
        let (time, id) = times.min()?;
        (expected > time * LATE_FACTOR).then_some(id)
    }

    /// The chunk with which another peer is late the most, of those that this one has.
    fn latest_for(&self, now: Duration, id: PeerId) -> Option<u64> {
        let length = u64::from(CHUNK_SIZE);
        let peer = self.peers.get(&id)?;
        let own = peer.time_for_next(length).unwrap_or(UNKNOWN_TIME);
        let others = self.peers.iter().filter(|(other, _)| **other != id);
        let flights = others.flat_map(|(_, other)| {
            let flights = other.flights.iter();
            flights.map(move |(chunk, flight)| (other.remaining(now, flight, length), *chunk))
        });
        flights
            .filter(|(expected, chunk)| {
                *expected > own * LATE_FACTOR
                    && !self.doubled.contains_key(chunk)
                    && peer.has(*chunk)
                    && !peer.flights.contains_key(chunk)
            })
            .max()
            .map(|(_, chunk)| chunk)
    }

    /// Says once that what is wanted is with nobody.
    fn tell_starved(&mut self) {
        let is_waiting = self.requests > 0 || self.peers.values().any(|peer| !peer.is_dry);
        let is_wanted = self.is_whole_wanted
            || self
                .readers
                .values()
                .any(|reader| self.have.first_missing(reader.window()).is_some());
        let is_starved = !is_waiting && is_wanted;
        if is_starved && !self.is_starved {
            self.effects.push_back(Effect::Starved);
        }
        self.is_starved = is_starved;
    }

    /// What peers have changed: all may have something to do again, and counts are old.
    pub(super) fn supply_changed(&mut self) {
        self.rarity.forget();
        self.demand_changed();
    }

    /// What is wanted changed: all may have something to do again.
    pub(super) fn demand_changed(&mut self) {
        for peer in self.peers.values_mut() {
            peer.is_dry = false;
        }
    }

    /// Ends a request that brought nothing; the chunk is open again.
    pub(super) fn end_flight(&mut self, id: PeerId, chunk: u64) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(flight) = peer.flights.remove(&chunk) else {
            return;
        };
        self.requests -= 1;
        self.wasted += flight.received;
        match self.doubled.remove(&chunk) {
            None => {
                self.requested.remove(chunk);
                self.demand_changed();
            }
            // Nothing came twice, so that another chunk may be asked of a second peer: one that stalls
            // does not use up what there is against the slow.
            Some(Doubled::Late) if flight.received == 0 => self.doubles_left += 1,
            Some(_) => {}
        }
    }

    /// Cancels whoever else was asked for a chunk.
    pub(super) fn cancel_others(&mut self, id: PeerId, chunk: u64) {
        for (other, peer) in &mut self.peers {
            if *other != id
                && let Some(flight) = peer.flights.remove(&chunk)
            {
                self.requests -= 1;
                self.wasted += flight.received;
                self.effects.push_back(Effect::Cancel {
                    peer: *other,
                    chunk,
                });
            }
        }
    }

    /// Cancels all that a peer was asked for.
    pub(super) fn cancel_all(&mut self, id: PeerId) {
        for chunk in self.take_work(id) {
            self.effects.push_back(Effect::Cancel { peer: id, chunk });
        }
    }

    /// Takes all work from a peer; the chunks that it was asked for.
    pub(super) fn take_work(&mut self, id: PeerId) -> Vec<u64> {
        let flights = self.peers.get(&id).map(|peer| &peer.flights);
        let chunks: Vec<u64> = flights
            .into_iter()
            .flatten()
            .map(|(chunk, _)| *chunk)
            .collect();
        for chunk in &chunks {
            self.end_flight(id, *chunk);
        }
        chunks
    }

    /// Ends a peer's part for good.
    pub(super) fn lose(&mut self, id: PeerId, reason: LossReason) {
        self.take_work(id);
        if self.peers.remove(&id).is_some() {
            if self.lost.len() < LOST_MAX {
                self.lost.insert(id, reason);
            }
            self.supply_changed();
            self.effects.push_back(Effect::Lost { peer: id, reason });
        }
    }
}

/// The first chunk at or behind `cursor` among those of a class that are open, in a page whose first
/// word is `first`.
fn first_from(cursor: u64, first: u64, class: &Words, open: &Words) -> Option<u64> {
    let words = (first..).zip(class.iter().zip(open));
    let mut found = words.filter_map(|(word, (class, open))| {
        let from = cursor.saturating_sub(word * WORD_CHUNKS);
        let behind = u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
        let bits = class & open & behind;
        (bits != 0).then(|| word * WORD_CHUNKS + u64::from(bits.trailing_zeros()))
    });
    found.next()
}
