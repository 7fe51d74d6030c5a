//! How long the body of a request may be, and what was sent so far.
//!
//! What must stay true: no body is read beyond its limit or beyond its time; every limit has a name
//! that `status` shows beside the largest body of its kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use qadom_node::{BAG_ITEM_MAX, Reason, VALUE_MAX};
use serde::de::DeserializeOwned;

use crate::api::Limit;
use crate::problem::Problem;
use crate::router::App;

/// Requests with bodies of many megabytes that are carried out at once; further ones wait.
pub(crate) const LARGE_AT_ONCE: usize = 4;

/// What bodies are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// A small JSON object.
    Json,
    /// A value.
    Value,
    /// An item of a bag.
    Item,
    /// A message to a topic.
    Message,
    /// Many names of the dict.
    Update,
    /// Many values, or keys.
    Bulk,
    /// A request to fetch a file, which may hold the list of its chunks.
    Fetch,
}

impl BodyKind {
    const ALL: [Self; 7] = [
        Self::Json,
        Self::Value,
        Self::Item,
        Self::Message,
        Self::Update,
        Self::Bulk,
        Self::Fetch,
    ];

    /// The most bytes.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Json => 65_536,
            Self::Value | Self::Message => VALUE_MAX,
            Self::Item => BAG_ITEM_MAX,
            Self::Update | Self::Bulk => 16 << 20,
            // The manifest of a TiB.
            Self::Fetch => 256 << 20,
        }
    }

    /// The name of the limit in `status`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "control-json-bytes",
            Self::Value => "control-value-bytes",
            Self::Item => "control-item-bytes",
            Self::Message => "control-message-bytes",
            Self::Update => "control-update-bytes",
            Self::Bulk => "control-bulk-bytes",
            Self::Fetch => "control-fetch-bytes",
        }
    }

    /// How many times the usual time it may take to come.
    const fn patience(self) -> u32 {
        match self {
            Self::Json | Self::Value | Self::Item | Self::Message => 1,
            Self::Update | Self::Bulk => 6,
            Self::Fetch => 60,
        }
    }

    /// What it is, for whoever sent too much.
    const fn what(self) -> &'static str {
        match self {
            Self::Json => "a JSON body",
            Self::Value => "a value",
            Self::Item => "an item",
            Self::Message => "a message",
            Self::Update => "an update",
            Self::Bulk => "a bulk request",
            Self::Fetch => "a request to fetch a file",
        }
    }
}

/// The longest body of each kind since the start, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Longest(Arc<[AtomicU64; BodyKind::ALL.len()]>);

impl Longest {
    fn note(&self, kind: BodyKind, bytes: usize) {
        if let Some(longest) = self.0.get(kind as usize) {
            longest.fetch_max(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Every limit of bodies beside the longest one that came.
    pub(crate) fn limits(&self) -> impl Iterator<Item = Limit> {
        let kinds = BodyKind::ALL.iter().zip(self.0.iter());
        kinds.map(|(kind, longest)| Limit {
            name: kind.name().to_owned(),
            used: longest.load(Ordering::Relaxed),
            limit: kind.limit() as u64,
        })
    }
}

/// Reads a whole body within its limit and its time.
pub(crate) async fn read(app: &App, body: Body, kind: BodyKind) -> Result<Bytes, Problem> {
    let (limit, what) = (kind.limit(), kind.what());
    let whole = Limited::new(body, limit).collect();
    let time = app.limits.body * kind.patience();
    let Ok(whole) = tokio::time::timeout(time, whole).await else {
        let seconds = time.as_secs_f64();
        let detail = format!("the rest of {what} did not come within {seconds} s");
        app.count_slow();
        return Err(Problem::new(Reason::Timeout, detail).with_status(StatusCode::REQUEST_TIMEOUT));
    };
    match whole {
        Ok(collected) => {
            let bytes = collected.to_bytes();
            app.longest.note(kind, bytes.len());
            Ok(bytes)
        }
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

/// Reads a JSON object, whatever content type it claims.
pub(crate) async fn read_json<T: DeserializeOwned>(
    app: &App,
    body: Body,
    kind: BodyKind,
) -> Result<T, Problem> {
    let bytes = read(app, body, kind).await?;
    let malformed = |error: &dyn std::fmt::Display| {
        let detail = format!("the body is not the JSON of this route: {error}");
        Problem::new(Reason::Malformed, detail).with_nearest_field()
    };
    // A list of the values without their names would be read, too.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(malformed(&"it is a list, and an object is wanted"));
    }
    serde_json::from_slice(&bytes).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_body_of_each_kind_stands_beside_its_limit() {
        let longest = Longest::default();
        for kind in BodyKind::ALL {
            longest.note(kind, kind.limit());
            longest.note(kind, 1);
        }
        for limit in longest.limits() {
            assert_eq!(limit.used, limit.limit, "{limit:?}");
        }
    }
}
