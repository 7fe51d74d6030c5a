//! What holders keep of a file: its chunks whatever a pusher says, and the list of them.

use std::collections::BTreeMap;

use super::*;
use crate::files::push::{Spread, parts};

/// A node that has a file and as many others as there are to be copies.
async fn pusher_and_holders(bytes: &[u8]) -> (Node, Vec<Node>, TempDir, PathBuf) {
    let first = start().await;
    let mut holders = vec![start_beside(&first).await];
    holders.push(start_beside(&first).await);
    holders.push(first);
    let builder = Node::builder().memory(true).mode(crate::Mode::Client);
    let pusher = builder.listen(([127, 0, 0, 1], 0).into()).start().await;
    let pusher = pusher.unwrap();
    pusher.join(&[holders[0].address().into()]).await.unwrap();
    let (folder, path) = file(bytes);
    (pusher, holders, folder, path)
}

async fn drops(node: &Node, why: &str) -> u64 {
    let status = node.status().await.unwrap();
    status.drops.get(why).copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pusher_with_a_false_size_occupies_no_chunk() {
    let bytes = content(6 * CHUNK);
    let size = bytes.len() as u64;
    let (liar, holders, _folder, path) = pusher_and_holders(&bytes).await;
    let added = liar.files().add(path.clone(), AddOptions::default());
    let id = added.finish().await.unwrap().id;
    for false_size in [size + 1, 9 * CHUNK as u64] {
        let spread = Spread {
            service: Arc::clone(liar.files().service()),
            node: liar.clone(),
            file: id,
            layout: Layout::new(false_size).unwrap(),
            copies: 3,
            expiry: liar.files().service().utc_seconds() + 3600,
            reporter: None,
        };
        let chunks = spread.near(vec![0, 1, 2]).await.unwrap();
        spread.place(chunks).await;
    }
    let mut refused = 0;
    for holder in &holders {
        refused += drops(holder, "chunks-other-size").await;
    }
    assert!(
        refused > 0,
        "what lies elsewhere under one size than another"
    );
    // The file is pushed by somebody who says the truth: nothing is in the way.
    let task = liar.files().push(path, 3, AddOptions::default());
    let pushed = task.finish().await.unwrap();
    assert_eq!(pushed.smallest_copies, 3);
    liar.shutdown().await;
    let reader = start_beside(&holders[0]).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let get = reader.files().get(FileName::Id(id), to(target.clone()));
    get.finish().await.unwrap();
    assert!(std::fs::read(target).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_a_files_chunks_outlives_whoever_pushed_it() {
    let bytes = content(5 * CHUNK + 3);
    let tree = Tree::of(&bytes);
    let (pusher, holders, folder, path) = pusher_and_holders(&bytes).await;
    let own = pusher.files().push(path, 3, AddOptions::default());
    let id = own.finish().await.unwrap().id;
    let list = pusher.files().manifest(id).await.unwrap();
    pusher.shutdown().await;
    drop(folder);
    for holder in &holders {
        let held = holder.inner.files.blocking(|folder| folder.held().list());
        let held = held.await.unwrap();
        let kept: Vec<u64> = held.iter().map(|chunk| chunk.index).collect();
        assert_eq!(kept, parts(tree.layout()).collect::<Vec<_>>());
    }
    let reader = start_beside(&holders[1]).await;
    assert_eq!(reader.files().manifest(id).await.unwrap(), list);
    assert_eq!(list.lines().count(), 6);
    // Each holder tells which pieces it has as it tells its chunks.
    let piece = ChunkIndex::List(0).wire();
    let contact = holders[0].own_contact().await.unwrap();
    let told = reader.ask_held(contact, &id, piece & !7).await.unwrap();
    let bits = (0..8).map(|bit| told.has(bit));
    assert_eq!(bits.filter(|bit| *bit).count(), 1);
    assert!(told.has(7));
    let unknown = reader.files().manifest(FileId::of(b"unknown")).await;
    assert_eq!(unknown.unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_restore_among_themselves_what_one_of_them_loses_the_list_as_well() {
    let bytes = content(3 * CHUNK + 3);
    let layout = Layout::new(bytes.len() as u64).unwrap();
    let (pusher, holders, folder, path) = pusher_and_holders(&bytes).await;
    let task = pusher.files().push(path, 3, AddOptions::default());
    let id = task.finish().await.unwrap().id;
    pusher.shutdown().await;
    drop(folder);
    let lost = holders[1]
        .inner
        .files
        .blocking(move |folder| folder.held().remove(&id));
    assert_eq!(lost.await.unwrap().unwrap(), 5);
    let mut kept = BTreeMap::new();
    for holder in &holders {
        repair::round(holder.files().service()).await;
    }
    for (number, holder) in holders.iter().enumerate() {
        let held = holder.inner.files.blocking(|folder| folder.held().list());
        kept.insert(number, held.await.unwrap().len() as u64);
    }
    let all = layout.chunks() + layout.list_pieces();
    assert!(kept.values().all(|kept| *kept == all), "{kept:?}");
}
