//! Arguments of the verbs for what writers sign: dicts, bags, namespaces, topics, watching.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use qadom_http::{
    ReadFrom, SlotText, TextError, WriteQuery, parse_lifetime, parse_since, parse_writer,
};
use qadom_node::{NodeName, Writer};

/// What every write takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Write {
    /// Sign as this identity; `default` alone is made on its first use
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) identity: String,
    /// Copies below which the write counts as failed [default: half of what can be reached]
    #[arg(long, value_name = "N")]
    pub(crate) min_copies: Option<u32>,
    /// How long a copy lives without renewal, 60s to 7d (values: 36h) [default: 36h]
    #[arg(long, value_name = "DURATION", value_parser = parse_lifetime)]
    pub(crate) ttl: Option<Duration>,
    /// Do not renew it: it is gone when its copies expire
    #[arg(long)]
    pub(crate) once: bool,
}

impl Write {
    /// The same for the daemon.
    pub(crate) fn query(&self) -> WriteQuery {
        WriteQuery {
            identity: Some(self.identity.clone()),
            ttl: self.ttl,
            min_copies: self.min_copies,
            once: self.once,
        }
    }
}

/// Where a read looks.
#[derive(Clone, Debug, Args)]
pub(crate) struct Read {
    /// Ask this node alone: its id, its address text or host:port
    #[arg(long, value_name = "NODE", conflicts_with = "local_only")]
    pub(crate) from: Option<NodeName>,
    /// Look into the daemon's own store alone
    #[arg(long)]
    pub(crate) local_only: bool,
}

impl Read {
    /// The same for the daemon.
    pub(crate) fn source(&self) -> ReadFrom {
        match &self.from {
            Some(node) => ReadFrom::Node(node.to_string()),
            None if self.local_only => ReadFrom::Local,
            None => ReadFrom::Anywhere,
        }
    }
}

/// `qadom dict`
#[derive(Debug, Subcommand)]
pub(crate) enum Dict {
    /// Set a name to a value
    ///
    /// Anyone may write a name; the last writer wins. The value is the text itself, hex:DIGITS, or -
    /// for the standard input.
    Set {
        /// 1 to 256 bytes
        name: String,
        /// At most 8192 bytes
        value: String,
        #[command(flatten)]
        write: Write,
    },
    /// Write the value of a name to the standard output
    Get {
        /// 1 to 256 bytes
        name: String,
        /// Write this instead when nothing is there, and succeed
        #[arg(long, value_name = "VALUE")]
        default: Option<String>,
        /// Take what this writer set, whoever wrote last
        #[arg(long, value_name = "KEY", value_parser = parse_writer)]
        writer: Option<Writer>,
        #[command(flatten)]
        read: Read,
    },
    /// Delete a name: nothing is found under it until somebody sets it again
    Delete {
        /// 1 to 256 bytes
        name: String,
        #[command(flatten)]
        write: Write,
    },
    /// Set every name of a JSON object; prints a line for each
    ///
    /// Texts are stored as they are, anything else as its JSON.
    Update {
        /// A file with one JSON object, - for the standard input
        #[arg(value_name = "FILE.json")]
        file: PathBuf,
        #[command(flatten)]
        write: Write,
    },
}

/// `qadom bag`
#[derive(Debug, Subcommand)]
pub(crate) enum Bag {
    /// Add an item
    ///
    /// The item is the text itself, hex:DIGITS, int:DECIMAL, text:TEXT, or - for the standard input.
    Add {
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
        /// At most 1024 bytes
        item: String,
        #[command(flatten)]
        write: Write,
    },
    /// List the items, each once
    List {
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
        /// So many items at most, in the order of their BLAKE3
        #[arg(long, value_name = "N")]
        limit: Option<NonZeroUsize>,
        /// Go on behind the list that ended with this cursor
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        read: Read,
    },
    /// Remove an item of one's own
    Remove {
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
        /// As it was added
        item: String,
        #[command(flatten)]
        write: Write,
    },
}

/// `qadom namespace`
#[derive(Debug, Subcommand)]
pub(crate) enum Namespace {
    /// Set a key of one's own namespace; prints its signature
    Set {
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
        /// At most 8192 bytes; hex:DIGITS, or - for the standard input
        value: String,
        /// Only when the version there is this one; 0: only when there is none
        #[arg(long, value_name = "N")]
        if_seq: Option<u64>,
        #[command(flatten)]
        write: Write,
    },
    /// Write the value of a key in a writer's namespace to the standard output
    Get {
        /// The writer: 64 hex digits or int:DECIMAL
        #[arg(value_parser = parse_writer)]
        public_key: Writer,
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
        /// Ask all the nodes nearest to it and take the newest
        #[arg(long)]
        latest: bool,
        /// Take exactly the content with this signature: 128 hex digits or int:DECIMAL
        #[arg(long, value_name = "SIG")]
        signature: Option<String>,
        #[command(flatten)]
        read: Read,
    },
    /// Delete a key of one's own namespace
    Delete {
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
        #[command(flatten)]
        write: Write,
    },
}

/// From where on, and for how long, events are printed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Follow {
    /// 0 for the oldest held, now, or the cursor of the last event
    #[arg(long, value_name = "CURSOR", default_value = "now", value_parser = since,
        allow_hyphen_values = true)]
    pub(crate) since: String,
    /// End after this many events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// Checks a cursor before a daemon is asked for.
fn since(text: &str) -> Result<String, TextError> {
    parse_since(text).map(|_| text.to_owned())
}

/// `qadom topic`
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Send a message to all who subscribe
    Publish {
        /// A text, or 64 hex digits, int:DECIMAL, name:TEXT
        topic: String,
        /// At most 8192 bytes; hex:DIGITS, or - for the standard input
        message: String,
        #[command(flatten)]
        write: Write,
    },
    /// Print each message as it comes, until Ctrl-C
    Subscribe {
        /// A text, or 64 hex digits, int:DECIMAL, name:TEXT
        topic: String,
        #[command(flatten)]
        follow: Follow,
    },
}

/// `qadom watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// `bag:KEY`, `dict:NAME`, `namespace:PUBLIC_KEY/KEY` or `topic:TOPIC`
    pub(crate) slot: SlotText,
    #[command(flatten)]
    pub(crate) follow: Follow,
}

/// `qadom publications`
#[derive(Debug, Subcommand)]
pub(crate) enum Publications {
    /// List what this node keeps alive
    List,
    /// Stop keeping what lies under a key alive; what is signed is deleted
    Withdraw {
        /// 64 hex digits, int:DECIMAL or name:TEXT
        key: String,
    },
}

/// `qadom identity`
#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Make a new identity
    New {
        /// 1 to 64 letters, digits, dots, dashes and underscores
        name: String,
    },
    /// List the identities and their public keys
    List,
    /// Write the secret of an identity
    Export {
        /// The identity
        name: String,
        /// Into this file (readable by its owner alone) instead of the standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take over an identity that was exported
    Import {
        /// The name that it gets here
        name: String,
        /// The exported secret, - for the standard input
        file: PathBuf,
    },
}

/// `qadom block`
#[derive(Debug, Args)]
pub(crate) struct Block {
    /// A node's id or address text, or a key: 64 hex digits, int:DECIMAL or name:TEXT; without it
    /// the blocks are listed
    pub(crate) what: Option<String>,
}

/// `qadom unblock`
#[derive(Debug, Args)]
pub(crate) struct Unblock {
    /// A node's id or address text, or a key: 64 hex digits, int:DECIMAL or name:TEXT
    pub(crate) what: String,
}
