//! Serves the control API on a unix socket, and on TCP when that is asked for.
//!
//! What must stay true: nothing that comes over the socket can end the server; what is no request
//! is counted, and a connection that says nothing, or not all of it, does not stay open for ever.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use qadom_node::{Node, open_files_max};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::doors::Gauge;
use crate::front::Front;
use crate::gateway::Gateway;
use crate::guard::Proof;
use crate::patience::Patience;
use crate::router::App;
use crate::routes::uploads;
use crate::socket::{self, SocketError};
use crate::tcp::{TcpError, TcpSettings};

/// What the server bears at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once, at least 1 (2048); further ones wait for their turn. Three quarters
    /// of them can follow events; a further follower is refused as busy.
    pub connections: u16,
    /// How long a connection may take for the head of a request, and stay idle before it (10 s).
    pub head: Duration,
    /// How long the body of a request may take (10 s); of one that may have many megabytes several
    /// times as long.
    pub body: Duration,
    /// How long a connection may take nothing of an answer (1 min).
    pub read: Duration,
    /// How long the requests under way are given when the server closes (5 s).
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 2048,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            read: Duration::from_mins(1),
            drain: Duration::from_secs(5),
        }
    }
}

impl ServerLimits {
    /// As many of these connections as leave files to others, where so many files may be open: a
    /// quarter of them.
    fn within(mut self, files: u64) -> Self {
        let most = u16::try_from(files / 4).unwrap_or(u16::MAX).max(1);
        self.connections = self.connections.min(most);
        self
    }

    /// Connections that can follow events: of each four, one is left to others.
    pub(crate) fn followers(&self) -> usize {
        usize::from(self.connections - self.connections / 4)
    }
}

/// A control API that is being served, until it is closed or dropped.
#[derive(Debug)]
pub struct Server {
    /// Its doors tell the accept loops and every connection to finish.
    app: App,
    path: PathBuf,
    /// Device and inode of the socket file, so that only the own one is removed at the end.
    file: Option<(u64, u64)>,
    /// One loop for each place that is listened on.
    accepting: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens on a path with permissions 0600 and serves the node there.
    ///
    /// # Errors
    ///
    /// Each variant of [`SocketError`].
    pub async fn start(path: &Path, node: Node) -> Result<Self, SocketError> {
        let limits = ServerLimits::default().within(open_files_max());
        Self::start_with(path, node, limits).await
    }

    /// As [`Server::start`] does, under other limits.
    ///
    /// # Errors
    ///
    /// Each variant of [`SocketError`].
    pub async fn start_with(
        path: &Path,
        node: Node,
        limits: ServerLimits,
    ) -> Result<Self, SocketError> {
        uploads::clear(node.data_dir());
        let listener = socket::listen(path).await?;
        let app = App::limited(node, limits);
        // Whoever may open the file may ask.
        let front = Front::new(app.clone(), None);
        let gauge = app.socket.clone();
        let accepting = accept(Listener::Unix(listener), front, app.clone(), gauge);
        Ok(Self {
            app,
            path: path.to_owned(),
            file: file_identity(path),
            accepting: vec![tokio::spawn(accepting)],
        })
    }

    /// Serves the node on TCP, too, and tells where. Connections there are limited apart from those
    /// of the socket, by as many.
    ///
    /// # Errors
    ///
    /// [`TcpError::Open`], [`TcpError::InUse`] and [`TcpError::Refused`].
    pub fn listen(&mut self, settings: &TcpSettings) -> Result<SocketAddr, TcpError> {
        let listener = settings.listen()?;
        let address = listener.local_addr().unwrap_or(settings.address);
        let tls = settings.tls.as_ref();
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::clone(&tls.config)));
        let proof = match &settings.token {
            Some(token) => Proof::Token(token.clone()),
            None if settings.asks_client() => Proof::Certificate,
            None => Proof::None,
        };
        let front = Front::new(self.app.clone(), Some(proof));
        let (app, gauge) = (self.app.clone(), self.app.tcp.clone());
        let accepting = accept(Listener::Tcp(listener, tls), front, app, gauge);
        self.accepting.push(tokio::spawn(accepting));
        Ok(address)
    }

    /// Shows the use of a gateway that runs beside it among the limits of the daemon.
    pub fn show(&self, gateway: &Gateway) {
        // A daemon has one gateway.
        let _ = self.app.gateway.set(gateway.gauge());
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no more requests, ends those who follow events, and lets what is under way finish, for
    /// the time that the limits give it. The node still runs.
    pub async fn drain(&self) {
        self.app.doors.close();
        self.app.doors.drained(self.app.limits.drain).await;
    }

    /// Takes no more requests, lets those under way finish, and removes the socket's file.
    pub async fn close(mut self) {
        self.app.doors.end();
        for accepting in std::mem::take(&mut self.accepting) {
            // The loop never panics; were it cancelled, there would be nothing left to wait for.
            let _ = accepting.await;
        }
        if self.file.is_some() && file_identity(&self.path) == self.file {
            // What stays behind is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.doors.end();
    }
}

fn file_identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Where connections come in.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// A connection that came in.
enum Incoming {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(TcpStream, TlsAcceptor),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Incoming> {
        match self {
            Self::Unix(listener) => Ok(Incoming::Unix(listener.accept().await?.0)),
            Self::Tcp(listener, tls) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole, so there is nothing to wait for.
                stream.set_nodelay(true)?;
                Ok(match tls {
                    None => Incoming::Tcp(stream),
                    Some(tls) => Incoming::Tls(stream, tls.clone()),
                })
            }
        }
    }
}

async fn accept(listener: Listener, front: Front, app: App, gauge: Gauge) {
    let limits = app.limits;
    let places = Arc::new(Semaphore::new(usize::from(limits.connections.max(1))));
    let mut connections = JoinSet::new();
    let mut closing = std::pin::pin!(app.doors.closing());
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut closing => break,
        };
        match accepted {
            Ok(incoming) => {
                let (app, front) = (app.clone(), front.clone());
                let open = gauge.enter();
                connections.spawn(async move {
                    let _inside = (app.doors.enter(), open);
                    match serve(incoming, front, &app).await {
                        Ended::Malformed => app.count_malformed(),
                        Ended::Stuck => app.count_slow(),
                        Ended::Done => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control API cannot accept a connection");
                // Usually too many open files: give them time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let overdue = async {
        // Whoever asked for the end is answered after it, which may take longer than a request.
        app.doors.ending().await;
        tokio::time::sleep(limits.drain).await;
    };
    // Those that take longer are cut off when the set is dropped.
    tokio::select! {
        () = drained => {}
        () = overdue => {}
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All that came were requests, or the other side went away.
    Done,
    /// Something came that is no request.
    Malformed,
    /// The other side did not read its answer.
    Stuck,
}

async fn serve(incoming: Incoming, front: Front, app: &App) -> Ended {
    match incoming {
        Incoming::Unix(stream) => connection(stream, front, app).await,
        Incoming::Tcp(stream) => connection(stream, front, app).await,
        Incoming::Tls(stream, tls) => {
            match tokio::time::timeout(app.limits.head, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, front, app).await,
                Ok(Err(_)) | Err(_) => Ended::Malformed,
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    front: Front,
    app: &App,
) -> Ended {
    let stream = Patience::new(stream, app.limits.read);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits.head)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| front.clone().answer(request)),
        );
    let served = tokio::select! {
        served = &mut connection => Some(served),
        () = app.doors.closing() => None,
    };
    let served = if let Some(served) = served {
        served
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        (&mut connection).await
    };
    match served {
        Err(error) if error.is_parse() || error.is_incomplete_message() => Ended::Malformed,
        // What came and is left is the beginning of a request whose head never ended.
        Err(error) if error.is_timeout() && !connection.into_parts().read_buf.is_empty() => {
            Ended::Malformed
        }
        Err(error) if is_stuck(&error) => Ended::Stuck,
        Ok(()) | Err(_) => Ended::Done,
    }
}

/// Whether a connection broke because nothing of its answer was taken.
fn is_stuck(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::TimedOut)
}
