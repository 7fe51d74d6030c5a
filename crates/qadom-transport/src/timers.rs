//! All deadlines of an endpoint in one ordered set.
//!
//! What must stay true: a timer is armed at most once at a time, and a disarmed one never fires.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};

use crate::assembly::AssemblyId;
use crate::message::RequestId;
use crate::slack::Slack;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// A request becomes slow, is sent again, or fails.
    Request(RequestId),
    /// A WHO is sent again or fails.
    Search([u8; 16]),
    /// A refusal of our handshake is believed.
    Mismatch(u32),
    /// A new session's first packet is due.
    Confirm(u32),
    /// A session ends: the earliest end of all, as sessions may be many and end late.
    Sessions,
    /// A responder stops waiting for proof.
    Pending(u32),
    /// The next piece of a long message has its turn.
    Pieces(AssemblyId),
    /// A sender of pieces fell silent.
    Silence(AssemblyId),
    /// The budget allows the next background request.
    Background,
}

/// The armed timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Duration, Timer)>,
    armed: HashMap<Timer, Duration>,
}

impl Timers {
    /// Arms a timer, in place of its earlier deadline if it had one.
    pub(crate) fn arm(&mut self, timer: Timer, at: Duration) {
        if let Some(earlier) = self.armed.insert(timer, at) {
            self.queue.remove(&(earlier, timer));
        }
        self.queue.insert((at, timer));
    }

    pub(crate) fn disarm(&mut self, timer: Timer) {
        if let Some(at) = self.armed.remove(&timer) {
            self.queue.remove(&(at, timer));
            self.armed.release();
        }
    }

    /// Arms a timer unless it is due even earlier.
    pub(crate) fn arm_by(&mut self, timer: Timer, at: Duration) {
        if self.armed.get(&timer).is_none_or(|&earlier| at < earlier) {
            self.arm(timer, at);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.armed.capacity()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        let &(at, timer) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.armed.remove(&timer);
        self.armed.release();
        Some(timer)
    }
}
