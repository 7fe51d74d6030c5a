//! Values: put one, read one.
//!
//! What must stay true: a value that is here is answered the same by the short way, which
//! [`at_once`] is, and by the route.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::Full;
use qadom_node::{Key, Node, ReadFrom};

use super::conditional::{self, is_there, not_modified};
use super::parameters::{ReadQuery, WriteQuery};
use super::{ASK_AGAIN, Answer, bulk, fact, facts, key, raw, wants_json};
use crate::api;
use crate::bodies::{BodyKind, read};
use crate::router::App;

/// What stands before the key in the path of a value.
const VALUES: &str = "/v1/values/";

/// `POST /v1/values`: puts the body.
pub(crate) async fn put(
    State(app): State<App>,
    query: Result<Query<WriteQuery>, QueryRejection>,
    body: Body,
) -> Answer<Response> {
    let options = query?.0.without_seq()?.options()?;
    let value = read(&app, body, BodyKind::Value).await?;
    let written = api::Written::from(&app.node.put_with(value, options).await?);
    let location = format!("{VALUES}{}", written.key);
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
    Ok(found(fetched).map(Body::new))
}

/// Answers a plain `GET /v1/values/KEY` of a value that is here, before the router, so that the most
/// frequent request costs least. None for everything else, also for what is wrong with such a
/// request: the route knows.
pub(crate) fn at_once<B>(node: &Node, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    let is_plain = *request.method() == Method::GET
        && matches!(request.uri().query(), None | Some("local=1"))
        && !request.headers().contains_key(header::IF_NONE_MATCH);
    let key = request.uri().path().strip_prefix(VALUES)?;
    // Other texts of keys may be encoded.
    if !is_plain || !key.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let key: Key = key.parse().ok()?;
    if wants_json(request.headers()) {
        return None;
    }
    let fetched = node.get_now(&key)?;
    Some(found(fetched.into()))
}

/// The bytes of a value that was found, with what is known of it.
fn found(fetched: api::Fetched) -> Response<Full<Bytes>> {
    let key = fetched.key.to_string();
    let tag = conditional::tag(&key);
    let facts = [
        (facts::KEY, fact(&key)),
        (facts::SOURCE, fact(&fetched.source)),
        (facts::AGE, fact(&fetched.age_ms)),
        (facts::HOPS, fact(&fetched.hops)),
        (facts::MESSAGES, fact(&fetched.messages)),
        (facts::TOOK, fact(&fetched.took_ms)),
    ];
    raw(fetched.value, tag, facts)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use tower::ServiceExt;

    use super::*;
    use crate::router::router;

    /// Status, headers without the date of the copy, and body of an answer.
    async fn parts<B>(response: Response<B>) -> (StatusCode, Vec<(String, String)>, Bytes)
    where
        B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter().filter(|(name, _)| {
            // The length is what the server adds to a whole body.
            **name != facts::AGE && **name != header::CONTENT_LENGTH
        });
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        headers.sort();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await;
        (parts.status, headers, body.unwrap())
    }

    #[tokio::test]
    async fn what_is_here_is_answered_the_same_at_once_and_by_the_route() {
        let listen = "127.0.0.1:0".parse().unwrap();
        let node = Node::builder().memory(true).listen(listen);
        let node = node.start().await.unwrap();
        let key = node.put("sudo python").await.unwrap().key;
        let router = router(App::new(node.clone()));
        let request = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
        for uri in [
            format!("/v1/values/{key}"),
            format!("/v1/values/{key}?local=1"),
            format!("/v1/values/{}", key.to_string().to_uppercase()),
        ] {
            let short = parts(at_once(&node, &request(&uri)).unwrap()).await;
            let answer = router.clone().oneshot(request(&uri)).await.unwrap();
            assert_eq!(short, parts(answer).await, "{uri}");
            assert_eq!(short.2, "sudo python");
        }
        for uri in [
            format!("/v1/values/{key}?local=true"),
            format!("/v1/values/{key}?latest=1"),
            format!("/v1/values/{key}/"),
            format!("/v1/values/{}", Key::ZERO),
            "/v1/values/name:x".to_owned(),
            "/v1/values/".to_owned(),
            format!("/v1/dict/{key}"),
        ] {
            assert!(at_once(&node, &request(&uri)).is_none(), "{uri}");
        }
        let uri = format!("/v1/values/{key}");
        for asked in [
            Request::head(&uri),
            Request::get(&uri).header(header::ACCEPT, "application/json"),
            Request::get(&uri).header(header::IF_NONE_MATCH, "\"x\""),
        ] {
            assert!(at_once(&node, &asked.body(()).unwrap()).is_none());
        }
        node.shutdown().await;
        assert!(at_once(&node, &request(&uri)).is_none());
    }
}
