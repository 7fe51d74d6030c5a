//! The listing of a folder: the names, sizes, modes and ids of what is in it, as one file whose id
//! is the folder's.
//!
//! What must stay true: the same tree gives the same bytes, and two listings that differ in a byte
//! have two ids, because every value has one form and entries ascend. No path that was read leaves
//! the folder, whatever a stranger wrote.
//!
//! Format 1: `qadom folder 1\n`, then every entry: kind u8 (1 file, 2 folder), mode u16 (permission
//! bits), size u64, id 32, length of the path u16, path. Integers are little-endian. A folder has
//! size and id zero. Paths ascend as unsigned bytes; the folder of every entry is listed before it.

mod restore;

pub use restore::{Restore, RestoreError};

use std::collections::BTreeSet;
use std::fmt;

use crate::{FileId, Layout};

/// Opens every listing of this version.
const MAGIC: &[u8] = b"qadom folder 1\n";

/// How the listings of all versions begin.
const KIND: &[u8] = b"qadom folder ";

/// The media type of a listing.
pub const LISTING_CONTENT_TYPE: &str = "application/vnd.qadom.folder";

/// The most bytes of a listing: it is read into memory.
pub const LISTING_BYTES_MAX: usize = 64 << 20;

/// The most entries of a listing.
pub const LISTING_ENTRIES_MAX: usize = 262_144;

/// The longest path in bytes.
pub const LISTING_PATH_MAX: usize = 4096;

/// The longest name in a path in bytes, which is what file systems take.
pub const LISTING_NAME_MAX: usize = 255;

/// The deepest folder.
pub const LISTING_DEPTH_MAX: usize = 64;

/// The permission bits that are kept.
const MODE_MASK: u16 = 0o777;

/// Why a path has no place in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It is empty, begins or ends with `/`, or has `//`.
    #[error("a path in a folder has no empty name")]
    EmptyName,
    /// It has `.` or `..` as a name.
    #[error("a path in a folder has no . and no ..")]
    Dots,
    /// It has a zero byte.
    #[error("a path has no zero byte")]
    Nul,
    /// It is longer than [`LISTING_PATH_MAX`], or a name in it than [`LISTING_NAME_MAX`].
    #[error("a path has at most {LISTING_PATH_MAX} bytes, a name in it {LISTING_NAME_MAX}")]
    TooLong,
    /// It lies deeper than [`LISTING_DEPTH_MAX`].
    #[error("a folder is at most {LISTING_DEPTH_MAX} deep")]
    TooDeep,
}

/// A path below a folder, of names that stay in it, as bytes: names are what their owner made them.
///
/// ```
/// use qadom_files::{ListingPath, PathError};
///
/// assert!(ListingPath::new(b"photos/2026/one.jpg").is_ok());
/// assert_eq!(ListingPath::new(b"../etc/passwd"), Err(PathError::Dots));
/// assert_eq!(ListingPath::new(b"/etc/passwd"), Err(PathError::EmptyName));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListingPath(Vec<u8>);

impl ListingPath {
    /// Takes a path of names with `/` between.
    ///
    /// # Errors
    ///
    /// [`PathError`] says what is wrong with it.
    pub fn new(path: &[u8]) -> Result<Self, PathError> {
        if path.len() > LISTING_PATH_MAX {
            return Err(PathError::TooLong);
        }
        let mut depth = 0;
        for name in path.split(|byte| *byte == b'/') {
            match name {
                b"" => return Err(PathError::EmptyName),
                b"." | b".." => return Err(PathError::Dots),
                _ if name.contains(&0) => return Err(PathError::Nul),
                _ if name.len() > LISTING_NAME_MAX => return Err(PathError::TooLong),
                _ => depth += 1,
            }
        }
        if depth > LISTING_DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        Ok(Self(path.to_owned()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names from the outermost folder in.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The path of the folder in which it lies; `None` at the top.
    fn parent(&self) -> Option<&[u8]> {
        let at = self.0.iter().rposition(|byte| *byte == b'/')?;
        self.0.get(..at)
    }
}

impl fmt::Display for ListingPath {
    /// As people read it: bytes that are no text and those that steer a terminal are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ListingPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListingPath({self})")
    }
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A file with that content.
    File {
        /// Its id.
        id: FileId,
        /// Its size in bytes.
        size: u64,
    },
    /// A folder.
    Folder,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingEntry {
    /// Where it lies.
    pub path: ListingPath,
    /// Its permission bits, as `chmod` takes them.
    pub mode: u16,
    /// What it is.
    pub listed: Listed,
}

/// Why bytes or entries are no listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// The bytes do not begin as a listing does.
    #[error("this file is not the listing of a folder")]
    NotAListing,
    /// A later version of qadom wrote it.
    #[error("this listing is of a later version of qadom than this one")]
    TooNew,
    /// Above [`LISTING_BYTES_MAX`] bytes or [`LISTING_ENTRIES_MAX`] entries.
    #[error("a listing has at most {LISTING_ENTRIES_MAX} entries in {LISTING_BYTES_MAX} bytes")]
    TooLong,
    /// It ends within an entry, or a value has not its one form.
    #[error("entry {entry} of the listing is damaged")]
    Malformed {
        /// The entry, counted from zero.
        entry: usize,
    },
    /// A path that has no place in a listing.
    #[error("entry {entry} of the listing has a path that cannot be")]
    Path {
        /// The entry, counted from zero.
        entry: usize,
        /// What is wrong with it.
        source: PathError,
    },
    /// A path stands twice, or in front of a smaller one.
    #[error("{path} stands twice or in the wrong order")]
    Order {
        /// The path.
        path: ListingPath,
    },
    /// A path lies in what is not a folder of the listing.
    #[error("{path} lies in no folder of the listing")]
    Orphan {
        /// The path.
        path: ListingPath,
    },
}

/// What is in a folder.
///
/// ```
/// use qadom_files::{FileId, Listed, Listing, ListingEntry, ListingPath};
///
/// let hello = Listed::File {
///     id: FileId::of(b"hello"),
///     size: 5,
/// };
/// let path = ListingPath::new(b"greeting.txt")?;
/// let listing = Listing::new(vec![ListingEntry { path, mode: 0o644, listed: hello }])?;
/// let bytes = listing.to_bytes();
/// assert_eq!(Listing::read(&bytes)?, listing);
/// // The id of the folder is that of its listing.
/// let id = FileId::of(&bytes);
/// # assert_eq!(id, FileId::of(&listing.to_bytes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    entries: Vec<ListingEntry>,
}

impl Listing {
    /// Lists these entries, in any order.
    ///
    /// # Errors
    ///
    /// [`ListingError`] for a path that stands twice, lies in no listed folder, or is one too many.
    pub fn new(mut entries: Vec<ListingEntry>) -> Result<Self, ListingError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        for entry in &mut entries {
            entry.mode &= MODE_MASK;
        }
        let listing = Self { entries };
        listing.check()?;
        if listing.to_bytes().len() > LISTING_BYTES_MAX {
            return Err(ListingError::TooLong);
        }
        Ok(listing)
    }

    /// Whether bytes begin as a listing of any version.
    pub fn is_listing(bytes: &[u8]) -> bool {
        bytes.starts_with(KIND)
    }

    /// Reads a listing.
    ///
    /// # Errors
    ///
    /// [`ListingError`] names the first entry that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, ListingError> {
        if bytes.len() > LISTING_BYTES_MAX {
            return Err(ListingError::TooLong);
        }
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            return Err(if Self::is_listing(bytes) {
                ListingError::TooNew
            } else {
                ListingError::NotAListing
            });
        };
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let entry = entries.len();
            if entry == LISTING_ENTRIES_MAX {
                return Err(ListingError::TooLong);
            }
            let raw = RawEntry::split(rest).ok_or(ListingError::Malformed { entry })?;
            rest = raw.rest;
            let path = ListingPath::new(raw.path);
            let path = path.map_err(|source| ListingError::Path { entry, source })?;
            let listed = raw.listed().ok_or(ListingError::Malformed { entry })?;
            entries.push(ListingEntry {
                path,
                mode: raw.mode,
                listed,
            });
        }
        let listing = Self { entries };
        listing.check()?;
        Ok(listing)
    }

    /// The entries, ascending by path.
    pub fn entries(&self) -> &[ListingEntry] {
        &self.entries
    }

    /// The bytes of all files together.
    pub fn size(&self) -> u64 {
        let sizes = self.entries.iter().map(|entry| match entry.listed {
            Listed::File { size, .. } => size,
            Listed::Folder => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// The bytes whose id names the folder.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for entry in &self.entries {
            let (kind, size, id) = match entry.listed {
                Listed::File { id, size } => (1, size, *id.as_bytes()),
                Listed::Folder => (2, 0, [0; 32]),
            };
            let path = entry.path.as_bytes();
            bytes.push(kind);
            bytes.extend_from_slice(&entry.mode.to_le_bytes());
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&id);
            // A path has at most 4096 bytes.
            let length = u16::try_from(path.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(path);
        }
        bytes
    }

    /// Two paths that are one on a file system which takes upper and lower case for the same; only one
    /// of them could be restored there.
    pub fn case_conflict(&self) -> Option<(&ListingPath, &ListingPath)> {
        let mut seen = std::collections::BTreeMap::new();
        self.entries.iter().find_map(|entry| {
            let text = String::from_utf8_lossy(entry.path.as_bytes()).to_lowercase();
            let other = seen.insert(text, &entry.path)?;
            Some((other, &entry.path))
        })
    }

    /// Order and folders; paths are right by their type.
    fn check(&self) -> Result<(), ListingError> {
        if self.entries.len() > LISTING_ENTRIES_MAX {
            return Err(ListingError::TooLong);
        }
        let mut folders = BTreeSet::new();
        let mut last: Option<&ListingPath> = None;
        for entry in &self.entries {
            let path = &entry.path;
            if last.is_some_and(|last| last >= path) {
                return Err(ListingError::Order { path: path.clone() });
            }
            if path
                .parent()
                .is_some_and(|parent| !folders.contains(parent))
            {
                return Err(ListingError::Orphan { path: path.clone() });
            }
            if entry.listed == Listed::Folder {
                folders.insert(path.as_bytes());
            }
            last = Some(path);
        }
        Ok(())
    }
}

/// The fields of an entry before they are checked.
struct RawEntry<'a> {
    kind: u8,
    mode: u16,
    size: u64,
    id: [u8; 32],
    path: &'a [u8],
    rest: &'a [u8],
}

impl<'a> RawEntry<'a> {
    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (&[kind], bytes) = bytes.split_first_chunk::<1>()?;
        let (mode, bytes) = bytes.split_first_chunk::<2>()?;
        let (size, bytes) = bytes.split_first_chunk::<8>()?;
        let (id, bytes) = bytes.split_first_chunk::<32>()?;
        let (length, bytes) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (path, rest) = bytes.split_at_checked(length)?;
        Some(Self {
            kind,
            mode: u16::from_le_bytes(*mode),
            size: u64::from_le_bytes(*size),
            id: *id,
            path,
            rest,
        })
    }

    /// What it lists, when every value has its one form.
    fn listed(&self) -> Option<Listed> {
        if self.mode & !MODE_MASK != 0 {
            return None;
        }
        match self.kind {
            1 => {
                Layout::new(self.size).ok()?;
                Some(Listed::File {
                    id: FileId::from_bytes(self.id),
                    size: self.size,
                })
            }
            2 if self.size == 0 && self.id == [0; 32] => Some(Listed::Folder),
            _ => None,
        }
    }
}
