//! Arguments of the verbs for files.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use qadom_http::parse_writer;
use qadom_node::{FileId, PUSH_COPIES, Writer};

use super::records::Write;

/// `qadom file`
#[derive(Debug, Subcommand)]
pub(crate) enum File {
    /// Share a file or a folder; prints its id
    ///
    /// It is shared from where it lies until it changes. The id of a file is its BLAKE3, as b3sum
    /// prints it.
    Add {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        write: Write,
    },
    /// Share a file and leave copies with the nodes nearest to its chunks, so that it outlives this
    /// node; prints its id
    Push {
        #[command(flatten)]
        source: Source,
        /// Copies of each chunk, this node's own not counted
        #[arg(long, value_name = "N", default_value_t = PUSH_COPIES,
              value_parser = clap::value_parser!(u32).range(1..=20))]
        copies: u32,
        #[command(flatten)]
        write: Write,
    },
    /// Fetch a file or a folder; the same command goes on where it was cut short
    Get(Get),
    /// List what is shared from here and what was begun to be fetched
    List,
    /// Show what is known of a file, and how many live copies each of its chunks has
    Status {
        /// 64 hex digits
        id: FileId,
    },
    /// Print hash and size of each chunk, a line for each
    Manifest {
        /// 64 hex digits
        id: FileId,
    },
    /// No longer share a file; what was shared from where it lies stays there
    Remove {
        /// 64 hex digits
        id: FileId,
    },
}

/// What is shared.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A file or a folder
    pub(crate) path: PathBuf,
    /// Let others find it under this name, 1 to 256 bytes [without NAME: its own]
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "absent, without a name, with a name")]
    pub(crate) name: Option<Option<String>>,
    /// Copy it into the data folder, so that it is shared whatever becomes of the original
    #[arg(long)]
    pub(crate) copy: bool,
    /// Tell with the name that a plain HTTP server has it here; may be repeated
    #[arg(long, value_name = "URL", requires = "name")]
    pub(crate) url: Vec<String>,
}

/// `qadom file get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// An id (64 hex digits) or a name; not needed with --manifest
    #[arg(value_name = "ID|NAME", required_unless_present = "manifest")]
    pub(crate) file: Option<String>,
    /// Put it here: a folder that is there, or a file that is not [default: the current folder]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Of several files under the name, take one that this writer has named
    #[arg(long, value_name = "KEY", value_parser = parse_writer)]
    pub(crate) writer: Option<Writer>,
    /// Of several files under the name, take the one with the most writers
    #[arg(long)]
    pub(crate) first: bool,
    /// Fetch what this list of chunks describes, as `qadom file manifest` prints it
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// When no node has the file, take what a plain URL in the bag of name:NAME brings, whatever it is
    #[arg(long)]
    pub(crate) unverified: bool,
    /// Take at most this much from a plain server before anything proves it, such as 500MB or 4GiB
    /// [default: 1GiB, or what most writers of the name say that it has, if that is more]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,
}

/// Reads a number of bytes: digits, and a unit of thousands (`kB`, `MB`) or of 1024 (`KiB`, `MiB`) if one is
/// meant.
fn parse_size(text: &str) -> Result<u64, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let factor: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        "kib" | "k" => Some(1 << 10),
        "mib" | "m" => Some(1 << 20),
        "gib" | "g" => Some(1 << 30),
        "tib" | "t" => Some(1 << 40),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    let size = number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    size.ok_or_else(|| "a number of bytes, as 1500000, 500MB or 4GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn a_size_has_a_number_and_a_unit_if_any() {
        for (text, size) in [
            ("0", 0),
            ("1500000", 1_500_000),
            ("500MB", 500_000_000),
            ("4GiB", 4 << 30),
            ("4 gib", 4 << 30),
            ("64k", 64 << 10),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for bad in ["", "MB", "-1", "1.5GB", "4XB", "99999999TiB", "GiB4"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
