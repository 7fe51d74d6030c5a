//! Why something that a test asked of the network did not work.

use std::time::Duration;

use crate::node::NodeIndex;

/// Why an operation on a simulated network brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The engine ended the operation without success; what that means is said there.
    #[error(transparent)]
    Operation(#[from] qadom_engine::Failure),
    /// The node was killed, or never was in this network. The caller is at fault.
    #[error("node {node} does not live in this network")]
    Dead {
        /// The node.
        node: NodeIndex,
    },
    /// Operations are still under way after the patience of the settings. They go on when the
    /// clock does. An engine that forgot one of its operations is at fault, or the patience.
    #[error("{running} operations are still under way after {} s", waited.as_secs())]
    Stalled {
        /// Operations that have not ended.
        running: usize,
        /// How much virtual time was waited.
        waited: Duration,
    },
    /// An operation that [`Network::start`](crate::Network::start) began ended in something else
    /// than its task was typed for. The caller is at fault; the outcome is lost.
    #[error("the operation ended in another kind of outcome than its task names")]
    OtherOutcome,
}
