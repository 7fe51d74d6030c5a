//! Telling others that this node has a file: an item in the bag of the file's providers, kept alive
//! by the journal like everything that is written.
//!
//! What must stay true: a file is announced with the address that others reach this node at now;
//! what was said of an older address is taken back.

use std::sync::Arc;
use std::time::Duration;

use qadom_files::{FileId, State};
use qadom_routing::Contact;
use qadom_wire::{Provider, Reason, providers_slot};

use super::service::Service;
use crate::command::Command;
use crate::error::Error;
use crate::node::Node;
use crate::resolve::resolve;
use crate::status::Status;

/// How long an announcement is tried again after it failed.
const AGAIN: Duration = Duration::from_secs(30);
/// How often it is tried.
const TRIES: u32 = 5;

/// Announces a file until that worked, or for a while.
pub(crate) async fn announce(service: Arc<Service>, file: FileId) {
    for _ in 0..TRIES {
        let Some(node) = service.node() else {
            return;
        };
        match node.announce_file(&file).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%file, %error, "a file could not be announced"),
        }
        drop(node);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Announces everything that is here under the address of now, where that was not done yet.
pub(crate) async fn refresh(service: &Arc<Service>) {
    let Ok(entries) = service.blocking(qadom_files::Folder::list).await else {
        return;
    };
    for entry in entries {
        if !matches!(entry.state, State::Whole) {
            continue;
        }
        let Some(node) = service.node() else {
            return;
        };
        if let Err(error) = node.announce_file(&entry.id).await {
            tracing::debug!(file = %entry.id, %error, "a file could not be announced");
        }
    }
}

impl Node {
    /// Writes this node into the bag of a file's providers, unless it stands there already.
    pub(super) async fn announce_file(&self, file: &FileId) -> Result<(), Error> {
        let slot = providers_slot(file.as_bytes());
        let provider = Provider::new(self.own_contact().await?);
        let payload = provider.encode();
        let promised = self.ask(|caller| Command::Promised(slot, caller)).await?;
        if promised.contains(&payload) {
            return Ok(());
        }
        if !promised.is_empty() {
            self.withdraw(slot).await?;
        }
        self.bag(slot).add(payload).await.map(|_| ())
    }

    /// Takes this node out of the bag of a file's providers.
    pub(super) async fn withdraw_file(&self, file: &FileId) -> Result<(), Error> {
        match self.withdraw(providers_slot(file.as_bytes())).await {
            Ok(_) => Ok(()),
            Err(error) if error.reason() == Reason::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How others reach this node, as far as it knows.
    pub(super) async fn own_contact(&self) -> Result<Contact, Error> {
        let Status { address, .. } = self.status().await?;
        let families = self.inner.facts.families;
        let at = resolve(address.host_port(), families).await;
        let at = at.first().copied().ok_or_else(|| Error::Unresolved {
            address: address.host_port().clone(),
        })?;
        Ok(Contact::at(*address.key(), at, true))
    }
}
