//! How what a node knows of files becomes its JSON.

use qadom_node::{FileItem as Item, FileKind, FilePlace, FileState};

use super::super::{
    FileAdded, FileFetched, FileItem, FileProgress, FileStatus, NamedFile, NamedFiles, Receipt,
};

impl From<&Item> for FileItem {
    fn from(item: &Item) -> Self {
        let kind = match item.kind {
            FileKind::Folder => "folder",
            FileKind::File => "file",
        };
        let state = match item.state {
            FileState::Whole => "whole",
            FileState::Changed => "changed",
            FileState::Partial { .. } => "partial",
        };
        let held = match item.state {
            FileState::Partial { chunks } => Some(chunks),
            _ => None,
        };
        Self {
            id: item.id.to_string(),
            size: item.size,
            name: item.name.clone(),
            content_type: item.content_type.clone(),
            kind: kind.to_owned(),
            state: state.to_owned(),
            held,
            path: match &item.place {
                FilePlace::InPlace(path) => Some(path.clone()),
                FilePlace::Copied => None,
            },
        }
    }
}

impl From<&qadom_node::FileAdded> for FileAdded {
    fn from(added: &qadom_node::FileAdded) -> Self {
        Self {
            id: added.id.to_string(),
            size: added.size,
            chunks: added.chunks,
            key: added.receipt.key,
            receipt: Receipt::from(&added.receipt),
            copies: None,
            smallest_copies: None,
            holders: None,
        }
    }
}

impl From<&qadom_node::FilePushed> for FileAdded {
    fn from(pushed: &qadom_node::FilePushed) -> Self {
        Self {
            id: pushed.id.to_string(),
            size: pushed.size,
            chunks: pushed.chunks,
            key: pushed.receipt.key,
            receipt: Receipt::from(&pushed.receipt),
            copies: Some(pushed.copies),
            smallest_copies: Some(pushed.smallest_copies),
            holders: Some(pushed.holders),
        }
    }
}

impl From<&qadom_node::FileFetched> for FileFetched {
    fn from(fetched: &qadom_node::FileFetched) -> Self {
        Self {
            id: fetched.id.to_string(),
            size: fetched.size,
            chunks: fetched.chunks,
            path: fetched.path.clone(),
            verified: fetched.is_verified,
        }
    }
}

impl From<&qadom_node::FileProgress> for FileProgress {
    fn from(progress: &qadom_node::FileProgress) -> Self {
        Self {
            phase: progress.phase.as_str().to_owned(),
            id: progress.id.map(|id| id.to_string()),
            size: progress.size,
            done: progress.done,
            rate: progress.rate,
            peers: progress.peers,
        }
    }
}

impl From<qadom_node::FileStatus> for FileStatus {
    fn from(status: qadom_node::FileStatus) -> Self {
        Self {
            id: status.id.to_string(),
            size: status.size,
            chunks: status.chunks,
            here: status.here,
            whole: status.is_whole,
            holders: status.holders,
            smallest_copies: status.smallest_copies,
            copies: status.copies,
        }
    }
}

impl From<&[qadom_node::NamedFile]> for NamedFiles {
    fn from(files: &[qadom_node::NamedFile]) -> Self {
        let items = files.iter().map(|file| NamedFile {
            id: file.id.to_string(),
            size: file.size,
            content_type: file.content_type.clone(),
            writers: file.writers.iter().map(ToString::to_string).collect(),
        });
        Self {
            items: items.collect(),
        }
    }
}
