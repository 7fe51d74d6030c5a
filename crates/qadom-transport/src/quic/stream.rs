//! A stream of bytes between two nodes, both ways, as users hold it.
//!
//! What must stay true: bytes arrive in order and once, or reading fails; memory for what is unread
//! is bounded by the windows.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::VarInt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Told to a peer whose stream nobody accepts.
const REFUSED: VarInt = VarInt::from_u32(1);

/// A stream of bytes to another node and back, encrypted and ordered.
///
/// Ending the writing half (`shutdown`, or dropping it) ends what the peer reads; dropping the
/// reading half tells the peer to stop. A stream ends with an error when its connection does, which
/// happens after 30 s without any packet.
///
/// # Examples
///
/// ```
/// use qadom_transport::DataStream;
///
/// /// Gives back what comes, until the other side ends.
/// async fn echo(stream: DataStream) -> std::io::Result<()> {
///     let (mut sender, mut receiver) = stream.split();
///     while let Some(bytes) = receiver.read_bytes(65_536).await? {
///         sender.write_bytes(bytes).await?;
///     }
///     Ok(())
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataStream {
    sender: DataSender,
    receiver: DataReceiver,
}

/// The writing half of a [`DataStream`].
///
/// # Examples
///
/// ```
/// use qadom_transport::DataSender;
///
/// async fn greet(mut sender: DataSender) -> std::io::Result<()> {
///     sender.write_bytes("hello".into()).await
/// }
/// ```
#[derive(Debug)]
pub struct DataSender(Half<quinn::SendStream>);

/// The reading half of a [`DataStream`].
///
/// # Examples
///
/// ```
/// use qadom_transport::DataReceiver;
///
/// /// The length of everything that comes.
/// async fn measure(mut receiver: DataReceiver) -> std::io::Result<usize> {
///     let mut length = 0;
///     while let Some(bytes) = receiver.read_bytes(65_536).await? {
///         length += bytes.len();
///     }
///     Ok(length)
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataReceiver(Half<quinn::RecvStream>);

/// A half of a stream. Where the library has panicked on its connection, it panics again when a
/// half is dropped; that stays here, and in a panic the half is lost instead.
#[derive(Debug)]
struct Half<T>(Option<T>);

impl<T> Half<T> {
    /// The half; it is there until it is dropped.
    fn get(&mut self) -> io::Result<&mut T> {
        self.0.as_mut().ok_or(io::ErrorKind::NotConnected.into())
    }
}

impl<T> Drop for Half<T> {
    fn drop(&mut self) {
        let half = self.0.take();
        if std::thread::panicking() {
            std::mem::forget(half);
        } else {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(half)));
        }
    }
}

impl DataStream {
    pub(super) fn new(sender: quinn::SendStream, receiver: quinn::RecvStream) -> Self {
        Self {
            sender: DataSender(Half(Some(sender))),
            receiver: DataReceiver(Half(Some(receiver))),
        }
    }

    /// Takes the halves apart, for tasks of their own.
    pub fn split(self) -> (DataSender, DataReceiver) {
        (self.sender, self.receiver)
    }

    /// Tells the peer that nobody here takes the stream.
    pub(super) fn refuse(mut self) {
        // What is closed already needs no refusal.
        let _ = self.sender.0.get().map(|half| half.reset(REFUSED));
        let _ = self.receiver.0.get().map(|half| half.stop(REFUSED));
    }
}

impl DataSender {
    /// Writes all of `bytes` without copying them.
    ///
    /// # Errors
    ///
    /// When the connection ended or the peer reads no more.
    pub async fn write_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.get()?.write_chunk(bytes).await.map_err(Into::into)
    }
}

impl DataReceiver {
    /// Reads the next bytes, at most `limit`, without copying them; nothing at the end.
    ///
    /// # Errors
    ///
    /// When the connection ended or the peer gave the stream up.
    pub async fn read_bytes(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        let chunk = self.0.get()?.read_chunk(limit, true).await?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }
}

impl AsyncWrite for DataSender {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self.0.get()?), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(self.0.get()?), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self.0.get()?), context)
    }
}

impl AsyncRead for DataReceiver {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(self.0.get()?), context, buffer)
    }
}

impl AsyncWrite for DataStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.sender).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sender).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sender).poll_shutdown(context)
    }
}

impl AsyncRead for DataStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.receiver).poll_read(context, buffer)
    }
}
