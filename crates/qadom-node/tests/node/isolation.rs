//! A node that everybody has left.

use qadom_node::{Key, Verdict};

use crate::loopback::{describe, start, until};

#[tokio::test]
async fn a_node_whose_only_neighbour_is_gone_is_isolated_although_it_still_knows_it() {
    let other = start().await;
    let node = describe().join(other.address()).start().await.unwrap();
    until(&node, |status| status.peers == 1).await;
    other.shutdown().await;
    node.get(Key::ZERO).await.unwrap_err();
    let status = until(&node, |status| status.verdict == Verdict::Isolated).await;
    assert_eq!(status.peers, 1);
}
