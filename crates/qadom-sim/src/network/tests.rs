//! What the virtual transport promises to engines, seen from inside.

use qadom_engine::PingReport;
use qadom_store::Store;

use super::*;

fn joined(settings: Settings) -> Network {
    let mut network = Network::new(settings);
    network.join_all().unwrap();
    network
}

#[test]
fn a_request_that_is_sent_again_reaches_its_engine_once() {
    let delay = Duration::from_millis(50)..=Duration::from_millis(60);
    let commit_delay = Duration::from_millis(300);
    let mut network = joined(Settings {
        delay,
        commit_delay,
        ..Settings::default()
    });
    let sent = network.figures.sent;
    network.put(NodeIndex::from(0), "once").unwrap();
    let quick = Settings {
        delay: network.settings.delay.clone(),
        ..Settings::default()
    };
    let mut quick = joined(quick);
    let quick_sent = quick.figures.sent;
    quick.put(NodeIndex::from(0), "once").unwrap();
    assert!(
        network.figures.sent - sent > quick.figures.sent - quick_sent + 10,
        "nothing resent"
    );
    for node in &network.nodes {
        assert_eq!(node.store.ticket().number(), 1);
    }
}

#[test]
fn a_message_for_the_dead_or_for_nobody_is_lost_and_asked_again_three_times() {
    let mut network = joined(Settings {
        nodes: 2,
        ..Settings::default()
    });
    network.kill(NodeIndex::from(1));
    let newcomer = network.add_node(Mode::Storing);
    let (dead, nobody) = (
        network.address(NodeIndex::from(1)).unwrap(),
        ([192, 0, 2, 1], 9).into(),
    );
    let (before, began) = (network.figures(), network.now);
    let task = network.start_join_through(newcomer, vec![dead, nobody]);
    network.finish(task).unwrap_err();
    let after = network.figures();
    assert_eq!((after.sent - before.sent, after.lost - before.lost), (6, 6));
    assert_eq!(after.timeouts - before.timeouts, 2);
    // 500 ms, 1 s and 2 s.
    assert_eq!(network.now.since(began), Duration::from_millis(3500));
}

#[test]
fn a_session_is_confirmed_to_its_initiator_first_and_then_to_the_other_end() {
    let delay = Duration::from_millis(40)..=Duration::from_millis(40);
    let mut network = Network::new(Settings {
        nodes: 2,
        delay,
        ..Settings::default()
    });
    let (other, asker) = (NodeIndex::from(0), NodeIndex::from(1));
    let contact = network.contact(other).unwrap();
    let peers =
        |network: &Network| [asker, other].map(|node| network.engine(node).unwrap().status().peers);
    let task: Task<PingReport> = network.start(asker, |engine, now| engine.ping(now, contact));
    // The first message and its answer.
    network.run_for(Duration::from_millis(79));
    assert_eq!(peers(&network), [0, 0]);
    network.run_for(Duration::from_millis(1));
    assert_eq!(peers(&network), [1, 0]);
    // The empty message, since the asker has nothing else to say.
    network.run_for(Duration::from_millis(39));
    assert_eq!(peers(&network), [1, 0]);
    network.run_for(Duration::from_millis(1));
    assert_eq!(peers(&network), [1, 1]);
    assert_eq!(network.finish(task).unwrap().rtt, Duration::from_millis(80));
}

#[test]
fn messages_between_two_nodes_take_about_as_long_each_time() {
    let mut network = Network::new(Settings::default());
    let (least, most) = (Duration::from_millis(10), Duration::from_millis(90));
    let mut of_pairs = Vec::new();
    for other in 1..20 {
        let (one, other) = (NodeIndex::from(0), NodeIndex::from(other));
        let delays: Vec<_> = (0..50)
            .flat_map(|_| [network.delay(one, other), network.delay(other, one)])
            .collect();
        let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*shortest >= least && *longest <= most);
        assert!(longest.abs_diff(*shortest) <= most.abs_diff(least) / 10);
        of_pairs.push(*shortest);
    }
    let (nearest, farthest) = (
        of_pairs.iter().min().unwrap(),
        of_pairs.iter().max().unwrap(),
    );
    assert!(
        farthest.abs_diff(*nearest) > most.abs_diff(least) / 2,
        "{of_pairs:?}"
    );
}
