//! Answers that come piece by piece as server-sent events (the WHATWG form).
//!
//! What must stay true: who does not read holds up nobody and costs no more than a few events; who is
//! gone is noticed at once, and the work for it is given up.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use tokio::sync::oneshot;

/// Events on their way to a connection that does not take them.
const IN_FLIGHT: usize = 8;

/// A comment: it tells nothing but that the stream lives.
const COMMENT: &[u8] = b":\n\n";

/// Where the events of one answer go.
#[derive(Debug)]
pub(super) struct Sink(Sender<Bytes, std::io::Error>);

/// Nobody takes events any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Sink {
    /// Sends a comment.
    pub(super) async fn comment(&mut self) -> Result<(), Gone> {
        self.line(Bytes::from_static(COMMENT)).await
    }

    /// Sends an event without a name.
    pub(super) async fn event(&mut self, event: &impl Serialize) -> Result<(), Gone> {
        self.line(text("", event)?).await
    }

    /// Sends an event of this name.
    pub(super) async fn named(&mut self, name: &str, event: &impl Serialize) -> Result<(), Gone> {
        self.line(text(&format!("event: {name}\n"), event)?).await
    }

    async fn line(&mut self, line: Bytes) -> Result<(), Gone> {
        self.0.send_data(line).await.map_err(|_| Gone)
    }
}

/// One event behind its name. What cannot be written as JSON ends the stream.
fn text(head: &str, event: &impl Serialize) -> Result<Bytes, Gone> {
    let json = serde_json::to_string(event).map_err(|_| Gone)?;
    Ok(Bytes::from(format!("{head}data: {json}\n\n")))
}

/// Answers with what some work sends, until it ends; `held` is kept as long as the answer lasts. The
/// work is dropped when nobody takes its events any more.
pub(super) fn respond<H, W, F>(held: H, work: W) -> Response
where
    H: Send + Sync + 'static,
    W: FnOnce(Sink) -> F,
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (sender, body) = Channel::new(IN_FLIGHT);
    let work = work(Sink(sender));
    // Dropped with the body, when the follower has all of it or is gone.
    let (here, gone) = oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            // Whoever is gone needs no end.
            _ = work => {}
            _ = gone => {}
        }
    });
    let body = body.map_frame(move |frame| {
        let _held = (&held, &here);
        frame
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::OK, headers, Body::new(body)).into_response()
}
