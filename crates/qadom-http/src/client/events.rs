//! Reading a stream of server-sent events (the WHATWG form: lines of `data:`, an empty line after
//! each event, comments that begin with a colon).
//!
//! What must stay true: a line has a limit, so that no daemon makes its client grow without end.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::{ClientError, unreadable};
use crate::api;
use crate::problem::Problem;

/// The longest line that is read, in bytes: a record as Base64 and what is said about it.
const LINE_MAX: usize = 64 << 10;

/// A stream of events, until it is dropped or the daemon ends it.
#[derive(Debug)]
pub struct Events<T = api::Event> {
    body: Incoming,
    buffer: BytesMut,
    connection: JoinHandle<()>,
    event: PhantomData<fn() -> T>,
}

/// How far the work on a file is, then what came of it.
pub type FileEvents<T> = Events<api::FileEvent<T>>;

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl<T: DeserializeOwned> Events<T> {
    pub(super) fn new(body: Incoming, connection: JoinHandle<()>) -> Self {
        let buffer = BytesMut::new();
        Self {
            body,
            buffer,
            connection,
            event: PhantomData,
        }
    }

    /// Waits for the next event; none when the daemon ended the stream.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when the connection broke, or the daemon says why it ends.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        let mut is_problem = false;
        loop {
            let Some(line) = self.line().await? else {
                return Ok(None);
            };
            if let Some(name) = line.strip_prefix(b"event:") {
                is_problem = name.trim_ascii() == b"problem";
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if is_problem {
                    let problem: Problem = parsed(data)?;
                    return Err(ClientError::Problem(Box::new(problem)));
                }
                return parsed(data).map(Some);
            }
        }
    }

    /// The next line without its end; none at the end of the stream.
    async fn line(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1).freeze();
                return Ok(Some(line.slice(..end)));
            }
            if self.buffer.len() > LINE_MAX {
                return Err(unreadable(&"an event has more than 64 KiB"));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

fn parsed<T: DeserializeOwned>(data: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(data).map_err(|error| unreadable(&error))
}
