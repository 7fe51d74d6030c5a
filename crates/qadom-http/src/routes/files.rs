//! Files over the control API: added, pushed, fetched, listed, and what is known of them.
//!
//! What must stay true: work that nobody follows any more is given up; what was verified stays. The
//! bytes of files are served by `content`.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use qadom_node::{AddOptions, FileName, FileTask, Files, GetOptions, Reason};
use serde::Serialize;

use super::Answer;
use super::paging::Paged;
use super::parameters::WriteQuery;
use super::sse::{self, Gone, Sink};
use crate::api;
use crate::bodies::{BodyKind, read_json};
use crate::problem::Problem;
use crate::router::App;
use crate::texts::parse_writer;

type Named = Result<Path<String>, PathRejection>;
type Writes = Result<Query<WriteQuery>, QueryRejection>;

/// `GET /v1/files`: everything that is here.
pub(crate) async fn list(State(app): State<App>, page: Paged) -> Answer<Json<api::FileList>> {
    let items = app.node.files().list().await?;
    let page = page?.of(items, |item| item.id.to_string())?;
    Ok(Json(api::FileList {
        items: page.items.iter().map(api::FileItem::from).collect(),
        cursor: page.cursor,
    }))
}

/// `POST /v1/files`: shares a file, and leaves copies with others if that is asked for; tells how far
/// that is.
pub(crate) async fn add(State(app): State<App>, query: Writes, body: Body) -> Answer<Response> {
    let query = query?.0.without_seq()?;
    let request: api::AddRequest = read_json(&app, body, BodyKind::Json).await?;
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
    let _place = app.large.acquire().await;
    let request: api::FetchRequest = read_json(&app, body, BodyKind::Fetch).await?;
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
        unverified: request.unverified,
        max_size: request.max_size,
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
pub(super) fn follow<T, J>(
    task: FileTask<T>,
    result: impl FnOnce(T) -> J + Send + 'static,
) -> Response
where
    T: Send + 'static,
    J: Serialize + Send + Sync + 'static,
{
    sse::respond((), |sink| forward(task, result, sink))
}

async fn forward<T: Send + 'static, J: Serialize + Sync>(
    mut task: FileTask<T>,
    result: impl FnOnce(T) -> J,
    mut sink: Sink,
) -> Result<(), Gone> {
    // Lets the follower know that the work has begun.
    sink.comment().await?;
    while let Some(progress) = task.progress().await {
        let progress = api::FileProgress::from(&progress);
        sink.event(&api::FileEvent::<J>::Progress { progress })
            .await?;
    }
    match task.finish().await {
        Ok(done) => sink.event(&api::FileEvent::Done(result(done))).await,
        Err(error) => sink.named("problem", &Problem::from(error)).await,
    }
}
