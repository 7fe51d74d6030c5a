//! The passphrase of a backup: from a file, or typed at the terminal where nobody sees it.
//!
//! What must stay true: it is never an argument, which every user of the machine could read, and
//! no copy of ours is left in memory.

use std::io::Read;
use std::path::Path;

use qadom_node::Reason;
use zeroize::Zeroizing;

use crate::error::Failure;

/// The longest passphrase that is read, in bytes.
const PASSPHRASE_MAX: u64 = 4096;

/// Reads the passphrase of a backup that is there.
pub(super) fn existing(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(file) => from_file(file),
        None => ask("passphrase: "),
    }
}

/// Reads the passphrase of a new backup; one that is typed is typed twice.
pub(super) fn fresh(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    let passphrase = ask("new passphrase: ")?;
    if *ask("once more: ")? == *passphrase {
        Ok(passphrase)
    } else {
        let message = "the two passphrases differ";
        Err(Failure::new(Reason::Usage, message).with_advice("try again; nothing was written"))
    }
}

/// The content of a file without the newline at its end.
fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(PASSPHRASE_MAX).read_to_string(&mut text));
    if let Err(error) = read {
        let message = format!("cannot read the passphrase in {}: {error}", path.display());
        return Err(Failure::new(Reason::Usage, message));
    }
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let typed = rpassword::prompt_password(prompt).map(Zeroizing::new);
    typed.map_err(|error| {
        let message = format!("there is no terminal to ask for the passphrase at: {error}");
        Failure::new(Reason::Usage, message).with_advice("name a file with --passphrase-file")
    })
}
