//! What is read over a node without being its own.

use qadom_files::Usage;

use super::*;
use crate::files::download::{Order, Target};

async fn usage(node: &Node) -> Usage {
    let usage = node.inner.files.blocking(|folder| folder.held().usage());
    usage.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_over_a_node_is_neither_its_own_nor_announced_and_has_its_limit() {
    let bytes = content(5 * CHUNK + 7);
    let first = start().await;
    let (_source, id) = add(&first, &bytes).await;
    let reader = start_beside(&first).await;
    let files = reader.files();
    let opened = files.open(FileName::Id(id), GetOptions::default());
    let opened = opened.await.unwrap();
    let mut pieces = opened.read(0..opened.size());
    let mut read = Vec::new();
    while let Some(piece) = pieces.next().await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert!(read == bytes);
    assert_eq!(reader.files().list().await.unwrap(), []);
    let usage = usage(&reader).await;
    assert_eq!(usage.chunks, 6, "in the room for chunks of others");
    let held = reader.inner.files.blocking(|folder| folder.held().list());
    assert!(held.await.unwrap().iter().all(|chunk| chunk.is_passing));
    let promised = reader.publications().await.unwrap();
    assert!(promised.is_empty(), "{promised:?}");
    let status = reader.status().await.unwrap();
    let limit = |name: &str| {
        let limits = status.limits.iter();
        limits.clone().find(|limit| limit.name == name).unwrap()
    };
    assert_eq!(limit("files-passing").used, 1);
    assert_eq!(limit("files-held-bytes").used, usage.bytes);
    assert_eq!(limit("files-held-bytes").limit, 1 << 30);
    drop(opened);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_files_are_read_over_a_node_at_once_than_its_limit() {
    let first = start().await;
    let reader = start_beside(&first).await;
    let order = |number: usize| Order {
        file: FileId::of(&number.to_le_bytes()),
        manifest: None,
        urls: Vec::new(),
        target: Target::Passing,
        name: String::new(),
    };
    let service = reader.files().service().clone();
    let begin = |number| download::begin(&service, &reader, order(number));
    let mut going = Vec::new();
    for number in 0..download::PASSING_MAX {
        going.push(begin(number).unwrap());
    }
    let refused = begin(going.len()).unwrap_err();
    assert_eq!(refused.reason(), Reason::Busy);
    // The same file is no more of them, and one that nobody reads any more makes place.
    assert!(begin(0).is_ok());
    going.pop();
    assert!(begin(download::PASSING_MAX).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gives_way_while_it_is_read_comes_again() {
    let bytes = content(6 * CHUNK);
    let first = start().await;
    let (_source, id) = add(&first, &bytes).await;
    let reader = start_beside(&first).await;
    let files = reader.files();
    let opened = files.open(FileName::Id(id), GetOptions::default());
    let opened = opened.await.unwrap();
    for _ in 0..2 {
        let mut pieces = opened.read(0..opened.size());
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == bytes);
        let gone = reader
            .inner
            .files
            .blocking(move |folder| folder.held().remove(&id));
        assert_eq!(gone.await.unwrap().unwrap(), 6);
    }
}
