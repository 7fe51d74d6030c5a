//! What falls due.
//!
//! What must stay true: every timer that fired either ends what it was for or is armed anew.

use super::Endpoint;
use crate::config::Time;
use crate::suite::Suite;
use crate::timers::Timer;

impl<S: Suite> Endpoint<S> {
    /// Does all that is due at `now`; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            match timer {
                Timer::Request(id) => self.on_request_due(id),
                Timer::Search(nonce) => self.on_search_due(nonce),
                Timer::Mismatch(index) => self.on_mismatch_due(index),
                Timer::Confirm(index) => self.on_confirm_due(index),
                Timer::Sessions => self.on_sessions_due(),
                Timer::Pending(index) => self.on_pending_due(index),
                Timer::Pieces(name) => self.on_pieces_due(name),
                Timer::Silence(id) => self.on_silence_due(id),
                Timer::Background => self.on_background_due(),
            }
        }
        self.forget_held();
        self.pump_waiting();
    }
}
