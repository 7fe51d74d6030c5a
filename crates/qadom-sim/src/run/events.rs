//! What happens to the network at the moments that the scenario names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_wire::Identity;

use super::Run;
use crate::checkers::Seen;
use crate::node::{Disk, NodeIndex};
use crate::scenario::{Action, EventPart};

impl Run<'_> {
    /// Lets the events happen whose time has come, in the order of their times.
    pub(super) fn do_events(&mut self) {
        let mut events: Vec<&EventPart> = self.scenario.event.iter().collect();
        events.sort_by_key(|event| event.at);
        while let Some(event) = events.get(self.events_done).copied() {
            let since = self.network.time().moment.since(self.began);
            if event.at.0 > since {
                return;
            }
            self.events_done += 1;
            self.measures.mark(since, event.action);
            self.happen(event);
        }
    }

    fn happen(&mut self, event: &EventPart) {
        match event.action {
            Action::Kill => {
                for node in self.some(event.share) {
                    self.network.kill(node);
                }
            }
            Action::Crash => {
                let nodes = self.some(event.share);
                for node in &nodes {
                    self.network.crash(*node);
                }
                self.crashed.extend(nodes);
            }
            Action::Restart => self.start_crashed(Disk::Kept),
            Action::RestartEmpty => self.start_crashed(Disk::Lost),
            Action::CutOff => {
                let nodes = self.some(event.share);
                self.network.cut_off(&nodes);
                self.split_until = Some(self.began + self.scenario.duration.0 + super::MERGING);
            }
            Action::Heal => {
                self.network.heal();
                self.split_until = Some(self.network.time().moment + super::MERGING);
            }
            Action::ClockJump => {
                let ahead = micros(event.ahead.0);
                for (number, node) in self.some(event.share).into_iter().enumerate() {
                    let error = if number % 2 == 0 { ahead } else { -ahead };
                    self.network.set_clock_error(node, error);
                }
            }
            Action::Flood => {
                let nodes = self.some(event.share);
                self.flood(&nodes, event.items);
            }
            Action::ReadAll => {
                let found = self.read_all();
                self.measures.read_all(found);
            }
        }
    }

    fn start_crashed(&mut self, disk: Disk) {
        for node in std::mem::take(&mut self.crashed) {
            if self.network.restart(node, disk).is_err() {
                self.checkers.note(&Seen::JournalLost);
                continue;
            }
            self.network.rejoin(node);
        }
    }

    /// Adds items of many writers to the first bag, from few nodes, and waits for none of them.
    fn flood(&mut self, nodes: &[NodeIndex], items: usize) {
        let Some(bag) = self.books.bags.first().map(|bag| bag.key) else {
            return;
        };
        for &node in nodes {
            for number in 0..items {
                let identity = Arc::new(Identity::from_seed(self.network.random_bytes()));
                let writer = identity.writer();
                let item = Bytes::from(format!("flood {node} {number}"));
                self.network.feed(node, |engine, now| {
                    engine.add_identity(identity);
                    engine.bag_add(now, writer, bag, item, super::workload::ONCE);
                });
                if number % 16 == 15 {
                    self.network.run_for(super::QUICK_TICK);
                    self.collect();
                }
            }
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
