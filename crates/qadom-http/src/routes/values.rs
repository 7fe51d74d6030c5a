//! Values: put one, read one.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::{ReadFrom, VALUE_MAX};

use super::parameters::{ReadQuery, WriteQuery};
use super::{Answer, key, raw, read, wants_json};
use crate::api;
use crate::router::App;

/// `POST /v1/values`: puts the body.
pub(crate) async fn put(
    State(app): State<App>,
    query: Result<Query<WriteQuery>, QueryRejection>,
    body: Body,
) -> Answer<Response> {
    let options = query?.0.without_seq()?.options()?;
    let value = read(&app, body, VALUE_MAX, "a value").await?;
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
    let fetched = match query?
        .0
        .without(&["writer", "signature", "cursor", "limit"])?
        .source()?
    {
        ReadFrom::Network => app.node.get(key).await?,
        ReadFrom::Local => app.node.get_local(key).await?,
        ReadFrom::Node(node) => app.node.get_from(key, node).await?,
    };
    let fetched = api::Fetched::from(fetched);
    if wants_json(&headers) {
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
    Ok(raw(fetched.value, facts))
}
