//! What it costs to keep many publications alive, and that they stay alive.
//!
//! The suite renews 1000 in a network of 100 nodes. `QADOM_PUBLICATIONS=100000 cargo test --release
//! -p qadom-sim --test publications -- --nocapture` renews that many in one of 1000 nodes.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints ratios"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use qadom_sim::{
    Draft, Identity, JournalEntry, Key, Mode, Network, NodeIndex, Promise, Promised,
    PublicationState, RenewalCost, Settings, Value, with_seed,
};

/// Names how many publications there are, in a network of 1000 nodes.
const COUNT_VARIABLE: &str = "QADOM_PUBLICATIONS";
const HOUR: Duration = Duration::from_hours(1);
const TTL: Duration = Duration::from_hours(36);
const LOOKUPS: usize = 50;

/// Publications and nodes.
fn size() -> (usize, usize) {
    match std::env::var(COUNT_VARIABLE) {
        Ok(count) => (count.parse().unwrap(), 1000),
        Err(_) => (1000, 100),
    }
}

#[test]
fn a_publication_costs_at_most_a_twentieth_of_a_lookup_each_time() {
    let (count, nodes) = size();
    with_seed(31, |seed| {
        let mut network = Network::new(Settings {
            nodes,
            seed,
            // Only what the publications cost is of interest.
            configure: |config| {
                config.replicate_every = Some(1000 * HOUR);
                config.test_every = 1000 * HOUR;
            },
            ..Settings::default()
        });
        network.join_all().unwrap();
        let publisher = network.add_node(Mode::Client);
        network.join(publisher).unwrap();
        network.run_for(Duration::from_mins(2));
        let lookup = messages_of_a_lookup(&mut network, publisher);
        let slots = publish(&mut network, publisher, count);

        // In the first 14 h all holders get what they lack, in each 12 h after that all is renewed.
        let mut before = RenewalCost::default();
        for (round, hours) in [14, 12].into_iter().enumerate() {
            network.run_for(hours * HOUR);
            let cost = network.engine(publisher).unwrap().status().renewal_cost;
            let queries = cost.queries + cost.looks - before.queries - before.looks;
            let (rounds, batches) = (cost.rounds - before.rounds, cost.batches - before.batches);
            let each = queries as f64 / count as f64;
            println!(
                "round {round}: {count} publications in {nodes} nodes: {queries} messages of \
                 {rounds} surveys, {each:.4} each, {:.2} % of a lookup of {lookup:.1}; {batches} \
                 messages with records, {:.3} each",
                100.0 * each / lookup,
                batches as f64 / count as f64,
            );
            assert!(each <= lookup / 20.0, "{each} of {lookup}");
            before = cost;
        }
        let others = assert_alive(&mut network, publisher, &slots);
        println!("{others} copies of {LOOKUPS} records lie with other nodes too");
    });
}

#[test]
fn a_lone_node_keeps_thousands_alive_at_once() {
    let mut network = Network::new(Settings {
        nodes: 1,
        ..Settings::default()
    });
    let publisher = NodeIndex::from(0);
    network.run_for(Duration::from_mins(2));
    let slots = publish(&mut network, publisher, 3000);
    network.run_for(40 * HOUR);
    let now = network.time().utc_seconds();
    let promises: Vec<_> = network.engine(publisher).unwrap().publications().collect();
    assert_eq!(promises.len(), slots.len());
    for promise in promises {
        assert!(promise.expires_at > now + 20 * 3600, "{promise:?}");
    }
    assert!(
        slots
            .iter()
            .all(|slot| network.holders(slot) == [publisher])
    );
}

fn messages_of_a_lookup(network: &mut Network, publisher: NodeIndex) -> f64 {
    let mut messages = 0;
    for _ in 0..LOOKUPS {
        let target = network.random_key();
        messages += network.lookup(publisher, target).unwrap().messages;
    }
    f64::from(messages) / LOOKUPS as f64
}

/// Has a node keep values and dict cells alive, half of each, as if it had started again: the last
/// round was at some time within the last 12 h.
fn publish(network: &mut Network, publisher: NodeIndex, count: usize) -> Vec<Key> {
    let identity = Arc::new(Identity::from_seed([9; 32]));
    let network_id = network.network_id();
    let now = network.time().utc_seconds();
    let mut slots = Vec::new();
    for number in 0..count {
        let payload = format!("publication {number}");
        let passed = network.random_below(12 * 3600) as u64;
        let expires_at = now - passed + TTL.as_secs();
        let promised = if number % 2 == 0 {
            Promised::Value(Value::new(payload.into()).unwrap())
        } else {
            let slot = network.random_key();
            let draft = Draft::dict_cell(slot, payload.into(), 1, expires_at);
            let record = identity.sign(&network_id, draft).unwrap();
            Promised::Signed(record.into_inner())
        };
        slots.push(promised.id().slot);
        let promise = Promise {
            promised,
            ttl_seconds: 36 * 3600,
            renewed_at: now - passed,
            expires_at,
            stored: 20,
            state: PublicationState::Active,
            refusals: BTreeMap::new(),
        };
        network.feed(publisher, |engine, _| {
            engine.restore(JournalEntry::Published(promise));
        });
    }
    network.feed(publisher, |engine, _| engine.add_identity(identity));
    slots
}

/// Every publication lies at least with the 20 nodes nearest to it, for longer than the next round takes.
/// Gives how many copies of some of them lie elsewhere: a survey that missed one of the 20 takes the
/// next one for it.
fn assert_alive(network: &mut Network, publisher: NodeIndex, slots: &[Key]) -> usize {
    let now = network.time().utc_seconds();
    let promises: Vec<_> = network.engine(publisher).unwrap().publications().collect();
    assert_eq!(promises.len(), slots.len());
    for promise in promises {
        assert!(promise.stored >= 20, "{promise:?}");
        assert!(promise.expires_at > now + 22 * 3600, "{promise:?}");
    }
    let mut others = 0;
    for _ in 0..LOOKUPS {
        let choice = network.random_below(slots.len());
        let slot = slots.get(choice).unwrap();
        let (holders, closest) = (network.holders(slot), network.true_closest(slot, 20));
        let lacking: Vec<_> = closest
            .iter()
            .filter(|node| !holders.contains(node))
            .collect();
        assert!(
            lacking.is_empty(),
            "{lacking:?} of {closest:?} lack a record"
        );
        others += holders.len() - closest.len();
    }
    others
}
