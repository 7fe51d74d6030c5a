//! Every view, written at one node and read at others.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use qadom_node::{
    BagEvent, Cursor, Error, Event, Failure, Key, Kind, Node, ReadFrom, Reason, Since, WatchSlot,
    WriteOptions,
};

use crate::loopback::{start, until};

/// Four nodes that know each other.
async fn network() -> [Node; 4] {
    let nodes = [start().await, start().await, start().await, start().await];
    for node in &nodes[1..] {
        node.join(&[nodes[0].address().into()]).await.unwrap();
    }
    for node in &nodes {
        until(node, |status| status.peers == 3).await;
    }
    nodes
}

fn key(name: &str) -> Key {
    format!("name:{name}").parse().unwrap()
}

#[tokio::test]
async fn a_dict_is_written_by_anybody_and_read_everywhere() {
    let nodes = network().await;
    let written = nodes[0].dict().set("colour", "green").await.unwrap();
    assert_eq!((written.receipt.stored, written.receipt.alone), (4, false));
    let first = *written.record.writer();
    for node in &nodes {
        let read = node.dict().get("colour").await.unwrap();
        assert_eq!(read.record.payload(), "green");
        assert_eq!(read.record.writer(), &first);
    }
    nodes[1].dict().set("colour", "blue").await.unwrap();
    let read = nodes[2].dict().get("colour").await.unwrap();
    assert_eq!(read.record.payload(), "blue");
    let pinned = nodes[2].dict().get_by("colour", first).await.unwrap();
    assert_eq!(pinned.record.payload(), "green");
    nodes[3].dict().delete("colour").await.unwrap();
    let error = nodes[0].dict().get("colour").await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound);
    let value = nodes[0].dict().get_or("colour", "none").await.unwrap();
    assert_eq!(value, "none");
    let from = ReadFrom::Node(nodes[1].address().into());
    let directed = nodes[0].dict().read_from(from);
    let error = directed.get("colour").await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound);
}

#[tokio::test]
async fn an_update_has_a_receipt_for_each_name() {
    let nodes = network().await;
    let items = (0..150_u32).map(|number| {
        let name = Bytes::from(format!("name {number}"));
        (name, Bytes::from(number.to_string()))
    });
    let results = nodes[0].dict().update(items).await;
    assert_eq!(results.len(), 150);
    for (name, result) in results {
        let receipt = result.unwrap().receipt;
        assert_eq!(receipt.stored, 4, "{name:?}: {receipt:?}");
    }
    for number in [0, 63, 64, 149] {
        let read = nodes[3].dict().get(format!("name {number}")).await.unwrap();
        assert_eq!(read.record.payload(), &number.to_string());
    }
    let refused = [(Bytes::new(), Bytes::new()), ("good".into(), Bytes::new())];
    let mut results = nodes[0].dict().update(refused).await;
    results.sort_by_key(|(name, _)| name.len());
    assert!(results[0].1.is_err() && results[1].1.is_ok());
}

#[tokio::test]
async fn a_bag_is_the_union_of_its_writers() {
    let nodes = network().await;
    let bags: Vec<_> = nodes.iter().map(|node| node.bag(key("bag"))).collect();
    assert!(bags[0].list().await.unwrap().items.is_empty());
    for bag in &bags[..3] {
        bag.add("shared").await.unwrap();
    }
    bags[0].add("own").await.unwrap();
    let list = bags[3].list().await.unwrap();
    assert!(list.complete);
    let mut items: Vec<_> = list
        .items
        .iter()
        .map(|item| (&item.value[..], item.writers.len()))
        .collect();
    items.sort_unstable();
    assert_eq!(items, [(&b"own"[..], 1), (b"shared", 3)]);
    let error = bags[1].remove("own").await.unwrap_err();
    assert!(matches!(error, Error::Failed(Failure::NotYours { .. })));
    bags[0].remove("own").await.unwrap();
    bags[0].remove("shared").await.unwrap();
    let list = bags[2].list().await.unwrap();
    assert_eq!(list.items.len(), 1);
    assert_eq!(list.items[0].writers.len(), 2);
    for (length, is_taken) in [(1023, true), (1024, true), (1025, false)] {
        let added = bags[0].add(vec![7; length]).await;
        assert_eq!(added.is_ok(), is_taken, "{length}");
    }
}

/// How many operations of users are under way.
async fn until_idle(node: &Node) {
    until(node, |status| {
        let mut limits = status.limits.iter();
        limits.any(|limit| limit.name == "operations" && limit.used == 0)
    })
    .await;
}

#[tokio::test]
async fn a_bag_comes_item_by_item_and_what_was_removed_does_not_stay() {
    let nodes = network().await;
    let writers = nodes[..3].iter().enumerate().map(|(number, node)| {
        let bag = node.bag(key("stream"));
        tokio::spawn(async move {
            for item in 0..100 {
                bag.add(format!("{number}:{item}")).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    nodes[1].bag(key("stream")).remove("1:7").await.unwrap();
    let mut stream = nodes[3].bag(key("stream")).list_stream().await.unwrap();
    let mut items = BTreeMap::new();
    let mut end = None;
    while let Some(event) = stream.next().await {
        assert!(end.is_none(), "the end is the last");
        match event {
            BagEvent::Added {
                value,
                label,
                writer,
                expires_at,
            } => {
                assert!(expires_at > 0);
                items.insert((label, *writer.as_bytes()), value);
            }
            BagEvent::Removed { label, writer } => {
                items.remove(&(label, *writer.as_bytes()));
            }
            BagEvent::End { complete } => end = Some(complete),
            BagEvent::Failed(failure) => panic!("{failure:?}"),
        }
    }
    assert_eq!(end, Some(true));
    let streamed: BTreeSet<_> = items.into_values().collect();
    let all = (0..3).flat_map(|number| (0..100).map(move |item| format!("{number}:{item}")));
    let expected = all.filter(|item| item != "1:7").map(Bytes::from);
    assert_eq!(streamed, expected.collect());
    let list = nodes[3].bag(key("stream")).list().await.unwrap();
    assert_eq!(list.items.len(), streamed.len());
}

#[tokio::test]
async fn a_bag_that_nobody_reads_to_its_end_is_given_up_and_one_of_a_node_that_ends_ends() {
    let nodes = network().await;
    nodes[0].bag(key("stream")).add("item").await.unwrap();
    let bag = nodes[3].bag(key("stream"));
    drop(bag.list_stream().await.unwrap());
    until_idle(&nodes[3]).await;
    let absent = nodes[2].address();
    nodes[2].shutdown().await;
    let from = ReadFrom::Node(absent.into());
    let mut silent = bag.clone().read_from(from).list_stream().await.unwrap();
    nodes[3].shutdown().await;
    while let Some(event) = silent.next().await {
        assert!(matches!(event, BagEvent::Failed(_)), "{event:?}");
    }
    let error = bag.list_stream().await.unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error:?}");
}

#[tokio::test]
async fn a_namespace_has_versions_that_nobody_overwrites_unseen() {
    let nodes = network().await;
    let (mine, others) = (nodes[0].namespace(), nodes[1].namespace());
    let written = mine.set_if(key("entry"), "one", 0).await.unwrap();
    let writer = *written.record.writer();
    let signature = written.content_signature.unwrap();
    let read = others.get(writer, key("entry")).await.unwrap();
    assert_eq!(
        (read.record.seq(), read.record.payload()),
        (1, &"one".into())
    );
    let error = mine.set_if(key("entry"), "late", 0).await.unwrap_err();
    assert_eq!(error.reason(), Reason::StaleSeq);
    let Error::Failed(Failure::StaleSeq {
        held: Some(held), ..
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(held.payload(), "one", "it says what is there");
    let signed = others.get_signed(writer, key("entry"), &signature).await;
    assert_eq!(signed.unwrap().record.payload(), "one");
    mine.set_if(key("entry"), "two", 1).await.unwrap();
    let read = others.latest(writer, key("entry")).await.unwrap();
    assert_eq!(read.record.payload(), "two");
    assert!(
        others
            .get_signed(writer, key("entry"), &signature)
            .await
            .is_err()
    );
    mine.delete(key("entry")).await.unwrap();
    let error = others.latest(writer, key("entry")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound);
}

/// The payload of the next record.
async fn next(subscription: &mut qadom_node::Subscription) -> (Bytes, Cursor) {
    match subscription.next().await {
        Some(Event::Record { record, cursor }) => (record.payload().clone(), cursor),
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn a_topic_brings_its_backlog_and_then_what_is_new_in_order_and_once() {
    let nodes = network().await;
    let publisher = nodes[0].topic(key("news"));
    publisher.publish("0").await.unwrap();
    let topic = nodes[2].topic(key("news"));
    let mut all = topic.subscribe(Since::Cursor(Cursor::new())).await.unwrap();
    assert_eq!(next(&mut all).await.0, "0");
    let mut cursor = Cursor::new();
    for number in 1..20 {
        let message = number.to_string();
        publisher.publish(message.clone()).await.unwrap();
        let (payload, seen) = next(&mut all).await;
        assert_eq!(payload, message);
        if number == 9 {
            cursor = seen;
        }
    }
    drop(all);
    until(&nodes[2], |status| {
        let mut limits = status.limits.iter();
        limits.any(|limit| limit.name == "subscriptions" && limit.used == 0)
    })
    .await;
    let mut rest = topic.subscribe(Since::Cursor(cursor)).await.unwrap();
    for number in 10..20 {
        assert_eq!(next(&mut rest).await.0, number.to_string());
    }
    nodes[2].shutdown().await;
    assert!(rest.next().await.is_none());
}

#[tokio::test]
async fn a_bag_is_watched_as_a_topic_is() {
    let nodes = network().await;
    let slot = WatchSlot {
        slot: key("bag"),
        kind: Kind::BagItem,
    };
    nodes[0].bag(key("bag")).add("first").await.unwrap();
    let mut events = nodes[1]
        .watch(slot, Since::Cursor(Cursor::new()))
        .await
        .unwrap();
    assert_eq!(next(&mut events).await.0, "first");
    nodes[3].bag(key("bag")).add("second").await.unwrap();
    assert_eq!(next(&mut events).await.0, "second");
    let values = WatchSlot {
        kind: Kind::Value,
        ..slot
    };
    let refused = nodes[1].watch(values, Since::Now).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::Malformed);
}

#[tokio::test]
async fn what_is_published_is_listed_and_withdrawn() {
    let nodes = network().await;
    let once = WriteOptions {
        once: true,
        ..WriteOptions::default()
    };
    let dict = nodes[0].dict();
    dict.clone()
        .with_options(once)
        .set("once", "x")
        .await
        .unwrap();
    let written = dict.set("kept", "y").await.unwrap();
    let listed = nodes[0].publications().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id().slot, written.receipt.key);
    assert_eq!(listed[0].promised.identity(), Some(written.record.writer()));
    nodes[0].withdraw(written.receipt.key).await.unwrap();
    assert!(nodes[0].publications().await.unwrap().is_empty());
    let error = nodes[1].dict().get("kept").await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound, "holders got a tombstone");
    let read = nodes[1].dict().get("once").await.unwrap();
    assert_eq!(read.record.payload(), "x");
}
