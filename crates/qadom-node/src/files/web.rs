//! What a `file get` does when nodes, and servers beside them, do not bring all of a file: plain HTTP
//! servers alone, which also need not know ranges.
//!
//! What must stay true: what comes from a server is the file or gets no name, unless the user wants
//! unverified bytes; those are shared with nobody. What a stranger's word says of a file's size neither keeps
//! it away nor fills the disk.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qadom_files::{Entry, FileId, Folder, Layout, Placement};
use qadom_routing::Key;
use tempfile::NamedTempFile;

use super::discovery::name_slot;
use super::error::FileError;
use super::get::{FileFetched, Found, new_beside};
use super::task::{FilePhase, FileProgress, Reporter};
use super::urls::{Pace, URLS_MAX, UrlError, Wanted, agent, copy};
use super::{FileName, Files};
use crate::error::Error;

/// The most bytes that are taken from a server before anything proves them, unless the user says
/// otherwise: 1 GiB.
pub const UNPROVEN_MAX: u64 = 1 << 30;

/// Why no server brought anything.
#[derive(Debug, Default)]
struct NoneBrings {
    /// What was wrong with each.
    problem: String,
    /// What is taken unproven at most, if one has more.
    limit: Option<u64>,
}

/// Whether a download ended because no node that can be reached brings the file.
pub(super) const fn is_nowhere(error: &Error) -> bool {
    matches!(
        error,
        Error::File(
            FileError::NotFound { .. }
                | FileError::Incomplete { .. }
                | FileError::Unproven { .. }
                | FileError::NoServer { .. }
                | FileError::Busy { .. }
        )
    )
}

impl Files {
    /// Fetches a file from the servers that its name tells of; `error` when none has it.
    pub(super) async fn fetch_from_urls(
        &self,
        found: &Found,
        target: Option<PathBuf>,
        (reporter, most): (&Arc<Reporter>, Option<u64>),
        error: Error,
    ) -> Result<Entry, Error> {
        let proven = found
            .manifest
            .as_ref()
            .map(|manifest| manifest.layout().size());
        let wanted = Wanted {
            id: Some(found.id),
            size: proven,
            claimed: found.claimed,
            limit: most.unwrap_or(found.claimed.unwrap_or(0).max(UNPROVEN_MAX)),
            manifest: found.manifest.clone(),
        };
        let parent = match &target {
            Some(target) => folder_of(target),
            None => self.service().path.clone(),
        };
        let urls = found.urls.clone();
        let (file, _) = match self.try_each(urls, wanted, parent, reporter).await? {
            Ok(come) => come,
            Err(none) => return Err(no_server(error, none)),
        };
        let added = self
            .service()
            .blocking(move |folder| settle(folder, file, target.as_deref()));
        Ok(added.await??)
    }

    /// Fetches what the bag of a name says is to be had somewhere, whatever that is; `error` when
    /// nothing is.
    pub(super) async fn fetch_unverified(
        &self,
        file: &FileName,
        target: Option<PathBuf>,
        (reporter, most): (&Arc<Reporter>, Option<u64>),
        error: Error,
    ) -> Result<FileFetched, Error> {
        let (FileName::Name(name), Some(target)) = (file, target) else {
            return Err(error);
        };
        let mut urls = Vec::new();
        let keys = [Key::from_name(name.as_bytes()).ok(), name_slot(name).ok()];
        for key in keys.into_iter().flatten() {
            for item in self.bag(key).list().await?.items {
                let url = std::str::from_utf8(&item.value);
                urls.extend(
                    url.ok()
                        .filter(|url| qadom_wire::is_file_url(url))
                        .map(str::to_owned),
                );
            }
        }
        let wanted = Wanted {
            id: None,
            size: None,
            claimed: None,
            limit: most.unwrap_or(UNPROVEN_MAX),
            manifest: None,
        };
        let parent = folder_of(&target);
        let (file, id) = match self.try_each(urls, wanted, parent, reporter).await? {
            Ok(come) => come,
            Err(none) => return Err(no_server(error, none)),
        };
        let path = target.clone();
        let size = self.service().blocking(move |_| {
            let size = file.as_file().metadata().map(|file| file.len());
            let size = size.map_err(|error| FileError::of_io(&path, &error))?;
            let placed = file.persist_noclobber(&path);
            placed.map_err(|error| FileError::of_io(&path, &error.error))?;
            Ok::<_, FileError>(size)
        });
        let size = size.await??;
        let layout = Layout::new(size).map_err(|_| FileError::Internal)?;
        Ok(FileFetched {
            id,
            size,
            chunks: layout.chunks(),
            path: Some(target),
            is_verified: false,
        })
    }

    /// Tries one URL after the other, until one brings what is wanted, into a new file; or says what was
    /// wrong with them.
    async fn try_each(
        &self,
        urls: Vec<String>,
        wanted: Wanted,
        parent: PathBuf,
        reporter: &Arc<Reporter>,
    ) -> Result<Result<(NamedTempFile, FileId), NoneBrings>, Error> {
        if urls.is_empty() {
            return Ok(Err(NoneBrings::default()));
        }
        let is_local = self.node.status().await?.local;
        let reporter = Arc::clone(reporter);
        let service = Arc::clone(self.service());
        let trying = self.service().blocking(move |_| {
            let agent = agent(is_local);
            let (mut problems, mut limit) = (Vec::new(), None);
            for url in urls.iter().take(URLS_MAX) {
                let io = |error: &io::Error| FileError::of_io(&parent, error);
                let mut file = new_beside(&parent).map_err(|error| io(&error))?;
                let (mut pace, mut before) = (Pace::new(service.now()), 0);
                let mut seen = |done: u64| {
                    reporter.send_replace(FileProgress {
                        phase: FilePhase::Fetching,
                        id: wanted.id,
                        size: wanted.size.or(wanted.claimed),
                        done,
                        ..FileProgress::default()
                    });
                    if reporter.is_closed() {
                        return Err(UrlError::Stopped);
                    }
                    // One that knows no ranges begins at the beginning again.
                    let more = done.saturating_sub(before);
                    before = done;
                    pace.count(service.now(), more)
                };
                match copy(&agent, url, &wanted, file.as_file_mut(), &mut seen) {
                    Ok(id) => return Ok(Ok((file, id))),
                    Err(UrlError::Disk(error)) => return Err(io(&error)),
                    Err(UrlError::Stopped) => return Err(FileError::Stopped),
                    Err(error) => {
                        if let UrlError::TooLarge(_) = error {
                            limit = Some(wanted.limit);
                        }
                        problems.push(format!("{url}: {error}"));
                    }
                }
            }
            let problem = problems.join("; ");
            Ok(Err(NoneBrings { problem, limit }))
        });
        Ok(trying.await??)
    }
}

/// What a fetch came to when no server brings the file either; the error itself without any.
fn no_server(error: Error, NoneBrings { problem, limit }: NoneBrings) -> Error {
    if let Some(limit) = limit {
        return FileError::TooLarge { limit, problem }.into();
    }
    match error {
        Error::File(nodes) if !problem.is_empty() => FileError::NoServer {
            reason: nodes.reason(),
            nodes: nodes.to_string(),
            problem,
        }
        .into(),
        error => error,
    }
}

fn folder_of(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// Gives a file that was verified its name, and shares it from there; without a name it is copied in.
fn settle(folder: &Folder, file: NamedTempFile, target: Option<&Path>) -> Result<Entry, FileError> {
    let mut watch = |_| ControlFlow::Continue(());
    let added = match target {
        Some(target) => {
            let placed = file.persist_noclobber(target);
            placed.map_err(|error| FileError::of_io(target, &error.error))?;
            folder.add(target, Placement::InPlace, &mut watch)
        }
        None => folder.add(file.path(), Placement::Copy, &mut watch),
    };
    let path = target.unwrap_or(Path::new("the file"));
    Ok(added
        .map_err(|error| FileError::of_add(path, &error))?
        .entry)
}
