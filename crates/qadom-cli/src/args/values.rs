//! Arguments of the verbs for values.

use std::path::PathBuf;

use clap::Args;

use super::records::{Read, Write};

/// `qadom put`
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Files of at most 8192 bytes, - for the standard input [default: -]
    #[arg(value_name = "FILE|-")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) write: Write,
}

/// `qadom get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// 64 hex digits, int:DECIMAL or name:TEXT
    pub(crate) key: String,
    /// Write the value into this file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) read: Read,
}
