//! How a node is described and started.
//!
//! What must stay true: a start that fails leaves nothing running and nothing locked. What the
//! node does once it runs is the business of `driver`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use qadom_engine::Mode;
use qadom_routing::NodeKey;
use qadom_store::{Durability, MemoryStore, Opening, Options, StoreEngine, open_or_set_aside};
use qadom_wire::Network;
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::address::{HostPort, JoinAddress, NodeAddress};
use crate::bootstrap::Bootstrap;
use crate::clock::{Clock, utc_seconds};
use crate::command::{COMMANDS_MAX, Signals};
use crate::contacts::Saved;
use crate::driver::{Driver, Parts, Promises};
use crate::error::{StartError, store_not_opened};
use crate::files::{self, ASKED_MAX, FileSettings, Service};
use crate::folder::{FILES, Folder, STORE};
use crate::here::Here;
use crate::identities::IdentityFolder;
use crate::identity::Identity;
use crate::node::{Facts, Inner, Node};
use crate::quarantines::Quarantines;
use crate::sockets::Sockets;

/// The port of a node that was not told another one.
pub const DEFAULT_PORT: u16 = 7236;

/// The name of the network of nodes that are in local mode and were not told another one.
const LOCAL_NETWORK: &str = "local";
/// The name of the network of all other nodes that were not told another one.
const PUBLIC_NETWORK: &str = "qadom";

/// Describes a node, then starts it.
///
/// # Examples
///
/// ```
/// use qadom_node::{Mode, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let first = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let second = Node::builder()
///     .memory(true)
///     .listen("127.0.0.1:0".parse()?)
///     .join(first.address())
///     .mode(Mode::Client)
///     .start()
///     .await?;
/// # first.shutdown().await;
/// # second.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Builder {
    data_dir: Option<PathBuf>,
    memory: bool,
    store: Options,
    listen: Vec<SocketAddr>,
    advertise: Option<SocketAddr>,
    join: Vec<JoinAddress>,
    network: Option<String>,
    secret: Zeroizing<Vec<u8>>,
    id_bits: Option<u8>,
    local: Option<bool>,
    bits_per_level: Option<u8>,
    mode: Option<Mode>,
    files: FileSettings,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("data_dir", &self.data_dir)
            .field("memory", &self.memory)
            .field("store", &self.store)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .field("join", &self.join)
            .field("network", &self.network)
            .field("id_bits", &self.id_bits)
            .field("local", &self.local)
            .field("bits_per_level", &self.bits_per_level)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Keeps node key, identities, journal, contacts and store in this folder, which is made if it is missing. One node
    /// may use it at a time.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Keeps everything in a temporary folder that is removed when the node ends. The default.
    #[must_use]
    pub fn ephemeral(mut self) -> Self {
        self.data_dir = None;
        self
    }

    /// Keeps the records and the promises in memory. Node key, identities and contacts stay in the
    /// data folder.
    #[must_use]
    pub const fn memory(mut self, is_wanted: bool) -> Self {
        self.memory = is_wanted;
        self
    }

    /// Keeps the records of a data folder that has none yet with this engine. A folder that has a
    /// store with another engine is refused: its records are moved by an export and an import.
    /// Without this a folder keeps its engine, and a new one gets sled.
    #[must_use]
    pub const fn engine(mut self, engine: StoreEngine) -> Self {
        self.store.engine = Some(engine);
        self
    }

    /// What a record outlives once it is acknowledged: the end of the process, or the loss of power,
    /// too. Promises and identities outlive both in any case.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.store.durability = durability;
        self
    }

    /// Listens on an address; port 0 lets the operating system choose. One IPv4 and one IPv6
    /// address at most. Without any the node listens on port 7236 of every address.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Tells others to use this address in place of the one that packets come from.
    #[must_use]
    pub const fn advertise(mut self, address: SocketAddr) -> Self {
        self.advertise = Some(address);
        self
    }

    /// Joins a network through this address, and tries again until that worked. May be called for
    /// several addresses; one that answers is enough.
    #[must_use]
    pub fn join(mut self, address: impl Into<JoinAddress>) -> Self {
        self.join.push(address.into());
        self
    }

    /// Belongs to the network of this name, 1 to 256 bytes. `qadom` unless set, `local` in local
    /// mode.
    #[must_use]
    pub fn network(mut self, name: impl Into<String>) -> Self {
        self.network = Some(name.into());
        self
    }

    /// Belongs to a private network: nobody without these bytes, at least 32, gets in. Empty for an
    /// open network.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Zeroizing::new(secret.into());
        self
    }

    /// How many leading zero bits the puzzle of every node key in the network has; finding a key
    /// takes 2^`bits` tries of some 40 µs. 16 in the network `qadom`, 0 in others.
    #[must_use]
    pub const fn id_bits(mut self, bits: u8) -> Self {
        self.id_bits = Some(bits);
        self
    }

    /// Lifts every limit by address group, for nodes that share a machine or a private network.
    /// Automatic when every listen address is a loopback address.
    #[must_use]
    pub const fn local(mut self, is_local: bool) -> Self {
        self.local = Some(is_local);
        self
    }

    /// How many bits of the key space one level of the routing table resolves, 1 to 8 (1; what is
    /// outside is brought inside). More make the own lookups shorter and the table larger: by a half
    /// with 2, by more than twice with 3. Nodes with different settings get along.
    #[must_use]
    pub const fn bits_per_level(mut self, bits: u8) -> Self {
        self.bits_per_level = Some(bits);
        self
    }

    /// Whether the node stores for others, come what may. Without this it does, and stops while
    /// others find that they cannot reach it.
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sends chunks of files at this many bytes per second at most, all peers together. Without this
    /// there is no limit.
    #[must_use]
    pub const fn upload_rate(mut self, bytes_per_second: u64) -> Self {
        self.files.upload_rate = Some(bytes_per_second);
        self
    }

    /// Sends chunks of files to this many nodes at once (64).
    #[must_use]
    pub const fn uploads(mut self, nodes: usize) -> Self {
        self.files.uploads = nodes;
        self
    }

    /// Where anybody reaches a gateway of this node over HTTP, without a path behind it: told with every
    /// name that a file is given here, so that whoever has no way to this node but a plain one gets it.
    #[must_use]
    pub fn gateway_url(mut self, url: impl Into<String>) -> Self {
        self.files.gateway_url = Some(url.into());
        self
    }

    /// How often it is looked after whether enough nodes still have what was pushed (1 h), within a
    /// tenth.
    #[must_use]
    pub const fn file_repair(mut self, every: Duration) -> Self {
        self.files.repair_every = every;
        self
    }

    /// Starts the node on the current tokio runtime. It is ready when this returns, before it has
    /// joined.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs afterwards.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with `net` and `time` enabled.
    pub async fn start(self) -> Result<Node, StartError> {
        let is_local = self.is_local();
        let (name, network) = self.named_network(is_local)?;
        let id_bits = self.id_bits.unwrap_or_else(|| network.default_id_bits());
        let sockets = Sockets::bind(&self.listen)?;
        let Disk {
            folder,
            identity,
            identities,
            saved,
            promises,
            opening,
            quarantines,
            files,
        } = self.open_disk(id_bits).await?;
        let (identity_folder, identities) = identities;
        let clock = Clock::start(saved.utc_micros);
        let files = Service::new(files, folder.path().join(FILES), clock, self.files.clone());

        let facts = Arc::new(self.facts(name, &network, &sockets, (identity.key, folder.path())));
        let quic = sockets.quic();
        let streams = quic.accept();
        let (asked, questions) = mpsc::channel(ASKED_MAX);
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (stopping, stopped) = watch::channel(None);
        let signals = Arc::new(Signals::default());
        let contacts = saved.contacts.clone();
        let bootstrap = Bootstrap::new(self.join, contacts, commands.downgrade(), &facts);
        tracing::info!(address = %facts.address, network = %facts.network, is_local, "node started");
        let here = Arc::new(Here::new(clock));
        let driver = Driver::new(Parts {
            clock,
            here: Arc::clone(&here),
            network,
            id_bits,
            bits_per_level: self.bits_per_level,
            mode: self.mode.unwrap_or(Mode::Storing),
            mode_is_fixed: self.mode.is_some(),
            advertise: self.advertise,
            identity,
            identities,
            promises,
            opening,
            quarantines: Arc::new(quarantines),
            folder,
            known: saved.contacts,
            known_since: saved.known_since,
            sockets,
            quic: Arc::clone(&quic),
            queue,
            signals: Arc::clone(&signals),
            facts: Arc::clone(&facts),
            bootstrap,
            files: Arc::clone(&files),
            asked,
        })?;
        tokio::spawn(driver.run(stopping));
        let node = Node::new(Inner {
            commands,
            signals,
            stopped,
            here,
            facts,
            quic,
            identities: Arc::new(identity_folder),
            files: Arc::clone(&files),
        });
        files::start(&files, &node, questions, streams);
        Ok(node)
    }

    /// What will not change while the node runs.
    fn facts(
        &self,
        name: String,
        network: &Network,
        sockets: &Sockets,
        (key, data_dir): (NodeKey, &Path),
    ) -> Facts {
        Facts {
            address: NodeAddress::new(key, self.own_place(sockets)),
            id: key.id(),
            local_addresses: sockets.addresses(),
            families: sockets.families(),
            data_dir: data_dir.to_owned(),
            network: name,
            network_id: network.id(),
            is_local: self.is_local(),
        }
    }

    /// The name of the network, and what follows from it.
    fn named_network(&self, is_local: bool) -> Result<(String, Network), StartError> {
        let default = if is_local {
            LOCAL_NETWORK
        } else {
            PUBLIC_NETWORK
        };
        let name = self.network.clone().unwrap_or_else(|| default.to_owned());
        let network = Network::new(name.as_bytes(), &self.secret)
            .map_err(|source| StartError::BadNetwork { source })?;
        Ok((name, network))
    }

    /// Opens the folder and what lies in it, on a thread that may wait for the disk.
    async fn open_disk(&self, id_bits: u8) -> Result<Disk, StartError> {
        let data_dir = self.data_dir.clone();
        let is_in_memory = self.memory;
        let options = self.store;
        let (reply, answer) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let disk = Disk::open(data_dir, is_in_memory, options, id_bits, || {
                reply.is_closed()
            });
            if let Some(disk) = disk.transpose() {
                // When nobody waits any more, what was opened is closed by being dropped.
                let _ = reply.send(disk);
            }
        });
        answer.await.map_err(|_| StartError::Thread)?
    }

    fn is_local(&self) -> bool {
        let is_loopback = !self.listen.is_empty()
            && self
                .listen
                .iter()
                .all(|address| address.ip().to_canonical().is_loopback());
        self.local.unwrap_or(is_loopback)
    }

    /// Where others reach the node: as told, or as bound, or through the interface that leads out.
    fn own_place(&self, sockets: &Sockets) -> HostPort {
        self.advertise
            .filter(|address| !address.ip().is_unspecified())
            .or_else(|| sockets.interface().first())
            .or_else(|| sockets.addresses().first().copied())
            .map_or_else(
                || (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(),
                |address| match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => {
                        (Ipv4Addr::LOCALHOST, address.port()).into()
                    }
                    IpAddr::V6(ip) if ip.is_unspecified() => {
                        (Ipv6Addr::LOCALHOST, address.port()).into()
                    }
                    _ => address,
                },
            )
            .into()
    }
}

/// What a start reads from the disk.
struct Disk {
    folder: Folder,
    identity: Identity,
    identities: (IdentityFolder, Vec<Arc<qadom_wire::Identity>>),
    saved: Saved,
    promises: Promises,
    opening: Opening,
    quarantines: Quarantines,
    files: qadom_files::Folder,
}

impl Disk {
    /// `None` when the start was given up meanwhile.
    fn open(
        data_dir: Option<PathBuf>,
        is_in_memory: bool,
        options: Options,
        id_bits: u8,
        is_given_up: impl Fn() -> bool,
    ) -> Result<Option<Self>, StartError> {
        let folder = match data_dir {
            Some(path) => Folder::open(&path)?,
            None => Folder::temporary()?,
        };
        let saved = Saved::load(&folder)?;
        files::check_pushes(&folder)?;
        let quarantines = Quarantines::of(folder.path());
        let (opening, promises) = if is_in_memory {
            let opening = Opening {
                store: Arc::new(MemoryStore::new()),
                recovery: None,
            };
            (opening, Promises::default())
        } else {
            open_records(&folder, options, &quarantines)?
        };
        let identities = IdentityFolder::open(folder.path());
        let files = open_files(&folder, options.durability)?;
        let identity = Identity::load_or_make(&folder, id_bits, is_given_up)?;
        Ok(identity.map(|identity| Self {
            folder,
            identity,
            identities,
            saved,
            promises,
            opening,
            quarantines,
            files,
        }))
    }
}

/// Opens the folder of the files.
fn open_files(folder: &Folder, durability: Durability) -> Result<qadom_files::Folder, StartError> {
    let path = folder.path().join(FILES);
    let durability = match durability {
        Durability::Kill => qadom_files::Durability::Process,
        Durability::Power => qadom_files::Durability::Power,
    };
    let config = qadom_files::FolderConfig {
        durability,
        ..qadom_files::FolderConfig::default()
    };
    qadom_files::Folder::open(&path, config).map_err(|error| StartError::Files {
        problem: error.to_string(),
    })
}

/// Opens the store and reads the journal, side by side when the store is there already: what is in
/// the way of the journal is told before a store makes its files.
fn open_records(
    folder: &Folder,
    options: Options,
    quarantines: &Quarantines,
) -> Result<(Opening, Promises), StartError> {
    Promises::check_version(folder)?;
    if !folder.path().join(STORE).exists() {
        let promises = Promises::load(folder)?;
        return Ok((open_store(folder, options, quarantines)?, promises));
    }
    thread::scope(|scope| {
        let promises = thread::Builder::new()
            .name("journal".to_owned())
            .spawn_scoped(scope, || Promises::load(folder))
            .map_err(|_| StartError::Thread)?;
        let opening = open_store(folder, options, quarantines);
        let promises = promises.join().map_err(|_| StartError::Thread)??;
        Ok((opening?, promises))
    })
}

/// Opens the store; a damaged one is set aside, since the network still holds its records.
fn open_store(
    folder: &Folder,
    options: Options,
    quarantines: &Quarantines,
) -> Result<Opening, StartError> {
    let path = folder.path().join(STORE);
    let opening = open_or_set_aside(&path, options, quarantines.place(), utc_seconds());
    let opening = opening.map_err(|error| store_not_opened(error, &path))?;
    if let Some(recovery) = &opening.recovery {
        quarantines.refresh();
        tracing::error!(
            reason = recovery.reason,
            quarantine = recovery.place.as_deref().map(tracing::field::debug),
            carried_over = recovery.carried_over,
            "the store is damaged: it is set aside, and the node starts and gets its records back \
             from other nodes"
        );
    }
    Ok(opening)
}
