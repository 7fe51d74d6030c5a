//! Following topics and slots: server-sent events.
//!
//! What must stay true: a follower that does not read holds up nobody and costs no more than its
//! queue, which is the node's; one that is gone is noticed at once; however many follow, others find
//! a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use qadom_node::{Kind, Reason, Since, Subscription, WatchSlot};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::Answer;
use crate::api;
use crate::problem::Problem;
use crate::router::App;
use crate::texts::{SlotText, parse_since, parse_topic};

/// How often a comment is sent when nothing else is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Events on their way to a connection that does not take them.
const IN_FLIGHT: usize = 8;

/// From where on events are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowQuery {
    cursor: Option<String>,
}

impl FollowQuery {
    fn since(&self) -> Answer<Since> {
        Ok(parse_since(self.cursor.as_deref().unwrap_or("now"))?)
    }
}

/// `GET /v1/topics/TOPIC/events`: the messages of a topic.
pub(crate) async fn topic(
    State(app): State<App>,
    topic: Result<Path<String>, PathRejection>,
    query: Result<Query<FollowQuery>, QueryRejection>,
) -> Answer<Response> {
    let slot = WatchSlot {
        slot: parse_topic(&topic?.0)?,
        kind: Kind::Event,
    };
    follow(&app, slot, query?.0.since()?).await
}

/// `GET /v1/watch/SLOT`: what is written to a slot.
pub(crate) async fn watch(
    State(app): State<App>,
    slot: Result<Path<String>, PathRejection>,
    query: Result<Query<FollowQuery>, QueryRejection>,
) -> Answer<Response> {
    let slot: SlotText = slot?.0.parse()?;
    follow(&app, *slot.slot(), query?.0.since()?).await
}

async fn follow(app: &App, slot: WatchSlot, since: Since) -> Answer<Response> {
    let place = Arc::clone(&app.followers).try_acquire_owned();
    let place = place.map_err(|_| {
        let detail = "as many follow events through this daemon as may";
        Problem::new(Reason::Busy, detail).with_advice("end one of them, or ask another daemon")
    })?;
    let subscription = app.node.watch(slot, since).await?;
    let (sender, body) = Channel::<Bytes, std::io::Error>::new(IN_FLIGHT);
    // Dropped with the body, when the follower has all of it or is gone.
    let (here, gone) = oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            () = forward(subscription, sender) => {}
            _ = gone => {}
        }
    });
    let body = body.map_frame(move |frame| {
        let _held = (&place, &here);
        frame
    });
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((head, Body::new(body)).into_response())
}

/// Sends events until the node ends or the follower is gone.
async fn forward(mut subscription: Subscription, mut sender: Sender<Bytes, std::io::Error>) {
    // Lets the follower know that the subscription stands.
    let mut line = Bytes::from_static(b":\n\n");
    loop {
        if sender.send_data(line).await.is_err() {
            return;
        }
        let next = tokio::time::timeout(SIGN_OF_LIFE, subscription.next()).await;
        line = match next {
            Err(_) => Bytes::from_static(b":\n\n"),
            Ok(None) => return,
            Ok(Some(event)) => {
                let Ok(json) = serde_json::to_string(&api::Event::from(&event)) else {
                    return;
                };
                Bytes::from(format!("data: {json}\n\n"))
            }
        };
    }
}
