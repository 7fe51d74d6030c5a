//! Fetching a file into a place on this machine.
//!
//! What must stay true: nothing stands under its final name that was not verified, and no name from
//! the network leads out of the folder that was asked for.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use qadom_files::{
    Entry, FileId, LISTING_BYTES_MAX, Layout, Listed, Listing, Manifest, Restore, State,
    hash_reader,
};
use qadom_wire::Writer;

use super::announce;
use super::download::{self, Order, Target, Wish};
use super::error::{FileError, NamedFile};
use super::reader::FileReader;
use super::task::{FileProgress, FileTask, Reporter};
use super::web::is_nowhere;
use super::{FileName, Files};
use crate::error::Error;
use crate::folder::sync_folder;

/// The longest listing of a folder, in bytes.
const LISTING_MAX: u64 = LISTING_BYTES_MAX as u64;

/// How a file is fetched.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, GetOptions, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let added = node.files().add(&source, AddOptions::default()).finish().await?;
/// let copy = place.path().join("copy");
/// let options = GetOptions { output: Some(copy.clone()), ..GetOptions::default() };
/// node.files().get(FileName::Id(added.id), options).finish().await?;
/// assert_eq!(std::fs::read(copy)?, b"hello");
/// # use qadom_node::FileName;
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// Where it is put: a file that is not there yet, or a folder that is. None for the node's own
    /// folder.
    pub output: Option<PathBuf>,
    /// Of several files under a name, one that this writer has named.
    pub writer: Option<Writer>,
    /// Of several files under a name, the one with the most writers.
    pub first: bool,
    /// The list of its chunks, which says all that is to be known of it.
    pub manifest: Option<Manifest>,
    /// Whether bytes are taken that nothing proves, when no node has the file under a name: from a plain
    /// URL in the bag of `name:NAME`.
    pub unverified: bool,
    /// The most bytes that are taken from a plain HTTP server as long as nothing proves them, not even that
    /// the file is so long. None for [`UNPROVEN_MAX`](super::UNPROVEN_MAX), or what most writers of the
    /// name say that it has, if that is more.
    pub max_size: Option<u64>,
}

/// A file that was fetched.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileFetched, FileName, GetOptions, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let added = node.files().add(&source, AddOptions::default()).finish().await?;
/// let copy = place.path().join("copy");
/// let options = GetOptions { output: Some(copy.clone()), ..GetOptions::default() };
/// let FileFetched { path, is_verified, .. } =
///     node.files().get(FileName::Id(added.id), options).finish().await?;
/// assert_eq!((path, is_verified), (Some(copy), true));
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFetched {
    /// The BLAKE3 of its content.
    pub id: FileId,
    /// Its size in bytes; of a folder the size of its listing.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Where it lies; none when it is in the node's own folder.
    pub path: Option<PathBuf>,
    /// Whether its bytes are those that were asked for; not so for what came unverified.
    pub is_verified: bool,
}

/// What a name or an id stands for.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: FileId,
    content_type: String,
    /// Whether somebody says that it is the listing of a folder.
    is_folder: bool,
    /// Its name on this machine.
    name: String,
    /// Its size in bytes, as writers of the name claim.
    pub(super) claimed: Option<u64>,
    /// Where plain HTTP servers have it, as they claim.
    pub(super) urls: Vec<String>,
    /// The list of its chunks.
    pub(super) manifest: Option<Arc<Manifest>>,
}

impl Files {
    /// Fetches a file or a folder by its id or its name. Ends with [`FileError`]: `NotFound`,
    /// `Ambiguous`, `Incomplete` when nobody has the rest, `TargetExists`, `DiskFull`, `Blocked`.
    /// When it is given up, what was verified stays, and the same call goes on from there.
    pub fn get(&self, file: FileName, options: GetOptions) -> FileTask<FileFetched> {
        let files = self.clone();
        FileTask::begin(move |reporter| async move {
            let reporter = Arc::new(reporter);
            files.get_now(file, options, &reporter).await
        })
    }

    /// Opens a file for reading by its id or its name: one that is here, or one that is fetched as it
    /// is read. What is fetched for a reader keeps to the room for chunks of others, gives way like them
    /// and is not announced.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub async fn open(&self, file: FileName, options: GetOptions) -> Result<FileReader, Error> {
        let found = self.find(&file, &options).await?;
        if let Some(reader) = self.open_here(found.id).await? {
            return Ok(reader);
        }
        let order = Order {
            file: found.id,
            manifest: found.manifest,
            urls: Vec::new(),
            target: Target::Passing,
            name: found.name,
        };
        let service = Arc::clone(self.service());
        let active = download::begin(&service, &self.node, order)?;
        let reader = FileReader::of_network(service, found.id, found.content_type, active).await?;
        Ok(reader)
    }

    /// Opens a file that is here, whole; nothing when it is not.
    ///
    /// # Errors
    ///
    /// [`FileError::Blocked`], [`FileError::Stopped`].
    pub async fn open_here(&self, id: FileId) -> Result<Option<FileReader>, Error> {
        let service = self.service();
        if super::serve::is_blocked(service, id).await {
            return Err(FileError::Blocked { id }.into());
        }
        let entry = service.blocking(move |folder| folder.entry(&id)).await?;
        let whole = entry.filter(|entry| matches!(entry.state, State::Whole));
        Ok(whole.map(|entry| FileReader::here(Arc::clone(service), &entry)))
    }

    async fn get_now(
        &self,
        file: FileName,
        options: GetOptions,
        reporter: &Arc<Reporter>,
    ) -> Result<FileFetched, Error> {
        let unproven = (reporter, options.max_size);
        let found = match self.find(&file, &options).await {
            Err(error) if options.unverified && is_nowhere(&error) => {
                let target = unverified_place(options.output.as_deref(), &file);
                return self.fetch_unverified(&file, target, unproven, error).await;
            }
            found => found?,
        };
        let (id, target) = (
            found.id,
            options.output.map(|output| place(&output, &found.name)),
        );
        reporter.send_modify(|progress| progress.id = Some(id));
        if super::serve::is_blocked(self.service(), id).await {
            return Err(FileError::Blocked { id }.into());
        }
        if found.is_folder
            && let Some(target) = &target
            && let Some(listing) = self.listing(&found, target, reporter).await?
        {
            return self.restore(id, &listing, target.clone(), reporter).await;
        }
        let fetched = match self.fetch(&found, target.clone(), reporter).await {
            Err(error) if is_nowhere(&error) => {
                let urls = self.fetch_from_urls(&found, target.clone(), unproven, error);
                urls.await
            }
            fetched => fetched,
        };
        match fetched {
            Err(error) if options.unverified && is_nowhere(&error) => {
                self.fetch_unverified(&file, target, unproven, error).await
            }
            fetched => self.fetched(&fetched?, target),
        }
    }

    fn fetched(&self, entry: &Entry, path: Option<PathBuf>) -> Result<FileFetched, Error> {
        let layout = Layout::new(entry.size).map_err(|_| FileError::Internal)?;
        let announcing = announce::announce(Arc::clone(self.service()), entry.id);
        self.service().spawn(announcing);
        Ok(FileFetched {
            id: entry.id,
            size: entry.size,
            chunks: layout.chunks(),
            path,
            is_verified: true,
        })
    }

    /// Fetches the content of a file to a place.
    async fn fetch(
        &self,
        found: &Found,
        target: Option<PathBuf>,
        reporter: &Arc<Reporter>,
    ) -> Result<Entry, Error> {
        let (service, id) = (self.service(), found.id);
        let here = service.blocking(move |folder| folder.entry(&id)).await?;
        if let Some(entry) = here.filter(|entry| matches!(entry.state, State::Whole)) {
            if let Some(target) = target {
                self.copy_out(&entry, target).await?;
            }
            return Ok(entry);
        }
        let order = Order {
            file: id,
            manifest: found.manifest.clone(),
            urls: found.urls.clone(),
            target: target.map_or(Target::Folder, Target::Path),
            name: found.name.clone(),
        };
        let active = download::begin(service, &self.node, order)?;
        // A download that has ended meanwhile says so below.
        let _ = active.wishes.send(Wish::Whole).await;
        let mut state = active.state.clone();
        loop {
            let (progress, ended) = {
                let state = state.borrow_and_update();
                (state.progress.clone(), state.ended.clone())
            };
            if let Some(ended) = ended {
                let received = active.received.load(Ordering::Relaxed);
                tracing::debug!(file = %id, received, whole = ended.is_ok(), "a download has ended");
                return Ok(ended?);
            }
            reporter.send_replace(FileProgress {
                id: Some(id),
                ..progress
            });
            state.changed().await.map_err(|_| FileError::Stopped)?;
        }
    }

    /// Writes a file that is here to another place, verified on the way.
    async fn copy_out(&self, entry: &Entry, target: PathBuf) -> Result<(), Error> {
        let (id, size) = (entry.id, entry.size);
        let copied = self.service().blocking(move |folder| {
            let copied = copy(folder, &id, size, &target);
            copied.map_err(|error| error.unwrap_or(FileError::TargetExists { path: target }))
        });
        Ok(copied.await??)
    }

    /// Fetches what is said to be the listing of a folder; nothing when it is none, so that nobody spoils
    /// a file by calling it a folder.
    async fn listing(
        &self,
        found: &Found,
        target: &Path,
        reporter: &Arc<Reporter>,
    ) -> Result<Option<Listing>, Error> {
        // Read as anybody reads it: a file that is no listing leaves nothing behind.
        let options = GetOptions::default();
        let reader = self.open(FileName::Id(found.id), options).await?;
        if reader.size() > LISTING_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut pieces = reader.read(0..reader.size());
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
            if !Listing::is_listing(&bytes) {
                return Ok(None);
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let listing = Listing::read(&bytes).map_err(|error| FileError::Malformed {
            problem: format!("the folder's listing: {error}"),
        })?;
        if target.exists() && !target.is_dir() {
            let path = target.to_owned();
            return Err(FileError::TargetExists { path }.into());
        }
        // From here on it is the user's own.
        self.fetch(found, None, reporter).await?;
        Ok(Some(listing))
    }

    /// Fetches everything in a folder.
    async fn restore(
        &self,
        id: FileId,
        listing: &Listing,
        target: PathBuf,
        reporter: &Arc<Reporter>,
    ) -> Result<FileFetched, Error> {
        let restore = Restore::new(listing, &target).map_err(FileError::of_restore)?;
        for item in listing.entries() {
            let place = restore.place(item).map_err(FileError::of_restore)?;
            let Listed::File { id, size } = item.listed else {
                continue;
            };
            // What was restored before is there; the same command goes on behind it.
            if place.symlink_metadata().is_ok() {
                self.is_there(id, size, &place).await?;
                continue;
            }
            let found = Found {
                id,
                content_type: String::new(),
                is_folder: false,
                name: local_name(&place.to_string_lossy(), &id),
                claimed: Some(size),
                urls: Vec::new(),
                manifest: None,
            };
            self.fetch(&found, Some(place), reporter).await?;
        }
        restore.finish().map_err(FileError::of_restore)?;
        let entry = self.service().blocking(move |folder| folder.entry(&id));
        let entry = entry.await?.ok_or(FileError::Internal)?;
        self.fetched(&entry, Some(target))
    }

    /// Whether what stands in a place is this file already: an error when it is anything else.
    async fn is_there(&self, id: FileId, size: u64, place: &Path) -> Result<(), Error> {
        let path = place.to_owned();
        let looked = self.service().blocking(move |_| {
            let other = || FileError::TargetExists { path: path.clone() };
            let io = |error: std::io::Error| FileError::of_io(&path, &error);
            let metadata = path.symlink_metadata().map_err(io)?;
            if !metadata.is_file() || metadata.len() != size {
                return Err(other());
            }
            let file = std::fs::File::open(&path).map_err(io)?;
            let hashed = hash_reader(file).map_err(io)?;
            if hashed.id == id {
                Ok(())
            } else {
                Err(other())
            }
        });
        Ok(looked.await??)
    }

    /// What is meant by an id, a name or a manifest.
    async fn find(&self, file: &FileName, options: &GetOptions) -> Result<Found, Error> {
        if let Some(manifest) = &options.manifest {
            let id = manifest.id();
            let (mut claimed, mut urls) = (None, Vec::new());
            // A name beside the list says where else the file may be.
            if let FileName::Name(name) = file {
                let named = self.node.named(name, options.writer.as_ref()).await;
                let same = named.into_iter().flatten().find(|named| named.id == id);
                if let Some(same) = same {
                    (claimed, urls) = (Some(same.size), same.urls);
                }
            }
            return Ok(Found {
                id,
                content_type: String::new(),
                is_folder: false,
                name: local_name(&file.to_string(), &id),
                claimed,
                urls,
                manifest: Some(Arc::new(manifest.clone())),
            });
        }
        let name = match file {
            FileName::Id(id) => {
                return Ok(Found {
                    id: *id,
                    content_type: String::new(),
                    is_folder: false,
                    name: id.to_string(),
                    claimed: None,
                    urls: Vec::new(),
                    manifest: None,
                });
            }
            FileName::Name(name) => name,
        };
        let files = self.node.named(name, options.writer.as_ref()).await?;
        let chosen = choose(name, files, options.first)?;
        Ok(Found {
            id: chosen.id,
            is_folder: chosen.is_folder,
            content_type: chosen.content_type,
            name: local_name(name, &chosen.id),
            claimed: Some(chosen.size),
            urls: chosen.urls,
            manifest: None,
        })
    }
}

fn choose(name: &str, files: Vec<NamedFile>, takes_first: bool) -> Result<NamedFile, FileError> {
    let mut candidates = files.iter();
    match (candidates.next(), candidates.next()) {
        (None, _) => Err(FileError::NotFound {
            what: format!("a file named {name:?}"),
        }),
        (Some(first), second) if takes_first || second.is_none() => Ok(first.clone()),
        _ => Err(FileError::Ambiguous {
            name: name.to_owned(),
            files,
        }),
    }
}

/// The name that a file gets on this machine: its own when that is one plain name, else its id.
fn local_name(name: &str, id: &FileId) -> String {
    let mut components = Path::new(name).components();
    let is_plain = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(only)), None) if only == name
    );
    if is_plain && !name.contains(['\0', '\\']) {
        name.to_owned()
    } else {
        id.to_string()
    }
}

/// Where a file goes: into a folder that is there, else to the place itself.
fn place(output: &Path, name: &str) -> PathBuf {
    if output.is_dir() {
        output.join(name)
    } else {
        output.to_owned()
    }
}

/// Where unverified bytes go: their name has to be a plain one, since no id stands for it.
fn unverified_place(output: Option<&Path>, file: &FileName) -> Option<PathBuf> {
    let output = output?;
    if !output.is_dir() {
        return Some(output.to_owned());
    }
    let id = FileId::of(b"");
    let name = local_name(&file.to_string(), &id);
    (name != id.to_string()).then(|| output.join(name))
}

/// A file without a name of its own yet, which is as any other that a user makes and not for its
/// owner alone.
pub(super) fn new_beside(parent: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mode = Permissions::from_mode(0o666);
    let mut builder = tempfile::Builder::new();
    builder.permissions(mode).tempfile_in(parent)
}

/// Copies a file of the folder out; no error stands for a target that exists.
fn copy(
    folder: &qadom_files::Folder,
    id: &FileId,
    size: u64,
    target: &Path,
) -> Result<(), Option<FileError>> {
    if target.exists() {
        return Err(None);
    }
    let io = |error: std::io::Error| match FileError::of_io(target, &error) {
        FileError::TargetExists { .. } => None,
        other => Some(other),
    };
    let parent = target
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let mut file = new_beside(parent).map_err(io)?;
    folder
        .read_range(id, 0..size, &mut file)
        .map_err(|error| Some(FileError::of_read(target, &error)))?;
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(target)
        .map_err(|error| io(error.error))?;
    sync_folder(parent).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_the_network_leads_nowhere_else() {
        let id = FileId::of(b"");
        for name in ["movie.mkv", "with space", "..movie", "ünïcode"] {
            assert_eq!(local_name(name, &id), name);
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/passwd",
            "../x",
            "a/",
            "./a",
            "nul\0",
            "a\\b",
        ] {
            assert_eq!(local_name(name, &id), id.to_string(), "{name:?}");
        }
    }
}
