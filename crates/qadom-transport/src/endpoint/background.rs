//! Background requests: those that nobody waits for leave only as far as their budget allows.
//!
//! What must stay true: over any span the datagrams that carry background requests, their
//! handshakes and their copies have no more bytes than the budget's rate times the span and
//! [`BURST`]; those that wait are bounded in number and leave in the order in which they came; a
//! request that somebody waits for never waits for the budget.

use core::time::Duration;
use std::collections::VecDeque;

use super::Endpoint;
use crate::config::Time;
use crate::event::{Class, FailReason};
use crate::frame::{self, WHOLE_MAX, pieces};
use crate::message::{REQUEST_HEAD, RequestId};
use crate::packet::data_size;
use crate::peer::{Place, Request, Urgency};
use crate::rate::Bucket;
use crate::slack::Slack;
use crate::suite::Suite;
use crate::timers::Timer;

/// Bytes that may leave at once after a silence.
const BURST: u32 = 16 * 1024;
/// Of these, what first sendings leave for copies and pieces that are asked for again.
const RESERVE: usize = 6 * 1024;
/// A packet with a piece of a message.
const PIECE_PACKET: usize = 1200;

/// What background requests may still send, and those that wait for it.
#[derive(Debug)]
pub(crate) struct Budget {
    bucket: Bucket,
    rate: u32,
    /// Bytes that were let through.
    spent: u64,
    waiting: VecDeque<RequestId>,
}

impl Budget {
    /// A full budget of this many bytes a second.
    pub(super) fn full(now: Duration, rate: u32) -> Self {
        Self {
            bucket: Bucket::full(now, rate, BURST),
            rate,
            spent: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The bytes that were let through and that the rate has made up for since.
    fn paid(&self, now: Duration) -> u64 {
        let owed = self.bucket.missing(now, (self.rate, BURST));
        self.spent.saturating_sub(owed.into())
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A request that may wait here has ended.
    pub(super) fn forget(&mut self, id: RequestId) {
        self.waiting.retain(|waiting| *waiting != id);
    }

    fn take(&mut self, now: Duration, bytes: usize) -> bool {
        let is_let = self
            .bucket
            .take_many(now, (self.rate, BURST), tokens(bytes));
        if is_let {
            self.spent = self.spent.saturating_add(bytes as u64);
        }
        is_let
    }

    fn ready_at(&self, now: Duration, bytes: usize) -> Duration {
        self.bucket.ready_at(now, (self.rate, BURST), tokens(bytes))
    }
}

/// One token stands for one byte.
fn tokens(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl<S: Suite> Endpoint<S> {
    /// The bytes of background requests since the start, as far as their budget has made up for them:
    /// over any span no more come to it than the budget's rate times the span.
    pub fn background_bytes(&self, now: Time) -> u64 {
        self.budget.paid(now.monotonic)
    }

    /// Whether a request may leave now; takes what it costs if it is one of the background.
    pub(super) fn may_leave(&mut self, id: RequestId) -> bool {
        let Some(cost) = self.first_cost(id) else {
            return true;
        };
        let now = self.now.monotonic;
        let had_turn = |request: &Request| request.urgency == Urgency::HadTurn;
        let is_next =
            self.budget.waiting.is_empty() || self.requests.get(&id).is_some_and(had_turn);
        is_next && self.budget.ready_at(now, cost + RESERVE) <= now && self.budget.take(now, cost)
    }

    /// Puts a request that may not leave, and is in no queue, in line: in front if it had its turn
    /// before.
    pub(super) fn postpone(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.place = Place::Background;
        if request.urgency == Urgency::HadTurn {
            self.budget.waiting.push_front(id);
        } else {
            self.budget.waiting.push_back(id);
        }
        self.expect_budget();
    }

    /// The budget has grown: whose turn it is goes on.
    pub(super) fn on_background_due(&mut self) {
        let now = self.now.monotonic;
        while let Some(&id) = self.budget.waiting.front() {
            let cost = self.first_cost(id).unwrap_or_default();
            if self.budget.ready_at(now, cost + RESERVE) > now {
                break;
            }
            self.budget.waiting.pop_front();
            self.budget.waiting.release();
            self.resume(id);
        }
        self.expect_budget();
    }

    /// Lets a request that had to wait go where it would have gone at once.
    fn resume(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.urgency = Urgency::HadTurn;
        let (key, is_probe) = (request.key, request.is_probe);
        request.place = Place::Queued;
        if !is_probe {
            self.peers.entry(key).or_default().queue.push_front(id);
            self.queued += 1;
            self.pump(&key);
        } else if self.in_flight >= self.config.limits.in_flight {
            self.end_request(id, Err(FailReason::Overloaded));
        } else if self.may_leave(id) {
            let version = self.revision_of(&key);
            self.launch(id, version, true);
        } else {
            self.postpone(id);
        }
    }

    fn expect_budget(&mut self) {
        if let Some(&id) = self.budget.waiting.front() {
            let cost = self.first_cost(id).unwrap_or_default();
            let at = self.budget.ready_at(self.now.monotonic, cost + RESERVE);
            self.timers.arm(Timer::Background, at);
        }
    }

    /// Whether a request that was sent may be sent again now; takes what it costs. If not, its
    /// deadline is put off until it may.
    pub(super) fn may_repeat(&mut self, id: RequestId) -> bool {
        let Some(request) = self.in_background(id) else {
            return true;
        };
        let cost = match request.place {
            Place::Handshake(index) => self
                .attempts
                .get(&index)
                .map_or(0, |attempt| attempt.packet.len()),
            _ => message_cost(request.body.len()),
        };
        let now = self.now.monotonic;
        let is_allowed = self.budget.take(now, cost);
        if !is_allowed {
            let at = self.budget.ready_at(now, cost);
            self.timers.arm(Timer::Request(id), at);
        }
        is_allowed
    }

    /// Somebody waits for the handshake under way with a peer: it waits for no budget any more.
    pub(super) fn hurry_attempt(&mut self, key: &[u8; 32]) {
        let attempt = self.peers.get(key).and_then(|peer| peer.attempt);
        let request = attempt
            .and_then(|index| self.attempts.get(&index.get()))
            .map(|a| a.request);
        if let Some(request) = request.and_then(|id| self.requests.get_mut(&id)) {
            request.urgency = Urgency::Foreground;
        }
    }

    /// Whether pieces of a request that the other side misses may be sent now; takes what they
    /// cost. If not, it will ask again.
    pub(super) fn may_add(&mut self, id: RequestId, bitmap: u8) -> bool {
        let cost = bitmap.count_ones() as usize * PIECE_PACKET;
        self.in_background(id).is_none() || self.budget.take(self.now.monotonic, cost)
    }

    /// Whether a request waits for the budget.
    pub(super) fn is_background(&self, id: RequestId) -> bool {
        self.in_background(id).is_some()
    }

    fn in_background(&self, id: RequestId) -> Option<&Request> {
        let request = self.requests.get(&id)?;
        (request.urgency != Urgency::Foreground).then_some(request)
    }

    /// The bytes of what leaves first for a request of the background; none for another one.
    fn first_cost(&self, id: RequestId) -> Option<usize> {
        let request = self.in_background(id)?;
        let peer = self.peers.get(&request.key).filter(|_| !request.is_probe);
        let cost = match peer {
            Some(peer) if peer.current.is_some() => message_cost(request.body.len()),
            // It leaves when the handshake under way is done.
            Some(peer) if peer.attempt.is_some() => 0,
            _ if request.first_ok => Class::Long.length(),
            _ => Class::Short.length(),
        };
        Some(cost)
    }
}

/// The bytes of the packets that a request's body leaves in, or the first burst of them.
fn message_cost(body: usize) -> usize {
    let length = REQUEST_HEAD + body;
    if length <= WHOLE_MAX {
        // Two bytes of length and one of the frame's kind.
        data_size(length + 3).unwrap_or(PIECE_PACKET)
    } else {
        usize::from(pieces(length).min(frame::BURST)) * PIECE_PACKET
    }
}
