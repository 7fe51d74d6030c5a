//! `qadom sim`: exit codes, JSON, files of the report.

use std::fs;

use crate::process::run;

const SMALL: &str = "name = 'small'\nseed = 5\nduration = '20s'\nrepeat = '10s'\n\
    [network]\nnodes = 12\nsettle = '10s'\n[workload]\nvalues = 5\nlookups-per-hour = 360\n";

/// A scenario in a folder of its own, with this at its end.
fn scenario(more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.toml");
    fs::write(&path, format!("{SMALL}{more}")).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_scenario_is_run_and_its_report_is_the_same_each_time() {
    let (folder, path) = scenario("");
    let out = folder.path().join("out");
    let report = run(&["sim", &path, "--json", "--report", out.to_str().unwrap()]).code(0);
    let report = report.object();
    assert_eq!(
        (&report["scenario"], &report["seed"]),
        (&"small".into(), &5.into())
    );
    assert_eq!(report["get_success"], 1.0);
    assert!(report["lookup_hops_p50"].is_number());
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["ok"], true, "{check}");
        assert!(check["name"].is_string() && check["detail"].is_string());
    }
    let again = run(&["sim", &path, "--json"]).code(0).object();
    assert_eq!(again, report);
    let other = run(&["sim", &path, "--seed", "6", "--json"])
        .code(0)
        .object();
    assert_ne!(other["trace_hash"], report["trace_hash"]);
    for name in ["report.txt", "report.json", "holders.svg", "hops.svg"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn a_check_that_fails_exits_1_after_the_report() {
    let (_folder, path) = scenario("[[expect]]\nfigure = 'lookup_hops_p50'\nat-least = 9.0\n");
    let left = run(&["sim", &path]).code(1);
    assert!(
        left.text().contains("FAILED lookup_hops_p50"),
        "{}",
        left.text()
    );
    assert!(left.stderr.contains("seed 5"), "{}", left.stderr);
}

#[test]
fn a_scenario_that_is_not_right_exits_2_and_says_where() {
    let (_folder, path) = scenario("valuez = 3\n");
    let left = run(&["sim", &path]).code(2);
    assert!(
        left.stderr.contains("valuez") && left.stderr.contains("line 11"),
        "{}",
        left.stderr
    );
    let left = run(&["sim", "chrun"]).code(2);
    assert!(left.stderr.contains("churn"), "{}", left.stderr);
    run(&["sim", "/no/such/file.toml"]).code(2);
}
