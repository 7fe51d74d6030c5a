//! What the errors of `qadom-files` mean for whoever asked.
//!
//! What must stay true: a full disk, a source that changed and a target that exists are told apart,
//! since each has another remedy.

use std::path::Path;

use qadom_files::{
    AddError, DiskError, DownloadError, FinishError, ReadError, RestoreError, WriteError,
};

use super::error::FileError;

impl FileError {
    /// The disk, for whatever it was.
    pub(super) fn of_disk(error: &DiskError) -> Self {
        match error {
            DiskError::Full { path, .. } => Self::DiskFull { path: path.clone() },
            DiskError::Failed { path, source } => Self::of_io(path, source),
            _ => Self::Internal,
        }
    }

    fn failed(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self::Disk {
            path: path.to_owned(),
            problem: error.to_string(),
        }
    }

    pub(super) fn of_add(path: &Path, error: &AddError) -> Self {
        match error {
            AddError::Changed { path } => Self::Changed { path: path.clone() },
            AddError::Disk(error) => Self::of_disk(error),
            AddError::Stopped => Self::Stopped,
            error => Self::Unusable {
                path: path.to_owned(),
                problem: error.to_string(),
            },
        }
    }

    pub(super) fn of_read(path: &Path, error: &ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound {
                what: "all of this file here".to_owned(),
            },
            ReadError::Changed => Self::Changed {
                path: path.to_owned(),
            },
            ReadError::Disk(error) => Self::of_disk(error),
            error => Self::failed(path, error),
        }
    }

    pub(super) fn of_download(path: &Path, error: &DownloadError) -> Self {
        match error {
            DownloadError::Disk(error) => Self::of_disk(error),
            DownloadError::TooLarge(error) => Self::Malformed {
                problem: error.to_string(),
            },
            error => Self::failed(path, error),
        }
    }

    pub(super) fn of_write(path: &Path, error: &WriteError) -> Self {
        match error {
            WriteError::Disk(error) => Self::of_disk(error),
            error => Self::failed(path, error),
        }
    }

    pub(super) fn of_finish(path: &Path, error: &FinishError) -> Self {
        match error {
            FinishError::TargetExists { path } => Self::TargetExists { path: path.clone() },
            FinishError::Disk(error) => Self::of_disk(error),
            error => Self::failed(path, error),
        }
    }

    pub(super) fn of_restore(error: RestoreError) -> Self {
        match error {
            RestoreError::NotAFolder { path } => Self::TargetExists { path },
            RestoreError::Failed { path, source } => Self::of_io(&path, &source),
            error => Self::Malformed {
                problem: error.to_string(),
            },
        }
    }
}
