//! Arguments of the verbs that run nodes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use qadom_http::parse_duration;
use qadom_node::{Durability, JoinAddress, StoreEngine};

/// `qadom node`
///
/// Every flag but those marked as such is a setting of `qadom.toml` under the same name, with `_` for
/// `-`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    qadom node\n  \
    qadom node --listen 127.0.0.1:0 --join 127.0.0.1:7236\n  \
    qadom node --print-config > ~/.local/share/qadom/qadom.toml\n\n\
    Flags stand over the environment, that over qadom.toml, that over the defaults.")]
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
    /// The bits of the key space that a level of the routing table resolves, 1 to 8: more make
    /// lookups shorter and the table larger [default: 1]
    #[arg(long, value_name = "N", env = "QADOM_BITS_PER_LEVEL",
          value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) bits_per_level: Option<u8>,
    /// Store nothing for others
    #[arg(long, env = "QADOM_CLIENT", value_parser = BoolishValueParser::new())]
    pub(crate) client: bool,
    /// Keep the records of a new data folder with this store engine: sled or redb; an old one keeps
    /// its own [default: sled]
    #[arg(long, value_name = "ENGINE", env = "QADOM_ENGINE")]
    pub(crate) engine: Option<StoreEngine>,
    /// What a write outlives once it is acknowledged: kill (the end of the process), or power (the
    /// loss of power, too, which costs time) [default: kill]
    #[arg(long, value_name = "WHAT", env = "QADOM_DURABILITY")]
    pub(crate) durability: Option<Durability>,
    /// Keep the records in memory; the node key and the contacts stay in the data folder
    #[arg(long, env = "QADOM_MEMORY", value_parser = BoolishValueParser::new())]
    pub(crate) memory: bool,
    /// The file with the secret of a private network: hex digits or at least 32 bytes of text
    #[arg(long, value_name = "FILE", env = "QADOM_NETWORK_SECRET_FILE")]
    pub(crate) network_secret_file: Option<PathBuf>,
    /// Serve the control API on TCP, too: a loopback address, or any with a token or client certificates
    #[arg(long, value_name = "ADDR:PORT", env = "QADOM_HTTP")]
    pub(crate) http: Option<SocketAddr>,
    /// Serve it under this certificate: a PEM file with the chain, own one first
    #[arg(long, value_name = "FILE", env = "QADOM_HTTP_CERT")]
    pub(crate) http_cert: Option<PathBuf>,
    /// The key of the certificate, a PEM file
    #[arg(long, value_name = "FILE", env = "QADOM_HTTP_KEY")]
    pub(crate) http_key: Option<PathBuf>,
    /// Take only clients with a certificate of these authorities, a PEM file
    #[arg(long, value_name = "FILE", env = "QADOM_HTTP_CLIENT_CA")]
    pub(crate) http_client_ca: Option<PathBuf>,
    /// The file with the token that requests over TCP have to show: 16 to 1024 characters
    #[arg(long, value_name = "FILE", env = "QADOM_HTTP_TOKEN_FILE")]
    pub(crate) http_token_file: Option<PathBuf>,
    /// Serve the files of the network to anybody over HTTP, read only
    #[arg(long, value_name = "ADDR:PORT", env = "QADOM_GATEWAY")]
    pub(crate) gateway: Option<SocketAddr>,
    /// Where anybody reaches the gateway, told with the names of the files that are shared here
    #[arg(long, value_name = "URL", env = "QADOM_GATEWAY_URL", requires = "gateway",
          value_parser = parse_gateway_url)]
    pub(crate) gateway_url: Option<String>,
    /// Send chunks of files at this many bytes per second at most
    #[arg(long, value_name = "BYTES", env = "QADOM_UPLOAD_RATE")]
    pub(crate) upload_rate: Option<u64>,
    /// How often to look whether enough nodes have what was pushed [default: 1h]
    #[arg(long, value_name = "DURATION", env = "QADOM_FILE_REPAIR",
          value_parser = parse_duration)]
    pub(crate) file_repair: Option<Duration>,
    #[command(flatten)]
    pub(crate) start: Start,
}

/// Where the settings of `qadom node` are, and what to do with them: flags that are no settings.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Read the settings from this file; no setting itself [default: qadom.toml in the data folder]
    #[arg(long, value_name = "FILE", env = "QADOM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the settings as they are in force, as a qadom.toml, and end; no setting itself
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Run in the background, and return when the daemon is ready; no setting itself
    #[arg(long)]
    pub(crate) detach: bool,
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

/// The longest URL of a gateway in bytes: with the path of a file behind it is one of a file.
const GATEWAY_URL_MAX: usize = 400;

fn parse_gateway_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or(text.strip_prefix("https://"));
    let is_url = rest
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()));
    if is_url && text.len() <= GATEWAY_URL_MAX {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "it begins with http:// or https:// and has at most {GATEWAY_URL_MAX} characters"
        ))
    }
}
