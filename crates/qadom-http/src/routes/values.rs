//! Values: put one, read one.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::{NodeName, Reason, VALUE_MAX, WriteOptions};
use serde::Deserialize;

use super::{Answer, key, read, wants_json};
use crate::api;
use crate::duration::parse_lifetime;
use crate::problem::Problem;
use crate::router::App;

/// What can be asked of a write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutQuery {
    ttl: Option<String>,
    min_copies: Option<u32>,
}

/// What can be asked of a read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    from: Option<String>,
    local: Option<String>,
}

/// `POST /v1/values`: puts the body.
pub(crate) async fn put(
    State(app): State<App>,
    query: Result<Query<PutQuery>, QueryRejection>,
    body: Body,
) -> Answer<Response> {
    let Query(query) = query?;
    let ttl = query.ttl.as_deref().map(parse_lifetime).transpose();
    let ttl = ttl.map_err(|error| Problem::new(error.reason(), error.to_string()))?;
    let value = read(&app, body, VALUE_MAX, "a value").await?;
    let options = WriteOptions {
        ttl,
        min_copies: query.min_copies,
        once: true,
    };
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
    query: Result<Query<GetQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let key = key(path)?;
    let Query(query) = query?;
    let fetched = match (query.from, is_set(query.local.as_deref())?) {
        (None, false) => app.node.get(key).await?,
        (None, true) => app.node.get_local(key).await?,
        (Some(node), false) => {
            let node = node.parse::<NodeName>().map_err(|error| {
                Problem::new(
                    Reason::Malformed,
                    format!("{node:?} names no node: {error}"),
                )
            })?;
            app.node.get_from(key, node).await?
        }
        (Some(_), true) => {
            return Err(Problem::new(
                Reason::Usage,
                "from and local exclude each other",
            ));
        }
    };
    let fetched = api::Fetched::from(fetched);
    if wants_json(&headers) {
        Ok(Json(fetched).into_response())
    } else {
        Ok(raw(fetched))
    }
}

/// The value byte for byte; what else is known about it goes into the headers.
fn raw(fetched: api::Fetched) -> Response {
    let facts = [
        ("qadom-key", fetched.key.to_string()),
        ("qadom-source", fetched.source.to_string()),
        ("qadom-age-ms", fetched.age_ms.to_string()),
        ("qadom-hops", fetched.hops.to_string()),
        ("qadom-messages", fetched.messages.to_string()),
        ("qadom-took-ms", fetched.took_ms.to_string()),
    ];
    let mut response = Response::new(Body::from(fetched.value));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    for (name, fact) in facts {
        // Digits and hex digits are always fit for a header.
        if let Ok(fact) = HeaderValue::try_from(fact) {
            headers.insert(HeaderName::from_static(name), fact);
        }
    }
    response
}

/// Whether a yes-or-no parameter says yes.
fn is_set(parameter: Option<&str>) -> Answer<bool> {
    match parameter {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(Problem::new(
            Reason::Usage,
            format!("local is 1 or 0, not {other:?}"),
        )),
    }
}
