//! What has to hold in every scenario, one checker a file.
//!
//! What must stay true: a checker only looks. Each sees everything that was written, read and
//! counted, and says in the end whether its promise held, and what it saw when it did not.

mod acknowledged;
mod amplification;
mod bounds;
mod ends;
mod order;
mod repeats;

use std::fmt;
use std::time::Duration;

use qadom_routing::Key;
use qadom_wire::Writer;
use serde::Serialize;

use crate::network::{Census, Network};
use crate::node::NodeIndex;
use crate::scenario::Scenario;

/// Whether something that has to hold did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What has to hold.
    pub name: String,
    /// Whether it did.
    pub ok: bool,
    /// What was seen, for people.
    pub detail: String,
}

/// Something that checkers are told of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// An operation ended.
    Ended { lasted: Duration },
    /// Operations did not end.
    Stuck { running: usize },
    /// A write of an entry was acknowledged.
    Signed { entry: (Writer, Key), seq: u64 },
    /// A read of the latest version of an entry brought this one; another had been acknowledged
    /// before it began.
    Shown {
        reader: NodeIndex,
        entry: (Writer, Key),
        seq: u64,
        acknowledged: u64,
    },
    /// Everything that was acknowledged was read.
    ReadAll { found: usize, all: usize },
    /// A node could not read its journal back.
    JournalLost,
    /// A second run was made.
    Repeated { agree: bool },
    /// The scenario could not begin.
    Stopped,
}

/// One thing that has to hold.
pub(crate) trait Checker: fmt::Debug {
    /// Takes notice of something.
    fn note(&mut self, _seen: &Seen) {}

    /// Takes notice of a count of the whole network.
    fn sample(&mut self, _census: &Census) {}

    /// Says whether it held.
    fn verdict(&self, network: &Network) -> Check;
}

/// All checkers.
#[derive(Debug)]
pub(crate) struct Checkers(Vec<Box<dyn Checker>>);

impl Checkers {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self(vec![
            Box::new(acknowledged::Acknowledged::new(scenario.may_miss)),
            Box::new(order::Order::default()),
            Box::new(amplification::Amplification),
            Box::new(bounds::Bounds::default()),
            Box::new(ends::Ends::default()),
            Box::new(repeats::Repeats::default()),
        ])
    }

    pub(crate) fn note(&mut self, seen: &Seen) {
        for checker in &mut self.0 {
            checker.note(seen);
        }
    }

    pub(crate) fn sample(&mut self, census: &Census) {
        for checker in &mut self.0 {
            checker.sample(census);
        }
    }

    pub(crate) fn verdicts(&self, network: &Network) -> Vec<Check> {
        let checkers = self.0.iter();
        checkers.map(|checker| checker.verdict(network)).collect()
    }
}

fn check(name: &str, ok: bool, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        ok,
        detail,
    }
}
