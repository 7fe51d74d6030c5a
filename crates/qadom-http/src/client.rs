//! Asks a daemon over its control socket.
//!
//! Each call opens a connection of its own: nothing has to be kept alive, nothing can be stale.

mod events;
mod files;
mod records;

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use qadom_node::{Key, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api;
use crate::problem::Problem;
use crate::socket::{SocketError, check_path};

pub use events::{Events, FileEvents};
pub use records::{Page, WriteQuery};

/// The longest answer that is read, in bytes (64 MiB): a full bag as JSON.
const ANSWER_MAX: usize = 64 << 20;

/// How long an answer may take: longer than an operation that meets many dead nodes.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long until a daemon is asked again that has too many waiting for it.
const KNOCK_EVERY: Duration = Duration::from_millis(50);

/// A daemon, named by the path of its control socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    patience: Duration,
}

/// Where a value may be read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The daemon's own store, then the network.
    #[default]
    Anywhere,
    /// The daemon's own store alone.
    Local,
    /// One node: its id in hex, its address text or `host:port`.
    Node(String),
}

/// Why a daemon was not asked, or what it said instead of an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing listens on the socket: it is absent, or its daemon is gone.
    #[error("no daemon listens on {}", path.display())]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The path of the socket cannot be used.
    #[error(transparent)]
    Path(#[from] SocketError),
    /// The socket is there and the operating system does not let us connect.
    #[error("cannot connect to {}: {source}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The connection broke. Whether a write was carried out is unknown; it may be sent again.
    #[error("the daemon broke off: {source}")]
    Broken {
        /// What went wrong.
        #[from]
        source: hyper::Error,
    },
    /// The daemon is there and does not answer in time. Whether a write was carried out is unknown; it
    /// may be sent again.
    #[error("the daemon on {} did not answer within {} s", path.display(), within.as_secs_f64())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        within: Duration,
    },
    /// What came back is no answer of a qadom daemon, or of a newer one.
    #[error("cannot read the daemon's answer: {detail}")]
    Unreadable {
        /// What is wrong with it.
        detail: String,
    },
    /// The daemon refused.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
}

impl ClientError {
    /// The reason of the project's list, as text; a newer daemon may know more of them.
    pub fn reason(&self) -> &str {
        match self {
            Self::NoDaemon { .. } => Reason::NoDaemon.as_str(),
            Self::Path(_) => Reason::Usage.as_str(),
            Self::Refused { .. } | Self::Unreadable { .. } => Reason::Internal.as_str(),
            Self::Broken { .. } => Reason::Unreachable.as_str(),
            Self::Silent { .. } => Reason::Timeout.as_str(),
            Self::Problem(problem) => problem.reason(),
        }
    }
}

impl Client {
    /// Asks the daemon whose control socket has this path, and waits a minute for each answer.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            patience: PATIENCE,
        }
    }

    /// Waits this long for each answer, from the call to its last byte.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The path of the control socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a value of at most 8192 bytes.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `too-few-copies` carries the receipt.
    pub async fn put(&self, value: Bytes, write: &WriteQuery) -> Result<api::Written, ClientError> {
        self.call(Method::POST, &write.route("/v1/values"), value)
            .await
    }

    /// Puts many values; each is answered by itself, in their order.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when none was put.
    pub async fn put_many(
        &self,
        values: impl IntoIterator<Item = Bytes>,
        write: &WriteQuery,
    ) -> Result<Vec<api::BulkWrite>, ClientError> {
        let values = values.into_iter().map(|value| api::BulkValue { value });
        let items = values.collect();
        let route = write.route("/v1/bulk/put");
        let request = json(&api::BulkPut { items })?;
        let written: api::BulkWritten = self.call(Method::POST, &route, request).await?;
        Ok(written.items)
    }

    /// Reads many values; each is answered by itself, in their order.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when none was read.
    pub async fn get_many(
        &self,
        keys: &[Key],
        from: &ReadFrom,
    ) -> Result<Vec<api::BulkFetch>, ClientError> {
        let keys = keys.iter().map(ToString::to_string).collect();
        let route = from.route("/v1/bulk/get");
        let request = json(&api::BulkGet { keys })?;
        let fetched: api::BulkFetched = self.call(Method::POST, &route, request).await?;
        Ok(fetched.items)
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when no node that answered holds it.
    pub async fn get(&self, key: &Key, from: &ReadFrom) -> Result<api::Fetched, ClientError> {
        let route = from.route(&format!("/v1/values/{key}"));
        self.call(Method::GET, &route, Bytes::new()).await
    }

    /// Lists the routing table.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<api::Peers, ClientError> {
        self.call(Method::GET, "/v1/peers", Bytes::new()).await
    }

    /// Looks up the nodes nearest to a key, and tells each step when it happens; dropping the events
    /// gives the lookup up.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn lookup(&self, key: &Key) -> Result<Events<api::LookupNews>, ClientError> {
        self.events(Method::GET, &format!("/v1/lookups/{key}"), Bytes::new())
            .await
    }

    /// Measures the round trip to a node: its id in hex, its address text or `host:port`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn ping(&self, node: &str) -> Result<api::Pong, ClientError> {
        let request = api::PingRequest {
            node: node.to_owned(),
        };
        self.call(Method::POST, "/v1/ping", json(&request)?).await
    }

    /// Joins through addresses, each an address text or `host:port`.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; a problem when none of the addresses led into the network.
    pub async fn join(&self, addresses: &[String]) -> Result<api::Joined, ClientError> {
        let request = api::JoinRequest {
            addresses: addresses.to_vec(),
        };
        self.call(Method::POST, "/v1/join", json(&request)?).await
    }

    /// Asks how the daemon is doing.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn status(&self) -> Result<api::Status, ClientError> {
        self.call(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// Has the daemon examine itself.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn doctor(&self) -> Result<api::Diagnosis, ClientError> {
        self.call(Method::GET, "/v1/doctor", Bytes::new()).await
    }

    /// Lets the daemon store for others (`storing`), or no longer (`client`).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn set_mode(&self, mode: &str) -> Result<api::TakenMode, ClientError> {
        let request = api::ModeRequest {
            mode: mode.to_owned(),
        };
        self.call(Method::PUT, "/v1/mode", json(&request)?).await
    }

    /// Stops the daemon; the answer comes when all it acknowledged is kept.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn stop(&self) -> Result<api::Stopped, ClientError> {
        self.call(Method::POST, "/v1/stop", Bytes::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let request = request(method, route, "application/json", body)?;
        let answer = tokio::time::timeout(self.patience, self.exchange(request)).await;
        let (status, body) = answer.map_err(|_| self.silent())??;
        if status.is_success() {
            serde_json::from_slice(&body).map_err(|error| unreadable(&error))
        } else {
            Err(problem(&body))
        }
    }

    /// Begins to follow a stream of events; only its beginning has to come in time.
    async fn events<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Bytes,
    ) -> Result<Events<T>, ClientError> {
        let request = request(method, route, "text/event-stream", body)?;
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let connection = tokio::spawn(async move {
            // What went wrong with the connection is told by the body.
            let _ = connection.await;
        });
        let begun = tokio::time::timeout(self.patience, sender.send_request(request)).await;
        let response = begun.map_err(|_| self.silent())??;
        if response.status().is_success() {
            return Ok(Events::new(response.into_body(), connection));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await;
        Err(problem(
            &body.map_err(|error| unreadable(&error))?.to_bytes(),
        ))
    }

    fn silent(&self) -> ClientError {
        ClientError::Silent {
            path: self.path.clone(),
            within: self.patience,
        }
    }

    /// Sends a request over a connection of its own and reads the whole answer.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let answer = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX)
                .collect()
                .await;
            Ok::<_, ClientError>((status, body.map_err(|error| unreadable(&error))?.to_bytes()))
        };
        // The connection does the reading and writing, and ends when the sender is dropped; what
        // went wrong with it is told by the answer.
        let (_, answer) = tokio::join!(connection, answer);
        answer
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        check_path(&self.path)?;
        loop {
            let source = match UnixStream::connect(&self.path).await {
                Ok(stream) => return Ok(stream),
                Err(source) => source,
            };
            let path = self.path.clone();
            match source.kind() {
                // The daemon is there, and as many wait for it as the kernel lets wait.
                io::ErrorKind::WouldBlock => tokio::time::sleep(KNOCK_EVERY).await,
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    return Err(ClientError::NoDaemon { path, source });
                }
                _ => return Err(ClientError::Refused { path, source }),
            }
        }
    }
}

fn request(
    method: Method,
    route: &str,
    accept: &'static str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, ClientError> {
    Request::builder()
        .method(method)
        .uri(route)
        .header(HOST, "localhost")
        .header(ACCEPT, accept)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(Full::new(body))
        .map_err(|error| unreadable(&error))
}

/// The problem that came instead of an answer.
fn problem(body: &[u8]) -> ClientError {
    serde_json::from_slice(body).map_or_else(
        |error| unreadable(&error),
        |problem| ClientError::Problem(Box::new(problem)),
    )
}

fn json(request: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(request)
        .map(Bytes::from)
        .map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> ClientError {
    ClientError::Unreadable {
        detail: error.to_string(),
    }
}

/// Escapes a text for the query of a URI: everything but letters and digits.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
