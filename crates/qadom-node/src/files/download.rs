//! Fetching one file from many nodes at once: the task around the scheduler of `qadom-files`.
//!
//! What must stay true: the scheduler decides, this task carries out; nothing is kept before the size
//! of the file is proven; a file is fetched once however many want it; when nobody wants it any more
//! the task ends, and what was verified stays.
//!
//! Who has it is found by `discovery`, one node is spoken to by `peer`, where chunks go is said by
//! `place`; `proving` finds the size, `supply` looks for more holders and gives up in the end,
//! `servers` lets plain HTTP servers take part.

mod holders;
mod proving;
mod servers;
mod sizing;
mod supply;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qadom_files::{Download, Effect, Entry, FileId, Layout, Manifest, PeerId, ReaderId, Refused};
use qadom_routing::{Contact, NodeId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::sizing::Sizing;
use super::error::FileError;
use super::frame::Frame;
use super::peer::{PeerEvent, Shared};
use super::place::Place;
use super::search::Search;
use super::service::{Service, lock};
use super::task::{FilePhase, FileProgress};
use crate::node::Node;

/// Chunks on their way to the disk.
const WRITES_MAX: usize = 8;
/// What peers tell and is not yet taken in.
const EVENTS_MAX: usize = 1024;
/// What users ask of a download and is not yet taken in.
const WISHES_MAX: usize = 64;
/// How often users are told how far it is, at most.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Files that are read over this node at once without being its own; one more is refused.
pub(crate) const PASSING_MAX: usize = 64;

/// A download under way, for all who want it. It ends when the last of them is gone.
#[derive(Debug)]
pub(crate) struct Active {
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) state: watch::Receiver<State>,
    /// Where the chunks are; none until the size is proven.
    pub(super) place: Arc<Mutex<Option<Place>>>,
    /// Where it will lie when it is whole.
    pub(super) target: Target,
    /// Bytes of chunks that have come, of use or not.
    pub(super) received: Arc<AtomicU64>,
}

/// How far a download is.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) progress: FileProgress,
    pub(super) layout: Option<Layout>,
    pub(super) ended: Option<Result<Entry, FileError>>,
}

/// What users ask of a download.
#[derive(Debug)]
pub(super) enum Wish {
    /// All of it.
    Whole,
    /// These bytes first and in order, as somebody reads them.
    Read {
        bytes: std::ops::Range<u64>,
        caller: oneshot::Sender<ReaderId>,
    },
    /// Somebody has read up to here.
    Advance(ReaderId, u64),
    /// Somebody reads no more.
    Close(ReaderId),
    /// Somebody waits for a chunk that is not there, though it may have been.
    Lacks(u64),
}

/// Where a file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Into the node's own folder.
    Folder,
    /// To a place of the user's.
    Path(PathBuf),
    /// Nowhere: it is read while it comes, and kept only as long as there is room.
    Passing,
}

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) file: FileId,
    /// The list of all chunks, where it is known; it proves the size, too.
    pub(super) manifest: Option<Arc<Manifest>>,
    /// Where plain HTTP servers have the file, as others claim.
    pub(super) urls: Vec<String>,
    pub(super) target: Target,
    /// What it is called here.
    pub(super) name: String,
}

impl Order {
    /// The place of the user's where it goes, if there is one.
    fn path(&self) -> Option<PathBuf> {
        match &self.target {
            Target::Path(path) => Some(path.clone()),
            Target::Folder | Target::Passing => None,
        }
    }
}

/// Begins to fetch a file, or joins those who fetch it already.
pub(super) fn begin(
    service: &Arc<Service>,
    node: &Node,
    order: Order,
) -> Result<Arc<Active>, FileError> {
    let mut downloads = lock(&service.downloads);
    downloads.retain(|_, active| active.strong_count() > 0);
    let is_passing = order.target == Target::Passing;
    let going = |key| {
        let active = downloads.get(&key).and_then(std::sync::Weak::upgrade);
        active.filter(|active| active.state.borrow().ended.is_none())
    };
    if let Some(active) = going((order.file, false)) {
        return if is_passing || order.target == Target::Folder || order.target == active.target {
            Ok(active)
        } else {
            Err(FileError::Underway { id: order.file })
        };
    }
    if is_passing {
        if let Some(active) = going((order.file, true)) {
            return Ok(active);
        }
        if downloads.keys().filter(|(_, passing)| *passing).count() >= PASSING_MAX {
            let what = "files that are read over this node";
            return Err(FileError::Busy { what });
        }
    }
    let (wishes, queue) = mpsc::channel(WISHES_MAX);
    let (tell, told) = watch::channel(State::default());
    let place = Arc::<Mutex<Option<Place>>>::default();
    let received = Arc::<AtomicU64>::default();
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let active = Arc::new(Active {
        wishes,
        state: told,
        place: Arc::clone(&place),
        target: order.target.clone(),
        received: Arc::clone(&received),
    });
    downloads.insert((order.file, is_passing), Arc::downgrade(&active));
    let shared = Shared {
        service: Arc::clone(service),
        file: order.file,
        place,
        writes: Arc::new(Semaphore::new(WRITES_MAX)),
        received,
        events: sender,
    };
    let fetching = run(shared, node.clone(), order, (queue, tell, events));
    service.spawn(fetching);
    Ok(active)
}

type Ends = (
    mpsc::Receiver<Wish>,
    watch::Sender<State>,
    mpsc::Receiver<(PeerId, PeerEvent)>,
);

async fn run(shared: Shared, node: Node, order: Order, (wished, tell, events): Ends) {
    let attempt = Attempt::new(&shared, &node, &order, (&tell, events));
    let result = match attempt.run(wished).await {
        Ended::Whole(entry) => Ok(*entry),
        Ended::Failed(error) => Err(error),
        Ended::Unwanted => return,
    };
    *lock(&shared.place) = None;
    tell.send_modify(|state| state.ended = Some(result));
}

/// How a download ended.
enum Ended {
    Whole(Box<Entry>),
    Failed(FileError),
    /// Nobody wants the file any more.
    Unwanted,
}

/// A node as this download knows it.
#[derive(Debug)]
struct Known {
    contact: Contact,
    state: Standing,
}

#[derive(Debug)]
enum Standing {
    /// Being called.
    Called,
    /// It said how large the file is, which nobody has proven yet.
    Claims,
    /// Its stream stands, over which this can be said.
    Here(mpsc::Sender<Frame>),
    /// It serves as many others as it can; it may be called again.
    Busy,
    /// It is gone; it may be called again.
    Gone,
    /// It broke the rules, or says another size than the proven one.
    Barred,
}

/// A download as its task sees it.
struct Attempt<'a> {
    service: &'a Arc<Service>,
    node: &'a Node,
    order: &'a Order,
    tell: &'a watch::Sender<State>,
    place: &'a Arc<Mutex<Option<Place>>>,
    shared: &'a Shared,
    events: mpsc::Receiver<(PeerId, PeerEvent)>,
    /// None until the size is proven, as is the next.
    download: Option<Download>,
    layout: Option<Layout>,
    /// What is said of the size before.
    sizing: Sizing<mpsc::Sender<Frame>>,
    /// Whether somebody wants all of it.
    is_whole: bool,
    /// What the next peers are numbered.
    next_peer: u64,
    known: HashMap<NodeId, Known>,
    peers: HashMap<PeerId, NodeId>,
    /// The servers that take part, and how they are asked.
    servers: HashMap<PeerId, mpsc::Sender<Frame>>,
    search: Search,
    /// Searches in a row after which nothing more came.
    vain: u32,
    told_at: Duration,
}

impl<'a> Attempt<'a> {
    fn new(
        shared: &'a Shared,
        node: &'a Node,
        order: &'a Order,
        (tell, events): (
            &'a watch::Sender<State>,
            mpsc::Receiver<(PeerId, PeerEvent)>,
        ),
    ) -> Self {
        let (service, place) = (&shared.service, &shared.place);
        Self {
            service,
            node,
            order,
            tell,
            place,
            shared,
            events,
            download: None,
            layout: None,
            sizing: Sizing::default(),
            is_whole: false,
            next_peer: 0,
            known: HashMap::new(),
            peers: HashMap::new(),
            servers: HashMap::new(),
            search: Search::begin(service, node, order.file, Vec::new()),
            vain: 0,
            told_at: Duration::ZERO,
        }
    }

    async fn run(mut self, mut wished: mpsc::Receiver<Wish>) -> Ended {
        if let Err(error) = self.begin_with_what_is_here().await {
            return Ended::Failed(error);
        }
        loop {
            match self.carry_out().await {
                Ok(None) => {}
                Ok(Some(ended)) => return ended,
                Err(error) => return Ended::Failed(error),
            }
            self.report();
            let now = self.service.now();
            let download = self.download.as_ref();
            let due = download.and_then(|download| download.next_deadline(now));
            let due = due.map_or(Duration::from_secs(1), |due| {
                due.saturating_sub(self.service.now())
            });
            let step = tokio::select! {
                event = self.events.recv() => match event {
                    Some((peer, event)) => self.on_event(peer, event).await,
                    None => Err(FileError::Internal),
                },
                searched = self.search.next() => {
                    self.on_searched(searched);
                    Ok(())
                }
                wish = wished.recv() => match wish {
                    Some(wish) => self.on_wish(wish).await,
                    None => return Ended::Unwanted,
                },
                () = tokio::time::sleep(due) => {
                    let now = self.service.now();
                    if let Some(download) = &mut self.download {
                        download.on_deadline(now);
                    }
                    Ok(())
                }
            };
            if let Err(error) = step {
                return Ended::Failed(error);
            }
        }
    }

    /// Does what the scheduler wants done; tells when that was the end.
    async fn carry_out(&mut self) -> Result<Option<Ended>, FileError> {
        let mut is_starved = false;
        while let Some(effect) = self.download.as_mut().and_then(Download::next_effect) {
            match effect {
                Effect::Request { peer, chunk } => self.say(peer, Frame::Ask { index: chunk }),
                Effect::Cancel { peer, chunk } => self.say(peer, Frame::Cancel { index: chunk }),
                Effect::Lost { peer, reason } => {
                    tracing::debug!(?reason, "a holder is given up");
                    self.bar(peer);
                }
                Effect::Starved => is_starved = true,
                Effect::Done if self.order.target == Target::Passing => {}
                Effect::Done => return self.finish().await.map(Some),
            }
        }
        self.ask_for_proof();
        if is_starved && self.search.is_over() {
            self.search_again().await?;
        }
        self.stuck().await
    }

    /// Puts the whole file into its place.
    async fn finish(&mut self) -> Result<Ended, FileError> {
        let Some(Place::Own(partial)) = lock(self.place).clone() else {
            return Err(FileError::Internal);
        };
        let (name, target) = (self.order.name.clone(), self.order.path());
        let path = target.clone();
        let path = path.unwrap_or_else(|| self.service.path.clone());
        let finished = self
            .service
            .blocking(move |folder| folder.finish(&partial, &name, target.as_deref()));
        let finished = finished.await?;
        let entry = finished.map_err(|error| FileError::of_finish(&path, &error))?;
        Ok(Ended::Whole(Box::new(entry)))
    }

    async fn on_event(&mut self, peer: PeerId, event: PeerEvent) -> Result<(), FileError> {
        let now = self.service.now();
        match event {
            PeerEvent::Met { layout, has, say } => self.on_met(peer, (layout, has, say)),
            PeerEvent::Proven {
                layout,
                bytes,
                proof,
            } => return self.on_proven(layout, (bytes, proof)).await,
            PeerEvent::Has(layout, has) => self.on_has(peer, (layout, has)),
            PeerEvent::Listed => self.call_servers(),
            PeerEvent::Disk(error) => return Err(error),
            PeerEvent::Gone(why) => self.on_gone(peer, why),
            PeerEvent::Bad { index } => match &mut self.download {
                Some(download) => download.on_bad(now, peer, index),
                None => self.bar(peer),
            },
            PeerEvent::Refused { index, retry } => match &mut self.download {
                Some(download) => {
                    let refused = match retry {
                        Some(retry_after) => Refused::Busy(retry_after),
                        None => Refused::Missing,
                    };
                    download.on_refused(now, peer, index, refused);
                }
                // It does not show that its word is true; it may another time.
                None => self.stand(peer, Standing::Gone),
            },
            PeerEvent::Arrived { index, bytes } => {
                if let Some(download) = &mut self.download {
                    download.on_received(now, peer, index, bytes as u64);
                }
            }
            PeerEvent::Written { index } => {
                self.vain = 0;
                if let Some(download) = &mut self.download {
                    download.on_verified(now, peer, index);
                }
            }
        }
        Ok(())
    }

    async fn on_wish(&mut self, wish: Wish) -> Result<(), FileError> {
        let now = self.service.now();
        self.is_whole |= matches!(wish, Wish::Whole);
        let Some(download) = &mut self.download else {
            // A reader whose caller hears nothing asks again.
            return Ok(());
        };
        match wish {
            Wish::Whole => download.want_whole(now, true),
            Wish::Read { bytes, caller } => {
                let reader = download.open_reader(now, bytes, super::reader::READ_AHEAD);
                if let Some(reader) = reader
                    && caller.send(reader).is_err()
                {
                    download.close_reader(reader);
                }
            }
            Wish::Advance(reader, offset) => download.seek(now, reader, offset),
            Wish::Close(reader) => download.close_reader(reader),
            Wish::Lacks(chunk) => {
                let place = lock(self.place).clone();
                if let Some(place) = place.filter(|_| download.have().contains(chunk)) {
                    let look = move |folder: &_| place.contains(folder, chunk);
                    if !self.service.blocking(look).await? {
                        download.on_gone(now, chunk);
                    }
                }
            }
        }
        Ok(())
    }

    fn report(&mut self) {
        let now = self.service.now();
        let Some(download) = &self.download else {
            return;
        };
        let progress = download.progress();
        let is_due = now.saturating_sub(self.told_at) >= TELL_EVERY;
        let verified = self.tell.borrow().progress.done;
        if progress.verified == verified && !is_due {
            return;
        }
        self.told_at = now;
        let progress = FileProgress {
            phase: FilePhase::Fetching,
            id: Some(self.order.file),
            size: self.layout.map(Layout::size),
            done: progress.verified,
            rate: progress.rate,
            peers: u32::try_from(progress.peers).unwrap_or(u32::MAX),
        };
        self.tell.send_modify(|state| state.progress = progress);
    }
}
