//! Decides who is asked for which chunk, without socket, clock or disk.
//!
//! What must stay true: a chunk is asked of one peer at a time, but for a bounded number near the end
//! or under a waiting reader; a peer that lies, stalls or goes loses all its work at once; as long as
//! some peer has what is missing, a request is under way or a deadline stands. Time and chance are
//! arguments; memory follows peers and requests, not the size that the file is said to have.

mod peer;
mod rarity;
mod reader;
mod schedule;

pub use peer::Availability;
pub use reader::ReaderId;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use self::peer::{FALSE_CLAIMS_MAX, Lateness, Peer, Rate};
use self::rarity::Rarity;
use self::reader::Reader;
use self::schedule::Doubled;
use crate::{ChunkIndex, ChunkSet, Layout};

/// Peers of one download.
pub const PEERS_MAX: usize = 64;

/// Chunks that are asked for at a time from all peers together: 24 MiB of memory.
pub const REQUESTS_MAX: usize = 96;

/// Readers of one download.
pub const READERS_MAX: usize = 64;

/// Peers that are remembered as lost, so that they do not come back.
const LOST_MAX: usize = 1024;

/// The longest time for which a peer may say that it is busy.
const BUSY_MAX: Duration = Duration::from_mins(1);

/// The driver's number for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What became of a new peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It takes part.
    Taken,
    /// There are [`PEERS_MAX`] already.
    Full,
    /// It was lost for this reason before.
    Lost(LossReason),
}

/// Why a peer takes part no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// It sent bytes that are not the chunk.
    BadData,
    /// It was asked and sent nothing, several times.
    Stalled,
    /// It sent less than 1 KiB/s.
    Slow,
    /// It lacked what it said that it has, many times.
    FalseClaims,
    /// Its requests failed, several times in a row.
    Failed,
}

/// Why a peer does not send a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not have it.
    Missing,
    /// It serves others; ask again after this time.
    Busy(Duration),
}

/// What the driver shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask a peer for a chunk.
    Request {
        /// The peer.
        peer: PeerId,
        /// The chunk.
        chunk: u64,
    },
    /// Stop waiting for it: reset its stream. The peer may still be asked for others.
    Cancel {
        /// The peer.
        peer: PeerId,
        /// The chunk.
        chunk: u64,
    },
    /// The peer takes part no longer; its requests are cancelled with this.
    Lost {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: LossReason,
    },
    /// What is wanted is with no peer: look for others. Said once until that changes.
    Starved,
    /// All chunks are verified. Said once.
    Done,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file that are verified, with what was there at the start.
    pub verified: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of chunks that came since the start.
    pub received: u64,
    /// Of these, bytes that were of no use: wrong, twice, or cut short.
    pub wasted: u64,
    /// Chunks that are missing.
    pub missing: u64,
    /// Chunks that are asked for.
    pub requests: usize,
    /// Peers that take part.
    pub peers: usize,
    /// Verified bytes per second, smoothed; zero until measured.
    pub rate: u64,
}

/// The download of one file.
///
/// Call it with what happened, then drain [`next_effect`](Self::next_effect); call
/// [`on_deadline`](Self::on_deadline) at [`next_deadline`](Self::next_deadline).
///
/// The size of `layout` should be proven: by the last chunk, or by the list of all. Where it is only a
/// claim, add only peers that make the same one; the last chunk is asked for first, and a peer whose
/// last chunk does not verify has lied about one or the other.
///
/// ```
/// use std::time::Duration;
///
/// use qadom_files::{Availability, ChunkSet, Download, Effect, Layout, PeerId};
///
/// let layout = Layout::new(100)?;
/// let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 7);
/// let (peer, now) = (PeerId(1), Duration::ZERO);
/// download.add_peer(now, peer, Availability::All, None);
/// assert_eq!(download.next_effect(), Some(Effect::Request { peer, chunk: 0 }));
/// // The chunk comes and verifies.
/// download.on_verified(now, peer, 0);
/// assert_eq!(download.next_effect(), Some(Effect::Done));
/// assert_eq!(download.progress().verified, 100);
/// # Ok::<(), qadom_files::FileTooLarge>(())
/// ```
#[derive(Debug)]
pub struct Download {
    layout: Layout,
    have: ChunkSet,
    /// Asked for, by one peer or two.
    requested: ChunkSet,
    requests: usize,
    peers: BTreeMap<PeerId, Peer>,
    lost: BTreeMap<PeerId, LossReason>,
    /// Chunks that two peers were asked for.
    doubled: BTreeMap<u64, Doubled>,
    /// How many more may be asked of two because one is late.
    doubles_left: u64,
    next_double: Option<Duration>,
    readers: BTreeMap<ReaderId, Reader>,
    next_reader: u64,
    is_whole_wanted: bool,
    rarity: Rarity,
    random: ChaCha8Rng,
    effects: VecDeque<Effect>,
    is_starved: bool,
    is_done: bool,
    verified: u64,
    received: u64,
    wasted: u64,
    rate: Rate,
}

impl Download {
    /// Begins, or goes on, with the chunks that are there. The same seed and calls give the same
    /// effects.
    pub fn new(layout: Layout, have: ChunkSet, seed: u64) -> Self {
        let short = layout.range(layout.last());
        let full = have.len() - u64::from(have.contains(layout.last()));
        let mut verified = full * u64::from(crate::CHUNK_SIZE);
        if have.contains(layout.last()) {
            verified += short.end - short.start;
        }
        let mut download = Self {
            layout,
            requested: ChunkSet::new(layout.chunks()),
            have,
            requests: 0,
            peers: BTreeMap::new(),
            lost: BTreeMap::new(),
            doubled: BTreeMap::new(),
            doubles_left: schedule::doubles(layout),
            next_double: None,
            readers: BTreeMap::new(),
            next_reader: 0,
            is_whole_wanted: true,
            rarity: Rarity::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            effects: VecDeque::new(),
            // Nobody takes part yet, and nobody has to be told so.
            is_starved: true,
            is_done: false,
            verified,
            received: 0,
            wasted: 0,
            rate: Rate::default(),
        };
        download.schedule(Duration::ZERO);
        download
    }

    /// Takes a peer in that has this much of the file; `round_trip` if that is known.
    pub fn add_peer(
        &mut self,
        now: Duration,
        id: PeerId,
        availability: Availability,
        round_trip: Option<Duration>,
    ) -> Joined {
        if let Some(reason) = self.lost.get(&id) {
            return Joined::Lost(*reason);
        }
        if self.peers.contains_key(&id) {
            self.update_peer(now, id, availability);
            return Joined::Taken;
        }
        if self.peers.len() >= PEERS_MAX {
            return Joined::Full;
        }
        // The first reads from the beginning, as disks like it; the others wherever they fall.
        let cursor = match self.peers.len() {
            0 => 0,
            _ => self.random.next_u64() % self.layout.chunks(),
        };
        let peer = Peer::new(now, availability, round_trip, cursor);
        self.peers.insert(id, peer);
        self.is_starved = false;
        self.supply_changed();
        self.schedule(now);
        Joined::Taken
    }

    /// Notes that a peer has something else now.
    pub fn update_peer(&mut self, now: Duration, id: PeerId, availability: Availability) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.availability = availability;
            self.supply_changed();
            self.schedule(now);
        }
    }

    /// Notes that a peer is gone; it may come back.
    pub fn remove_peer(&mut self, now: Duration, id: PeerId) {
        self.take_work(id);
        if self.peers.remove(&id).is_some() {
            self.supply_changed();
            self.schedule(now);
        }
    }

    /// Counts bytes of a chunk as they come, for speeds and deadlines.
    pub fn on_received(&mut self, now: Duration, id: PeerId, chunk: u64, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(&id) {
            self.received += peer.receive(now, chunk, bytes);
        }
    }

    /// A chunk is verified and kept.
    pub fn on_verified(&mut self, now: Duration, id: PeerId, chunk: u64) {
        let length = u64::from(self.layout.length(ChunkIndex::Data(chunk)));
        if let Some(peer) = self.peers.get_mut(&id)
            && let Some(flight) = peer.flights.get(&chunk)
        {
            // A driver need not count what comes in one piece.
            let rest = length.saturating_sub(flight.received);
            self.received += peer.receive(now, chunk, rest);
            peer.flights.remove(&chunk);
            peer.verified();
            self.requests -= 1;
        }
        if self.have.insert(chunk) {
            self.verified += length;
            self.rate.count(now, length);
        } else {
            self.wasted += length;
        }
        self.cancel_others(id, chunk);
        self.requested.remove(chunk);
        self.doubled.remove(&chunk);
        self.schedule(now);
    }

    /// The bytes were not the chunk: the peer takes part no longer.
    pub fn on_bad(&mut self, now: Duration, id: PeerId, chunk: u64) {
        let length = u64::from(self.layout.length(ChunkIndex::Data(chunk)));
        if let Some(peer) = self.peers.get_mut(&id)
            && let Some(flight) = peer.flights.get(&chunk)
        {
            // A driver need not count what comes in one piece.
            let rest = length.saturating_sub(flight.received);
            self.received += peer.receive(now, chunk, rest);
        }
        self.lose(id, LossReason::BadData);
        self.schedule(now);
    }

    /// The peer said that it does not send the chunk.
    pub fn on_refused(&mut self, now: Duration, id: PeerId, chunk: u64, refused: Refused) {
        self.end_flight(id, chunk);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match refused {
            Refused::Missing => {
                peer.lacks(chunk, self.layout.chunks());
                peer.false_claims += 1;
                if peer.false_claims >= FALSE_CLAIMS_MAX {
                    self.lose(id, LossReason::FalseClaims);
                }
                self.supply_changed();
            }
            Refused::Busy(retry_after) => {
                peer.paused_until = now + retry_after.min(BUSY_MAX);
            }
        }
        self.schedule(now);
    }

    /// A request came to nothing, though the peer may still be there.
    pub fn on_failed(&mut self, now: Duration, id: PeerId, chunk: u64) {
        self.end_flight(id, chunk);
        if let Some(peer) = self.peers.get_mut(&id)
            && peer.strike(now)
        {
            self.lose(id, LossReason::Failed);
        }
        self.schedule(now);
    }

    /// A chunk that was verified is gone: it has to come again.
    pub fn on_gone(&mut self, now: Duration, chunk: u64) {
        if self.have.remove(chunk) {
            self.verified -= u64::from(self.layout.length(ChunkIndex::Data(chunk)));
            self.is_done = false;
            self.demand_changed();
            self.schedule(now);
        }
    }

    /// Looks who is late.
    pub fn on_deadline(&mut self, now: Duration) {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            if let Some(lateness) = peer.lateness(now) {
                let reason = match lateness {
                    Lateness::Stalled => LossReason::Stalled,
                    Lateness::Trickling => LossReason::Slow,
                };
                let is_lost = peer.strike(now) || lateness == Lateness::Trickling;
                self.cancel_all(id);
                if is_lost {
                    self.lose(id, reason);
                }
                continue;
            }
            for chunk in peer.stuck(now) {
                self.effects.push_back(Effect::Cancel { peer: id, chunk });
                self.end_flight(id, chunk);
            }
        }
        self.schedule(now);
    }

    /// When [`on_deadline`](Self::on_deadline) is due; changes with every call.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let peers = self.peers.values().filter_map(|peer| peer.deadline(now));
        peers.chain(self.next_double).min()
    }

    /// What to do next; drain it after every call.
    #[must_use]
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Wants these bytes first and in their order, `ahead` of them before the reader asks.
    /// `None` when there are [`READERS_MAX`] already.
    pub fn open_reader(
        &mut self,
        now: Duration,
        range: Range<u64>,
        ahead: u64,
    ) -> Option<ReaderId> {
        if self.readers.len() >= READERS_MAX {
            return None;
        }
        let id = ReaderId(self.next_reader);
        self.next_reader += 1;
        self.readers
            .insert(id, Reader::new(self.layout, range, ahead));
        self.demand_changed();
        self.schedule(now);
        Some(id)
    }

    /// The reader goes on at this byte of the file, forward or back.
    pub fn seek(&mut self, now: Duration, id: ReaderId, offset: u64) {
        if let Some(reader) = self.readers.get_mut(&id)
            && reader.seek(self.layout, offset)
        {
            self.demand_changed();
            self.schedule(now);
        }
    }

    /// The reader wants no more.
    pub fn close_reader(&mut self, id: ReaderId) {
        self.readers.remove(&id);
    }

    /// Whether what no reader waits for is fetched, too; so it is from the start.
    pub fn want_whole(&mut self, now: Duration, is_wanted: bool) {
        self.is_whole_wanted = is_wanted;
        self.demand_changed();
        self.schedule(now);
    }

    /// Whether something is wanted that no peer can bring. A reader that has all that it may have ahead
    /// wants nothing.
    pub const fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// The verified chunks.
    pub const fn have(&self) -> &ChunkSet {
        &self.have
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            verified: self.verified,
            size: self.layout.size(),
            received: self.received,
            wasted: self.wasted,
            missing: self.layout.chunks() - self.have.len(),
            requests: self.requests,
            peers: self.peers.len(),
            rate: self.rate.per_second(),
        }
    }
}
