//! Churn: nodes leave without a word and others come in their place.
//!
//! What must stay true: it goes on by itself whenever the clock runs, until it is ended, and keeps
//! the number of nodes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use qadom_engine::{Failure, Mode, Outcome};

use super::Network;
use crate::node::NodeIndex;
use crate::queue::Event;

const HOUR: Duration = Duration::from_hours(1);
/// When a newcomer that reached nobody tries again.
const JOIN_AGAIN: Duration = Duration::from_secs(10);

/// The coming and going that is under way.
#[derive(Debug)]
pub(super) struct Churn {
    /// The share of the nodes that leaves in an hour.
    per_hour: f64,
    spared: BTreeSet<NodeIndex>,
}

impl Network {
    /// Lets this share of the living nodes leave in each hour from now on, one by one at moments
    /// that the seed chooses, and a newcomer join for each. Those that are spared stay. 0 ends it.
    pub fn set_churn(&mut self, per_hour: f64, spared: &[NodeIndex]) {
        self.last_churn += 1;
        self.churn = (per_hour > 0.0).then(|| Churn {
            per_hour,
            spared: spared.iter().copied().collect(),
        });
        self.plan_departure();
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
            self.kill(node);
            let newcomer = self.add_node(Mode::Storing);
            self.let_newcomer_join(newcomer);
        }
        self.plan_departure();
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
        let others: Vec<NodeIndex> = self
            .living_members()
            .filter(|(index, _)| *index != node && !self.newcomers.contains_key(index))
            .map(|(index, _)| index)
            .collect();
        self.some_addresses(&others)
    }

    fn plan_departure(&mut self) {
        let Some(churn) = &self.churn else {
            return;
        };
        let members = u32::try_from(self.living_members().count()).unwrap_or(u32::MAX);
        let mean = HOUR.div_f64((churn.per_hour * f64::from(members)).max(f64::MIN_POSITIVE));
        let at = self.now + self.chance.between(Duration::ZERO, 2 * mean);
        self.queue.push(at, Event::Departure(self.last_churn));
    }
}
