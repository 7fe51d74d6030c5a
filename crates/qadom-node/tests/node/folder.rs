//! Nodes and their data folders.

use std::fs;
use std::time::Duration;

use qadom_node::{Builder, Error, Node, Reason, Source, StartError};

use crate::loopback::{describe, start, until};

/// A node on disk in this folder.
fn describe_in(data_dir: &std::path::Path) -> Builder {
    describe().memory(false).data_dir(data_dir)
}

#[tokio::test]
async fn a_restarted_node_has_its_identity_its_values_and_its_neighbours() {
    let place = tempfile::tempdir().unwrap();
    let neighbour = start().await;
    let node = describe_in(place.path())
        .join(neighbour.address())
        .start()
        .await
        .unwrap();
    until(&node, |status| status.peers == 1).await;
    let receipt = node.put("kept").await.unwrap();
    assert_eq!(receipt.stored, 2);
    let key = *node.address().key();
    node.shutdown().await;

    // The neighbour remembers too, but only the restarted node is told whom to ask.
    let node = describe_in(place.path()).start().await.unwrap();
    assert_eq!(*node.address().key(), key);
    let fetched = node.get_local(receipt.key).await.unwrap();
    assert_eq!(
        (&fetched.value[..], fetched.source),
        (&b"kept"[..], Source::Local)
    );
    until(&node, |status| status.peers == 1).await;
    let other = node.put("found again").await.unwrap();
    assert_eq!(
        neighbour.get_local(other.key).await.unwrap().value,
        "found again"
    );
}

#[tokio::test]
async fn one_node_has_a_folder_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let first = describe_in(place.path()).start().await.unwrap();
    let error = describe_in(place.path()).start().await.unwrap_err();
    assert!(matches!(error, StartError::FolderInUse { .. }));
    assert_eq!(error.reason(), Reason::FolderInUse);
    first.shutdown().await;
    let second = describe_in(place.path()).start().await.unwrap();
    assert_eq!(second.id(), first.id());

    // The last handle ends the node as well, a little later.
    drop(second);
    let third = loop {
        match describe_in(place.path()).start().await {
            Ok(node) => break node,
            Err(error) => assert_eq!(error.reason(), Reason::FolderInUse),
        }
    };
    third.shutdown().await;
}

#[tokio::test]
async fn what_is_held_is_read_without_the_driver_until_the_node_ends() {
    let place = tempfile::tempdir().unwrap();
    let node = describe_in(place.path()).start().await.unwrap();
    let receipt = node.put("kept").await.unwrap();
    let kept = |node: &Node| node.get_now(&receipt.key).map(|fetched| fetched.value);
    assert_eq!(kept(&node).as_deref(), Some(&b"kept"[..]));
    // Handles that are left, and readers at work, do not keep the folder.
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let node = node.clone();
            std::thread::spawn(move || while node.get_now(&receipt.key).is_some() {})
        })
        .collect();
    node.shutdown().await;
    let next = describe_in(place.path()).start().await.unwrap();
    assert_eq!(kept(&node), None);
    assert!(matches!(node.get(receipt.key).await, Err(Error::Stopped)));
    assert_eq!(kept(&next).as_deref(), Some(&b"kept"[..]));
    for reader in readers {
        reader.join().unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_reason() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("letter.txt"), "dear reader").unwrap();
    let error = describe_in(place.path()).start().await.unwrap_err();
    assert!(matches!(error, StartError::ForeignFolder { .. }));
    assert_eq!(error.reason(), Reason::FolderUnusable);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);

    let node = start().await;
    let taken = node.local_addresses()[0];
    let listen = |address| Node::builder().memory(true).listen(address).start();
    let error = listen(taken).await.unwrap_err();
    assert!(matches!(error, StartError::PortInUse { address } if address == taken));
    assert_eq!(error.reason(), Reason::PortInUse);
    let error = listen("192.0.2.1:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, StartError::AddressUnavailable { .. }));
    let error = describe().listen(taken).start().await.unwrap_err();
    assert!(matches!(error, StartError::TooManyListenAddresses { .. }));
    let error = describe().secret("short").start().await.unwrap_err();
    assert!(matches!(error, StartError::BadNetwork { .. }));
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_the_folder_free() {
    let place = tempfile::tempdir().unwrap();
    let builder = describe_in(place.path()).id_bits(255);
    let given_up = tokio::time::timeout(Duration::ZERO, builder.start()).await;
    assert!(given_up.is_err(), "no key has 255 puzzle bits");
    loop {
        match describe_in(place.path()).start().await {
            Ok(node) => break node.shutdown().await,
            Err(error) => assert_eq!(error.reason(), Reason::FolderInUse),
        }
    }
}
