//! One node that chunks are fetched from: its stream, what it has, and what comes from it.
//!
//! What must stay true: a chunk is told as written only when it was verified and is in the partial
//! download; whatever ends the stream is told once; nothing comes that was not asked for.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use qadom_files::{Availability, ChunkIndex, ChunkSet, FileId, Layout, PeerId, Proof, verify};
use qadom_routing::Contact;
use qadom_wire::Reason;
use tokio::sync::{Semaphore, mpsc};

use super::error::FileError;
use super::frame::{BadFrame, Frame};
use super::link::{FrameReader, FrameWriter, LinkError};
use super::place::{NotKept, Place};
use super::service::{Service, lock};
use crate::node::Node;

/// How long a node may take to say what it has.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// How long a node may say nothing. What it owes is watched by the download itself.
const IDLE_TIME: Duration = Duration::from_mins(30);
/// What waits to be said to a node.
pub(super) const SAY_MAX: usize = 256;
/// Pages of one bitfield: enough for the largest file that is fetched from those who have parts.
const PAGES_MAX: usize = 64;

/// What is told of a node.
#[derive(Debug)]
pub(super) enum PeerEvent {
    /// It has this of a file that it says to have this shape.
    Met {
        layout: Layout,
        has: Availability,
        say: mpsc::Sender<Frame>,
    },
    /// Its last chunk came before there was a place for it, and proves the shape that it said.
    Proven {
        layout: Layout,
        bytes: Bytes,
        proof: Proof,
    },
    /// It has this by now of a file that it says to have this shape.
    Has(Layout, Availability),
    /// Bytes of a chunk came.
    Arrived { index: u64, bytes: usize },
    /// A chunk is verified and written.
    Written { index: u64 },
    /// Bytes came that are not the chunk.
    Bad { index: u64 },
    /// It does not send a chunk, for ever or for a while.
    Refused { index: u64, retry: Option<Duration> },
    /// The hashes of all chunks are known, by which also plain servers' bytes verify.
    Listed,
    /// A chunk could not be taken in, and nobody else's would be.
    Disk(FileError),
    /// It is gone, or never came.
    Gone(Gone),
}

/// Why a node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It left, cannot be reached, or has nothing.
    Left,
    /// It serves as many others as it can.
    Busy,
    /// It broke the rules.
    Lied,
}

/// What all peers of a download share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) service: Arc<Service>,
    pub(super) file: FileId,
    /// Where chunks go; none until the size is proven.
    pub(super) place: Arc<Mutex<Option<Place>>>,
    /// Chunks that are on their way to the disk.
    pub(super) writes: Arc<Semaphore>,
    /// Bytes of chunks that have come, of use or not.
    pub(super) received: Arc<AtomicU64>,
    pub(super) events: mpsc::Sender<(PeerId, PeerEvent)>,
}

impl Shared {
    pub(super) async fn tell(&self, peer: PeerId, event: PeerEvent) {
        // A download that has ended needs to know nothing.
        let _ = self.events.send((peer, event)).await;
    }
}

/// Opens a stream to a node and fetches over it until either side ends it.
pub(super) async fn meet(shared: Shared, node: Node, contact: Contact, peer: PeerId) {
    let id = *contact.id();
    let result = fetch(&shared, &node, contact, peer).await;
    let why = match result {
        Ok(why) => why,
        Err(error) => {
            tracing::debug!(peer = %id, %error, "a holder is gone");
            match error {
                LinkError::Bad(_) => Gone::Lied,
                LinkError::Stalled | LinkError::Lost(_) => Gone::Left,
            }
        }
    };
    shared.tell(peer, PeerEvent::Gone(why)).await;
}

async fn fetch(
    shared: &Shared,
    node: &Node,
    contact: Contact,
    peer: PeerId,
) -> Result<Gone, LinkError> {
    let opened = node.open_file_stream(contact).await;
    let (sender, receiver) = opened
        .map_err(|error| std::io::Error::other(error.to_string()))?
        .split();
    let mut writer = FrameWriter::new(sender);
    let mut reader = FrameReader::new(receiver);
    let file = *shared.file.as_bytes();
    writer.send(Frame::Want { file }).await?;
    let (layout, has) = match holdings(&mut reader, OPEN_TIME).await? {
        Holdings::Some(layout, has) => (layout, has),
        Holdings::None(why) => return Ok(why),
    };
    let (say, mut said) = mpsc::channel(SAY_MAX);
    let asked = Arc::new(Mutex::new(HashSet::new()));
    let met = PeerEvent::Met { layout, has, say };
    shared.tell(peer, met).await;
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
        read = receive(shared, reader, (peer, layout), &asked) => read,
    }?;
    Ok(Gone::Left)
}

/// What a node says that it has.
pub(super) enum Holdings {
    Some(Layout, Availability),
    /// Nothing, or no place to serve one more.
    None(Gone),
}

/// Reads what a node has.
pub(super) async fn holdings(
    reader: &mut FrameReader,
    patience: Duration,
) -> Result<Holdings, LinkError> {
    let mut gathered: Option<(Layout, ChunkSet)> = None;
    for _ in 0..PAGES_MAX {
        match reader.next(patience, false, |_, _| ()).await? {
            Some(Frame::All { size }) => {
                return Ok(Holdings::Some(shape(size)?, Availability::All));
            }
            Some(Frame::Has {
                size,
                first,
                more,
                bits,
            }) => {
                let layout = shape(size)?;
                let set = match gathered.take() {
                    Some((other, _)) if other != layout => return Err(BadFrame.into()),
                    gathered => gathered.map(|(_, set)| set),
                };
                let set = with_page(set, layout, first, &bits)?;
                if !more {
                    return Ok(Holdings::Some(layout, Availability::Some(set)));
                }
                gathered = Some((layout, set));
            }
            Some(Frame::End { reason }) => {
                let is_busy = reason == Reason::Busy;
                return Ok(Holdings::None(if is_busy {
                    Gone::Busy
                } else {
                    Gone::Left
                }));
            }
            None => return Ok(Holdings::None(Gone::Left)),
            Some(_) => return Err(BadFrame.into()),
        }
    }
    Err(BadFrame.into())
}

fn shape(size: u64) -> Result<Layout, BadFrame> {
    Layout::new(size).map_err(|_| BadFrame)
}

fn with_page(
    set: Option<ChunkSet>,
    layout: Layout,
    first: u64,
    bits: &[u8],
) -> Result<ChunkSet, BadFrame> {
    let mut set = set.unwrap_or_else(|| ChunkSet::new(layout.chunks()));
    set.insert_bytes(first, bits).map_err(|_| BadFrame)?;
    Ok(set)
}

async fn receive(
    shared: &Shared,
    mut reader: FrameReader,
    (peer, layout): (PeerId, Layout),
    asked: &Mutex<HashSet<u64>>,
) -> Result<(), LinkError> {
    let mut more: Option<ChunkSet> = None;
    let mut pages = 0;
    loop {
        // What came of a chunk is told without waiting: a lost hint costs nothing.
        let arrived = |index, bytes| {
            shared.received.fetch_add(bytes as u64, Ordering::Relaxed);
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
                    return Err(BadFrame.into());
                }
                write(shared, (peer, layout), index, (proof, bytes)).await;
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
            // Whoever has more still speaks of the same file.
            Some(Frame::All { size } | Frame::Has { size, .. }) if size != layout.size() => {
                return Err(BadFrame.into());
            }
            Some(Frame::All { .. }) => {
                let has = PeerEvent::Has(layout, Availability::All);
                shared.tell(peer, has).await;
            }
            Some(Frame::Has {
                first,
                more: has_more,
                bits,
                ..
            }) => {
                let set = with_page(more.take(), layout, first, &bits)?;
                pages += 1;
                if has_more && pages >= PAGES_MAX {
                    return Err(BadFrame.into());
                }
                if has_more {
                    more = Some(set);
                } else {
                    pages = 0;
                    let has = Availability::Some(set);
                    shared.tell(peer, PeerEvent::Has(layout, has)).await;
                }
            }
            Some(Frame::End { .. }) | None => return Ok(()),
            Some(_) => return Err(BadFrame.into()),
        }
    }
}

/// Verifies and writes a chunk on a thread that may wait, while the next one comes. Before there is a
/// place, the last chunk of the file as the peer says it to be is verified alone.
async fn write(
    shared: &Shared,
    (peer, claimed): (PeerId, Layout),
    index: u64,
    (proof, bytes): (Bytes, Bytes),
) {
    let Some(proof) = Proof::from_bytes(&proof) else {
        return shared.tell(peer, PeerEvent::Bad { index }).await;
    };
    let Ok(held) = Arc::clone(&shared.writes).acquire_owned().await else {
        return;
    };
    let (shared, place) = (shared.clone(), lock(&shared.place).clone());
    tokio::spawn(async move {
        let (service, file) = (Arc::clone(&shared.service), shared.file);
        let now = service.utc_seconds();
        let written = service.blocking(move |folder| {
            let Some(place) = place else {
                return proven((file, claimed), index, (bytes, proof));
            };
            match place.write(folder, now, index, (&bytes, &proof)) {
                Ok(()) => PeerEvent::Written { index },
                Err(NotKept::Wrong) => PeerEvent::Bad { index },
                Err(NotKept::Disk(error)) => PeerEvent::Disk(error),
            }
        });
        let event = written.await.unwrap_or_else(PeerEvent::Disk);
        drop(held);
        shared.tell(peer, event).await;
    });
}

/// Whether a chunk is the last of a file of the claimed shape, which proves it.
fn proven(
    (file, layout): (FileId, Layout),
    index: u64,
    (bytes, proof): (Bytes, Proof),
) -> PeerEvent {
    let data = ChunkIndex::Data(index);
    if index != layout.last() || verify(&file, layout, data, &bytes, &proof).is_err() {
        return PeerEvent::Bad { index };
    }
    PeerEvent::Proven {
        layout,
        bytes,
        proof,
    }
}
