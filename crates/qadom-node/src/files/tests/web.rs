//! Files that only plain HTTP servers have.

use super::*;
use crate::files::urls::tests::{noting, plain, whole};

/// A name that tells of a file with a server, and of no node.
async fn named(beside: &Node, bytes: &[u8], urls: Vec<String>) {
    claimed(beside, bytes, bytes.len() as u64, urls).await;
}

/// The same, with a size that need not be true.
async fn claimed(beside: &Node, bytes: &[u8], size: u64, urls: Vec<String>) {
    let id = FileId::of(bytes);
    let entry = FileEntry::new(*id.as_bytes(), size, "", urls).unwrap();
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
async fn a_false_size_under_a_name_keeps_no_file_away() {
    let bytes = content(CHUNK + 5);
    for size in [3, 1 << 50] {
        let server = format!("http://{}/film", whole(bytes.clone()));
        let first = start().await;
        claimed(&first, &bytes, size, vec![server]).await;
        let reader = start_beside(&first).await;
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("out");
        let get = reader.files().get(film(), to(target.clone()));
        let fetched = get.finish().await.unwrap();
        assert!(fetched.is_verified);
        assert_eq!(fetched.size, bytes.len() as u64);
        assert!(std::fs::read(&target).unwrap() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_limit_is_taken_from_no_server() {
    let bytes = content(CHUNK + 1);
    let server = format!("http://{}/film", whole(bytes.clone()));
    let first = start().await;
    named(&first, &bytes, vec![server.clone()]).await;
    let key = qadom_routing::Key::from_name(b"film").unwrap();
    first.bag(key).add(server).await.unwrap();
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    for unverified in [false, true] {
        let options = GetOptions {
            unverified,
            max_size: Some(CHUNK as u64),
            ..to(target.clone())
        };
        let get = reader.files().get(film(), options);
        let error = get.finish().await.unwrap_err();
        assert_eq!(error.reason(), Reason::TooLarge);
        let text = error.to_string();
        assert!(
            text.contains("256 KiB") && text.contains("262145 bytes"),
            "{text}"
        );
        assert!(!target.exists());
    }
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

/// A node that holds these chunks of a file and the list of all, and says so.
async fn holder(beside: &Node, bytes: &[u8], chunks: &[u64]) -> Node {
    let node = start_beside(beside).await;
    let (tree, bytes, mut parts) = (Tree::of(bytes), bytes.to_vec(), chunks.to_vec());
    let id = tree.id();
    parts.push(ChunkIndex::List(0).wire());
    let holding = node.inner.files.blocking(move |folder| {
        let layout = tree.layout();
        for index in parts {
            let part = layout.index(index).unwrap();
            let offer = qadom_files::Offer {
                id: tree.id(),
                size: layout.size(),
                index,
                group: [4; 8],
                owner: [1; 32],
                expires_at: u64::MAX,
            };
            let content = match part {
                ChunkIndex::Data(chunk) => {
                    let at = layout.range(chunk);
                    let at = usize::try_from(at.start).unwrap()..usize::try_from(at.end).unwrap();
                    bytes[at].to_vec()
                }
                ChunkIndex::List(piece) => tree.list_piece(piece).unwrap(),
            };
            let proof = tree.proof(part).unwrap();
            folder.held().put(&offer, &content, &proof).unwrap();
        }
    });
    holding.await.unwrap();
    node.announce_file(&id).await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_lack_comes_from_servers_in_ranges_that_verify_one_by_one() {
    let bytes = content(5 * CHUNK + 5);
    let mut other = bytes.clone();
    for byte in other.iter_mut().step_by(CHUNK) {
        *byte ^= 1;
    }
    let ((liar, lied), (server, asked)) = (noting(other), noting(bytes.clone()));
    let urls = [liar, server].map(|address| format!("http://{address}/film"));
    let first = start().await;
    named(&first, &bytes, urls.to_vec()).await;
    let _holder = holder(&first, &bytes, &[2, 5]).await;
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let fetched = reader.files().get(film(), to(target.clone()));
    assert!(fetched.finish().await.unwrap().is_verified);
    assert!(std::fs::read(&target).unwrap() == bytes);
    let asked = asked.lock().unwrap().clone();
    assert!(asked.len() >= 4, "{asked:?}");
    assert!(asked.iter().all(Option::is_some), "{asked:?}");
    let lied = lied.lock().unwrap().clone();
    assert!(lied.len() <= 1, "nothing after what was wrong: {lied:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_list_of_chunks_servers_alone_are_enough() {
    let bytes = content(3 * CHUNK + 5);
    let (server, asked) = noting(bytes.clone());
    let first = start().await;
    named(&first, &bytes, vec![format!("http://{server}/film")]).await;
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let options = GetOptions {
        manifest: Some(qadom_files::Manifest::from(Tree::of(&bytes))),
        ..to(target.clone())
    };
    let get = reader.files().get(film(), options);
    get.finish().await.unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4, "each chunk once, in ranges: {asked:?}");
}
