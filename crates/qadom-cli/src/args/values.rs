//! Arguments of the verbs for values.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use qadom_http::parse_lifetime;

/// `qadom put`
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Files of at most 8192 bytes, - for the standard input [default: -]
    #[arg(value_name = "FILE|-")]
    pub(crate) files: Vec<PathBuf>,
    /// Copies below which the put counts as failed [default: half of what can be reached]
    #[arg(long, value_name = "N")]
    pub(crate) min_copies: Option<u32>,
    /// How long a copy lives, 60s to 36h [default: 36h]
    #[arg(long, value_name = "DURATION", value_parser = parse_lifetime)]
    pub(crate) ttl: Option<Duration>,
}

/// `qadom get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// 64 hex digits, int:DECIMAL or name:TEXT
    pub(crate) key: String,
    /// Write the value into this file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Ask this node alone: its id, its address text or host:port
    #[arg(long, value_name = "NODE", conflicts_with = "local_only")]
    pub(crate) from: Option<qadom_node::NodeName>,
    /// Look into the daemon's own store alone
    #[arg(long)]
    pub(crate) local_only: bool,
}
