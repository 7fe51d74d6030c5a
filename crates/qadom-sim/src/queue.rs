//! Everything that is going to happen, in order.
//!
//! What must stay true: events of the same moment happen in the order in which they were planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use qadom_routing::Moment;
use qadom_store::Ticket;

use crate::exchange::{ExchangeId, Packet};
use crate::network::Datagram;
use crate::node::NodeIndex;

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message reaches the node it was sent to.
    Arrival {
        from: NodeIndex,
        to: NodeIndex,
        packet: Packet,
    },
    /// A datagram reaches the node it was sent to, when the real transport runs.
    Datagram(Box<Datagram>),
    /// A wait for an answer is over. One that is not the last is passed over.
    Timeout { exchange: ExchangeId, wait: u32 },
    /// A request takes longer than its peer's round trips.
    Slow(ExchangeId),
    /// Nothing better than a mismatch came, so that it is believed.
    Mismatch(ExchangeId),
    /// An engine's deadline, or before it. One that is not the node's planned one any more is passed
    /// over.
    Wake(NodeIndex),
    /// A commit ended.
    Committed {
        node: NodeIndex,
        /// The life of the node in which it began; the commits of earlier ones are passed over.
        life: u32,
        ticket: Ticket,
        failed: bool,
    },
    /// The next departure of the churn of this number. One of an earlier churn is passed over.
    Departure(u32),
    /// A newcomer that reached nobody tries again.
    Join(NodeIndex),
    /// The end of a node's session, in the churn of this number and the life of this one.
    Leave {
        number: u32,
        node: NodeIndex,
        life: u32,
    },
    /// A node that left comes back, in the churn of this number.
    Return { number: u32, node: NodeIndex },
}

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    planned: BinaryHeap<Planned>,
    sequence: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Moment, event: Event) {
        self.sequence += 1;
        self.planned.push(Planned {
            at,
            sequence: self.sequence,
            event,
        });
    }

    /// The next event, if it happens no later than `until`.
    pub(crate) fn pop(&mut self, until: Moment) -> Option<(Moment, Event)> {
        if self.planned.peek()?.at > until {
            return None;
        }
        self.planned
            .pop()
            .map(|planned| (planned.at, planned.event))
    }
}

#[derive(Debug)]
struct Planned {
    at: Moment,
    sequence: u64,
    event: Event,
}

impl Ord for Planned {
    /// The earlier one is the greater one, since the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_moment_and_then_in_the_order_they_were_planned() {
        let mut queue = Queue::default();
        for (at, node) in [(5, 0), (3, 1), (5, 2), (3, 3), (9, 4)] {
            queue.push(Moment::from_micros(at), Event::Wake(NodeIndex::from(node)));
        }
        let mut order = Vec::new();
        while let Some((at, Event::Wake(node))) = queue.pop(Moment::from_micros(5)) {
            order.push((at.as_micros(), node.as_usize()));
        }
        assert_eq!(order, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }
}
