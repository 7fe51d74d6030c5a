//! The task of a node: it waits for a datagram, a command, a deadline or a report of the flusher,
//! tells the endpoint or the engine, and drains both until they are quiet.
//!
//! What must stay true: endpoint and engine are used by this task alone, so they need no lock, and
//! nothing here waits for the disk except the store's own buffered reads and writes. `up` carries
//! events to the engine, `down` effects to the endpoint, `serve` commands, `close` the end.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qadom_engine::{Addresses, Engine, Failure, InboundId, Mode, OperationId, Outcome, Time};
use qadom_routing::{Contact, Moment, NodeKey};
use qadom_store::{Opening, Store};
use qadom_transport::{Endpoint, Quic};
use qadom_wire::{Network, Reason};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};

use crate::bootstrap::Bootstrap;
use crate::clock::Clock;
use crate::command::{Command, Marked, Signals};
use crate::contacts::Saved;
use crate::convert::{Parameters, transport_hello, transport_time};
use crate::error::{StartError, StopReason};
use crate::files::{Asked, Service};
use crate::flusher::{Flusher, Report};
use crate::folder::Folder;
use crate::here::Here;
use crate::identity::Identity;
use crate::node::Facts;
use crate::quarantines::Quarantines;
use crate::sockets::Sockets;

mod close;
mod datagrams;
mod down;
mod feeds;
mod health;
mod journal;
mod rates;
mod reading;
mod records;
mod serve;
#[cfg(test)]
mod tests;
mod up;

pub(crate) use journal::{Promises, check_promise};

use feeds::Feeds;
use health::Health;
use rates::Rates;
use reading::Reading;

/// How often contacts and time are written down.
const SAVE_EVERY: Duration = Duration::from_mins(1);

/// Neighbours that are written down first: so many of the nearest, then so many of the oldest.
const NEAREST: usize = 32;
const OLDEST: usize = 32;

/// Commands that are carried out before datagrams get their turn again.
const COMMANDS_AT_ONCE: usize = 64;

/// Requests of peers that are served before datagrams and commands get their turn again. Those
/// beyond wait in the endpoint, which tells peers that the node is busy when they are too many.
const REQUESTS_AT_ONCE: usize = 256;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) here: Arc<Here>,
    pub(crate) network: Network,
    pub(crate) id_bits: u8,
    /// None for the default.
    pub(crate) bits_per_level: Option<u8>,
    pub(crate) mode: Mode,
    pub(crate) mode_is_fixed: bool,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) identity: Identity,
    pub(crate) identities: Vec<Arc<qadom_wire::Identity>>,
    pub(crate) promises: Promises,
    pub(crate) opening: Opening,
    pub(crate) quarantines: Arc<Quarantines>,
    pub(crate) folder: Folder,
    pub(crate) known: Vec<Contact>,
    pub(crate) known_since: Vec<u64>,
    pub(crate) sockets: Sockets,
    pub(crate) quic: Arc<Quic>,
    pub(crate) queue: mpsc::Receiver<Box<Command>>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) files: Arc<Service>,
    pub(crate) asked: mpsc::Sender<Box<Asked>>,
}

/// The running node.
pub(crate) struct Driver {
    clock: Clock,
    reading: Reading,
    endpoint: Endpoint,
    engine: Engine,
    sockets: Sockets,
    quic: Arc<Quic>,
    queue: mpsc::Receiver<Box<Command>>,
    signals: Arc<Signals>,
    facts: Arc<Facts>,
    parameters: Parameters,
    health: Health,
    store: Arc<dyn Store>,
    /// Entries of the store that were damaged, when it was last looked at.
    damaged: u64,
    quarantines: Arc<Quarantines>,
    /// None when commits wait for nothing.
    flusher: Option<Flusher>,
    /// Entries of the journal from which those that say nothing are looked for.
    prune_at: usize,
    folder: Arc<Folder>,
    /// The neighbours that were last written down.
    known: Vec<Contact>,
    /// Since when they have been known, in seconds of UTC.
    known_since: Vec<u64>,
    /// None when the folder does not outlive the node.
    save_at: Option<Moment>,
    saving: Option<JoinHandle<()>>,
    bootstrap: Option<AbortHandle>,
    files: Arc<Service>,
    /// Where questions of peers about files go.
    asked: mpsc::Sender<Box<Asked>>,
    /// Who waits for an operation of the engine.
    callers: HashMap<OperationId, oneshot::Sender<Result<Outcome, Failure>>>,
    feeds: Feeds,
    rates: Rates,
    /// Who waits for the key of whoever answers at an address, by token.
    searches: HashMap<u64, oneshot::Sender<Result<NodeKey, Reason>>>,
    last_search: u64,
    /// Who waits for the journal to have a block, or its end, by the journal's ticket.
    marking: BTreeMap<u64, oneshot::Sender<Marked>>,
    /// How the endpoint names the requests that the engine is answering.
    inbound: HashMap<InboundId, qadom_transport::InboundId>,
    last_inbound: u64,
    /// Set when the node has to end.
    stop: Option<StopReason>,
}

/// What the task waits for.
enum Input {
    Readable(io::Result<()>),
    Command(Option<Box<Command>>),
    Report(Option<Report>),
    Woken,
    /// Requests wait, and whoever shares the thread had its turn.
    More,
    Due,
}

/// Tells the engine since when the saved contacts have been known.
fn remember_ages(engine: &mut Engine, known: &[Contact], known_since: &[u64], now: Time) {
    let ages = known.iter().zip(known_since);
    for (contact, since) in ages.filter(|(_, since)| **since > 0) {
        let age = now.utc_seconds().saturating_sub(*since);
        engine.known_since(*contact.id(), now.moment - Duration::from_secs(age));
    }
}

impl Driver {
    /// In a box, so that the task is small and moves nothing large.
    pub(crate) fn new(parts: Parts) -> Result<Box<Self>, StartError> {
        let now = parts.clock.now();
        let parameters = Parameters::new(&parts.network, parts.id_bits, parts.facts.is_local);
        let config = config(&parts);
        let Opening { store, recovery } = parts.opening;
        let mut engine = Engine::new(config, Arc::clone(&store), seed(), now);
        for identity in parts.identities {
            engine.add_identity(identity);
        }
        remember_ages(&mut engine, &parts.known, &parts.known_since, now);
        let journal = parts.promises.restore(&mut engine);
        let endpoint = Endpoint::new(
            parameters.transport(&parts.identity, transport_hello(engine.hello())),
            transport_time(now),
        );
        let is_joining = parts.bootstrap.is_wanted();
        let mut health = Health::new(is_joining);
        if let Some(recovery) = &recovery {
            health.on_recovered(recovery);
            engine.refill(now);
        }
        let flusher = if store.is_durable() {
            Some(Flusher::start(
                Arc::clone(&store),
                journal,
                Arc::clone(&parts.quarantines),
                parts.clock,
            )?)
        } else {
            None
        };
        let bootstrap = is_joining.then(|| tokio::spawn(parts.bootstrap.run()).abort_handle());
        let save_at = (!parts.folder.is_temporary()).then(|| now.moment + SAVE_EVERY);
        let reading = Reading::begin(parts.here, &engine);
        Ok(Box::new(Self {
            clock: parts.clock,
            reading,
            endpoint,
            engine,
            sockets: parts.sockets,
            quic: parts.quic,
            queue: parts.queue,
            signals: parts.signals,
            facts: parts.facts,
            parameters,
            health,
            damaged: store.stats().damaged,
            store,
            quarantines: parts.quarantines,
            flusher,
            prune_at: journal::PRUNE_FROM,
            folder: Arc::new(parts.folder),
            known: parts.known,
            known_since: parts.known_since,
            save_at,
            saving: None,
            bootstrap,
            files: parts.files,
            asked: parts.asked,
            callers: HashMap::new(),
            feeds: Feeds::default(),
            rates: Rates::new(parts.clock.elapsed()),
            searches: HashMap::new(),
            last_search: 0,
            marking: BTreeMap::new(),
            inbound: HashMap::new(),
            last_inbound: 0,
            stop: None,
        }))
    }

    /// Runs until the node ends, then says why.
    pub(crate) async fn run(mut self: Box<Self>, stopping: watch::Sender<Option<StopReason>>) {
        self.settle(self.clock.now());
        let reason = loop {
            let input = self.wait().await;
            let now = self.clock.now();
            self.on_input(now, input);
            self.on_due(now);
            self.settle(now);
            self.reading.follow(&self.engine);
            self.look_after_store();
            if let Some(reason) = self.stop.take() {
                break reason;
            }
        };
        tracing::info!(%reason, "node is stopping: finishing writes");
        if matches!(reason, StopReason::Asked) {
            self.finish_copies().await;
        }
        self.close().await;
        tracing::info!("node stopped");
        stopping.send_replace(Some(reason));
    }

    async fn wait(&mut self) -> Input {
        let deadline = self.deadline();
        tokio::select! {
            readable = self.sockets.readable() => Input::Readable(readable),
            command = self.queue.recv() => Input::Command(command),
            report = report(&mut self.flusher) => Input::Report(report),
            () = self.signals.woken() => Input::Woken,
            () = tokio::task::yield_now(), if self.endpoint.has_requests() => Input::More,
            () = reach(deadline) => Input::Due,
        }
    }

    fn on_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Readable(Ok(())) | Input::More => self.receive(now),
            Input::Readable(Err(error)) => self.on_broken_socket(&error),
            // Nobody holds a handle of this node any more.
            Input::Command(None) => self.stop = Some(StopReason::Asked),
            Input::Command(Some(command)) => {
                self.on_command(now, *command);
                for _ in 1..COMMANDS_AT_ONCE {
                    let Ok(command) = self.queue.try_recv() else {
                        break;
                    };
                    self.on_command(now, *command);
                }
            }
            Input::Report(Some(report)) => self.on_report(now, report),
            // The thread ends before the node only by a defect; nothing can be promised any more.
            Input::Report(None) => self.stop = Some(StopReason::Internal),
            Input::Woken if self.signals.is_stopping() => self.stop = Some(StopReason::Asked),
            Input::Woken => self.forget_abandoned(),
            Input::Due => {}
        }
    }

    fn receive(&mut self, now: Time) {
        let (endpoint, time) = (&mut self.endpoint, transport_time(now));
        let received = self.sockets.receive(
            |arrived| {
                datagrams::arrived(arrived);
                endpoint.handle_datagrams(time, arrived);
            },
            |datagrams| self.quic.receive(&datagrams),
        );
        if let Err(error) = received {
            self.on_broken_socket(&error);
        }
    }

    fn on_broken_socket(&mut self, error: &io::Error) {
        tracing::error!(%error, "the socket of this node is broken");
        self.stop = Some(StopReason::SocketFailed);
    }

    /// Does what is due; cheap when nothing is.
    fn on_due(&mut self, now: Time) {
        let time = transport_time(now);
        let is_due = |due: Option<Duration>| due.is_some_and(|due| due <= time.monotonic);
        if is_due(self.endpoint.next_deadline()) {
            // An answer that is here already is no late one, however busy this task was.
            self.receive(now);
        }
        if is_due(self.endpoint.next_deadline()) {
            self.endpoint.handle_timeout(time);
        }
        if self
            .engine
            .next_deadline()
            .is_some_and(|due| due <= now.moment)
        {
            self.engine.on_deadline(now);
        }
        if self.save_at.is_some_and(|due| due <= now.moment) {
            self.save_at = Some(now.moment + SAVE_EVERY);
            self.save_contacts(now);
            self.look_for_damage(now);
        }
    }

    /// Carries events up and effects down until both sides are quiet, then sends what came out. Of
    /// the requests of peers it serves a bounded number, each before the next one.
    fn settle(&mut self, now: Time) {
        self.quiet(now);
        for _ in 0..REQUESTS_AT_ONCE {
            let Some(request) = self.endpoint.poll_event() else {
                break;
            };
            self.on_event(now, request);
            self.quiet(now);
        }
        let refused = self.sockets.send(|| {
            let transmit = self.endpoint.poll_transmit();
            transmit.inspect(datagrams::leaves)
        });
        for address in refused {
            self.endpoint.on_refused(transport_time(now), address);
        }
    }

    /// Carries everything up and down but the requests of peers.
    fn quiet(&mut self, now: Time) {
        loop {
            let mut is_quiet = true;
            while let Some(event) = self.endpoint.poll_own_event() {
                self.on_event(now, event);
                is_quiet = false;
            }
            while let Some(effect) = self.engine.poll_effect() {
                self.on_effect(now, effect);
                is_quiet = false;
            }
            if is_quiet {
                break;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let endpoint = self
            .endpoint
            .next_deadline()
            .map(|due| Moment::ORIGIN + due);
        let due = [endpoint, self.engine.next_deadline(), self.save_at];
        due.into_iter()
            .flatten()
            .min()
            .map(|moment| self.clock.instant(moment))
    }

    fn on_report(&mut self, now: Time, report: Report) {
        match report {
            Report::Committed(ticket) => {
                self.health.commit_failure = None;
                self.engine.on_committed(now, ticket);
            }
            Report::Failed(ticket, reason) => {
                self.health.commit_failure = Some(reason);
                self.engine.on_commit_failed(now, ticket, reason);
            }
            Report::Reopened(ticket) => {
                self.health.commit_failure = None;
                self.engine
                    .on_commit_failed(now, ticket, Reason::StorageFailed);
            }
            Report::StartedOver(ticket) => {
                self.health.commit_failure = None;
                self.engine
                    .on_commit_failed(now, ticket, Reason::StorageFailed);
                self.on_lost_records(now);
            }
            Report::Journalled(ticket) => self.on_journalled(now, ticket),
            Report::JournalFailed(ticket, reason) => self.on_journal_failed(now, ticket, reason),
        }
    }

    /// Writes the neighbours down on a thread that may wait for the disk, unless one is at it.
    fn save_contacts(&mut self, now: Time) {
        if self.saving.as_ref().is_none_or(JoinHandle::is_finished) {
            let saved = self.remember(now);
            let folder = Arc::clone(&self.folder);
            self.saving = Some(tokio::task::spawn_blocking(move || save(&saved, &folder)));
        }
    }

    /// The neighbours with their ages: some of the nearest, some of the oldest, then the others,
    /// nearest first. A node that has lost all of them keeps those it had.
    fn remember(&mut self, now: Time) -> Saved {
        let own = *self.facts.id.key();
        let mut contacts = self.engine.contacts_by_age();
        if !contacts.is_empty() {
            // The oldest live longest: some of them come right behind the nearest.
            contacts.sort_by_key(|(contact, _)| contact.id().key().distance(&own));
            let near = contacts.len().min(NEAREST);
            if let Some(others) = contacts.get_mut(near..) {
                others.sort_by_key(|(_, since)| *since);
            }
            let old = (near + OLDEST).min(contacts.len());
            if let Some(others) = contacts.get_mut(old..) {
                others.sort_by_key(|(contact, _)| contact.id().key().distance(&own));
            }
            let since = |since| {
                now.utc_seconds()
                    .saturating_sub(now.moment.since(since).as_secs())
            };
            self.known_since = contacts.iter().map(|(_, known)| since(*known)).collect();
            self.known = contacts.into_iter().map(|(contact, _)| contact).collect();
        }
        Saved {
            contacts: self.known.clone(),
            known_since: self.known_since.clone(),
            utc_micros: now.utc_micros,
        }
    }
}

/// The settings of the engine.
fn config(parts: &Parts) -> qadom_engine::Config {
    let mut config = qadom_engine::Config::new(parts.identity.key, parts.network.id());
    config.mode = parts.mode;
    config.mode_is_fixed = parts.mode_is_fixed;
    config.local = parts.facts.is_local;
    config.advertised = parts.advertise.map(Addresses::at).unwrap_or_default();
    config.interface = parts.sockets.interface();
    config.families = parts.facts.families;
    config.id_bits = parts.id_bits.into();
    if let Some(bits) = parts.bits_per_level {
        config.bits_per_level = bits.into();
    }
    config
}

fn save(saved: &Saved, folder: &Folder) {
    if let Err(error) = saved.save(folder) {
        tracing::warn!(%error, "the contacts could not be saved");
    }
}

/// Chance for endpoint and engine.
fn seed() -> [u8; 32] {
    rand::random()
}

async fn report(flusher: &mut Option<Flusher>) -> Option<Report> {
    match flusher {
        Some(flusher) => flusher.report().await,
        None => std::future::pending().await,
    }
}

async fn reach(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
