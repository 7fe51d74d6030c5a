//! Which route is answered by what.
//!
//! What must stay true: routes are only ever added; whatever is refused, also by the HTTP machinery
//! itself, goes back as a [`Problem`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, extract::DefaultBodyLimit};
use qadom_node::{Node, Reason};

use crate::problem::Problem;
use crate::routes::{daemon, network, values};
use crate::server::ServerLimits;

/// What the routes work on: one node, and what is counted about the requests themselves.
#[derive(Clone, Debug)]
pub struct App {
    /// The node that all routes ask.
    pub(crate) node: Node,
    /// Requests that were no requests, since the start.
    pub(crate) malformed: Arc<AtomicU64>,
    /// Connections open now.
    pub(crate) connections: Arc<AtomicU64>,
    /// Connections that may be open at once; 0 when nobody limits them.
    pub(crate) connections_limit: u64,
    /// How long the body of a request may take to come.
    pub(crate) body_time: Duration,
}

impl App {
    /// Works on a node.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            malformed: Arc::default(),
            connections: Arc::default(),
            connections_limit: 0,
            body_time: ServerLimits::default().body,
        }
    }

    /// Counts a request that was none.
    pub(crate) fn count_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The routes of the control API.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/values", post(values::put))
        .route("/v1/values/{key}", get(values::get))
        .route("/v1/peers", get(network::peers))
        .route("/v1/lookups/{key}", get(network::lookup))
        .route("/v1/ping", post(network::ping))
        .route("/v1/join", post(network::join))
        .route("/v1/status", get(daemon::status))
        .route("/v1/stop", post(daemon::stop))
        .route("/healthz", get(daemon::healthz))
        .route("/readyz", get(daemon::readyz))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Each route that reads a body has its own limit and names it when it refuses.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), count_malformed))
        .with_state(app)
}

async fn no_route(uri: Uri) -> Problem {
    Problem::new(
        Reason::NotFound,
        format!("there is no route {}", uri.path()),
    )
}

async fn no_method(uri: Uri) -> Problem {
    Problem::new(
        Reason::Usage,
        format!("{} does not take this method", uri.path()),
    )
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

async fn count_malformed(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::BAD_REQUEST {
        app.count_malformed();
    }
    response
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Reason::Malformed, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Reason::Usage, rejection.body_text())
    }
}
