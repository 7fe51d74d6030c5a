//! Every operation ends, and within the patience of users.

use std::fmt::Write;
use std::time::Duration;

use super::{Check, Checker, Seen, check};
use crate::network::Network;

/// Longer than any operation may take: two minutes, far above all its timeouts.
const LONGEST: Duration = Duration::from_mins(2);

/// Watches how long operations take.
#[derive(Debug, Default)]
pub(super) struct Ends {
    ended: usize,
    longest: Duration,
    stuck: usize,
}

impl Checker for Ends {
    fn note(&mut self, seen: &Seen) {
        match seen {
            Seen::Ended { lasted } => {
                self.ended += 1;
                self.longest = self.longest.max(*lasted);
            }
            Seen::Stuck { running } => self.stuck += running,
            _ => {}
        }
    }

    fn verdict(&self, _network: &Network) -> Check {
        let longest = self.longest.as_secs_f64();
        let mut detail = format!("{} ended, the longest after {longest:.1} s", self.ended);
        if self.stuck > 0 {
            // Writing to a string cannot fail.
            let _ = write!(detail, "; {} did not end", self.stuck);
        }
        let ok = self.stuck == 0 && self.longest <= LONGEST;
        check("operations end", ok, detail)
    }
}
