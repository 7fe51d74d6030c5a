//! What counts as a copy, and which files are looked after.

use super::*;

async fn node() -> Node {
    let builder = Node::builder().memory(true);
    let listening = builder.listen(([127, 0, 0, 1], 0).into());
    listening.start().await.unwrap()
}

#[tokio::test]
async fn a_holder_counts_once_for_each_chunk_that_it_wanted() {
    let node = node().await;
    let spread = Spread {
        service: Arc::clone(node.files().service()),
        node: node.clone(),
        file: FileId::of(b"film"),
        layout: Layout::new(1 << 30).unwrap(),
        copies: 6,
        expiry: 0,
        reporter: None,
    };
    let (sender, mut receiver) = mpsc::channel(8);
    for index in [7, 7, 9, 8, 8, 3] {
        sender.try_send(index).unwrap();
    }
    drop(sender);
    let kept = Mutex::new(Vec::new());
    let wanted = BTreeSet::from([3, 7, 8, 20]);
    let giving = std::future::pending();
    spread
        .await_kept(node.id(), giving, (&mut receiver, wanted), &kept)
        .await;
    assert_eq!(kept.into_inner().unwrap(), [7, 8, 3]);
    node.shutdown().await;
}

#[tokio::test]
async fn files_are_looked_after_until_they_are_removed_also_when_pushed_at_once() {
    let node = node().await;
    let files = node.files();
    let service = files.service();
    let ids: Vec<FileId> = (0..20_u8).map(|number| FileId::of(&[number])).collect();
    let mut noting = JoinSet::new();
    for id in ids.clone() {
        let service = Arc::clone(service);
        noting.spawn(async move { service.note_push(id, 6).await.is_ok() });
    }
    while let Some(noted) = noting.join_next().await {
        assert!(noted.unwrap());
    }
    assert_eq!(service.pushes().await.len(), ids.len());
    service.forget_push(ids[3]).await.unwrap();
    let left = service.pushes().await;
    assert!(left.len() == ids.len() - 1 && !left.contains_key(&ids[3]));

    // What is not understood is not written over.
    let list = node.data_dir().join(crate::folder::PUSHES);
    std::fs::write(&list, "qadom-pushes-9\n").unwrap();
    assert!(service.note_push(ids[3], 6).await.is_err());
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "qadom-pushes-9\n");
    node.shutdown().await;
}

#[tokio::test]
async fn a_list_of_what_was_pushed_by_a_newer_program_ends_the_start_and_stays() {
    let place = tempfile::tempdir().unwrap();
    let list = place.path().join(crate::folder::PUSHES);
    let start = || {
        let builder = Node::builder().data_dir(place.path());
        builder.listen(([127, 0, 0, 1], 0).into()).start()
    };
    start().await.unwrap().shutdown().await;
    std::fs::write(&list, "qadom-pushes-2\nwhatever\n").unwrap();
    let refused = start().await.unwrap_err();
    let is_newer = matches!(
        refused,
        crate::StartError::VersionTooNew {
            found: 2,
            known: 1,
            ..
        }
    );
    assert!(is_newer, "{refused}");
    let left = std::fs::read_to_string(&list).unwrap();
    assert_eq!(left, "qadom-pushes-2\nwhatever\n");
    // An empty or senseless one holds up nobody; it is not written over either.
    std::fs::write(&list, "scribble").unwrap();
    start().await.unwrap().shutdown().await;
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "scribble");
}
