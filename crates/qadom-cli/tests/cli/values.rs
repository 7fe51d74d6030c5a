//! `put` and `get` through a daemon.

use crate::process::Daemon;

const GOLDEN_KEY: &str = "626f674b4ba4fed89391a3390a68e8fdc9ccfff9d77b16c25a62d4c550dac2d4";
const GOLDEN_DECIMAL: &str =
    "int:44523492095186523269265158000087001266127815262863473237438729878159874507476";

#[test]
fn the_golden_value_has_its_key_and_comes_back() {
    let daemon = Daemon::start(&[]);
    let put = daemon.run_with(&["put"], b"sudo python").code(0);
    assert_eq!(put.text(), GOLDEN_KEY);
    assert!(
        put.stderr.contains("only copy") && put.stderr.contains("expires"),
        "{}",
        put.stderr
    );
    for key in [GOLDEN_KEY, &GOLDEN_KEY.to_uppercase(), GOLDEN_DECIMAL] {
        let get = daemon.run(&["get", key]).code(0);
        assert_eq!(get.stdout, b"sudo python");
        assert_eq!(get.stderr, "");
    }
    let get = daemon
        .run(&["get", GOLDEN_KEY, "--local-only", "-v"])
        .code(0);
    assert!(get.stderr.contains("own store"), "{}", get.stderr);
}

#[test]
fn files_come_back_byte_for_byte_and_their_keys_in_order() {
    let daemon = Daemon::start(&["--memory"]);
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (0..=255).cycle().take(8192).collect();
    let values: [&[u8]; 4] = [b"", b"\n", b"\0\xff\r\n", &all];
    let files = values.iter().enumerate().map(|(number, value)| {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, value).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let files = files.collect::<Vec<_>>();
    let mut arguments = vec!["put"];
    arguments.extend(files.iter().map(String::as_str));
    let put = daemon.run(&arguments).code(0);
    let keys = put.text().lines().collect::<Vec<_>>();
    assert_eq!(keys.len(), values.len());
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(daemon.run(&["get", key]).code(0).stdout, value);
    }
    let copy = folder.path().join("copy");
    let get = daemon
        .run(&["get", keys[3], "-o", copy.to_str().unwrap()])
        .code(0);
    assert!(get.stdout.is_empty());
    assert_eq!(std::fs::read(copy).unwrap(), all);
}

#[test]
fn with_json_each_value_is_an_object() {
    let daemon = Daemon::start(&["--memory"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "from a file").unwrap();
    let put = daemon.run_with(
        &["put", "--json", file.to_str().unwrap(), "-"],
        b"sudo python",
    );
    let objects = put.code(0).objects();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[1]["key"], GOLDEN_KEY);
    let receipt = &objects[1]["receipt"];
    assert_eq!(
        (&receipt["stored"], &receipt["alone"]),
        (&1.into(), &true.into())
    );
    assert!(receipt["expires_at"].as_str().unwrap().ends_with('Z'));

    let get = daemon.run(&["--json", "get", GOLDEN_KEY]).code(0);
    assert_eq!(get.object()["value_base64"], "c3VkbyBweXRob24=");
    assert_eq!(get.object()["source"], "local");
    assert_eq!(get.stderr, "");
}

#[test]
fn a_value_above_the_limit_is_refused_and_nothing_of_the_line_is_stored() {
    let daemon = Daemon::start(&["--memory"]);
    let folder = tempfile::tempdir().unwrap();
    let fine = folder.path().join("fine");
    std::fs::write(&fine, "sudo python").unwrap();
    let put = daemon
        .run_with(&["put", fine.to_str().unwrap(), "-"], &[0; 8193])
        .code(2);
    assert!(put.stdout.is_empty());
    assert!(put.stderr.contains("8192"), "{}", put.stderr);
    daemon.run(&["get", GOLDEN_KEY]).code(3);
    let put = daemon.run_with(&["put", "--json"], &[0; 8193]).code(2);
    let error: serde_json::Value = serde_json::from_str(&put.stderr).unwrap();
    assert_eq!(error["error"]["type"], "too-large");
    daemon.run_with(&["put"], &[0; 8192]).code(0);
}

#[test]
fn too_few_copies_exit_5_and_tell_what_was_stored() {
    let daemon = Daemon::start(&["--memory"]);
    let put = daemon
        .run_with(&["put", "--min-copies", "2"], b"sudo python")
        .code(5);
    assert!(put.stderr.contains("only copy"), "{}", put.stderr);
    let put = daemon
        .run_with(&["put", "--min-copies", "2", "--json"], b"sudo python")
        .code(5);
    let error: serde_json::Value = serde_json::from_str(&put.stderr).unwrap();
    assert_eq!(error["error"]["type"], "too-few-copies");
    assert_eq!(error["error"]["receipt"]["stored"], 1);
    daemon
        .run_with(
            &["put", "--min-copies", "1", "--ttl", "60s"],
            b"sudo python",
        )
        .code(0);
}

#[test]
fn an_unknown_key_exits_3() {
    let daemon = Daemon::start(&["--memory"]);
    for flags in [&[][..], &["--local-only"]] {
        let get = daemon
            .run(&[&["get", "name:nobody put this"], flags].concat())
            .code(3);
        assert!(get.stdout.is_empty());
        assert!(get.stderr.starts_with("error: "), "{}", get.stderr);
    }
    let get = daemon.run(&["get", GOLDEN_KEY, "--json"]).code(3);
    let error: serde_json::Value = serde_json::from_str(&get.stderr).unwrap();
    assert_eq!(error["error"]["type"], "not-found");
    assert!(error["error"]["message"].is_string());
}
