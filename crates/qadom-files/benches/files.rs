//! What a chunk costs: hashing it, proving it, verifying it.
//!
//! `cargo bench -p qadom-files`

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking"
)]

use divan::{Bencher, black_box, counter::BytesCount};
use qadom_files::{CHUNK_SIZE, ChunkHasher, ChunkIndex, Layout, Tree, hash_reader, verify};

fn main() {
    divan::main();
}

/// 64 MiB of bytes that do not repeat by chunk.
fn content() -> Vec<u8> {
    (0..64_u32 << 20).map(|i| (i % 251) as u8).collect()
}

#[divan::bench(sample_count = 20)]
fn hash_whole(bencher: Bencher) {
    let content = content();
    bencher
        .counter(BytesCount::new(content.len()))
        .bench(|| hash_reader(&content[..]));
}

/// One chunk, fed in pieces of so many bytes.
#[divan::bench(args = [1200, 16_384, 65_536, 262_144])]
fn hash_chunk(bencher: Bencher, piece: usize) {
    let content = vec![7; CHUNK_SIZE as usize];
    let layout = Layout::new(64 << 20).expect("64 MiB are a file");
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
