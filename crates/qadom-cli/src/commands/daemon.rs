//! A node with its control socket, and the line that says that it is ready.

use std::path::Path;

use qadom_http::Server;
use qadom_node::{Builder, Node};
use serde::Serialize;

use crate::error::Failure;
use crate::output::Output;

/// A node that is commanded through a control socket.
#[derive(Debug)]
pub(super) struct Daemon {
    node: Node,
    server: Server,
}

/// The ready line as JSON.
#[derive(Debug, Serialize)]
struct Announcement<'a> {
    ready: bool,
    address: String,
    http: Option<&'a str>,
    socket: &'a Path,
}

impl Daemon {
    /// Starts the node, then serves it; when the socket cannot be served, the node ends again.
    pub(super) async fn start(builder: Builder, socket: &Path) -> Result<Self, Failure> {
        let node = builder.start().await?;
        match Self::serve(node.clone(), socket).await {
            Ok(daemon) => Ok(daemon),
            Err(failure) => {
                node.shutdown().await;
                Err(failure)
            }
        }
    }

    /// Serves a node that runs already.
    pub(super) async fn serve(node: Node, socket: &Path) -> Result<Self, Failure> {
        let server = Server::start(socket, node.clone()).await?;
        Ok(Self { node, server })
    }

    /// The node.
    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// Tells that the daemon takes requests.
    pub(super) fn announce(&self, output: Output) -> anyhow::Result<()> {
        let address = self.node.address().to_string();
        let socket = self.server.path();
        let words = format!("ready {address} http=- socket={}", socket.display());
        output.result(
            &Announcement {
                ready: true,
                address,
                http: None,
                socket,
            },
            || words,
        )
    }

    /// Ends the node, then the server, so that whoever asked for the end gets an answer.
    pub(super) async fn close(self) {
        self.node.shutdown().await;
        self.server.close().await;
    }
}
