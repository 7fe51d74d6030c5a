//! A short version of every scenario that comes with the crate, and what reports are made of.
//!
//! The whole ones are commands of their own: `cargo run --release -- sim NAME`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::time::Duration;

use qadom_sim::{Report, Scenario, Span, run};

/// Nodes of the short versions.
const NODES: usize = 50;

/// Runs a scenario on a smaller scale, and checks what has to hold on any scale.
fn short(name: &str, duration: Duration) -> Report {
    let scenario = Scenario::built_in(name).unwrap().shortened(NODES, duration);
    let report = run(&scenario, None);
    println!("{report}\n");
    assert!(report.is_ok(), "{report}");
    report
}

#[test]
fn churn() {
    let report = short("churn", Duration::from_mins(90));
    assert!(report.get("departures").unwrap() > 5.0);
    assert!(report.get("holders_p50").unwrap() >= 10.0);
}

#[test]
fn partition() {
    let report = short("partition", Duration::from_hours(2));
    assert_eq!(report.get("read_all_1"), Some(1.0));
}

#[test]
fn sybil() {
    short("sybil", Duration::from_mins(3));
}

#[test]
fn flood() {
    short("flood", Duration::from_mins(4));
}

#[test]
fn loss() {
    let report = short("loss", Duration::from_mins(4));
    assert!(report.get_success > 0.99, "{}", report.get_success);
}

#[test]
fn restart() {
    short("restart", Duration::from_mins(20));
}

#[test]
fn outage() {
    let report = short("outage", Duration::from_mins(4));
    assert_eq!(report.get("read_all_1"), Some(1.0));
}

#[test]
fn wide_area() {
    let report = short("wide-area", Duration::from_mins(2));
    assert!(report.get("lookup_ms_p50").unwrap() > 50.0);
}

#[test]
fn million() {
    let mut scenario = Scenario::built_in("million").unwrap();
    scenario.network.nodes = 20_000;
    let mut scenario = scenario.shortened(20_000, Duration::from_mins(1));
    scenario.workload.values = 4;
    scenario.network.askers = 8;
    scenario.network.settle = Span(Duration::from_mins(5));
    let report = run(&scenario, None);
    println!("{report}\n");
    assert!(report.is_ok(), "{report}");
}

#[test]
fn another_seed_gives_another_run_and_the_same_seed_the_same() {
    let scenario: Scenario = "name = 'seeds'\nduration = '30s'\nrepeat = '0s'\n\
        [network]\nnodes = 20\nsettle = '10s'\n[workload]\nvalues = 5"
        .parse()
        .unwrap();
    let hash = |seed| run(&scenario, Some(seed)).trace_hash;
    assert_eq!(hash(4), hash(4));
    assert_ne!(hash(4), hash(5));
}

#[test]
fn a_scenario_that_asks_for_too_much_fails_and_says_why() {
    let scenario: Scenario = "name = 'greedy'\nduration = '10s'\nrepeat = '0s'\n\
        [network]\nnodes = 10\nsettle = '10s'\n[workload]\nvalues = 3\n\
        [[expect]]\nfigure = 'get_ms_p50'\nat-most = 0.0\n\
        [[expect]]\nfigure = 'no_such_figure'\nat-least = 1.0"
        .parse()
        .unwrap();
    let report = run(&scenario, None);
    assert!(!report.is_ok());
    let failed: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(failed, ["get_ms_p50", "no_such_figure"]);
}
