//! Finding who has a file: its providers, those who hold some of its chunks, and what a name stands
//! for.
//!
//! What must stay true: what is found are hints; a node counts once its own session says that it has
//! something.

use std::collections::BTreeMap;

use qadom_engine::Outcome;
use qadom_files::{ChunkIndex, FileId, LISTING_CONTENT_TYPE, chunk_address};
use qadom_routing::{Contact, Key};
use qadom_wire::{
    FileEntry, Held, Holds, NAME_MAX, Offer, OfferResult, Provider, Writer, file_name_slot,
    providers_slot,
};
use tokio::sync::mpsc;

use super::error::{FileError, NamedFile};
use crate::bag_stream::BagEvent;
use crate::command::Operation;
use crate::error::Error;
use crate::node::Node;

/// Chunks whose neighbourhood is asked in one search.
const CHUNKS_ASKED: usize = 8;
/// Nodes near a chunk that are asked for it.
const NODES_ASKED: usize = 20;

impl Node {
    /// Hands out the nodes that say that they provide a file, each as soon as its word is verified.
    pub(super) async fn providers(
        &self,
        file: &FileId,
        found: &mpsc::Sender<Contact>,
    ) -> Result<(), Error> {
        let bag = self.bag(providers_slot(file.as_bytes()));
        let mut items = bag.list_stream().await?;
        while let Some(event) = items.next().await {
            match event {
                BagEvent::Added { value, .. } => {
                    let Ok(provider) = Provider::decode(&value) else {
                        continue;
                    };
                    if found.send(provider.contact().clone()).await.is_err() {
                        return Ok(());
                    }
                }
                BagEvent::Removed { .. } => {}
                BagEvent::End { .. } => return Ok(()),
                BagEvent::Failed(failure) => return Err(failure.into()),
            }
        }
        Ok(())
    }

    /// Hands out nodes near some of these chunks that say that they hold them.
    pub(super) async fn holders(
        &self,
        file: &FileId,
        chunks: Vec<u64>,
        found: &mpsc::Sender<Contact>,
    ) -> Result<(), Error> {
        for chunk in chunks.into_iter().take(CHUNKS_ASKED) {
            let near = self.near_chunk(file, ChunkIndex::Data(chunk)).await?;
            let asking = near.into_iter().take(NODES_ASKED).map(|contact| async {
                let held = self.ask_held(contact.clone(), file, chunk & !7).await;
                let offset = usize::try_from(chunk % 8).unwrap_or(0);
                held.is_ok_and(|held| held.has(offset)).then_some(contact)
            });
            for contact in join_all(asking).await.into_iter().flatten() {
                if found.send(contact).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The nodes nearest to a chunk, this one left out.
    pub(super) async fn near_chunk(
        &self,
        file: &FileId,
        index: ChunkIndex,
    ) -> Result<Vec<Contact>, Error> {
        let address = Key::from_bytes(chunk_address(file, index));
        let mut closest = self.lookup(address).await?.closest;
        closest.retain(|contact| *contact.id() != self.id());
        Ok(closest)
    }

    /// Asks a node which chunks it has, from `first` on, a multiple of 8.
    pub(super) async fn ask_held(
        &self,
        contact: Contact,
        file: &FileId,
        first: u64,
    ) -> Result<Held, Error> {
        let file = *file.as_bytes();
        let operation = Operation::Holds(Box::new(contact), Holds { file, first });
        match self.operate(operation).await? {
            Outcome::Held(held) => Ok(held),
            _ => Err(Error::Internal),
        }
    }

    /// Offers chunks to a node.
    pub(super) async fn offer(
        &self,
        contact: Contact,
        offer: Offer,
    ) -> Result<Vec<OfferResult>, Error> {
        let operation = Operation::Offer(Box::new(contact), Box::new(offer));
        match self.operate(operation).await? {
            Outcome::Offered(results) => Ok(results),
            _ => Err(Error::Internal),
        }
    }

    /// The files that carry a name, those with the most writers first; of one writer only, if one
    /// is named.
    pub(super) async fn named(
        &self,
        name: &str,
        writer: Option<&Writer>,
    ) -> Result<Vec<NamedFile>, Error> {
        let slot = name_slot(name)?;
        let list = self.bag(slot).list().await?;
        let entries = list.items.into_iter().filter_map(|item| {
            let is_wanted = writer.is_none_or(|writer| item.writers.contains(writer));
            let entry = FileEntry::decode(&item.value).ok();
            Some((entry.filter(|_| is_wanted)?, item.writers))
        });
        Ok(merged(entries))
    }
}

/// What several writers say of the files of a name, a file for each id. Of what they say of one file
/// that counts which most of them say; whoever says something else spoils nothing.
fn merged(entries: impl IntoIterator<Item = (FileEntry, Vec<Writer>)>) -> Vec<NamedFile> {
    let mut files: BTreeMap<FileId, Vec<(FileEntry, Vec<Writer>)>> = BTreeMap::new();
    for (entry, writers) in entries {
        let id = FileId::from_bytes(*entry.id());
        files.entry(id).or_default().push((entry, writers));
    }
    let merge = |(id, mut said): (FileId, Vec<(FileEntry, Vec<Writer>)>)| {
        let claim = |entry: &FileEntry| (entry.size(), entry.content_type().to_owned());
        let mut counts: BTreeMap<(u64, String), usize> = BTreeMap::new();
        for (entry, writers) in &said {
            *counts.entry(claim(entry)).or_default() += writers.len();
        }
        let count = |entry: &FileEntry| counts.get(&claim(entry)).copied();
        said.sort_by_key(|(entry, _)| std::cmp::Reverse(count(entry)));
        let first = said.first().map(|(entry, _)| claim(entry));
        let (size, content_type) = first.unwrap_or_default();
        let mut file = NamedFile {
            id,
            size,
            content_type,
            is_folder: false,
            urls: Vec::new(),
            writers: Vec::new(),
        };
        for (entry, writers) in said {
            file.is_folder |= entry.content_type() == LISTING_CONTENT_TYPE;
            for url in entry.urls() {
                if !file.urls.contains(url) {
                    file.urls.push(url.clone());
                }
            }
            for writer in writers {
                if !file.writers.contains(&writer) {
                    file.writers.push(writer);
                }
            }
        }
        file
    };
    let mut files: Vec<_> = files.into_iter().map(merge).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.writers.len()));
    files
}

/// Where the files of a name are listed.
pub(super) fn name_slot(name: &str) -> Result<Key, FileError> {
    file_name_slot(name.as_bytes()).map_err(|_| FileError::Malformed {
        problem: format!(
            "a file name has 1 to {NAME_MAX} bytes, this one has {}",
            name.len()
        ),
    })
}

/// Waits for all of them at once; their number is bounded by the caller.
pub(super) async fn join_all<T, F>(futures: impl IntoIterator<Item = F>) -> Vec<T>
where
    F: Future<Output = T>,
{
    let mut futures: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        let mut is_pending = false;
        for (future, done) in &mut futures {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_word_on_a_file_spoils_neither_its_size_nor_its_type() {
        let writer = |seed: u8| qadom_wire::Identity::from_seed([seed; 32]).writer();
        let entry = |size, content_type: &str, url: &str| {
            FileEntry::new([7; 32], size, content_type, vec![url.to_owned()]).unwrap()
        };
        let honest = entry(100, "video/mp4", "http://one.example/film");
        // Sorts before it, whatever it is sorted by.
        let liar = entry(1, LISTING_CONTENT_TYPE, "http://liar.example/film");
        let files = merged([
            (liar, vec![writer(1)]),
            (honest, vec![writer(2), writer(3)]),
        ]);
        let [file] = files.as_slice() else {
            panic!("{files:?}");
        };
        assert_eq!((file.size, file.content_type.as_str()), (100, "video/mp4"));
        assert!(file.is_folder, "the content decides");
        assert_eq!(file.urls[0], "http://one.example/film");
        assert_eq!(file.writers.len(), 3);
    }
}
