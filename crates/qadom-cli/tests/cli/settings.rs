//! The settings file, daemons in the background, the mode, completions and manual pages.

use serde_json::json;

use crate::process::{Daemon, run};

/// Stops a daemon in the background when the test ends, however it ends.
struct Background<'a>(&'a str);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = run(&["--data-dir", self.0, "stop"]);
    }
}

#[test]
fn a_daemon_reads_its_settings_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "network = \"of the file\"\nmemory = true\nclient = true\n";
    std::fs::write(folder.path().join("qadom.toml"), settings).unwrap();
    let daemon = Daemon::start_in(folder, &[]);
    let status = daemon.run(&["status", "--json"]).code(0).object();
    assert_eq!(status["network"], "of the file");
    assert_eq!(status["mode"], "client");
}

#[test]
fn a_settings_file_with_a_mistake_starts_nothing_and_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.toml"), "\nnetwrok = \"x\"\n").unwrap();
    let file = folder.path().join("mine.toml");
    let left = run(&["node", "--memory", "--config", file.to_str().unwrap()]).code(2);
    assert!(
        left.stderr.contains("mine.toml, line 2: "),
        "{}",
        left.stderr
    );
    assert!(
        left.stderr.contains("did you mean network?"),
        "{}",
        left.stderr
    );
}

#[test]
fn the_settings_in_force_are_printed_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let path = path.to_str().unwrap();
    let left = run(&[
        "--data-dir",
        path,
        "node",
        "--id-bits",
        "4",
        "--print-config",
    ])
    .code(0);
    assert!(
        left.text().lines().any(|line| line == "id_bits = 4"),
        "{}",
        left.text()
    );
    assert!(!std::path::Path::new(path).exists());
}

#[test]
fn a_secret_of_a_file_makes_a_network_private() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "too short").unwrap();
    let flag = ["--network-secret-file", file.to_str().unwrap()];
    let left = run(&[&["node", "--memory", "--listen", "127.0.0.1:0"], &flag[..]].concat());
    assert!(left.code(2).stderr.contains("fewer than 32"));

    std::fs::write(&file, "a secret that is long enough to be one\n").unwrap();
    let first = Daemon::start(&[&["--memory"], &flag[..]].concat());
    let joining = ["--memory", "--join", first.address()];
    let member = Daemon::start(&[&joining, &flag[..]].concat());
    let ping = ["ping", first.address()];
    member.run(&ping).code(0);
    Daemon::start(&["--memory"]).run(&ping).code(1);
}

#[test]
fn a_detached_daemon_runs_on_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let start = [
        "--data-dir",
        path,
        "node",
        "--memory",
        "--listen",
        "127.0.0.1:0",
        "--detach",
    ];
    let background = Background(path);
    let left = run(&start).code(0);
    assert!(left.text().starts_with("ready qadom:"), "{}", left.text());
    run(&["--data-dir", path, "status"]).code(0);
    // The folder is in use: a second one fails, and tells what it told.
    let left = run(&start).code(1);
    assert!(left.stderr.contains("error: "), "{}", left.stderr);
    run(&["--data-dir", path, "stop"]).code(0);
    drop(background);
    let said = std::fs::read_to_string(folder.path().join("daemon.log")).unwrap();
    assert!(said.contains("stopped"), "{said}");
}

#[test]
fn the_mode_is_changed_while_the_daemon_runs() {
    let daemon = Daemon::start(&["--memory"]);
    let mode = |arguments: &[&str]| daemon.run(arguments).code(0).object();
    assert_eq!(
        mode(&["mode", "client", "--json"]),
        json!({"mode": "client"})
    );
    assert_eq!(mode(&["status", "--json"])["mode"], "client");
    assert_eq!(
        mode(&["mode", "storing", "--json"]),
        json!({"mode": "storing"})
    );
    assert_eq!(mode(&["status", "--json"])["mode"], "storing");
    daemon.run(&["mode", "idle"]).code(2);
}

#[test]
fn completions_and_manual_pages_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let left = run(&["completions", shell]).code(0);
        assert!(left.text().contains("namespace"), "{shell}");
    }
    let left = run(&["man"]).code(0);
    assert!(left.text().contains(".TH qadom 1"), "{}", left.text());
    let folder = tempfile::tempdir().unwrap();
    run(&["man", "--output", folder.path().to_str().unwrap()]).code(0);
    for page in ["qadom.1", "qadom-dict-set.1", "qadom-node.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    run(&["man", "--output", "/nowhere"]).code(1);
}

#[test]
fn a_mistyped_verb_is_told_the_nearest_one() {
    let left = run(&["stauts"]).code(2);
    assert!(left.stderr.contains("'status'"), "{}", left.stderr);
}
