//! Dicts, bags, namespaces, topics, publications, identities and blocks from the shell.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::process::{Daemon, Finished, start, wait};

/// Two daemons that know each other.
fn pair() -> (Daemon, Daemon) {
    let one = Daemon::start(&[]);
    let two = Daemon::start(&[]);
    two.run(&["join", one.address()]).code(0);
    (one, two)
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap().to_owned()
}

/// The items of a listed bag as texts, in their order as texts.
fn items(listed: &Finished) -> Vec<String> {
    let mut items: Vec<_> = listed.text().lines().map(str::to_owned).collect();
    items.sort();
    items
}

#[test]
fn a_name_of_the_dict_is_set_read_replaced_and_deleted() {
    let (one, two) = pair();
    let missing = one.run(&["dict", "get", "colour", "--json"]).code(3);
    assert!(missing.stderr.contains("not-found"), "{}", missing.stderr);
    let default = one.run(&["dict", "get", "colour", "--default", "blue"]);
    assert_eq!(default.code(0).stdout, b"blue");

    let set = one.run(&["dict", "set", "colour", "green", "--json"]);
    let set = set.code(0).object();
    assert_eq!(set["receipt"]["stored"], 2, "{set}");
    let got = two
        .run(&["dict", "get", "colour", "--json"])
        .code(0)
        .object();
    assert_eq!(got["value_base64"], "Z3JlZW4=");
    assert_eq!(got["writer"], set["writer"]);
    assert_eq!(got["seq"], set["seq"]);
    assert_eq!(got["key"], set["key"]);

    two.run(&["dict", "set", "colour", "hex:00ff"]).code(0);
    assert_eq!(one.run(&["dict", "get", "colour"]).code(0).stdout, [0, 255]);
    let pinned = ["dict", "get", "colour", "--writer", &text(&set, "writer")];
    assert_eq!(one.run(&pinned).code(0).stdout, b"green");

    two.run(&["dict", "delete", "colour"]).code(0);
    one.run(&["dict", "get", "colour"]).code(3);
    one.run_with(&["dict", "set", "colour", "-"], b"once more")
        .code(0);
    assert_eq!(
        two.run(&["dict", "get", "colour"]).code(0).stdout,
        b"once more"
    );
}

#[test]
fn a_json_object_updates_many_names_with_a_receipt_each() {
    let (one, two) = pair();
    let object = json!({"a": "text", "b": 7, "c": [1, 2], "d": null}).to_string();
    let update = ["dict", "update", "-", "--json"];
    let lines = one.run_with(&update, object.as_bytes()).code(0).objects();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["receipt"]["stored"], 2, "{line}");
    }
    for (name, value) in [("a", "text"), ("b", "7"), ("c", "[1,2]"), ("d", "null")] {
        let got = two.run(&["dict", "get", name]).code(0);
        assert_eq!(got.text(), value, "{name}");
    }
    let many: serde_json::Map<_, _> = (0..600).map(|n| (format!("n{n}"), json!(n))).collect();
    let many = Value::from(many).to_string();
    let lines = one.run_with(&update, many.as_bytes()).code(0).objects();
    assert_eq!(lines.len(), 600);
    assert_eq!(two.run(&["dict", "get", "n599"]).code(0).text(), "599");
    let refused = one.run_with(&update, b"[1]").code(2);
    assert!(
        refused.stderr.contains("one JSON object"),
        "{}",
        refused.stderr
    );
    let long = json!({"x": "a".repeat(8193), "y": "kept"}).to_string();
    let lines = one.run_with(&update, long.as_bytes()).code(2).objects();
    assert_eq!(lines[0]["error"]["type"], "too-large");
    assert!(lines[0]["error"]["message"].is_string(), "{}", lines[0]);
    assert_eq!(two.run(&["dict", "get", "y"]).code(0).text(), "kept");
}

#[test]
fn a_bag_is_the_union_of_what_all_added_and_nobody_removed() {
    let (one, two) = pair();
    let empty = one.run(&["bag", "list", "name:fruit", "--json"]).code(0);
    assert_eq!(empty.object()["items"], json!([]));
    for (daemon, item) in [
        (&one, "apple"),
        (&two, "pear"),
        (&two, "apple"),
        (&one, "fig"),
    ] {
        daemon.run(&["bag", "add", "name:fruit", item]).code(0);
    }
    let listed = one.run(&["bag", "list", "name:fruit"]).code(0);
    assert_eq!(items(&listed), ["apple", "fig", "pear"]);
    let object = two
        .run(&["bag", "list", "name:fruit", "--json"])
        .code(0)
        .object();
    assert_eq!(object["complete"], true, "{object}");
    let listed = object["items"].as_array().unwrap();
    let apple = listed
        .iter()
        .find(|item| item["value_base64"] == "YXBwbGU=");
    assert_eq!(apple.unwrap()["writers"].as_array().unwrap().len(), 2);

    let page = ["bag", "list", "name:fruit", "--limit", "2", "--json"];
    let first = one.run(&page).code(0).object();
    assert_eq!(first["items"].as_array().unwrap().len(), 2, "{first}");
    let cursor = first["cursor"].as_str().unwrap();
    let rest = one.run(&["bag", "list", "name:fruit", "--cursor", cursor]);
    assert_eq!(items(&rest.code(0)).len(), 1);
    one.run(&["bag", "list", "name:fruit", "--limit", "0"])
        .code(2);

    one.run(&["bag", "remove", "name:fruit", "fig"]).code(0);
    let refused = one.run(&["bag", "remove", "name:fruit", "pear", "--json"]);
    let refused = refused.code(1);
    assert!(refused.stderr.contains("not-yours"), "{}", refused.stderr);
    let listed = two.run(&["bag", "list", "name:fruit"]).code(0);
    assert_eq!(items(&listed), ["apple", "pear"]);

    one.run(&["bag", "add", "name:numbers", "int:258"]).code(0);
    one.run(&["bag", "add", "name:numbers", "text:int:258"])
        .code(0);
    let object = two.run(&["bag", "list", "name:numbers", "--json"]).code(0);
    assert_eq!(object.object()["items"].as_array().unwrap().len(), 2);
    one.run(&["bag", "add", "name:x", &"a".repeat(1025)])
        .code(2);
    one.run(&["bag", "add", "name:x", &format!("int:{}", "9".repeat(80))])
        .code(2);
}

#[test]
fn a_namespace_is_set_by_its_writer_alone_and_compared_before_it_is_swapped() {
    let (one, two) = pair();
    let set = [
        "namespace",
        "set",
        "name:motd",
        "hello",
        "--if-seq",
        "0",
        "--json",
    ];
    let set = one.run(&set).code(0).object();
    assert_eq!(set["seq"], 1);
    let (writer, signature) = (text(&set, "public_key"), text(&set, "signature"));
    let get = ["namespace", "get", &writer, "name:motd"];
    assert_eq!(two.run(&get).code(0).stdout, b"hello");
    let signed = [&get[..], &["--signature", &signature]].concat();
    assert_eq!(two.run(&signed).code(0).stdout, b"hello");

    let late = [
        "namespace",
        "set",
        "name:motd",
        "late",
        "--if-seq",
        "0",
        "--json",
    ];
    let late = one.run(&late).code(1);
    let late: Value = serde_json::from_str(&late.stderr).unwrap();
    assert_eq!(late["error"]["type"], "stale-seq");
    let held = &late["error"]["held"];
    assert_eq!(
        (&held["seq"], &held["value_base64"]),
        (&json!(1), &json!("aGVsbG8="))
    );
    assert_eq!(held["writer"], set["writer"]);
    one.run(&["namespace", "set", "name:motd", "bye", "--if-seq", "1"])
        .code(0);
    let latest = [&get[..], &["--latest", "--json"]].concat();
    let latest = two.run(&latest).code(0).object();
    assert_eq!(
        (&latest["seq"], &latest["value_base64"]),
        (&json!(2), &json!("Ynll"))
    );
    let other = two.run(&[&signed[..], &["--json"]].concat()).code(1);
    assert!(other.stderr.contains("bad-signature"), "{}", other.stderr);

    // The same key belongs to somebody else in another's namespace.
    let two_set = two.run(&["namespace", "set", "name:motd", "mine", "--json"]);
    let two_writer = text(&two_set.code(0).object(), "public_key");
    assert_ne!(writer, two_writer);
    assert_eq!(one.run(&get).code(0).stdout, b"bye");
    let int = ["namespace", "get", "int:0", "name:motd", "--json"];
    assert!(one.run(&int).code(2).stderr.contains("public key"));
    one.run(&["namespace", "delete", "name:motd"]).code(0);
    two.run(&[&get[..], &["--latest"]].concat()).code(3);
}

#[test]
fn a_subscriber_gets_the_backlog_then_what_is_published_live() {
    let (one, two) = pair();
    for message in ["first", "second"] {
        one.run(&["topic", "publish", "news", message]).code(0);
    }
    let path = two.path().to_str().unwrap();
    let subscribe = [
        "topic",
        "subscribe",
        "news",
        "--since",
        "0",
        "--count",
        "4",
        "--json",
    ];
    let arguments = [&["--data-dir", path], &subscribe[..]].concat();
    // The first line is the first message of the backlog, so the subscription stands.
    let (mut subscriber, first) = start(&arguments);
    for message in ["third", "fourth"] {
        one.run(&["topic", "publish", "news", message]).code(0);
    }
    let left = wait(&mut subscriber).code(0);
    let mut events: Vec<Value> = vec![serde_json::from_str(&first).unwrap()];
    events.extend(left.objects());
    let values: Vec<_> = events
        .iter()
        .map(|event| text(event, "value_base64"))
        .collect();
    assert_eq!(values, ["Zmlyc3Q=", "c2Vjb25k", "dGhpcmQ=", "Zm91cnRo"]);

    // From the cursor of the second on, the third comes next.
    let cursor = text(&events[1], "cursor");
    let again = [
        "topic",
        "subscribe",
        "news",
        "--since",
        &cursor,
        "--count",
        "1",
    ];
    assert_eq!(two.run(&again).code(0).text(), "third");
    let watch = ["watch", "topic:news", "--since", "0", "--count", "1"];
    assert_eq!(one.run(&watch).code(0).text(), "first");
    one.run(&["topic", "subscribe", "news", "--since", "yesterday"])
        .code(2);
    // The text of a cursor may begin with a dash.
    let dashed = ["topic", "subscribe", "news", "--count", "0", "--since"];
    let cursor = format!("-{}", "A".repeat(42));
    one.run(&[&dashed[..], &[&cursor]].concat()).code(0);
    one.run(&["watch", "shelf:news"]).code(2);
}

#[test]
fn a_subscriber_fails_when_its_daemon_ends_before_it_has_all() {
    let one = Daemon::start(&["--memory"]);
    let path = one.path().to_str().unwrap().to_owned();
    one.run(&["topic", "publish", "news", "first"]).code(0);
    let follow = ["topic", "subscribe", "news", "--since", "0", "--json"];
    let (mut subscriber, _) = start(&[&["--data-dir", &path], &follow[..]].concat());
    one.run(&["stop"]).code(0);
    let ended = wait(&mut subscriber).code(1);
    assert!(ended.stderr.contains("shutting-down"), "{}", ended.stderr);
}

#[test]
fn names_are_refused_before_anything_is_sent() {
    let one = Daemon::start(&["--memory"]);
    let long = "n".repeat(257);
    for name in ["", &long] {
        for arguments in [
            &["dict", "set", "--json", "--", name, "x"][..],
            &["dict", "get", "--json", "--", name],
            &["dict", "delete", "--json", "--", name],
            &["topic", "publish", "--json", "--", name, "x"],
            &["topic", "subscribe", "--json", "--", name],
        ] {
            let refused = one.run(arguments).code(2);
            assert!(refused.stderr.contains("256 bytes"), "{}", refused.stderr);
        }
    }
    one.run(&["dict", "set", &long[1..], "x"]).code(0);
    let both = json!({"": "x", "kept": "y"}).to_string();
    let lines = one
        .run_with(&["dict", "update", "-", "--json"], both.as_bytes())
        .code(2)
        .objects();
    let message = lines[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("256 bytes"), "{message}");
    assert_eq!(one.run(&["dict", "get", "kept"]).code(0).text(), "y");
}

#[test]
fn a_bag_is_watched() {
    let (one, two) = pair();
    one.run(&["bag", "add", "name:fruit", "apple"]).code(0);
    let path = two.path().to_str().unwrap();
    let watch = ["watch", "bag:name:fruit", "--since", "0", "--count", "2"];
    let (mut watcher, first) = start(&[&["--data-dir", path], &watch[..]].concat());
    assert_eq!(first, "apple");
    one.run(&["bag", "add", "name:fruit", "pear"]).code(0);
    assert_eq!(wait(&mut watcher).code(0).text(), "pear");
}

#[test]
fn what_is_published_is_listed_and_ends_when_it_is_withdrawn() {
    let (one, two) = pair();
    let put = one
        .run_with(&["put", "--json"], b"kept alive")
        .code(0)
        .object();
    one.run_with(&["put", "--once"], b"not kept alive").code(0);
    let set = one.run(&["dict", "set", "colour", "green", "--json"]);
    let set = set.code(0).object();
    one.run(&["topic", "publish", "news", "gone in 36 h"])
        .code(0);
    let list = one
        .run(&["publications", "list", "--json"])
        .code(0)
        .object();
    let listed = list["items"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{list}");
    assert!(listed.iter().all(|item| item["state"] == "active"));
    let identities: Vec<_> = listed.iter().map(|item| &item["identity"]).collect();
    assert!(identities.contains(&&json!("default")), "{list}");
    assert!(identities.contains(&&Value::Null), "{list}");
    let writers: Vec<_> = listed.iter().map(|item| &item["writer"]).collect();
    assert!(writers.contains(&&set["writer"]), "{list}");
    let table = one.run(&["publications", "list"]).code(0);
    assert!(table.text().contains("dict"), "{}", table.text());

    one.run(&["publications", "withdraw", &text(&set, "key")])
        .code(0);
    two.run(&["dict", "get", "colour"]).code(3);
    one.run(&["publications", "withdraw", &text(&put, "key")])
        .code(0);
    let list = one
        .run(&["publications", "list", "--json"])
        .code(0)
        .object();
    assert_eq!(list["items"], json!([]));
    let none = one
        .run(&["publications", "withdraw", &text(&put, "key")])
        .code(3);
    assert!(none.stderr.contains("nothing alive"), "{}", none.stderr);
}

#[test]
fn an_identity_is_made_listed_exported_and_taken_over_by_another_node() {
    let (one, two) = pair();
    let public_key = one
        .run(&["identity", "new", "work"])
        .code(0)
        .text()
        .to_owned();
    one.run(&["identity", "new", "work"]).code(1);
    for name in ["", ".", "..", "a/b", &"a".repeat(65)] {
        one.run(&["identity", "new", "--", name]).code(2);
    }
    let file = one.path().join("identities/work");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let list = one.run(&["identity", "list"]).code(0);
    assert!(list.text().contains(&public_key), "{}", list.text());

    let exported = one.path().join("exported");
    let exported = exported.to_str().unwrap();
    one.run(&["identity", "export", "work", "-o", exported])
        .code(0);
    let mode = std::fs::metadata(exported).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    one.run(&["identity", "export", "work", "-o", exported])
        .code(2);
    two.run(&["identity", "import", "job", exported]).code(0);
    let set = [
        "namespace",
        "set",
        "name:a",
        "b",
        "--identity",
        "job",
        "--json",
    ];
    let set = two.run(&set).code(0).object();
    assert_eq!(text(&set, "public_key"), public_key);
    two.run_with(&["identity", "import", "other", "-"], b"nonsense")
        .code(2);
    one.run(&["identity", "export", "nobody"]).code(3);
    let shown = one.run(&["identity", "export", "work"]).code(0);
    let written = std::fs::read(exported).unwrap();
    assert_eq!(shown.stdout, written);
    let unknown = one.run(&["dict", "set", "a", "b", "--identity", "nobody", "--json"]);
    assert!(unknown.code(3).stderr.contains("make it first"));
}

#[test]
fn what_is_blocked_is_neither_served_nor_asked_until_it_is_unblocked() {
    let (one, two) = pair();
    let put = two
        .run_with(&["put", "--json"], b"unwanted")
        .code(0)
        .object();
    let key = text(&put, "key");
    one.run(&["get", &key]).code(0);
    let blocked = one.run(&["block", &key, "--json"]).code(0).object();
    assert!(
        !blocked["items"].as_array().unwrap().is_empty(),
        "{blocked}"
    );
    let from = ["get", &key, "--from", one.address()];
    assert_ne!(two.run(&from).code, 0);
    let listed = one.run(&["block", "--json"]).code(0).object();
    assert_eq!(listed, blocked);
    one.run(&["block", "127.0.0.1:7"]).code(2);
    let refused = one.run_with(&["put", "--json"], b"unwanted").code(1);
    assert!(refused.stderr.contains("has blocked"), "{}", refused.stderr);
    one.run(&["unblock", &key]).code(0);
    assert_eq!(two.run(&from).code(0).stdout, b"unwanted");
    one.run(&["unblock", &key]).code(3);

    one.run(&["block", two.address()]).code(0);
    one.run(&["ping", two.address()]).code(1);
    one.run(&["unblock", two.address()]).code(0);
}

#[test]
fn a_life_longer_than_a_value_has_is_clamped_when_it_is_renewed_and_else_refused() {
    let daemon = Daemon::start(&["--memory"]);
    let refused = daemon.run_with(&["put", "--ttl", "37h", "--once", "--json"], b"x");
    assert!(refused.code(2).stderr.contains("lifetime-too-long"));
    daemon.run_with(&["put", "--ttl", "37h"], b"x").code(0);
    daemon
        .run(&["dict", "set", "a", "b", "--ttl", "7d"])
        .code(0);
    daemon
        .run(&["dict", "set", "a", "b", "--ttl", "8d"])
        .code(2);
    daemon
        .run(&["dict", "set", "a", "b", "--ttl", "59s"])
        .code(2);
}

/// The promise of a receipt outlives the writer's sudden end.
#[test]
fn what_a_receipt_promised_is_alive_after_kill_9() {
    let rounds = std::env::var("QADOM_KILL_ROUNDS");
    let rounds: usize = rounds.map_or(4, |rounds| rounds.parse().unwrap());
    let one = Daemon::start(&[]);
    let mut two = Daemon::start(&["--join", one.address()]);
    for round in 1..=rounds {
        let (name, item) = (format!("name {round}"), format!("item {round}"));
        let topic = format!("message {round}");
        two.run(&["dict", "set", &name, &item]).code(0);
        two.run(&["namespace", "set", "name:count", &item]).code(0);
        two.run(&["bag", "add", "name:bag", &item]).code(0);
        two.run(&["topic", "publish", "news", &topic]).code(0);
        let put = two.run_with(&["put"], item.as_bytes()).code(0);
        let folder = two.kill();
        two = Daemon::start_in(folder, &["--join", one.address()]);

        let list = two
            .run(&["publications", "list", "--json"])
            .code(0)
            .object();
        let listed = list["items"].as_array().unwrap();
        // One entry of the namespace, and a name, an item and a value of each round.
        assert_eq!(listed.len(), 1 + 3 * round, "round {round}: {list}");
        assert_eq!(two.run(&["get", put.text()]).code(0).text(), item);
        assert_eq!(two.run(&["dict", "get", &name]).code(0).text(), item);
        let bag = two.run(&["bag", "list", "name:bag"]).code(0);
        assert_eq!(items(&bag).len(), round);
        let next = two.run(&["namespace", "set", "name:count", &item, "--json"]);
        let seq = next.code(0).object()["seq"].as_u64().unwrap();
        assert_eq!(seq, 2 * round as u64, "round {round}");
    }
    let count = rounds.to_string();
    let news = [
        "topic",
        "subscribe",
        "news",
        "--since",
        "0",
        "--count",
        &count,
    ];
    let expected: Vec<_> = (1..=rounds)
        .map(|round| format!("message {round}"))
        .collect();
    assert_eq!(one.run(&news).code(0).text(), expected.join("\n"));
}
