//! What the tests start their nodes with.

use std::time::Duration;

use qadom_node::{Builder, Node, Status};

/// A node in memory on a free port of the loopback address.
pub(crate) fn describe() -> Builder {
    Node::builder()
        .memory(true)
        .listen(([127, 0, 0, 1], 0).into())
}

pub(crate) async fn start() -> Node {
    describe().start().await.unwrap()
}

/// Asks for the state until it is as wanted; fails when the node ends before, or never gets there.
pub(crate) async fn until(node: &Node, is_wanted: impl Fn(&Status) -> bool) -> Status {
    // Far beyond what any machine needs: this ends a test that would hang.
    let mut patience = 12_000;
    loop {
        patience -= 1;
        assert!(
            patience > 0,
            "the node does not get there: {:?}",
            node.status().await
        );
        let status = node.status().await.unwrap();
        if is_wanted(&status) {
            return status;
        }
        let pause = tokio::time::timeout(Duration::from_millis(5), node.stopped()).await;
        assert!(pause.is_err(), "the node ended: {pause:?}");
    }
}
