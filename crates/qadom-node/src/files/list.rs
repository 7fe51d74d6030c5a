//! The list of a file's chunks, from those who have the file or hold pieces of its list.
//!
//! What must stay true: what comes out leads to the id, whoever sent it; a size counts once the last
//! chunk has proven it; no more nodes are asked at once than the limit here, and none for long.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use qadom_files::{ChunkIndex, FileId, Layout, MANIFEST_CHUNKS_MAX, Manifest, Proof, verify};
use qadom_routing::Contact;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::error::FileError;
use super::frame::{BadFrame, Frame};
use super::link::{FrameReader, FrameWriter, LinkError};
use super::peer::{Holdings, holdings};
use crate::error::Error;
use crate::node::Node;

/// Nodes that are called at once.
const CALLED_AT_ONCE: usize = 8;
/// Providers that are called at most.
const PROVIDERS_MAX: usize = 64;
/// How long a node may take for what comes next.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that has proven the size of the file.
struct Source {
    layout: Layout,
    writer: FrameWriter,
    reader: FrameReader,
}

impl Source {
    /// Calls a node, and asks it for the last chunk.
    async fn call(node: Node, contact: Contact, file: FileId) -> Result<Self, LinkError> {
        let opened = node.open_file_stream(contact).await;
        let (sender, receiver) = opened
            .map_err(|error| std::io::Error::other(error.to_string()))?
            .split();
        let (mut writer, mut reader) = (FrameWriter::new(sender), FrameReader::new(receiver));
        let want = Frame::Want {
            file: *file.as_bytes(),
        };
        writer.send(want).await?;
        let Holdings::Some(layout, _) = holdings(&mut reader, PATIENCE).await? else {
            return Err(LinkError::Stalled);
        };
        let mut source = Self {
            layout,
            writer,
            reader,
        };
        let last = ChunkIndex::Data(layout.last());
        match source.part(&file, last).await? {
            Some(_) => Ok(source),
            None => Err(LinkError::Stalled),
        }
    }

    /// A chunk or list piece, verified under the size that the node claims; nothing when it has none.
    async fn part(&mut self, file: &FileId, part: ChunkIndex) -> Result<Option<Bytes>, LinkError> {
        let index = part.wire();
        self.writer.send(Frame::Ask { index }).await?;
        match self.reader.next(PATIENCE, true, |_, _| ()).await? {
            Some(Frame::Chunk {
                index: sent,
                proof,
                bytes,
            }) if sent == index => {
                let proof = Proof::from_bytes(&proof).ok_or(BadFrame)?;
                verify(file, self.layout, part, &bytes, &proof).map_err(|_| BadFrame)?;
                Ok(Some(bytes))
            }
            Some(Frame::Refuse { index: sent, .. }) if sent == index => Ok(None),
            _ => Err(BadFrame.into()),
        }
    }
}

/// What is there of the list of one file.
struct Gathered {
    file: FileId,
    /// The proven shape.
    layout: Option<Layout>,
    pieces: BTreeMap<u64, Bytes>,
}

impl Gathered {
    /// The first piece that is missing; nothing when all are there.
    fn missing(&self) -> Option<u64> {
        let pieces = self.layout.map_or(1, Layout::list_pieces);
        (0..pieces).find(|piece| !self.pieces.contains_key(piece))
    }

    /// Takes what a node has of the pieces that are missing.
    async fn pull(&mut self, source: &mut Source) -> Result<(), LinkError> {
        if source.layout.chunks() > MANIFEST_CHUNKS_MAX {
            return Ok(());
        }
        self.layout = Some(source.layout);
        if source.layout.chunks() == 1 {
            let only = Bytes::copy_from_slice(self.file.as_bytes());
            self.pieces.insert(0, only);
        }
        for piece in 0..source.layout.list_pieces() {
            if self.pieces.contains_key(&piece) {
                continue;
            }
            if let Some(bytes) = source.part(&self.file, ChunkIndex::List(piece)).await? {
                self.pieces.insert(piece, bytes);
            }
        }
        Ok(())
    }

    /// Calls these nodes until all pieces are there or nobody is left.
    async fn call(&mut self, node: &Node, mut contacts: VecDeque<Contact>) {
        let mut calling = JoinSet::new();
        while self.missing().is_some() {
            while calling.len() < CALLED_AT_ONCE
                && let Some(contact) = contacts.pop_front()
            {
                calling.spawn(Source::call(node.clone(), contact, self.file));
            }
            let Some(called) = calling.join_next().await else {
                return;
            };
            let pulled = match called {
                Ok(Ok(mut source)) => self.pull(&mut source).await,
                Ok(Err(error)) => Err(error),
                Err(_) => continue,
            };
            if let Err(error) = pulled {
                tracing::debug!(file = %self.file, %error, "a node has nothing of a list");
            }
        }
    }
}

impl Node {
    /// Fetches the list of a file's chunks.
    ///
    /// # Errors
    ///
    /// [`FileError::NotFound`] when nobody who can be reached has all of it, and those of a lookup.
    pub(super) async fn list_of(&self, file: &FileId) -> Result<Manifest, Error> {
        let mut gathered = Gathered {
            file: *file,
            layout: None,
            pieces: BTreeMap::new(),
        };
        let providers = self.some_providers(file).await?;
        gathered.call(self, providers).await;
        // The holders of one piece mostly know others; whoever brings nothing new is the end.
        while let Some(piece) = gathered.missing() {
            let near = self.near_chunk(file, ChunkIndex::List(piece)).await?;
            gathered.call(self, near.into()).await;
            if gathered.missing() == Some(piece) {
                break;
            }
        }
        let layout = gathered.layout.filter(|_| gathered.missing().is_none());
        let pieces = gathered.pieces.values().map(|piece| &piece[..]);
        let manifest = layout.and_then(|layout| Manifest::from_list_pieces(file, layout, pieces));
        Ok(manifest.ok_or_else(|| FileError::NotFound {
            what: format!("the list of the chunks of {file}"),
        })?)
    }

    async fn some_providers(&self, file: &FileId) -> Result<VecDeque<Contact>, Error> {
        let (sender, mut found) = mpsc::channel::<Contact>(PROVIDERS_MAX);
        let mut contacts = VecDeque::new();
        let listing = async {
            let listed = self.providers(file, &sender).await;
            drop(sender);
            listed
        };
        let gathering = async {
            while let Some(contact) = found.recv().await {
                let is_new = contacts
                    .iter()
                    .all(|known: &Contact| known.id() != contact.id());
                if contacts.len() < PROVIDERS_MAX && is_new && *contact.id() != self.id() {
                    contacts.push_back(contact);
                }
            }
        };
        let (listed, ()) = tokio::join!(listing, gathering);
        listed?;
        Ok(contacts)
    }
}
