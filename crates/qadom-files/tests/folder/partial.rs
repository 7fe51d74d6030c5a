//! Downloads on disk: cut short, torn, tampered with, ended.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use qadom_files::{
    ChunkIndex, FinishError, Manifest, Partial, Proof, VerifyError, WriteError, Written,
};

use super::*;

/// Writes a chunk as it would come from a peer.
fn write(partial: &Partial, tree: &Tree, content: &[u8], chunk: u64) -> Written {
    let proof = tree
        .proof(ChunkIndex::Data(chunk))
        .expect("the file has it");
    let written = partial.write(chunk, chunk_of(content, chunk), &proof);
    written.expect("it verifies")
}

#[test]
fn chunks_in_any_order_make_the_file_and_are_served_before_its_end() {
    for size in EDGES {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = open(&temporary.path().join("files"));
        let target = temporary.path().join("film");
        let content = content(size);
        let tree = Tree::of(&content);
        let (id, chunks) = (tree.id(), tree.layout().chunks());
        let near = (size % 2 == 0).then_some(target.as_path());
        let partial = folder.download(&id, size as u64, near).expect("it begins");
        for step in 0..chunks {
            let early = folder.finish(&partial, "film", Some(&target));
            assert!(
                matches!(early, Err(FinishError::Missing { missing }) if missing == chunks - step)
            );
            let chunk = (step * 5 + 3) % chunks;
            let chunk = if chunks % 5 == 0 { step } else { chunk };
            assert_eq!(write(&partial, &tree, &content, chunk), Written::New);
            assert_eq!(write(&partial, &tree, &content, chunk), Written::Already);
            let mut bytes = Vec::new();
            let proof = folder.read(&id, chunk, &mut bytes).expect("it is served");
            verify(&id, tree.layout(), ChunkIndex::Data(chunk), &bytes, &proof)
                .expect("it is right");
        }
        assert!(!target.exists());
        let entry = folder
            .finish(&partial, "film.mp4", Some(&target))
            .expect("all is there");
        assert_eq!((entry.id, entry.content_type.as_str()), (id, "video/mp4"));
        assert_eq!(fs::read(&target).expect("it is there"), content);
        assert_eq!(fs::read_dir(temporary.path()).expect("a folder").count(), 2);
        check_served(&folder, &content);
        check_served(&open(&temporary.path().join("files")), &content);
    }
}

#[test]
fn a_download_without_a_place_ends_in_the_folder() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(&temporary.path().join("files"));
    let content = content(CHUNK + 1);
    let tree = Tree::of(&content);
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    let manifest = Manifest::from(tree.clone());
    let unknown = partial.write_listed(0, chunk_of(&content, 0));
    assert!(matches!(
        unknown,
        Err(WriteError::Verify(VerifyError::Mismatch))
    ));
    let other = Manifest::from(Tree::of(&content[1..]));
    assert!(partial.learn(&other).is_err());
    // The list alone is enough.
    partial.learn(&manifest).expect("it is its list");
    for chunk in [1, 0] {
        let written = partial.write_listed(chunk, chunk_of(&content, chunk));
        assert_eq!(written.expect("it verifies"), Written::New);
    }
    let entry = folder.finish(&partial, "", None).expect("all is there");
    assert_eq!(entry.place, Place::Copied);
    check_served(&folder, &content);
}

#[test]
fn nothing_wrong_is_written_and_nothing_that_exists_is_replaced() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(&temporary.path().join("files"));
    let content = content(CHUNK + 100);
    let tree = Tree::of(&content);
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    let wrong = partial.write(
        0,
        &vec![7; CHUNK],
        &tree.proof(ChunkIndex::Data(0)).expect("it has"),
    );
    assert!(matches!(
        wrong,
        Err(WriteError::Verify(VerifyError::Mismatch))
    ));
    assert!(partial.write(2, b"", &Proof::default()).is_err());
    assert!(partial.have().is_empty());
    assert_eq!(
        fs::metadata(partial.data_path())
            .expect("it is there")
            .len(),
        0
    );
    for chunk in 0..2 {
        write(&partial, &tree, &content, chunk);
    }
    let target = temporary.path().join("taken");
    fs::write(&target, "mine").expect("a file");
    let taken = folder.finish(&partial, "taken", Some(&target));
    assert!(
        matches!(taken, Err(FinishError::TargetExists { .. })),
        "{taken:?}"
    );
    assert_eq!(fs::read(&target).expect("it is there"), b"mine");
    let free = temporary.path().join("free");
    folder
        .finish(&partial, "free", Some(&free))
        .expect("this one is free");
    assert_eq!(fs::read(&free).expect("it is there"), content);
}

#[test]
fn a_crash_between_name_and_note_is_made_good() {
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("files");
    let content = content(CHUNK + 1);
    let tree = Tree::of(&content);
    let folder = open(&root);
    let target = temporary.path().join("film");
    let partial = folder
        .download(&tree.id(), content.len() as u64, Some(&target))
        .expect("it begins");
    for chunk in 0..2 {
        write(&partial, &tree, &content, chunk);
    }
    // As a crash right after the name was given leaves it.
    fs::hard_link(partial.data_path(), &target).expect("it gets its name");
    drop((partial, folder));
    let folder = open(&root);
    let partial = folder.partial(&tree.id()).expect("it goes on");
    folder
        .finish(&partial, "film", Some(&target))
        .expect("it is its own");
    check_served(&folder, &content);
}

#[test]
fn a_crash_after_the_note_leaves_nothing_beside_the_file() {
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("files");
    let content = content(CHUNK + 1);
    let tree = Tree::of(&content);
    let folder = open(&root);
    let target = temporary.path().join("film");
    let size = content.len() as u64;
    let partial = folder
        .download(&tree.id(), size, Some(&target))
        .expect("it begins");
    for chunk in 0..2 {
        write(&partial, &tree, &content, chunk);
    }
    let marks = root.join("partial").join(tree.id().to_string());
    let (kept, data) = (
        fs::read(&marks).expect("marks"),
        partial.data_path().to_owned(),
    );
    folder
        .finish(&partial, "film", Some(&target))
        .expect("all is there");
    drop((partial, folder));
    // As a crash right after the entry was written leaves it.
    fs::write(&marks, kept).expect("a file");
    fs::hard_link(&target, &data).expect("a link");
    check_served(&open(&root), &content);
    assert!(!marks.exists() && !data.exists());
    assert_eq!(fs::read(&target).expect("it is there"), content);
}

#[test]
fn a_changed_file_can_be_downloaded_again_across_a_restart() {
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("files");
    let content = content(2 * CHUNK);
    let tree = Tree::of(&content);
    let source = temporary.path().join("source");
    fs::write(&source, &content).expect("a file");
    let id = add_file(&open(&root), &source, Placement::InPlace).id;
    fs::remove_file(&source).expect("it goes");
    let folder = open(&root);
    let partial = folder
        .download(&id, content.len() as u64, Some(&source))
        .expect("it is not here");
    write(&partial, &tree, &content, 1);
    drop((partial, folder));
    let folder = open(&root);
    let state = folder.entry(&id).map(|entry| entry.state);
    assert_eq!(state, Some(State::Partial { chunks: 1 }));
    folder
        .read(&id, 1, &mut Vec::new())
        .expect("it is served already");
    let partial = folder.partial(&id).expect("it goes on");
    write(&partial, &tree, &content, 0);
    folder
        .finish(&partial, "source", Some(&source))
        .expect("all is there");
    check_served(&folder, &content);
}

#[test]
fn several_threads_write_at_a_time() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(temporary.path());
    let content = content(23 * CHUNK + 5);
    let tree = Tree::of(&content);
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (partial, tree, content) = (&partial, &tree, &content);
            // Neighbours write the same chunks now and then.
            scope.spawn(move || {
                for chunk in (0..24).filter(|chunk| chunk % 4 == thread || chunk % 5 == 0) {
                    write(partial, tree, content, chunk);
                }
            });
        }
    });
    folder.finish(&partial, "", None).expect("all is there");
    check_served(&folder, &content);
}

/// A download of five chunks of which 0, 1 and 3 are there, cut short.
fn cut_short(root: &Path, durability_synced: bool) -> (Vec<u8>, Tree) {
    let content = content(5 * CHUNK - 9);
    let tree = Tree::of(&content);
    let folder = open(root);
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    for chunk in [3, 0, 1] {
        write(&partial, &tree, &content, chunk);
    }
    if durability_synced {
        partial.sync().expect("it syncs");
    }
    (content, tree)
}

/// Changes the slot of the marks of the only download.
fn change_slot(root: &Path, id: &FileId, change: impl FnOnce(&mut [u8])) {
    let marks = root.join("partial").join(id.to_string());
    let mut bytes = fs::read(&marks).expect("the marks are there");
    change(&mut bytes[8192..]);
    fs::write(&marks, bytes).expect("a file");
}

/// Makes the slot one that an earlier run of the system wrote.
fn age_slot(slot: &mut [u8]) {
    slot[32..48].fill(9);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&0_u64.to_le_bytes());
    hasher.update(&slot[32..32 + 16 + 1024]);
    slot[..32].copy_from_slice(hasher.finalize().as_bytes());
}

fn resumed(root: &Path, id: &FileId) -> Vec<u64> {
    let partial = open(root).partial(id).expect("it goes on");
    partial.have().iter().collect()
}

#[test]
fn a_restart_knows_what_is_verified() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (content, tree) = cut_short(temporary.path(), false);
    assert_eq!(resumed(temporary.path(), &tree.id()), [0, 1, 3]);
    let folder = open(temporary.path());
    assert_eq!(
        folder.entry(&tree.id()).map(|entry| entry.state),
        Some(State::Partial { chunks: 3 })
    );
    let size = content.len() as u64;
    let partial = folder.download(&tree.id(), size, None).expect("it goes on");
    for chunk in [2, 4] {
        assert_eq!(write(&partial, &tree, &content, chunk), Written::New);
    }
    folder.finish(&partial, "", None).expect("all is there");
    check_served(&folder, &content);
}

#[test]
fn a_torn_slot_and_an_earlier_run_of_the_system_cost_only_hashing() {
    for damage in 0..3 {
        let temporary = tempfile::tempdir().expect("a folder");
        let (content, tree) = cut_short(temporary.path(), damage == 2);
        let id = tree.id();
        change_slot(temporary.path(), &id, |slot| match damage {
            0 => slot[3] ^= 1,
            _ => age_slot(slot),
        });
        // Only what is not synced is hashed again, so only then a wrong byte is found out here.
        let data = temporary.path().join("partial").join(format!("{id}.data"));
        let file = fs::File::options()
            .write(true)
            .open(data)
            .expect("the bytes are there");
        file.write_all_at(b"!", CHUNK as u64 + 1).expect("a byte");
        let expected = if damage == 2 {
            vec![0, 1, 3]
        } else {
            vec![0, 3]
        };
        assert_eq!(resumed(temporary.path(), &id), expected, "damage {damage}");
        // In any case nothing wrong is served, and the chunk can come again.
        let folder = open(temporary.path());
        let partial = folder.partial(&id).expect("it goes on");
        let mut bytes = Vec::new();
        assert!(
            partial
                .read(1, &mut bytes)
                .expect("the disk works")
                .is_none()
        );
        assert!(!partial.contains(1));
        for chunk in [1, 2, 4] {
            assert_eq!(write(&partial, &tree, &content, chunk), Written::New);
        }
        folder.finish(&partial, "", None).expect("all is there");
        check_served(&folder, &content);
    }
}

#[test]
fn a_damaged_header_begins_anew_and_a_later_version_is_left_alone() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (content, tree) = cut_short(temporary.path(), false);
    let (id, size) = (tree.id(), content.len() as u64);
    let marks = temporary.path().join("partial").join(id.to_string());
    let good = fs::read(&marks).expect("the marks are there");
    let mut later = good.clone();
    later[..16].copy_from_slice(b"qadom partial 2\n");
    fs::write(&marks, &later).expect("a file");
    let folder = open(temporary.path());
    assert_eq!(folder.damaged(), std::slice::from_ref(&marks));
    let refused = folder.download(&id, size, None);
    assert!(matches!(refused, Err(DownloadError::TooNew)), "{refused:?}");
    assert_eq!(fs::read(&marks).expect("they are there"), later);

    let mut torn = good;
    torn[60] ^= 1;
    fs::write(&marks, torn).expect("a file");
    let folder = open(temporary.path());
    let partial = folder.download(&id, size, None).expect("it begins anew");
    assert!(partial.have().is_empty());
}

#[test]
fn a_petabyte_that_is_claimed_takes_no_room() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(temporary.path());
    let content = content(CHUNK + 1);
    let tree = Tree::of(&content);
    let partial = folder
        .download(&tree.id(), 1 << 50, None)
        .expect("it is only a claim");
    assert_eq!(partial.layout().chunks(), 1 << 32);
    for name in ["partial", "trees"] {
        for entry in fs::read_dir(temporary.path().join(name)).expect("a folder") {
            let metadata = entry
                .and_then(|entry| entry.metadata())
                .expect("it is there");
            assert!(metadata.blocks() * 512 <= 64 * 1024, "{metadata:?}");
        }
    }
    let too_large = folder.download(&tree.id(), (1 << 52) + 1, None);
    assert!(matches!(too_large, Err(DownloadError::TooLarge(_))));
    // Nothing proved the claim, so the true size takes its place; that one is proven.
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    write(&partial, &tree, &content, 1);
    let lie = folder.download(&tree.id(), 1 << 50, None);
    assert!(
        matches!(lie, Err(DownloadError::OtherSize { .. })),
        "{lie:?}"
    );
}

const FULL_DISK: &str = "QADOM_FULL_DISK_FOLDER";

/// A limit on the size of files stands in for the full disk, as it fails the same writes and needs no
/// privilege; it is set on this test binary again, running only [`full_disk_child`].
#[test]
fn a_full_disk_keeps_the_partial_and_says_so() {
    if let Err(error) = Command::new("prlimit").arg("--version").output() {
        println!("skipped: a full disk is played with prlimit: {error}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = "trap '' XFSZ; exec prlimit --fsize=700000 \"$0\" --exact partial::full_disk_child --nocapture";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("this binary"))
        .env(FULL_DISK, folder.path())
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("full after 2"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let id = FileId::of(&content(5 * CHUNK));
    assert_eq!(resumed(folder.path(), &id), [0, 1]);
}

/// Not a test of its own: the process that the test above starts.
#[test]
fn full_disk_child() {
    let Some(root) = std::env::var_os(FULL_DISK) else {
        return;
    };
    let content = content(5 * CHUNK);
    let tree = Tree::of(&content);
    let folder = open(Path::new(&root));
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    for chunk in 0..5 {
        let proof = tree
            .proof(ChunkIndex::Data(chunk))
            .expect("the file has it");
        match partial.write(chunk, chunk_of(&content, chunk), &proof) {
            Ok(_) => {}
            Err(WriteError::Disk(error)) if error.is_full() => {
                println!("full after {}", partial.have().len());
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}
