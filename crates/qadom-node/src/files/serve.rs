//! Streams that other nodes open to move chunks, and the chunks that go out.
//!
//! What must stay true: only what verifies when it is read is sent; a peer that does not read, asks
//! for nothing or asks for too much costs a bounded number of chunks in memory and ends.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::Blocked;
use qadom_files::{ChunkSet, FileId, Holdings, Layout, Proof, ReadError};
use qadom_routing::{Key, NodeKey};
use qadom_transport::{DataReceiver, DataSender, DataStream};
use qadom_wire::Reason;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::FileError;
use super::frame::{BITS_MAX, Frame};
use super::hold;
use super::link::{FrameReader, FrameWriter, LinkError};
use super::service::{Service, lock};
use crate::command::Command;

/// How long a peer may take to say what it wants.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// How long a peer may ask for nothing.
const IDLE_TIME: Duration = Duration::from_mins(2);
/// Chunks that a peer may have asked for and not been sent.
const ASKS_MAX: usize = 64;
/// Chunks of one peer that are read before they can be sent.
const READ_AHEAD: usize = 2;
/// When a peer may come back that finds no place here, in milliseconds.
const BUSY_MS: u32 = 1000;

/// What a peer asks for, in its order.
#[derive(Debug)]
enum Todo {
    Chunk(u64),
    Look,
}

type Reading = JoinHandle<Result<Result<(Vec<u8>, Proof), ReadError>, FileError>>;

/// Takes a stream that a peer opened, until its end.
pub(crate) async fn accept(service: Arc<Service>, peer: NodeKey, stream: DataStream) {
    let (sender, receiver) = stream.split();
    let mut reader = FrameReader::new(receiver);
    let opened = reader.next(OPEN_TIME, false, |_, _| ()).await;
    let result = match opened {
        Ok(Some(Frame::Want { file })) => {
            serve(&service, FileId::from_bytes(file), (sender, reader)).await
        }
        Ok(Some(Frame::Give { file, size })) => {
            let link = (FrameWriter::new(sender), reader);
            hold::pull(&service, peer, (FileId::from_bytes(file), size), link).await
        }
        _ => return,
    };
    if let Err(error) = result {
        tracing::debug!(peer = %peer.id(), %error, "a stream with chunks ended");
    }
}

/// The two halves of a stream on which `service` serves, as the giving side opened it.
pub(crate) async fn give(
    service: &Arc<Service>,
    file: FileId,
    size: u64,
    (sender, receiver): (DataSender, DataReceiver),
    kept: mpsc::Sender<u64>,
) -> Result<(), LinkError> {
    let mut writer = FrameWriter::new(sender);
    let opening = Frame::Give {
        file: *file.as_bytes(),
        size,
    };
    writer.send(opening).await?;
    let server = Server::new(service, file);
    server
        .run(writer, FrameReader::new(receiver), Some(kept))
        .await
}

async fn serve(
    service: &Arc<Service>,
    file: FileId,
    (sender, reader): (DataSender, FrameReader),
) -> Result<(), LinkError> {
    let mut writer = FrameWriter::new(sender);
    let Ok(_place) = Arc::clone(&service.uploads).try_acquire_owned() else {
        return writer
            .send(Frame::End {
                reason: Reason::Busy,
            })
            .await;
    };
    if is_blocked(service, file).await {
        let reason = Reason::Blocked;
        return writer.send(Frame::End { reason }).await;
    }
    let mut server = Server::new(service, file);
    let Some(holdings) = server.holdings().await else {
        let reason = Reason::NotFound;
        return writer.send(Frame::End { reason }).await;
    };
    server.told = Some(holdings.layout);
    send_holdings(&mut writer, &holdings).await?;
    server.run(writer, reader, None).await
}

/// Whether this node has blocked a file; a node that ends serves nothing either.
pub(crate) async fn is_blocked(service: &Service, file: FileId) -> bool {
    let Some(node) = service.node() else {
        return true;
    };
    let what = Blocked::Key(Key::from_bytes(*file.as_bytes()));
    let asked = node.ask(|caller| Command::IsBlocked(what, caller)).await;
    asked.unwrap_or(true)
}

/// Tells a peer what is here.
async fn send_holdings(writer: &mut FrameWriter, holdings: &Holdings) -> Result<(), LinkError> {
    let size = holdings.layout.size();
    if holdings.chunks.is_full() {
        return writer.send(Frame::All { size }).await;
    }
    let mut first = 0;
    loop {
        let bits = page(&holdings.chunks, first);
        let next = first + bits.len() as u64 * 8;
        let more = next < holdings.layout.chunks() && !bits.is_empty();
        let frame = Frame::Has {
            size,
            first,
            more,
            bits,
        };
        writer.send(frame).await?;
        if !more {
            return Ok(());
        }
        first = next;
    }
}

fn page(chunks: &ChunkSet, first: u64) -> Bytes {
    chunks.to_bytes(first, BITS_MAX).into()
}

/// One file that is sent to one peer.
struct Server<'a> {
    service: &'a Arc<Service>,
    file: FileId,
    /// The shape of the file as the peer was told it.
    told: Option<Layout>,
    /// What the peer needs no more though it asked for it.
    cancelled: Arc<Mutex<HashSet<u64>>>,
}

impl<'a> Server<'a> {
    fn new(service: &'a Arc<Service>, file: FileId) -> Self {
        Self {
            service,
            file,
            told: None,
            cancelled: Arc::default(),
        }
    }

    async fn holdings(&self) -> Option<Holdings> {
        let file = self.file;
        let found = self.service.blocking(move |folder| folder.holdings(&file));
        found.await.ok().flatten()
    }

    /// Sends what is asked for until the peer has asked for nothing for too long.
    async fn run(
        &self,
        mut writer: FrameWriter,
        reader: FrameReader,
        kept: Option<mpsc::Sender<u64>>,
    ) -> Result<(), LinkError> {
        let (todo, asked) = mpsc::channel(ASKS_MAX);
        let listening = listen(reader, todo, Arc::clone(&self.cancelled), kept);
        tokio::pin!(listening);
        let sending = self.send(&mut writer, asked);
        tokio::pin!(sending);
        tokio::select! {
            // What was asked for before the peer ended its half still goes out.
            heard = &mut listening => {
                heard?;
                sending.await
            }
            sent = &mut sending => sent,
        }
    }

    async fn send(
        &self,
        writer: &mut FrameWriter,
        mut asked: mpsc::Receiver<Todo>,
    ) -> Result<(), LinkError> {
        let mut reading: VecDeque<(u64, Reading)> = VecDeque::with_capacity(READ_AHEAD);
        loop {
            while reading.len() < READ_AHEAD {
                let todo = if reading.is_empty() {
                    match timeout(IDLE_TIME, asked.recv()).await {
                        Ok(Some(todo)) => todo,
                        Ok(None) | Err(_) => return Ok(()),
                    }
                } else if let Ok(todo) = asked.try_recv() {
                    todo
                } else {
                    break;
                };
                match todo {
                    Todo::Chunk(index) if lock(&self.cancelled).remove(&index) => {}
                    Todo::Chunk(index) => reading.push_back((index, self.read(index))),
                    Todo::Look => {
                        if let Some(holdings) = self.holdings().await {
                            // What is known of the size has changed: the peer may come anew.
                            if self.told.is_some_and(|told| told != holdings.layout) {
                                return Ok(());
                            }
                            send_holdings(writer, &holdings).await?;
                        }
                    }
                }
            }
            if let Some((index, read)) = reading.pop_front() {
                let read = read.await.unwrap_or(Err(FileError::Internal));
                self.answer(writer, index, read).await?;
            }
        }
    }

    fn read(&self, index: u64) -> Reading {
        let (service, file) = (Arc::clone(self.service), self.file);
        tokio::spawn(async move {
            let read = service.blocking(move |folder| {
                let mut bytes = Vec::new();
                folder
                    .read(&file, index, &mut bytes)
                    .map(|proof| (bytes, proof))
            });
            read.await
        })
    }

    async fn answer(
        &self,
        writer: &mut FrameWriter,
        index: u64,
        read: Result<Result<(Vec<u8>, Proof), ReadError>, FileError>,
    ) -> Result<(), LinkError> {
        let refuse = |reason, retry_after_ms| Frame::Refuse {
            index,
            reason,
            retry_after_ms,
        };
        if lock(&self.cancelled).remove(&index) {
            return Ok(());
        }
        let frame = match read {
            Ok(Ok((bytes, proof))) => {
                let service = self.service;
                service.throttle.take(&service.clock, bytes.len()).await;
                Frame::Chunk {
                    index,
                    proof: proof.to_bytes().into(),
                    bytes: bytes.into(),
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(file = %self.file, index, %error, "a chunk is not served");
                refuse(Reason::NotFound, 0)
            }
            Err(_) => refuse(Reason::Busy, BUSY_MS),
        };
        writer.send(frame).await
    }
}

/// Reads what a peer asks for, until it ends its half.
async fn listen(
    mut reader: FrameReader,
    todo: mpsc::Sender<Todo>,
    cancelled: Arc<Mutex<HashSet<u64>>>,
    kept: Option<mpsc::Sender<u64>>,
) -> Result<(), LinkError> {
    while let Some(frame) = reader.next(2 * IDLE_TIME, false, |_, _| ()).await? {
        let todo = match (frame, &kept) {
            (Frame::Ask { index }, _) => {
                lock(&cancelled).remove(&index);
                todo.send(Todo::Chunk(index)).await
            }
            (Frame::Look, _) => todo.send(Todo::Look).await,
            (Frame::Cancel { index }, _) => {
                let mut cancelled = lock(&cancelled);
                // Those that were sent already gather here; no peer gains by it.
                if cancelled.len() >= ASKS_MAX {
                    cancelled.clear();
                }
                cancelled.insert(index);
                Ok(())
            }
            (Frame::Kept { index }, Some(kept)) => {
                // Whoever counts them may have enough.
                let _ = kept.send(index).await;
                Ok(())
            }
            (Frame::End { .. }, _) => return Ok(()),
            _ => return Err(super::frame::BadFrame.into()),
        };
        if todo.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
