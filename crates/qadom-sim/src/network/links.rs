//! The links between nodes: delay, loss, duplicates, overtaking, partitions.
//!
//! What must stay true: whether a message arrives, when and how often is decided when it is sent,
//! by the seed alone.

use std::net::SocketAddr;
use std::time::Duration;

use qadom_routing::NodeKey;

use super::Network;
use crate::exchange::{ExchangeId, Packet};
use crate::node::NodeIndex;
use crate::queue::Event;

/// The longest datagram in bytes.
const FIRST_FULL: u64 = 1200;

impl Network {
    /// Cuts these nodes off from all others: nothing that is sent from now on gets from one side
    /// to the other. Who was cut off before is a third side. Nodes that come later are on the side
    /// of those that were never cut off.
    pub fn cut_off(&mut self, nodes: &[NodeIndex]) {
        self.last_side += 1;
        let side = self.last_side;
        for node in nodes {
            if let Some(node) = self.nodes.get_mut(node.as_usize()) {
                node.side = side;
            }
        }
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        for node in &mut self.nodes {
            node.side = 0;
        }
    }

    /// Sends the empty message that keeps address translators open, if there is a session.
    pub(super) fn keep_alive(&mut self, from: NodeIndex, key: NodeKey) {
        let node = self.node(from);
        let has_session = node.is_some_and(|node| node.peers.has_session(&key, self.now));
        let other = self.by_key.get(&key).and_then(|&other| self.node(other));
        let address = other.map(|other| other.address);
        if let Some(address) = address.filter(|_| has_session) {
            self.send(from, address, Packet::Empty);
        }
    }

    pub(super) fn reply(&mut self, from: NodeIndex, id: ExchangeId, packet: Packet) {
        let asker = self
            .exchanges
            .get(&id)
            .and_then(|exchange| self.node(exchange.asker));
        if let Some(address) = asker.map(|node| node.address) {
            self.send(from, address, packet);
        }
    }

    /// Puts a message on its way, which it may not survive.
    pub(super) fn send(&mut self, from: NodeIndex, address: SocketAddr, packet: Packet) {
        let exchange = packet.exchange().and_then(|id| self.exchanges.get(&id));
        let length = packet.length(exchange) as u64;
        if exchange.is_some_and(|exchange| exchange.is_background) {
            self.figures.background_bytes += length;
            self.figures.background_datagrams += length.div_ceil(FIRST_FULL);
        }
        self.figures.datagrams += length.div_ceil(FIRST_FULL);
        self.figures.sent += 1;
        self.figures.bytes += length;
        self.fly(from, address, |to| Event::Arrival { from, to, packet });
    }

    /// Puts something on its way, which it may not survive.
    pub(super) fn fly(
        &mut self,
        from: NodeIndex,
        address: SocketAddr,
        event: impl Fn(NodeIndex) -> Event,
    ) {
        let to = self.reach(address);
        let now = self.now;
        if let (Some(to), Some(sender)) = (to, self.nodes.get_mut(from.as_usize())) {
            sender.on_call(to, now);
        }
        let Some(to) = to.filter(|&to| self.gets_through(from, to)) else {
            self.figures.lost += 1;
            return;
        };
        let copies = 1 + usize::from(self.chance.happens(self.settings.duplication));
        for _ in 0..copies {
            let mut delay = self.delay(from, to);
            if self.chance.happens(self.settings.overtaking) {
                let most = *self.settings.delay.end();
                delay += self.chance.between(Duration::ZERO, most);
            }
            let at = self.now + delay;
            self.queue.push(at, event(to));
        }
    }

    fn gets_through(&mut self, from: NodeIndex, to: NodeIndex) -> bool {
        let side = |node: NodeIndex| self.node(node).map(|node| node.side);
        side(from) == side(to) && !self.chance.happens(self.settings.loss)
    }

    /// How long a message travels: nine tenths of the way from the least to the most belong to the
    /// pair of nodes, one tenth to the message.
    pub(super) fn delay(&mut self, from: NodeIndex, to: NodeIndex) -> Duration {
        let line = |node: NodeIndex| self.node(node).map_or(0, |node| node.line);
        let pair = pair_number(self.settings.seed, line(from), line(to));
        if let Some(area) = self.settings.wide_area {
            return area.delay(pair, &mut self.chance);
        }
        let (least, most) = (*self.settings.delay.start(), *self.settings.delay.end());
        let spread = most.saturating_sub(least);
        let of_pair = spread.mul_f64(0.9 * fraction(pair));
        self.chance
            .between(least + of_pair, least + of_pair + spread.mul_f64(0.1))
    }
}

/// A fraction from 0 to below 1 that follows from a number.
fn fraction(number: u64) -> f64 {
    let top = u32::try_from(number >> 32).unwrap_or(u32::MAX);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

/// A number that a pair of nodes has in both directions.
fn pair_number(seed: u64, one: u64, other: u64) -> u64 {
    let (low, high) = (one.min(other), one.max(other));
    // The mixing steps of SplitMix64.
    let mut mixed = seed ^ low.rotate_left(32) ^ high.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
