//! Plain HTTP servers as sources of a download, beside the nodes.
//!
//! What must stay true: a server is asked once the hashes of all chunks are known, for one range after
//! the other, each verified before the next is asked for; one that fails is done with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qadom_files::{Availability, Joined, Partial, PeerId, WriteError};
use tokio::sync::mpsc::{self, error::TryRecvError};
use ureq::Agent;

use super::super::error::FileError;
use super::super::frame::Frame;
use super::super::peer::{Gone, PeerEvent, SAY_MAX, Shared};
use super::super::place::Place;
use super::super::service::lock;
use super::super::urls::{Pace, URLS_MAX, UrlError, agent, range};
use super::Attempt;

/// How long nodes are alone with a download before servers are made use of.
const NODES_FIRST: Duration = Duration::from_secs(1);
/// How often in a row a transfer may break off.
const BREAKS_MAX: u32 = 3;

impl Attempt<'_> {
    /// Brings about that the hashes of all chunks are known, if there are servers to check with them.
    pub(super) fn learn_list(&self) {
        let place = lock(self.place).clone();
        let Some(Place::Own(partial)) = place.filter(|_| !self.order.urls.is_empty()) else {
            return;
        };
        let (shared, node) = (self.shared.clone(), self.node.clone());
        let manifest = self.order.manifest.clone();
        self.service.spawn(async move {
            let manifest = if let Some(manifest) = manifest {
                manifest
            } else {
                tokio::time::sleep(NODES_FIRST).await;
                match node.list_of(&shared.file).await {
                    Ok(manifest) => Arc::new(manifest),
                    Err(error) => return tracing::debug!(%error, "servers cannot be checked"),
                }
            };
            let learning = shared.service.blocking(move |_| partial.learn(&manifest));
            if let Ok(Ok(())) = learning.await {
                shared.tell(PeerId(0), PeerEvent::Listed).await;
            }
        });
    }

    /// Lets the servers take part.
    pub(super) fn call_servers(&mut self) {
        let (place, now) = (lock(self.place).clone(), self.service.now());
        let (Some(Place::Own(partial)), Some(download)) = (place, &mut self.download) else {
            return;
        };
        let agent = agent(self.node.inner.facts.is_local);
        for url in self.order.urls.iter().take(URLS_MAX) {
            self.next_peer += 1;
            let peer = PeerId(self.next_peer);
            let (say, said) = mpsc::channel(SAY_MAX);
            // Before the scheduler asks it for anything.
            self.servers.insert(peer, say);
            if download.add_peer(now, peer, Availability::All, None) != Joined::Taken {
                self.servers.remove(&peer);
                return;
            }
            let server = Server {
                shared: self.shared.clone(),
                partial: partial.clone(),
                agent: agent.clone(),
                url: url.clone(),
                peer,
            };
            self.service.spawn(server.run(said));
        }
    }
}

/// One server that chunks are fetched from.
#[derive(Clone)]
struct Server {
    shared: Shared,
    partial: Partial,
    agent: Agent,
    url: String,
    peer: PeerId,
}

impl Server {
    /// Fetches what it is asked for, until nobody asks any more or it is of no use.
    async fn run(self, mut said: mpsc::Receiver<Frame>) {
        let (mut wanted, mut breaks) = (VecDeque::new(), 0);
        loop {
            let frame = if wanted.is_empty() {
                said.recv().await.ok_or(TryRecvError::Disconnected)
            } else {
                said.try_recv()
            };
            match frame {
                Ok(Frame::Ask { index }) => wanted.push_back(index),
                Ok(Frame::Cancel { index }) => wanted.retain(|wanted| *wanted != index),
                Ok(_) => {}
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    let Some(index) = wanted.front().copied() else {
                        continue;
                    };
                    match self.fetch(index).await {
                        Ok(event) => {
                            let is_last = !matches!(event, PeerEvent::Written { .. });
                            self.shared.tell(self.peer, event).await;
                            if is_last {
                                return;
                            }
                            wanted.pop_front();
                            breaks = 0;
                        }
                        Err(UrlError::Broken(_)) if breaks < BREAKS_MAX => breaks += 1,
                        Err(error) => {
                            tracing::debug!(url = %self.url, %error, "a server is given up");
                            let gone = PeerEvent::Gone(Gone::Left);
                            return self.shared.tell(self.peer, gone).await;
                        }
                    }
                }
            }
        }
    }

    /// Fetches, verifies and writes one chunk.
    async fn fetch(&self, index: u64) -> Result<PeerEvent, UrlError> {
        let server = self.clone();
        let fetched = self.shared.service.blocking(move |_| {
            let (shared, partial) = (&server.shared, &server.partial);
            let mut pace = Pace::new(shared.service.now());
            let mut seen = |bytes: usize| {
                shared.received.fetch_add(bytes as u64, Ordering::Relaxed);
                // A lost hint costs nothing.
                let event = PeerEvent::Arrived { index, bytes };
                let _ = shared.events.try_send((server.peer, event));
                if shared.events.is_closed() {
                    return Err(UrlError::Stopped);
                }
                pace.count(shared.service.now(), bytes as u64)
            };
            let bytes = partial.layout().range(index);
            let bytes = range(&server.agent, &server.url, bytes, &mut seen)?;
            Ok(match partial.write_listed(index, &bytes) {
                Ok(_) => PeerEvent::Written { index },
                Err(WriteError::Verify(_)) => PeerEvent::Bad { index },
                Err(error) => PeerEvent::Disk(FileError::of_write(partial.data_path(), &error)),
            })
        });
        fetched.await.unwrap_or(Err(UrlError::Stopped))
    }
}
