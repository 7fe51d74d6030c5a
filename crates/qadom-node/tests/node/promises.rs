//! What a node has promised outlives it, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use qadom_node::{Blocked, DEFAULT_IDENTITY, Key, Node, PublicationState, Reason};

use crate::loopback::{describe, start, until};

/// Names the data folder to the process that is killed.
const FOLDER: &str = "QADOM_TEST_KILLED_FOLDER";
/// How often it is killed.
const ROUNDS: usize = 20;

async fn start_in(data_dir: &Path) -> Node {
    let builder = describe().memory(false).data_dir(data_dir);
    builder.start().await.unwrap()
}

#[tokio::test]
async fn a_restarted_node_knows_its_identities_and_goes_on_with_its_publications() {
    let place = tempfile::tempdir().unwrap();
    let key: Key = "name:note".parse().unwrap();
    let node = start_in(place.path()).await;
    let value = node.put("a value").await.unwrap();
    node.dict().set("colour", "green").await.unwrap();
    node.bag(key).add("an item").await.unwrap();
    node.bag(key).add("gone").await.unwrap();
    node.bag(key).remove("gone").await.unwrap();
    let namespace = node.namespace().signed_by("work");
    let error = namespace.set(key, "nobody").await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound, "only `default` is made");
    let writer = node.create_identity("work").await.unwrap();
    assert_eq!(namespace.set(key, "one").await.unwrap().record.seq(), 1);
    assert_eq!(namespace.set(key, "two").await.unwrap().record.seq(), 2);
    let topic = node.topic(key);
    topic.publish("not kept alive").await.unwrap();
    let before = node.publications().await.unwrap();
    assert_eq!(before.len(), 4);
    node.block(Blocked::Key(Key::ZERO), None).await.unwrap();
    node.block(Blocked::Key(Key::MAX), None).await.unwrap();
    assert!(node.unblock(Blocked::Key(Key::MAX)).await.unwrap());
    assert!(!node.unblock(Blocked::Key(Key::MAX)).await.unwrap());
    node.shutdown().await;

    let node = start_in(place.path()).await;
    assert_eq!(node.publications().await.unwrap(), before);
    let blocks = node.blocks().await.unwrap();
    let blocked: Vec<_> = blocks.iter().map(|block| block.what).collect();
    assert_eq!(blocked, [Blocked::Key(Key::ZERO)]);
    let state = |state| move |promise: &&qadom_node::Promise| promise.state == state;
    let active = before.iter().filter(state(PublicationState::Active));
    assert_eq!(active.count(), 4);
    let names: Vec<_> = node.identities().await.unwrap().into_iter().collect();
    assert_eq!(names[1], ("work".to_owned(), writer));
    assert_eq!(names[0].0, DEFAULT_IDENTITY);
    let namespace = node.namespace().signed_by("work");
    assert_eq!(namespace.set(key, "three").await.unwrap().record.seq(), 3);
    node.withdraw(value.key).await.unwrap();
    assert_eq!(node.publications().await.unwrap().len(), 3);
    node.shutdown().await;

    let node = start_in(place.path()).await;
    assert_eq!(
        node.publications().await.unwrap().len(),
        3,
        "withdrawn for good"
    );
}

#[tokio::test]
async fn promises_in_memory_end_with_the_node() {
    let place = tempfile::tempdir().unwrap();
    let start = || describe().data_dir(place.path()).start();
    let node = start().await.unwrap();
    node.dict().set("colour", "green").await.unwrap();
    assert_eq!(node.publications().await.unwrap().len(), 1);
    let writer = node.writer(DEFAULT_IDENTITY).await.unwrap();
    node.shutdown().await;
    let node = start().await.unwrap();
    assert!(node.publications().await.unwrap().is_empty());
    assert_eq!(node.writer(DEFAULT_IDENTITY).await.unwrap(), writer);
}

/// Does nothing unless it is the process that is to be killed.
#[tokio::test]
async fn a_writer_that_is_killed() {
    let Ok(place) = std::env::var(FOLDER) else {
        return;
    };
    let node = start_in(Path::new(&place)).await;
    let count = node.publications().await.unwrap().len();
    let say = |line: String| {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").unwrap();
        stdout.flush().unwrap();
    };
    say(format!("\nfound {count}"));
    let name = format!("name {count}");
    node.dict().set(&name, "kept").await.unwrap();
    say("receipt".to_owned());
    std::future::pending::<()>().await;
}

/// Starts the process, waits for its receipt, kills it, and gives what it found at its start.
fn run_and_kill(place: &Path) -> usize {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args([
            "promises::a_writer_that_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = None;
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some(count) = line.strip_prefix("found ") {
            found = Some(count.parse().unwrap());
        }
        if line == "receipt" {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    found.expect("the process has started")
}

#[test]
fn what_was_acknowledged_is_alive_after_every_kill() {
    let place = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        assert_eq!(run_and_kill(place.path()), round);
    }
}

#[tokio::test]
async fn a_publication_is_there_for_others_after_its_writer_was_killed() {
    let other = start().await;
    let place = tempfile::tempdir().unwrap();
    assert_eq!(run_and_kill(place.path()), 0);
    let node = start_in(place.path()).await;
    node.join(&[other.address().into()]).await.unwrap();
    until(&other, |status| status.peers == 1).await;
    let read = other.dict().get("name 0").await.unwrap();
    assert_eq!(read.record.payload(), "kept");
}
