//! What a subscription does when it may be without holders, or without an honest one.

use qadom_engine::Since;

use crate::subscribing::{Nodes, Subscriber};
use crate::watched::{event, seen};

#[test]
fn holders_that_all_die_are_missed_soon_after_a_busy_topic_falls_silent() {
    let mut subscriber = Subscriber::new(Since::Now);
    let holders = subscriber.holders();
    for seq in 1..=60 {
        subscriber.push(holders[0], &[event(1, seq)]);
        subscriber.pass(250);
    }
    subscriber.nodes.silent.extend(holders.iter().copied());
    subscriber.nodes.watched.clear();
    subscriber.pass(1_749);
    assert!(subscriber.nodes.watched.is_empty(), "no silence yet");
    subscriber.pass(1);
    // One did not answer, so the others were asked at once, and the next ones in their places.
    let new = subscriber.holders();
    assert_eq!(new.len(), 3);
    assert!(new.iter().all(|holder| !holders.contains(holder)));
    for since in subscriber.nodes.watched.values() {
        assert_eq!(*since, Some(seen(&[(1, 60)])));
    }
}

#[test]
fn one_holder_alone_cannot_say_where_a_live_subscription_begins() {
    let liar = Subscriber::new(Since::Now).holders()[0];
    let mut nodes = Nodes::default();
    // Events of the writer up to 9 are said to lie before the subscription.
    nodes.claimed.insert(liar, seen(&[(1, 9)]));
    let mut subscriber = Subscriber::with(Since::Now, nodes);
    let honest = subscriber.holders()[1];
    subscriber.push(honest, &[event(1, 1)]);
    subscriber.pass(200);
    assert_eq!(subscriber.take_told(), [(1, 0)]);
}
