//! Files whose content is sent to the node, by whoever has no path on the node's machine, such as
//! a page.
//!
//! What must stay true: what is sent lies in a folder of its own until it is taken in, and leaves
//! nothing behind whatever happens; a sender that stops does not hold its place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http_body_util::BodyExt;
use qadom_node::{AddOptions, Reason};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;

use super::Answer;
use super::files::follow;
use crate::api;
use crate::problem::Problem;
use crate::router::App;

/// Files that are sent at once.
pub(crate) const UPLOADS_MAX: usize = 8;
/// How long a sender may pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// The longest name of a file, in bytes, as file systems have it.
const FILE_NAME_MAX: usize = 255;
/// Files are sent into folders of the data folder that begin like this.
const PREFIX: &str = "upload-";

/// What is said about a file that is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadQuery {
    /// Its name at the sender.
    file: Option<String>,
    /// The name under which others find it.
    name: Option<String>,
    /// How many copies of each chunk are left with other nodes; none when it is only shared.
    copies: Option<u32>,
    /// Who signs.
    identity: Option<String>,
}

/// `POST /v1/uploads`: shares the body as a file of the node, and tells how far that is.
pub(crate) async fn upload(
    State(app): State<App>,
    query: Result<Query<UploadQuery>, QueryRejection>,
    body: Body,
) -> Answer<Response> {
    let Query(query) = query?;
    let place = Arc::clone(&app.uploads).try_acquire_owned().map_err(|_| {
        let detail = "as many files are sent to this daemon as may be at once";
        Problem::new(Reason::Busy, detail)
    })?;
    let name = file_name(query.file.as_deref())?;
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(app.node.data_dir())
        .map_err(failed)?;
    let path = folder.path().join(name);
    receive(body, &path).await?;
    let identity = query.identity.as_deref();
    let files = app.node.files();
    let files = files.signed_by(identity.unwrap_or(qadom_node::DEFAULT_IDENTITY));
    let options = AddOptions {
        copy: true,
        name: query.name,
        urls: Vec::new(),
    };
    let held = (folder, place);
    Ok(match query.copies {
        None => follow(files.add(path, options), move |added| {
            ended(held, api::FileAdded::from(&added))
        }),
        Some(copies) => follow(files.push(path, copies, options), move |pushed| {
            ended(held, api::FileAdded::from(&pushed))
        }),
    })
}

/// What was sent is taken in, so its own folder goes.
fn ended<T>(held: (TempDir, OwnedSemaphorePermit), result: T) -> T {
    drop(held);
    result
}

/// The last part of a name at the sender, which cannot lead out of the folder.
fn file_name(given: Option<&str>) -> Answer<&str> {
    let name = given.and_then(|name| name.rsplit(['/', '\\']).next());
    let name = name
        .filter(|name| !matches!(*name, "" | "." | ".."))
        .unwrap_or("file");
    if name.len() > FILE_NAME_MAX || name.contains('\0') {
        let detail =
            format!("a name of a file has at most {FILE_NAME_MAX} bytes, and no zero byte");
        return Err(Problem::new(Reason::Malformed, detail));
    }
    Ok(name)
}

/// Writes what comes into a file.
async fn receive(mut body: Body, path: &Path) -> Answer<()> {
    let mut file = File::create_new(path).await.map_err(failed)?;
    loop {
        let frame = tokio::time::timeout(PAUSE_MAX, body.frame()).await;
        let Ok(frame) = frame else {
            let detail = format!("nothing more came for {} s", PAUSE_MAX.as_secs());
            return Err(Problem::new(Reason::Timeout, detail));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            let detail = format!("the body broke off: {error}");
            Problem::new(Reason::Malformed, detail)
        })?;
        if let Ok(data) = frame.into_data() {
            file.write_all(&data).await.map_err(failed)?;
        }
    }
    file.flush().await.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: std::io::Error) -> Problem {
    let is_full = matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    );
    let reason = if is_full {
        Reason::DiskFull
    } else {
        Reason::StorageFailed
    };
    let detail = format!("what was sent cannot be written to the data folder: {error}");
    Problem::new(reason, detail)
}

/// Removes what was being sent when an earlier daemon of this data folder was killed.
pub(crate) fn clear(data_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(data_dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            // What stays costs room and nothing else; the next start tries again.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (given, expected) in [
            (None, "file"),
            (Some(""), "file"),
            (Some(".."), "file"),
            (Some("a/.."), "file"),
            (Some("../../etc/passwd"), "passwd"),
            (Some("C:\\photos\\cat.jpg"), "cat.jpg"),
            (Some("ein Bild.jpg"), "ein Bild.jpg"),
        ] {
            assert_eq!(file_name(given).unwrap(), expected, "{given:?}");
        }
        assert!(file_name(Some(&"x".repeat(256))).is_err());
        assert!(file_name(Some("a\0b")).is_err());
    }

    #[test]
    fn what_a_killed_daemon_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("upload-x")).unwrap();
        std::fs::write(folder.path().join("upload-x").join("part"), "x").unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        clear(folder.path());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(folder.path().join("store").is_dir());
    }
}
