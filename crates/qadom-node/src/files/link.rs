//! Frames over one stream, both ways.
//!
//! What must stay true: nothing is read that was not asked for, no more memory is taken than the kind
//! of a frame may have, and a side that says nothing for too long ends the stream.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use qadom_transport::{DataReceiver, DataSender};
use tokio::time::timeout;

use super::frame::{BadFrame, Frame, HEAD_LENGTH, Head};

/// How long the next bytes inside a frame may take: whoever sends a byte now and then is no peer.
const PIECE_TIME: Duration = Duration::from_secs(20);
/// How long the peer may take to read what one frame needs.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Bytes of a chunk that are told of together.
const TOLD_AT_ONCE: usize = 65_536;
/// The index of a chunk stands in the first bytes of its frame.
const INDEX_LENGTH: usize = 8;

/// Why a stream ended that was not to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The peer said what no frame says, or what it was not asked for.
    #[error(transparent)]
    Bad(#[from] BadFrame),
    /// The peer sent or read nothing for too long.
    #[error("the peer stalls")]
    Stalled,
    /// The connection is gone, or the peer gave the stream up.
    #[error(transparent)]
    Lost(#[from] io::Error),
}

/// The half of a stream on which frames come.
#[derive(Debug)]
pub(crate) struct FrameReader {
    receiver: DataReceiver,
    /// Bytes that came with those that were wanted.
    rest: Bytes,
}

impl FrameReader {
    pub(crate) const fn new(receiver: DataReceiver) -> Self {
        let rest = Bytes::new();
        Self { receiver, rest }
    }

    /// Waits for the next frame for at most `patience`; nothing at the end of the stream. Of a chunk
    /// it tells index and number of bytes as they come; a chunk is an error where `allow_chunks` is
    /// not set.
    pub(crate) async fn next(
        &mut self,
        patience: Duration,
        allow_chunks: bool,
        mut arrived: impl FnMut(u64, usize),
    ) -> Result<Option<Frame>, LinkError> {
        let mut bytes = [0; HEAD_LENGTH];
        let Some(first) = stalled(patience, self.some(1)).await? else {
            return Ok(None);
        };
        bytes[..1].copy_from_slice(&first);
        let rest = self.exactly(HEAD_LENGTH - 1, |_| ()).await?;
        bytes[1..].copy_from_slice(&rest);
        let head = Head::parse(bytes)?;
        if !head.is_chunk() {
            let body = self.exactly(head.length, |_| ()).await?;
            return Ok(Some(Frame::parse(head, body)?));
        }
        if !allow_chunks {
            return Err(BadFrame.into());
        }
        let mut told = 0;
        let body = self
            .exactly(head.length, |body| {
                let Some(mut index) = body.get(..INDEX_LENGTH) else {
                    return;
                };
                if body.len() - told >= TOLD_AT_ONCE || body.len() == head.length {
                    arrived(index.get_u64_le(), body.len() - told);
                    told = body.len();
                }
            })
            .await?;
        Ok(Some(Frame::parse(head, body)?))
    }

    /// Exactly as many bytes; `seen` is shown what is there of them whenever there is more.
    async fn exactly(
        &mut self,
        length: usize,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<Bytes, LinkError> {
        let mut body = BytesMut::with_capacity(length);
        while body.len() < length {
            let wanted = length - body.len();
            let piece = stalled(PIECE_TIME, self.some(wanted)).await?;
            let piece = piece.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
            body.extend_from_slice(&piece);
            seen(&body);
        }
        Ok(body.freeze())
    }

    /// The next bytes, at least one and at most `most`; nothing at the end.
    async fn some(&mut self, most: usize) -> io::Result<Option<Bytes>> {
        if self.rest.is_empty() {
            // What comes with a head is mostly its body; larger bodies are taken as they are.
            let Some(bytes) = self.receiver.read_bytes(most.max(HEAD_LENGTH)).await? else {
                return Ok(None);
            };
            self.rest = bytes;
        }
        let length = self.rest.len().min(most);
        Ok(Some(self.rest.split_to(length)))
    }
}

/// The half of a stream on which frames go.
#[derive(Debug)]
pub(crate) struct FrameWriter(DataSender);

impl FrameWriter {
    pub(crate) const fn new(sender: DataSender) -> Self {
        Self(sender)
    }

    /// Sends one frame; waits while the peer has no room for it.
    pub(crate) async fn send(&mut self, frame: Frame) -> Result<(), LinkError> {
        let head = frame.encode();
        stalled(WRITE_TIME, self.0.write_bytes(head)).await?;
        match frame {
            Frame::Chunk { bytes, .. } if !bytes.is_empty() => {
                stalled(WRITE_TIME, self.0.write_bytes(bytes)).await
            }
            _ => Ok(()),
        }
    }
}

async fn stalled<T>(
    patience: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, LinkError> {
    let done = timeout(patience, work).await;
    Ok(done.map_err(|_| LinkError::Stalled)??)
}
