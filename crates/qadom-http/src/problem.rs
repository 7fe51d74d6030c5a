//! What goes back instead of an answer: problem details of RFC 9457.
//!
//! What must stay true: every refusal of every route is one of these, and its `type` ends in a
//! reason of the project's one list.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::{Error, Failure, FileError, Reason};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api;

/// What stands before the reason in the `type` of a problem.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:qadom:reason:";

/// The most bytes of a detail that repeats what was sent.
const DETAIL_MAX: usize = 1024;

/// The longest name, in bytes, beside which a known one may be near.
const FIELD_MAX: usize = 64;

/// How near a known field has to be to one that is not known, from 0 to 1.
const NEAR: f64 = 0.7;

/// A problem as it travels: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// [`PROBLEM_TYPE_PREFIX`] and the reason.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status code as text, such as `Not Found`.
    pub title: Box<str>,
    /// The HTTP status code.
    pub status: u16,
    /// What is wrong with this request, in one line.
    pub detail: String,
    /// What the asker can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What was written all the same: for `too-few-copies`, and when the journal failed.
    #[serde(default, skip_serializing_if = "Option::is_none", flatten)]
    pub written: Option<Box<api::Written>>,
    /// What is there instead, for `stale-seq`, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<api::Held>>,
    /// The files to choose from, for `ambiguous`.
    #[serde(default, skip_serializing_if = "Option::is_none", flatten)]
    pub choice: Option<Box<api::Choice>>,
}

impl Problem {
    /// Describes what is wrong under one of the reasons.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let status = status(reason);
        Self {
            kind: format!("{PROBLEM_TYPE_PREFIX}{}", reason.as_str()),
            title: status.canonical_reason().unwrap_or("Unknown").into(),
            status: status.as_u16(),
            detail: detail.into(),
            advice: None,
            written: None,
            held: None,
            choice: None,
        }
    }

    /// Says what was not found in words of the asker, with how many nodes know nothing of it. Any
    /// other error stays as it is.
    pub(crate) fn not_found(error: Error, what: &str) -> Self {
        let asked = match &error {
            Error::Failed(Failure::NotFound {
                answered,
                unanswered,
                ..
            }) => Some((*answered, *unanswered)),
            _ => None,
        };
        let mut problem = Self::from(error);
        match asked {
            None => {}
            Some((0, 0)) => what.clone_into(&mut problem.detail),
            Some((answered, unanswered)) => {
                problem.detail = format!("{what}: {answered} answered and {unanswered} did not");
            }
        }
        problem
    }

    /// Adds what the asker can do about it.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds which field may have been meant, where the detail is serde's word that there is none of that name, and
    /// cuts the detail short: it repeats what was sent.
    #[must_use]
    pub(crate) fn with_nearest_field(mut self) -> Self {
        if let Some(name) = nearest_field(&self.detail) {
            self.advice = Some(format!("did you mean {name}?"));
        }
        if self.detail.len() > DETAIL_MAX {
            self.detail
                .truncate(self.detail.floor_char_boundary(DETAIL_MAX));
            self.detail.push('…');
        }
        self
    }

    /// Takes another status code than the reason has.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.title = status.canonical_reason().unwrap_or("Unknown").into();
        self.status = status.as_u16();
        self
    }

    /// The reason at the end of the type, empty when there is none.
    pub fn reason(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::new(error.reason(), error.to_string());
        problem.advice = error.advice();
        match &error {
            Error::Failed(
                Failure::TooFewCopies { receipt, .. }
                | Failure::Journal {
                    receipt: Some(receipt),
                    ..
                },
            ) => problem.written = Some(Box::new(receipt.into())),
            Error::File(FileError::TooFewCopies(pushed)) => {
                problem.written = Some(Box::new((&pushed.receipt).into()));
            }
            Error::File(FileError::Ambiguous { files, .. }) => {
                let files = api::NamedFiles::from(files.as_slice()).items;
                problem.choice = Some(Box::new(api::Choice { files }));
            }
            Error::Failed(Failure::StaleSeq { seq, held }) => {
                problem.detail = match held {
                    Some(held) if held.is_tombstone() => {
                        let there = held.seq();
                        format!("seq {seq} is not there: seq {there} is, which deleted it")
                    }
                    Some(held) => format!("seq {seq} is not there: seq {} is", held.seq()),
                    None => format!("seq {seq} is not there: nothing is"),
                };
                problem.held = held.as_deref().map(|held| Box::new(held.into()));
            }
            Error::Failed(
                Failure::Store {
                    reason: Reason::Blocked,
                }
                | Failure::Refused {
                    reason: Reason::Blocked,
                },
            ) => "this node has blocked that key".clone_into(&mut problem.detail),
            _ => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, axum::Json(self)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }
}

/// The field nearest to one that is not known, by what serde says of it: its name and those of the fields that
/// there are, all in backticks.
fn nearest_field(detail: &str) -> Option<&str> {
    let (_, told) = detail.split_once("unknown field `")?;
    let mut quoted = told.split('`').step_by(2);
    let unknown = quoted.next().filter(|name| name.len() <= FIELD_MAX)?;
    let near = quoted.map(|known| (strsim::jaro(known, unknown), known));
    let (nearness, name) = near.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (nearness > NEAR).then_some(name)
}

/// The status code that a reason has.
fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Malformed
        | Reason::Usage
        | Reason::WeakKey
        | Reason::BadHash
        | Reason::BadSignature => StatusCode::BAD_REQUEST,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::StaleSeq
        | Reason::Conflict
        | Reason::Superseded
        | Reason::Ambiguous
        | Reason::NotYours
        | Reason::ClientMode => StatusCode::CONFLICT,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::Timeout | Reason::Unreachable | Reason::TooFewCopies | Reason::Blocked => {
            StatusCode::FAILED_DEPENDENCY
        }
        Reason::Busy | Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Reason::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Reason::DiskFull | Reason::Quota => StatusCode::INSUFFICIENT_STORAGE,
        Reason::StorageFailed | Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // Every other refusal: the request was understood and cannot be carried out.
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_found(answered: u32, unanswered: u32) -> Error {
        let key = "name:x".parse().unwrap();
        Error::Failed(Failure::NotFound {
            key,
            answered,
            unanswered,
        })
    }

    #[test]
    fn what_was_not_found_is_named_as_it_was_asked_for() {
        let problem = Problem::not_found(not_found(2, 1), "no such item");
        assert_eq!(problem.detail, "no such item: 2 answered and 1 did not");
        assert_eq!(problem.status, 404);
        let problem = Problem::not_found(not_found(0, 0), "no such item");
        assert_eq!(problem.detail, "no such item");
        let other = Problem::not_found(Error::Stopped, "no such item");
        assert_eq!(other.detail, Error::Stopped.to_string());
    }

    #[test]
    fn a_field_that_is_unknown_is_told_beside_the_nearest_one() {
        for (detail, nearest) in [
            (
                "unknown field `tll`, expected one of `identity`, `ttl`, `once` at line 1",
                Some("ttl"),
            ),
            (
                "unknown field `adresses`, expected `addresses`",
                Some("addresses"),
            ),
            ("unknown field `x`, expected `name` or `secret`", None),
            ("unknown field ``, expected `name`", None),
            ("unknown field `name`, there are no fields", None),
            ("missing field `name`", None),
        ] {
            assert_eq!(nearest_field(detail), nearest, "{detail}");
        }
        let long = format!("unknown field `{}`, expected `mode`", "ü".repeat(1 << 20));
        let problem = Problem::new(Reason::Malformed, long).with_nearest_field();
        assert_eq!(problem.advice, None);
        assert!(problem.detail.len() <= DETAIL_MAX + '…'.len_utf8());
    }

    #[test]
    fn each_reason_has_the_status_code_that_scripts_rely_on() {
        for (reason, code) in [
            (Reason::Malformed, 400),
            (Reason::Usage, 400),
            (Reason::BadHash, 400),
            (Reason::NotFound, 404),
            (Reason::StaleSeq, 409),
            (Reason::ClientMode, 409),
            (Reason::TooLarge, 413),
            (Reason::TooFewCopies, 424),
            (Reason::Timeout, 424),
            (Reason::Busy, 429),
            (Reason::WrongNetwork, 422),
            (Reason::LifetimeTooLong, 422),
            (Reason::ShuttingDown, 503),
            (Reason::DiskFull, 507),
            (Reason::StorageFailed, 500),
        ] {
            let problem = Problem::new(reason, "x");
            assert_eq!(problem.status, code, "{reason:?}");
            assert_eq!(problem.reason(), reason.as_str());
        }
    }
}
