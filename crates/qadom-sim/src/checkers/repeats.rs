//! Two runs of a seed agree: the beginning of the scenario runs twice, and every message has to reach
//! the same node at the same moment.

use super::{Check, Checker, Seen, check};
use crate::network::Network;

/// Knows whether a second run was made.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    agree: Option<bool>,
}

impl Checker for Repeats {
    fn note(&mut self, seen: &Seen) {
        if let Seen::Repeated { agree } = seen {
            self.agree = Some(*agree);
        }
    }

    fn verdict(&self, _network: &Network) -> Check {
        let detail = match self.agree {
            None => "not compared: the scenario asks for no second run",
            Some(true) => "the beginning ran twice, message by message the same",
            Some(false) => "the beginning ran twice and differed",
        };
        check(
            "two runs of a seed agree",
            self.agree != Some(false),
            detail.to_owned(),
        )
    }
}
