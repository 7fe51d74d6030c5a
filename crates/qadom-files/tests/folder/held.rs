//! Chunks of others: verified, bounded, fairly evicted.

use qadom_files::{
    ChunkIndex, HeldChunk, HoldError, Offer, Offered, Proof, ReadError, Refusal, VerifyError,
};

use super::*;

/// What a full chunk is charged.
const CHARGE: u64 = CHUNK_SIZE as u64 + 4096;

fn with_room(root: &Path, chunks: u64) -> Folder {
    let config = FolderConfig {
        quota: chunks * CHARGE,
        ..FolderConfig::default()
    };
    Folder::open(root, config).expect("the folder opens")
}

fn offer(tree: &Tree, index: ChunkIndex, group: u8, owner: u8) -> Offer {
    Offer {
        id: tree.id(),
        size: tree.layout().size(),
        index: index.wire(),
        group: [group; 8],
        owner: [owner; 32],
        expires_at: 1000,
    }
}

/// A file of so many full chunks.
fn file(chunks: usize, seed: u8) -> (Vec<u8>, Tree) {
    let content: Vec<u8> = content(chunks * CHUNK)
        .iter()
        .map(|byte| byte ^ seed)
        .collect();
    let tree = Tree::of(&content);
    (content, tree)
}

fn put(folder: &Folder, content: &[u8], tree: &Tree, offer: &Offer) -> Result<(), HoldError> {
    let chunk = offer.index;
    let proof = tree
        .proof(ChunkIndex::Data(chunk))
        .expect("the file has it");
    folder.held().put(offer, chunk_of(content, chunk), &proof)
}

#[test]
fn a_held_chunk_is_served_also_after_a_restart() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (content, tree) = file(3, 0);
    let (id, data, list) = (tree.id(), ChunkIndex::Data(2), ChunkIndex::List(0));
    let folder = open(temporary.path());
    let held = folder.held();
    let offered = offer(&tree, data, 1, 1);
    assert_eq!(
        held.offer(&offered).expect("the disk works"),
        Offered::Wanted
    );
    put(&folder, &content, &tree, &offered).expect("it is kept");
    assert_eq!(held.offer(&offered).expect("the disk works"), Offered::Held);
    let piece = tree.list_piece(0).expect("there is one");
    let proof = tree.proof(list).expect("there is one");
    held.put(&offer(&tree, list, 1, 1), &piece, &proof)
        .expect("it is kept");
    // Later is held until later, earlier changes nothing.
    let later = Offer {
        expires_at: 2000,
        ..offered
    };
    assert_eq!(held.offer(&later).expect("the disk works"), Offered::Held);
    assert_eq!(held.offer(&offered).expect("the disk works"), Offered::Held);
    drop(folder);

    let folder = open(temporary.path());
    let holdings = folder.holdings(&id).expect("it is here");
    assert_eq!(holdings.chunks.iter().collect::<Vec<_>>(), [2]);
    assert!(holdings.list_pieces.is_full());
    let mut bytes = Vec::new();
    let proof = folder
        .read(&id, data.wire(), &mut bytes)
        .expect("it is here");
    verify(&id, tree.layout(), data, &bytes, &proof).expect("it is right");
    folder
        .read(&id, list.wire(), &mut bytes)
        .expect("it is here");
    assert_eq!(bytes, piece);
    let expected = HeldChunk {
        id,
        size: tree.layout().size(),
        index: 2,
        expires_at: 2000,
        is_passing: false,
    };
    assert_eq!(folder.held().list()[0], expected);
    assert_eq!(
        folder.list(),
        [],
        "what is held for others is nobody's own file"
    );

    assert_eq!(folder.held().expire(1000, 10).expect("the disk works"), 1);
    assert_eq!(folder.held().expire(1999, 10).expect("the disk works"), 0);
    assert_eq!(folder.held().expire(2000, 10).expect("the disk works"), 1);
    assert_eq!(folder.held().usage().bytes, 0);
    assert_eq!(folder.holdings(&id), None);
}

#[test]
fn wrong_bytes_and_impossible_chunks_are_not_kept() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (_, tree) = file(2, 0);
    let folder = open(temporary.path());
    let offered = offer(&tree, ChunkIndex::Data(0), 1, 1);
    let wrong = folder
        .held()
        .put(&offered, &vec![1; CHUNK], &Proof::default());
    assert!(
        matches!(
            wrong,
            Err(HoldError::Verify(VerifyError::ProofLength { .. }))
        ),
        "{wrong:?}"
    );
    for impossible in [
        Offer {
            index: 2,
            ..offered
        },
        Offer {
            size: u64::MAX,
            ..offered
        },
        Offer {
            index: u64::MAX - 1,
            ..offered
        },
    ] {
        let refused = folder.held().offer(&impossible).expect("the disk works");
        assert_eq!(refused, Offered::Refused(Refusal::Malformed));
        assert!(
            folder
                .held()
                .put(&impossible, b"", &Proof::default())
                .is_err()
        );
    }
    assert_eq!(folder.held().usage().chunks, 0);
}

#[test]
fn a_damaged_chunk_is_dropped_instead_of_served() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (content, tree) = file(2, 0);
    for header in [true, false] {
        let folder = open(temporary.path());
        put(
            &folder,
            &content,
            &tree,
            &offer(&tree, ChunkIndex::Data(0), 1, 1),
        )
        .expect("it is kept");
        let name = temporary.path().join("held").join(tree.id().to_string());
        let path = name.join(format!("{:016x}", 0));
        let mut bytes = fs::read(&path).expect("it is there");
        let at = if header { 20 } else { 5000 };
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("a file");
        let folder = open(temporary.path());
        let read = folder.read(&tree.id(), 0, &mut Vec::new());
        assert!(matches!(read, Err(ReadError::NotFound)));
        assert_eq!(folder.held().usage().chunks, 0);
        assert!(!path.exists());
    }
}

#[test]
fn room_is_shared_between_groups_and_nobody_takes_it_by_bringing_more() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = with_room(temporary.path(), 6);
    let (greedy, greedy_tree) = file(10, 1);
    for chunk in 0..6 {
        let mut offered = offer(&greedy_tree, ChunkIndex::Data(chunk), 1, 1);
        offered.expires_at = 1000 + chunk;
        put(&folder, &greedy, &greedy_tree, &offered).expect("there is room");
    }
    // Its own share is full: what was acknowledged is not given up for more of the same.
    let more = offer(&greedy_tree, ChunkIndex::Data(6), 1, 2);
    assert_eq!(
        folder.held().offer(&more).expect("the disk works"),
        Offered::Refused(Refusal::Quota)
    );
    let refused = put(&folder, &greedy, &greedy_tree, &more);
    assert!(
        matches!(refused, Err(HoldError::Refused(Refusal::Quota))),
        "{refused:?}"
    );

    // Another group gets as much, and not more.
    let (modest, modest_tree) = file(4, 2);
    for chunk in 0..3 {
        let offered = offer(&modest_tree, ChunkIndex::Data(chunk), 2, 3);
        assert_eq!(
            folder.held().offer(&offered).expect("the disk works"),
            Offered::Wanted
        );
        put(&folder, &modest, &modest_tree, &offered).expect("the greedy give way");
        assert!(folder.held().usage().bytes <= folder.held().usage().quota);
    }
    let fourth = offer(&modest_tree, ChunkIndex::Data(3), 2, 3);
    assert_eq!(
        folder.held().offer(&fourth).expect("the disk works"),
        Offered::Refused(Refusal::Quota)
    );
    // What would have gone first went first.
    let left = folder.holdings(&greedy_tree.id()).expect("some are left");
    assert_eq!(left.chunks.iter().collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(folder.held().usage().evicted, 3);

    // Own files are not asked to give way, whatever the quota.
    let own = folder
        .add_bytes("own", &content(9 * CHUNK))
        .expect("it is taken in");
    assert_eq!(
        folder.entry(&own.id).map(|entry| entry.state),
        Some(State::Whole)
    );
    assert_eq!(
        folder
            .held()
            .remove(&modest_tree.id())
            .expect("the disk works"),
        3
    );
}

/// Keeps a chunk of a file for whoever reads it now.
fn pass(folder: &Folder, (content, tree): (&[u8], &Tree), chunk: u64) -> Result<(), HoldError> {
    let proof = tree.proof(ChunkIndex::Data(chunk));
    let proof = proof.expect("the file has it");
    let place = (&tree.id(), tree.layout(), chunk);
    folder
        .held()
        .pass(place, 500, chunk_of(content, chunk), &proof)
}

#[test]
fn what_passes_through_keeps_to_the_quota_and_gives_way_to_what_is_pushed() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = with_room(temporary.path(), 4);
    let (content, tree) = file(6, 0);
    for chunk in 0..6 {
        pass(&folder, (&content, &tree), chunk).expect("the oldest gives way");
        assert!(folder.held().usage().bytes <= folder.held().usage().quota);
        assert!(folder.held().contains(&tree.id(), chunk));
    }
    assert_eq!(folder.held().usage().chunks, 4);
    assert!(folder.held().list().iter().all(|chunk| chunk.is_passing));
    // Whoever pushes a chunk that is here for a reader has it held as promised.
    let offered = offer(&tree, ChunkIndex::Data(5), 1, 1);
    let answer = folder.held().offer(&offered).expect("the disk works");
    assert_eq!(answer, Offered::Wanted);
    put(&folder, &content, &tree, &offered).expect("it is kept");
    let list = folder.held().list();
    let pushed = list.iter().filter(|chunk| !chunk.is_passing);
    assert_eq!(pushed.map(|chunk| chunk.index).collect::<Vec<_>>(), [5]);

    let (other, other_tree) = file(4, 1);
    for chunk in 0..4 {
        let offered = offer(&other_tree, ChunkIndex::Data(chunk), 2, 2);
        // A group takes from those that have more than it would have.
        let _ = put(&folder, &other, &other_tree, &offered);
    }
    assert_eq!(folder.held().usage().chunks, 4);
    let passing = |folder: &Folder| {
        let list = folder.held().list();
        list.iter().filter(|chunk| chunk.is_passing).count()
    };
    assert!(passing(&folder) <= 1, "{}", passing(&folder));
    // It takes nothing from those who pushed, but for its small share.
    let before = passing(&folder);
    let taken = pass(&folder, (&content, &tree), 0);
    assert_eq!(passing(&folder), before);
    assert_eq!(taken.is_ok(), before == 1);
}

#[test]
fn what_passes_through_is_verified() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = with_room(temporary.path(), 4);
    let (content, tree) = file(2, 0);
    let error = pass(&folder, (&content[1..], &tree), 0).expect_err("other bytes");
    assert!(matches!(error, HoldError::Verify(_)), "{error}");
    assert_eq!(folder.held().usage().chunks, 0);
}

#[test]
fn a_chunk_that_was_pushed_under_a_false_size_keeps_out_nobody() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(temporary.path());
    let (content, tree) = file(6, 0);
    let size = tree.layout().size();
    let first = offer(&tree, ChunkIndex::Data(0), 1, 1);
    // True bytes, which verify under these sizes, too.
    for (chunk, false_size) in [(0, size + 1), (1, size - CHUNK as u64), (2, size - 1)] {
        let liar = Offer {
            size: false_size,
            ..offer(&tree, ChunkIndex::Data(chunk), 2, 2)
        };
        put(&folder, &content, &tree, &liar).expect("it is the file's chunk");
    }
    let held = folder.held();
    assert_eq!(held.offer(&first).expect("the disk works"), Offered::Held);
    let impossible = Offer {
        size: 9 * CHUNK as u64,
        ..first
    };
    let refused = Offered::Refused(Refusal::OtherSize);
    assert_eq!(held.offer(&impossible).expect("the disk works"), refused);
    let holdings = folder.holdings(&tree.id()).expect("some is here");
    assert_eq!(holdings.chunks.iter().collect::<Vec<_>>(), [0, 1, 2]);
    // The last chunk shows how large the file is, whatever was said before.
    let last = offer(&tree, ChunkIndex::Data(5), 1, 1);
    put(&folder, &content, &tree, &last).expect("it is kept");
    let holdings = folder.holdings(&tree.id()).expect("some is here");
    assert_eq!(holdings.layout, tree.layout());
    assert_eq!(holdings.chunks.iter().collect::<Vec<_>>(), [0, 1, 2, 5]);
    // Nor does what only passes through take the place of what was pushed.
    pass(&folder, (&content, &tree), 0).expect("it is here");
    assert!(folder.held().list().iter().all(|chunk| !chunk.is_passing));
}

#[test]
fn a_piece_of_the_list_is_kept_beside_the_chunk_that_proves_the_size() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(temporary.path());
    let (content, tree) = file(4, 0);
    let list = ChunkIndex::List(0);
    // The two values below the root are the list of a file of two chunks as well.
    let pairs = [0, 2].map(|chunk| {
        let proof = tree.proof(ChunkIndex::Data(2 - chunk)).expect("it has one");
        proof.to_bytes()[32..].to_vec()
    });
    let liar = Offer {
        size: 2 * CHUNK as u64,
        ..offer(&tree, list, 2, 2)
    };
    let refused = folder.held().put(&liar, &pairs.concat(), &Proof::default());
    assert!(
        matches!(refused, Err(HoldError::Refused(Refusal::Unproven))),
        "it verifies and is kept all the same: {refused:?}"
    );
    let honest = offer(&tree, list, 1, 1);
    let piece = tree.list_piece(0).expect("there is one");
    let keep = || folder.held().put(&honest, &piece, &Proof::default());
    assert!(matches!(keep(), Err(HoldError::Refused(Refusal::Unproven))));
    let end = offer(&tree, ChunkIndex::Data(3), 1, 1);
    put(&folder, &content, &tree, &end).expect("it is kept");
    keep().expect("the size is proven");
    let answer = folder.held().offer(&liar).expect("the disk works");
    assert_eq!(answer, Offered::Refused(Refusal::OtherSize));
    let answer = folder.held().offer(&honest).expect("the disk works");
    assert_eq!(answer, Offered::Held);
}
