//! What subscribers of a topic are told: everything, once, in order, and soon.
//!
//! The suite runs a small topic. The full one is
//!
//! ```sh
//! QADOM_SUBSCRIBERS=200 QADOM_EVENTS=1000 cargo test --release -p qadom-sim --test views topics -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use qadom_sim::{
    Key, Kind, Moment, Network, NodeIndex, Settings, Since, Subscription, Told, WatchEvent,
    WatchSlot, Writer, with_seed,
};

use crate::{joined, variable};

/// Between two events.
const EVERY: Duration = Duration::from_millis(250);

struct Topic {
    network: Network,
    publisher: (NodeIndex, Writer),
    slot: Key,
    subscriptions: Vec<Subscription>,
    published_at: Vec<Moment>,
}

impl Topic {
    fn new(nodes: usize, subscribers: usize, seed: u64, loss: f64) -> Self {
        let mut network = joined(Settings {
            nodes,
            seed,
            loss,
            ..Settings::default()
        });
        network.run_for(Duration::from_mins(2));
        let publisher = (NodeIndex::from(0), network.add_writer());
        let topic = network.random_key();
        let slot = WatchSlot {
            slot: topic,
            kind: Kind::Event,
        };
        let subscriptions = (1..=subscribers)
            .map(|node| network.watch(NodeIndex::from(node), slot, Since::Now))
            .collect();
        network.run_for(Duration::from_secs(30));
        Self {
            network,
            publisher,
            slot: topic,
            subscriptions,
            published_at: Vec::new(),
        }
    }

    fn publish(&mut self, events: usize) {
        let mut tasks = Vec::new();
        for _ in 0..events {
            let message = format!("event {}", self.published_at.len());
            self.published_at.push(self.network.time().moment);
            tasks.push(
                self.network
                    .start_publish(self.publisher, self.slot, message),
            );
            self.network.run_for(EVERY);
        }
        for task in tasks {
            self.network.finish(task).unwrap();
        }
    }

    /// Kills this many holders that nobody here speaks through.
    fn kill_holders(&mut self, count: usize) -> usize {
        let mut used: BTreeSet<NodeIndex> =
            self.subscriptions.iter().map(Subscription::node).collect();
        used.insert(self.publisher.0);
        let holders = self.network.holders(&self.slot);
        let dying = holders.iter().filter(|holder| !used.contains(holder));
        let dying: Vec<NodeIndex> = dying.take(count).copied().collect();
        for node in &dying {
            self.network.kill(*node);
        }
        dying.len()
    }

    /// Every subscriber was told every event once and in order. Gives the delays, sorted, of all
    /// but the first event.
    fn check(&mut self) -> Vec<Duration> {
        let mut delays = Vec::new();
        for subscription in &self.subscriptions {
            let node = subscription.node();
            assert!(self.network.watch_failure(subscription).is_none());
            let told = self.network.take_told(subscription);
            let wrong: Vec<&Told> = told
                .iter()
                .filter(|told| !matches!(told.event, WatchEvent::Record { .. }))
                .collect();
            assert!(wrong.is_empty(), "node {node} was told {wrong:?}");
            assert_eq!(
                told.len(),
                self.published_at.len(),
                "events told to node {node}"
            );
            for (number, (told, published_at)) in told.iter().zip(&self.published_at).enumerate() {
                let WatchEvent::Record { record, .. } = &told.event else {
                    continue;
                };
                assert_eq!(record.payload(), &format!("event {number}"), "node {node}");
                if number > 0 {
                    delays.push(told.at.since(*published_at));
                }
            }
        }
        delays.sort_unstable();
        delays
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    *sorted
        .get((sorted.len() * percent).div_ceil(100) - 1)
        .unwrap()
}

#[test]
fn subscribers_are_told_everything_once_and_in_order_though_holders_die() {
    let subscribers = variable("QADOM_SUBSCRIBERS", 20);
    let events = variable("QADOM_EVENTS", 100);
    with_seed(46, |seed| {
        let mut topic = Topic::new(2 * subscribers + 60, subscribers, seed, 0.05);
        topic.publish(events / 2);
        let holders = topic.network.holders(&topic.slot).len();
        let killed = topic.kill_holders(holders.div_ceil(4));
        assert!(killed * 4 >= holders, "{killed} of {holders} holders died");
        topic.publish(events - events / 2);
        topic.network.run_for(Duration::from_mins(5));
        let delays = topic.check();
        println!(
            "{events} events to {subscribers} subscribers at 5 % loss, {killed} of {holders} \
             holders killed midway: all told once and in order; delay p50 {:?}, p99 {:?}, max {:?}",
            percentile(&delays, 50),
            percentile(&delays, 99),
            percentile(&delays, 100),
        );
    });
}

#[test]
fn an_event_is_told_within_one_and_a_half_round_trips() {
    let subscribers = variable("QADOM_SUBSCRIBERS", 20);
    let events = variable("QADOM_EVENTS", 40);
    with_seed(47, |seed| {
        let mut topic = Topic::new(2 * subscribers + 60, subscribers, seed, 0.0);
        topic.publish(events);
        topic.network.run_for(Duration::from_mins(1));
        let delays = topic.check();
        // Messages travel 10 to 90 ms.
        let round_trip = Duration::from_millis(100);
        let median = percentile(&delays, 50);
        println!(
            "publish to delivery without loss, from the second event on: p50 {median:?}, that is \
             {:.2} round trips of {round_trip:?}; p99 {:?}",
            median.as_secs_f64() / round_trip.as_secs_f64(),
            percentile(&delays, 99),
        );
        assert!(median <= round_trip * 3 / 2, "{median:?}");
    });
}

#[test]
fn a_subscriber_that_comes_again_goes_on_behind_its_cursor() {
    with_seed(48, |seed| {
        let mut topic = Topic::new(60, 1, seed, 0.02);
        let subscription = topic.subscriptions.pop().unwrap();
        topic.publish(10);
        topic.network.run_for(Duration::from_secs(20));
        let told = topic.network.unwatch(subscription);
        assert_eq!(told.len(), 10);
        // It knew the first seven.
        let Some(WatchEvent::Record { cursor, .. }) = told.get(6).map(|told| &told.event) else {
            panic!("told {told:?}");
        };
        topic.publish(10);
        // The publisher leaves, and the holders tell the rest.
        topic.network.kill(topic.publisher.0);
        let slot = WatchSlot {
            slot: topic.slot,
            kind: Kind::Event,
        };
        let since = Since::Cursor(cursor.clone());
        let again = topic.network.watch(NodeIndex::from(9), slot, since);
        topic.network.run_for(Duration::from_mins(1));
        let told = topic.network.take_told(&again);
        let payloads: Vec<_> = told
            .iter()
            .map(|told| match &told.event {
                WatchEvent::Record { record, .. } => record.payload().clone(),
                event => panic!("told {event:?}"),
            })
            .collect();
        let expected: Vec<_> = (7..20).map(|number| format!("event {number}")).collect();
        assert_eq!(payloads, expected);
    });
}
