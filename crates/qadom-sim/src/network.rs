//! The virtual network as its users see it: nodes, what they are asked to do, the clock.
//!
//! What must stay true: everything that happens follows from the settings and from the calls, in
//! their order. Nodes come and go in `network/population.rs` and `network/churn.rs`, engines are run
//! in `network/run.rs`, messages travel in `network/transport.rs` over `network/links.rs`, and
//! signed records are written and read in `network/views.rs`.

mod census;
mod churn;
mod lean;
mod links;
mod population;
mod run;
mod sealed;
mod transport;
mod views;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{
    Engine, Fetched, Joined, LookupReport, Mode, OperationId, ReadFrom, Receipt, Time, WriteOptions,
};
use qadom_routing::{Contact, Key, Moment, NodeKey};
use qadom_wire::{Identity, Writer};

pub(crate) use self::sealed::Datagram;

pub use self::census::Census;
pub use self::churn::Sessions;
pub use self::population::Adversary;
pub(crate) use self::population::Behaviour;

use self::churn::Churn;
use crate::chance::Chance;
use crate::exchange::{Exchange, ExchangeId};
use crate::failure::Failure;
use crate::figures::Figures;
use crate::lean::Lean;
use crate::map::Map;
use crate::node::{Node, NodeIndex};
use crate::queue::Queue;
use crate::sealed::Ledger;
use crate::settings::Settings;
use crate::subscription::Subscriptions;
use crate::task::{Ending, Task, Tasks};
use crate::trace::{Trace, TraceHash};

/// The wall clock when a network starts, in seconds of UTC: 2027-01-15.
const UTC_AT_START: u64 = 1_800_000_000;
/// How many earlier nodes a newcomer is told of.
const JOIN_ADDRESSES: usize = 3;

/// A network of real engines on a virtual clock.
///
/// Operations come in two forms: `put`, `get`, `lookup` and `join` run the clock until they have
/// ended; the `start_` forms begin one, so that many can be under way, and
/// [`finish`](Self::finish) gives the result. The clock stands still between the calls.
///
/// # Examples
///
/// ```
/// use qadom_sim::{Network, Settings};
///
/// let mut network = Network::new(Settings { nodes: 20, seed: 7, ..Settings::default() });
/// network.join_all()?;
///
/// let (writer, reader) = (network.random_node(), network.random_node());
/// let receipt = network.put(writer, "a value")?;
/// assert_eq!(receipt.stored, 20);
///
/// // A third of the nodes vanish without a word.
/// let all: Vec<_> = network.living().collect();
/// for node in all.into_iter().filter(|node| *node != reader).take(7) {
///     network.kill(node);
/// }
/// let fetched = network.get(reader, receipt.key)?;
/// assert_eq!(fetched.value, "a value");
/// # Ok::<(), qadom_sim::Failure>(())
/// ```
#[derive(Debug)]
pub struct Network {
    settings: Settings,
    now: Moment,
    queue: Queue,
    nodes: Vec<Node>,
    by_address: Map<SocketAddr, NodeIndex>,
    by_key: Map<NodeKey, NodeIndex>,
    /// The living nodes of the main network, in no order.
    members: Vec<NodeIndex>,
    /// The adversaries, as others are told of them.
    colluders: Vec<Contact>,
    /// The secrets of all writers.
    identities: BTreeMap<Writer, Arc<Identity>>,
    /// Numbers the partitions.
    last_side: u32,
    churn: Option<Churn>,
    /// Numbers the churns.
    last_churn: u32,
    /// Nodes that came by churn and have not joined yet, with the join that is under way.
    newcomers: BTreeMap<NodeIndex, OperationId>,
    exchanges: Map<ExchangeId, Exchange>,
    last_exchange: u64,
    tasks: Tasks,
    subscriptions: Subscriptions,
    /// The population whose nodes exist when they are asked.
    lean: Option<Arc<Lean>>,
    /// Those of it that exist and only answer.
    answering: Vec<NodeIndex>,
    /// At how many of them the older ones are forgotten next.
    forget_at: usize,
    /// Whether the node that is being added will only answer.
    only_answers: bool,
    /// What the endpoints sent that are gone.
    ledger: Ledger,
    chance: Chance,
    figures: Figures,
    trace: Trace,
}

impl Network {
    /// Makes a network whose nodes do not know each other yet.
    pub fn new(settings: Settings) -> Self {
        let mut network = Self {
            now: Moment::ORIGIN,
            queue: Queue::default(),
            nodes: Vec::new(),
            by_address: Map::default(),
            by_key: Map::default(),
            members: Vec::new(),
            colluders: Vec::new(),
            identities: BTreeMap::new(),
            last_side: 0,
            churn: None,
            last_churn: 0,
            newcomers: BTreeMap::new(),
            exchanges: Map::default(),
            last_exchange: 0,
            tasks: Tasks::default(),
            subscriptions: Subscriptions::default(),
            lean: None,
            answering: Vec::new(),
            forget_at: lean::ANSWERING,
            only_answers: false,
            ledger: Ledger::default(),
            chance: Chance::new(settings.seed),
            figures: Figures::default(),
            trace: Trace::default(),
            settings,
        };
        for _ in 0..network.settings.nodes {
            network.add_node(Mode::Storing);
        }
        network
    }

    // What nodes are asked to do.

    /// Lets every living node but the first join through up to three earlier ones that have
    /// joined, each begun a join interval after the one before, until all have ended. One that
    /// reached nobody tries once more.
    ///
    /// # Errors
    ///
    /// The first failure of a join.
    pub fn join_all(&mut self) -> Result<(), Failure> {
        let members: Vec<NodeIndex> = self.living_members().map(|(node, _)| node).collect();
        let mut tasks: Vec<(NodeIndex, Task<Joined>)> = Vec::new();
        let mut joined: Vec<NodeIndex> = members.first().copied().into_iter().collect();
        // Joins end about in the order in which they began, so that few are looked at twice.
        let mut under_way = VecDeque::new();
        for newcomer in members.iter().skip(1) {
            for _ in 0..under_way.len() {
                let Some(place) = under_way.pop_front() else {
                    break;
                };
                match tasks.get(place) {
                    Some((node, task)) if self.tasks.has_ended(task) => joined.push(*node),
                    _ => under_way.push_back(place),
                }
            }
            let addresses = self.some_addresses(&joined);
            under_way.push_back(tasks.len());
            tasks.push((*newcomer, self.start_join_through(*newcomer, addresses)));
            self.run_for(self.settings.join_interval);
        }
        for (newcomer, task) in tasks {
            match self.finish(task) {
                // Loss can cut off whoever knew one address alone; a daemon tries again too.
                Err(Failure::Operation(qadom_engine::Failure::NotJoined { .. })) => {
                    self.join(newcomer)?;
                }
                result => {
                    result?;
                }
            }
        }
        Ok(())
    }

    /// Lets a node join through up to three others that live, chosen by the seed.
    ///
    /// # Errors
    ///
    /// [`Failure::Operation`] when none of them led into the network; the others as
    /// [`finish`](Self::finish) gives them.
    pub fn join(&mut self, node: NodeIndex) -> Result<Joined, Failure> {
        let task = self.start_join(node);
        self.finish(task)
    }

    /// Begins what [`join`](Self::join) does.
    pub fn start_join(&mut self, node: NodeIndex) -> Task<Joined> {
        let addresses = self.join_addresses(node);
        self.start_join_through(node, addresses)
    }

    /// Lets a node begin to join through these addresses.
    pub fn start_join_through(
        &mut self,
        node: NodeIndex,
        addresses: Vec<SocketAddr>,
    ) -> Task<Joined> {
        self.start(node, |engine, now| engine.join(now, addresses, Vec::new()))
    }

    /// Stores a value of at most 8192 bytes for 36 h.
    ///
    /// # Errors
    ///
    /// [`Failure::Operation`] when too few nodes took it, or it is too long; the others as
    /// [`finish`](Self::finish) gives them.
    pub fn put(&mut self, node: NodeIndex, value: impl Into<Bytes>) -> Result<Receipt, Failure> {
        let task = self.start_put(node, value);
        self.finish(task)
    }

    /// Begins what [`put`](Self::put) does.
    pub fn start_put(&mut self, node: NodeIndex, value: impl Into<Bytes>) -> Task<Receipt> {
        let value = value.into();
        self.start(node, |engine, now| {
            engine.put(now, value, WriteOptions::default())
        })
    }

    /// Finds the value of a key.
    ///
    /// # Errors
    ///
    /// [`Failure::Operation`] when no node that answered holds it; the others as
    /// [`finish`](Self::finish) gives them.
    pub fn get(&mut self, node: NodeIndex, key: Key) -> Result<Fetched, Failure> {
        let task = self.start_get(node, key);
        self.finish(task)
    }

    /// Begins what [`get`](Self::get) does.
    pub fn start_get(&mut self, node: NodeIndex, key: Key) -> Task<Fetched> {
        self.start(node, |engine, now| engine.get(now, key, ReadFrom::Network))
    }

    /// Finds the 20 nodes closest to a key, with every step on the way.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish) gives them.
    pub fn lookup(&mut self, node: NodeIndex, key: Key) -> Result<LookupReport, Failure> {
        let task = self.start_lookup(node, key);
        self.finish(task)
    }

    /// Begins what [`lookup`](Self::lookup) does.
    pub fn start_lookup(&mut self, node: NodeIndex, key: Key) -> Task<LookupReport> {
        self.start(node, |engine, now| engine.lookup(now, key))
    }

    /// Begins any operation of a node's engine. `T` is what it ends in.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use qadom_sim::{Network, WriteOptions, Receipt, Settings, Task};
    ///
    /// let mut network = Network::new(Settings { nodes: 2, ..Settings::default() });
    /// network.join_all()?;
    /// let node = network.random_node();
    /// let options = WriteOptions { ttl: Some(Duration::from_secs(60)), min_copies: Some(2), once: true };
    /// let task: Task<Receipt> =
    ///     network.start(node, |engine, now| engine.put(now, "brief".into(), options));
    /// assert_eq!(network.finish(task)?.stored, 2);
    /// # Ok::<(), qadom_sim::Failure>(())
    /// ```
    pub fn start<T: Ending>(
        &mut self,
        node: NodeIndex,
        begin: impl FnOnce(&mut Engine, Time) -> OperationId,
    ) -> Task<T> {
        let now = self.time_of(node);
        let engine = self
            .nodes
            .get_mut(node.as_usize())
            .and_then(|node| node.engine.as_deref_mut());
        let Some(engine) = engine else {
            return self.tasks.failed(Failure::Dead { node });
        };
        let operation = begin(engine, now);
        let task = self.tasks.begin(node, operation);
        self.settle(node);
        task
    }

    // The clock.

    /// Runs the clock until a task has ended, and gives its result.
    ///
    /// # Errors
    ///
    /// [`Failure::Operation`] when the engine says so, [`Failure::Dead`] when the node was killed,
    /// [`Failure::Stalled`] when the patience of the settings is over, [`Failure::OtherOutcome`]
    /// when the task came from [`start`](Self::start) with a wrong type.
    #[expect(clippy::needless_pass_by_value, reason = "a task has one result")]
    pub fn finish<T: Ending>(&mut self, task: Task<T>) -> Result<T, Failure> {
        self.run_while(|network| !network.tasks.has_ended(&task))?;
        match self.tasks.take(&task) {
            Some(Ok(outcome)) => T::from_outcome(outcome).ok_or(Failure::OtherOutcome),
            Some(Err(failure)) => Err(failure),
            None => Err(self.stalled()),
        }
    }

    /// Whether a task has ended, so that [`finish`](Self::finish) gives its result at once.
    pub fn has_ended<T: Ending>(&self, task: &Task<T>) -> bool {
        self.tasks.has_ended(task)
    }

    /// Runs the clock until no operation is under way. The engines' own upkeep goes on for ever,
    /// so that it does not count.
    ///
    /// # Errors
    ///
    /// [`Failure::Stalled`] when the patience of the settings is over.
    pub fn run_until_idle(&mut self) -> Result<(), Failure> {
        self.run_while(|network| network.tasks.running() > 0)
    }

    /// Runs the clock for a span of virtual time, through everything that happens in it.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// What a clock shows that is right.
    pub fn time(&self) -> Time {
        let utc_micros = UTC_AT_START * 1_000_000 + self.now.as_micros();
        Time {
            moment: self.now,
            utc_micros,
        }
    }

    /// What the clocks of a node show.
    fn time_of(&self, node: NodeIndex) -> Time {
        let error = self.node(node).map_or(0, |node| node.clock_error);
        let Time { moment, utc_micros } = self.time();
        let utc_micros = utc_micros.saturating_add_signed(error);
        Time { moment, utc_micros }
    }

    // What the one who sees everything can tell.

    /// What happened so far, in numbers.
    pub fn figures(&self) -> Figures {
        let pinned = self.nodes.iter();
        let pinned = pinned
            .map(|node| (node.peers.pinned() + node.pinned) as u64)
            .sum();
        Figures {
            pinned,
            ..self.figures.clone()
        }
    }

    /// The fingerprint of everything that was delivered so far. The same settings and the same
    /// calls give the same one.
    pub fn trace_hash(&self) -> TraceHash {
        self.trace.hash()
    }

    fn some_addresses(&mut self, nodes: &[NodeIndex]) -> Vec<SocketAddr> {
        let mut chosen = Vec::new();
        for _ in 0..JOIN_ADDRESSES {
            let choice = nodes
                .get(self.chance.below(nodes.len()))
                .and_then(|&node| self.address(node));
            chosen.extend(choice.filter(|address| !chosen.contains(address)));
        }
        chosen
    }
}

#[cfg(test)]
mod tests;
