//! Values: put one, read one.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::ReadFrom;

use super::conditional::{is_there, not_modified};
use super::parameters::{ReadQuery, WriteQuery};
use super::{ASK_AGAIN, Answer, bulk, key, raw, wants_json};
use crate::api;
use crate::bodies::{BodyKind, read};
use crate::router::App;

/// `POST /v1/values`: puts the body.
pub(crate) async fn put(
    State(app): State<App>,
    query: Result<Query<WriteQuery>, QueryRejection>,
    body: Body,
) -> Answer<Response> {
    let options = query?.0.without_seq()?.options()?;
    let value = read(&app, body, BodyKind::Value).await?;
    let written = api::Written::from(&app.node.put_with(value, options).await?);
    let location = format!("/v1/values/{}", written.key);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(written),
    )
        .into_response())
}

/// `GET /v1/values/KEY`: the bytes of the value, or the JSON about it.
pub(crate) async fn get(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ReadQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let key = key(path)?;
    let query = query?
        .0
        .without(&["writer", "signature", "cursor", "limit"])?;
    let source = query.source()?;
    let is_raw = !wants_json(&headers);
    // What a key stands for never changes: whoever has it need not be told where else it is.
    if is_raw && matches!(source, ReadFrom::Network) && is_there(&headers, &key.to_string()) {
        return Ok(not_modified(&key.to_string(), ASK_AGAIN));
    }
    let fetched = bulk::fetch(&app.node, key, source).await?;
    if !is_raw {
        return Ok(Json(fetched).into_response());
    }
    let facts = [
        ("qadom-key", fetched.key.to_string()),
        ("qadom-source", fetched.source.to_string()),
        ("qadom-age-ms", fetched.age_ms.to_string()),
        ("qadom-hops", fetched.hops.to_string()),
        ("qadom-messages", fetched.messages.to_string()),
        ("qadom-took-ms", fetched.took_ms.to_string()),
    ];
    let tag = fetched.key.to_string();
    Ok(raw(fetched.value, &tag, facts))
}
