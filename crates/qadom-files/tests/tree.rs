//! The tree against `blake3::hash`, chunks against their proofs, and sizes nobody would store.

#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "sizes of tests are small, and a test fails by panicking"
)]

use std::fmt::Write;
use std::io::{self, Read};

use proptest::prelude::*;
use qadom_files::{
    CHUNK_SIZE, ChunkHash, ChunkHasher, ChunkIndex, FILE_SIZE_MAX, FileId, LIST_PIECE_HASHES,
    Layout, Manifest, ManifestError, PROOF_HASHES_MAX, Proof, Tree, VerifyError, chunk_address,
    hash_reader, verify, verify_hash,
};

const CHUNK: usize = CHUNK_SIZE as usize;

/// The sizes at which the shape of the tree changes.
const EDGES: [usize; 12] = [
    0,
    1,
    1023,
    1024,
    1025,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    3 * CHUNK - 1,
    4 * CHUNK,
    5 * CHUNK + 1,
];

/// Bytes that repeat neither by block nor by chunk.
fn content(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i % 251) as u8 ^ (i >> 16) as u8)
        .collect()
}

fn chunk_of(content: &[u8], chunk: u64) -> &[u8] {
    let start = usize::try_from(chunk).expect("it is small") * CHUNK;
    &content[start..content.len().min(start + CHUNK)]
}

/// Every chunk and list piece of this content verifies alone.
fn check(content: &[u8]) {
    let tree = Tree::of(content);
    let (id, layout) = (tree.id(), tree.layout());
    assert_eq!(id.as_bytes(), blake3::hash(content).as_bytes());
    assert_eq!(layout.size(), content.len() as u64);
    let hashed = hash_reader(content).expect("bytes can be read");
    assert_eq!((hashed.id, hashed.layout), (id, layout));
    for chunk in 0..layout.chunks() {
        let index = ChunkIndex::Data(chunk);
        let proof = tree.proof(index).expect("the file has the chunk");
        assert_eq!(proof.len(), layout.proof_hashes(index));
        verify(&id, layout, index, chunk_of(content, chunk), &proof).expect("the chunk is true");
    }
    for piece in 0..layout.list_pieces() {
        let index = ChunkIndex::List(piece);
        let bytes = tree.list_piece(piece).expect("the file has the piece");
        assert_eq!(bytes.len(), layout.length(index) as usize);
        let proof = tree.proof(index).expect("the file has the piece");
        verify(&id, layout, index, &bytes, &proof).expect("the piece is true");
    }
}

#[test]
fn every_chunk_verifies_at_every_edge() {
    for size in EDGES {
        check(&content(size));
    }
}

#[test]
fn the_only_chunk_has_the_id_of_its_file() {
    for size in [0, 1, CHUNK] {
        let tree = Tree::of(&content(size));
        assert_eq!(tree.chunk_hashes().len(), 1);
        assert_eq!(tree.chunk_hashes()[0].as_bytes(), tree.id().as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_root_is_the_hash_of_the_whole(size in 0..9 * CHUNK, seed in any::<u8>()) {
        let mut content = content(size);
        for byte in &mut content {
            *byte ^= seed;
        }
        check(&content);
    }

    #[test]
    fn no_changed_byte_and_no_other_place_passes(
        size in 1..5 * CHUNK,
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let content = content(size);
        let tree = Tree::of(&content);
        let (id, layout) = (tree.id(), tree.layout());
        let chunk = at.index(layout.chunks() as usize) as u64;
        let index = ChunkIndex::Data(chunk);
        let proof = tree.proof(index).expect("the file has the chunk");
        let mut bytes = chunk_of(&content, chunk).to_vec();

        let elsewhere = ChunkIndex::Data(other.index(layout.chunks() as usize) as u64);
        if elsewhere != index {
            prop_assert!(verify(&id, layout, elsewhere, &bytes, &proof).is_err());
        }
        if !proof.is_empty() {
            let mut siblings = proof.to_bytes();
            let place = at.index(siblings.len());
            siblings[place] ^= 1 << bit;
            let proof = Proof::from_bytes(&siblings).expect("as many hashes");
            let lie = verify(&id, layout, index, &bytes, &proof);
            prop_assert_eq!(lie, Err(VerifyError::Mismatch));
        }
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let lie = verify(&id, layout, index, &bytes, &proof);
        prop_assert_eq!(lie, Err(VerifyError::Mismatch));
    }

    #[test]
    fn the_last_chunk_passes_under_no_other_size(
        size in 1..5 * CHUNK,
        claim in 1..6 * CHUNK,
    ) {
        prop_assume!(size != claim);
        let content = content(size);
        let tree = Tree::of(&content);
        let claimed = Layout::new(claim as u64).expect("it is small");
        let last = tree.layout().last();
        let proof = tree.proof(ChunkIndex::Data(last)).expect("the file has a last chunk");
        let index = ChunkIndex::Data(claimed.last());
        let bytes = chunk_of(&content, last);
        prop_assert!(verify(&tree.id(), claimed, index, bytes, &proof).is_err());
    }

    #[test]
    fn pieces_of_any_size_hash_alike(
        size in 1..3 * CHUNK,
        piece in 1..2 * CHUNK,
        chunk in any::<prop::sample::Index>(),
    ) {
        let content = content(size);
        let tree = Tree::of(&content);
        let chunk = chunk.index(tree.layout().chunks() as usize) as u64;
        let mut hasher = ChunkHasher::new(tree.layout(), ChunkIndex::Data(chunk));
        for piece in chunk_of(&content, chunk).chunks(piece) {
            hasher.update(piece);
        }
        let hash = hasher.finish().expect("all bytes came");
        prop_assert_eq!(hash, tree.chunk_hashes()[chunk as usize]);
        prop_assert!(verify_hash(
            &tree.id(),
            tree.layout(),
            ChunkIndex::Data(chunk),
            &hash,
            &tree.proof(ChunkIndex::Data(chunk)).expect("the file has it"),
        ).is_ok());
    }
}

#[test]
fn wrong_lengths_are_named_and_not_hashed() {
    let content = content(CHUNK + 10);
    let tree = Tree::of(&content);
    let (id, layout, last) = (tree.id(), tree.layout(), ChunkIndex::Data(1));
    let proof = tree.proof(last).expect("the file has two chunks");
    for length in [0, 9, 11] {
        let lie = verify(&id, layout, last, &vec![0; length], &proof);
        assert!(matches!(lie, Err(VerifyError::Length(_))), "{lie:?}");
    }
    let lie = verify(&id, layout, last, &content[CHUNK..], &Proof::default());
    let expected = VerifyError::ProofLength {
        expected: 1,
        length: 0,
    };
    assert_eq!(lie, Err(expected));
    let nowhere = verify(&id, layout, ChunkIndex::Data(2), &[], &proof);
    assert_eq!(nowhere, Err(VerifyError::NoSuchChunk));
    let nowhere = verify(&id, layout, ChunkIndex::List(1), &[], &proof);
    assert_eq!(nowhere, Err(VerifyError::NoSuchChunk));
}

/// Zeros that no disk has to hold.
struct Sparse {
    left: u64,
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer[..count].fill(0);
        self.left -= count as u64;
        Ok(count)
    }
}

/// The whole file of zeros is hashed by the library in one go and by the tree in chunks. More GiB
/// with `QADOM_SPARSE_GIB=64 cargo test --release -p qadom-files --test tree sparse`.
#[test]
fn a_sparse_file_of_many_chunks_has_its_hash() {
    let gib = std::env::var("QADOM_SPARSE_GIB").map(|gib| gib.parse::<u64>().expect("a number"));
    // One chunk more than a full piece of the list would take 2 GiB: the list is tested apart.
    let size = gib.map_or(300 << 20, |gib| gib << 30) + 12_345;
    let hashed = hash_reader(Sparse { left: size }).expect("zeros can be read");
    let mut whole = blake3::Hasher::new();
    whole
        .update_reader(Sparse { left: size })
        .expect("zeros can be read");
    assert_eq!(hashed.id.as_bytes(), whole.finalize().as_bytes());
    assert_eq!(hashed.layout.size(), size);
}

#[test]
fn a_list_of_several_pieces_verifies_piece_by_piece() {
    // The text of a list is all that such a file needs to exist.
    let chunks = 2 * LIST_PIECE_HASHES + 3;
    let mut text = String::new();
    for chunk in 0..chunks {
        let hash = ChunkHash::from_bytes(*blake3::hash(&chunk.to_le_bytes()).as_bytes());
        let size = if chunk + 1 == chunks { 77 } else { CHUNK_SIZE };
        writeln!(text, "{hash} {size}").expect("memory takes it");
    }
    let manifest = Manifest::read(text.as_bytes()).expect("the list is well formed");
    let (id, layout) = (manifest.id(), manifest.layout());
    assert_eq!(layout.list_pieces(), 3);
    for piece in 0..3 {
        let index = layout.index(u64::MAX - piece).expect("the piece is there");
        assert_eq!(index, ChunkIndex::List(piece));
        let mut bytes = manifest
            .tree()
            .list_piece(piece)
            .expect("the piece is there");
        let proof = manifest.tree().proof(index).expect("the piece is there");
        verify(&id, layout, index, &bytes, &proof).expect("the piece is true");
        bytes[40] ^= 1;
        let lie = verify(&id, layout, index, &bytes, &proof);
        assert_eq!(lie, Err(VerifyError::Mismatch));
    }
    assert_eq!(layout.index(u64::MAX - 3), None);
}

#[test]
fn a_petabyte_is_only_a_claim() {
    let layout = Layout::new(1 << 50).expect("a file may be that large");
    assert_eq!(layout.chunks(), 1 << 32);
    assert_eq!(layout.proof_hashes(ChunkIndex::Data(0)), 32);
    let lie = verify(
        &FileId::of(b""),
        layout,
        ChunkIndex::Data(layout.last()),
        &vec![0; CHUNK],
        &Proof::from_bytes(&[0; 32 * 32]).expect("32 hashes"),
    );
    assert_eq!(lie, Err(VerifyError::Mismatch));

    let largest = Layout::new(FILE_SIZE_MAX).expect("the largest file");
    let proof = largest.proof_hashes(ChunkIndex::Data(0));
    assert_eq!(proof, usize::from(PROOF_HASHES_MAX));
    assert!(Layout::new(FILE_SIZE_MAX + 1).is_err());
    assert!(Layout::new(u64::MAX).is_err());
    for wire in [0, largest.last(), largest.last() + 1, u64::MAX, 1 << 63] {
        let _ = largest.index(wire).map(|index| largest.length(index));
    }
    assert_eq!(Layout::EMPTY.index(u64::MAX), Some(ChunkIndex::List(0)));
}

#[test]
fn an_address_is_the_derived_key_of_id_and_index() {
    let id = FileId::of(b"hello");
    let mut input = id.as_bytes().to_vec();
    input.extend_from_slice(&(u64::MAX - 2).to_be_bytes());
    let expected = blake3::derive_key("qadom 1 chunk", &input);
    assert_eq!(chunk_address(&id, ChunkIndex::List(2)), expected);
}

#[test]
fn a_list_reads_back_at_every_edge() {
    for size in EDGES {
        let content = content(size);
        let manifest = Manifest::from(Tree::of(&content));
        let mut text = Vec::new();
        manifest.write(&mut text).expect("memory takes it");
        let again = Manifest::read(&text[..]).expect("it was just written");
        assert_eq!(again.id(), FileId::of(&content));
        assert_eq!(again.layout(), manifest.layout());
        for chunk in 0..again.layout().chunks() {
            again
                .verify(chunk, chunk_of(&content, chunk))
                .expect("the chunk is true");
        }
        assert!(again.verify(again.layout().chunks(), b"").is_err());
    }
}

#[test]
fn a_list_that_is_none_is_refused_by_its_line() {
    let hash = FileId::of(b"x");
    let full = format!("{hash} 262144\n");
    let malformed = |text: &str, line| {
        let error = Manifest::read(text.as_bytes()).expect_err("it is no list");
        assert!(
            matches!(error, ManifestError::Malformed { line: found } if found == line),
            "{text:?}: {error}"
        );
    };
    malformed("hello\n", 1);
    malformed(&format!("{full}{hash}\n"), 2);
    malformed(&format!("{full}{hash} +5\n"), 2);
    malformed(&format!("{hash} 5 5\n"), 1);
    malformed(&format!("{hash} 18446744073709551616\n"), 1);
    malformed(&format!("{}{hash} 5\n", " ".repeat(200)), 1);
    malformed(&"7".repeat(1 << 20), 1);
    let sizes = [
        (format!("{hash} 5\n{full}"), 1),
        (format!("{hash} 262145\n"), 1),
        (format!("{full}{hash} 0\n"), 2),
    ];
    for (text, line) in sizes {
        let error = Manifest::read(text.as_bytes()).expect_err("the sizes cannot be");
        assert!(
            matches!(error, ManifestError::Size { line: found, .. } if found == line),
            "{text:?}: {error}"
        );
    }
    assert!(matches!(
        Manifest::read(&b"\n\n"[..]),
        Err(ManifestError::Empty)
    ));
    let spaced = format!("\n  {hash}\t262144 \r\n\n{hash} 1");
    assert_eq!(
        Manifest::read(spaced.as_bytes())
            .expect("white space is free")
            .layout()
            .chunks(),
        2
    );
}
