//! The folder on disk: whole files, downloads that are cut short, chunks of others.

#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "sizes of tests are small, and a test fails by panicking"
)]

#[path = "folder/held.rs"]
mod held;
#[path = "folder/kill.rs"]
mod kill;
#[path = "folder/listing.rs"]
mod listing;
#[path = "folder/partial.rs"]
mod partial;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use qadom_files::{
    AddError, Added, CHUNK_SIZE, ChunkIndex, DownloadError, Entry, FileId, Folder, FolderConfig,
    Holdings, Layout, Place, Placement, ReadError, State, Tree, verify,
};

const CHUNK: usize = CHUNK_SIZE as usize;

/// The sizes at which the shape of the tree changes.
const EDGES: [usize; 7] = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    3 * CHUNK - 1,
    5 * CHUNK + 7,
];

/// Bytes that repeat neither by block nor by chunk.
fn content(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i % 251) as u8 ^ (i >> 16) as u8)
        .collect()
}

fn chunk_of(content: &[u8], chunk: u64) -> &[u8] {
    let start = chunk as usize * CHUNK;
    &content[start..content.len().min(start + CHUNK)]
}

fn open(root: &Path) -> Folder {
    Folder::open(root, FolderConfig::default()).expect("the folder opens")
}

fn add(folder: &Folder, path: &Path, placement: Placement) -> Result<Added, AddError> {
    folder.add(path, placement, &mut |_| ControlFlow::Continue(()))
}

fn add_file(folder: &Folder, path: &Path, placement: Placement) -> Entry {
    let added = add(folder, path, placement).expect("the file is taken in");
    assert!(added.parts.is_empty() && added.skipped.is_empty());
    added.entry
}

/// Everything of this content is served and verifies.
fn check_served(folder: &Folder, content: &[u8]) {
    let (id, layout) = (FileId::of(content), layout(content.len()));
    let holdings = folder.holdings(&id).expect("it is here");
    assert_eq!(holdings.layout, layout);
    assert!(holdings.chunks.is_full() && holdings.list_pieces.is_full());
    let mut bytes = Vec::new();
    for chunk in 0..layout.chunks() {
        let index = ChunkIndex::Data(chunk);
        let proof = folder
            .read(&id, index.wire(), &mut bytes)
            .expect("the chunk is here");
        assert_eq!(bytes, chunk_of(content, chunk));
        verify(&id, layout, index, &bytes, &proof).expect("it verifies");
    }
    let list = ChunkIndex::List(0);
    let proof = folder
        .read(&id, list.wire(), &mut bytes)
        .expect("the list is here");
    verify(&id, layout, list, &bytes, &proof).expect("it verifies");
    let nowhere = folder.read(&id, layout.chunks(), &mut bytes);
    assert!(matches!(nowhere, Err(ReadError::NotFound)));

    let manifest = folder.manifest(&id).expect("the hashes are here");
    assert_eq!(manifest.id(), id);
    let size = content.len() as u64;
    for range in [
        0..size,
        1..size.min(7),
        size / 2..size / 2 + CHUNK as u64,
        size..size + 5,
    ] {
        let mut out = Vec::new();
        folder
            .read_range(&id, range.clone(), &mut out)
            .expect("the bytes are here");
        let end = content.len().min(range.end as usize);
        let start = content.len().min(range.start as usize);
        assert_eq!(out, &content[start..end.max(start)], "{range:?}");
    }
}

fn layout(size: usize) -> Layout {
    Layout::new(size as u64).expect("it is small")
}

#[test]
fn a_file_is_served_from_its_place_and_after_a_restart() {
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("files");
    for size in EDGES {
        let content = content(size);
        let source = temporary.path().join("film.mp4");
        fs::write(&source, &content).expect("a file");
        let folder = open(&root);
        let entry = add_file(&folder, &source, Placement::InPlace);
        assert_eq!(entry.id, FileId::of(&content));
        assert_eq!(
            (entry.size, entry.content_type.as_str()),
            (size as u64, "video/mp4")
        );
        assert!(matches!(&entry.place, Place::InPlace(path) if path.ends_with("film.mp4")));
        check_served(&folder, &content);
        drop(folder);

        let folder = open(&root);
        assert_eq!(folder.entry(&entry.id), Some(entry.clone()));
        assert_eq!(folder.list(), std::slice::from_ref(&entry));
        check_served(&folder, &content);
        assert!(folder.remove(&entry.id).expect("it goes"));
        assert!(!folder.remove(&entry.id).expect("nothing is there"));
        assert_eq!(folder.list(), []);
        assert!(source.exists());
    }
}

#[test]
fn a_copy_does_not_need_its_source() {
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("files");
    let content = content(2 * CHUNK + 5);
    let source = temporary.path().join("source");
    fs::write(&source, &content).expect("a file");
    let entry = add_file(&open(&root), &source, Placement::Copy);
    assert_eq!(entry.place, Place::Copied);
    fs::remove_file(&source).expect("it goes");
    let folder = open(&root);
    check_served(&folder, &content);
    assert!(folder.remove(&entry.id).expect("it goes"));
    for name in ["data", "trees", "shared"] {
        let mut left = fs::read_dir(root.join(name)).expect("a folder");
        assert!(left.next().is_none(), "{name} is not empty");
    }
}

#[test]
fn a_changed_source_is_no_longer_served() {
    let temporary = tempfile::tempdir().expect("a folder");
    let source = temporary.path().join("source");
    let mut content = content(2 * CHUNK);
    fs::write(&source, &content).expect("a file");
    let folder = open(&temporary.path().join("files"));
    let id = add_file(&folder, &source, Placement::InPlace).id;
    let mut bytes = Vec::new();
    folder.read(&id, 0, &mut bytes).expect("it is here");

    // The size and the time of the last change stay, so only the hash can tell.
    let modified = fs::metadata(&source).and_then(|metadata| metadata.modified());
    let modified = modified.expect("it is there");
    content[CHUNK + 9] ^= 1;
    fs::write(&source, &content).expect("a file");
    let file = fs::File::options()
        .write(true)
        .open(&source)
        .expect("a file");
    file.set_modified(modified).expect("the time is set");
    folder
        .read(&id, 0, &mut bytes)
        .expect("this chunk did not change");
    assert!(matches!(
        folder.read(&id, 1, &mut bytes),
        Err(ReadError::Changed)
    ));
    assert!(matches!(
        folder.read(&id, 0, &mut bytes),
        Err(ReadError::Changed)
    ));
    assert_eq!(
        folder.entry(&id).map(|entry| entry.state),
        Some(State::Changed)
    );
    assert_eq!(folder.holdings(&id), None);

    // Added again it is another file, and the old one is still gone.
    let again = add_file(&folder, &source, Placement::InPlace);
    assert_ne!(again.id, id);
    check_served(&folder, &content);

    // Another time of change is enough.
    file.set_modified(modified + Duration::from_secs(1))
        .expect("the time is set");
    assert!(matches!(
        folder.read(&again.id, 0, &mut bytes),
        Err(ReadError::Changed)
    ));
    fs::remove_file(&source).expect("it goes");
    let folder = open(&temporary.path().join("files"));
    assert!(matches!(
        folder.read(&again.id, 0, &mut bytes),
        Err(ReadError::Changed)
    ));
}

#[test]
fn adding_can_be_stopped_and_leaves_nothing() {
    let temporary = tempfile::tempdir().expect("a folder");
    let source = temporary.path().join("source");
    fs::write(&source, content(3 * CHUNK)).expect("a file");
    let root = temporary.path().join("files");
    let folder = open(&root);
    let mut seen = 0;
    let stopped = folder.add(&source, Placement::Copy, &mut |bytes| {
        seen += bytes;
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(AddError::Stopped)), "{stopped:?}");
    assert_eq!(seen, CHUNK as u64);
    assert_eq!(folder.list(), []);
    let mut left = fs::read_dir(root.join("data")).expect("a folder");
    assert!(left.next().is_none());
}

#[test]
fn a_file_that_grows_while_it_is_read_is_refused() {
    let temporary = tempfile::tempdir().expect("a folder");
    let source = temporary.path().join("source");
    fs::write(&source, content(3 * CHUNK)).expect("a file");
    let folder = open(&temporary.path().join("files"));
    let longer = content(9 * CHUNK);
    let added = folder.add(&source, Placement::InPlace, &mut |_| {
        fs::write(&source, &longer).expect("a file");
        ControlFlow::Continue(())
    });
    assert!(matches!(added, Err(AddError::Changed { .. })), "{added:?}");
    assert_eq!(folder.list(), []);
}

#[test]
fn damaged_and_later_entries_are_left_alone_and_named() {
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("files");
    let folder = open(&root);
    let one = folder.add_bytes("one", b"one").expect("it is taken in").id;
    let two = folder.add_bytes("two", b"two").expect("it is taken in").id;
    drop(folder);
    let path = |id: &FileId| root.join("shared").join(id.to_string());
    let text = fs::read_to_string(path(&one)).expect("an entry is text");
    fs::write(path(&one), text.replace("size 3", "size 4")).expect("a file");
    let text = fs::read_to_string(path(&two)).expect("an entry is text");
    let later = text.replace("qadom file 1", "qadom file 2");
    fs::write(path(&two), &later).expect("a file");
    let folder = open(&root);
    assert_eq!(folder.list(), []);
    assert_eq!(folder.damaged().len(), 2);
    assert_eq!(fs::read_to_string(path(&two)).expect("it is there"), later);
}

#[test]
fn what_is_whole_is_not_downloaded() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(&temporary.path().join("files"));
    let entry = folder.add_bytes("one", b"one").expect("it is taken in");
    let whole = folder.download(&entry.id, 3, None);
    assert!(matches!(whole, Err(DownloadError::Whole(found)) if *found == entry));
}

/// Reads and listings of an id that nobody has.
#[test]
fn what_is_not_here_is_not_found() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = open(&temporary.path().join("files"));
    let id = FileId::of(b"nobody");
    assert_eq!(folder.entry(&id), None);
    assert_eq!(folder.holdings(&id), None::<Holdings>);
    let read = folder.read(&id, u64::MAX, &mut Vec::new());
    assert!(matches!(read, Err(ReadError::NotFound)));
}
