//! Entity tags and conditional requests (RFC 9110, section 13).
//!
//! What must stay true: two contents never have the same tag.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::{Reason, SignedRead};

use super::Answer;
use crate::problem::Problem;

/// Digits of a signature in a tag; enough to tell contents of one version apart.
const SIGNATURE_DIGITS: usize = 32;

/// A tag around a text of hex digits and dashes.
pub(super) fn tag(text: &str) -> HeaderValue {
    // These are always fit for a header.
    HeaderValue::try_from(["\"", text, "\""].concat()).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What stands in the tag of something that a writer signed: its version, then which content.
pub(super) fn tag_of(read: &SignedRead) -> String {
    let signature = data_encoding::HEXLOWER.encode(read.record.signature());
    let digits = signature.get(..SIGNATURE_DIGITS).unwrap_or(&signature);
    format!("{}-{digits}", read.record.seq())
}

/// Whether the asker has the content with this tag already.
pub(super) fn is_there(headers: &HeaderMap, text: &str) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH);
    tags.and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| matches(tags, text))
}

/// Says that what the asker has is what is there.
pub(super) fn not_modified(text: &str, caching: HeaderValue) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag(text));
    headers.insert(header::CACHE_CONTROL, caching);
    response
}

/// The version that a write has to find, by `If-Match` with a tag of a read, or 0 for nothing by
/// `If-None-Match: *`; none when any will do.
pub(super) fn expected_seq(headers: &HeaderMap) -> Answer<Option<u64>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (None, Some(tags)) if tags.trim() == "*" => Ok(Some(0)),
        (Some(tags), None) => {
            let tag = tags.trim().trim_matches('"');
            let seq = tag.split('-').next().and_then(|seq| seq.parse().ok());
            seq.map(Some).ok_or_else(|| unreadable(tags))
        }
        (_, Some(tags)) => Err(unreadable(tags)),
    }
}

fn unreadable(tags: &str) -> Problem {
    Problem::new(Reason::Usage, format!("no condition of a write: {tags}"))
        .with_advice("give the ETag of a read as If-Match, or If-None-Match: * for what is new")
}

/// Whether a list of entity tags names this content.
pub(super) fn matches(tags: &str, text: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_match_weak_or_strong_in_any_place() {
        for tags in ["\"ab\"", "W/\"ab\"", "\"x\", \"ab\"", "*"] {
            assert!(matches(tags, "ab"), "{tags}");
        }
        assert!(!matches("\"abc\"", "ab"));
    }

    #[test]
    fn a_write_expects_the_version_of_a_tag_or_nothing() {
        let expected = |name, value| {
            let value = HeaderValue::from_static(value);
            expected_seq(&HeaderMap::from_iter([(name, value)])).ok()
        };
        assert_eq!(expected(header::IF_MATCH, "\"7-ab\""), Some(Some(7)));
        assert_eq!(expected(header::IF_NONE_MATCH, "*"), Some(Some(0)));
        assert_eq!(expected(header::ACCEPT, "*"), Some(None));
        assert_eq!(expected(header::IF_MATCH, "*"), None);
        assert_eq!(expected(header::IF_NONE_MATCH, "\"7-ab\""), None);
    }
}
