//! The exit codes that scripts rely on.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was asked for wrongly; nothing was begun.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// No daemon answers.
    NoDaemon = 4,
    /// Fewer copies than wanted were stored; those that were remain.
    TooFewCopies = 5,
}

impl Exit {
    /// The exit code that an error with this reason has.
    pub(crate) fn of_reason(reason: &str) -> Self {
        match reason {
            "usage" | "malformed" | "too-large" | "lifetime-too-long" => Self::Usage,
            "not-found" => Self::NotFound,
            "no-daemon" => Self::NoDaemon,
            "too-few-copies" => Self::TooFewCopies,
            _ => Self::Failed,
        }
    }
}

impl Exit {
    /// The exit code that another process of the program ended with.
    pub(crate) const fn of_code(code: i32) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::NotFound,
            4 => Self::NoDaemon,
            5 => Self::TooFewCopies,
            _ => Self::Failed,
        }
    }
}

/// A failure that another process of the program has told already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it was told already")]
pub(crate) struct Told(pub(crate) Exit);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_that_scripts_tell_apart_has_its_code() {
        for (reason, code) in [
            ("usage", 2),
            ("malformed", 2),
            ("too-large", 2),
            ("not-found", 3),
            ("no-daemon", 4),
            ("too-few-copies", 5),
            ("port-in-use", 1),
            ("a reason of the future", 1),
        ] {
            assert_eq!(Exit::of_reason(reason) as u8, code, "{reason}");
        }
    }
}
