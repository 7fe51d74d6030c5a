//! Answers on their way out, and pieces that the other side asks for.
//!
//! What must stay true: a long answer is kept for a few seconds and in limited number; the other
//! side's wishes for pieces of one message are counted.

use core::time::Duration;

use bytes::Bytes;

use super::{DropReason, Endpoint};
use crate::config::{MESSAGE_MAX, Time};
use crate::event::InboundId;
use crate::frame::{Direction, WHOLE_MAX};
use crate::message::{Envelope, RequestId};
use crate::peer::Place;
use crate::slack::Slack;
use crate::suite::Suite;

/// How often the other side may ask for pieces of one message.
const NEEDS: u8 = 24;
/// Long answers kept for peers that miss pieces.
const HELD: usize = 512;
/// For how long.
const HELD_FOR: Duration = Duration::from_secs(5);

/// A long answer that was sent in pieces.
#[derive(Debug)]
pub(crate) struct Held {
    session: u32,
    request: RequestId,
    message: Envelope,
    until: Duration,
    needs: u8,
}

impl<S: Suite> Endpoint<S> {
    /// Answers a peer's request; `body` is at most the `answer_max` that came with it. A second
    /// answer, or one whose session has ended, is a counted drop.
    pub fn answer(&mut self, now: Time, inbound: InboundId, body: Bytes) {
        self.now = now;
        let message = Envelope::answer(inbound.request, now.utc_micros, body);
        self.send_answer(inbound, message);
    }

    /// Tells a peer that this node has too much to do, and when to come again.
    pub fn answer_busy(&mut self, now: Time, inbound: InboundId, retry_after_ms: u32) {
        self.now = now;
        self.send_answer(inbound, Envelope::busy(inbound.request, retry_after_ms));
    }

    fn send_answer(&mut self, inbound: InboundId, message: Envelope) {
        let InboundId { session, request } = inbound;
        self.serving.remove(&(session, request));
        let is_sendable = message.length() <= MESSAGE_MAX;
        if !is_sendable || !self.sessions.contains_key(&session) {
            if !is_sendable || !self.answer_init(inbound, &message) {
                self.drop_for(DropReason::StaleAnswer);
            }
            return;
        }
        self.send_message(session, request, Direction::Answer, &message);
        if message.length() > WHOLE_MAX {
            self.forget_held();
            let until = self.now.monotonic + HELD_FOR;
            self.held.push_back(Held {
                session,
                request,
                message,
                until,
                needs: 0,
            });
        }
    }

    /// Forgets long answers that nobody will ask for any more.
    pub(super) fn forget_held(&mut self) {
        let now = self.now.monotonic;
        while self.held.len() >= HELD || self.held.front().is_some_and(|held| held.until <= now) {
            self.held.pop_front();
            self.held.release();
        }
    }

    /// Sends a long answer's first burst again when its request comes again; false when there
    /// is none.
    pub(super) fn repeat_held(&mut self, session: u32, request: RequestId) -> bool {
        let is_it = |held: &&Held| held.session == session && held.request == request;
        let Some(message) = self
            .held
            .iter()
            .find(is_it)
            .map(|held| held.message.clone())
        else {
            return false;
        };
        self.send_message(session, request, Direction::Answer, &message);
        true
    }

    /// The other side asks for pieces of a message of ours.
    pub(super) fn on_need(
        &mut self,
        session: u32,
        key: &[u8; 32],
        (id, direction): (RequestId, Direction),
        bitmap: u8,
    ) {
        let message = match direction {
            Direction::Request => self.needed_request(id, key, bitmap),
            Direction::Answer => self.needed_answer(session, id),
        };
        match message {
            Some(message) if message.length() > WHOLE_MAX => {
                self.send_pieces(session, (id, direction), &message, bitmap);
            }
            _ => self.drop_for(DropReason::StrayPiece),
        }
    }

    fn needed_request(&mut self, id: RequestId, key: &[u8; 32], bitmap: u8) -> Option<Envelope> {
        let now = self.now.monotonic;
        let request = self.requests.get_mut(&id)?;
        let is_it = request.key == *key && matches!(request.place, Place::Session(_));
        if !is_it || request.needs >= NEEDS {
            return None;
        }
        request.needs += 1;
        // The other side is at work: the wait for its answer begins anew.
        request.last_sent = now;
        let message = Envelope::request(id, request.body.clone());
        self.arm_request(id);
        self.may_add(id, bitmap).then_some(message)
    }

    fn needed_answer(&mut self, session: u32, id: RequestId) -> Option<Envelope> {
        let mut all = self.held.iter_mut();
        let held = all.find(|held| held.session == session && held.request == id)?;
        if held.needs >= NEEDS {
            return None;
        }
        held.needs += 1;
        Some(held.message.clone())
    }
}
