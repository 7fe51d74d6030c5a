//! The daemon itself: how it is doing, and its end.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use qadom_node::{Mode, Reason};

use super::{Answer, read_json};
use crate::api;
use crate::problem::Problem;
use crate::router::App;

/// `GET /v1/status`: everything the node tells about itself.
pub(crate) async fn status(State(app): State<App>) -> Answer<Json<api::Status>> {
    Ok(Json(current(&app).await?))
}

/// The state of the node, with what the control API itself has dropped and uses.
pub(super) async fn current(app: &App) -> Answer<api::Status> {
    let mut status = api::Status::from(app.node.status().await?);
    let malformed = app.malformed.load(Ordering::Relaxed);
    if malformed > 0 {
        let drops = status
            .drops
            .entry(Reason::Malformed.as_str().to_owned())
            .or_default();
        *drops = drops.saturating_add(malformed);
    }
    if app.connections_limit > 0 {
        status.limits.push(api::Limit {
            name: "control-connections".to_owned(),
            used: app.connections.load(Ordering::Relaxed),
            limit: app.connections_limit,
        });
    }
    Ok(status)
}

/// `GET /v1/doctor`: an examination of the node, on the network itself.
pub(crate) async fn doctor(State(app): State<App>) -> Answer<Json<api::Diagnosis>> {
    Ok(Json(app.node.doctor().await?.into()))
}

/// `PUT /v1/mode`: stores for others from now on, or no longer.
pub(crate) async fn set_mode(State(app): State<App>, body: Body) -> Answer<Json<api::TakenMode>> {
    let request: api::ModeRequest = read_json(&app, body).await?;
    let mode = match request.mode.as_str() {
        "storing" => Mode::Storing,
        "client" => Mode::Client,
        other => {
            let detail = format!("{other:?} is no mode");
            return Err(
                Problem::new(Reason::Malformed, detail).with_advice("a node is storing or client")
            );
        }
    };
    app.node.set_mode(mode).await?;
    Ok(Json(api::TakenMode { mode: request.mode }))
}

/// `POST /v1/stop`: stops the node and answers when all it acknowledged is kept.
///
/// The daemon sees the end of its node and ends itself.
pub(crate) async fn stop(State(app): State<App>) -> Json<api::Stopped> {
    app.node.shutdown().await;
    Json(api::Stopped { stopped: true })
}

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether the DHT is of use: 200, or 503 while it starts or is cut off.
pub(crate) async fn readyz(State(app): State<App>) -> Answer<(StatusCode, Json<api::Ready>)> {
    let status = app.node.status().await?;
    let verdict = api::Verdict::from(status.verdict);
    let ready = !matches!(verdict, api::Verdict::Starting | api::Verdict::Isolated);
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((
        code,
        Json(api::Ready {
            ready,
            verdict,
            reasons: status.reasons,
        }),
    ))
}
