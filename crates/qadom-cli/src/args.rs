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
use qadom_node::JoinAddress;

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

/// How one begins.
const EXAMPLES: &str = "Begin with:\n  \
    qadom demo                                  a network on this machine, shown\n  \
    qadom node --detach                         a node in the background\n  \
    echo hello | qadom put                      prints the key\n  \
    qadom get KEY                               on any node of the network\n  \
    qadom get KEY --ephemeral=HOST:PORT         without a node of one's own\n  \
    qadom doctor                                when something does not work\n\n\
    Every verb has a --help of its own, with examples. QADOM_LOG says what is told on the\n\
    standard error, such as QADOM_LOG=info,qadom_node::datagrams=debug.";

/// Stores and finds values on a network that has no server.
#[derive(Debug, Parser)]
#[command(name = "qadom", version, max_term_width = 100, after_help = EXAMPLES)]
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
    /// Start a client node for this one command instead of asking a daemon; it joins by these nodes
    /// [default: those of qadom.toml, else the contacts that the daemon has saved]
    #[arg(long, global = true, value_name = "ADDR", num_args = 0.., require_equals = true,
          value_delimiter = ',', conflicts_with = "socket")]
    pub(crate) ephemeral: Option<Vec<JoinAddress>>,
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
    #[command(
        after_help = "Examples:\n  qadom put photo.txt\n  echo hello | qadom put\n  qadom put --once --ttl 1h a.bin b.bin"
    )]
    Put(Put),
    /// Find a value and write it to the standard output
    #[command(
        after_help = "Examples:\n  qadom get 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n  qadom get KEY -o copy.bin\n  qadom get KEY --ephemeral=node.example:7236"
    )]
    Get(Get),
    /// Names that anybody may set
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom dict set greeting hello\n  qadom dict get greeting --default none"
    )]
    Dict(Dict),
    /// Many items under one key
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom bag add name:guests Ada\n  qadom bag list name:guests"
    )]
    Bag(Bag),
    /// Keys that one writer alone may set
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom namespace set name:motd \"open at nine\"\n  qadom namespace get PUBLIC_KEY name:motd --latest"
    )]
    Namespace(Namespace),
    /// Messages to all who subscribe
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom topic subscribe news\n  qadom topic publish news \"it works\""
    )]
    Topic(Topic),
    /// Print what is written to a bag, a dict name, a namespace or a topic as it is written
    #[command(
        after_help = "Examples:\n  qadom watch dict:greeting\n  qadom watch bag:name:guests --since 0 --count 10"
    )]
    Watch(Watch),
    /// Files of any size, fetched from many nodes at once
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom file add holiday.mp4 --name holiday\n  qadom file push thesis.pdf --copies 8\n  qadom file get holiday -o ."
    )]
    File(File),
    /// What this node keeps alive
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom publications list\n  qadom publications withdraw name:greeting"
    )]
    Publications(Publications),
    /// Who this node can sign as
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  qadom identity new work\n  qadom dict set greeting hello --identity work"
    )]
    Identity(Identity),
    /// Have nothing to do with a node or a key until it is unblocked
    #[command(after_help = "Examples:\n  qadom block NODE\n  qadom block KEY")]
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
    #[command(after_help = "Examples:\n  qadom lookup name:greeting\n  qadom lookup KEY --json")]
    Lookup(Lookup),
    /// Measure the round trip to a node
    #[command(after_help = "Examples:\n  qadom ping 127.0.0.1:7236")]
    Ping(Ping),
    /// Seal node key, identities, journal and settings into a file, under a passphrase
    #[command(after_help = "Examples:\n  qadom backup node.qadom --passphrase-file secret.txt")]
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
    #[command(after_help = "Examples:\n  qadom join node.example:7236")]
    Join(Join),
    /// Let the daemon store for others, or no longer
    Mode(Mode),
    /// Print the completions for a shell
    #[command(
        after_help = "Examples:\n  qadom completions bash > ~/.local/share/bash-completion/completions/qadom"
    )]
    Completions(Completions),
    /// Print the manual page, or write all of them into a folder
    Man(Man),
}
