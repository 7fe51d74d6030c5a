//! What is asked wrongly, or of nobody.

use crate::process::{run, run_in};

#[test]
fn without_a_daemon_every_verb_that_needs_one_exits_4_and_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let key = "0".repeat(64);
    for verb in [
        &["get", &key][..],
        &["put"],
        &["status"],
        &["peers"],
        &["lookup", &key],
        &["ping", "127.0.0.1:1"],
        &["join", "127.0.0.1:1"],
        &["stop"],
    ] {
        let left = run(&[verb, &["--data-dir", path]].concat()).code(4);
        assert!(left.stdout.is_empty());
        assert!(
            left.stderr.contains("advice: start one with `qadom node`"),
            "{}",
            left.stderr
        );
    }
    let left = run(&["status", "--json", "--data-dir", path]).code(4);
    let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
    assert_eq!(error["error"]["type"], "no-daemon");
    assert!(
        error["error"]["advice"]
            .as_str()
            .unwrap()
            .contains("qadom node")
    );
}

#[test]
fn a_malformed_key_exits_2_with_the_hint_to_use_a_name() {
    for verb in ["get", "lookup"] {
        for key in ["abc", "", "int:", "int:-1", "name:", &"g".repeat(64)] {
            let left = run(&[verb, "--data-dir", "/nowhere", "--", key]).code(2);
            assert!(left.stderr.contains("name:"), "{}", left.stderr);
        }
    }
    let left = run(&["get", "--json", "abc"]).code(2);
    let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
    assert_eq!(error["error"]["type"], "malformed");
}

#[test]
fn whatever_is_typed_wrongly_exits_2() {
    for arguments in [
        &["nod"][..],
        &["get"],
        &["get", "a", "b"],
        &["get", "name:a", "--from", "nowhere"],
        &["get", "name:a", "--from", "h:1", "--local-only"],
        &["put", "/no such file/"],
        &["put", "-", "-"],
        &["put", "--ttl", "soon"],
        &["put", "--ttl", "59s"],
        &["put", "--ttl", "169h"],
        &["put", "--min-copies", "-1"],
        &["ping"],
        &["ping", "h:0"],
        &["join"],
        &["join", "not an address"],
        &["node", "--listen", "localhost:1"],
        &["node", "--id-bits", "33"],
        &["node", "--id-bits", "255"],
        &["node", "--http", "localhost"],
        &["demo", "--nodes", "0"],
        &["status", "--unknown"],
    ] {
        let left = run(arguments).code(2);
        assert!(left.stdout.is_empty(), "{arguments:?}");
        assert!(
            left.stderr.starts_with("error: "),
            "{arguments:?}: {}",
            left.stderr
        );
        let left = run(&[arguments, &["--json"]].concat()).code(2);
        let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
        assert!(error["error"]["type"].is_string(), "{arguments:?}");
    }
}

#[test]
fn a_life_that_nobody_keeps_is_refused_with_its_own_reason() {
    for ttl in ["604801s", "8d"] {
        let left = run(&["put", "--json", "--ttl", ttl]).code(2);
        let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
        assert_eq!(error["error"]["type"], "lifetime-too-long");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("7d") && message.contains(ttl), "{message}");
    }
    let left = run(&["put", "--json", "--ttl", "59s"]).code(2);
    let error: serde_json::Value = serde_json::from_str(&left.stderr).unwrap();
    assert_eq!(error["error"]["type"], "usage");
    let help = run(&["put", "--help"]).code(0);
    assert!(help.text().contains("60s to 7d"), "{}", help.text());
}

#[test]
fn help_and_version_exit_0_and_no_verb_exits_2() {
    assert!(run(&["--help"]).code(0).text().contains("testnet"));
    assert!(
        run(&["node", "--help"])
            .code(0)
            .text()
            .contains("--advertise")
    );
    assert!(run(&["--version"]).code(0).text().starts_with("qadom "));
    assert!(run(&[]).code(2).stderr.contains("testnet"));
}

#[test]
fn settings_come_from_the_environment_and_flags_win() {
    let left = run_in(&[("QADOM_DATA_DIR", "/nowhere/a")], &["status"]).code(4);
    assert!(
        left.stderr.contains("/nowhere/a/control.sock"),
        "{}",
        left.stderr
    );
    let arguments = ["status", "--data-dir", "/nowhere/b"];
    let left = run_in(&[("QADOM_DATA_DIR", "/nowhere/a")], &arguments).code(4);
    assert!(
        left.stderr.contains("/nowhere/b/control.sock"),
        "{}",
        left.stderr
    );
    let left = run_in(&[("XDG_DATA_HOME", "/nowhere/c")], &["status"]).code(4);
    assert!(
        left.stderr.contains("/nowhere/c/qadom/control.sock"),
        "{}",
        left.stderr
    );

    let node = [
        "node",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "/nowhere/d",
    ];
    for setting in [
        ("QADOM_NETWORK_SECRET", "too short to be one"),
        ("QADOM_MEMORY", "perhaps"),
        ("QADOM_JOIN", "somewhere"),
        ("QADOM_ID_BITS", "33"),
    ] {
        run_in(&[setting], &node).code(2);
    }
}
