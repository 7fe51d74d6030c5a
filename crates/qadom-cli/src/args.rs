//! What may be typed: the global flags and the verbs. What belongs to one verb alone is in
//! `args/`, by theme.

mod bench;
mod files;
mod guides;
mod keeping;
mod network;
mod node;
mod records;
mod simulate;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

pub(crate) use bench::Bench;
pub(crate) use files::{File, Get as FileGet, Source as FileSource};
pub(crate) use guides::{Completions, Man};
pub(crate) use keeping::{Backup, Store};
pub(crate) use network::{Join, Lookup, Mode, ModeName, Ping};
pub(crate) use node::{Demo, Node, Testnet};
pub(crate) use records::{
    Bag, Block, Dict, Follow, Identity, Namespace, Publications, Topic, Unblock, Watch,
};
pub(crate) use simulate::Sim;
pub(crate) use values::{Get, Put};

/// Stores and finds values on a network that has no server.
#[derive(Debug, Parser)]
#[command(name = "qadom", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that are accepted anywhere on the line.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Global {
    /// The node's data folder [default: qadom in the user's data folder]
    #[arg(long, global = true, value_name = "DIR", env = "QADOM_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The daemon's control socket [default: control.sock in the data folder]
    #[arg(long, global = true, value_name = "PATH", env = "QADOM_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON objects, one a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell more on the standard error; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a node in this process until Ctrl-C
    Node(Box<Node>),
    /// Stop the daemon; what it acknowledged is kept
    Stop,
    /// Run a small network on this machine and show what it can do
    Demo(Demo),
    /// Run several daemons in this process until Ctrl-C
    Testnet(Testnet),
    /// Store values and print their keys
    Put(Put),
    /// Find a value and write it to the standard output
    Get(Get),
    /// Names that anybody may set
    #[command(subcommand)]
    Dict(Dict),
    /// Many items under one key
    #[command(subcommand)]
    Bag(Bag),
    /// Keys that one writer alone may set
    #[command(subcommand)]
    Namespace(Namespace),
    /// Messages to all who subscribe
    #[command(subcommand)]
    Topic(Topic),
    /// Print what is written to a bag, a dict name, a namespace or a topic as it is written
    Watch(Watch),
    /// Files of any size, fetched from many nodes at once
    #[command(subcommand)]
    File(File),
    /// What this node keeps alive
    #[command(subcommand)]
    Publications(Publications),
    /// Who this node can sign as
    #[command(subcommand)]
    Identity(Identity),
    /// Have nothing to do with a node or a key until it is unblocked or the daemon ends
    Block(Block),
    /// Take a block back
    Unblock(Unblock),
    /// Show how the daemon is doing
    Status,
    /// Find out why something does not work, and what to do
    Doctor,
    /// List the daemon's routing table
    Peers,
    /// Find the nodes nearest to a key, step by step
    Lookup(Lookup),
    /// Measure the round trip to a node
    Ping(Ping),
    /// Seal node key, identities, journal and settings into a file, under a passphrase
    Backup(Backup),
    /// Put a backup into a data folder that has none of its files
    Restore(Backup),
    /// Move the records of a stopped node between store engines
    #[command(subcommand)]
    Store(Store),
    /// Measure a network on this machine beside bare datagrams
    Bench(Bench),
    /// Run a scenario on thousands of virtual nodes and check what the network promised
    Sim(Sim),
    /// Join a network through nodes that are known to belong to it
    Join(Join),
    /// Let the daemon store for others, or no longer
    Mode(Mode),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page, or write all of them into a folder
    Man(Man),
}
