//! Nodes of one process that talk over loopback.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use qadom_node::{
    Error, Failure, JoinProblem, Key, Mode, NodeName, Reason, Source, Status, StopReason, Verdict,
};

use crate::loopback::{describe, start, until};

#[tokio::test]
async fn two_nodes_store_and_find_values_of_every_size() {
    let (first, second) = (start().await, start().await);
    let joined = second.join(&[first.address().into()]).await.unwrap();
    assert_eq!((joined.peers, joined.problems.len()), (1, 0));
    for size in [0, 1, 1165, 8191, 8192] {
        let value = vec![u8::try_from(size % 251).unwrap(); size];
        let receipt = first.put(value.clone()).await.unwrap();
        assert_eq!(
            (receipt.wanted, receipt.reachable, receipt.stored),
            (20, 2, 2),
            "{size}"
        );
        assert!(!receipt.alone && receipt.refused.is_empty());
        for node in [&first, &second] {
            let local = node.get_local(receipt.key).await.unwrap();
            assert_eq!(
                (&local.value[..], local.source),
                (&value[..], Source::Local)
            );
        }
    }
    let error = first.put(vec![0; 8193]).await.unwrap_err();
    assert_eq!(error.reason(), Reason::TooLarge);
    assert!(error.advice().is_some());
    let error = first.get(Key::ZERO).await.unwrap_err();
    assert_eq!(error.reason(), Reason::NotFound);
}

#[tokio::test]
async fn a_node_is_reached_by_id_by_address_text_and_by_place() {
    let (first, second, client) = (
        start().await,
        start().await,
        describe().mode(Mode::Client).start().await.unwrap(),
    );
    second.join(&[first.address().into()]).await.unwrap();
    let plain = first.local_addresses()[0];
    client.join(&[plain.into()]).await.unwrap();
    let receipt = first.put("here").await.unwrap();
    let place = plain.to_string().parse::<NodeName>().unwrap();
    for name in [first.id().into(), first.address().into(), place] {
        let fetched = client.get_from(receipt.key, name.clone()).await.unwrap();
        assert_eq!(fetched.source, Source::Node(first.id()), "{name}");
        let report = client.ping(name).await.unwrap();
        assert_eq!(report.contact.id(), &first.id());
        assert_eq!(report.observed, Some(client.local_addresses()[0]));
    }
    // The client knows the second node only through the first one.
    assert_eq!(
        client.ping(second.id()).await.unwrap().contact.id(),
        &second.id()
    );
    let peers = first.peers().await.unwrap();
    let ids: Vec<_> = peers.iter().map(|peer| peer.node).collect();
    assert_eq!(ids, [second.id()], "a client is in no table");
    assert_eq!(peers[0].address, second.address());
    let error = client.ping(client_of_nobody()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownNode { .. }));
}

#[tokio::test]
async fn a_node_changes_its_mode_and_its_neighbours_learn_of_it() {
    let (first, second) = (start().await, start().await);
    second.join(&[first.address().into()]).await.unwrap();
    let status = second.status().await.unwrap();
    assert_eq!(status.mode, Mode::Storing);
    assert_eq!(status.observed_addresses, second.local_addresses());
    assert_eq!(status.address, second.address());
    assert_eq!(status.clock_offset_ms, 0);
    second.set_mode(Mode::Client).await.unwrap();
    assert_eq!(second.status().await.unwrap().mode, Mode::Client);
    until(&first, |status| status.peers == 0).await;
    let receipt = first.put("for nobody else").await.unwrap();
    assert_eq!((receipt.reachable, receipt.alone), (1, true));
    second.set_mode(Mode::Storing).await.unwrap();
    until(&first, |status| status.peers == 1).await;
}

fn client_of_nobody() -> NodeName {
    "ab".repeat(32).parse().unwrap()
}

#[tokio::test]
async fn a_lone_node_keeps_the_only_copy_and_a_lone_client_none() {
    let node = start().await;
    let receipt = node.put("alone").await.unwrap();
    assert_eq!(
        (receipt.wanted, receipt.reachable, receipt.stored),
        (20, 1, 1)
    );
    assert!(receipt.alone);
    assert_eq!(node.get(receipt.key).await.unwrap().value, "alone");
    let status = node.status().await.unwrap();
    assert_eq!(
        (status.verdict, status.peers, status.local),
        (Verdict::Healthy, 0, true)
    );

    let client = describe().mode(Mode::Client).start().await.unwrap();
    let error = client.put("alone").await.unwrap_err();
    assert_eq!(error.reason(), Reason::TooFewCopies);
    assert!(
        matches!(error, Error::Failed(Failure::TooFewCopies { receipt, .. })
        if receipt.stored == 0)
    );
}

#[tokio::test]
async fn another_network_is_told_by_name_and_ends_a_node_that_knows_nobody_else() {
    let foreign = describe().network("other").start().await.unwrap();
    let node = start().await;
    let demanding = describe()
        .network("other")
        .id_bits(1)
        .start()
        .await
        .unwrap();
    let lost = describe().join(foreign.address()).start().await.unwrap();
    let place = [foreign.local_addresses()[0].into()];
    let address = [foreign.address().into()];
    let (by_place, by_address, other_bits, reason) = tokio::join!(
        node.join(&place),
        node.join(&address),
        demanding.join(&address),
        lost.stopped()
    );
    for result in [by_place, by_address] {
        let error = result.unwrap_err();
        assert_eq!(error.reason(), Reason::WrongNetwork);
        let Error::NotJoined { problems } = error else {
            panic!("{error}");
        };
        assert!(
            matches!(&problems[..], [(_, JoinProblem::WrongNetwork(differences))]
                if differences[0].what == "network"),
            "{problems:?}"
        );
    }
    let text = other_bits.unwrap_err().to_string();
    assert!(text.contains("id bits is 1 here and 0 there"), "{text}");
    assert!(matches!(reason, StopReason::WrongNetwork { .. }));
    let text = reason.to_string();
    assert!(
        text.contains("belongs to another network: network is local ("),
        "{text}"
    );
    assert!(matches!(lost.status().await, Err(Error::Stopped)));
}

#[tokio::test]
async fn an_unreachable_address_is_reported_and_the_other_one_used() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let first = start().await;
    let isolated = describe().join(silent).start().await.unwrap();
    assert_eq!(isolated.status().await.unwrap().verdict, Verdict::Starting);
    let joined = first
        .join(&[isolated.address().into(), silent.into()])
        .await
        .unwrap();
    assert_eq!(joined.problems, [(silent.into(), JoinProblem::Unreachable)]);
    let status = until(&isolated, |status| status.verdict != Verdict::Starting).await;
    assert!(
        status
            .reasons
            .iter()
            .any(|reason| reason.contains(&silent.to_string()))
    );
    let error = isolated.join(&[silent.into()]).await.unwrap_err();
    assert_eq!(error.reason(), Reason::Unreachable);
}

#[tokio::test]
async fn shutdown_ends_everything_and_may_be_called_again() {
    let node = start().await;
    let other = node.clone();
    let data_dir = node.data_dir().to_owned();
    assert!(data_dir.exists());
    tokio::join!(node.shutdown(), other.shutdown());
    node.shutdown().await;
    assert_eq!(other.stopped().await, StopReason::Asked);
    assert!(matches!(node.put("late").await, Err(Error::Stopped)));
    assert!(!data_dir.exists(), "the temporary folder is gone");
}

#[tokio::test]
async fn calls_beyond_the_queue_are_refused() {
    let node = start().await;
    let mut calls: Vec<_> = (0..257)
        .map(|_| Box::pin(node.get_local(Key::ZERO)))
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    // The node shares this thread, so it does not run before the next await.
    let mut polled = calls
        .iter_mut()
        .map(|call| call.as_mut().poll(&mut context));
    assert!(polled.by_ref().take(256).all(|poll| poll.is_pending()));
    let last = polled.next();
    assert!(
        matches!(last, Some(Poll::Ready(Err(Error::Busy { limit: 256 })))),
        "{last:?}"
    );
    for call in calls.into_iter().take(256) {
        assert_eq!(call.await.unwrap_err().reason(), Reason::NotFound);
    }
}

#[tokio::test]
async fn a_dropped_call_is_given_up() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = [silent.local_addr().unwrap().into()];
    let node = start().await;
    let under_way = |status: &Status| {
        let mut limits = status.limits.iter();
        limits
            .find(|limit| limit.name == "operations")
            .unwrap()
            .used
    };
    tokio::select! {
        biased;
        result = node.join(&addresses) => panic!("nobody answers: {result:?}"),
        _ = until(&node, |status| under_way(status) == 1) => {}
    }
    // Far fewer questions than fit into the time that the address would be asked for.
    for _ in 0..1000 {
        if under_way(&node.status().await.unwrap()) == 0 {
            return;
        }
    }
    panic!("the operation goes on without its caller");
}
