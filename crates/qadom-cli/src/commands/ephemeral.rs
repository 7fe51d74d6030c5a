//! `--ephemeral`: a client node for one command, in place of a daemon.
//!
//! What must stay true: the node stores nothing for others, keeps its data in a temporary folder and is
//! gone with the command; the data folder of the user is read and never written. What only a daemon can
//! do is refused before a node is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use qadom_http::Client;
use qadom_node::{Builder, HostPort, JoinAddress, Mode, Reason};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::node::builder;
use super::{CONTROL_SOCKET, data_dir};
use crate::args::{Arguments, Bag, Dict, File, Global, Namespace, Node, Topic, Verb};
use crate::error::Failure;
use crate::settings;

/// What a node comes back to its network by.
const CONTACTS: &str = "contacts";

/// How long the node may take to find its network by saved contacts.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node for one command, behind a control socket of its own.
#[derive(Debug)]
pub(super) struct Ephemeral {
    daemon: Daemon,
    folder: TempDir,
}

impl Ephemeral {
    /// Starts a node for a verb, and lets it join: by the addresses that were typed, else by those of
    /// the settings, else by the contacts that the user's node has saved.
    pub(super) async fn start(
        verb: &mut Verb,
        addresses: &[JoinAddress],
        global: &Global,
    ) -> anyhow::Result<Self> {
        admit(verb)?;
        let home = data_dir(global)?;
        let mut node = settings_of(&home)?;
        if !addresses.is_empty() {
            node.join = addresses.to_vec();
        }
        let addresses = std::mem::take(&mut node.join);
        let folder = tempfile::tempdir()?;
        let contacts = home.join(CONTACTS);
        let comes_back = addresses.is_empty() && contacts.is_file();
        if comes_back {
            std::fs::copy(&contacts, folder.path().join(CONTACTS))?;
        } else if addresses.is_empty() {
            return Err(Failure::new(
                Reason::Usage,
                "an ephemeral node knows nobody to join the network by",
            )
            .with_advice("name a node with --ephemeral=HOST:PORT, or in qadom.toml under join")
            .into());
        }
        let builder = self::node(node, &addresses, folder.path())?;
        let daemon = Daemon::start(builder, &folder.path().join(CONTROL_SOCKET)).await?;
        let ephemeral = Self { daemon, folder };
        let joined = if comes_back {
            ephemeral.come_back().await
        } else {
            ephemeral.join(&addresses).await
        };
        match joined {
            Ok(()) => Ok(ephemeral),
            Err(failure) => {
                ephemeral.end().await;
                Err(failure.into())
            }
        }
    }

    /// The control socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join(CONTROL_SOCKET)
    }

    /// Ends the node.
    pub(super) async fn end(self) {
        self.daemon.close().await;
    }

    async fn join(&self, addresses: &[JoinAddress]) -> Result<(), Failure> {
        let addresses = addresses.iter().map(ToString::to_string);
        let client = Client::new(self.socket());
        client.join(&addresses.collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Waits until the saved contacts have led into the network.
    async fn come_back(&self) -> Result<(), Failure> {
        let node = self.daemon.node();
        let joined = async {
            loop {
                let status = node.status().await?;
                if status.peers > 0 {
                    return Ok::<_, Failure>(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let joined = tokio::time::timeout(PATIENCE, joined).await;
        joined.unwrap_or_else(|_| {
            let message = "none of the saved contacts answers";
            Err(Failure::new(Reason::Unreachable, message)
                .with_advice("name a node that runs with --ephemeral=HOST:PORT"))
        })
    }
}

/// Refuses what a node cannot do that is gone with the command, and keeps writes from promising that
/// anybody renews them.
fn admit(verb: &mut Verb) -> Result<(), Failure> {
    match verb {
        Verb::Put(put) => {
            put.write.once = true;
            Ok(())
        }
        Verb::Get(_)
        | Verb::Lookup(_)
        | Verb::Ping(_)
        | Verb::Peers
        | Verb::Watch(_)
        | Verb::Dict(Dict::Get { .. })
        | Verb::Bag(Bag::List { .. })
        | Verb::Namespace(Namespace::Get { .. })
        | Verb::Topic(Topic::Subscribe { .. })
        | Verb::File(File::Get(_)) => Ok(()),
        _ => Err(Failure::new(
            Reason::Usage,
            "this verb needs a daemon, which is there when the command has ended",
        )
        .with_advice("start one with `qadom node`, and type the verb without --ephemeral")),
    }
}

/// The settings of the user's node, as far as they say which network it belongs to.
fn settings_of(home: &Path) -> anyhow::Result<Node> {
    let home_text = home.as_os_str().to_owned();
    let line = [
        "qadom".into(),
        "node".into(),
        "--data-dir".into(),
        home_text,
    ];
    let arguments = Arguments::try_parse_from(&line);
    let arguments = arguments.map_err(|error| Failure::from_clap(&error))?;
    let Verb::Node(node) = arguments.verb else {
        let message = "the settings were read in two ways";
        return Err(Failure::new(Reason::Internal, message).into());
    };
    Ok(settings::read(&node, home, line.to_vec())?.node)
}

/// A client of that network, on a port of its own.
fn node(mut settings: Node, addresses: &[JoinAddress], folder: &Path) -> Result<Builder, Failure> {
    let is_near = |at: &HostPort| {
        let at = at.socket_address();
        at.is_some_and(|at| at.ip().to_canonical().is_loopback())
    };
    let mut places = addresses.iter().map(JoinAddress::host_port);
    // Beside nodes of this machine alone it is in local mode, as they are.
    settings.listen = if !addresses.is_empty() && places.all(is_near) {
        vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]
    } else {
        vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))]
    };
    (settings.advertise, settings.engine, settings.durability) = (None, None, None);
    (settings.memory, settings.client) = (true, true);
    Ok(builder(settings, folder)?.mode(Mode::Client))
}
