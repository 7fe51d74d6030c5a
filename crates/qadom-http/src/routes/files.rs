//! Files over the control API: added, pushed, fetched, listed, and what is known of them.
//!
//! What must stay true: work that nobody follows any more is given up; what was verified stays. The
//! bytes of files are served by `content`.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use qadom_node::{AddOptions, FileName, FileTask, Files, GetOptions, Reason};
use serde::Serialize;
use tokio::sync::oneshot;

use super::parameters::WriteQuery;
use super::{Answer, read, read_json};
use crate::api;
use crate::problem::Problem;
use crate::router::App;
use crate::texts::parse_writer;

/// Events on their way to a connection that does not take them.
const IN_FLIGHT: usize = 8;
/// A request to fetch a file has at most this many bytes (256 MiB): the manifest of a TiB.
const FETCH_MAX: usize = 256 << 20;

type Named = Result<Path<String>, PathRejection>;
type Writes = Result<Query<WriteQuery>, QueryRejection>;

/// `GET /v1/files`: everything that is here.
pub(crate) async fn list(State(app): State<App>) -> Answer<Json<api::FileList>> {
    let items = app.node.files().list().await?;
    let items = items.iter().map(api::FileItem::from).collect();
    Ok(Json(api::FileList { items }))
}

/// `POST /v1/files`: shares a file, and leaves copies with others if that is asked for; tells how far
/// that is.
pub(crate) async fn add(State(app): State<App>, query: Writes, body: Body) -> Answer<Response> {
    let query = query?.0.without_seq()?;
    let request: api::AddRequest = read_json(&app, body).await?;
    absolute(&request.path)?;
    let files = app.node.files().signed_by(query.identity());
    let files: Files = files.with_options(query.options()?);
    let options = AddOptions {
        copy: request.copy,
        name: request.name,
        urls: request.urls,
    };
    Ok(match request.copies {
        None => follow(files.add(request.path, options), |added| {
            api::FileAdded::from(&added)
        }),
        Some(copies) => follow(files.push(request.path, copies, options), |pushed| {
            api::FileAdded::from(&pushed)
        }),
    })
}

/// `POST /v1/files/FILE/fetch`: fetches a file by its id or its name, and tells how far that is.
pub(crate) async fn fetch(State(app): State<App>, file: Named, body: Body) -> Answer<Response> {
    let body = read(&app, body, FETCH_MAX, "a request to fetch a file").await?;
    let request: api::FetchRequest = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("the body is not the JSON of this route: {error}");
        Problem::new(Reason::Malformed, detail)
    })?;
    if let Some(output) = &request.output {
        absolute(output)?;
    }
    let writer = request.writer.as_deref().map(parse_writer).transpose()?;
    let manifest = request.manifest.map(String::into_bytes);
    let manifest = manifest.map(|text| Files::read_manifest(text.as_slice()));
    let options = GetOptions {
        output: request.output,
        writer,
        first: request.first,
        manifest: manifest.transpose()?,
    };
    let task = app.node.files().get(named(file)?, options);
    Ok(follow(task, |fetched| api::FileFetched::from(&fetched)))
}

/// `GET /v1/files/ID`: what is known of a file.
pub(crate) async fn status(State(app): State<App>, id: Named) -> Answer<Json<api::FileStatus>> {
    let status = app.node.files().status(file_id(&id?.0)?).await?;
    Ok(Json(status.into()))
}

/// `GET /v1/files/ID/manifest`: hash and size of each chunk, a line for each.
pub(crate) async fn manifest(State(app): State<App>, id: Named) -> Answer<Response> {
    let text = app.node.files().manifest(file_id(&id?.0)?).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response())
}

/// `DELETE /v1/files/ID`: no longer shares a file.
pub(crate) async fn remove(State(app): State<App>, id: Named) -> Answer<Json<api::FileRemoved>> {
    let id = file_id(&id?.0)?;
    if !app.node.files().remove(id).await? {
        let detail = format!("{id} is not among the files of this node");
        return Err(Problem::new(Reason::NotFound, detail));
    }
    Ok(Json(api::FileRemoved {
        id: id.to_string(),
        removed: true,
    }))
}

/// Reads an id.
pub(super) fn file_id(text: &str) -> Answer<qadom_node::FileId> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is no file id: 64 hex digits");
        Problem::new(Reason::Malformed, detail)
    })
}

fn named(path: Named) -> Answer<FileName> {
    let Ok(name) = path?.0.parse();
    Ok(name)
}

fn absolute(path: &std::path::Path) -> Answer<()> {
    if path.is_absolute() {
        return Ok(());
    }
    let detail = format!("{} is not absolute", path.display());
    Err(Problem::new(Reason::Usage, detail))
}

/// Tells how far some work is, then what came of it; gives it up when nobody listens any more.
fn follow<T, J>(task: FileTask<T>, result: impl FnOnce(T) -> J + Send + 'static) -> Response
where
    T: Send + 'static,
    J: Serialize + Send + Sync + 'static,
{
    let (sender, body) = Channel::<Bytes, std::io::Error>::new(IN_FLIGHT);
    // Dropped with the body, when the follower has all of it or is gone.
    let (here, gone) = oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            () = forward(task, result, sender) => {}
            _ = gone => {}
        }
    });
    let body = body.map_frame(move |frame| {
        let _held = &here;
        frame
    });
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::OK, head, Body::new(body)).into_response()
}

async fn forward<T: Send + 'static, J: Serialize + Sync>(
    mut task: FileTask<T>,
    result: impl FnOnce(T) -> J,
    mut sender: Sender<Bytes, std::io::Error>,
) {
    // Lets the follower know that the work has begun.
    if sender
        .send_data(Bytes::from_static(b":\n\n"))
        .await
        .is_err()
    {
        return;
    }
    while let Some(progress) = task.progress().await {
        let progress = api::FileProgress::from(&progress);
        let event = api::FileEvent::<J>::Progress { progress };
        if !send(&mut sender, "", &event).await {
            return;
        }
    }
    match task.finish().await {
        Ok(done) => send(&mut sender, "", &api::FileEvent::Done(result(done))).await,
        Err(error) => send(&mut sender, "event: problem\n", &Problem::from(error)).await,
    };
}

async fn send(
    sender: &mut Sender<Bytes, std::io::Error>,
    head: &str,
    event: &impl Serialize,
) -> bool {
    let Ok(json) = serde_json::to_string(event) else {
        return false;
    };
    let line = Bytes::from(format!("{head}data: {json}\n\n"));
    sender.send_data(line).await.is_ok()
}
