//! Files between nodes of one process, some of which lie, stall, or vanish.

mod many;
mod passing;
mod pushed;
mod sizes;
mod web;

use std::path::PathBuf;

use bytes::Bytes;
use qadom_files::{CHUNK_SIZE, ChunkIndex, FileId, Layout, Tree};
use qadom_transport::DataStream;
use qadom_wire::{FileEntry, Provider, Reason, providers_slot};
use tempfile::TempDir;

use super::frame::Frame;
use super::link::{FrameReader, FrameWriter};
use super::*;
use crate::files::discovery::name_slot;
use crate::transfer::{Purpose, purpose};

const CHUNK: usize = CHUNK_SIZE as usize;

async fn start() -> Node {
    let builder = Node::builder().memory(true);
    let listening = builder.listen(([127, 0, 0, 1], 0).into());
    listening.start().await.unwrap()
}

async fn start_beside(other: &Node) -> Node {
    let node = start().await;
    node.join(&[other.address().into()]).await.unwrap();
    node
}

/// Bytes that do not repeat soon.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut bytes: Vec<u8> = bytes.take(length / 8 + 1).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// A file on the disk, and its folder.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn to(path: PathBuf) -> GetOptions {
    GetOptions {
        output: Some(path),
        ..GetOptions::default()
    }
}

async fn add(node: &Node, bytes: &[u8]) -> (TempDir, FileId) {
    let (folder, path) = file(bytes);
    let added = node.files().add(path, AddOptions::default());
    (folder, added.finish().await.unwrap().id)
}

/// What a holder does that breaks the rules.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Sends other bytes.
    Garbage,
    /// Sends a chunk with its end cut off.
    Short,
    /// Sends chunks that nobody asked for.
    Unasked,
    /// Says that it has the file and sends nothing.
    Silent,
    /// Ends the stream after it was asked.
    Vanishes,
    /// Claims another size, and sends other bytes.
    OtherSize(u64),
    /// Claims another size, and sends nothing.
    SilentSize(u64),
    /// Says a few times that it has no place.
    Busy,
    /// Says what is no frame.
    Nonsense,
}

/// A node that says it provides a file, and breaks the rules in one way.
async fn liar(beside: &Node, id: FileId, size: u64, fault: Fault) -> Node {
    let node = start_beside(beside).await;
    let mut streams = node.inner.quic.accept();
    tokio::spawn(async move {
        while let Some((_, stream)) = streams.recv().await {
            tokio::spawn(break_rules(stream, size, fault));
        }
    });
    let provider = Provider::new(node.own_contact().await.unwrap());
    let bag = node.bag(providers_slot(id.as_bytes()));
    bag.add(provider.encode()).await.unwrap();
    node
}

async fn break_rules(stream: DataStream, size: u64, fault: Fault) -> Option<()> {
    let (purpose, stream) = purpose(stream).await?;
    assert_eq!(purpose, Purpose::Files);
    let (sender, receiver) = stream.split();
    let (mut writer, mut reader) = (FrameWriter::new(sender), FrameReader::new(receiver));
    let patience = std::time::Duration::from_mins(1);
    reader.next(patience, false, |_, _| ()).await.ok()??;
    if let Fault::Nonsense = fault {
        let (kind, first) = (Frame::Kept { index: 7 }, Frame::Look);
        writer.send(kind).await.ok()?;
        return writer.send(first).await.ok();
    }
    if let Fault::Busy = fault {
        let reason = Reason::Busy;
        return writer.send(Frame::End { reason }).await.ok();
    }
    let claim = match fault {
        Fault::OtherSize(size) | Fault::SilentSize(size) => size,
        _ => size,
    };
    writer.send(Frame::All { size: claim }).await.ok()?;
    let mut asked = 0;
    loop {
        let frame = reader.next(patience, false, |_, _| ()).await.ok()??;
        let Frame::Ask { index } = frame else {
            continue;
        };
        asked += 1;
        let layout = Layout::new(claim).unwrap();
        let length = layout.length(layout.index(index)?);
        let length = usize::try_from(length).unwrap();
        let hashes = layout.proof_hashes(layout.index(index)?);
        let chunk = |index, length| Frame::Chunk {
            index,
            proof: Bytes::from(vec![3; hashes * 32]),
            bytes: Bytes::from(vec![7; length]),
        };
        match fault {
            Fault::Garbage | Fault::OtherSize(_) => writer.send(chunk(index, length)).await.ok()?,
            Fault::Short => writer.send(chunk(index, length / 2)).await.ok()?,
            Fault::Unasked => writer.send(chunk(index + 1, length)).await.ok()?,
            Fault::Vanishes if asked > 1 => return None,
            Fault::Silent
            | Fault::SilentSize(_)
            | Fault::Vanishes
            | Fault::Nonsense
            | Fault::Busy => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_breaks_the_rules_costs_the_download_nothing_but_its_own_place() {
    let bytes = content(5 * CHUNK + 11);
    let first = start().await;
    let (_source, id) = add(&first, &bytes).await;
    let size = bytes.len() as u64;
    let mut liars = Vec::new();
    for fault in [
        Fault::Garbage,
        Fault::Short,
        Fault::Unasked,
        Fault::Vanishes,
        Fault::Silent,
        Fault::Nonsense,
        Fault::OtherSize(1 << 50),
        Fault::SilentSize(size + 1),
        Fault::Busy,
    ] {
        liars.push(liar(&first, id, size, fault).await);
    }
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let fetched = reader.files().get(FileName::Id(id), to(target.clone()));
    let fetched = fetched.finish().await.unwrap();
    assert_eq!((fetched.id, fetched.size), (id, size));
    assert!(std::fs::read(target).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_a_petabyte_is_found_out_and_costs_nothing() {
    let id = FileId::of(b"never seen");
    let first = start().await;
    let _liar = liar(&first, id, 1 << 50, Fault::Garbage).await;
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let missing = reader.files().get(FileName::Id(id), to(target.clone()));
    let error = missing.finish().await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound, "{error}");
    assert!(!target.exists());
    assert_eq!(reader.files().list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_holders_vanish_what_was_verified_is_gone_on_with() {
    let bytes = content(6 * CHUNK);
    let (source, path) = file(&bytes);
    let first = start().await;
    // Part of it, as an earlier attempt left it.
    let reader = start_beside(&first).await;
    let layout = Layout::new(bytes.len() as u64).unwrap();
    let tree = Tree::of(&bytes);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let (id, near) = (tree.id(), target.clone());
    let chunks = [0, 3, 5];
    let kept = bytes.clone();
    let working = reader.inner.files.blocking(move |folder| {
        let partial = folder.download(&id, layout.size(), Some(&near)).unwrap();
        for chunk in chunks {
            let proof = tree.proof(ChunkIndex::Data(chunk)).unwrap();
            let at = layout.range(chunk);
            let at = usize::try_from(at.start).unwrap()..usize::try_from(at.end).unwrap();
            partial.write(chunk, &kept[at], &proof).unwrap();
        }
    });
    working.await.unwrap();
    let get = || reader.files().get(FileName::Id(id), to(target.clone()));
    let error = get().finish().await.unwrap_err();
    assert_eq!(error.reason(), Reason::Unreachable, "{error}");
    assert!(!target.exists());

    let _vanishing = liar(&first, id, layout.size(), Fault::Vanishes).await;
    let error = get().finish().await.unwrap_err();
    let Error::File(FileError::Incomplete { missing, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*missing, 3, "{error}");
    assert!(error.advice().unwrap().contains("the same command"));

    // Somebody has it again: only what is missing comes.
    let added = first.files().add(path, AddOptions::default());
    added.finish().await.unwrap();
    let mut task = get();
    while task.progress().await.is_some() {}
    assert_eq!(task.finish().await.unwrap().id, id);
    assert!(std::fs::read(&target).unwrap() == bytes);
    drop(source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_while_it_is_fetched_is_right_at_every_place() {
    let bytes = content(4 * CHUNK + 5);
    let first = start().await;
    let (_source, id) = add(&first, &bytes).await;
    let reader = start_beside(&first).await;
    let options = GetOptions::default();
    let opened = reader
        .files()
        .open(FileName::Id(id), options)
        .await
        .unwrap();
    assert_eq!(opened.size(), bytes.len() as u64);
    let end = opened.size();
    for range in [
        3 * CHUNK as u64..end,
        0..5,
        7..CHUNK as u64 + 9,
        end - 1..end,
        4..4,
    ] {
        let mut pieces = opened.read(range.clone());
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        let at = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert!(read == bytes[at], "{range:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushed_chunks_are_verified_by_their_holders_and_outlive_the_pusher() {
    let first = start().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start_beside(&first).await);
    }
    // A client can be reached by nobody's lookup, and pushes all the same.
    let builder = Node::builder().memory(true).mode(crate::Mode::Client);
    let pusher = builder.listen(([127, 0, 0, 1], 0).into()).start().await;
    let pusher = pusher.unwrap();
    pusher.join(&[first.address().into()]).await.unwrap();
    let bytes = content(3 * CHUNK + 1);
    let (source, path) = file(&bytes);
    let task = pusher.files().push(path, 3, AddOptions::default());
    let left = task.finish().await.unwrap();
    assert_eq!((left.smallest_copies, left.chunks), (3, 4));
    let status = pusher.files().status(left.id).await.unwrap();
    assert!(status.is_whole);
    pusher.shutdown().await;
    drop(source);
    let reader = start_beside(&others[1]).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let fetched = reader
        .files()
        .get(FileName::Id(left.id), to(target.clone()));
    fetched.finish().await.unwrap();
    assert!(std::fs::read(target).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_file_is_neither_served_nor_fetched() {
    let (first, bytes) = (start().await, content(100));
    let (_source, id) = add(&first, &bytes).await;
    let reader = start_beside(&first).await;
    let what = qadom_engine::Blocked::Key(qadom_routing::Key::from_bytes(*id.as_bytes()));
    first.block(what, None).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let get = || {
        let target = place.path().join("out");
        reader.files().get(FileName::Id(id), to(target)).finish()
    };
    assert_eq!(get().await.unwrap_err().reason(), Reason::NotFound);
    first.unblock(what).await.unwrap();
    reader.block(what, None).await.unwrap();
    assert_eq!(get().await.unwrap_err().reason(), Reason::Blocked);
    reader.unblock(what).await.unwrap();
    get().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_under_a_name_that_is_no_file_is_passed_over() {
    let (first, bytes) = (start().await, content(100));
    let (_source, id) = add(&first, &bytes).await;
    let bag = first.bag(name_slot("film").unwrap());
    bag.add("http://example.org/film").await.unwrap();
    let entry = FileEntry::new(*id.as_bytes(), 100, "", Vec::new()).unwrap();
    bag.add(entry.encode()).await.unwrap();
    let named = first.files().named("film").await.unwrap();
    assert_eq!(named.iter().map(|file| file.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_the_mode_of_any_file_that_a_user_makes() {
    let (node, bytes) = (start().await, content(100));
    let (source, id) = add(&node, &bytes).await;
    let target = source.path().join("copy");
    let copied = node.files().get(FileName::Id(id), to(target.clone()));
    copied.finish().await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions();
    assert_eq!(mode(target), mode(source.path().join("film")));
}
