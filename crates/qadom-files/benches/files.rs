//! What a chunk costs: hashing it, proving it, verifying it, keeping and serving it, and deciding who
//! is asked for it.
//!
//! `cargo bench -p qadom-files`

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking"
)]

use std::ops::ControlFlow;
use std::time::Duration;

use divan::{Bencher, black_box, counter::BytesCount};
use qadom_files::{
    Availability, CHUNK_SIZE, ChunkHasher, ChunkIndex, ChunkSet, Download, Effect, Folder,
    FolderConfig, Layout, PeerId, Placement, Tree, hash_reader, verify,
};

fn main() {
    divan::main();
}

/// Bytes of the file.
const SIZE: u32 = 64 << 20;

/// Bytes that do not repeat by chunk.
fn content() -> Vec<u8> {
    (0..SIZE)
        .map(|i| (i % 251).to_le_bytes()[0] ^ (i >> 18).to_le_bytes()[0])
        .collect()
}

#[divan::bench(sample_count = 20)]
fn hash_whole(bencher: Bencher) {
    let content = content();
    bencher
        .counter(BytesCount::new(content.len()))
        .bench(|| hash_reader(&content[..]));
}

/// The library alone, in one piece: what hashing can cost at best.
#[divan::bench(sample_count = 20)]
fn hash_whole_by_the_library(bencher: Bencher) {
    let content = content();
    bencher
        .counter(BytesCount::new(content.len()))
        .bench(|| blake3::hash(&content));
}

/// One chunk, fed in pieces of so many bytes.
#[divan::bench(args = [1200, 16_384, 65_536, 262_144])]
fn hash_chunk(bencher: Bencher, piece: usize) {
    let content = vec![7; CHUNK_SIZE as usize];
    let layout = Layout::new(u64::from(SIZE)).expect("64 MiB are a file");
    bencher.counter(BytesCount::new(CHUNK_SIZE)).bench(|| {
        let mut hasher = ChunkHasher::new(layout, ChunkIndex::Data(3));
        for piece in content.chunks(piece) {
            hasher.update(piece);
        }
        hasher.finish()
    });
}

#[divan::bench]
fn make_proof(bencher: Bencher) {
    let tree = Tree::of(&content());
    bencher.bench(|| tree.proof(black_box(ChunkIndex::Data(100))));
}

#[divan::bench]
fn verify_chunk(bencher: Bencher) {
    let content = content();
    let tree = Tree::of(&content);
    let index = ChunkIndex::Data(100);
    let proof = tree.proof(index).expect("there are 256 chunks");
    let start = 100 * CHUNK_SIZE as usize;
    let bytes = &content[start..start + CHUNK_SIZE as usize];
    bencher
        .counter(BytesCount::new(CHUNK_SIZE))
        .bench(|| verify(&tree.id(), tree.layout(), index, bytes, &proof));
}

/// Verifies and keeps a whole download, chunk by chunk, without the last sync.
#[divan::bench(sample_count = 10)]
fn keep_download(bencher: Bencher) {
    let content = content();
    let tree = Tree::of(&content);
    bencher
        .counter(BytesCount::new(content.len()))
        .with_inputs(|| tempfile::tempdir().expect("a folder"))
        .bench_values(|temporary| {
            let folder = Folder::open(temporary.path(), FolderConfig::default());
            let folder = folder.expect("the folder opens");
            let partial = folder.download(&tree.id(), u64::from(SIZE), None);
            let partial = partial.expect("it begins");
            for (bytes, chunk) in content.chunks(CHUNK_SIZE as usize).zip(0..) {
                let proof = tree.proof(ChunkIndex::Data(chunk)).expect("it has it");
                partial.write(chunk, bytes, &proof).expect("it verifies");
            }
            temporary
        });
}

/// Reads, verifies and proves a whole file, chunk by chunk, from the page cache.
#[divan::bench(sample_count = 10)]
fn serve_file(bencher: Bencher) {
    let temporary = tempfile::tempdir().expect("a folder");
    let source = temporary.path().join("source");
    std::fs::write(&source, content()).expect("a file");
    let folder = Folder::open(&temporary.path().join("files"), FolderConfig::default());
    let folder = folder.expect("the folder opens");
    let added = folder.add(&source, Placement::InPlace, &mut |_| {
        ControlFlow::Continue(())
    });
    let id = added.expect("it is taken in").entry.id;
    let mut bytes = Vec::new();
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        for chunk in 0..u64::from(SIZE / CHUNK_SIZE) {
            folder.read(&id, chunk, &mut bytes).expect("it is here");
        }
    });
}

/// A whole download of 4096 chunks from so many holders, each chunk with half of them: divide by
/// 4096 for one step.
#[divan::bench(args = [2, 8, 64], sample_count = 10)]
fn schedule_4096_chunks(bencher: Bencher, holders: u64) {
    let layout = Layout::new(4096 * u64::from(CHUNK_SIZE)).expect("1 GiB is a file");
    bencher.bench(|| {
        let mut now = Duration::ZERO;
        let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 1);
        for peer in 0..holders {
            let mut set = ChunkSet::new(layout.chunks());
            for chunk in 0..layout.chunks() {
                if (chunk + chunk / 64 + peer) % 2 == 0 {
                    set.insert(chunk);
                }
            }
            download.add_peer(now, PeerId(peer), Availability::Some(set), None);
        }
        while let Some(effect) = download.next_effect() {
            if let Effect::Request { peer, chunk } = effect {
                now += Duration::from_micros(100);
                download.on_verified(now, peer, chunk);
            }
        }
        assert!(download.have().is_full(), "some chunk was left");
    });
}
