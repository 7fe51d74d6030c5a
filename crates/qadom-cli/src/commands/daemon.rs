//! A node with its control socket, and the line that says that it is ready.

use std::net::SocketAddr;
use std::path::Path;

use qadom_http::{Gateway, Server, TcpSettings};
use qadom_node::{Builder, Node};
use serde::Serialize;

use crate::error::Failure;
use crate::output::Output;

/// A node that is commanded through a control socket.
#[derive(Debug)]
pub(super) struct Daemon {
    node: Node,
    server: Server,
    /// Where the control API is served on TCP.
    http: Option<SocketAddr>,
}

/// The ready line as JSON.
#[derive(Debug, Serialize)]
struct Announcement<'a> {
    ready: bool,
    address: String,
    http: Option<SocketAddr>,
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
        Ok(Self {
            node,
            server,
            http: None,
        })
    }

    /// Shows the use of a gateway among the limits.
    pub(super) fn show(&self, gateway: &Gateway) {
        self.server.show(gateway);
    }

    /// Serves the control API on TCP, too; when that fails, the daemon ends.
    pub(super) async fn listen(mut self, settings: &TcpSettings) -> Result<Self, Failure> {
        match self.server.listen(settings) {
            Ok(address) => {
                self.http = Some(address);
                Ok(self)
            }
            Err(error) => {
                self.close().await;
                Err(error.into())
            }
        }
    }

    /// The node.
    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// Tells that the daemon takes requests.
    pub(super) fn announce(&self, output: Output) -> anyhow::Result<()> {
        let address = self.node.address().to_string();
        let socket = self.server.path();
        let http = self
            .http
            .map_or_else(|| "-".to_owned(), |http| http.to_string());
        let words = format!("ready {address} http={http} socket={}", socket.display());
        output.result(
            &Announcement {
                ready: true,
                address,
                http: self.http,
                socket,
            },
            || words,
        )
    }

    /// Has the node bring what it holds to others, and ends it. When this is given up, the node
    /// takes in nothing more.
    pub(super) async fn leave(&self) -> Option<u64> {
        self.node.leave().await
    }

    /// Takes no more requests and lets what is under way finish.
    pub(super) async fn drain(&self) {
        self.server.drain().await;
    }

    /// Lets what is under way finish, ends the node, then the server, so that whoever asked for the
    /// end gets an answer.
    pub(super) async fn close(self) {
        self.drain().await;
        self.node.shutdown().await;
        self.server.close().await;
    }
}
