//! What a service manager such as systemd is told: that the daemon is ready, that it lives, that it is
//! about to end.
//!
//! What must stay true: the daemon works the same where nobody listens; the sign of life is given only
//! while the node itself answers, so that a stuck node is started anew.

use std::time::Duration;

use qadom_node::Node;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// Tells that the daemon takes requests, and from then on that it lives as often as it is wanted.
pub(crate) fn ready(node: &Node) -> Supervised {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(node))]);
    let watching = sd_notify::watchdog_enabled().map(|limit| {
        // Twice in the time after which the daemon would be taken for dead.
        tokio::spawn(watch(node.clone(), limit / 2))
    });
    Supervised { watching }
}

/// A daemon that is watched, until it is dropped.
#[derive(Debug)]
pub(crate) struct Supervised {
    watching: Option<JoinHandle<()>>,
}

/// Tells that the daemon is about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(watching) = &self.watching {
            watching.abort();
        }
    }
}

async fn watch(node: Node, every: Duration) {
    // A node that does not answer keeps this from going on, which is what the watchdog is for.
    while let Ok(status) = node.status().await {
        let words = format!("{}, {} peers", status.verdict.as_str(), status.peers);
        tell(&[NotifyState::Watchdog, NotifyState::Status(&words)]);
        tokio::time::sleep(every).await;
    }
}

fn status(node: &Node) -> String {
    format!("listening as {}", node.address())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the daemon is doing");
    }
}
