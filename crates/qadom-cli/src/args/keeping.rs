//! Arguments of the verbs that keep and bring back what a node has.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use qadom_node::StoreEngine;

/// `qadom backup` and `qadom restore`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Read the passphrase from this file instead of the terminal; of a new backup it has 8 characters at least
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// `qadom store`
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Write all records of a stopped node into a file that every engine reads
    Export {
        /// The new file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make the store of a stopped node anew from such a file; the one before is set aside
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Keep the records with this engine: sled or redb [default: the one before]
        #[arg(long, value_name = "ENGINE", env = "QADOM_ENGINE")]
        engine: Option<StoreEngine>,
    },
}
