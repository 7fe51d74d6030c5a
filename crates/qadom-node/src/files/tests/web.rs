//! Files that only plain HTTP servers have.

use super::*;
use crate::files::urls::tests::plain;

/// A name that tells of a file with a server, and of no node.
async fn named(beside: &Node, bytes: &[u8], urls: Vec<String>) {
    let id = FileId::of(bytes);
    let entry = FileEntry::new(*id.as_bytes(), bytes.len() as u64, "", urls).unwrap();
    let bag = beside.bag(name_slot("film").unwrap());
    bag.add(entry.encode()).await.unwrap();
}

fn film() -> FileName {
    FileName::Name("film".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_server_has_comes_from_it_and_is_shared_onward() {
    let bytes = content(2 * CHUNK + 5);
    let liar = format!("http://{}/film", plain(content(3 * CHUNK)));
    let server = format!("http://{}/film", plain(bytes.clone()));
    let first = start().await;
    named(&first, &bytes, vec![liar, server]).await;
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let get = reader.files().get(film(), to(target.clone()));
    let fetched = get.finish().await.unwrap();
    assert!(fetched.is_verified);
    assert!(std::fs::read(&target).unwrap() == bytes);
    let second = start_beside(&first).await;
    reader.announce_file(&fetched.id).await.unwrap();
    let again = place.path().join("again");
    let get = second
        .files()
        .get(FileName::Id(fetched.id), to(again.clone()));
    get.finish().await.unwrap();
    assert!(std::fs::read(&again).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_url_is_taken_only_by_whoever_wants_unverified_bytes() {
    let bytes = content(CHUNK + 1);
    let url = format!("http://{}/film", plain(bytes.clone()));
    let first = start().await;
    let key = qadom_routing::Key::from_name(b"film").unwrap();
    first.bag(key).add(url).await.unwrap();
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let get = reader.files().get(film(), to(target.clone()));
    assert_eq!(get.finish().await.unwrap_err().reason(), Reason::NotFound);
    let options = GetOptions {
        unverified: true,
        ..to(target.clone())
    };
    let fetched = reader.files().get(film(), options).finish().await.unwrap();
    assert!(!fetched.is_verified);
    assert_eq!(fetched.id, FileId::of(&bytes));
    assert!(std::fs::read(&target).unwrap() == bytes);
    assert_eq!(reader.files().list().await.unwrap(), []);
}
