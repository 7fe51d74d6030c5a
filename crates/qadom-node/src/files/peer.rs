//! One node that chunks are fetched from: its stream, what it has, and what comes from it.
//!
//! What must stay true: a chunk is told as written only when it was verified and is in the partial
//! download; whatever ends the stream is told once; nothing comes that was not asked for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use qadom_files::{Availability, ChunkSet, FileId, Layout, Partial, PeerId, Proof, WriteError};
use qadom_routing::Contact;
use qadom_wire::Reason;
use tokio::sync::{Semaphore, mpsc};

use super::error::FileError;
use super::frame::Frame;
use super::link::{FrameReader, FrameWriter, LinkError};
use super::service::{Service, lock};
use crate::node::Node;

/// How long a node may take to say what it has.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// How long a node may say nothing. What it owes is watched by the download itself.
const IDLE_TIME: Duration = Duration::from_mins(30);
/// What waits to be said to a node.
const SAY_MAX: usize = 256;
/// Pages of one bitfield: enough for the largest file that is fetched from those who have parts.
const PAGES_MAX: usize = 64;

/// What is told of a node.
#[derive(Debug)]
pub(super) enum PeerEvent {
    /// It has this of a file that it says to have this many bytes.
    Met {
        size: u64,
        has: Availability,
        say: mpsc::Sender<Frame>,
    },
    /// It has more by now.
    Has(Availability),
    /// Bytes of a chunk came.
    Arrived { index: u64, bytes: usize },
    /// A chunk is verified and written.
    Written { index: u64 },
    /// Bytes came that are not the chunk.
    Bad { index: u64 },
    /// It does not send a chunk, for ever or for a while.
    Refused { index: u64, retry: Option<Duration> },
    /// A chunk could not be taken in, and nobody else's would be.
    Disk(FileError),
    /// It is gone, or never came; whether it broke the rules.
    Gone { lied: bool },
}

/// What all peers of a download share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) service: Arc<Service>,
    pub(super) file: FileId,
    /// Where chunks go; none until the size is known.
    pub(super) partial: Arc<Mutex<Option<Partial>>>,
    /// Chunks that are on their way to the disk.
    pub(super) writes: Arc<Semaphore>,
    pub(super) events: mpsc::Sender<(PeerId, PeerEvent)>,
}

impl Shared {
    async fn tell(&self, peer: PeerId, event: PeerEvent) {
        // A download that has ended needs to know nothing.
        let _ = self.events.send((peer, event)).await;
    }
}

/// Opens a stream to a node and fetches over it until either side ends it.
pub(super) async fn meet(shared: Shared, node: Node, contact: Contact, peer: PeerId) {
    let id = *contact.id();
    let result = fetch(&shared, &node, contact, peer).await;
    let lied = matches!(result, Err(LinkError::Bad(_)));
    if let Err(error) = result {
        tracing::debug!(peer = %id, %error, "a holder is gone");
    }
    shared.tell(peer, PeerEvent::Gone { lied }).await;
}

async fn fetch(
    shared: &Shared,
    node: &Node,
    contact: Contact,
    peer: PeerId,
) -> Result<(), LinkError> {
    let opened = node.open_file_stream(contact).await;
    let (sender, receiver) = opened
        .map_err(|error| std::io::Error::other(error.to_string()))?
        .split();
    let mut writer = FrameWriter::new(sender);
    let mut reader = FrameReader::new(receiver);
    let file = *shared.file.as_bytes();
    writer.send(Frame::Want { file }).await?;
    let Some((size, has)) = holdings(&mut reader, OPEN_TIME).await? else {
        return Ok(());
    };
    let (say, mut said) = mpsc::channel(SAY_MAX);
    let asked = Arc::new(Mutex::new(HashSet::new()));
    shared.tell(peer, PeerEvent::Met { size, has, say }).await;
    let asking = Arc::clone(&asked);
    let writing = async move {
        while let Some(frame) = said.recv().await {
            if let Frame::Ask { index } = frame {
                lock(&asking).insert(index);
            }
            writer.send(frame).await?;
        }
        Ok::<(), LinkError>(())
    };
    tokio::select! {
        written = writing => written,
        read = receive(shared, reader, peer, &asked) => read,
    }
}

/// Reads what a node has; nothing when it has nothing or no place.
async fn holdings(
    reader: &mut FrameReader,
    patience: Duration,
) -> Result<Option<(u64, Availability)>, LinkError> {
    let mut gathered: Option<(u64, ChunkSet)> = None;
    for _ in 0..PAGES_MAX {
        match reader.next(patience, false, |_, _| ()).await? {
            Some(Frame::All { size }) => return Ok(Some((size, Availability::All))),
            Some(Frame::Has {
                size,
                first,
                more,
                bits,
            }) => {
                let set = gathered.take().map(|(_, set)| set);
                let set = with_page(set, size, first, &bits)?;
                if !more {
                    return Ok(Some((size, Availability::Some(set))));
                }
                gathered = Some((size, set));
            }
            Some(Frame::End { .. }) | None => return Ok(None),
            Some(_) => return Err(super::frame::BadFrame.into()),
        }
    }
    Err(super::frame::BadFrame.into())
}

fn with_page(
    set: Option<ChunkSet>,
    size: u64,
    first: u64,
    bits: &[u8],
) -> Result<ChunkSet, LinkError> {
    let layout = Layout::new(size).map_err(|_| super::frame::BadFrame)?;
    let mut set = set.unwrap_or_else(|| ChunkSet::new(layout.chunks()));
    set.insert_bytes(first, bits)
        .map_err(|_| super::frame::BadFrame)?;
    Ok(set)
}

async fn receive(
    shared: &Shared,
    mut reader: FrameReader,
    peer: PeerId,
    asked: &Mutex<HashSet<u64>>,
) -> Result<(), LinkError> {
    let mut more: Option<ChunkSet> = None;
    loop {
        // What came of a chunk is told without waiting: a lost hint costs nothing.
        let arrived = |index, bytes| {
            let event = PeerEvent::Arrived { index, bytes };
            let _ = shared.events.try_send((peer, event));
        };
        let frame = reader.next(IDLE_TIME, true, arrived).await?;
        match frame {
            Some(Frame::Chunk {
                index,
                proof,
                bytes,
            }) => {
                if !lock(asked).remove(&index) {
                    return Err(super::frame::BadFrame.into());
                }
                write(shared, peer, index, (proof, bytes)).await;
            }
            Some(Frame::Refuse {
                index,
                reason,
                retry_after_ms,
            }) => {
                lock(asked).remove(&index);
                let retry = Duration::from_millis(retry_after_ms.into());
                let retry = Some(retry).filter(|_| reason == Reason::Busy);
                shared.tell(peer, PeerEvent::Refused { index, retry }).await;
            }
            Some(Frame::All { .. }) => shared.tell(peer, PeerEvent::Has(Availability::All)).await,
            Some(Frame::Has {
                size,
                first,
                more: has_more,
                bits,
            }) => {
                let set = with_page(more.take(), size, first, &bits)?;
                if has_more {
                    more = Some(set);
                } else {
                    shared
                        .tell(peer, PeerEvent::Has(Availability::Some(set)))
                        .await;
                }
            }
            Some(Frame::End { .. }) | None => return Ok(()),
            Some(_) => return Err(super::frame::BadFrame.into()),
        }
    }
}

/// Verifies and writes a chunk on a thread that may wait, while the next one comes.
async fn write(shared: &Shared, peer: PeerId, index: u64, (proof, bytes): (Bytes, Bytes)) {
    let partial = lock(&shared.partial).clone();
    let (Some(partial), Some(proof)) = (partial, Proof::from_bytes(&proof)) else {
        return shared.tell(peer, PeerEvent::Bad { index }).await;
    };
    let Ok(place) = Arc::clone(&shared.writes).acquire_owned().await else {
        return;
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let service = Arc::clone(&shared.service);
        let written = service.blocking(move |_| partial.write(index, &bytes, &proof));
        let event = match written.await {
            Ok(Ok(_)) => PeerEvent::Written { index },
            Ok(Err(WriteError::Verify(_))) => PeerEvent::Bad { index },
            Ok(Err(error)) => PeerEvent::Disk(FileError::of_write(&shared.service.path, &error)),
            Err(error) => PeerEvent::Disk(error),
        };
        drop(place);
        shared.tell(peer, event).await;
    });
}
