//! Renewal: a session that comes to its term is replaced by a full handshake before it ends.
//!
//! What must stay true: the old session sends and receives until the new one is confirmed, so no
//! request is lost; what fails is tried again by the other side, and at the very end the next
//! request begins with a handshake anyway. Also here: the revisions of peers that speak no newer
//! one.

use core::time::Duration;

use super::Endpoint;
use crate::packet::COUNTER_END;
use crate::session::{Session, Standing};
use crate::suite::Suite;

/// How long before a session's last day ends the side that began it begins another.
const AHEAD: Duration = Duration::from_mins(30);
/// How much later the other side does, if nothing came of that.
const LATER: Duration = Duration::from_mins(10);
/// With how many packets left to send a session is renewed.
const SPARE: u32 = 1 << 20;
/// After how many more packets it is tried again.
const SPARE_STEP: u32 = 1 << 17;

/// Peers of lower revisions that are remembered.
const REVISIONS: usize = 1024;
/// For how long, before a higher one is tried again.
const REVISIONS_FOR: Duration = Duration::from_hours(24);

impl<S: Suite> Endpoint<S> {
    /// When a session shall be renewed; `None` for one that was replaced, or where it was tried.
    pub(super) fn renewal_of(session: &Session) -> Option<Duration> {
        if session.standing != Standing::Active {
            return None;
        }
        let ahead = if session.is_initiator() {
            AHEAD
        } else {
            AHEAD.saturating_sub(LATER)
        };
        Some(session.term().saturating_sub(ahead))
    }

    /// Whether a session that has just sealed a packet has so few left that it shall be renewed.
    pub(super) const fn is_running_out(session: &Session) -> bool {
        session.next >= COUNTER_END - SPARE && session.next.is_multiple_of(SPARE_STEP)
    }

    /// Begins a handshake with a session's peer beside the session, unless there was one.
    pub(super) fn renew(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(&index) else {
            return;
        };
        if session.is_retiring() {
            return;
        }
        session.standing = Standing::Renewing;
        if self.in_flight >= self.config.limits.in_flight {
            return;
        }
        let (key, address) = (session.key, session.address());
        let ping = self.own_ping(key, address);
        let id = self.fresh_request_id();
        self.requests.insert(id, ping);
        let version = self.revision_of(&key);
        self.launch(id, version, true);
    }

    /// The revision that a handshake with a peer begins with: our highest, unless the peer is
    /// known to speak a lower one.
    pub(super) fn revision_of(&self, key: &[u8; 32]) -> u8 {
        let highest = self.config.highest_version;
        self.revisions
            .get(key)
            .filter(|(_, until)| *until > self.now.monotonic)
            .map_or(highest, |(version, _)| {
                (*version).clamp(self.config.lowest_version, highest)
            })
    }

    /// Remembers for a day that a peer proved to speak this revision, if it is not our highest.
    pub(super) fn note_revision(&mut self, key: [u8; 32], version: u8) {
        let now = self.now.monotonic;
        if version >= self.config.highest_version {
            self.revisions.remove(&key);
            return;
        }
        if self.revisions.len() >= REVISIONS {
            self.revisions.retain(|_, (_, until)| *until > now);
        }
        if self.revisions.len() < REVISIONS || self.revisions.contains_key(&key) {
            // A renewal of what was learned does not put off the day when more is tried.
            self.revisions
                .entry(key)
                .and_modify(|(known, until)| {
                    if *until <= now || *known != version {
                        (*known, *until) = (version, now + REVISIONS_FOR);
                    }
                })
                .or_insert((version, now + REVISIONS_FOR));
        }
    }
}

#[cfg(test)]
mod tests;
