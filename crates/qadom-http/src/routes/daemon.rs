//! The daemon itself: how it is doing, and its end.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use qadom_node::{Mode, Reason};
use tokio::sync::Semaphore;

use super::Answer;
use super::uploads::UPLOADS_MAX;
use crate::api;
use crate::bodies::{BodyKind, LARGE_AT_ONCE, read_json};
use crate::problem::Problem;
use crate::router::App;

/// `GET /v1/status`: everything the node tells about itself.
pub(crate) async fn status(State(app): State<App>) -> Answer<Json<api::Status>> {
    Ok(Json(current(&app).await?))
}

/// The state of the node, with what the control API itself has dropped and uses.
pub(super) async fn current(app: &App) -> Answer<api::Status> {
    let mut status = api::Status::from(app.node.status().await?);
    for (reason, count) in app.refused() {
        if count > 0 {
            let drops = status.drops.entry(reason.as_str().to_owned()).or_default();
            *drops = drops.saturating_add(count);
        }
    }
    status.limits.extend(limits(app));
    Ok(status)
}

/// The limits of the control API itself. Times have no use beside them: those who exceed them are
/// counted among the drops as `malformed` (heads) and `timeout` (bodies, readers).
fn limits(app: &App) -> Vec<api::Limit> {
    let limit = |name: &str, used, limit| api::Limit {
        name: name.to_owned(),
        used,
        limit,
    };
    let taken = |places: &Semaphore, all: usize| (all - places.available_permits().min(all)) as u64;
    let most = &app.limits;
    let (connections, followers) = (u64::from(most.connections), most.followers());
    let mut limits = vec![
        limit("control-connections", app.socket.open(), connections),
        limit("control-tcp-connections", app.tcp.open(), connections),
        limit(
            "control-followers",
            taken(&app.followers, followers),
            followers as u64,
        ),
        limit(
            "control-large-bodies",
            taken(&app.large, LARGE_AT_ONCE),
            LARGE_AT_ONCE as u64,
        ),
        limit(
            "control-uploads",
            taken(&app.uploads, UPLOADS_MAX),
            UPLOADS_MAX as u64,
        ),
        limit("control-idle-seconds", 0, most.head.as_secs()),
        limit("control-body-seconds", 0, most.body.as_secs()),
        limit("control-reader-seconds", 0, most.read.as_secs()),
    ];
    let gateway = app.gateway.get();
    limits.extend(gateway.map(|gateway| {
        let most = crate::gateway::connections_max();
        limit("gateway-connections", gateway.open(), most as u64)
    }));
    limits.extend(app.longest.limits());
    limits
}

/// `GET /v1/doctor`: an examination of the node, on the network itself.
pub(crate) async fn doctor(State(app): State<App>) -> Answer<Json<api::Diagnosis>> {
    Ok(Json(app.node.doctor().await?.into()))
}

/// `PUT /v1/mode`: stores for others from now on, or no longer.
pub(crate) async fn set_mode(State(app): State<App>, body: Body) -> Answer<Json<api::TakenMode>> {
    let request: api::ModeRequest = read_json(&app, body, BodyKind::Json).await?;
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

/// `POST /v1/stop`: lets what is under way finish, has the node hand over what it holds for others,
/// stops it, and answers when all it acknowledged is kept.
///
/// The daemon sees the end of its node and ends itself. It ends also when the asker goes away before.
pub(crate) async fn stop(State(app): State<App>) -> Json<api::Stopped> {
    let stopping = tokio::spawn(async move {
        let _aside = app.doors.step_aside();
        app.doors.close();
        app.doors.drained(app.limits.drain).await;
        app.node.leave().await;
    });
    // It neither panics nor is it cancelled.
    let _ = stopping.await;
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
