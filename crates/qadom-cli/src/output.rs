//! Where results and messages go: results to the standard output, words for people to the standard
//! error, with `--json` objects only.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::error::{Failure, chain};
use crate::exit::{Exit, Told};
use crate::texts;

/// The two streams, in words or as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    /// Writes words, or JSON objects one a line.
    pub(crate) const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Writes one result: an object with `--json`, else the words.
    pub(crate) fn result(
        self,
        object: &impl Serialize,
        words: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if self.is_json {
            line(&serde_json::to_string(object)?)
        } else {
            line(&words())
        }
    }

    /// Writes an object, and nothing without `--json`.
    pub(crate) fn object(self, object: &impl Serialize) -> anyhow::Result<()> {
        if self.is_json {
            line(&serde_json::to_string(object)?)
        } else {
            Ok(())
        }
    }

    /// Writes a line of words, and nothing with `--json`.
    pub(crate) fn words(self, words: &str) -> anyhow::Result<()> {
        if self.is_json { Ok(()) } else { line(words) }
    }

    /// Tells people something beside the result; with `--json` nobody is told.
    pub(crate) fn note(self, words: &str) {
        if !self.is_json {
            error_line(words);
        }
    }

    /// Whether objects are wanted.
    pub(crate) const fn is_json(self) -> bool {
        self.is_json
    }

    /// Tells what went wrong, and gives the exit code that it has.
    pub(crate) fn failure(self, error: &anyhow::Error) -> Exit {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // The reader of our output has seen enough; there is nobody to tell.
            return Exit::Failed;
        }
        if let Some(Told(exit)) = error.downcast_ref() {
            return *exit;
        }
        let internal;
        let failure = if let Some(failure) = error.downcast_ref() {
            failure
        } else {
            internal = Failure::new(qadom_node::Reason::Internal, chain(error.as_ref()));
            &internal
        };
        if self.is_json {
            error_line(&json!({ "error": failure }).to_string());
        } else {
            error_line(&format!("{} {failure}", painted("error:", Colour::Red)));
            if let Some(written) = failure.written() {
                error_line(&texts::receipt(&written.receipt));
            }
            if let Some(advice) = failure.advice() {
                error_line(&format!("{} {advice}", painted("advice:", Colour::Bold)));
            }
        }
        failure.exit()
    }
}

/// Writes bytes as they are to the standard output.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stream = io::stdout().lock();
    stream.write_all(bytes)?;
    Ok(stream.flush()?)
}

/// Words in bold red, green or yellow; on what is no terminal, and with `NO_COLOR`, in no colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// What is well.
    Green,
    /// What deserves a look.
    Yellow,
    /// What is wrong.
    Red,
    /// What stands above a table.
    Bold,
}

/// Paints words for a terminal; the streams take the paint off elsewhere.
pub(crate) fn painted(words: &str, colour: Colour) -> String {
    let bold = Style::new().bold();
    let style = match colour {
        Colour::Green => bold.fg_color(Some(AnsiColor::Green.into())),
        Colour::Yellow => bold.fg_color(Some(AnsiColor::Yellow.into())),
        Colour::Red => bold.fg_color(Some(AnsiColor::Red.into())),
        Colour::Bold => bold,
    };
    format!("{style}{words}{style:#}")
}

fn line(line: &str) -> anyhow::Result<()> {
    let mut stream = anstream::stdout().lock();
    writeln!(stream, "{line}")?;
    Ok(stream.flush()?)
}

fn error_line(line: &str) {
    // When the standard error is closed there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}
