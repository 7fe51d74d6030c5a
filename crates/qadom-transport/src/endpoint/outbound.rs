//! Requests on their way out: queues, windows, retries, frames.
//!
//! What must stay true: a request that was taken ends in exactly one event; no more than the
//! limits are in flight or waiting; pieces beyond the first burst go out only when asked for.

use core::time::Duration;

use bytes::Bytes;

use super::Endpoint;
use crate::address::canonical;
use crate::config::{BODY_MAX, Time};
use crate::event::{Event, FailReason, Outgoing};
use crate::frame::{self, BURST, Direction, WHOLE_MAX};
use crate::key::is_node_key;
use crate::message::{Envelope, RequestId};
use crate::packet::data_size;
use crate::peer::{Place, Request, Urgency};
use crate::rtt::Rtt;
use crate::slack::Slack;
use crate::suite::Suite;
use crate::timers::Timer;

/// How often a request is sent before it fails.
const TRIES: u8 = 3;
/// How often a session may be lost under a request.
const LOSSES: u8 = 1;

impl<S: Suite> Endpoint<S> {
    /// Sends a request: over the session with the peer if there is one, else inside a handshake
    /// with whoever holds the key at the address.
    ///
    /// Ends in one [`Answer`](Event::Answer) or [`Failed`](Event::Failed) with its token;
    /// [`Slow`](Event::Slow) may come before.
    pub fn request(&mut self, now: Time, outgoing: Outgoing) {
        self.now = now;
        let (key, is_background) = (outgoing.key, outgoing.is_background);
        if let Some(id) = self.admit(outgoing) {
            if !is_background {
                self.hurry_attempt(&key);
            }
            let peer = self.peers.entry(key).or_default();
            match peer.open_session() {
                // What need not wait never touches the queue.
                Some(session)
                    if peer.queue.is_empty() && self.in_flight < self.config.limits.in_flight =>
                {
                    if self.may_leave(id) {
                        self.send_request(id, session);
                    } else {
                        self.postpone(id);
                    }
                }
                _ => {
                    peer.queue.push_back(id);
                    self.queued += 1;
                    self.pump(&key);
                }
            }
        }
    }

    /// Sends a request inside a new handshake even if there is a session with the peer: an
    /// answer proves that the peer is reached at this very address.
    ///
    /// Ends like [`request`](Self::request); `first_ok` must hold and the body must fit an INIT
    /// of 1200 bytes, else it fails with [`FailReason::TooLong`].
    pub fn probe(&mut self, now: Time, outgoing: Outgoing) {
        self.now = now;
        let key = outgoing.key;
        let room = crate::handshake::init_room(1200, &self.config.hello);
        let fits = outgoing.first_ok && outgoing.body.len() + crate::message::REQUEST_HEAD <= room;
        let refusal = if !fits {
            Some(FailReason::TooLong)
        } else if self.in_flight >= self.config.limits.in_flight {
            Some(FailReason::Overloaded)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.events.push_back(Event::Failed {
                token: outgoing.token,
                reason,
            });
        } else if let Some(id) = self.admit(outgoing) {
            if let Some(request) = self.requests.get_mut(&id) {
                request.is_probe = true;
            }
            if self.may_leave(id) {
                let version = self.revision_of(&key);
                self.launch(id, version, true);
            } else {
                self.postpone(id);
            }
        }
    }

    /// Takes a request in, or fails it at once.
    fn admit(&mut self, outgoing: Outgoing) -> Option<RequestId> {
        let Outgoing {
            token,
            key,
            address,
            body,
            first_ok,
            class,
            patience,
            is_background,
        } = outgoing;
        let is_crowded =
            is_background && self.budget.waiting() >= self.config.limits.background_queue;
        let refusal = if key == self.key || !is_node_key(&key) {
            Some(FailReason::WrongKey)
        } else if body.len() > BODY_MAX {
            Some(FailReason::TooLong)
        } else if self.queued >= self.config.limits.queue || is_crowded {
            Some(FailReason::Overloaded)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.events.push_back(Event::Failed { token, reason });
            return None;
        }
        let id = self.fresh_request_id();
        let request = Request {
            token: Some(token),
            key,
            address: canonical(address),
            body,
            first_ok,
            class,
            place: Place::Queued,
            patience,
            first_sent: Duration::ZERO,
            last_sent: Duration::ZERO,
            tries: 0,
            losses: 0,
            needs: 0,
            is_slow: false,
            urgency: if is_background {
                Urgency::Background
            } else {
                Urgency::Foreground
            },
            is_probe: false,
        };
        self.requests.insert(id, request);
        Some(id)
    }

    pub(super) fn fresh_request_id(&mut self) -> RequestId {
        loop {
            let id = self.random_bytes();
            if !self.requests.contains_key(&id) {
                return id;
            }
        }
    }

    /// Sends what a peer's queue, window and session allow; begins a handshake when there is
    /// something to send and no session. Forgets a peer with which nothing is left to do.
    pub(super) fn pump(&mut self, key: &[u8; 32]) {
        while let Some(peer) = self.peers.get_mut(key) {
            let Some(id) = peer.queue.front() else {
                if peer.is_idle() {
                    self.peers.remove(key);
                    self.peers.release();
                }
                return;
            };
            if self.in_flight >= self.config.limits.in_flight {
                if !peer.is_waiting {
                    peer.is_waiting = true;
                    self.waiting.push_back(*key);
                }
                return;
            }
            let session = peer.open_session();
            if session.is_none() && (peer.current.is_some() || peer.attempt.is_some()) {
                return;
            }
            if !self.may_leave(id) {
                self.unqueue(key);
                self.postpone(id);
            } else if let Some(session) = session {
                self.unqueue(key);
                self.send_request(id, session);
            } else {
                self.begin_attempt(key);
            }
        }
    }

    /// Takes the request at the head of a peer's queue out of it.
    fn unqueue(&mut self, key: &[u8; 32]) {
        let head = self
            .peers
            .get_mut(key)
            .and_then(|peer| peer.queue.pop_front());
        self.queued -= usize::from(head.is_some());
    }

    /// Room was made among all requests in flight: the next peer in line sends.
    pub(super) fn pump_waiting(&mut self) {
        while self.in_flight < self.config.limits.in_flight {
            let Some(key) = self.waiting.pop_front() else {
                return;
            };
            self.waiting.release();
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.is_waiting = false;
            }
            self.pump(&key);
        }
    }

    /// Sends a request over a session for the first time.
    fn send_request(&mut self, id: RequestId, session: u32) {
        let now = self.now.monotonic;
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.place = Place::Session(session);
        request.first_sent = now;
        request.last_sent = now;
        request.tries = 1;
        self.in_flight += 1;
        if let Some(peer) = self.peers.get_mut(&request.key) {
            peer.window.on_sent();
        }
        let message = Envelope::request(id, request.body.clone());
        self.send_message(session, id, Direction::Request, &message);
        self.arm_request(id);
    }

    /// Sends a message as one frame, or the first burst of its pieces.
    pub(super) fn send_message(
        &mut self,
        session: u32,
        id: RequestId,
        direction: Direction,
        message: &Envelope,
    ) {
        if message.length() <= WHOLE_MAX {
            self.send_frame(session, &frame::Outgoing::Whole(message));
        } else {
            let first = u8::MAX >> (8 - BURST);
            self.send_pieces(session, (id, direction), message, first);
        }
    }

    /// Seals one frame. A session that comes to the end of its counters is renewed in time; one
    /// that has reached it ends.
    pub(super) fn send_frame(&mut self, session: u32, frame: &frame::Outgoing<'_>) {
        debug_assert!(
            data_size(2 + frame.length()).is_some(),
            "a frame fits a packet"
        );
        let Some(found) = self.sessions.get_mut(&session) else {
            return;
        };
        let (to, local) = (found.address(), found.local);
        let sealed = found.seal::<S>(frame, &mut self.arena);
        let (is_running_out, is_at_end) = (
            Self::is_running_out(found),
            found.next == crate::packet::COUNTER_END,
        );
        match sealed {
            Some(bytes) => self.transmit_from(local, to, bytes),
            None if is_at_end => return self.end_session(session),
            None => {}
        }
        if is_running_out {
            self.renew(session);
        }
    }

    /// Arms the next deadline of a request that was sent: slow, or due to be sent again.
    pub(super) fn arm_request(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let rtt = self
            .peers
            .get(&request.key)
            .map(|peer| peer.rtt)
            .unwrap_or_default();
        let mut due = resend_at(request, rtt);
        if !request.is_slow {
            due = due.min(request.first_sent + rtt.slow_after());
        }
        self.timers.arm(Timer::Request(id), due);
    }

    /// A request's deadline passed.
    pub(super) fn on_request_due(&mut self, id: RequestId) {
        let now = self.now.monotonic;
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let (key, place) = (request.key, request.place);
        let peer_rtt = self
            .peers
            .get(&key)
            .map(|peer| peer.rtt)
            .unwrap_or_default();
        if !request.is_slow && now >= request.first_sent + peer_rtt.slow_after() {
            request.is_slow = true;
            if let Some(token) = request.token {
                self.events.push_back(Event::Slow { token });
            }
        }
        if now < resend_at(request, peer_rtt) {
            self.arm_request(id);
            return;
        }
        let may_retry = request.tries < TRIES;
        let is_patient = !request.patience.is_zero();
        if may_retry && !self.may_repeat(id) {
            return;
        }
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if may_retry {
            request.tries += 1;
            request.last_sent = now;
        }
        match place {
            Place::Queued | Place::Background => {}
            Place::Handshake(index) => self.retry_init(id, index, may_retry),
            Place::Session(session) => {
                // What takes the peer its time to do is no sign of loss.
                if let Some(peer) = self.peers.get_mut(&key).filter(|_| !is_patient) {
                    peer.window.on_loss(now, peer_rtt.timeout());
                }
                self.retry_request(id, session, may_retry);
            }
        }
    }

    fn retry_init(&mut self, id: RequestId, index: u32, may_retry: bool) {
        let Some(attempt) = self.attempts.get(&index) else {
            return;
        };
        if may_retry {
            let (to, packet) = (attempt.address, attempt.packet.clone());
            self.transmit(to, packet);
            self.arm_request(id);
        } else if attempt.mismatch.is_none() {
            let (address, since) = (attempt.address, self.first_sent(id));
            let reason = self.silence_of(address, since);
            self.fail_attempt(index, reason);
        }
    }

    fn first_sent(&self, id: RequestId) -> Duration {
        self.requests
            .get(&id)
            .map_or(self.now.monotonic, |request| request.first_sent)
    }

    fn retry_request(&mut self, id: RequestId, session: u32, may_retry: bool) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let (key, first_sent) = (request.key, request.first_sent);
        let current = self
            .peers
            .get(&key)
            .and_then(|peer| peer.session())
            .unwrap_or(session);
        if may_retry {
            request.place = Place::Session(current);
            let message = Envelope::request(id, request.body.clone());
            self.send_message(current, id, Direction::Request, &message);
            self.arm_request(id);
            return;
        }
        let address = self.sessions.get(&current).map(|session| session.address());
        let reason = address.map_or(FailReason::Timeout, |at| self.silence_of(at, first_sent));
        self.end_request(id, Err(reason));
        // A peer that was silent all the while has lost the session or is gone: the next request
        // begins with a handshake.
        let is_silent = self
            .sessions
            .get(&current)
            .is_some_and(|session| session.is_silent_since(first_sent));
        let is_last = self
            .peers
            .get(&key)
            .is_some_and(|peer| peer.window.in_flight() == 0);
        if is_silent && is_last {
            self.end_session(current);
        }
        self.pump(&key);
    }

    /// Ends a request with its answer or the reason of its failure; the one place where requests
    /// end.
    pub(super) fn end_request(
        &mut self,
        id: RequestId,
        end: Result<(Bytes, u64, Duration), FailReason>,
    ) {
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        self.requests.release();
        self.timers.disarm(Timer::Request(id));
        let peer = self.peers.get_mut(&request.key);
        match (request.place, peer) {
            (Place::Queued, Some(peer)) => {
                self.queued -= peer.queue.remove(id);
            }
            (Place::Session(_), Some(peer)) => {
                peer.window.on_ended();
                self.in_flight -= 1;
            }
            (Place::Session(_) | Place::Handshake(_), _) => self.in_flight -= 1,
            (Place::Background, _) => self.budget.forget(id),
            (Place::Queued, None) => {}
        }
        if let Some(token) = request.token {
            self.events.push_back(match end {
                Ok((body, utc_micros, rtt)) => Event::Answer {
                    token,
                    body,
                    utc_micros,
                    rtt,
                },
                Err(reason) => Event::Failed { token, reason },
            });
        }
    }

    /// Puts a request whose session was lost back to the head of its peer's queue, or fails it
    /// when that happened before.
    pub(super) fn requeue(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.losses >= LOSSES {
            self.end_request(id, Err(FailReason::Unreachable));
            return;
        }
        request.losses += 1;
        request.place = Place::Queued;
        request.tries = 0;
        let key = request.key;
        self.timers.disarm(Timer::Request(id));
        self.in_flight -= 1;
        self.queued += 1;
        let peer = self.peers.entry(key).or_default();
        peer.window.on_ended();
        peer.queue.push_front(id);
    }
}

/// When a request is due to be sent again or, after the last try, given up.
fn resend_at(request: &Request, rtt: Rtt) -> Duration {
    let doubled = rtt.timeout() * (1 << (request.tries.clamp(1, TRIES) - 1));
    let due = request.last_sent + doubled;
    if request.tries < TRIES {
        due
    } else {
        due.max(request.first_sent + request.patience)
    }
}
