//! Serves the files of the network to anybody over TCP, and nothing else.
//!
//! What must stay true: no route here changes anything or tells anything but the content of files;
//! nothing that comes in can end the server; a connection that says nothing, or does not read, does
//! not stay open for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use qadom_node::{Node, open_files_max};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::doors::Gauge;
use crate::patience::Patience;
use crate::router::{App, no_method, no_route};
use crate::routes::content;

/// Connections open at once; further ones wait for their turn. Fewer where few files may be open.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may take for the head of a request, and stay idle before it.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long requests under way are given when the server closes.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long a connection may take nothing of an answer.
const READ_TIME: Duration = Duration::from_mins(1);

/// The connections that may be open at once: a quarter of the files at most.
pub(crate) fn connections_max() -> usize {
    let files = usize::try_from(open_files_max()).unwrap_or(usize::MAX);
    CONNECTIONS_MAX.min(files / 4).max(1)
}

/// A gateway that is being served, until it is closed or dropped.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    closing: watch::Sender<bool>,
    gauge: Gauge,
    accepting: JoinHandle<()>,
}

impl Gateway {
    /// Listens on an address and serves what the node finds there; port 0 lets the operating system
    /// choose.
    ///
    /// # Errors
    ///
    /// What the operating system says of the address.
    pub async fn start(address: SocketAddr, node: Node) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (closing, closed) = watch::channel(false);
        let gauge = Gauge::default();
        let router = gateway_router(App::new(node));
        let accepting = tokio::spawn(accept(listener, router, closed, gauge.clone()));
        Ok(Self {
            address,
            closing,
            gauge,
            accepting,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts its connections.
    pub(crate) fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// Takes no more requests, and lets those under way finish for a moment.
    pub async fn close(self) {
        self.closing.send_replace(true);
        // The loop never panics; were it cancelled, there would be nothing left to wait for.
        let _ = self.accepting.await;
    }
}

/// The routes of the gateway: `GET` and `HEAD` of `/files/ID` and `/name/NAME`.
pub fn gateway_router(app: App) -> Router {
    Router::new()
        .route("/files/{id}", get(content::by_id))
        .route("/name/{name}", get(content::by_name))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(app)
}

async fn accept(
    listener: TcpListener,
    router: Router,
    mut closed: watch::Receiver<bool>,
    gauge: Gauge,
) {
    let places = Arc::new(Semaphore::new(connections_max()));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = closing(&mut closed) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), closed.clone());
                let open = gauge.enter();
                connections.spawn(async move {
                    connection.await;
                    drop((place, open));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway cannot accept");
                // Usually too many open files: give them time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    // Those that take longer are cut off when the set is dropped.
    let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
}

/// Resolves when the gateway closes or is dropped.
async fn closing(closed: &mut watch::Receiver<bool>) {
    // An error says that the gateway is gone, which is the same news.
    let _ = closed.wait_for(|closed| *closed).await;
}

async fn connection(stream: TcpStream, router: Router, mut closed: watch::Receiver<bool>) {
    // Without it the end of each answer would wait for the peer.
    let _ = stream.set_nodelay(true);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(
            TokioIo::new(Patience::new(stream, READ_TIME)),
            TowerToHyperService::new(router),
        );
    tokio::select! {
        // What a stranger does wrong ends its own connection.
        _ = &mut connection => {}
        () = closing(&mut closed) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            let _ = (&mut connection).await;
        }
    }
}
