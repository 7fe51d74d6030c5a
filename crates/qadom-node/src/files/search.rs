//! A search for those who have a file, beside its download.
//!
//! What must stay true: a search ends, and says so once.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use qadom_files::FileId;
use qadom_routing::Contact;
use tokio::sync::mpsc;

use super::service::Service;
use crate::node::Node;

/// Missing chunks whose holders one search looks for.
pub(super) const CHUNKS_MAX: usize = 8;
/// Contacts that were found and wait to be called.
const FOUND_MAX: usize = 64;

/// What a search brings.
#[derive(Debug)]
pub(super) enum Searched {
    /// A node that says that it has some of the file.
    Found(Contact),
    /// That was everybody.
    Over,
}

/// A search under way, or one that is over.
#[derive(Debug)]
pub(super) struct Search {
    found: Option<mpsc::Receiver<Contact>>,
}

impl Search {
    /// Looks for providers, and for those who hold these chunks.
    pub(super) fn begin(
        service: &Arc<Service>,
        node: &Node,
        file: FileId,
        chunks: Vec<u64>,
    ) -> Self {
        Self::after(Duration::ZERO, service, node, (file, chunks))
    }

    /// As [`begin`](Self::begin), a little later.
    pub(super) fn after(
        pause: Duration,
        service: &Arc<Service>,
        node: &Node,
        (file, chunks): (FileId, Vec<u64>),
    ) -> Self {
        let (sender, found) = mpsc::channel(FOUND_MAX);
        let node = node.clone();
        service.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Err(error) = node.providers(&file, &sender).await {
                tracing::debug!(%file, %error, "the providers of a file are not listed");
            }
            if let Err(error) = node.holders(&file, chunks, &sender).await {
                tracing::debug!(%file, %error, "holders of chunks are not found");
            }
        });
        Self { found: Some(found) }
    }

    /// Whether it brings nothing more.
    pub(super) const fn is_over(&self) -> bool {
        self.found.is_none()
    }

    /// Waits for what comes next; for ever once it is over. Nothing is lost when the wait is given
    /// up.
    pub(super) async fn next(&mut self) -> Searched {
        let Some(found) = &mut self.found else {
            return pending().await;
        };
        if let Some(contact) = found.recv().await {
            return Searched::Found(contact);
        }
        self.found = None;
        Searched::Over
    }
}
