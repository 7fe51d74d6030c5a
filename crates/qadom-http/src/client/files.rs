//! Asking a daemon for files.

use bytes::Bytes;
use hyper::{Method, StatusCode};

use super::records::WriteQuery;
use super::{Client, ClientError, FileEvents, escaped, json, problem, request};
use crate::api;

impl Client {
    /// Lists everything that the daemon shares or has begun to fetch.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn files(&self) -> Result<api::FileList, ClientError> {
        self.call(Method::GET, "/v1/files", Bytes::new()).await
    }

    /// Shares a file, and leaves copies with others if that is asked for; dropping the events gives
    /// it up.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn file_add(
        &self,
        add: &api::AddRequest,
        write: &WriteQuery,
    ) -> Result<FileEvents<api::FileAdded>, ClientError> {
        let route = write.route("/v1/files");
        self.events(Method::POST, &route, json(add)?).await
    }

    /// Fetches a file by its id or its name; dropping the events gives it up, and what was verified
    /// stays.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn file_fetch(
        &self,
        file: &str,
        fetch: &api::FetchRequest,
    ) -> Result<FileEvents<api::FileFetched>, ClientError> {
        let route = format!("/v1/files/{}/fetch", escaped(file));
        self.events(Method::POST, &route, json(fetch)?).await
    }

    /// Tells what is known of a file.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when nobody has it.
    pub async fn file_status(&self, id: &str) -> Result<api::FileStatus, ClientError> {
        let route = format!("/v1/files/{}", escaped(id));
        self.call(Method::GET, &route, Bytes::new()).await
    }

    /// The list of a file's chunks: hash and size, a line for each.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when the file is not here as a whole.
    pub async fn file_manifest(&self, id: &str) -> Result<Bytes, ClientError> {
        let route = format!("/v1/files/{}/manifest", escaped(id));
        let request = request(Method::GET, &route, "text/plain", Bytes::new())?;
        let answer = tokio::time::timeout(self.patience, self.exchange(request)).await;
        let (status, body): (StatusCode, Bytes) = answer.map_err(|_| self.silent())??;
        if status.is_success() {
            Ok(body)
        } else {
            Err(problem(&body))
        }
    }

    /// No longer shares a file.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when it was not here.
    pub async fn file_remove(&self, id: &str) -> Result<api::FileRemoved, ClientError> {
        let route = format!("/v1/files/{}", escaped(id));
        self.call(Method::DELETE, &route, Bytes::new()).await
    }
}
