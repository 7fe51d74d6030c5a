//! A file of which several nodes have a part each.
//!
//! `QADOM_FILES_SEED=N cargo test -p qadom-node --lib files::tests::many -- --nocapture` takes other
//! parts.

use super::*;
use crate::files::download::{Order, Target, Wish};

const CHUNKS: u64 = 64;
const HOLDERS: usize = 8;
const COPIES: usize = 4;

/// Which holders have a chunk: another four for each, as the seed says.
fn holders_of(seed: u64, chunk: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..HOLDERS).collect();
    let drawn = |holder: &usize| {
        let drawn = FileId::of(format!("{seed} {chunk} {holder}").as_bytes());
        *drawn.as_bytes()
    };
    order.sort_by_key(drawn);
    order.truncate(COPIES);
    order
}

/// Has a node hold these chunks, and say so.
async fn hold(node: &Node, bytes: &[u8], tree: &Tree, chunks: Vec<u64>) {
    let (bytes, tree, id) = (bytes.to_vec(), tree.clone(), tree.id());
    let holding = node.inner.files.blocking(move |folder| {
        for index in chunks {
            let offer = qadom_files::Offer {
                id,
                size: tree.layout().size(),
                index,
                group: [4; 8],
                owner: [1; 32],
                expires_at: u64::MAX,
            };
            let start = usize::try_from(index).unwrap() * CHUNK;
            let proof = tree.proof(ChunkIndex::Data(index)).unwrap();
            let put = folder
                .held()
                .put(&offer, &bytes[start..start + CHUNK], &proof);
            put.unwrap();
        }
    });
    holding.await.unwrap();
    node.announce_file(&id).await.unwrap();
}

/// Fetches a file by a new node; gives the bytes of chunks that came, of use or not. The node stays:
/// others would go on calling it.
async fn received(reader: &Node, id: FileId, bytes: &[u8]) -> u64 {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let order = Order {
        file: id,
        manifest: None,
        urls: Vec::new(),
        target: Target::Path(target.clone()),
        name: String::new(),
    };
    let active = download::begin(reader.files().service(), reader, order).unwrap();
    active.wishes.send(Wish::Whole).await.unwrap();
    let mut state = active.state.clone();
    let state = state.wait_for(|state| state.ended.is_some()).await.unwrap();
    state.ended.clone().unwrap().unwrap();
    drop(state);
    assert!(std::fs::read(&target).unwrap() == bytes);
    active.received.load(std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_eight_holders_of_a_part_each_hardly_anything_comes_twice() {
    let seed = std::env::var("QADOM_FILES_SEED").ok();
    let seed = seed.map_or(7, |seed| seed.parse().unwrap());
    println!("QADOM_FILES_SEED={seed}");
    let bytes = content(usize::try_from(CHUNKS).unwrap() * CHUNK);
    let (tree, size) = (Tree::of(&bytes), bytes.len() as u64);
    let id = tree.id();
    let first = start().await;
    let mut holders = Vec::new();
    for number in 0..HOLDERS {
        let holder = start_beside(&first).await;
        let chunks = (0..CHUNKS).filter(|chunk| holders_of(seed, *chunk).contains(&number));
        hold(&holder, &bytes, &tree, chunks.collect()).await;
        holders.push(holder);
    }
    let reader = start_beside(&first).await;
    let parts = received(&reader, id, &bytes).await;
    let mut liars = Vec::new();
    for fault in [Fault::Garbage, Fault::Silent] {
        liars.push(liar(&first, id, size, fault).await);
    }
    let second = start_beside(&first).await;
    let among_liars = received(&second, id, &bytes).await;
    let more = |came: u64| (came - size) * 1000 / size;
    println!(
        "{size} bytes from {HOLDERS} nodes with a part each: {} per mille more came; with a node that \
         sends garbage and a silent one {} per mille",
        more(parts),
        more(among_liars)
    );
    assert!(more(parts) <= 20, "{parts} bytes came for {size}");
    assert!(
        more(among_liars) <= 50,
        "{among_liars} bytes came for {size}"
    );
}
