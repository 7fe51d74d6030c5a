//! The work behind each route, and how the routes read what they are sent.

pub(crate) mod bulk;
mod conditional;
pub(crate) mod content;
pub(crate) mod daemon;
pub(crate) mod dashboard;
pub(crate) mod documents;
pub(crate) mod events;
mod facts;
pub(crate) mod files;
pub(crate) mod keeping;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod paging;
pub(crate) mod parameters;
pub(crate) mod records;
mod sse;
pub(crate) mod uploads;
pub(crate) mod values;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::Full;
use qadom_node::{Key, Reason};

use crate::problem::Problem;

/// What a route sends back, or why it does not.
type Answer<T> = Result<T, Problem>;

/// Reads the key in the path, in any of its text forms.
fn key(path: Result<Path<String>, PathRejection>) -> Answer<Key> {
    parse_key(&path?.0)
}

/// Reads a key in any of its text forms.
fn parse_key(text: &str) -> Answer<Key> {
    text.parse().map_err(|error| {
        Problem::new(Reason::Malformed, format!("{text:?} is no key: {error}"))
            .with_advice(format!("write name:{text} for the key of that name"))
    })
}

/// Whether the asker wants JSON where another form is the usual one.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// What may be another one by the next time: caches ask whether it is.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A value byte for byte under its entity tag; what else is known about it goes into the headers.
fn raw<const FACTS: usize>(
    value: Bytes,
    tag: HeaderValue,
    facts: [(HeaderName, HeaderValue); FACTS],
) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::with_capacity(FACTS + 4);
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, ASK_AGAIN);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.extend(facts);
    let mut response = Response::new(Full::new(value));
    *response.headers_mut() = headers;
    response
}

/// A fact as a header says it: digits, hex digits, words and moments, which are always fit for one.
fn fact(fact: &impl ToString) -> HeaderValue {
    HeaderValue::try_from(fact.to_string()).unwrap_or(HeaderValue::from_static(""))
}
