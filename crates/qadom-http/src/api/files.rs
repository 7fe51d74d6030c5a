//! The JSON of files.

use std::path::PathBuf;

use qadom_node::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Receipt;
use super::text;

/// Everything that a node shares or has begun to fetch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileList {
    /// The files.
    pub items: Vec<FileItem>,
    /// Where the next page begins; none on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A file that is here, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileItem {
    /// The BLAKE3 of its content, 64 hex digits.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its name on this machine.
    pub name: String,
    /// Its media type, guessed by its name.
    pub content_type: String,
    /// `file` or `folder`.
    pub kind: String,
    /// `whole`, `partial`, or `changed` when its source is another one by now.
    pub state: String,
    /// Verified chunks of a partial one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Where it lies, when it is shared from there; none when it lies in the node's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// Asks a node to share a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// The file or folder, on the node's machine; absolute.
    pub path: PathBuf,
    /// Whether it is copied into the node's folder.
    #[serde(default)]
    pub copy: bool,
    /// The name under which others find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where plain HTTP servers have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// How many copies of each chunk are left with other nodes; none when it is only shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
}

/// A file that was added or pushed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileAdded {
    /// The BLAKE3 of its content, 64 hex digits.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Where it is announced: the slot of its providers.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub key: Key,
    /// What became of that announcement.
    pub receipt: Receipt,
    /// Copies of each chunk that were asked for, when it was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// Copies of the chunk that has the fewest, when it was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest_copies: Option<u32>,
    /// Nodes that hold something of it, when it was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<u32>,
}

/// Asks a node to fetch a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchRequest {
    /// Where it is put, on the node's machine: a folder that is there, or a file that is not;
    /// absolute. None for the node's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Of several files under a name, one that this writer (a public key) has named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// Of several files under a name, the one with the most writers.
    #[serde(default)]
    pub first: bool,
    /// The list of the file's chunks, hash and size a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Whether bytes are taken that nothing proves, from a plain URL in the bag of `name:NAME`, when no
    /// node has the file.
    #[serde(default)]
    pub unverified: bool,
    /// The most bytes that are taken from a plain HTTP server as long as nothing proves them. None for
    /// 1 GiB, or what most writers of the name say that the file has, if that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileFetched {
    /// The BLAKE3 of its content, 64 hex digits.
    pub id: String,
    /// Its size in bytes; of a folder the size of its listing.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Whether its bytes are those that were asked for.
    pub verified: bool,
}

/// What is told while a file is added, pushed or fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FileEvent<T> {
    /// How far it is.
    Progress {
        /// How far it is.
        progress: FileProgress,
    },
    /// It is done.
    Done(T),
}

/// How far the work on a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileProgress {
    /// `finding`, `hashing`, `fetching`, `pushing` or `announcing`.
    pub phase: String,
    /// The file, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Bytes that there are to do in this phase, once they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes that are done: hashed, verified and written, or verified by their holders.
    pub done: u64,
    /// Bytes per second, lately.
    pub rate: u64,
    /// Nodes that take part now.
    pub peers: u32,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileStatus {
    /// The BLAKE3 of its content, 64 hex digits.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Chunks that are here.
    pub here: u64,
    /// Whether this node shares the whole file.
    pub whole: bool,
    /// Other nodes that answered and have some of it.
    pub holders: u32,
    /// Copies of the chunk that has the fewest, at other nodes that answered.
    pub smallest_copies: u32,
    /// Live copies of each chunk at other nodes, of the first 65 536.
    pub copies: Vec<u32>,
}

/// Whether a file was taken out of those that are shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileRemoved {
    /// The BLAKE3 of its content, 64 hex digits.
    pub id: String,
    /// Whether it was here.
    pub removed: bool,
}

/// The files that carry a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedFiles {
    /// The files, those with the most writers first.
    pub items: Vec<NamedFile>,
}

/// The files to choose from where several carry a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// The files, those with the most writers first.
    pub files: Vec<NamedFile>,
}

/// One of several files under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedFile {
    /// The BLAKE3 of its content, 64 hex digits.
    pub id: String,
    /// Its size in bytes, as its writers claim.
    pub size: u64,
    /// Its media type, as its writers claim.
    pub content_type: String,
    /// Who gave it the name: public keys, 64 hex digits each.
    pub writers: Vec<String>,
}
