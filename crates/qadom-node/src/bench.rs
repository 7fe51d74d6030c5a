//! The figures of a network on this machine: what a put and a get cost, what one encrypted round
//! trip costs, and beside them, from the same run, what a bare datagram costs.
//!
//! What must stay true: client and nodes share the machine, so the CPU time of an operation is that
//! of everybody who took part in it. Nothing here is a promise; it is a measurement.

mod find_node;
mod load;
mod raw;
mod usage;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::address::{JoinAddress, NodeName};
use crate::error::{Error, StartError};
use crate::node::Node;
use qadom_engine::Mode;
use qadom_routing::Key;
use qadom_wire::Value;

pub use load::Row;

/// What is measured.
///
/// # Examples
///
/// ```
/// use qadom_node::BenchSettings;
///
/// let settings = BenchSettings { nodes: 8, value_bytes: 8192, ..BenchSettings::default() };
/// assert!(settings.parallel > 0);
/// ```
#[derive(Clone, Debug)]
pub struct BenchSettings {
    /// Storing nodes of the network, at least 2 (50). Two client nodes come on top.
    pub nodes: usize,
    /// Values that are put and read again, one at a time (200).
    pub sequential: usize,
    /// Values that are put and read again with many in flight (1000).
    pub parallel: usize,
    /// Operations in flight at once in the parallel rounds (64).
    pub in_flight: usize,
    /// Length of a value in bytes, at least 8 (1024).
    pub value_bytes: usize,
    /// Bare and encrypted round trips of each kind and length (20 000).
    pub round_trips: usize,
    /// Nodes of one process between which the memory of an idle node is measured (200).
    pub idle_nodes: usize,
}

impl Default for BenchSettings {
    fn default() -> Self {
        Self {
            nodes: 50,
            sequential: 200,
            parallel: 1000,
            in_flight: 64,
            value_bytes: 1024,
            round_trips: 20_000,
            idle_nodes: 200,
        }
    }
}

/// The figures of one run.
///
/// # Examples
///
/// Compiled only: a run takes minutes.
///
/// ```no_run
/// use qadom_node::{BenchSettings, BenchReport, run_bench};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let report = run_bench(&BenchSettings::default(), |_| {}).await?;
/// let BenchReport { rows, idle } = report;
/// println!("{} rows, memory of an idle node: {idle:?}", rows.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BenchReport {
    /// One row for each kind of work.
    pub rows: Vec<Row>,
    /// Resident memory of idle nodes; none where the system does not tell.
    pub idle: Option<IdleMemory>,
}

/// Resident memory of one idle node of a process with many, with the store in memory and with the
/// sessions that its join has left, in KiB.
///
/// # Examples
///
/// Compiled only: a run takes minutes.
///
/// ```no_run
/// use qadom_node::{BenchSettings, IdleMemory, run_bench};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let report = run_bench(&BenchSettings::default(), |_| {}).await?;
/// if let Some(IdleMemory { node_kib, growth_kib }) = report.idle {
///     println!("a node takes {node_kib} KiB, each further one {growth_kib} KiB");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleMemory {
    /// The whole process, divided by its nodes.
    pub node_kib: f64,
    /// What a node adds after the first quarter. The nodes that are there grow with it, since they
    /// meet it.
    pub growth_kib: f64,
}

/// Why a measurement ended early.
///
/// # Examples
///
/// Compiled only: a run takes minutes.
///
/// ```no_run
/// use qadom_node::{BenchError, BenchSettings, run_bench};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let settings = BenchSettings::default();
/// match run_bench(&settings, |_| {}).await {
///     Ok(report) => println!("{} rows", report.rows.len()),
///     Err(BenchError::Start(error)) => println!("no network on loopback: {error}"),
///     Err(other) => println!("{other}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A node of the measured network did not start.
    #[error("a node of the measured network did not start")]
    Start(#[from] StartError),
    /// The measured network did not come together.
    #[error("the measured network did not come together")]
    Join(#[from] Error),
    /// A plain socket failed.
    #[error("the plain sockets failed")]
    Raw(#[from] std::io::Error),
}

/// Clients of a measured network.
const CLIENTS: usize = 2;

/// Where the nodes of a measured network keep their records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    Memory,
    Disk,
}

/// A network on loopback with two clients that are no members of it.
struct Network {
    nodes: Vec<Node>,
    writer: Node,
    reader: Node,
}

/// Measures everything, one after the other; `progress` hears what is measured now.
///
/// # Errors
///
/// [`BenchError`] when a network cannot be started on loopback. Failed operations are no error but
/// a figure of their row.
pub async fn run_bench(
    settings: &BenchSettings,
    mut progress: impl FnMut(&str) + Send,
) -> Result<BenchReport, BenchError> {
    // First, while no memory that earlier networks freed hides the growth.
    progress("memory of idle nodes");
    let idle = measure_memory(settings).await?;
    let mut rows = Vec::new();
    progress("bare datagrams");
    raw::measure(settings, &mut rows).await?;
    progress("encrypted round trips");
    measure_pings(settings, &mut rows).await?;
    progress("questions for contacts");
    find_node::measure(settings, &mut rows).await?;
    for keeping in [Keeping::Memory, Keeping::Disk] {
        progress(match keeping {
            Keeping::Memory => "a network with its records in memory",
            Keeping::Disk => "a network with its records on disk",
        });
        measure_network(settings, keeping, &mut rows).await?;
    }
    Ok(BenchReport { rows, idle })
}

async fn measure_pings(settings: &BenchSettings, rows: &mut Vec<Row>) -> Result<(), BenchError> {
    let server = start_node(Keeping::Memory, Mode::Storing, None).await?;
    let client = start_node(Keeping::Memory, Mode::Client, None).await?;
    let name = NodeName::Address(server.address());
    for in_flight in [1, settings.in_flight] {
        let work = format!("encrypted ping, {in_flight} in flight");
        let row = load::measure(work, settings.round_trips, in_flight, |_| {
            let (client, name) = (client.clone(), name.clone());
            async move { client.ping(name).await.is_ok() }
        });
        rows.push(row.await);
    }
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

async fn measure_network(
    settings: &BenchSettings,
    keeping: Keeping,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let network = Network::start(settings.nodes, keeping).await?;
    let place = match keeping {
        Keeping::Memory => "memory",
        Keeping::Disk => "disk",
    };
    let rounds = [
        (1, 0, settings.sequential),
        (settings.in_flight, 1, settings.parallel),
    ];
    for (in_flight, round, count) in rounds {
        let value = |index| value(settings.value_bytes, round, index);
        let put = load::measure(
            format!("put, {place}, {in_flight} in flight"),
            count,
            in_flight,
            |index| {
                let (writer, value) = (network.writer.clone(), value(index));
                async move { writer.put(value).await.is_ok() }
            },
        );
        rows.push(put.await);
        // The reader asks by key alone and keeps nothing, so every get crosses the network.
        let keys: Vec<_> = (0..count).map(|index| key_of(value(index))).collect();
        let get = load::measure(
            format!("get, {place}, {in_flight} in flight"),
            count,
            in_flight,
            |index| {
                let (reader, key) = (network.reader.clone(), keys.get(index).copied());
                async move {
                    match key {
                        Some(key) => reader.get(key).await.is_ok(),
                        None => false,
                    }
                }
            },
        );
        rows.push(get.await);
    }
    network.stop().await;
    Ok(())
}

/// What a process of idle nodes takes beyond one without any, and what the later three quarters of
/// them add, both by node.
async fn measure_memory(settings: &BenchSettings) -> Result<Option<IdleMemory>, BenchError> {
    let Some(empty) = usage::resident_kib() else {
        return Ok(None);
    };
    let first = (settings.idle_nodes / 4).max(2);
    let mut network = Network::start(first, Keeping::Memory).await?;
    let quarter = usage::resident_kib().unwrap_or(empty);
    let added = settings.idle_nodes.saturating_sub(first).max(1);
    network.grow(added, Keeping::Memory).await?;
    let all = usage::resident_kib().unwrap_or(quarter);
    network.stop().await;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let by_node = |kib: u64, nodes: usize| kib as f64 / nodes as f64;
    Ok(Some(IdleMemory {
        node_kib: by_node(all.saturating_sub(empty), first + added + CLIENTS),
        growth_kib: by_node(all.saturating_sub(quarter), added),
    }))
}

impl Network {
    async fn start(nodes: usize, keeping: Keeping) -> Result<Self, BenchError> {
        let first = start_node(keeping, Mode::Storing, None).await?;
        let bootstrap = JoinAddress::from(first.address());
        let writer = start_node(Keeping::Memory, Mode::Client, None).await?;
        let reader = start_node(Keeping::Memory, Mode::Client, None).await?;
        let mut network = Self {
            nodes: vec![first],
            writer,
            reader,
        };
        network.grow(nodes.saturating_sub(1), keeping).await?;
        for client in [&network.writer, &network.reader] {
            client.join(std::slice::from_ref(&bootstrap)).await?;
        }
        Ok(network)
    }

    async fn grow(&mut self, added: usize, keeping: Keeping) -> Result<(), BenchError> {
        for _ in 0..added {
            let bootstrap = self
                .nodes
                .first()
                .map(|first| JoinAddress::from(first.address()));
            let node = start_node(keeping, Mode::Storing, None).await?;
            if let Some(bootstrap) = bootstrap {
                node.join(&[bootstrap]).await?;
            }
            self.nodes.push(node);
        }
        Ok(())
    }

    async fn stop(self) {
        for node in self.nodes.iter().chain([&self.writer, &self.reader]) {
            node.shutdown().await;
        }
    }
}

async fn start_node(
    keeping: Keeping,
    mode: Mode,
    join: Option<JoinAddress>,
) -> Result<Node, StartError> {
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let builder = Node::builder()
        .memory(keeping == Keeping::Memory)
        .mode(mode)
        .listen(loopback);
    match join {
        Some(join) => builder.join(join).start().await,
        None => builder.start().await,
    }
}

/// The key of a value.
fn key_of(value: Bytes) -> Key {
    Value::new(value).map_or(Key::ZERO, |value| *value.key())
}

/// A value that no other round and no other index has.
fn value(length: usize, round: u8, index: usize) -> Bytes {
    let mut bytes = vec![round; length.max(8)];
    for (place, byte) in bytes
        .iter_mut()
        .zip((index as u64).to_le_bytes().iter().take(7))
    {
        *place = *byte;
    }
    bytes.into()
}

/// The median, the 95th and the 99th of a hundred, of spans that need not be in order.
fn percentiles(mut spans: Vec<Duration>) -> [Duration; 3] {
    spans.sort_unstable();
    [50, 95, 99].map(|percent| {
        let index = (spans.len() * percent / 100).min(spans.len().saturating_sub(1));
        spans.get(index).copied().unwrap_or_default()
    })
}
