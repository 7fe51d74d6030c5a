//! Acknowledged records are found: all of them are read in the end, by nodes that the seed chooses,
//! each three times at the most.

use std::fmt::Write;

use super::{Check, Checker, Seen, check};
use crate::network::Network;
use crate::scenario::Share;

/// Counts what the last reading of everything found.
#[derive(Debug)]
pub(super) struct Acknowledged {
    /// The share that the scenario gives up.
    may_miss: Share,
    last: Option<(usize, usize)>,
    journals_lost: usize,
}

impl Acknowledged {
    pub(super) const fn new(may_miss: Share) -> Self {
        Self {
            may_miss,
            last: None,
            journals_lost: 0,
        }
    }
}

impl Checker for Acknowledged {
    fn note(&mut self, seen: &Seen) {
        match seen {
            Seen::ReadAll { found, all } => self.last = Some((*found, *all)),
            Seen::JournalLost => self.journals_lost += 1,
            _ => {}
        }
    }

    fn verdict(&self, _network: &Network) -> Check {
        let (found, all) = self.last.unwrap_or((0, 0));
        let missing = u32::try_from(all - found.min(all)).unwrap_or(u32::MAX);
        let allowed = f64::from(u32::try_from(all).unwrap_or(u32::MAX)) * self.may_miss.0;
        let ok = self.last.is_some() && f64::from(missing) <= allowed && self.journals_lost == 0;
        let mut detail = format!("{found} of {all} acknowledged records are found at the end");
        if self.may_miss.0 > 0.0 {
            // Writing to a string cannot fail.
            let _ = write!(detail, "; a share of {} may be missing", self.may_miss.0);
        }
        if self.journals_lost > 0 {
            let _ = write!(
                detail,
                "; {} journals could not be read back",
                self.journals_lost
            );
        }
        check("acknowledged records are found", ok, detail)
    }
}
