//! Virtual peers on virtual lines, and a download that asks them.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use qadom_files::{
    Availability, ChunkIndex, ChunkSet, Download, Effect, Layout, LossReason, PeerId, REQUESTS_MAX,
    Refused,
};

/// Bytes after which a driver tells what came.
const PIECE: u64 = 64 * 1024;

/// No download of these tests takes longer, in virtual time.
const PATIENCE: Duration = Duration::from_hours(24);

/// What a peer does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Sends as many bytes as are due, none of them right.
    Garbage,
    /// Is honest until it has sent so many bytes, and silent then.
    Stalls {
        after: u64,
    },
    /// Is honest until it has sent so many bytes, and gone then.
    Vanishes {
        after: u64,
    },
    /// Sends one byte a second.
    Trickles,
    /// Has nothing of what it says it has.
    Refuses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Starved,
    Paused,
}

#[derive(Debug)]
struct VirtualPeer {
    conduct: Conduct,
    bandwidth: u64,
    latency: Duration,
    queue: VecDeque<(u64, u64)>,
    next: Option<Duration>,
    sent: u64,
}

impl VirtualPeer {
    /// How long its line takes for the next piece.
    fn piece_time(&self) -> Duration {
        match self.conduct {
            Conduct::Trickles => Duration::from_secs(1),
            _ => Duration::from_micros(PIECE * 1_000_000 / self.bandwidth),
        }
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) download: Download,
    pub(crate) now: Duration,
    pub(crate) lost: Vec<(PeerId, LossReason)>,
    pub(crate) starved: usize,
    layout: Layout,
    peers: BTreeMap<PeerId, VirtualPeer>,
    next_peer: u64,
    /// How often each chunk came whole and right.
    fetched: BTreeMap<u64, usize>,
    asked: BTreeMap<u64, BTreeSet<PeerId>>,
    is_starved: bool,
    is_done: bool,
}

impl World {
    pub(crate) fn new(layout: Layout, seed: u64) -> Self {
        Self {
            download: Download::new(layout, ChunkSet::new(layout.chunks()), seed),
            now: Duration::ZERO,
            lost: Vec::new(),
            starved: 0,
            layout,
            peers: BTreeMap::new(),
            next_peer: 0,
            fetched: BTreeMap::new(),
            asked: BTreeMap::new(),
            is_starved: false,
            is_done: false,
        }
    }

    pub(crate) fn join(
        &mut self,
        conduct: Conduct,
        availability: Availability,
        bandwidth: u64,
        latency: Duration,
    ) {
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let peer = VirtualPeer {
            conduct,
            bandwidth,
            latency,
            queue: VecDeque::new(),
            next: None,
            sent: 0,
        };
        self.peers.insert(id, peer);
        self.is_starved = false;
        self.download.add_peer(self.now, id, availability, None);
        self.drain();
    }

    /// Goes on until the download is done or starved.
    pub(crate) fn run(&mut self) -> Outcome {
        self.run_until(PATIENCE)
    }

    /// Goes on until then at most.
    pub(crate) fn run_until(&mut self, end: Duration) -> Outcome {
        loop {
            self.drain();
            if self.is_done {
                return Outcome::Done;
            }
            if self.is_starved {
                return Outcome::Starved;
            }
            let piece = self
                .peers
                .iter()
                .filter_map(|(id, peer)| Some((peer.next?, Some(*id))));
            let deadline = self.download.next_deadline(self.now).map(|due| (due, None));
            let next = piece.chain(deadline).min();
            let (at, peer) = next.unwrap_or((end, None));
            if at >= end {
                assert!(
                    end < PATIENCE,
                    "nothing more will happen: {:?}",
                    self.download.progress()
                );
                self.now = end;
                return Outcome::Paused;
            }
            self.now = self.now.max(at);
            match peer {
                Some(id) => self.deliver(id),
                None => self.download.on_deadline(self.now),
            }
        }
    }

    /// How many fetches were more than one for a chunk.
    pub(crate) fn fetched_twice(&self) -> usize {
        self.fetched.values().map(|times| times - 1).sum()
    }

    fn drain(&mut self) {
        while let Some(effect) = self.download.next_effect() {
            match effect {
                Effect::Request { peer, chunk } => self.request(peer, chunk),
                Effect::Cancel { peer, chunk } => {
                    if let Some(peer) = self.peers.get_mut(&peer) {
                        peer.queue.retain(|(other, _)| *other != chunk);
                    }
                    self.forget(peer, chunk);
                }
                Effect::Lost { peer, reason } => {
                    self.lost.push((peer, reason));
                    self.leave(peer);
                }
                Effect::Starved => {
                    self.is_starved = true;
                    self.starved += 1;
                }
                Effect::Done => self.is_done = true,
            }
        }
    }

    fn request(&mut self, id: PeerId, chunk: u64) {
        let asked = self.asked.entry(chunk).or_default();
        assert!(asked.insert(id), "{id:?} was asked for {chunk} twice");
        assert!(asked.len() <= 2, "{asked:?} were asked for {chunk}");
        let requests: usize = self.asked.values().map(BTreeSet::len).sum();
        assert!(requests <= REQUESTS_MAX, "{requests} requests");
        let peer = self.peers.get_mut(&id).expect("it takes part");
        peer.queue.push_back((chunk, 0));
        if peer.next.is_none() {
            peer.next = Some(self.now + peer.latency + peer.piece_time());
        }
    }

    fn forget(&mut self, id: PeerId, chunk: u64) {
        if let Some(asked) = self.asked.get_mut(&chunk) {
            asked.remove(&id);
        }
    }

    fn leave(&mut self, id: PeerId) {
        self.peers.remove(&id);
        for asked in self.asked.values_mut() {
            asked.remove(&id);
        }
    }

    /// The next piece of a peer comes.
    fn deliver(&mut self, id: PeerId) {
        let layout = self.layout;
        let peer = self.peers.get_mut(&id).expect("it takes part");
        let Some((chunk, sent)) = peer.queue.front_mut() else {
            peer.next = None;
            return;
        };
        let (chunk, length) = (*chunk, u64::from(layout.length(ChunkIndex::Data(*chunk))));
        let piece = match peer.conduct {
            Conduct::Trickles => 1,
            Conduct::Stalls { after } if peer.sent >= after => {
                peer.next = None;
                return;
            }
            Conduct::Vanishes { after } if peer.sent >= after => {
                self.leave(id);
                self.download.remove_peer(self.now, id);
                return;
            }
            Conduct::Refuses => {
                peer.queue.pop_front();
                peer.next = Some(self.now + peer.latency);
                self.forget(id, chunk);
                self.download
                    .on_refused(self.now, id, chunk, Refused::Missing);
                return;
            }
            _ => PIECE,
        };
        let piece = piece.min(length - *sent);
        *sent += piece;
        peer.sent += piece;
        let is_whole = *sent == length;
        if is_whole {
            peer.queue.pop_front();
        }
        let time = peer.piece_time();
        peer.next = Some(self.now + time);
        let is_garbage = peer.conduct == Conduct::Garbage;
        self.download.on_received(self.now, id, chunk, piece);
        if is_whole {
            self.forget(id, chunk);
            if is_garbage {
                self.download.on_bad(self.now, id, chunk);
            } else {
                *self.fetched.entry(chunk).or_default() += 1;
                self.download.on_verified(self.now, id, chunk);
            }
        }
    }
}
