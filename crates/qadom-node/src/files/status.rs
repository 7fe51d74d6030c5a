//! What is known of one file: what is here, who provides it, how many live copies each chunk has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use qadom_files::{FileId, Layout, ReadError, State};
use qadom_routing::{Contact, NodeId};
use qadom_wire::HELD_BYTES_MAX;
use tokio::sync::mpsc;

use super::Files;
use super::discovery::join_all;
use super::error::FileError;
use crate::error::Error;

/// Nodes that are asked at once what they hold.
const ASKED_AT_ONCE: usize = 32;
/// Nodes that are asked at most.
const ASKED_MAX: usize = 1024;
/// Chunks whose copies are counted at most: a file of 16 GiB.
const CHUNKS_MAX: u64 = HELD_BYTES_MAX as u64 * 8;

/// What is known of a file.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileStatus, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let added = node.files().add(&source, AddOptions::default()).finish().await?;
/// let FileStatus { is_whole, here, chunks, .. } = node.files().status(added.id).await?;
/// assert!(is_whole && here == chunks);
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// The BLAKE3 of its content.
    pub id: FileId,
    /// Its size in bytes: proven when some of it is here, else what most nodes claim.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Chunks that are here.
    pub here: u64,
    /// Whether this node shares the whole file.
    pub is_whole: bool,
    /// Other nodes that answered and have some of it.
    pub holders: u32,
    /// Live copies of each chunk at other nodes, of the first 65 536.
    pub copies: Vec<u32>,
    /// Copies of the chunk that has the fewest.
    pub smallest_copies: u32,
}

impl Files {
    /// Tells what is known of a file, and asks those who say that they have it.
    ///
    /// # Errors
    ///
    /// [`FileError::NotFound`] when nothing of it is here or anywhere; [`Error::Busy`] and
    /// [`Error::Stopped`].
    pub async fn status(&self, id: FileId) -> Result<FileStatus, Error> {
        let (entry, holdings) = self
            .service()
            .blocking(move |folder| (folder.entry(&id), folder.holdings(&id)))
            .await?;
        let answers = self.ask_holders(&id).await?;
        let layout = match &holdings {
            Some(holdings) => Some(holdings.layout),
            None => claimed(&answers),
        };
        let Some(layout) = layout else {
            return Err(FileError::NotFound {
                what: id.to_string(),
            }
            .into());
        };
        let counted = usize::try_from(layout.chunks().min(CHUNKS_MAX)).unwrap_or(0);
        let mut copies = vec![0; counted];
        let mut holders = 0;
        for held in answers.values() {
            // Whoever was told a false size holds true chunks all the same, but not the last one.
            let certain = if held.length == layout.size() {
                layout.chunks()
            } else {
                layout.last()
            };
            let certain = usize::try_from(certain).unwrap_or(usize::MAX);
            let mut has_any = false;
            for (chunk, copies) in copies.iter_mut().take(certain).enumerate() {
                let has = held.has(chunk);
                *copies += u32::from(has);
                has_any |= has;
            }
            holders += u32::from(has_any);
        }
        Ok(FileStatus {
            id,
            size: layout.size(),
            chunks: layout.chunks(),
            here: holdings.map_or(0, |holdings| holdings.chunks.len()),
            is_whole: entry.is_some_and(|entry| matches!(entry.state, State::Whole)),
            holders,
            smallest_copies: copies.iter().copied().min().unwrap_or(0),
            copies,
        })
    }

    /// The list of a file's chunks, a line with hash and size for each: enough to fetch it, and to
    /// check it piece by piece.
    ///
    /// # Errors
    ///
    /// [`FileError::NotFound`] when the file is neither here as a whole nor does anybody who can be
    /// reached have its list, [`FileError::Blocked`]; [`FileError::Changed`] and [`FileError::Disk`] when
    /// it cannot be read any more.
    pub async fn manifest(&self, id: FileId) -> Result<String, Error> {
        let service = self.service();
        let read = service.blocking(move |folder| folder.manifest(&id)).await?;
        let manifest = match read {
            Err(ReadError::NotFound) if super::serve::is_blocked(service, id).await => {
                return Err(FileError::Blocked { id }.into());
            }
            Err(ReadError::NotFound) => self.node.list_of(&id).await?,
            read => read.map_err(|error| FileError::of_read(&service.path, &error))?,
        };
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        let _ = manifest.write(&mut text);
        String::from_utf8(text).map_err(|_| FileError::Internal.into())
    }

    /// Asks all who say that they have some of a file what they hold.
    async fn ask_holders(&self, id: &FileId) -> Result<HashMap<NodeId, qadom_wire::Held>, Error> {
        let (sender, mut found) = mpsc::channel::<Contact>(ASKED_AT_ONCE);
        let mut contacts: BTreeMap<NodeId, Contact> = BTreeMap::new();
        let gathering = async {
            while let Some(contact) = found.recv().await {
                if contacts.len() < ASKED_MAX && *contact.id() != self.node.id() {
                    contacts.insert(*contact.id(), contact);
                }
            }
        };
        let listing = async {
            let listed = self.node.providers(id, &sender).await;
            drop(sender);
            listed
        };
        let ((), listed) = tokio::join!(gathering, listing);
        listed?;
        let contacts: Vec<_> = contacts.into_values().collect();
        let mut answers = HashMap::new();
        for some in contacts.chunks(ASKED_AT_ONCE) {
            let asking = some.iter().map(|contact| async {
                let held = self.node.ask_held(contact.clone(), id, 0).await;
                held.ok().map(|held| (*contact.id(), held))
            });
            answers.extend(join_all(asking).await.into_iter().flatten());
        }
        Ok(answers)
    }
}

/// The size that most nodes claim.
fn claimed(answers: &HashMap<NodeId, qadom_wire::Held>) -> Option<Layout> {
    let sizes: BTreeSet<u64> = answers
        .values()
        .filter(|held| !held.bits.is_empty())
        .map(|held| held.length)
        .collect();
    let count = |size: &u64| answers.values().filter(|held| held.length == *size).count();
    let size = sizes.into_iter().max_by_key(count)?;
    Layout::new(size).ok()
}
