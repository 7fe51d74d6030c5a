//! Each cause is named as what it is, and as nothing else.

use std::net::SocketAddr;

use qadom_routing::NodeKey;

use super::*;
use crate::address::NodeAddress;
use crate::status::Traffic;
use qadom_engine::Density;

/// A node of a network that works.
fn healthy() -> Status {
    let mut bytes = [7; 32];
    bytes[31] = 0;
    let key = NodeKey::new(bytes).unwrap();
    Status {
        node: key.id(),
        address: NodeAddress::new(key, SocketAddr::from(([127, 0, 0, 1], 1))),
        network: "qadom".to_owned(),
        mode: Mode::Storing,
        reachability: Reachability::Reachable,
        reachability_age: None,
        observed_addresses: vec!["198.51.100.7:7236".parse().unwrap()],
        clock_offset_ms: 0,
        local: false,
        verdict: Verdict::Healthy,
        reasons: Vec::new(),
        peers: 40,
        network_size: None,
        density: Density::default(),
        limits: Vec::new(),
        quarantined: Vec::new(),
        drops: BTreeMap::new(),
        traffic: Traffic {
            bytes_in: 1_000_000,
            bytes_out: 1_000_000,
            datagrams_in: 10_000,
            datagrams_out: 10_000,
            costs: Vec::new(),
        },
    }
}

/// The names of the checks that fail, after something has gone wrong.
fn failing(change: impl FnOnce(&mut Status, &mut Facts<'_>)) -> Vec<&'static str> {
    let blank = healthy();
    let mut status = healthy();
    let mut facts = Facts {
        status: &blank,
        answered: 20,
        published: Published { read: 3, found: 3 },
        addresses: (0..40).map(|n| IpAddr::from([20 + n, 1, 1, 1])).collect(),
        space: Some(Space {
            free: 1 << 33,
            total: 1 << 40,
        }),
    };
    change(&mut status, &mut facts);
    let facts = Facts {
        status: &status,
        ..facts
    };
    let checks = facts.checks();
    for check in &checks {
        assert_eq!(check.ok, check.advice.is_none(), "{check:?}");
    }
    let failing = checks.iter().filter(|check| !check.ok);
    failing.map(|check| check.name).collect()
}

/// As if nobody was ever heard.
fn cut_off(status: &mut Status, facts: &mut Facts<'_>) {
    status.verdict = Verdict::Isolated;
    status.traffic.datagrams_in = 0;
    facts.answered = 0;
    facts.addresses.clear();
}

#[test]
fn nothing_is_wrong_with_a_node_that_works() {
    assert_eq!(failing(|_, _| {}), [""; 0]);
}

#[test]
fn the_first_node_of_a_network_is_well() {
    let failing = failing(|status, facts| {
        cut_off(status, facts);
        status.verdict = Verdict::Healthy;
        status.traffic = Traffic::default();
    });
    assert_eq!(failing, [""; 0]);
}

#[test]
fn another_network_is_told_from_none() {
    let failing = failing(|status, facts| {
        cut_off(status, facts);
        status.traffic.datagrams_in = 3;
        status.reasons = vec!["192.0.2.1:1: wrong-network: name differs".to_owned()];
    });
    assert_eq!(failing, ["network", "lookup"]);
}

#[test]
fn no_network_and_blocked_packets_are_told_apart() {
    let failing_of = |unreachable| {
        failing(|status, facts| {
            cut_off(status, facts);
            status.drops = [("socket-unreachable".to_owned(), unreachable)].into();
        })
    };
    assert_eq!(failing_of(0), ["datagrams", "lookup"]);
    assert_eq!(failing_of(5), ["datagrams", "lookup"]);
    let detail = |unreachable| {
        let mut status = healthy();
        status.verdict = Verdict::Isolated;
        status.traffic.datagrams_in = 0;
        status.drops = [("socket-unreachable".to_owned(), unreachable)].into();
        let facts = Facts {
            status: &status,
            answered: 0,
            published: Published::default(),
            addresses: Vec::new(),
            space: None,
        };
        facts.datagrams().advice.unwrap()
    };
    assert!(detail(0).contains("firewall"));
    assert!(detail(5).contains("connect this machine"));
}

#[test]
fn peers_that_are_gone_are_told_from_peers_that_never_were() {
    let failing = failing(|status, facts| {
        status.verdict = Verdict::Isolated;
        facts.answered = 0;
    });
    assert_eq!(failing, ["lookup"]);
}

#[test]
fn each_other_cause_is_named_alone() {
    assert_eq!(
        failing(|status, _| status.reachability = Reachability::Unreachable),
        ["reachability"]
    );
    assert_eq!(
        failing(|status, _| status.clock_offset_ms = -86_400_000),
        ["clock"]
    );
    assert_eq!(
        failing(|status, _| status.clock_offset_ms = 60_000),
        [""; 0]
    );
    assert_eq!(
        failing(|_, facts| facts.published.found = 2),
        ["publications"]
    );
    assert_eq!(
        failing(|_, facts| facts.space = Some(Space {
            free: SPACE_MIN - 1,
            total: 1 << 30
        })),
        ["disk"]
    );
    assert_eq!(
        failing(|status, _| {
            status.verdict = Verdict::Degraded;
            status.reasons = vec!["disk-full: the last writes did not reach the disk".to_owned()];
        }),
        ["disk"]
    );
    assert_eq!(
        failing(|status, _| status.drops = [("busy".to_owned(), 501)].into()),
        ["drops"]
    );
    assert_eq!(
        failing(|status, _| status.drops = [("busy".to_owned(), 500)].into()),
        [""; 0]
    );
}

#[test]
fn a_table_of_one_provider_is_told_outside_local_mode() {
    let crowd = |facts: &mut Facts<'_>| {
        facts.addresses = (0..40).map(|n| IpAddr::from([20, 1, n, 1])).collect();
    };
    assert_eq!(failing(|_, facts| crowd(facts)), ["diversity"]);
    let local = failing(|status, facts| {
        status.local = true;
        crowd(facts);
    });
    assert_eq!(local, [""; 0]);
}

#[test]
fn keys_that_nodes_crowd_round_are_named() {
    let crowd = |status: &mut Status, _: &mut Facts<'_>| {
        status.density = Density {
            latest: 2.0,
            highest: 2.0,
            lookups: 20,
            alarms: 20,
        };
    };
    assert_eq!(failing(crowd), ["density"]);
}

#[test]
fn a_budget_that_is_nearly_used_up_is_told_and_a_full_store_is_not() {
    let with = |name, used| {
        failing(move |status, _| {
            status.limits = vec![Limit {
                name,
                used,
                limit: 1000,
            }];
        })
    };
    assert_eq!(with("memory-bytes", 950), ["budgets"]);
    assert!(with("memory-bytes", 949).is_empty());
    assert!(with("record-bytes", 1000).is_empty());
}
