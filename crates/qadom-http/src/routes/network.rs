//! The network around the node: its peers, lookups, pings and joins.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use qadom_node::{Error, JoinAddress, LookupEvent, LookupStream, NodeName, Reason};

use super::paging::Paged;
use super::sse::{self, Gone, Sink};
use super::{Answer, key, wants_json};
use crate::api;
use crate::bodies::{BodyKind, read_json};
use crate::problem::Problem;
use crate::router::App;

/// `GET /v1/peers`: the routing table.
pub(crate) async fn peers(State(app): State<App>, page: Paged) -> Answer<Json<api::Peers>> {
    let page = page?.of(app.node.peers().await?, |peer| peer.node.to_string())?;
    Ok(Json(api::Peers {
        items: page.items.iter().map(api::Peer::from).collect(),
        cursor: page.cursor,
    }))
}

/// `GET /v1/lookups/KEY`: a lookup step by step, as events while it runs or as one JSON object.
pub(crate) async fn lookup(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let key = key(path)?;
    if wants_json(&headers) {
        let report = app.node.lookup(key).await?;
        return Ok(Json(api::Lookup::from(&report)).into_response());
    }
    let steps = app.node.lookup_stream(key).await?;
    Ok(sse::respond((), |sink| forward(steps, sink)))
}

/// Sends one `step` for each step when it happens, then one `end`.
async fn forward(mut steps: LookupStream, mut sink: Sink) -> Result<(), Gone> {
    while let Some(event) = steps.next().await {
        match event {
            LookupEvent::Step { after, step } => {
                sink.named("step", &api::LookupStep::new(after, &step))
                    .await?;
            }
            LookupEvent::End(report) => {
                return sink.named("end", &api::LookupEnd::from(&*report)).await;
            }
            LookupEvent::Failed(failure) => {
                return sink
                    .named("problem", &Problem::from(Error::from(failure)))
                    .await;
            }
            // What a later node tells beside these means nothing here.
            _ => {}
        }
    }
    sink.named("problem", &Problem::from(Error::Stopped)).await
}

/// `POST /v1/ping`: the round trip to a node.
pub(crate) async fn ping(State(app): State<App>, body: Body) -> Answer<Json<api::Pong>> {
    let request: api::PingRequest = read_json(&app, body, BodyKind::Json).await?;
    let node = request.node.parse::<NodeName>().map_err(|error| {
        Problem::new(
            Reason::Malformed,
            format!("{:?} names no node: {error}", request.node),
        )
    })?;
    Ok(Json(api::Pong::from(&app.node.ping(node).await?)))
}

/// `POST /v1/join`: joins through the given addresses.
pub(crate) async fn join(State(app): State<App>, body: Body) -> Answer<Json<api::Joined>> {
    let request: api::JoinRequest = read_json(&app, body, BodyKind::Json).await?;
    if request.addresses.is_empty() {
        return Err(Problem::new(
            Reason::Usage,
            "a join needs at least one address",
        ));
    }
    let addresses = request.addresses.iter().map(|text| {
        text.parse::<JoinAddress>().map_err(|error| {
            Problem::new(
                Reason::Malformed,
                format!("{text:?} is no address: {error}"),
            )
        })
    });
    let addresses = addresses.collect::<Answer<Vec<_>>>()?;
    Ok(Json(api::Joined::from(&app.node.join(&addresses).await?)))
}
