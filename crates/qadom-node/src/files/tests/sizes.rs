//! Nodes that lie about the size of a file.

use super::*;

/// Puts chunks of a file where a download that was cut short left them.
async fn cut_short(node: &Node, bytes: &[u8], target: PathBuf, chunks: &[u64]) {
    let (tree, bytes, chunks) = (Tree::of(bytes), bytes.to_vec(), chunks.to_vec());
    let working = node.inner.files.blocking(move |folder| {
        let layout = tree.layout();
        let partial = folder
            .download(&tree.id(), layout.size(), Some(&target))
            .unwrap();
        for chunk in chunks {
            let proof = tree.proof(ChunkIndex::Data(chunk)).unwrap();
            let at = layout.range(chunk);
            let at = usize::try_from(at.start).unwrap()..usize::try_from(at.end).unwrap();
            partial.write(chunk, &bytes[at], &proof).unwrap();
        }
    });
    working.await.unwrap();
}

async fn have(node: &Node, id: FileId) -> Vec<u64> {
    let have = node.inner.files.blocking(move |folder| {
        let partial = folder.partial(&id).unwrap();
        partial.have().iter().collect()
    });
    have.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_size_costs_nothing_that_was_verified_before() {
    let bytes = content(6 * CHUNK);
    let (id, size) = (FileId::of(&bytes), bytes.len() as u64);
    let first = start().await;
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    // The last chunk, which proves the size, is not among them.
    cut_short(&reader, &bytes, target.clone(), &[0, 3]).await;
    let liar = liar(&first, id, size, Fault::OtherSize(size + 1)).await;
    let get = || reader.files().get(FileName::Id(id), to(target.clone()));
    get().finish().await.unwrap_err();
    assert_eq!(have(&reader, id).await, [0, 3]);

    // Beside somebody who tells the truth the liar loses.
    let (_source, added) = add(&first, &bytes).await;
    assert_eq!(added, id);
    get().finish().await.unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    liar.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_claim_another_size_and_stay_silent_do_not_end_a_download() {
    let bytes = content(3 * CHUNK);
    let (id, size) = (FileId::of(&bytes), bytes.len() as u64);
    let first = start().await;
    let mut liars = Vec::new();
    for _ in 0..4 {
        liars.push(liar(&first, id, size, Fault::SilentSize(size + 1)).await);
    }
    let (_source, _) = add(&first, &bytes).await;
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let get = reader.files().get(FileName::Id(id), to(target.clone()));
    get.finish().await.unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_chunks_that_a_liar_pushed_is_of_use_all_the_same() {
    let bytes = content(4 * CHUNK + 9);
    let tree = Tree::of(&bytes);
    let (id, size) = (tree.id(), bytes.len() as u64);
    let first = start().await;
    let (_source, _) = add(&first, &bytes).await;
    let holder = start_beside(&first).await;
    let held = holder.inner.files.blocking(move |folder| {
        let offer = qadom_files::Offer {
            id,
            // The true chunk under a false size: it verifies.
            size: size + 1,
            index: 1,
            group: [4; 8],
            owner: [1; 32],
            expires_at: u64::MAX,
        };
        let chunk = &content(2 * CHUNK)[CHUNK..];
        let proof = tree.proof(ChunkIndex::Data(1)).unwrap();
        folder.held().put(&offer, chunk, &proof).unwrap();
    });
    held.await.unwrap();
    holder.announce_file(&id).await.unwrap();
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let get = reader.files().get(FileName::Id(id), to(target.clone()));
    get.finish().await.unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_holder_is_asked_again_when_others_would_be_given_up() {
    let bytes = content(100);
    let id = FileId::of(&bytes);
    let first = start().await;
    let node = start_beside(&first).await;
    let mut streams = node.inner.quic.accept();
    let serving = node.clone();
    let (_folder, path) = file(&bytes);
    let task = tokio::spawn(async move {
        // As often as a node that has nothing is asked before it is given up.
        for _ in 0..3 {
            let (_, stream) = streams.recv().await.unwrap();
            break_rules(stream, 100, Fault::Busy).await;
        }
        let whole = serving.files().add(path, AddOptions::default());
        whole.finish().await.unwrap();
        while let Some((key, stream)) = streams.recv().await {
            let (_, stream) = purpose(stream).await.unwrap();
            let key = qadom_routing::NodeKey::new(key).unwrap();
            let service = Arc::clone(serving.files().service());
            tokio::spawn(serve::accept(service, key, stream));
        }
    });
    let provider = Provider::new(node.own_contact().await.unwrap());
    let bag = node.bag(providers_slot(id.as_bytes()));
    bag.add(provider.encode()).await.unwrap();
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("out");
    let get = reader.files().get(FileName::Id(id), to(target.clone()));
    get.finish().await.unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    task.abort();
}

/// Says that it has one chunk of a huge file, and then never stops saying what else it has; gives how
/// often it could say so.
async fn talk(stream: DataStream, most: u64) -> Option<u64> {
    let (_, stream) = purpose(stream).await?;
    let (sender, receiver) = stream.split();
    let (mut writer, mut reader) = (FrameWriter::new(sender), FrameReader::new(receiver));
    let patience = std::time::Duration::from_mins(1);
    reader.next(patience, false, |_, _| ()).await.ok()??;
    let has = |first, more, bits: Vec<u8>| Frame::Has {
        size: 1 << 51,
        first,
        more,
        bits: bits.into(),
    };
    writer.send(has(0, false, vec![1])).await.ok()?;
    for page in 0..most {
        let bits = vec![0x55; frame::BITS_MAX];
        let first = page * 8 * frame::BITS_MAX as u64;
        if writer.send(has(first, true, bits)).await.is_err() {
            return Some(page);
        }
    }
    Some(most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_stops_saying_what_it_has_is_hung_up_on() {
    let bytes = content(100);
    let id = FileId::of(&bytes);
    let first = start().await;
    let node = start_beside(&first).await;
    let mut streams = node.inner.quic.accept();
    let most = 1000;
    let talking = tokio::spawn(async move {
        let (_, stream) = streams.recv().await?;
        talk(stream, most).await
    });
    let provider = Provider::new(node.own_contact().await.unwrap());
    let bag = node.bag(providers_slot(id.as_bytes()));
    bag.add(provider.encode()).await.unwrap();
    let reader = start_beside(&first).await;
    let place = tempfile::tempdir().unwrap();
    let get = reader
        .files()
        .get(FileName::Id(id), to(place.path().join("out")));
    let said = talking.await.unwrap().unwrap();
    assert!(said < most, "as much as it likes");
    drop(get);
}
