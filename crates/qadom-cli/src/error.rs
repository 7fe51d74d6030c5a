//! What the user is told when something fails: a reason, one clear line, an advice.

use std::fmt;

use qadom_http::api::{Held, NamedFile, Written};
use qadom_http::{ClientError, LifetimeError, Problem, SocketError, TcpError};
use qadom_node::{BackupError, Error, MoveError, Reason, StartError};
use serde::Serialize;

use crate::exit::Exit;

/// A failure as the user sees it, in words or as JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// One of the reasons of the project's list.
    #[serde(rename = "type")]
    reason: String,
    /// What is wrong, in one line.
    message: String,
    /// What the user can do about it.
    advice: Option<String>,
    /// What was written all the same.
    #[serde(flatten)]
    written: Option<Box<Written>>,
    /// What is there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Box<Held>>,
    /// The files to choose from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<NamedFile>,
}

impl Failure {
    /// Describes what is wrong under a reason.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason: reason.as_str().to_owned(),
            message: message.into(),
            advice: None,
            written: None,
            held: None,
            files: Vec::new(),
        }
    }

    /// Adds what the user can do about it.
    pub(crate) fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds what the user can do about it, if anything.
    fn with_advice_if(mut self, advice: Option<String>) -> Self {
        self.advice = advice;
        self
    }

    /// The exit code of the program.
    pub(crate) fn exit(&self) -> Exit {
        Exit::of_reason(&self.reason)
    }

    /// Whether it failed for this reason.
    pub(crate) fn is(&self, reason: Reason) -> bool {
        self.reason == reason.as_str()
    }

    /// What the user can do about it.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The files to choose from.
    pub(crate) fn files(&self) -> &[NamedFile] {
        &self.files
    }

    /// What was written all the same.
    pub(crate) fn written(&self) -> Option<&Written> {
        self.written.as_deref()
    }

    /// Takes what is wrong with the arguments out of the parser's many lines.
    pub(crate) fn from_clap(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let lines = paragraph.lines().map(str::trim).collect::<Vec<_>>();
        let message = lines.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let tip = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("tip: "));
        let usage = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Usage: "));
        let advice = match (tip, usage) {
            (Some(tip), _) => tip.to_owned(),
            (None, Some(usage)) => format!("type {usage}"),
            (None, None) => {
                "`qadom help` shows every verb, with the name of a verb its flags".into()
            }
        };
        let lifetime = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref())
            .map(LifetimeError::reason);
        Self::new(lifetime.unwrap_or(Reason::Usage), message).with_advice(advice)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let reason = error.reason().to_owned();
        let message = error.to_string();
        let advice = match error {
            ClientError::Problem(problem) => return Self::from(*problem),
            ClientError::NoDaemon { .. } => {
                Some("start one with `qadom node`, or name its --data-dir or --socket")
            }
            ClientError::Path(error) => Some(error.advice()),
            ClientError::Refused { .. } => {
                Some("the socket belongs to the user who started the daemon")
            }
            ClientError::Silent { .. } => {
                Some("ask again; when that does not help, end the daemon and start it again")
            }
            ClientError::Broken { .. } => {
                Some("look whether the daemon runs, and ask again; a write may be sent twice")
            }
            _ => None,
        };
        Self {
            reason,
            message,
            advice: advice.map(str::to_owned),
            written: None,
            held: None,
            files: Vec::new(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self {
            reason: problem.reason().to_owned(),
            message: problem.detail,
            advice: problem.advice,
            written: problem.written,
            held: problem.held,
            files: problem.choice.map_or_else(Vec::new, |choice| choice.files),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.reason(), error.to_string()).with_advice_if(error.advice())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(error.reason(), chain(&error)).with_advice(error.advice())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::new(error.reason(), error.to_string()).with_advice(error.advice())
    }
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Self {
        Self::new(error.reason(), chain(&error)).with_advice(error.advice())
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        let reason = match &error {
            SocketError::PathTooLong { .. } => Reason::Usage,
            SocketError::InUse { .. } => Reason::FolderInUse,
            _ => Reason::FolderUnusable,
        };
        Self::new(reason, error.to_string()).with_advice(error.advice())
    }
}

impl From<TcpError> for Failure {
    fn from(error: TcpError) -> Self {
        let reason = match &error {
            TcpError::InUse { .. } => Reason::PortInUse,
            _ => Reason::Usage,
        };
        Self::new(reason, error.to_string()).with_advice(error.advice())
    }
}

/// An error and what caused it, in one line; a cause that the line tells already is left out.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
