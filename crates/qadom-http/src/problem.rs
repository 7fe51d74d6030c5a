//! What goes back instead of an answer: problem details of RFC 9457.
//!
//! What must stay true: every refusal of every route is one of these, and its `type` ends in a
//! reason of the project's one list.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::Reason;
use serde::{Deserialize, Serialize};

use crate::api;

/// What stands before the reason in the `type` of a problem.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:qadom:reason:";

/// A problem as it travels: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// [`PROBLEM_TYPE_PREFIX`] and the reason.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status code as text, such as `Not Found`.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What is wrong with this request, in one line.
    pub detail: String,
    /// What the asker can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The key that was written all the same, for `too-few-copies`.
    #[serde(default, skip_serializing_if = "Option::is_none", flatten)]
    pub written: Option<Box<api::Written>>,
}

impl Problem {
    /// Describes what is wrong under one of the reasons.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let status = status(reason);
        Self {
            kind: format!("{PROBLEM_TYPE_PREFIX}{}", reason.as_str()),
            title: status.canonical_reason().unwrap_or("Unknown").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            advice: None,
            written: None,
        }
    }

    /// Adds what the asker can do about it.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Takes another status code than the reason has.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        status
            .canonical_reason()
            .unwrap_or("Unknown")
            .clone_into(&mut self.title);
        self.status = status.as_u16();
        self
    }

    /// The reason at the end of the type, empty when there is none.
    pub fn reason(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}

impl From<qadom_node::Error> for Problem {
    fn from(error: qadom_node::Error) -> Self {
        let mut problem = Self::new(error.reason(), error.to_string());
        problem.advice = error.advice();
        if let qadom_node::Error::Failed(qadom_node::Failure::TooFewCopies { receipt, .. }) = &error
        {
            problem.written = Some(Box::new(receipt.into()));
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
