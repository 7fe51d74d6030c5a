//! The network around the node: its peers, lookups, pings and joins.

use std::fmt::Write;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use qadom_node::{JoinAddress, NodeName, Reason};
use serde::Serialize;

use super::{Answer, key, read_json, wants_json};
use crate::api;
use crate::problem::Problem;
use crate::router::App;

/// `GET /v1/peers`: the routing table.
pub(crate) async fn peers(State(app): State<App>) -> Answer<Json<api::Peers>> {
    let items = app.node.peers().await?;
    Ok(Json(api::Peers {
        items: items.iter().map(api::Peer::from).collect(),
    }))
}

/// `GET /v1/lookups/KEY`: a lookup step by step, as events or as one JSON object.
pub(crate) async fn lookup(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let report = app.node.lookup(key(path)?).await?;
    let lookup = api::Lookup::from(&report);
    if wants_json(&headers) {
        Ok(Json(lookup).into_response())
    } else {
        Ok((
            [(header::CONTENT_TYPE, "text/event-stream")],
            events(&lookup)?,
        )
            .into_response())
    }
}

/// Server-sent events: one `step` for each step, one `end`.
fn events(lookup: &api::Lookup) -> Answer<String> {
    let mut events = String::new();
    for step in &lookup.steps {
        event(&mut events, "step", step)?;
    }
    event(&mut events, "end", &lookup.end)?;
    Ok(events)
}

fn event(events: &mut String, name: &str, data: &impl Serialize) -> Answer<()> {
    let internal =
        |error: &dyn std::error::Error| Problem::new(Reason::Internal, error.to_string());
    let data = serde_json::to_string(data).map_err(|error| internal(&error))?;
    write!(events, "event: {name}\ndata: {data}\n\n").map_err(|error| internal(&error))
}

/// `POST /v1/ping`: the round trip to a node.
pub(crate) async fn ping(State(app): State<App>, body: Body) -> Answer<Json<api::Pong>> {
    let request: api::PingRequest = read_json(&app, body).await?;
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
    let request: api::JoinRequest = read_json(&app, body).await?;
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
