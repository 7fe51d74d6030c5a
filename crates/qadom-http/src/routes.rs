//! The work behind each route, and how the routes read what they are sent.

pub(crate) mod content;
pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod keeping;
pub(crate) mod metrics;
pub(crate) mod network;
mod parameters;
pub(crate) mod records;
pub(crate) mod values;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use qadom_node::{Key, Reason};
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::router::App;

/// A JSON body has at most this many bytes.
const JSON_MAX: usize = 65_536;

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

/// A value byte for byte; what else is known about it goes into the headers.
fn raw<const FACTS: usize>(value: Bytes, facts: [(&'static str, String); FACTS]) -> Response {
    let mut response = Response::new(Body::from(value));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    for (name, fact) in facts {
        // Digits, hex digits and moments are always fit for a header.
        if let Ok(fact) = HeaderValue::try_from(fact) {
            headers.insert(HeaderName::from_static(name), fact);
        }
    }
    response
}

/// Reads a whole body of at most `limit` bytes within the time that a body may take; `what` names
/// what it is.
async fn read(app: &App, body: Body, limit: usize, what: &str) -> Answer<Bytes> {
    let whole = Limited::new(body, limit).collect();
    let Ok(whole) = tokio::time::timeout(app.body_time, whole).await else {
        let seconds = app.body_time.as_secs_f64();
        let detail = format!("the rest of {what} did not come within {seconds} s");
        return Err(Problem::new(Reason::Timeout, detail).with_status(StatusCode::REQUEST_TIMEOUT));
    };
    match whole {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            Reason::TooLarge,
            format!("{what} has at most {limit} bytes"),
        )),
        Err(error) => Err(Problem::new(
            Reason::Malformed,
            format!("the body broke off: {error}"),
        )),
    }
}

/// Reads a JSON body, whatever content type it claims.
async fn read_json<T: DeserializeOwned>(app: &App, body: Body) -> Answer<T> {
    let bytes = read(app, body, JSON_MAX, "a JSON body").await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::new(
            Reason::Malformed,
            format!("the body is not the JSON of this route: {error}"),
        )
    })
}
