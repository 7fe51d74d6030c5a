//! What the folder remembers of a whole file: where it lies, and how it looked when it was hashed.
//!
//! What must stay true: an entry that was written reads back equal; one of a later version is refused
//! and left alone.
//!
//! Format 1, text: `qadom file 1`, then a line `name value` for each of `id`, `size`, `kind` (`file`,
//! `folder`), `place` (`copied`, or the path in hexadecimal), `modified` (seconds.nanoseconds),
//! `name` (hexadecimal), `type`, `part-of` (the id of a folder, or `-`), in this order; last `check`,
//! BLAKE3 of all lines before.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use data_encoding::HEXLOWER;

use crate::{FileId, Layout};

/// The first line; the digit is the version.
const MAGIC: &str = "qadom file 1";

/// How the first line of every version begins.
const KIND: &str = "qadom file ";

/// The largest entry: a path and a name in hexadecimal, and room for the rest.
pub(super) const ENTRY_MAX: usize = 32 * 1024;

/// Where the bytes of a whole file lie.
///
/// # Examples
///
/// ```
/// use qadom_files::{Folder, FolderConfig, Place};
///
/// # let temporary = tempfile::tempdir()?;
/// let folder = Folder::open(&temporary.path().join("files"), FolderConfig::default())?;
/// let entry = folder.add_bytes("greeting.txt", b"hello")?;
/// assert_eq!(entry.place, Place::Copied);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where its owner has it. It is served as long as it is what was hashed.
    InPlace(PathBuf),
    /// In the folder.
    Copied,
}

/// What a file is for people.
///
/// # Examples
///
/// ```
/// use qadom_files::{Folder, FolderConfig, Kind};
///
/// # let temporary = tempfile::tempdir()?;
/// let folder = Folder::open(&temporary.path().join("files"), FolderConfig::default())?;
/// let entry = folder.add_bytes("greeting.txt", b"hello")?;
/// assert_eq!(entry.kind, Kind::File);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// The listing of a folder.
    Folder,
}

/// How much of a file is here, and whether it can be served.
///
/// # Examples
///
/// ```
/// use qadom_files::{Folder, FolderConfig, State};
///
/// # let temporary = tempfile::tempdir()?;
/// let folder = Folder::open(&temporary.path().join("files"), FolderConfig::default())?;
/// let entry = folder.add_bytes("greeting.txt", b"hello")?;
/// assert_eq!(entry.state, State::Whole);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Whole,
    /// Of its chunks so many are verified.
    Partial {
        /// The number of verified chunks.
        chunks: u64,
    },
    /// The file in place is no longer what was hashed, or is gone. It is not served; add it again.
    Changed,
}

/// One file of the folder.
///
/// # Examples
///
/// ```
/// use qadom_files::{Entry, Folder, FolderConfig};
///
/// # let temporary = tempfile::tempdir()?;
/// let folder = Folder::open(&temporary.path().join("files"), FolderConfig::default())?;
/// let entry = folder.add_bytes("greeting.txt", b"hello")?;
/// let Entry { size, name, content_type, .. } = entry;
/// assert_eq!((size, &name[..], &content_type[..]), (5, "greeting.txt", "text/plain"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The BLAKE3 hash of its content.
    pub id: FileId,
    /// Its size in bytes; a claim of others while it is partial.
    pub size: u64,
    /// Whether it is a file or the listing of a folder.
    pub kind: Kind,
    /// What it was called when it was added; empty while it is partial.
    pub name: String,
    /// Its media type, guessed from its name.
    pub content_type: String,
    /// Where its bytes lie.
    pub place: Place,
    /// The folder with which it was added.
    pub part_of: Option<FileId>,
    /// How much of it is here.
    pub state: State,
}

/// How a file looked when it was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }

    /// The size of the file.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }
}

/// An entry as it is kept: with the stamp, which nobody above needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    pub(super) stamp: Stamp,
}

/// What a text turned out to be.
pub(super) enum Parsed {
    Kept(Box<Kept>),
    Damaged,
    TooNew,
}

impl Kept {
    /// The text that is kept.
    pub(super) fn to_text(&self) -> String {
        let Self { entry, stamp } = self;
        let kind = match entry.kind {
            Kind::File => "file",
            Kind::Folder => "folder",
        };
        let place = match &entry.place {
            Place::Copied => "copied".to_owned(),
            Place::InPlace(path) => HEXLOWER.encode(path.as_os_str().as_bytes()),
        };
        let part_of = entry.part_of.map_or("-".to_owned(), |id| id.to_string());
        let text = format!(
            "{MAGIC}\nid {}\nsize {}\nkind {kind}\nplace {place}\nmodified {}.{}\nname {}\ntype {}\n\
             part-of {part_of}\n",
            entry.id,
            entry.size,
            stamp.seconds,
            stamp.nanoseconds,
            HEXLOWER.encode(entry.name.as_bytes()),
            entry.content_type,
        );
        let check = blake3::hash(text.as_bytes());
        format!("{text}check {}\n", HEXLOWER.encode(check.as_bytes()))
    }

    /// Reads a text.
    pub(super) fn parse(text: &[u8]) -> Parsed {
        let Ok(text) = str::from_utf8(text) else {
            return Parsed::Damaged;
        };
        if text.starts_with(KIND) && text.lines().next() != Some(MAGIC) {
            return Parsed::TooNew;
        }
        Self::fields(text).map_or(Parsed::Damaged, |kept| Parsed::Kept(Box::new(kept)))
    }

    fn fields(text: &str) -> Option<Self> {
        let body = text.find("check ").map(|at| text.split_at(at));
        let check = blake3::hash(body?.0.as_bytes());
        let mut lines = text.lines().skip(1);
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let id: FileId = field("id")?.parse().ok()?;
        let size = field("size")?.parse().ok()?;
        Layout::new(size).ok()?;
        let kind = match field("kind")? {
            "file" => Kind::File,
            "folder" => Kind::Folder,
            _ => return None,
        };
        let place = match field("place")? {
            "copied" => Place::Copied,
            path => {
                let path = HEXLOWER.decode(path.as_bytes()).ok()?;
                Place::InPlace(PathBuf::from(OsStr::from_bytes(&path)))
            }
        };
        let (seconds, nanoseconds) = field("modified")?.split_once('.')?;
        let name = HEXLOWER.decode(field("name")?.as_bytes()).ok()?;
        let content_type = field("type")?.to_owned();
        let part_of = match field("part-of")? {
            "-" => None,
            id => Some(id.parse().ok()?),
        };
        let is_whole = field("check")? == HEXLOWER.encode(check.as_bytes());
        is_whole.then_some(Self {
            entry: Entry {
                id,
                size,
                kind,
                name: String::from_utf8(name).ok()?,
                content_type,
                place,
                part_of,
                state: State::Whole,
            },
            stamp: Stamp {
                size,
                seconds: seconds.parse().ok()?,
                nanoseconds: nanoseconds.parse().ok()?,
            },
        })
    }
}
