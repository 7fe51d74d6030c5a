//! Files whose content is sent to the node, by whoever has no path on the node's machine, such as
//! a page.
//!
//! What must stay true: what is sent lies in a folder of its own until it is taken in, and leaves
//! nothing behind whatever happens; a sender that stops does not hold its place.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt;
use qadom_node::{AddOptions, Reason};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::Answer;
use super::files::follow;
use crate::api;
use crate::problem::Problem;
use crate::router::App;

/// Files that are sent at once.
pub(crate) const UPLOADS_MAX: usize = 8;
/// What a sender has to bring at the least, in bytes, and within which time, over and over: who
/// trickles would hold a place for ever.
const BROUGHT_MIN: usize = 64 * 1024;
const WITHIN: Duration = Duration::from_mins(1);
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
    receive(body, &path).await.inspect_err(|problem| {
        if problem.reason() == Reason::Timeout.as_str() {
            app.count_slow();
        }
    })?;
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
    let (mut time, mut brought) = (pin!(sleep(WITHIN)), 0);
    loop {
        // What has come is taken first, so that a slow disk is not the sender's fault.
        let next = tokio::select! {
            biased;
            frame = body.frame() => Some(frame),
            () = &mut time => None,
        };
        let Some(frame) = next else {
            let seconds = WITHIN.as_secs();
            let detail = format!("less than {BROUGHT_MIN} bytes came within {seconds} s");
            let problem = Problem::new(Reason::Timeout, detail);
            return Err(problem.with_status(StatusCode::REQUEST_TIMEOUT));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            let detail = format!("the body broke off: {error}");
            Problem::new(Reason::Malformed, detail)
        })?;
        if let Ok(data) = frame.into_data() {
            brought += data.len();
            file.write_all(&data).await.map_err(failed)?;
        }
        if brought >= BROUGHT_MIN {
            time.set(sleep(WITHIN));
            brought = 0;
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
    use axum::body::Bytes;
    use http_body_util::channel::Channel;

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

    /// What becomes of a file of which so many pieces of a length come, with a pause before each.
    async fn sent(pieces: usize, length: usize, pause: Duration) -> Answer<()> {
        let folder = tempfile::tempdir().unwrap();
        let (mut sender, body) = Channel::<Bytes>::new(1);
        tokio::spawn(async move {
            for _ in 0..pieces {
                sleep(pause).await;
                if sender.send_data(vec![7; length].into()).await.is_err() {
                    return;
                }
            }
        });
        receive(Body::new(body), &folder.path().join("file")).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_who_stops_or_trickles_is_sent_away_and_a_slow_one_is_not() {
        sent(5, BROUGHT_MIN, WITHIN * 9 / 10).await.unwrap();
        for (length, pause) in [(BROUGHT_MIN, 2 * WITHIN), (1, WITHIN / 100)] {
            let problem = sent(1000, length, pause).await.unwrap_err();
            assert_eq!((problem.reason(), problem.status), ("timeout", 408));
        }
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
