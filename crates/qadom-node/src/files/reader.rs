//! Reading a file from its beginning or from anywhere, before all of it is here.
//!
//! What must stay true: every byte that is handed out was verified; a reader that does not read holds
//! up nobody and costs a bounded number of chunks.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use qadom_files::{ChunkIndex, Entry, FileId, Layout, ReaderId};
use tokio::sync::{mpsc, oneshot};

use super::download::{Active, Wish};
use super::error::FileError;
use super::service::{Service, lock};
use crate::error::Error;

/// Bytes that are fetched ahead of a reader.
pub(super) const READ_AHEAD: u64 = 4 << 20;
/// Pieces of a file that wait for their reader.
const PIECES_MAX: usize = 4;
/// Bytes that are handed out at once.
const PIECE: usize = 256 * 1024;

/// A file that can be read: whole, or while it is fetched.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileName, FileReader, GetOptions, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let added = node.files().add(&source, AddOptions::default()).finish().await?;
/// let file = FileName::Id(added.id);
/// let reader: FileReader = node.files().open(file, GetOptions::default()).await?;
/// assert_eq!((reader.size(), reader.content_type()), (5, "text/plain"));
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileReader {
    service: Arc<Service>,
    id: FileId,
    size: u64,
    content_type: String,
    from: From,
}

#[derive(Debug)]
enum From {
    /// It lies here.
    Here,
    /// It is fetched as it is read.
    Network(Arc<Active>),
}

/// The bytes of a range, in order.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddOptions, FileBytes, FileName, GetOptions, Node};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().listen("127.0.0.1:0".parse()?).start().await?;
/// # let place = tempfile::tempdir()?;
/// # let source = place.path().join("greeting.txt");
/// # std::fs::write(&source, "hello")?;
/// let added = node.files().add(&source, AddOptions::default()).finish().await?;
/// let reader = node.files().open(FileName::Id(added.id), GetOptions::default()).await?;
/// let mut bytes: FileBytes = reader.read(1..3);
/// assert_eq!(bytes.next().await?, Some("el".into()));
/// assert_eq!(bytes.next().await?, None);
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileBytes(mpsc::Receiver<Result<Bytes, FileError>>);

impl FileBytes {
    /// Waits for the next bytes, at most 256 KiB; nothing at the end of the range.
    ///
    /// # Errors
    ///
    /// [`FileError`] when the rest does not come; nothing comes afterwards.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.0.recv().await.transpose()?)
    }
}

impl FileReader {
    pub(super) fn here(service: Arc<Service>, entry: &Entry) -> Self {
        Self {
            service,
            id: entry.id,
            size: entry.size,
            content_type: entry.content_type.clone(),
            from: From::Here,
        }
    }

    /// Waits until the size of a file is known that is being fetched.
    pub(super) async fn of_network(
        service: Arc<Service>,
        id: FileId,
        content_type: String,
        active: Arc<Active>,
    ) -> Result<Self, FileError> {
        let mut state = active.state.clone();
        let known = state.wait_for(|state| state.layout.is_some() || state.ended.is_some());
        let (layout, ended) = {
            let known = known.await.map_err(|_| FileError::Stopped)?;
            (known.layout, known.ended.clone())
        };
        if let Some(ended) = ended {
            return Ok(Self::here(service, &ended?));
        }
        let layout = layout.ok_or(FileError::Internal)?;
        Ok(Self {
            service,
            id,
            size: layout.size(),
            content_type,
            from: From::Network(active),
        })
    }

    /// The file.
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// Its size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Its media type; empty when it is not known.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Reads a range of the file; what lies behind its end is left out. What is not here yet is
    /// fetched in order, before all else.
    pub fn read(&self, range: Range<u64>) -> FileBytes {
        let range = range.start.min(self.size)..range.end.min(self.size);
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let (service, id) = (Arc::clone(&self.service), self.id);
        let active = match &self.from {
            From::Here => None,
            From::Network(active) => Some(Arc::clone(active)),
        };
        let working = Arc::clone(&service);
        service.spawn(async move {
            let result = match active {
                None => here(&working, id, range, sender.clone()).await,
                Some(active) => network(&working, &active, range, &sender).await,
            };
            if let Err(error) = result {
                // A reader that is gone needs to know nothing.
                let _ = sender.send(Err(error)).await;
            }
        });
        FileBytes(receiver)
    }
}

/// Hands pieces to a reader from a thread that may wait.
struct Pieces(mpsc::Sender<Result<Bytes, FileError>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = bytes.len().min(PIECE);
        let piece = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
        let sent = self.0.blocking_send(Ok(piece));
        sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn here(
    service: &Service,
    id: FileId,
    range: Range<u64>,
    sender: mpsc::Sender<Result<Bytes, FileError>>,
) -> Result<(), FileError> {
    let is_gone = sender.clone();
    let read = service.blocking(move |folder| {
        let mut pieces = Pieces(sender);
        folder.read_range(&id, range, &mut pieces)
    });
    match read.await? {
        Ok(()) => Ok(()),
        Err(_) if is_gone.is_closed() => Ok(()),
        Err(error) => Err(FileError::of_read(&service.path, &error)),
    }
}

/// A reader of the scheduler, closed when it is dropped.
struct Open<'a> {
    active: &'a Active,
    reader: ReaderId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // A download whose queue is full closes it with the last handle.
        let _ = self.active.wishes.try_send(Wish::Close(self.reader));
    }
}

async fn network(
    service: &Service,
    active: &Active,
    range: Range<u64>,
    sender: &mpsc::Sender<Result<Bytes, FileError>>,
) -> Result<(), FileError> {
    let mut state = active.state.clone();
    let layout = state.borrow().layout.ok_or(FileError::Internal)?;
    let open = open(active, range.clone()).await;
    for chunk in layout.chunks_of(range.clone()) {
        let bytes = loop {
            let ended = {
                let now = state.borrow_and_update();
                now.ended.clone()
            };
            if let Some(bytes) = chunk_of(service, active, &layout, chunk).await? {
                break bytes;
            }
            match ended {
                Some(Ok(entry)) => {
                    // The rest lies in its place now.
                    let rest = layout.range(chunk).start.max(range.start)..range.end;
                    return here(service, entry.id, rest, sender.clone()).await;
                }
                Some(Err(error)) => return Err(error),
                None => {}
            }
            // What had come and gave way comes again.
            let _ = active.wishes.try_send(Wish::Lacks(chunk));
            tokio::select! {
                changed = state.changed() => changed.map_err(|_| FileError::Stopped)?,
                () = sender.closed() => return Ok(()),
            }
        };
        let place = layout.range(chunk);
        let from = range.start.saturating_sub(place.start);
        let to = place.end.min(range.end) - place.start;
        let cut = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let piece = bytes.slice(cut(from)..cut(to));
        if !piece.is_empty() && sender.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
        if let Some(open) = &open {
            let advance = Wish::Advance(open.reader, place.end.min(range.end));
            // It is told again with the next chunk.
            let _ = active.wishes.try_send(advance);
        }
    }
    Ok(())
}

async fn open(active: &Active, bytes: Range<u64>) -> Option<Open<'_>> {
    let (caller, answer) = oneshot::channel();
    let wish = Wish::Read { bytes, caller };
    active.wishes.send(wish).await.ok()?;
    let reader = answer.await.ok()?;
    Some(Open { active, reader })
}

/// A chunk of a download, if it is there.
async fn chunk_of(
    service: &Service,
    active: &Active,
    layout: &Layout,
    chunk: u64,
) -> Result<Option<Bytes>, FileError> {
    let Some(place) = lock(&active.place).clone() else {
        return Ok(None);
    };
    let length = layout.length(ChunkIndex::Data(chunk));
    let read = service.blocking(move |folder| {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let is_there = place.read(folder, chunk, &mut bytes)?;
        Ok::<_, qadom_files::DiskError>(is_there.then_some(bytes))
    });
    match read.await? {
        Ok(bytes) => Ok(bytes.map(Bytes::from)),
        Err(error) => Err(FileError::of_disk(&error)),
    }
}
