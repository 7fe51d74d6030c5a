//! Arguments of the verbs that look at the network.

use clap::{Args, ValueEnum};
use qadom_node::{JoinAddress, NodeName};

/// `qadom lookup`
#[derive(Debug, Args)]
pub(crate) struct Lookup {
    /// 64 hex digits, int:DECIMAL or name:TEXT
    pub(crate) key: String,
}

/// `qadom ping`
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// A node's id, its address text or host:port
    pub(crate) node: NodeName,
}

/// `qadom join`
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// host:port or address text
    #[arg(required = true, value_name = "ADDR")]
    pub(crate) addresses: Vec<JoinAddress>,
}

/// `qadom mode`
#[derive(Debug, Args)]
pub(crate) struct Mode {
    /// storing: keep records for others; client: keep none, and hand over those that are held
    #[arg(value_name = "MODE")]
    pub(crate) mode: ModeName,
}

/// The two modes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// Stores for others.
    Storing,
    /// Stores nothing for others.
    Client,
}
