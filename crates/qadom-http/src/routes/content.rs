//! The bytes of files over HTTP, for anybody: ranges, conditions, and a beginning before all of a
//! file is here.
//!
//! What must stay true: only files of the network are served, each byte verified; a reader that does
//! not read is let go; what a file says of its own type cannot run as a page of this server.

use std::ops::Range;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use qadom_node::{FileBytes, FileName, FileReader, GetOptions, Reason};

use super::conditional::{is_there, not_modified, tag};
use super::files::file_id;
use super::{ASK_AGAIN, Answer};
use crate::api;
use crate::problem::Problem;
use crate::router::App;

/// Pieces on their way to a connection that does not take them.
const IN_FLIGHT: usize = 2;
/// How long a connection may take none: whoever pauses a film goes on with it.
const READ_TIME: Duration = Duration::from_mins(10);
/// What an id stands for never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The media type of what says none.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

type Named = Result<Path<String>, PathRejection>;

/// `GET` and `HEAD` of `/files/ID`.
pub(crate) async fn by_id(
    State(app): State<App>,
    method: Method,
    id: Named,
    headers: HeaderMap,
) -> Answer<Response> {
    let id = file_id(&id?.0)?;
    let asked = Asked::new(&method, &headers);
    if asked.is_here(&id.to_string()) {
        return Ok(not_modified(&id.to_string(), FOR_EVER));
    }
    let files = app.node.files();
    let reader = files.open(FileName::Id(id), GetOptions::default()).await?;
    Ok(serve(reader, &asked, FOR_EVER))
}

/// `GET` and `HEAD` of `/name/NAME`: the file, or a list when several carry the name.
pub(crate) async fn by_name(
    State(app): State<App>,
    method: Method,
    name: Named,
    headers: HeaderMap,
) -> Answer<Response> {
    let files = app.node.files();
    let name = name?.0;
    let named = files.named(&name).await?;
    let id = match named.as_slice() {
        [] => {
            let detail = format!("nobody has a file named {name:?}");
            return Err(Problem::new(Reason::NotFound, detail));
        }
        [only] => only.id,
        several => {
            let list = api::NamedFiles::from(several);
            return Ok((StatusCode::MULTIPLE_CHOICES, Json(list)).into_response());
        }
    };
    let asked = Asked::new(&method, &headers);
    if asked.is_here(&id.to_string()) {
        return Ok(not_modified(&id.to_string(), ASK_AGAIN));
    }
    let options = GetOptions {
        first: true,
        ..GetOptions::default()
    };
    let reader = files.open(FileName::Name(name), options).await?;
    Ok(serve(reader, &asked, ASK_AGAIN))
}

/// What is asked for beside the file.
struct Asked<'a> {
    is_head: bool,
    headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    fn new(method: &Method, headers: &'a HeaderMap) -> Self {
        Self {
            is_head: method == Method::HEAD,
            headers,
        }
    }

    fn text(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the asker has the content already.
    fn is_here(&self, id: &str) -> bool {
        is_there(self.headers, id)
    }

    /// The range that is asked for, if it is for this content; none for the whole.
    fn range(&self, id: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
        let is_for_this = self
            .text(header::IF_RANGE)
            .is_none_or(|tag| tag.trim() == format!("\"{id}\""));
        let text = self.text(header::RANGE).filter(|_| is_for_this)?;
        range(text, size)
    }
}

/// The one range of a header; none when it says nothing that is served in ranges (several ranges, or
/// another unit), an error when it lies behind the end.
fn range(text: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
    if last.contains(',') {
        return None;
    }
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large lies behind every end.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (first.trim(), last.trim()) {
        ("", last) => {
            let length = number(last)?;
            if length == 0 {
                return Some(Err(()));
            }
            size.saturating_sub(length)..size
        }
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.start < size {
        Ok(range)
    } else {
        Err(())
    })
}

fn serve(reader: FileReader, asked: &Asked<'_>, caching: HeaderValue) -> Response {
    let (id, size) = (reader.id().to_string(), reader.size());
    let (status, range) = match asked.range(&id, size) {
        None => (StatusCode::OK, 0..size),
        Some(Ok(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Err(())) => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            let whole = number(format!("bytes */{size}"));
            response.headers_mut().insert(header::CONTENT_RANGE, whole);
            return response;
        }
    };
    let length = range.end - range.start;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag(&id));
    headers.insert(header::CACHE_CONTROL, caching);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, number(length.to_string()));
    describe(headers, reader.content_type());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end.saturating_sub(1);
        let place = number(format!("bytes {}-{last}/{size}", range.start));
        headers.insert(header::CONTENT_RANGE, place);
    }
    if !asked.is_head && length > 0 {
        *response.body_mut() = body(reader, range);
    }
    response
}

/// Says of what type the content is; nothing that runs scripts does so under this server's name.
fn describe(headers: &mut HeaderMap, content_type: &str) {
    let known = Some(content_type).filter(|text| !text.is_empty());
    let content_type = known.and_then(|text| HeaderValue::from_str(text).ok());
    headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(BYTES));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox"),
    );
}

/// Digits, hex digits and quotes are always fit for a header.
fn number(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn body(reader: FileReader, range: Range<u64>) -> Body {
    let (sender, body) = Channel::<Bytes, std::io::Error>::new(IN_FLIGHT);
    tokio::spawn(async move {
        let bytes = reader.read(range);
        forward(bytes, sender).await;
        // What is fetched for this reader alone is fetched until here.
        drop(reader);
    });
    Body::new(body.map_err(axum::Error::new))
}

/// Sends bytes until the end of the range; breaks the connection off when the rest does not come, so
/// that nobody takes the part for the whole.
async fn forward(mut bytes: FileBytes, mut sender: Sender<Bytes, std::io::Error>) {
    loop {
        match bytes.next().await {
            Ok(Some(piece)) => {
                let sent = tokio::time::timeout(READ_TIME, sender.send_data(piece)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return sender.abort(std::io::ErrorKind::TimedOut.into());
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "a file broke off");
                return sender.abort(std::io::Error::other(error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("bytes=0-99", Some(Ok(0..10))),
            ("bytes=5-", Some(Ok(5..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-30", Some(Ok(0..10))),
            ("bytes=-0", Some(Err(()))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=99999999999999999999999-", Some(Err(()))),
            ("bytes=3-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
        assert_eq!(range("bytes=0-", 0), Some(Err(())));
    }
}
