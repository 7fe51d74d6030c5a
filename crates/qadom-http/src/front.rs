//! What every request of a connection meets first: who may ask, then the short way for the most frequent
//! read, then the router.
//!
//! What must stay true: nobody who may not ask gets past the first; what the short way answers, the
//! router would answer the same.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::guard::{Proof, refusal};
use crate::router::{App, router};
use crate::routes::values;

/// Answers the requests of all connections that come in at one place.
#[derive(Clone, Debug)]
pub(crate) struct Front(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    app: App,
    /// What whoever asks has to prove; none where nobody else can ask.
    proof: Option<Proof>,
    router: TowerToHyperService<Router>,
}

/// A body that is whole, or one that comes from a route.
type Answer = Response<Either<Full<Bytes>, Body>>;

impl Front {
    /// Answers those who can prove this.
    pub(crate) fn new(app: App, proof: Option<Proof>) -> Self {
        let router = TowerToHyperService::new(router(app.clone()));
        Self(Arc::new(Parts { app, proof, router }))
    }

    /// Answers a request, however bad it is.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let Parts { app, proof, router } = &*self.0;
        let refusal = proof.as_ref().and_then(|proof| refusal(&request, proof));
        if let Some(refusal) = refusal {
            return Ok(refusal.map(Either::Right));
        }
        if let Some(answer) = values::at_once(&app.node, &request) {
            return Ok(answer.map(Either::Left));
        }
        Ok(router.call(request).await?.map(Either::Right))
    }
}
