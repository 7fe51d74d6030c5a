//! The router: every route of the table, and what is answered where there is none.
//!
//! What must stay true: routes are only ever added; whatever is refused, also by the HTTP machinery
//! itself, goes back as a [`Problem`].

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Router, extract::DefaultBodyLimit};
use qadom_node::{Node, Reason};
use tokio::sync::Semaphore;

use crate::bodies::{LARGE_AT_ONCE, Longest};
use crate::doors::{Doors, Gauge};
use crate::problem::Problem;
use crate::routes::uploads::UPLOADS_MAX;
use crate::server::ServerLimits;
use crate::table;

/// What the routes work on: one node, and what is counted about the requests themselves. Every
/// request has a handle of its own.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

/// What all handles share.
#[derive(Debug)]
#[expect(unnameable_types, reason = "nobody but this crate looks into an App")]
pub struct Shared {
    /// The node that all routes ask.
    pub(crate) node: Node,
    /// What requests and connections may take.
    pub(crate) limits: ServerLimits,
    /// The end of connections.
    pub(crate) doors: Doors,
    /// Connections to the socket.
    pub(crate) socket: Gauge,
    /// Connections over TCP.
    pub(crate) tcp: Gauge,
    /// Connections to the gateway; none when there is no gateway.
    pub(crate) gateway: OnceLock<Gauge>,
    /// Places for those who follow events, who stay: fewer than connections, so that others can ask.
    pub(crate) followers: Arc<Semaphore>,
    /// Places for requests with bodies of many megabytes.
    pub(crate) large: Arc<Semaphore>,
    /// Places for files that are sent to the node.
    pub(crate) uploads: Arc<Semaphore>,
    /// The longest bodies so far.
    pub(crate) longest: Longest,
    /// What was refused, since the start.
    refused: Refused,
}

/// Requests and connections that were refused.
#[derive(Debug, Default)]
struct Refused {
    /// Requests that were no requests.
    malformed: AtomicU64,
    /// Bodies that did not come, and answers that were not read, in time.
    slow: AtomicU64,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Works on a node.
    pub fn new(node: Node) -> Self {
        Self::limited(node, ServerLimits::default())
    }

    /// Works on a node under the limits of a server.
    pub(crate) fn limited(node: Node, limits: ServerLimits) -> Self {
        Self(Arc::new(Shared {
            node,
            limits,
            doors: Doors::default(),
            socket: Gauge::default(),
            tcp: Gauge::default(),
            gateway: OnceLock::new(),
            followers: Arc::new(Semaphore::new(limits.followers())),
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            longest: Longest::default(),
            refused: Refused::default(),
        }))
    }

    /// Counts a request that was none.
    pub(crate) fn count_malformed(&self) {
        self.refused.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts somebody who sent or read too slowly.
    pub(crate) fn count_slow(&self) {
        self.refused.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// What was refused, by reason.
    pub(crate) fn refused(&self) -> [(Reason, u64); 2] {
        let Refused { malformed, slow } = &self.refused;
        [
            (Reason::Malformed, malformed.load(Ordering::Relaxed)),
            (Reason::Timeout, slow.load(Ordering::Relaxed)),
        ]
    }
}

/// The routes of the control API.
pub fn router(app: App) -> Router {
    let routes = table::all().into_iter();
    routes
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.serve)
        })
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Each route that reads a body has its own limit and names it when it refuses.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), count_malformed))
        .with_state(app)
}

pub(crate) async fn no_route(uri: Uri) -> Problem {
    Problem::new(
        Reason::NotFound,
        format!("there is no route {}", uri.path()),
    )
}

pub(crate) async fn no_method(uri: Uri) -> Problem {
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
        Self::new(Reason::Usage, rejection.body_text()).with_nearest_field()
    }
}
