//! Churn: nodes leave without a word and others come in their place.
//!
//! What must stay true: it goes on by itself whenever the clock runs, until it is ended. There are
//! two kinds: a share of the nodes that leaves in each hour, which keeps the number of nodes, and
//! sessions, in which each node stays for a span of its own and may come back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use qadom_engine::{Failure, Mode, Outcome};

use super::Network;
use crate::lengths::Lengths;
use crate::node::{Disk, NodeIndex};
use crate::queue::Event;

const HOUR: Duration = Duration::from_hours(1);
/// When a newcomer that reached nobody tries again.
const JOIN_AGAIN: Duration = Duration::from_secs(10);

/// How long nodes stay, and what becomes of those that left.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use qadom_sim::{Lengths, Sessions};
///
/// // Half of the nodes leave within two hours, and newcomers take their places.
/// let sessions = Sessions::new(Lengths::Exponential { median: Duration::from_hours(2) });
/// assert_eq!(sessions.returning, 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sessions {
    /// How long a node stays.
    pub lengths: Lengths,
    /// The share of those that leave which comes back, with its key and its journal, after an
    /// absence, 0 to 1 (0). In the place of each of the others a newcomer joins at once.
    pub returning: f64,
    /// How long those that come back are absent.
    pub absences: Lengths,
    /// The share of those that come back which has lost its records, 0 to 1 (0).
    pub disk_lost: f64,
}

impl Sessions {
    /// Sessions of these lengths, after which nobody comes back.
    pub const fn new(lengths: Lengths) -> Self {
        Self {
            lengths,
            returning: 0.0,
            absences: lengths,
            disk_lost: 0.0,
        }
    }
}

/// The coming and going that is under way.
#[derive(Debug)]
pub(super) struct Churn {
    pattern: Pattern,
    spared: BTreeSet<NodeIndex>,
}

#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// The share of the nodes that leaves in an hour.
    Hourly(f64),
    /// Each node by itself.
    Sessions(Sessions),
}

impl Network {
    /// Lets this share of the living nodes leave in each hour from now on, one by one at moments
    /// that the seed chooses, and a newcomer join for each. Those that are spared stay. 0 ends it,
    /// and ends sessions too.
    pub fn set_churn(&mut self, per_hour: f64, spared: &[NodeIndex]) {
        self.last_churn += 1;
        self.churn = (per_hour > 0.0).then(|| Churn {
            pattern: Pattern::Hourly(per_hour),
            spared: spared.iter().copied().collect(),
        });
        self.plan_departure();
    }

    /// Gives every living member, and everyone who comes later, a session of its own, which begins
    /// now, in place of the churn that there was. Those that are spared stay.
    pub fn set_sessions(&mut self, sessions: Sessions, spared: &[NodeIndex]) {
        self.last_churn += 1;
        self.churn = Some(Churn {
            pattern: Pattern::Sessions(sessions),
            spared: spared.iter().copied().collect(),
        });
        let members: Vec<NodeIndex> = self.living_members().map(|(node, _)| node).collect();
        for node in members {
            self.plan_leave(node);
        }
    }

    /// The next departure, if it belongs to the churn that is under way.
    pub(super) fn on_departure(&mut self, number: u32) {
        let Some(churn) = self.churn.as_ref().filter(|_| number == self.last_churn) else {
            return;
        };
        let members = self.living_members().map(|(node, _)| node);
        let leaving: Vec<NodeIndex> = members
            .filter(|node| !churn.spared.contains(node))
            .collect();
        if let Some(&node) = leaving.get(self.chance.below(leaving.len())) {
            self.replace(node);
        }
        self.plan_departure();
    }

    /// A node's session is over, if it belongs to the churn that is under way and to this life of
    /// the node.
    pub(super) fn on_leave(&mut self, number: u32, node: NodeIndex, life: u32) {
        let is_this = |owner: &crate::node::Node| owner.is_alive() && owner.life == life;
        if number != self.last_churn || !self.node(node).is_some_and(is_this) {
            return;
        }
        let Some(Pattern::Sessions(sessions)) = self.churn.as_ref().map(|churn| churn.pattern)
        else {
            return;
        };
        self.figures.departures += 1;
        if self.chance.happens(sessions.returning) {
            self.crash(node);
            let at = self.now + sessions.absences.draw(&mut self.chance);
            self.queue.push(at, Event::Return { number, node });
        } else {
            self.replace(node);
        }
    }

    /// A node that left comes back.
    pub(super) fn on_return(&mut self, number: u32, node: NodeIndex) {
        let Some(Pattern::Sessions(sessions)) = self.churn.as_ref().map(|churn| churn.pattern)
        else {
            return;
        };
        if number != self.last_churn {
            return;
        }
        let is_lost = self.chance.happens(sessions.disk_lost);
        let disk = if is_lost { Disk::Lost } else { Disk::Kept };
        // A journal that cannot be read back is a fault of the engine, and counted as one.
        if self.restart(node, disk).is_err() {
            self.figures.journals_lost += 1;
            return;
        }
        self.let_newcomer_join(node);
    }

    /// Plans the end of a node's session, when sessions are under way.
    pub(super) fn plan_leave(&mut self, node: NodeIndex) {
        let Some(churn) = &self.churn else {
            return;
        };
        let Pattern::Sessions(sessions) = churn.pattern else {
            return;
        };
        if churn.spared.contains(&node) {
            return;
        }
        let Some(life) = self.node(node).map(|node| node.life) else {
            return;
        };
        let at = self.now + sessions.lengths.draw(&mut self.chance);
        let number = self.last_churn;
        self.queue.push(at, Event::Leave { number, node, life });
    }

    /// A node leaves for good and another one comes.
    fn replace(&mut self, node: NodeIndex) {
        self.kill(node);
        let newcomer = self.add_node(Mode::Storing);
        self.let_newcomer_join(newcomer);
    }

    /// Lets a node that was started again join by itself, as often as it takes; until then no
    /// operation of [`random_node`](Self::random_node) begins there.
    pub fn rejoin(&mut self, node: NodeIndex) {
        if self.node(node).is_some_and(crate::node::Node::is_alive) {
            self.let_newcomer_join(node);
        }
    }

    /// Begins the join of a node that came by churn; nobody waits for it.
    pub(super) fn let_newcomer_join(&mut self, newcomer: NodeIndex) {
        let addresses = self.join_addresses(newcomer);
        let now = self.time_of(newcomer);
        let node = self.nodes.get_mut(newcomer.as_usize());
        if let Some(engine) = node.and_then(|node| node.engine.as_mut()) {
            let operation = engine.join(now, addresses, Vec::new());
            self.newcomers.insert(newcomer, operation);
            self.settle(newcomer);
        }
    }

    /// A newcomer's join ended.
    pub(super) fn on_newcomer(&mut self, newcomer: NodeIndex, result: &Result<Outcome, Failure>) {
        if result.is_ok() {
            self.newcomers.remove(&newcomer);
        } else {
            let at = self.now + JOIN_AGAIN;
            self.queue.push(at, Event::Join(newcomer));
        }
    }

    /// The addresses of up to three other living members that have joined.
    pub(super) fn join_addresses(&mut self, node: NodeIndex) -> Vec<SocketAddr> {
        let mut chosen = Vec::new();
        for _ in 0..super::JOIN_ADDRESSES {
            let other = self.random_joined().filter(|other| *other != node);
            let address = other.and_then(|other| self.address(other));
            chosen.extend(address.filter(|address| !chosen.contains(address)));
        }
        chosen
    }

    fn plan_departure(&mut self) {
        let Some(Churn {
            pattern: Pattern::Hourly(per_hour),
            ..
        }) = &self.churn
        else {
            return;
        };
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let mean = HOUR.div_f64((per_hour * f64::from(members)).max(f64::MIN_POSITIVE));
        let at = self.now + self.chance.between(Duration::ZERO, 2 * mean);
        self.queue.push(at, Event::Departure(self.last_churn));
    }
}
