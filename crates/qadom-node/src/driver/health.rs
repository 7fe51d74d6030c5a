//! How a node is doing, in one word with the reasons, and what it looks after.
//!
//! What must stay true: a node that was given nobody to join is healthy alone; a store that has
//! stopped is noticed whatever call it failed in.

use std::path::Path;

use qadom_engine::{Refill, Time};
use qadom_store::Recovery;
use qadom_wire::Reason;

use super::Driver;
use crate::command::{Bootstrapped, Neighbours};
use crate::flusher::Flusher;
use crate::status::{NOBODY_ANSWERS, Verdict};

/// What the verdict is made of, beside the number of neighbours that answer.
#[derive(Debug)]
pub(super) struct Health {
    joining: Joining,
    /// What is wrong with the addresses of the start, in words.
    problems: Vec<String>,
    /// Why the last commit failed; none when it did not.
    pub(super) commit_failure: Option<Reason>,
    /// What was lost of the store, in words; none when nothing was.
    lost: Option<String>,
    /// The losses of the store that are being made up for; none when nothing is missing.
    refilling: Option<u64>,
    /// Why the last promise could not be journalled; none when it could.
    pub(super) journal_failure: Option<Reason>,
}

/// How far the node has come with the addresses of its start and its saved contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joining {
    /// There are none, or they name this node alone.
    NotWanted,
    /// The first attempt is under way.
    First,
    /// The first attempt has ended, well or badly.
    Attempted,
}

impl Health {
    pub(super) const fn new(is_joining: bool) -> Self {
        let joining = if is_joining {
            Joining::First
        } else {
            Joining::NotWanted
        };
        Self {
            joining,
            problems: Vec::new(),
            commit_failure: None,
            lost: None,
            refilling: None,
            journal_failure: None,
        }
    }

    /// The store was damaged at the start, or at an earlier one and was not refilled since.
    pub(super) fn on_recovered(&mut self, recovery: &Recovery) {
        let reason = match recovery.reason.as_str() {
            "" => "why is not known any more",
            reason => reason,
        };
        let mut lost = format!("the store was damaged ({reason})");
        if let Some(place) = &recovery.place {
            lost = format!("{lost} and is set aside in {}", name_of(place));
        }
        if recovery.carried_over > 0 {
            let kept = recovery.carried_over;
            lost = format!("{lost}; {kept} records were whole and kept");
        }
        self.lost = Some(lost);
        self.refilling = Some(0);
    }

    pub(super) fn on_bootstrapped(&mut self, bootstrapped: Bootstrapped) {
        self.joining = if bootstrapped.is_first {
            Joining::NotWanted
        } else {
            Joining::Attempted
        };
        self.problems = bootstrapped.problems;
    }

    pub(super) fn verdict(&self, live: usize, refill: Refill) -> (Verdict, Vec<String>) {
        let mut reasons = Vec::new();
        let is_isolated = self.joining == Joining::Attempted && live == 0;
        if let Some(reason) = self.commit_failure {
            reasons.push(format!("{reason}: the last writes did not reach the disk"));
        }
        if let Some(reason) = self.journal_failure {
            reasons.push(format!(
                "{reason}: the last promises did not reach the disk"
            ));
        }
        if let Some(lost) = &self.lost {
            let Refill { fetched, own, .. } = refill;
            let far = if refill.is_under_way {
                "so far"
            } else {
                "in all"
            };
            reasons.push(format!(
                "{lost}; back {far}: {fetched} from other nodes, {own} of its own"
            ));
        }
        if is_isolated {
            reasons.push(NOBODY_ANSWERS.to_owned());
        }
        reasons.extend(self.problems.iter().cloned());
        let verdict = if self.commit_failure.is_some() || self.journal_failure.is_some() {
            Verdict::Degraded
        } else if self.joining == Joining::First {
            Verdict::Starting
        } else if is_isolated {
            Verdict::Isolated
        } else {
            Verdict::Healthy
        };
        (verdict, reasons)
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl Driver {
    /// Sends the flusher to a store that has stopped. It reports the failure and starts the store
    /// again, after which this may be the first to notice once more.
    pub(super) fn look_after_store(&self) {
        if let Some(flusher) = &self.flusher
            && self.health.commit_failure.is_none()
            && self.store.is_stopped()
        {
            flusher.commit();
        }
    }

    /// Notices entries that turned out to be damaged since the last look, and the end of a refill.
    pub(super) fn look_for_damage(&mut self, now: Time) {
        self.look_after_refill();
        let damaged = self.store.stats().damaged;
        let more = damaged.saturating_sub(std::mem::replace(&mut self.damaged, damaged));
        if more > 0 {
            tracing::error!(
                entries = more,
                "entries of the store are damaged and dropped"
            );
            let lost = format!("the store dropped {damaged} entries, whose checksums failed");
            self.health.lost = Some(lost);
            self.refill(now);
        }
    }

    /// Has what was lost brought back, and notes what is forgotten when that is done.
    fn refill(&mut self, now: Time) {
        self.health.refilling = self.flusher.as_ref().map(Flusher::losses);
        self.engine.refill(now);
    }

    /// Forgets that records were lost, once those that others hold are back.
    fn look_after_refill(&mut self) {
        if let (Some(losses), Some(flusher)) = (self.health.refilling, &self.flusher)
            && !self.engine.status().refill.is_under_way
            && flusher.refilled(losses)
        {
            self.health.refilling = None;
        }
    }

    /// The store was damaged while the node ran, and begun anew.
    pub(super) fn on_lost_records(&mut self, now: Time) {
        let last = self.quarantines.list().pop();
        let (place, reason) =
            last.map_or_else(Default::default, |last| (name_of(&last.path), last.reason));
        self.health.lost = Some(format!(
            "the store was damaged ({reason}) and is set aside in {place}"
        ));
        self.refill(now);
    }

    pub(super) fn neighbours(&mut self, now: Time) -> Neighbours {
        Neighbours {
            live: self.engine.status().live,
            known: self.remember(now).contacts,
        }
    }
}

#[cfg(test)]
mod tests;
