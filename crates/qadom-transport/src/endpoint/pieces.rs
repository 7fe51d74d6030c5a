//! Long messages on their way out, in pieces that leave one after the other.
//!
//! What must stay true: the first piece leaves at once and the last one within a quarter of a round
//! trip, so that no timer of the other side passes in between; a piece that waits is not sent
//! twice; messages of which pieces wait are limited in number, and beyond that all pieces leave at
//! once. Pieces of background requests leave at once too: their budget spreads them already.

use core::time::Duration;

use super::Endpoint;
use crate::assembly::AssemblyId;
use crate::frame::{self, Direction, pieces};
use crate::message::{Envelope, RequestId};
use crate::peer::Place;
use crate::slack::Slack;
use crate::suite::Suite;
use crate::timers::Timer;

/// Messages of which pieces may wait.
const PACED: usize = 512;

/// A message of which pieces wait for their turn.
#[derive(Debug)]
pub(crate) struct Paced {
    message: Envelope,
    /// Bit i, 1 << i, stands for piece i.
    waiting: u8,
    gap: Duration,
}

impl<S: Suite> Endpoint<S> {
    /// Sends the pieces of a message that the bitmap names.
    pub(super) fn send_pieces(
        &mut self,
        session: u32,
        (request, direction): (RequestId, Direction),
        message: &Envelope,
        bitmap: u8,
    ) {
        let wanted = bitmap & (u8::MAX >> (8 - pieces(message.length())));
        let name = AssemblyId {
            session,
            request,
            direction,
        };
        if let Some(paced) = self.paced.get_mut(&name) {
            paced.message = message.clone();
            paced.waiting |= wanted;
            return;
        }
        if let Some(gap) = self.gap(name, wanted) {
            let paced = Paced {
                message: message.clone(),
                waiting: wanted,
                gap,
            };
            self.paced.insert(name, paced);
            self.on_pieces_due(name);
        } else {
            let named = (0..8).filter(|index| wanted & (1 << index) != 0);
            named.for_each(|index| self.send_piece(name, index, message));
        }
    }

    /// How far apart these pieces leave; `None` when they leave at once.
    fn gap(&self, name: AssemblyId, wanted: u8) -> Option<Duration> {
        let is_spread = name.direction == Direction::Request && self.is_background(name.request);
        if is_spread || self.paced.len() >= PACED {
            return None;
        }
        let session = self.sessions.get(&name.session)?;
        let peer = self.peers.get(&session.key)?;
        peer.rtt.gap(wanted.count_ones())
    }

    /// The next piece of a message has its turn.
    pub(super) fn on_pieces_due(&mut self, name: AssemblyId) {
        let is_wanted = self.sessions.contains_key(&name.session)
            && (name.direction == Direction::Answer || self.requests.contains_key(&name.request));
        let next = self.paced.get_mut(&name).filter(|_| is_wanted);
        let Some((index, message, rest)) = next.and_then(Paced::take) else {
            self.forget_paced(name);
            return;
        };
        self.send_piece(name, index, &message);
        match rest {
            Some(gap) => {
                let due = self.now.monotonic + gap;
                self.timers.arm(Timer::Pieces(name), due);
            }
            None => self.forget_paced(name),
        }
        if name.direction == Direction::Request {
            self.defer_request(name.request);
        }
    }

    fn send_piece(&mut self, name: AssemblyId, index: u8, message: &Envelope) {
        let piece = frame::Outgoing::Piece {
            id: name.request,
            direction: name.direction,
            index,
            of: message,
        };
        self.send_frame(name.session, &piece);
    }

    /// A request counts as sent when its last piece has left.
    fn defer_request(&mut self, id: RequestId) {
        let now = self.now.monotonic;
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if !matches!(request.place, Place::Session(_)) {
            return;
        }
        if request.tries <= 1 {
            request.first_sent = now;
        }
        request.last_sent = now;
        self.arm_request(id);
    }

    fn forget_paced(&mut self, name: AssemblyId) {
        self.paced.remove(&name);
        self.paced.release();
        self.timers.disarm(Timer::Pieces(name));
    }
}

impl Paced {
    /// Takes the first piece that waits: its index, the message, and when the next one follows.
    fn take(&mut self) -> Option<(u8, Envelope, Option<Duration>)> {
        let index = u8::try_from(self.waiting.trailing_zeros()).ok()?;
        self.waiting &= !1_u8.checked_shl(index.into())?;
        let rest = (self.waiting != 0).then_some(self.gap);
        Some((index, self.message.clone(), rest))
    }
}

#[cfg(test)]
mod tests;
