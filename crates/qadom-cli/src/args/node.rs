//! Arguments of the verbs that run nodes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use qadom_node::JoinAddress;

/// `qadom node`
#[derive(Debug, Args)]
pub(crate) struct Node {
    /// Listen here; once for IPv4 and once for IPv6 [default: port 7236 of every address]
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "QADOM_LISTEN",
        value_delimiter = ','
    )]
    pub(crate) listen: Vec<SocketAddr>,
    /// Tell others to reach this node here
    #[arg(long, value_name = "ADDR:PORT", env = "QADOM_ADVERTISE")]
    pub(crate) advertise: Option<SocketAddr>,
    /// Join a network through this node: host:port or address text; may be repeated
    #[arg(long, value_name = "ADDR", env = "QADOM_JOIN", value_delimiter = ',')]
    pub(crate) join: Vec<JoinAddress>,
    /// The name of the network [default: qadom, in local mode local]
    #[arg(long, value_name = "NAME", env = "QADOM_NETWORK")]
    pub(crate) network: Option<String>,
    /// The bits of the puzzle that node keys solve, 0 to 32 [default: 16 in the network qadom, else 0]
    #[arg(long, value_name = "N", env = "QADOM_ID_BITS",
          value_parser = clap::value_parser!(u8).range(0..=32))]
    pub(crate) id_bits: Option<u8>,
    /// Lift the limits by address group, for nodes of one machine or private network
    #[arg(long, env = "QADOM_LOCAL", value_parser = BoolishValueParser::new())]
    pub(crate) local: bool,
    /// Store nothing for others
    #[arg(long, env = "QADOM_CLIENT", value_parser = BoolishValueParser::new())]
    pub(crate) client: bool,
    /// Keep the records in memory; the node key and the contacts stay in the data folder
    #[arg(long, env = "QADOM_MEMORY", value_parser = BoolishValueParser::new())]
    pub(crate) memory: bool,
}

/// `qadom demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many nodes to run
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(3..=256))]
    pub(crate) nodes: u16,
    /// Keep the network up afterwards, until Ctrl-C
    #[arg(long)]
    pub(crate) stay: bool,
}

/// `qadom testnet`
#[derive(Debug, Args)]
pub(crate) struct Testnet {
    /// How many daemons to run
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) nodes: u16,
    /// Keep the data folders in DIR/0, DIR/1 and so on [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) base_dir: Option<PathBuf>,
}
