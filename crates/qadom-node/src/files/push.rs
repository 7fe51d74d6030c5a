//! Leaving the chunks of a file with the nodes nearest to their addresses, so that it outlives
//! whoever had it first.
//!
//! What must stay true: a copy counts once its holder says that it has verified and kept it; a node
//! that refuses or fails is followed by the next nearest one; no more than the limits here are under
//! way at once, however large the file is.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qadom_engine::Receipt;
use qadom_files::{ChunkIndex, FileId, Layout};
use qadom_routing::{Contact, NodeId};
use qadom_wire::{MAX_TTL, OFFER_CHUNKS_MAX, Offer, OfferResult};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Files;
use super::add::AddOptions;
use super::error::FileError;
use super::link::LinkError;
use super::serve;
use super::service::{Service, lock};
use super::task::{FilePhase, FileProgress, FileTask, Reporter};
use crate::error::Error;
use crate::node::Node;

/// Copies of each chunk that a push leaves unless another number is asked for.
pub const PUSH_COPIES: u32 = 6;
/// The most copies that may be asked for: as many nodes as a lookup finds.
pub(super) const COPIES_MAX: u32 = 20;
/// Lookups for chunks that are under way at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// Nodes that are given chunks at once.
const NODES_AT_ONCE: usize = 8;
/// How often chunks are offered to the next nodes.
const ROUNDS: u32 = 5;
/// How long a holder may take for the next chunk.
const KEPT_TIME: Duration = Duration::from_mins(1);

/// A file whose chunks were left with other nodes.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FilePushed, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// # let other = Node::builder().listen("127.0.0.1:0".parse()?).join(node.address()).start().await?;
/// let FilePushed { copies, smallest_copies, holders, .. } =
///     node.files().push(&source, 1, AddOptions::default()).finish().await?;
/// println!("{copies} copies are wanted, each chunk has {smallest_copies}, on {holders} nodes");
/// # other.shutdown().await;
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePushed {
    /// The BLAKE3 of its content.
    pub id: FileId,
    /// Its size in bytes.
    pub size: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Copies of each chunk that were asked for, this node's own not counted.
    pub copies: u32,
    /// Copies of the chunk that has the fewest.
    pub smallest_copies: u32,
    /// Nodes that hold something of it.
    pub holders: u32,
    /// What became of the announcement that this node provides it.
    pub receipt: Receipt,
}

impl Files {
    /// Adds a file as [`add`](Self::add) does, and leaves `copies` of each chunk with the nodes
    /// nearest to it. Ends when the holders have verified and kept them.
    ///
    /// Ends also with [`FileError::TooFewCopies`], when a chunk has fewer copies than half of what
    /// could be reached, or than [`WriteOptions::min_copies`](crate::WriteOptions). What was left
    /// stays, and this node goes on looking after it.
    pub fn push(
        &self,
        path: impl Into<PathBuf>,
        copies: u32,
        options: AddOptions,
    ) -> FileTask<FilePushed> {
        let (files, path) = (self.clone(), path.into());
        FileTask::begin(move |reporter| async move {
            let reporter = Arc::new(reporter);
            if !(1..=COPIES_MAX).contains(&copies) {
                let problem = format!("a file is pushed in 1 to {COPIES_MAX} copies");
                return Err(FileError::Malformed { problem }.into());
            }
            let added = files.add_now(&path, &options, &reporter).await?;
            let layout = Layout::new(added.size).map_err(|_| FileError::Internal)?;
            files.service().note_push(added.id, copies).await?;
            let spread = Spread {
                service: Arc::clone(files.service()),
                node: files.node.clone(),
                file: added.id,
                layout,
                copies,
                expiry: files.service().utc_seconds() + MAX_TTL.as_secs(),
                reporter: Some(reporter),
            };
            let chunks = spread.near(parts(layout).collect()).await?;
            let reachable = chunks.iter().map(|chunk| chunk.candidates.len()).min();
            let placed = spread.place(chunks).await;
            files.pushed(&added.receipt, &spread, reachable, &placed)
        })
    }

    fn pushed(
        &self,
        receipt: &Receipt,
        spread: &Spread,
        reachable: Option<usize>,
        placed: &Placed,
    ) -> Result<FilePushed, Error> {
        let copies = spread.copies;
        let pushed = FilePushed {
            id: spread.file,
            size: spread.layout.size(),
            chunks: spread.layout.chunks(),
            copies,
            smallest_copies: placed.smallest,
            holders: u32::try_from(placed.holders.len()).unwrap_or(u32::MAX),
            receipt: receipt.clone(),
        };
        let reachable = u32::try_from(reachable.unwrap_or(0)).unwrap_or(u32::MAX);
        let half = copies.min(reachable).div_ceil(2).max(1);
        if placed.smallest < self.options.min_copies.unwrap_or(half) {
            return Err(FileError::TooFewCopies(Box::new(pushed)).into());
        }
        Ok(pushed)
    }
}

/// All of a file that is left with others, by its numbers on the wire: its chunks, and the list of
/// their hashes, where there are several.
pub(super) fn parts(layout: Layout) -> impl Iterator<Item = u64> {
    let pieces = if layout.chunks() > 1 {
        layout.list_pieces()
    } else {
        0
    };
    let pieces = (0..pieces).map(|piece| ChunkIndex::List(piece).wire());
    (0..layout.chunks()).chain(pieces)
}

/// A chunk or list piece that is to have more copies.
#[derive(Clone, Debug)]
pub(super) struct Wanting {
    /// Its number on the wire.
    pub(super) index: u64,
    /// Live copies at other nodes.
    pub(super) have: u32,
    /// Nodes without it, nearest first.
    pub(super) candidates: VecDeque<Contact>,
}

/// What came of leaving chunks with others.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// Copies of the chunk that has the fewest.
    pub(super) smallest: u32,
    /// Who holds something.
    pub(super) holders: BTreeSet<NodeId>,
}

/// Leaves chunks of one file with others.
#[derive(Clone)]
pub(super) struct Spread {
    pub(super) service: Arc<Service>,
    pub(super) node: Node,
    pub(super) file: FileId,
    pub(super) layout: Layout,
    pub(super) copies: u32,
    /// Until when they are to be kept, in seconds of UTC.
    pub(super) expiry: u64,
    pub(super) reporter: Option<Arc<Reporter>>,
}

impl Spread {
    /// Finds the nodes nearest to each of these chunks and list pieces.
    pub(super) async fn near(&self, chunks: Vec<u64>) -> Result<Vec<Wanting>, Error> {
        let places = Arc::new(Semaphore::new(LOOKUPS_AT_ONCE));
        let mut looking = JoinSet::new();
        let mut wanting = Vec::with_capacity(chunks.len());
        for index in chunks {
            let Some(part) = self.layout.index(index) else {
                continue;
            };
            let place = Arc::clone(&places).acquire_owned().await;
            let (node, file) = (self.node.clone(), self.file);
            looking.spawn(async move {
                let near = node.near_chunk(&file, part).await;
                drop(place);
                near.map(|near| Wanting {
                    index,
                    have: 0,
                    candidates: near.into(),
                })
            });
            while let Some(Ok(found)) = looking.try_join_next() {
                wanting.push(found?);
            }
        }
        while let Some(found) = looking.join_next().await {
            wanting.push(found.map_err(|_| FileError::Internal)??);
        }
        Ok(wanting)
    }

    /// Offers each chunk to its nearest nodes, until it has enough copies or nobody is left.
    pub(super) async fn place(&self, chunks: Vec<Wanting>) -> Placed {
        let mut holders = BTreeSet::new();
        let mut chunks: BTreeMap<u64, Wanting> = chunks
            .into_iter()
            .map(|chunk| (chunk.index, chunk))
            .collect();
        for _ in 0..ROUNDS {
            let batches = self.batches(&mut chunks);
            if batches.is_empty() {
                break;
            }
            let places = Arc::new(Semaphore::new(NODES_AT_ONCE));
            let mut giving = JoinSet::new();
            for (contact, indexes) in batches {
                let (spread, places) = (self.clone(), Arc::clone(&places));
                giving.spawn(async move {
                    let _place = places.acquire_owned().await;
                    let node = *contact.id();
                    (node, spread.give(contact, indexes).await)
                });
            }
            while let Some(given) = giving.join_next().await {
                let Ok((node, kept)) = given else {
                    continue;
                };
                if !kept.is_empty() {
                    holders.insert(node);
                }
                for index in kept {
                    if let Some(chunk) = chunks.get_mut(&index) {
                        chunk.have += 1;
                    }
                }
            }
        }
        let smallest = chunks.values().map(|chunk| chunk.have).min();
        Placed {
            smallest: smallest.unwrap_or(0),
            holders,
        }
    }

    /// Which node is offered what next.
    fn batches(&self, chunks: &mut BTreeMap<u64, Wanting>) -> Vec<(Contact, Vec<u64>)> {
        let mut batches: HashMap<NodeId, (Contact, Vec<u64>)> = HashMap::new();
        for chunk in chunks.values_mut() {
            for _ in chunk.have..self.copies {
                let Some(contact) = chunk.candidates.pop_front() else {
                    break;
                };
                let batch = batches.entry(*contact.id());
                let batch = batch.or_insert_with(|| (contact, Vec::new()));
                batch.1.push(chunk.index);
            }
        }
        batches.into_values().collect()
    }

    /// Offers chunks to one node and gives it those that it wants; tells which it keeps.
    async fn give(&self, contact: Contact, indexes: Vec<u64>) -> Vec<u64> {
        let mut kept = Vec::with_capacity(indexes.len());
        for batch in indexes.chunks(OFFER_CHUNKS_MAX) {
            let offer = Offer {
                file: *self.file.as_bytes(),
                length: self.layout.size(),
                chunks: batch.to_vec(),
                expiry: self.expiry,
                copies: self.copies,
            };
            let results = match self.node.offer(contact.clone(), offer).await {
                Ok(results) => results,
                Err(error) => {
                    tracing::debug!(node = %contact.id(), %error, "a node takes no chunks");
                    return kept;
                }
            };
            let mut wanted = BTreeSet::new();
            for (index, result) in batch.iter().zip(results) {
                match result {
                    OfferResult::Held => {
                        self.count(*index);
                        kept.push(*index);
                    }
                    OfferResult::Wanted => {
                        wanted.insert(*index);
                    }
                    OfferResult::Refused(reason) => {
                        tracing::debug!(node = %contact.id(), %reason, "a chunk is refused");
                    }
                }
            }
            if !wanted.is_empty() {
                kept.extend(self.serve(contact.clone(), wanted).await);
            }
        }
        kept
    }

    /// Opens a stream over which the node pulls what it wants.
    async fn serve(&self, contact: Contact, wanted: BTreeSet<u64>) -> Vec<u64> {
        let node = *contact.id();
        let stream = match self.node.open_file_stream(contact).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%node, %error, "a node that wants chunks is not reached");
                return Vec::new();
            }
        };
        let (sender, mut receiver) = mpsc::channel(OFFER_CHUNKS_MAX);
        let size = self.layout.size();
        let kept = Mutex::new(Vec::with_capacity(wanted.len()));
        let giving = serve::give(&self.service, self.file, size, stream.split(), sender);
        self.await_kept(node, giving, (&mut receiver, wanted), &kept)
            .await;
        kept.into_inner().unwrap_or_default()
    }

    /// Counts what a node says that it keeps, each chunk that it wanted once, until that is all or its
    /// stream has ended.
    async fn await_kept(
        &self,
        node: NodeId,
        giving: impl Future<Output = Result<(), LinkError>>,
        (receiver, mut wanted): (&mut mpsc::Receiver<u64>, BTreeSet<u64>),
        kept: &Mutex<Vec<u64>>,
    ) {
        let counting = async {
            while !wanted.is_empty() {
                match tokio::time::timeout(KEPT_TIME, receiver.recv()).await {
                    Ok(Some(index)) if wanted.remove(&index) => {
                        self.count(index);
                        lock(kept).push(index);
                    }
                    // It was never wanted, or is counted already: no copy more.
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        };
        tokio::pin!(counting);
        tokio::select! {
            given = giving => {
                if let Err(error) = given {
                    tracing::debug!(%node, %error, "a stream to a holder ended");
                }
                // What it has said before it ended still counts.
                counting.await;
            }
            () = &mut counting => {}
        }
    }

    /// Tells users of one more copy.
    fn count(&self, index: u64) {
        let Some(reporter) = &self.reporter else {
            return;
        };
        // The list of hashes is no part of what users count.
        let Some(part @ ChunkIndex::Data(_)) = self.layout.index(index) else {
            return;
        };
        let length = self.layout.length(part);
        let (id, size) = (self.file, self.layout.size() * u64::from(self.copies));
        reporter.send_modify(|progress| {
            let done = if progress.phase == FilePhase::Pushing {
                progress.done
            } else {
                0
            };
            *progress = FileProgress {
                phase: FilePhase::Pushing,
                id: Some(id),
                size: Some(size),
                done: done + u64::from(length),
                ..FileProgress::default()
            };
        });
    }
}

#[cfg(test)]
mod tests;
