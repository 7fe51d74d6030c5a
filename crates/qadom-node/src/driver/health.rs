//! How a node is doing, in one word with the reasons.
//!
//! What must stay true: a node that was given nobody to join is healthy alone.

use qadom_wire::Reason;

use crate::command::Bootstrapped;
use crate::status::Verdict;

/// What the verdict is made of, beside the number of neighbours.
#[derive(Debug)]
pub(super) struct Health {
    joining: Joining,
    /// What is wrong with the addresses of the start, in words.
    problems: Vec<String>,
    /// Why the last commit failed; none when it did not.
    pub(super) commit_failure: Option<Reason>,
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
        }
    }

    pub(super) fn on_bootstrapped(&mut self, bootstrapped: Bootstrapped) {
        self.joining = if bootstrapped.is_first {
            Joining::NotWanted
        } else {
            Joining::Attempted
        };
        self.problems = bootstrapped.problems;
    }

    pub(super) fn verdict(&self, peers: usize) -> (Verdict, Vec<String>) {
        let mut reasons = Vec::new();
        let is_isolated = self.joining == Joining::Attempted && peers == 0;
        if let Some(reason) = self.commit_failure {
            reasons.push(format!("{reason}: the last writes did not reach the disk"));
        }
        if is_isolated {
            reasons.push("no other node of the network answers".to_owned());
        }
        reasons.extend(self.problems.iter().cloned());
        let verdict = if self.commit_failure.is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_the_first_attempt_and_the_neighbours() {
        let mut health = Health::new(true);
        assert_eq!(health.verdict(0).0, Verdict::Starting);
        let problems = vec!["h:1: unreachable".to_owned()];
        health.on_bootstrapped(Bootstrapped {
            is_first: false,
            problems,
        });
        let (verdict, reasons) = health.verdict(0);
        assert_eq!((verdict, reasons.len()), (Verdict::Isolated, 2));
        let (verdict, reasons) = health.verdict(1);
        assert_eq!((verdict, reasons.len()), (Verdict::Healthy, 1));
        assert_eq!(Health::new(false).verdict(0).0, Verdict::Healthy);
    }

    #[test]
    fn a_failed_commit_counts_for_more_than_neighbours() {
        let mut health = Health::new(false);
        health.commit_failure = Some(Reason::DiskFull);
        let (verdict, reasons) = health.verdict(9);
        assert_eq!(verdict, Verdict::Degraded);
        assert!(reasons[0].starts_with("disk-full"));
    }
}
