//! Fetching one file from many nodes at once: the task around the scheduler of `qadom-files`.
//!
//! What must stay true: the scheduler decides, this task carries out; a file is fetched once however
//! many want it; when nobody wants it any more the task ends, and what was verified stays.
//!
//! Who has it is found by `discovery`, one node is spoken to by `peer`.

mod holders;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qadom_files::{
    ChunkSet, Download, Effect, Entry, FileId, Layout, Partial, PeerId, ReaderId, Refused,
};
use qadom_routing::{Contact, NodeId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::error::FileError;
use super::frame::Frame;
use super::peer::{PeerEvent, Shared};
use super::search::{Search, Searched};
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
/// Searches in a row that bring nobody before the rest counts as missing.
const SEARCHES: u32 = 3;

/// A download under way, for all who want it. It ends when the last of them is gone.
#[derive(Debug)]
pub(crate) struct Active {
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) state: watch::Receiver<State>,
    /// Where the chunks are; none until the size is known.
    pub(super) partial: Arc<Mutex<Option<Partial>>>,
    /// Where it will lie when it is whole; none for the node's own folder.
    pub(super) target: Option<PathBuf>,
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
}

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) file: FileId,
    /// The size, where a name or a manifest says it.
    pub(super) size: Option<u64>,
    /// Where it will lie; none for the node's own folder.
    pub(super) target: Option<PathBuf>,
    /// What it is called here.
    pub(super) name: String,
}

/// Begins to fetch a file, or joins those who fetch it already.
pub(super) fn begin(
    service: &Arc<Service>,
    node: &Node,
    order: Order,
) -> Result<Arc<Active>, FileError> {
    let mut downloads = lock(&service.downloads);
    downloads.retain(|_, active| active.strong_count() > 0);
    if let Some(active) = downloads
        .get(&order.file)
        .and_then(std::sync::Weak::upgrade)
        && active.state.borrow().ended.is_none()
    {
        return if order.target.is_none() || order.target == active.target {
            Ok(active)
        } else {
            Err(FileError::Underway { id: order.file })
        };
    }
    let (wishes, queue) = mpsc::channel(WISHES_MAX);
    let (tell, told) = watch::channel(State::default());
    let partial = Arc::<Mutex<Option<Partial>>>::default();
    let active = Arc::new(Active {
        wishes,
        state: told,
        partial: Arc::clone(&partial),
        target: order.target.clone(),
    });
    downloads.insert(order.file, Arc::downgrade(&active));
    let fetching = run(
        Arc::clone(service),
        node.clone(),
        order,
        (queue, tell, partial),
    );
    service.spawn(fetching);
    Ok(active)
}

type Ends = (
    mpsc::Receiver<Wish>,
    watch::Sender<State>,
    Arc<Mutex<Option<Partial>>>,
);

async fn run(service: Arc<Service>, node: Node, order: Order, (mut wished, tell, partial): Ends) {
    let mut disproved = BTreeSet::new();
    let mut is_whole = false;
    let result = loop {
        let size = order.size.filter(|size| !disproved.contains(size));
        let attempt = Attempt::new(&service, &node, &order, (&tell, &partial));
        match attempt
            .run(&mut wished, size, &disproved, &mut is_whole)
            .await
        {
            Ended::Whole(entry) => break Ok(*entry),
            Ended::Failed(error) => break Err(error),
            Ended::WrongSize(size) => {
                disproved.insert(size);
            }
            Ended::Unwanted => return,
        }
    };
    *lock(&partial) = None;
    tell.send_modify(|state| state.ended = Some(result));
}

/// How an attempt ended.
enum Ended {
    Whole(Box<Entry>),
    Failed(FileError),
    /// Nobody who said that the file has this size could show its last chunk, and others say
    /// another one.
    WrongSize(u64),
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
    /// Its stream stands, over which this can be said.
    Here(mpsc::Sender<Frame>),
    /// It is gone; it may be called again.
    Gone,
    /// It broke the rules, or says another size.
    Barred,
}

/// A download under one claim of the file's size.
struct Attempt<'a> {
    service: &'a Arc<Service>,
    node: &'a Node,
    order: &'a Order,
    tell: &'a watch::Sender<State>,
    partial: &'a Arc<Mutex<Option<Partial>>>,
    shared: Shared,
    events: mpsc::Receiver<(PeerId, PeerEvent)>,
    download: Option<Download>,
    layout: Option<Layout>,
    /// What the next peers are numbered.
    next_peer: u64,
    known: HashMap<NodeId, Known>,
    peers: HashMap<PeerId, NodeId>,
    /// Sizes that others claim.
    other_sizes: BTreeSet<u64>,
    search: Search,
    /// Searches in a row after which nothing more came.
    vain: u32,
    told_at: Duration,
}

impl<'a> Attempt<'a> {
    fn new(
        service: &'a Arc<Service>,
        node: &'a Node,
        order: &'a Order,
        (tell, partial): (&'a watch::Sender<State>, &'a Arc<Mutex<Option<Partial>>>),
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let shared = Shared {
            service: Arc::clone(service),
            file: order.file,
            partial: Arc::clone(partial),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            events: sender,
        };
        Self {
            service,
            node,
            order,
            tell,
            partial,
            shared,
            events,
            download: None,
            layout: None,
            next_peer: 0,
            known: HashMap::new(),
            peers: HashMap::new(),
            other_sizes: BTreeSet::new(),
            search: Search::begin(service, node, order.file, Vec::new()),
            vain: 0,
            told_at: Duration::ZERO,
        }
    }

    async fn run(
        mut self,
        wished: &mut mpsc::Receiver<Wish>,
        size: Option<u64>,
        disproved: &BTreeSet<u64>,
        is_whole: &mut bool,
    ) -> Ended {
        if let Some(size) = size
            && let Err(error) = self.lay_out(size, *is_whole).await
        {
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
                    Some((peer, event)) => self.on_event(peer, event, disproved, *is_whole).await,
                    None => Err(FileError::Internal),
                },
                searched = self.search.next() => {
                    self.on_searched(searched);
                    Ok(())
                }
                wish = wished.recv() => match wish {
                    Some(wish) => {
                        self.on_wish(wish, is_whole);
                        Ok(())
                    }
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

    /// Makes room for a file of this size, or goes on with what is there of it.
    async fn lay_out(&mut self, size: u64, is_whole: bool) -> Result<(), FileError> {
        let layout = Layout::new(size).map_err(|error| FileError::Malformed {
            problem: error.to_string(),
        })?;
        let (file, target) = (self.order.file, self.order.target.clone());
        let path = target.clone().unwrap_or_else(|| self.service.path.clone());
        let made = self.service.blocking(move |folder| {
            let partial = folder.download(&file, size, target.as_deref())?;
            let have = partial.have();
            Ok::<_, qadom_files::DownloadError>((partial, have))
        });
        let (partial, have) = made
            .await?
            .map_err(|error| FileError::of_download(&path, &error))?;
        let seed = rand::random();
        let mut download = Download::new(layout, have, seed);
        download.want_whole(self.service.now(), is_whole);
        self.download = Some(download);
        self.layout = Some(layout);
        *lock(self.partial) = Some(partial);
        self.tell.send_modify(|state| state.layout = Some(layout));
        Ok(())
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
                Effect::Done => return self.finish().await.map(Some),
            }
        }
        if is_starved && self.search.is_over() {
            let missing = self.missing();
            self.search_again(missing);
        }
        Ok(self.stuck())
    }

    /// Puts the whole file into its place.
    async fn finish(&mut self) -> Result<Ended, FileError> {
        let partial = lock(self.partial).clone().ok_or(FileError::Internal)?;
        let (name, target) = (self.order.name.clone(), self.order.target.clone());
        let path = self.order.target.clone();
        let path = path.unwrap_or_else(|| self.service.path.clone());
        let finished = self
            .service
            .blocking(move |folder| folder.finish(&partial, &name, target.as_deref()));
        let finished = finished.await?;
        let entry = finished.map_err(|error| FileError::of_finish(&path, &error))?;
        Ok(Ended::Whole(Box::new(entry)))
    }

    /// Where nobody is left to wait for: looks for others, and in the end gives up.
    fn stuck(&mut self) -> Option<Ended> {
        let is_called = |known: &Known| matches!(known.state, Standing::Called);
        if !self.search.is_over() || self.known.values().any(is_called) {
            return None;
        }
        let (mut verified, mut missing) = (0, 1);
        if let Some(download) = &self.download {
            let progress = download.progress();
            if progress.requests > 0 || progress.missing == 0 {
                return None;
            }
            (verified, missing) = (progress.verified, progress.missing);
        }
        let layout = self.layout;
        if let Some(layout) = layout
            && verified == 0
            && !self.other_sizes.is_empty()
        {
            return Some(Ended::WrongSize(layout.size()));
        }
        if self.vain < SEARCHES {
            let missing = self.missing();
            self.search_again(missing);
            return None;
        }
        Some(Ended::Failed(match layout {
            Some(layout) => FileError::Incomplete {
                id: self.order.file,
                missing,
                chunks: layout.chunks(),
            },
            None => FileError::NotFound {
                what: self.order.file.to_string(),
            },
        }))
    }

    async fn on_event(
        &mut self,
        peer: PeerId,
        event: PeerEvent,
        disproved: &BTreeSet<u64>,
        is_whole: bool,
    ) -> Result<(), FileError> {
        let now = self.service.now();
        if let PeerEvent::Met { size, has, say } = event {
            if self.layout.is_none() && !disproved.contains(&size) {
                self.lay_out(size, is_whole).await?;
            }
            if self.layout.is_none_or(|layout| layout.size() != size) {
                if !disproved.contains(&size) {
                    self.other_sizes.insert(size);
                }
                self.bar(peer);
                return Ok(());
            }
            self.stand(peer, Standing::Here(say));
            if let Some(download) = &mut self.download {
                download.add_peer(now, peer, has, None);
            }
            return Ok(());
        }
        let Some(download) = &mut self.download else {
            if matches!(event, PeerEvent::Gone { .. }) {
                self.stand(peer, Standing::Gone);
            }
            return Ok(());
        };
        match event {
            PeerEvent::Met { .. } => {}
            PeerEvent::Has(has) => download.update_peer(now, peer, has),
            PeerEvent::Arrived { index, bytes } => {
                download.on_received(now, peer, index, bytes as u64);
            }
            PeerEvent::Written { index } => {
                self.vain = 0;
                download.on_verified(now, peer, index);
            }
            PeerEvent::Bad { index } => download.on_bad(now, peer, index),
            PeerEvent::Refused { index, retry } => {
                let refused = match retry {
                    Some(retry_after) => Refused::Busy(retry_after),
                    None => Refused::Missing,
                };
                download.on_refused(now, peer, index, refused);
            }
            PeerEvent::Disk(error) => return Err(error),
            PeerEvent::Gone { lied } => {
                download.remove_peer(now, peer);
                self.stand(
                    peer,
                    if lied {
                        Standing::Barred
                    } else {
                        Standing::Gone
                    },
                );
            }
        }
        Ok(())
    }

    fn on_searched(&mut self, searched: Searched) {
        match searched {
            Searched::Found(contact) => self.call(contact),
            Searched::Over => self.vain += 1,
        }
    }

    fn missing(&self) -> Vec<u64> {
        let (Some(layout), Some(partial)) = (self.layout, lock(self.partial).clone()) else {
            return vec![0];
        };
        let have: ChunkSet = partial.have();
        let missing = (0..layout.chunks()).filter(|chunk| !have.contains(*chunk));
        missing.take(super::search::CHUNKS_MAX).collect()
    }

    fn search_again(&mut self, missing: impl IntoIterator<Item = u64>) {
        if self.vain >= SEARCHES {
            return;
        }
        let missing = missing.into_iter().take(super::search::CHUNKS_MAX);
        let missing = missing.collect();
        self.search = Search::again(self.service, self.node, self.order.file, missing);
        // Those who have a part may have more by now.
        for known in self.known.values() {
            if let Standing::Here(say) = &known.state {
                // One that takes no questions is found out when it is asked for a chunk.
                let _ = say.try_send(Frame::Look);
            }
        }
    }

    fn on_wish(&mut self, wish: Wish, is_whole: &mut bool) {
        let now = self.service.now();
        *is_whole |= matches!(wish, Wish::Whole);
        let Some(download) = &mut self.download else {
            // A reader whose caller hears nothing asks again.
            return;
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
        }
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
