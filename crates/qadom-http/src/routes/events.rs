//! Following topics and slots: server-sent events.
//!
//! What must stay true: a follower that does not read holds up nobody and costs no more than its
//! queue, which is the node's; one that is gone is noticed at once; however many follow, others find
//! a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use qadom_node::{Kind, Reason, Since, Subscription, WatchSlot};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Answer;
use super::sse::{self, Gone, Sink};
use crate::api;
use crate::problem::Problem;
use crate::router::App;
use crate::texts::{SlotText, parse_since, parse_topic};

/// How often a comment is sent when nothing else is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// From where on events are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowQuery {
    /// `0` for the oldest held, `now`, or the cursor of the last event.
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
    let closing = app.doors.closing();
    Ok(sse::respond(place, |sink| {
        forward(subscription, sink, closing)
    }))
}

/// Sends events until the node ends, the server closes or the follower is gone.
async fn forward(
    mut subscription: Subscription,
    mut sink: Sink,
    closing: impl Future<Output = ()> + Send,
) -> Result<(), Gone> {
    let mut closing = std::pin::pin!(closing);
    // Lets the follower know that the subscription stands.
    sink.comment().await?;
    loop {
        let next = tokio::time::timeout(SIGN_OF_LIFE, subscription.next());
        let next = tokio::select! {
            next = next => next,
            () = &mut closing => return Ok(()),
        };
        match next {
            Err(_) => sink.comment().await?,
            Ok(None) => return Ok(()),
            Ok(Some(event)) => sink.event(&api::Event::from(&event)).await?,
        }
    }
}
