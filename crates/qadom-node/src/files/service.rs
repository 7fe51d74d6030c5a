//! What all work on the files of one node shares: the folder, the limits, what is under way.
//!
//! What must stay true: the disk is waited for on threads of their own; nothing here keeps a node
//! alive that nobody holds any more; when it is closed, nothing touches the folder any more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use qadom_engine::InboundId;
use qadom_files::{FileId, Folder, Usage};
use qadom_routing::{Moment, NodeKey};
use qadom_transport::Accepted;
use qadom_wire::{Holds, Offer};
use tokio::sync::{Semaphore, mpsc, watch};

use super::download::Active;
use super::error::FileError;
use super::hold::Offers;
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::node::{Inner, Node};

/// Nodes that are served chunks at once; one more is told to come back later.
pub(crate) const UPLOADS_MAX: usize = 64;
/// Questions of peers about files that wait, and as many that are being answered; one more is refused
/// as busy.
pub(crate) const ASKED_MAX: usize = 256;
/// How long the end of a node waits for what is on its way to the disk.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// How a node deals with files.
#[derive(Clone, Debug)]
pub(crate) struct FileSettings {
    /// Bytes per second that go out; none for no limit.
    pub(crate) upload_rate: Option<u64>,
    /// Nodes that are served at once.
    pub(crate) uploads: usize,
    /// How often it is looked after whether enough nodes have what was pushed.
    pub(crate) repair_every: Duration,
    /// Where anybody reaches the node's gateway; told with the names that are given here.
    pub(crate) gateway_url: Option<String>,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            upload_rate: None,
            uploads: UPLOADS_MAX,
            repair_every: Duration::from_hours(1),
            gateway_url: None,
        }
    }
}

/// What a peer asks about files, which the engine hands up.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Whether chunks will be kept here.
    Offer {
        inbound: InboundId,
        key: NodeKey,
        address: SocketAddr,
        offer: Offer,
    },
    /// Which chunks are here.
    Holds { inbound: InboundId, holds: Holds },
}

/// The files of one node.
pub(crate) struct Service {
    pub(crate) folder: Arc<Folder>,
    pub(crate) path: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) settings: FileSettings,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) throttle: Throttle,
    /// Places for questions that are being answered.
    pub(crate) questions: Arc<Semaphore>,
    /// What is held for others, as it was when that was last looked at.
    pub(crate) usage: Mutex<Usage>,
    /// What this node said that it will pull, and from whom.
    pub(crate) offers: Mutex<Offers>,
    /// Held while the list of what was pushed changes.
    pub(crate) pushing: tokio::sync::Mutex<()>,
    /// What is being fetched, and whether it only passes through; it ends with the last one who wants
    /// it.
    pub(crate) downloads: Mutex<HashMap<(FileId, bool), Weak<Active>>>,
    /// Where streams go that a program accepts itself.
    pub(crate) applications: Mutex<Option<mpsc::Sender<Accepted>>>,
    node: OnceLock<Weak<Inner>>,
    closing: watch::Sender<bool>,
    /// Cloned into all work; none once the node ends.
    alive: Mutex<Option<mpsc::Sender<()>>>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Service")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Service {
    pub(crate) fn new(
        folder: Folder,
        path: PathBuf,
        clock: Clock,
        settings: FileSettings,
    ) -> Arc<Self> {
        let (alive, ended) = mpsc::channel(1);
        Arc::new(Self {
            path,
            clock,
            uploads: Arc::new(Semaphore::new(settings.uploads)),
            throttle: Throttle::new(settings.upload_rate),
            questions: Arc::new(Semaphore::new(ASKED_MAX)),
            settings,
            usage: Mutex::new(folder.held().usage()),
            folder: Arc::new(folder),
            offers: Mutex::default(),
            pushing: tokio::sync::Mutex::default(),
            downloads: Mutex::default(),
            applications: Mutex::default(),
            node: OnceLock::new(),
            closing: watch::channel(false).0,
            alive: Mutex::new(Some(alive)),
            ended: tokio::sync::Mutex::new(ended),
        })
    }

    /// Tells which node it works for, without keeping that alive.
    pub(crate) fn belong_to(&self, node: &Node) {
        // A service is made for one node.
        let _ = self.node.set(Arc::downgrade(&node.inner));
    }

    /// The node; none when nobody holds it any more.
    pub(crate) fn node(&self) -> Option<Node> {
        let inner = self.node.get()?.upgrade()?;
        Some(Node { inner })
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now().moment.since(Moment::ORIGIN)
    }

    /// Seconds of UTC.
    pub(crate) fn utc_seconds(&self) -> u64 {
        self.clock.now().utc_seconds()
    }

    /// Does work in a task that ends with the node.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let Some(alive) = lock(&self.alive).clone() else {
            return;
        };
        let mut closing = self.closing.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
            drop(alive);
        });
    }

    /// Does what waits for the disk on a thread that may.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> T + Send + 'static,
    ) -> Result<T, FileError> {
        let alive = lock(&self.alive).clone().ok_or(FileError::Stopped)?;
        let folder = Arc::clone(&self.folder);
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&folder);
            drop((folder, alive));
            done
        });
        work.await.map_err(|_| FileError::Internal)
    }

    /// Ends all work, and waits for what is on its way to the disk.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        *lock(&self.alive) = None;
        lock(&self.applications).take();
        let mut ended = self.ended.lock().await;
        if tokio::time::timeout(CLOSE_MAX, ended.recv()).await.is_err() {
            tracing::error!("the disk does not take what is on its way to a file, it is given up");
        }
    }
}

/// Locks what no panic can leave half done: each holder makes one small change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
